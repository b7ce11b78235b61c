"""What the report counts: scores and errors with intervals over planets, spectra's power and smoothness, penalties.

Arrays in, arrays out, float64. Channels of a planet err together, so every interval is a bootstrap over planets. Draws
of the same number of planets with the same seed are the same draws, so that two models can be compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modeling_ariel import scoring
from modeling_ariel.uncertainty import bootstrap_means, bounds, gaussian_half_width

Array = NDArray[np.float64]

N_DRAWS = 2000
LEVEL = 0.9  # of every interval of the report
PPM = 1e6
MEDIAN_OF_ABS = gaussian_half_width(0.5)  # of a unit normal


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


def estimate(per_planet: Array, statistic: Callable[[Array], Array], seed: int = 0) -> Estimate:
    """``statistic`` of the means (..., K) over planets of ``per_planet`` (P, K), and its bootstrap."""
    draws = statistic(bootstrap_means(per_planet, N_DRAWS, seed))
    low, high = bounds(draws, LEVEL)
    return Estimate(float(statistic(per_planet.mean(0))), float(low), float(high))


# --- scores --------------------------------------------------------------------------------------------------------


def score_terms(truth: Array, mu: Array, sigma: Array, year: str) -> Array:
    """What a planet adds to the two sums (P, 2) whose ratio, clipped to 0 ... 1, is the score of ``year``.

    2024: log-likelihoods over the reference's, of the prediction and of the ideal. 2025: a planet's weighted mean ratio
    of elements, and 1.
    """
    found = scoring.log_likelihood(truth, mu, np.maximum(sigma, scoring.SIGMA_FLOOR))
    reference = scoring.log_likelihood(truth, *scoring.REFERENCE_2024)
    if year == "2024":
        ideal = scoring.log_likelihood(truth, truth, scoring.IDEAL_SIGMA_2024)
        return np.stack([(found - reference).sum(1), (ideal - reference).sum(1)], 1)
    if year != "2025":
        raise ValueError(f"year: expected 2024 or 2025, found {year!r}")
    best = np.full(truth.shape[1], scoring.IDEAL_SIGMA_AIRS_2025)
    best[0] = scoring.IDEAL_SIGMA_FGS1_2025
    ratio = (found - reference) / (scoring.log_likelihood(truth, truth, best) - reference)
    weight = np.ones(truth.shape[1])
    weight[0] = scoring.FGS1_WEIGHT_2025
    return np.stack([ratio @ weight / weight.sum(), np.ones(len(truth))], 1)


def score(means: Array) -> Array:
    """Score (...) of means (..., 2) of `score_terms`."""
    return np.clip(means[..., 0] / means[..., 1], 0.0, 1.0)


def planet_scores(terms: Array) -> Array:
    """Score of each planet (P,) by itself; not clipped, as a lost planet pulls all others down."""
    return terms[:, 0] / terms[:, 1]


def lost(truth: Array, mu: Array, sigma: Array) -> Array:
    """Log-likelihood that every element (P, C) lacks of the ideal one, the truth with 10 ppm [nats]."""
    found = scoring.log_likelihood(truth, mu, np.maximum(sigma, scoring.SIGMA_FLOOR))
    return scoring.log_likelihood(truth, truth, scoring.IDEAL_SIGMA_2024) - found


def score_difference(first: Array, second: Array, seed: int = 0) -> tuple[Estimate, float]:
    """Score of ``second`` less that of ``first``, from their terms (P, 2) of the same planets, in pairs; the share of
    draws in which the second is better.
    """

    def difference(means: Array) -> Array:
        return score(means[..., 2:]) - score(means[..., :2])

    both = np.concatenate([first, second], 1)
    better = difference(bootstrap_means(both, N_DRAWS, seed)) > 0
    return estimate(both, difference, seed), float(better.mean())


# --- errors --------------------------------------------------------------------------------------------------------


def errors(truth: Array, mu: Array, sigma: Array, seed: int = 0) -> dict[str, Estimate]:
    """Errors [ppm], coverage of 50 and 90 % intervals, mean and spread of z over planets and channels (P, C)."""
    error = PPM * (mu - truth)
    z = (mu - truth) / np.maximum(sigma, scoring.SIGMA_FLOOR)
    squares = {"rmse_ppm": error**2, "sigma_ppm": (PPM * sigma) ** 2, "z_spread": z**2}
    means = {
        "bias_ppm": error,
        "coverage_50": np.abs(z) <= gaussian_half_width(0.5),
        "coverage_90": np.abs(z) <= gaussian_half_width(0.9),
        "z_mean": z,
    }
    names = [*squares, *means]
    per_planet = np.stack([values.mean(1) for values in (*squares.values(), *means.values())], 1)
    low, high = bounds(bootstrap_means(per_planet, N_DRAWS, seed), LEVEL)
    found = np.stack([per_planet.mean(0), low, high])  # a root keeps order: it can be taken of the ends
    found[:, : len(squares)] = np.sqrt(found[:, : len(squares)])
    return {name: Estimate(*map(float, found[:, place])) for place, name in enumerate(names)}


def median(values: Array) -> Array:
    """Median over planets of (P, ...), and the ends of its interval of LEVEL: (3, ...).

    The ends are order statistics (David and Nagaraja 2003, 7.1): right for independent planets of any distribution.
    """
    ordered = np.sort(values, axis=0)
    reach = gaussian_half_width(LEVEL) * 0.5 * np.sqrt(len(values))
    low = max(int(np.floor(0.5 * len(values) - reach)), 0)
    return np.stack([np.median(values, axis=0), ordered[low], ordered[len(values) - 1 - low]])


def summary(truth: Array, mu: Array, sigma: Array, seed: int = 0) -> dict[str, Estimate]:
    """Both scores, the errors, and those of the planet in the middle, which lost planets don't decide."""
    found = {f"score_{year}": estimate(score_terms(truth, mu, sigma, year), score, seed) for year in ("2024", "2025")}
    rmse, middle = planet_errors(truth, mu, sigma).rmse, PPM * np.median(sigma, 1)
    found |= {"median_rmse_ppm": Estimate(*median(rmse)), "median_sigma_ppm": Estimate(*median(middle))}
    return found | errors(truth, mu, sigma, seed)


