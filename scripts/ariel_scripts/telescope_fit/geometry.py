"""What a visit says of its transit's geometry: samples of its posterior, heard of the bound at b = 0 as it is.

The fit's posterior is a Gaussian of mid-time, b², ln speed and depths, before b² is kept from being negative. Samples
are drawn from it where b² is positive; where no table told b, its prior is flat in b and not in b².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ariel_scripts.telescope_fit.summary import PPM, shares
from modeling_ariel.any_telescope.fitting import VisitFit
from modeling_ariel.any_telescope.observation import HOURS, Array
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.light_curve_model import B2
from modeling_ariel.shared_parameters import Shared
from modeling_ariel.status import FITTED

_SAMPLES = 4_000
_GRID = 4_000


@dataclass(frozen=True, eq=False)
class Geometry:
    """Samples (N, 4) of mid-time [min] from the fit's, b, a / R* (or speed in R* / h), and white depth [ppm]."""

    names: tuple[str, ...]
    samples: Array

    def interval(self, place: int) -> tuple[float, float, float]:
        """Median, and how far it is down to 16 % and up to 84 %."""
        low, middle, high = np.quantile(self.samples[:, place], [0.1587, 0.5, 0.8413])
        return float(middle), float(middle - low), float(high - middle)


def speed_of_a(orbit: Orbit) -> float:
    """Speed at mid-transit [R* / h] of a planet at one stellar radius; NaN where the period is not known."""
    towards = 1.0 + orbit.e * math.sin(math.radians(orbit.omega))
    return 2.0 * math.pi / (HOURS * orbit.period) * towards / math.sqrt(1.0 - orbit.e**2)


def geometry(visit: VisitFit, orbit: Orbit, seed: int = 0) -> Geometry | None:
    """Samples of a visit's posterior; None of a visit without a fit."""
    fit = visit.fit
    if fit.status[0] not in FITTED:
        return None
    free = Shared.free(fit)
    scale = np.append(fit.prior_sigma[0, :3].numpy(), 1.0)
    share = shares(fit.covariance[0].numpy())
    cross = share @ free.cross_covariance[0, :, :3].numpy()
    covariance = np.empty((4, 4))
    covariance[:3, :3] = free.shared_covariance[0, :3, :3].numpy()
    covariance[3, :3] = covariance[:3, 3] = cross
    covariance[3, 3] = share @ free.covariance[0].numpy() @ share
    shared = (fit.prior_mean[0, :3] + fit.prior_sigma[0, :3] * free.shared[0, :3]).numpy()
    late = float((free.shared[0, 0] - fit.shared[0, 0]) * fit.prior_sigma[0, 0])
    mean = np.array([late, shared[B2], shared[2], share @ free.depth[0].numpy()])
    drawn = _sampled(mean, scale[:, None] * covariance * scale, bool(fit.table_known[0]), seed)
    unit = speed_of_a(orbit)
    known = math.isfinite(unit)
    speed = np.exp(drawn[:, 2]) / (unit if known else 1.0)
    names = ("mid-time, min", "b", "a/R*" if known else "speed, R*/h", "depth, ppm")
    return Geometry(names, np.stack([60.0 * drawn[:, 0], np.sqrt(drawn[:, 1]), speed, PPM * drawn[:, 3]], 1))


def _sampled(mean: Array, covariance: Array, told: bool, seed: int) -> Array:
    """Samples (N, 4) of a Gaussian whose second, b², is positive, with a prior flat in it or in its root.

    b² is drawn from its density on a grid of b; given it, the others are their regression on it.
    """
    rng = np.random.default_rng(seed)
    sigma = math.sqrt(covariance[B2, B2])
    grid = np.linspace(0.0, math.sqrt(max(mean[B2], 0.0) + 8.0 * sigma), _GRID)
    log_density = -0.5 * ((grid**2 - mean[B2]) / sigma) ** 2
    density = np.exp(log_density - log_density.max()) * (grid if told else 1.0)
    summed = np.cumsum(density) - 0.5 * density
    b2 = np.interp(rng.uniform(size=_SAMPLES) * summed[-1], summed, grid) ** 2
    others = [place for place in range(len(mean)) if place != B2]
    slope = covariance[others, B2] / covariance[B2, B2]
    left = covariance[np.ix_(others, others)] - np.outer(slope, covariance[others, B2])
    drawn = np.empty((_SAMPLES, len(mean)))
    drawn[:, B2] = b2
    noise = rng.multivariate_normal(np.zeros(len(others)), left, size=_SAMPLES, method="eigh")
    drawn[:, others] = mean[others] + slope * (b2[:, None] - mean[B2]) + noise
    return drawn
