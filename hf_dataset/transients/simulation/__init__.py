"""Simulated transients: their physics, the survey that sees them, and folders in the challenge's layout."""
