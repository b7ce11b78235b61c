"""A raw challenge folder → visits: the only room that knows layouts and file names."""
