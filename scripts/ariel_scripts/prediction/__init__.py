"""Rows of light curves → predicted planets."""
