"""What a survey like LSST sees of a source: when, in which band, with what error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_dataset.transients.bands import WAVELENGTHS
from hf_dataset.transients.schema import BANDS

Array = NDArray[np.float64]

START = 61_000.0  # MJD, in November 2025
YEAR = 365.25
# visits of a field in ten years (Ivezić et al. 2019, ApJ 873, 111, table 1), for the shares of the bands
VISITS = dict(zip(BANDS, (56, 80, 184, 184, 160, 160), strict=True))
# median depth of a visit, 5σ, of the baseline cadence (Bianco et al. 2022, ApJS 258, 1) [mag]
DEPTHS = dict(zip(BANDS, (23.5, 24.44, 23.98, 23.41, 22.77, 22.01), strict=True))
ZERO_POINT = 23.9  # AB magnitude of 1 µJy
SYSTEMATIC = 0.005  # mag, the design's limit on a visit's calibration (Ivezić et al. 2019, section 3.2)


@dataclass(frozen=True)
class Survey:
    """How a field is observed.

    In each of `seasons` years a field is seen for `shortest` to `longest` days, on `nights` nights on average, each in
    two bands half an hour apart. `depth_scatter` [mag]: of seeing and sky.
    """

    seasons: int = 6
    shortest: float = 150.0
    longest: float = 210.0
    nights: float = 13.0
    depth_scatter: float = 0.3


@dataclass(frozen=True, eq=False)
class Visits:
    """(measurement,) of each: time [d, MJD], band, its wavelength [Å], depth [µJy] at 5σ; ascending in time."""

    time: Array
    band: NDArray[np.str_]
    wavelength: Array
    depth: Array


def draw_visits(rng: np.random.Generator, survey: Survey) -> Visits:
    """The visits of one field."""
    phase = rng.uniform(0, YEAR)
    lengths = rng.uniform(survey.shortest, survey.longest, survey.seasons)
    season = np.repeat(np.arange(survey.seasons), rng.poisson(survey.nights, survey.seasons))
    first = START + phase + season * YEAR + lengths[season] * rng.random(season.size)
    time = np.stack([first, first + rng.uniform(0.015, 0.03, first.size)], axis=1).ravel().round(4)
    # the two greatest of log p + Gumbel noise are a draw of two without replacement
    share = np.log([VISITS[band] for band in BANDS])
    which = np.argsort(share + rng.gumbel(size=(first.size, len(BANDS))), axis=1)[:, -2:].ravel()
    order = np.argsort(time, kind="stable")
    which = which[order]
    scatter = survey.depth_scatter * rng.standard_normal(order.size)
    depth = 10 ** (-0.4 * (np.array([*DEPTHS.values()])[which] + scatter - ZERO_POINT))
    return Visits(time[order], np.array(list(BANDS))[which], np.array([*WAVELENGTHS.values()])[which], depth)


def flux_errors(light: Array, depth: Array) -> Array:
    """(measurement,) 1σ [µJy] of the flux of a source that shines with `light` [µJy], at depths [µJy] of 5σ.

    Ivezić et al. (2019), equation 5, with γ = 0.039: sky, photons of the source, calibration.
    """
    light = np.maximum(light, 0)
    calibration = SYSTEMATIC * np.log(10) / 2.5 * light
    return np.asarray(np.sqrt((0.04 - 0.039) * light * depth + 0.039 * depth**2 + calibration**2))
