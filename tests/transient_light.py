"""Objects with known light, as tests of transients need them."""

from __future__ import annotations

import numpy as np

from hf_dataset.transients.simulation import physics
from modeling_ariel.transients.observed import BANDS, WAVELENGTHS, Array, Observed

PEAK = 62_000.0  # MJD


def disruption(temperature: float = 20_000.0, redshift: float = 0.1, noise: float = 0.02, seed: int = 0) -> Observed:
    """A black body of 10^44.5 erg/s and constant temperature [K], in six bands every 3 days of four years."""
    rng = np.random.default_rng(seed)
    time = np.sort(PEAK + rng.uniform(-700, 700, 700))
    band = rng.integers(0, len(BANDS), time.size)
    luminosity = physics.disruption((time - PEAK) / (1 + redshift), 10**44.5, 12.0, 45.0)
    flux = physics.blackbody_flux(luminosity, np.full(time.size, temperature), WAVELENGTHS[band], redshift)
    error = np.full(time.size, noise * flux.max())
    near = np.abs(time - PEAK - 50) < 200  # of the rest a quarter is enough
    kept = near | (rng.random(time.size) < 0.25)
    seen = flux + error * rng.standard_normal(time.size)
    return Observed("tde", time[kept], band[kept], seen[kept], error[kept], redshift)


def walk(spread: float, timescale: float, seed: int, count: int = 200) -> tuple[Array, Array, Array]:
    """(time, flux, error) of a damped random walk [µJy], [d], over four years."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 1500, count))
    error = np.full(count, 0.1 * spread)
    flux = spread * physics.damped_random_walk(rng, time, timescale) + error * rng.standard_normal(count)
    return time, flux, error
