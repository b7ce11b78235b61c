"""A visit → a row: calibration, extraction and light curves, as pure functions."""