def by_channel(values: Array, root: bool = False, seed: int = 0) -> Array:
    """Mean over planets of (P, C), or the root of it, and the interval's ends: (3, C)."""
    draws = bootstrap_means(values, N_DRAWS // 4, seed)
    low, high = bounds(draws, LEVEL)
    found = np.stack([values.mean(0), low, high])
    return np.sqrt(found) if root else found


@dataclass(frozen=True)
class PlanetErrors:
    """Of each planet, (P,): root mean square and mean error [ppm], spread of z, share of channels within 90 %."""

    rmse: Array
    bias: Array
    z_spread: Array
    coverage: Array


def planet_errors(truth: Array, mu: Array, sigma: Array) -> PlanetErrors:
    """Errors of each planet."""
    error = PPM * (mu - truth)
    z = (mu - truth) / np.maximum(sigma, scoring.SIGMA_FLOOR)
    inside = np.abs(z) <= gaussian_half_width(0.9)
    return PlanetErrors(np.sqrt((error**2).mean(1)), error.mean(1), np.sqrt((z**2).mean(1)), inside.mean(1))


# --- shapes --------------------------------------------------------------------------------------------------------


def power(values: Array) -> tuple[Array, Array]:
    """Frequencies (K,) [1/channel] above 0 and mean power (K,) [values^2] of rows (P, N).

    Mean and slope of each row are taken out and a Hann window is laid over it, as its ends do not meet; white noise of
    variance s^2 has power s^2 at every frequency.
    """
    size = values.shape[1]
    x = np.linspace(-1.0, 1.0, size)
    rest = values - values.mean(1, keepdims=True)
    rest = rest - np.outer(rest @ x / (x @ x), x)
    window = np.hanning(size + 2)[1:-1]
    found = np.abs(np.fft.rfft(rest * window, axis=1)) ** 2 / (window**2).sum()
    return np.asarray(np.fft.rfftfreq(size), np.float64)[1:], found.mean(0)[1:]


def roughness(values: Array) -> Array:
    """Scatter of neighbouring channels (P,), from the distance to the middle of both neighbours; white noise: its
    sigma, a smooth row: near 0.
    """
    bend = values[:, 1:-1] - 0.5 * (values[:, :-2] + values[:, 2:])
    return np.sqrt((bend**2).mean(1) / 1.5)


PENALTIES = {"cut_at_0": 0.0, "roughness": 1.5, "sigma_below_floor": 0.0}  # violated beyond; 1.5: noise of 1 sigma


def penalty_terms(mu: Array, sigma: Array, floor_ppm: float = 1.0) -> dict[str, Array]:
    """What each channel (P, C) adds to the PENALTIES of a planet: their means.

    ``cut_at_0`` is 1 where a depth below 0 was cut before it was written (or where it is exactly 0 otherwise).
    ``roughness``: square distance of an AIRS channel from the middle of its neighbours [sigma]; smooth spectra have
    less than 1, and channels scattered by their sigma 1.5. It has no value (NaN) for FGS1 and the two ends of AIRS,
    which lack a neighbour. ``sigma_below_floor``: square of what sigma lacks of the floor, as a fraction of it.
    """
    s = np.maximum(sigma, scoring.SIGMA_FLOOR)
    bend = np.full(mu.shape, np.nan)
    bend[:, 2:-1] = (mu[:, 2:-1] - 0.5 * (mu[:, 1:-2] + mu[:, 3:])) / s[:, 2:-1]
    return {
        "cut_at_0": (mu <= 0.0).astype(np.float64),
        "roughness": bend**2,
        "sigma_below_floor": np.maximum(1.0 - s * PPM / floor_ppm, 0.0) ** 2,
    }


# --- latents -------------------------------------------------------------------------------------------------------


def principal_components(values: Array, count: int = 2) -> tuple[Array, Array]:
    """Coordinates (P, count) along the directions of most variance of rows (P, D), and their shares (count,) of it.

    A direction's sign is that in which its largest weight is positive, so that the same rows give the same picture.
    """
    centred = values - values.mean(0)
    _, size, directions = np.linalg.svd(centred, full_matrices=False)
    count = min(count, len(size))
    kept = directions[:count]
    largest = np.abs(kept).argmax(1)
    signs = np.where(kept[np.arange(count), largest] < 0, -1.0, 1.0)
    total = max(float((size**2).sum()), np.finfo(float).tiny)
    return centred @ (kept * signs[:, None]).T, size[:count] ** 2 / total
