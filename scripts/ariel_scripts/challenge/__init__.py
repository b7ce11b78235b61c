"""A raw challenge folder → a valid submission, within a time budget."""
