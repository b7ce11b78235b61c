"""Simulated visits of other telescopes as people have them: a table in CSV, and what is known of the planet.

The transit is exoplanet-core's, with the limb darkening of the simulator; the fit computes its own by another code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from engine.records import Array
from engine.telescope import Known
from hf_dataset.simulation.transits import exposure_averaged, limb_darkening

PERIOD, A, B, TEFF = 3.2, 8.0, 0.3, 5500.0
DAY0, MIDDLE = 2_459_743.0, 3.4  # BJD_TDB of hour 0, and hour of mid-transit
KNOWN = Known(period=PERIOD, a=A, b=B, t0=round(DAY0 + MIDDLE / 24.0, 5), teff=TEFF)
HST_ORBIT, HST_SEEN = 1.6, 0.75  # h that an orbit takes, and of it without the Earth in between
ELECTRONS = 2e7  # of the star in an exposure and channel


@dataclass(frozen=True)
class Visit:
    """``time`` (T,) [h] of exposures ``step`` long; ``wavelength`` (C,) [um]; ``depth`` (C,); ``trend`` (T,) of the
    star's light; relative ``noise`` of a point.
    """

    time: Array
    step: float
    wavelength: Array
    depth: Array
    trend: Array
    noise: float


def hubble() -> Visit:
    """WFC3 G141 in five orbits, with a hook in each and a slope; water at 1.4 um."""
    step = 0.05
    since = np.arange(0.0, HST_SEEN, step)
    time = (HST_ORBIT * np.arange(5)[:, None] + since).ravel()
    hook = -1.5e-3 * np.exp(-np.tile(since, 5) / 0.1) * np.where(time < HST_ORBIT, 2.0, 1.0)
    wavelength = np.linspace(1.14, 1.64, 11)
    depth = 0.0145 + 3e-4 * np.exp(-0.5 * ((wavelength - 1.4) / 0.07) ** 2)
    return Visit(time, step, wavelength, depth, hook - 4e-4 * (time - 3.0) / 3.0, 2.5e-4)


def webb() -> Visit:
    """NIRSpec's prism for seven hours, with a ramp at its beginning; water and CO2."""
    step = 0.025
    time = np.arange(0.0, 7.0, step)
    wavelength = np.geomspace(0.8, 5.0, 24)
    depth = np.full_like(wavelength, 0.0212)
    for at, width, size in ((1.4, 0.08, 2e-4), (1.9, 0.1, 2e-4), (2.7, 0.2, 4e-4), (4.35, 0.15, 8e-4)):
        depth += size * np.exp(-0.5 * ((wavelength - at) / width) ** 2)
    return Visit(time, step, wavelength, depth, 8e-4 * np.exp(-time / 0.5) - 1e-4 * (time - 3.5), 4e-4)


EXAMPLES: dict[str, tuple[str, Callable[[], Visit]]] = {  # name of the file → label and visit
    "hubble": ("Hubble, with hooks", hubble),
    "webb": ("Webb, with a ramp", webb),
}


def light_curves(visit: Visit) -> pd.DataFrame:
    """A row for each time and wavelength: bjd_tdb, wavelength_um, flux and flux_err [electrons]."""
    inclination = float(np.degrees(np.arccos(B / A)))
    u = limb_darkening(visit.wavelength, TEFF)
    flux = exposure_averaged(visit.time, visit.step, MIDDLE, PERIOD, A, inclination, visit.depth, u)
    flux *= ELECTRONS * (1.0 + visit.trend[:, None])
    flux *= 1.0 + visit.noise * np.random.default_rng(21).standard_normal(flux.shape)
    times, channels = flux.shape
    return pd.DataFrame(
        {
            "bjd_tdb": np.repeat((DAY0 + visit.time / 24.0).round(8), channels),
            "wavelength_um": np.tile(visit.wavelength.round(4), times),
            "flux": flux.ravel().round(0),
            "flux_err": ELECTRONS * visit.noise,
        }
    )


def write_example(name: str, folder: Path) -> Path:
    """One of EXAMPLES as a CSV in a folder."""
    path = folder / f"{name}.csv"
    light_curves(EXAMPLES[name][1]()).to_csv(path, index=False)
    return path
