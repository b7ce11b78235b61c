"""Anybody's light curves → observations: one file a family of formats, read.py finds which."""
