"""The challenge's scores and the diagnostics of predicted spectra, in float64 NumPy.

The score is the log-likelihood of the truths under independent normals, between a reference that knows only the
training mean and spread (0) and an ideal one with the truths and a tiny sigma (1). 2024: sums over all planets and
channels alike, as the official metric of the NeurIPS Ariel Data Challenge 2024. 2025: the ratio of every element,
averaged with a heavy weight on FGS1. Both are clipped to 0 ... 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri  # the inverse of the normal distribution

Array = NDArray[np.float64]

REFERENCE_2024 = (0.0025517146, 0.0017261974)  # mean and sigma of all training truths of 2024
IDEAL_SIGMA_2024 = 1e-5
IDEAL_SIGMA_FGS1_2025, IDEAL_SIGMA_AIRS_2025 = 1e-6, 1e-5
FGS1_WEIGHT_2025 = 57.846
SIGMA_FLOOR = 1e-15
_LOG_2PI = float(np.log(2.0 * np.pi))

# Where the molecules that the challenge simulates absorb within AIRS-CH0 (HITRAN bands; Tinetti et al. 2018) [um].
BANDS: dict[str, tuple[float, float]] = {
    "FGS1": (0.0, 1.0),
    "CO2 2.0": (1.95, 2.10),
    "CH4 2.3": (2.15, 2.45),
    "H2O 2.7": (2.50, 2.90),
    "NH3 3.0": (2.90, 3.10),
    "CH4 3.3": (3.15, 3.50),
    "continuum 3.7": (3.55, 3.90),
}


class ScoreError(ValueError):
    """Predictions that cannot be scored."""


def check_predictions(truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> tuple[Array, Array, Array]:
    """Truth, mean and sigma (planet, channel) as float64, with sigma floored; ScoreError if they are invalid."""
    y, m, s = (np.asarray(a, dtype=np.float64) for a in (truth, mu, sigma))
    if y.ndim != 2 or m.shape != y.shape or s.shape != y.shape:
        raise ScoreError(f"expected mu and sigma with the truth's shape {y.shape}, found {m.shape} and {s.shape}")
    for name, array in (("truth", y), ("mu", m), ("sigma", s)):
        if not np.isfinite(array).all():
            row, channel = np.argwhere(~np.isfinite(array))[0]
            raise ScoreError(
                f"{name}: expected finite values, found {array[row, channel]} at row {row}, channel {channel}"
            )
        if array.size and array.min() < 0:
            row, channel = np.argwhere(array < 0)[0]
            raise ScoreError(
                f"{name}: expected no negatives, found {array[row, channel]} at row {row}, channel {channel}"
            )
    return y, m, np.maximum(s, SIGMA_FLOOR)


def log_likelihood(y: Array, mu: Array | float, sigma: Array | float) -> Array:
    """log N(y; mu, sigma), elementwise."""
    return -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * _LOG_2PI


def score_2024(
    truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike, reference: tuple[float, float] = REFERENCE_2024
) -> float:
    """Score of 2024; ``reference`` is the mean and sigma of all training truths."""
    y, m, s = check_predictions(truth, mu, sigma)
    found, naive = log_likelihood(y, m, s).sum(), log_likelihood(y, *reference).sum()
    ideal = log_likelihood(y, y, IDEAL_SIGMA_2024).sum()
    return float(np.clip((found - naive) / (ideal - naive), 0.0, 1.0))


def score_2025(
    truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike, reference: tuple[float, float] = REFERENCE_2024
) -> float:
    """Score of 2025: ratios of elements, averaged with weight 57.846 on channel 0 (FGS1) and 1 on the others."""
    y, m, s = check_predictions(truth, mu, sigma)
    ideal_sigma = np.full(y.shape[1], IDEAL_SIGMA_AIRS_2025)
    ideal_sigma[0] = IDEAL_SIGMA_FGS1_2025
    naive = log_likelihood(y, *reference)
    ratio = (log_likelihood(y, m, s) - naive) / (log_likelihood(y, y, ideal_sigma) - naive)
    weights = np.ones(y.shape[1])
    weights[0] = FGS1_WEIGHT_2025
    return float(np.clip(np.average(ratio, weights=np.broadcast_to(weights, y.shape)), 0.0, 1.0))


SCORES = {"2024": score_2024, "2025": score_2025}


def z_scores(truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> Array:
    """(mu - truth) / sigma (planet, channel)."""
    y, m, s = check_predictions(truth, mu, sigma)
    return (m - y) / s


def coverage(truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike, level: float = 0.9) -> float:
    """Fraction of truths within the central interval of probability ``level``."""
    return float((np.abs(z_scores(truth, mu, sigma)) <= ndtri(0.5 + level / 2.0)).mean())


def coverages(truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike, levels: Iterable[float]) -> dict[str, float]:
    """Coverage at each level, under the names `coverage_68`, `coverage_99.7`, …"""
    return {f"coverage_{100 * level:.6g}": coverage(truth, mu, sigma, level) for level in levels}


def rmse(truth: ArrayLike, mu: ArrayLike) -> float:
    """Root mean square error over planets and channels."""
    y, m, _ = check_predictions(truth, mu, np.ones_like(np.asarray(mu, dtype=np.float64)))
    return float(np.sqrt(((m - y) ** 2).mean()))


def mean_absolute_error(truth: ArrayLike, mu: ArrayLike) -> float:
    """Mean absolute error over planets and channels."""
    y, m, _ = check_predictions(truth, mu, np.ones_like(np.asarray(mu, dtype=np.float64)))
    return float(np.abs(m - y).mean())


def mean_log_likelihood(truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike) -> float:
    """Mean of log N(truth; mu, sigma) over planets and channels, without reference or ideal."""
    return float(log_likelihood(*check_predictions(truth, mu, sigma)).mean())


def band_table(
    truth: ArrayLike,
    mu: ArrayLike,
    sigma: ArrayLike,
    wavelength: ArrayLike,
    bands: Mapping[str, tuple[float, float]] = BANDS,
    levels: Iterable[float] = (),
) -> dict[str, dict[str, float]]:
    """Errors [ppm], log-likelihood, coverage at 90 % and at ``levels``, spread of z of each band that holds channels.

    wavelength (C,) [um].
    """
    y, m, s = check_predictions(truth, mu, sigma)
    lam = np.asarray(wavelength, dtype=np.float64)
    if lam.shape != y.shape[1:]:
        raise ScoreError(f"wavelength: expected {y.shape[1]} channels, found shape {lam.shape}")
    table = {}
    for name, (low, high) in bands.items():
        inside = (lam >= low) & (lam < high)
        if not inside.any():
            continue
        part = (y[:, inside], m[:, inside], s[:, inside])
        table[name] = {
            "channels": int(inside.sum()),
            "rmse_ppm": 1e6 * rmse(*part[:2]),
            "mae_ppm": 1e6 * mean_absolute_error(*part[:2]),
            "bias_ppm": 1e6 * float((part[1] - part[0]).mean()),
            "log_likelihood": mean_log_likelihood(*part),
            "coverage_90": coverage(*part),
            **coverages(*part, levels),
            "z_spread": float(np.sqrt((z_scores(*part) ** 2).mean())),
        }
    return table


def align(
    truth: Mapping[int, ArrayLike], planets: Iterable[int], mu: ArrayLike, sigma: ArrayLike
) -> tuple[list[int], Array, Array, Array]:
    """Put predictions in the order of the truths: planets, y, mu, sigma. Missing or duplicate planets are errors."""
    found = [int(p) for p in planets]
    duplicates = sorted({p for p in found if found.count(p) > 1}) if len(set(found)) != len(found) else []
    if duplicates:
        raise ScoreError(f"expected one prediction a planet, found planets {duplicates[:5]} more than once")
    missing = sorted(set(map(int, truth)) - set(found))
    if missing:
        raise ScoreError(f"expected predictions for {len(truth)} planets, missing {len(missing)}: {missing[:5]}")
    place = {p: i for i, p in enumerate(found)}
    order = sorted(map(int, truth))
    rows = [place[p] for p in order]
    y = np.stack([np.asarray(truth[p], dtype=np.float64) for p in order])
    return order, *check_predictions(
        y, np.asarray(mu, dtype=np.float64)[rows], np.asarray(sigma, dtype=np.float64)[rows]
    )


def summary(
    truth: ArrayLike, mu: ArrayLike, sigma: ArrayLike, reference: tuple[float, float] = REFERENCE_2024
) -> dict[str, float]:
    """Both scores and the overall diagnostics."""
    z = z_scores(truth, mu, sigma)
    return {
        "score_2024": score_2024(truth, mu, sigma, reference),
        "score_2025": score_2025(truth, mu, sigma, reference),
        "log_likelihood": mean_log_likelihood(truth, mu, sigma),
        "rmse_ppm": 1e6 * rmse(truth, mu),
        "mae_ppm": 1e6 * mean_absolute_error(truth, mu),
        "coverage_50": coverage(truth, mu, sigma, 0.5),
        "coverage_90": coverage(truth, mu, sigma, 0.9),
        "z_mean": float(z.mean()),
        "z_spread": float(np.sqrt((z**2).mean())),
        "sigma_median_ppm": 1e6 * float(np.median(np.asarray(sigma))),
    }
