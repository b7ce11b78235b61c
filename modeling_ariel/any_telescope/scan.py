"""HST's spatial scans, up and down in turn: the light of the two differs, by far more than its noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modeling_ariel.any_telescope.observation import Array, Observation
from modeling_ariel.any_telescope.systematics import SCAN, orbits

_SEEN = 3.0  # times the scatter within one direction
_FEWEST = 5  # exposures of an orbit


def scan_direction(observation: Observation) -> Array | None:
    """Direction (T,) of each exposure, 1 or -1, the brighter one positive; None where exposures do not alternate."""
    level = np.nan_to_num(np.nanmedian(np.where(observation.valid, observation.flux, np.nan), axis=0))
    seen = observation.valid & (level > 0)
    relative = np.where(seen, observation.flux, 0.0) / np.where(level > 0, level, 1.0)
    white = np.where(seen.any(1), relative.sum(1) / np.maximum(seen.sum(1), 1), np.nan)
    number, _ = orbits(observation)
    direction, sizes, scatters = np.zeros_like(white), [], []
    for one in range(number[-1] + 1):
        own = np.flatnonzero(number == one)
        turns = np.where(np.arange(len(own)) % 2, 1.0, -1.0)
        direction[own] = turns
        if len(own) < _FEWEST:
            continue
        apart = (white[own[1:-1]] - 0.5 * (white[own[:-2]] + white[own[2:]])) * turns[1:-1]
        size = float(np.nanmedian(apart))
        direction[own] *= np.sign(size) or 1.0
        sizes.append(abs(size))
        scatters.append(float(np.nanmedian(np.abs(apart - size))))
    if not sizes or np.median(sizes) < _SEEN * 1.4826 * np.median(scatters):
        return None
    return direction


def without_scan(observation: Observation) -> Observation:
    """The observation with its mean difference between directions taken out, and the direction as a regressor.

    What is left of the difference is for the fit. As it is where exposures do not alternate.
    """
    direction = scan_direction(observation)
    if direction is None:
        return observation
    flux = observation.flux
    apart = (flux[1:-1] - 0.5 * (flux[:-2] + flux[2:])) * direction[1:-1, None] / np.nanmedian(flux, axis=0)
    turning = (direction[1:-1] != direction[:-2]) & (direction[1:-1] != direction[2:])
    size = 0.5 * np.nanmedian(apart[turning], axis=0)
    note = f"exposures alternate by {2e6 * float(np.median(size)):.0f} ppm, as scans up and down do: corrected"
    scale = 1.0 + size * direction[:, None]
    return replace(
        observation,
        flux=flux / scale,
        flux_err=observation.flux_err / scale,
        regressors={**observation.regressors, SCAN: direction},
        notes=(*observation.notes, note),
    )
