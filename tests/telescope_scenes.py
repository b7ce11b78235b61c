"""Visits of any telescope, simulated by batman: their truth is another code's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import batman
import numpy as np
from numpy.typing import NDArray

from modeling_ariel.any_telescope.observation import Observation
from modeling_ariel.any_telescope.orbit import Orbit

Array = NDArray[np.float64]

DEPTH = 0.014
ORBIT = Orbit(period=3.2, a=8.0, b=0.3, teff=5500.0)


def transit(
    time: Array, depth: Sequence[float], t0: float = 3.0, u: tuple[float, float] = (0.15, 0.2), orbit: Orbit = ORBIT
) -> Array:
    """(T, C) light, averaged over exposures, at times [h]."""
    parameters = batman.TransitParams()
    parameters.per, parameters.a, parameters.ecc, parameters.w = orbit.period, orbit.a, orbit.e, orbit.omega
    towards = 1 + orbit.e * math.sin(math.radians(orbit.omega))
    parameters.inc = math.degrees(math.acos(orbit.b / orbit.a * towards / (1 - orbit.e**2)))
    parameters.limb_dark, parameters.u, parameters.t0, parameters.rp = "quadratic", list(u), t0 / 24, 0.1
    step = float(np.median(np.diff(time))) / 24
    model = batman.TransitModel(parameters, time / 24, supersample_factor=7 + int(10_000 * step), exp_time=step)
    curves = []
    for one in depth:
        parameters.rp = math.sqrt(one)
        curves.append(model.light_curve(parameters))
    return np.stack(curves, 1)


def visit(
    seed: int,
    time: Array,
    depth: Sequence[float] = (DEPTH,),
    sigma: float = 2e-4,
    trend: Array | float = 0.0,
    wavelength: Array | float = 1.4,
    name: str = "visit",
    instrument: str = "",
    bjd0: float | None = None,
    regressors: dict[str, Array] | None = None,
    **geometry: Any,
) -> Observation:
    """A visit with white noise ``sigma`` and a ``trend`` (T,) or (T, C); ``geometry`` of :func:`transit`."""
    flux = transit(time, depth, **geometry) * (1 + np.reshape(np.broadcast_to(trend, len(time)), (-1, 1)))
    flux = flux * (1 + sigma * np.random.default_rng(seed).standard_normal(flux.shape))
    return Observation.of(
        name,
        time,
        flux,
        np.full_like(flux, sigma),
        wavelength,
        instrument=instrument,
        bjd0=bjd0,
        regressors=regressors,
    )


def hst_times(orbits: int = 5) -> Array:
    """Times of exposures in orbits of 96 minutes, of which 45 see the star."""
    return np.concatenate([np.arange(0, 0.75, 0.05) + 1.6 * number for number in range(orbits)])
