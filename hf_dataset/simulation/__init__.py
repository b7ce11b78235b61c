"""Simulated planets and observations: population, spectra, transits, light curves and raw detector frames."""
