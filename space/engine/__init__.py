"""Planets → spectra with their reasons; no Gradio here."""
