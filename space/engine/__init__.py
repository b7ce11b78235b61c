"""Planets → spectra and explanations, without Gradio."""
