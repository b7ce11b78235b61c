"""Multi-band light curves of transients, in the layout of the MALLORN challenge → a Hugging Face dataset."""
