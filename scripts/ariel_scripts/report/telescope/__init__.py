"""The page of a fit of any telescope's light curves."""
