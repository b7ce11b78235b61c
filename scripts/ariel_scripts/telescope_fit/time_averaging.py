"""Noise of light curves over bins of time: does it average out as white noise does?

The scatter of means of N residuals is that of one over √N where they are independent (Pont, Zucker & Queloz 2006, MNRAS
373, 231). Here it is taken about the mean of the M bins with M - 1 in the denominator, so that no factor √(M / (M - 1))
(Winn et al. 2008, ApJ 683, 1076) is needed, and (M - 1) s² / σ² has the χ² distribution with M - 1 degrees of freedom:
for few bins its error is large and lopsided (Cubillos et al. 2017, AJ 153, 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from modeling_ariel.any_telescope.observation import Array

FEWEST_BINS = 4
_SIZES = 40  # of an Allan plot
_NEAR = 8  # sizes about ingress
_GAP = 5.0  # usual steps without data, over which no bin reaches
_ONE_SIGMA = (0.158655, 0.841345)


@dataclass(frozen=True, eq=False)
class Averaged:
    """For K bin sizes: ``size`` [points], ``length`` [h], ``bins`` there are, ``rms`` of their means with its 68 %
    interval ``low`` to ``high``, ``white``: what the scatter of single points over √size is, and where 68 % of rms lie
    if that is all, ``white_low`` to ``white_high``; each (K,).
    """

    size: NDArray[np.int64]
    length: Array
    bins: NDArray[np.int64]
    rms: Array
    low: Array
    high: Array
    white: Array
    white_low: Array
    white_high: Array


def averaged(residual: Array, time: Array) -> Averaged:
    """Scatter of binned residuals (T,) at ``time`` (T,) [h], NaN where there is none."""
    stretches = _stretches(residual, time)
    longest = max((len(one) for one in stretches), default=1)
    size, bins, rms = _scatters(stretches, np.unique(np.round(np.geomspace(1, longest, _SIZES)).astype(np.int64)))
    white = rms[:1] / np.sqrt(size) if len(size) else rms
    freedom = np.maximum(bins - 1, 1)
    few, many = (np.sqrt(chi2.ppf(level, freedom) / freedom) for level in _ONE_SIGMA)
    step = float(np.median(np.diff(time)))
    return Averaged(
        size, np.asarray(size * step, np.float64), bins, rms, rms / many, rms / few, white, white * few, white * many
    )


def beta(residual: Array, time: Array, length: float) -> tuple[float, float]:
    """How many times the noise of bins of about a ``length`` [h] is that of white noise, and its standard error.

    The mean over bins of half to twice the length, which stands for ingress and egress (Winn et al. 2008); both NaN
    where there are too few of them.
    """
    step = float(np.median(np.diff(time)))
    smallest, largest = max(0.5 * length / step, 2.0), max(2.0 * length / step, 3.0)
    near = np.unique(np.linspace(np.ceil(smallest), np.floor(largest), _NEAR).astype(np.int64))
    size, bins, rms = _scatters(_stretches(residual, time), np.r_[1, near])
    if len(size) < 2 or size[0] != 1:
        return math.nan, math.nan
    ratio = float((rms[1:] * np.sqrt(size[1:])).mean() / rms[0])
    return ratio, ratio / math.sqrt(2.0 * (float(np.median(bins[1:])) - 1.0))


def _scatters(stretches: list[Array], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Those of the ``sizes`` with enough bins, how many there are, and the scatter of their means."""
    found = [(int(size), _means(stretches, int(size))) for size in sizes]
    found = [(size, means) for size, means in found if len(means) >= FEWEST_BINS]
    rms = np.array([float(means.std(ddof=1)) for _, means in found])
    return np.array([size for size, _ in found], np.int64), np.array([len(one) for _, one in found], np.int64), rms


def _stretches(residual: Array, time: Array) -> list[Array]:
    """Residuals between gaps, without missing ones."""
    known = np.isfinite(residual)
    if known.sum() < 2:
        return []
    steps = np.diff(time[known])
    return np.split(residual[known], np.flatnonzero(steps > _GAP * np.median(steps)) + 1)


def _means(stretches: list[Array], size: int) -> Array:
    """Means of ``size`` neighbours; a rest at a stretch's end is left out."""
    parts = [one[: len(one) // size * size].reshape(-1, size).mean(1) for one in stretches]
    return np.concatenate(parts) if parts else np.empty(0)
