"""Datasets and models by folder or Hub id, and where they came from."""
