"""Small visits of eight channels, to be changed and spoiled by tests of the feature extractor."""

from __future__ import annotations

from typing import Any

import numpy as np

WAVELENGTH = [0.7, 2.0, 2.3, 2.6, 2.9, 3.2, 3.5, 3.8]
CHANNELS = len(WAVELENGTH)
BINS = 40


def visit(planet_id: int = 7, bins: int = BINS, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A small row: box transit of 1 %, errors of 0.1 %."""
    rng = np.random.default_rng([seed, planet_id])
    time = (np.arange(bins) + 0.5) * 7.5 / bins
    level = np.linspace(2e5, 3e4, CHANNELS)
    in_transit = np.abs(time - 3.75) < 1.2
    flux = level * (1.0 - 0.01 * in_transit[:, None] + 1e-3 * rng.standard_normal((bins, CHANNELS)))
    row = {
        "planet_id": planet_id,
        "visit": 0,
        "time": time,
        "flux": flux,
        "flux_err": np.broadcast_to(1e-3 * level, flux.shape).copy(),
        "valid": np.ones(flux.shape, dtype=bool),
        "centroid": 0.01 * rng.standard_normal((bins, 4)),
        "spectrum": np.full(CHANNELS, 0.01),
    }
    return row | changes
