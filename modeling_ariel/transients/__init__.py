"""Which transients are tidal disruption events: features of multi-band light curves, scores, models.

Flat, for its files can travel to the Hub with a model; it imports nothing above it.
"""
