"""Whether error bars hold what they promise, said only where it is proven: by band, and planet by planet.

A planet's channels err together, so that planets are what is counted. The share of truths inside has the interval of
Korn & Graubard (1998, Survey Methodology 24, 193): Clopper and Pearson's, with as many trials as the scatter between
planets says there are. A quantile has that of Woodruff (1952, JASA 47, 635): the share's, read off the other axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ariel_scripts.prediction.reliability import molecular_bands
from ariel_scripts.report.statistics import LEVEL, PPM, Array, Estimate
from modeling_ariel.scoring import SIGMA_FLOOR
from modeling_ariel.uncertainty import gaussian_half_width

STATED = 0.9  # of the intervals that are judged
FALSE_CALLS = 0.05  # how often honest error bars are called otherwise: of all channels, and of any band
FACTOR = 1.2  # on sigma: from 1/1.2 to 1.2 it is good
FEWEST = 5  # planets that anything is said of
TRIALS = 4  # that a planet counts for at most, as few planets can hardly say how alike its channels err
NARROW, WIDE, GOOD, UNKNOWN = "too narrow", "too wide", "good", "cannot be told"
FENCES = 3.0  # interquartile ranges beyond the quartiles: Tukey's outer fences (1977, Exploratory Data Analysis)
COMMON = 0.25  # of the planets: what alarms more of them says something of the model, not of planets


def share_interval(size: Array, half: float, level: float) -> tuple[float, float]:
    """Ends of the interval of ``level`` of the share of |z| (P, C) within ``half``.

    Few planets can hardly say how rare misses scatter among them. Trials are thus no more than the scatter of the
    commonest says, of |z| within its own median, and no more than TRIALS a planet.
    """
    planets, channels = size.shape
    if planets < 2:
        return 0.0, 1.0
    tail = 0.5 - 0.5 * level
    share = (size <= half).mean(1)
    trials = min(_trials(share), _trials((size <= np.median(size)).mean(1)))
    if channels > 1:  # the scatter itself is known from so many planets only
        trials *= (stats.t.isf(tail, size.size - 1) / stats.t.isf(tail, planets - 1)) ** 2
    mean, trials = float(share.mean()), min(trials, float(planets * min(channels, TRIALS)))
    inside = mean * trials
    low = 0.0 if mean == 0.0 else float(stats.beta.ppf(tail, inside, trials - inside + 1.0))
    high = 1.0 if mean == 1.0 else float(stats.beta.isf(tail, inside + 1.0, trials - inside))
    return low, high


def _trials(share: Array) -> float:
    """How many independent ones have a mean that scatters as that of planets' shares (P,)."""
    mean, scatter = float(share.mean()), float(share.var(ddof=1)) / len(share)
    return mean * (1.0 - mean) / scatter if scatter > 0.0 else float(len(share))


def factor_of(z: Array, level: float = LEVEL) -> Estimate:
    """What sigma is to be multiplied by for STATED of the truths to lie inside, from z (P, C), with its interval."""
    size, half = np.abs(z), gaussian_half_width(STATED)
    at = float(np.quantile(size, STATED))
    low, high = share_interval(size, at, level)
    return Estimate(*(float(np.quantile(size, share)) / half for share in (STATED, low, high)))


@dataclass(frozen=True)
class Judgement:
    """Of some ``channels``: the share of truths ``inside`` intervals of 90 %, the ``factor`` that sigma lacks, and the
    ``verdict``: NARROW, WIDE, GOOD or UNKNOWN.
    """

    name: str
    channels: int
    inside: Estimate
    factor: Estimate
    verdict: str


def judge(name: str, z: Array, calls: int = 1) -> Judgement:
    """Judge z (P, C), one of so many ``calls``.

    Too narrow or too wide: proven, with FALSE_CALLS shared out among the calls. Good: the interval of 90 % holds no
    sigma that is wrong by FACTOR.
    """
    size, half = np.abs(z), gaussian_half_width(STATED)
    low, high = share_interval(size, half, LEVEL)
    surely = share_interval(size, half, 1.0 - FALSE_CALLS / calls)
    least, most = (float(2.0 * stats.norm.cdf(half * f) - 1.0) for f in (1.0 / FACTOR, FACTOR))
    verdict = UNKNOWN
    if len(z) >= FEWEST:
        if surely[1] < STATED:
            verdict = NARROW
        elif surely[0] > STATED:
            verdict = WIDE
        elif least < low and high < most:
            verdict = GOOD
    return Judgement(name, z.shape[1], Estimate(float((size <= half).mean()), low, high), factor_of(z), verdict)


def judge_bands(truth: Array, mu: Array, sigma: Array, wavelength: Array) -> list[Judgement]:
    """All channels, "", judged by themselves, and then each band that has any, one of so many calls."""
    z = z_of(truth, mu, sigma)
    bands = molecular_bands(wavelength)
    return [judge("", z), *(judge(name, z[:, inside], len(bands)) for name, inside in bands.items())]


def z_of(truth: Array, mu: Array, sigma: Array) -> Array:
    """(mu - truth) / sigma (P, C)."""
    return (mu - truth) / np.maximum(sigma, SIGMA_FLOOR)


# --- planets -------------------------------------------------------------------------------------------------------


def farthest_expected(planets: int) -> float:
    """Root mean square z that no one of so many planets with honest Gaussian errors exceeds, but for FALSE_CALLS.

    However its channels err together: beyond 1.24, one error common to all of them has the longest tail (Székely &
    Bakirov 2003, Probability Theory and Related Fields 126, 184).
    """
    return float(stats.norm.isf(0.5 * FALSE_CALLS / planets))


def entropy(sigma: Array) -> Array:
    """Mean differential entropy (P,) of the channels' Gaussians (P, C) [nats, depths in ppm]."""
    found: Array = np.log(PPM * np.maximum(sigma, SIGMA_FLOOR)).mean(1) + 0.5 * np.log(2.0 * np.pi * np.e)
    return found


def outlying(values: Array) -> NDArray[np.int_]:
    """-1 below the outer fence of (P,), 1 above it, else 0; all 0 where planets are few."""
    if len(values) < 2 * FEWEST:
        return np.zeros(len(values), int)
    first, third = np.quantile(values, [0.25, 0.75])
    reach = FENCES * (third - first)
    found: NDArray[np.int_] = (values > third + reach).astype(int) - (values < first - reach)
    return found


def common(alarms: Sequence[int], planets: int) -> bool:
    """Whether so many planets have one alarm that it says nothing of each."""
    return len(alarms) > max(COMMON * planets, FEWEST)
