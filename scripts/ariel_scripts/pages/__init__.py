"""Figures and pages of quickstart and inspect."""
