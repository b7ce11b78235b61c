"""Scores of a search for rare objects: F1, average precision, calibration, bootstrap; float64 NumPy.

`target` (object,) is 1 for what is searched, else 0; `probability` (object,) need not be calibrated for what ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Detection:
    """What a threshold finds."""

    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Interval:
    """A score with the 5th and 95th percentiles of its bootstrap."""

    value: float
    low: float
    high: float


def detection(target: NDArray[Any], chosen: NDArray[Any]) -> Detection:
    """F1, precision, recall of (object,) choices; precision 0 where nothing is chosen, recall 0 where nothing is."""
    target, chosen = np.asarray(target, bool), np.asarray(chosen, bool)
    hits = float((target & chosen).sum())
    found, there = float(chosen.sum()), float(target.sum())
    return Detection(2 * hits / max(found + there, 1.0), hits / max(found, 1.0), hits / max(there, 1.0))


def precision_recall(target: NDArray[Any], probability: Array) -> tuple[Array, Array, Array]:
    """(place,) recall, precision and probability, the greatest first; objects of one probability count together.

    Recall is NaN where nothing is of class 1.
    """
    target = np.asarray(target, np.float64)
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(target[order])
    last = np.r_[np.flatnonzero(np.diff(probability[order])), target.size - 1]
    recall = hits[last] / hits[-1] if hits[-1] else np.full(last.size, np.nan)
    return recall, hits[last] / (last + 1), probability[order][last]


def average_precision(target: NDArray[Any], probability: Array) -> float:
    """Mean precision over recalls, Σ (R_n − R_(n−1)) P_n; objects of one probability count together. NaN for no 1."""
    recall, precision, _ = precision_recall(target, probability)
    return float((np.diff(np.r_[0, recall]) * precision).sum())


def best_threshold(target: NDArray[Any], probability: Array, smooth: float = 0.0) -> float:
    """The threshold of greatest F1: an object is chosen whose probability is at least as great.

    smooth: width, in the log odds, of a Gaussian that softens each choice. The F1 of a hundred objects jumps with
    single ones, and its highest jump is luck. Halfway between neighbours where it is 0.
    """
    target = np.asarray(target, np.float64)
    if not target.sum():
        return 1.0
    odds = log_odds(probability)
    places = np.unique(odds)
    middles = np.r_[places[0] - 1, (places[1:] + places[:-1]) / 2]
    if smooth:
        soft = _normal((odds - middles[:, None]) / smooth)
    else:
        soft = (odds >= middles[:, None]).astype(np.float64)
    scores = 2 * (soft @ target) / (soft.sum(1) + target.sum())
    return float(1 / (1 + np.exp(-middles[scores.argmax()])))


def chosen_by_others(
    target: NDArray[Any], probability: Array, fold: Ints
) -> tuple[NDArray[np.bool_], tuple[float, ...]]:
    """(object,) whether each is chosen at the threshold that objects of the other folds have; those, in order of fold.

    ValueError where there is one fold alone.
    """
    folds = np.unique(fold)
    if folds.size < 2:
        raise ValueError(f"fold: expected two or more, found {folds.size}")
    target, chosen, thresholds = np.asarray(target), np.zeros(np.size(target), bool), []
    for one in folds:
        held = fold == one
        thresholds.append(best_threshold(target[~held], probability[~held]))
        chosen[held] = probability[held] >= thresholds[-1]
    return chosen, tuple(thresholds)


def _normal(x: Array) -> Array:
    """Cumulative normal distribution to 1e-4, by the logistic one (Bowling et al. 2009)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(0.07056 * x**3 + 1.5976 * x, -700, 700))))


def log_odds(probability: Array) -> Array:
    """log p / (1 − p), of probabilities from 1e-9 to 1 − 1e-9."""
    inside = np.clip(np.asarray(probability, np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def bootstrap(score: Callable[[Ints], float], target: NDArray[Any], draws: int = 1000, seed: int = 0) -> Interval:
    """A score of objects by their places, with the interval that other draws of objects give, class by class."""
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(np.asarray(target) == one) for one in (0, 1)]
    values = [score(np.concatenate([rng.choice(own, own.size) for own in places if own.size])) for _ in range(draws)]
    low, high = np.nanpercentile(values, [5, 95])
    return Interval(score(np.arange(np.asarray(target).size)), float(low), float(high))


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """(bin,) mean probability, share of 1 and number of objects; expected calibration error, Brier score."""

    mean: Array
    share: Array
    count: Ints
    error: float
    brier: float

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        curve = {"probability": self.mean.tolist(), "share": self.share.tolist(), "objects": self.count.tolist()}
        return curve | {"error": self.error, "brier": self.brier}


def calibration_curve(target: NDArray[Any], probability: Array, edges: Array | None = None) -> CalibrationCurve:
    """How often objects of a probability are what they are said to be, in ten bins or those of `edges`."""
    target, probability = np.asarray(target, np.float64), np.asarray(probability, np.float64)
    edges = np.linspace(0, 1, 11) if edges is None else edges
    which = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, edges.size - 2)
    count = np.bincount(which, minlength=edges.size - 1)
    full = count > 0
    mean, share = (np.bincount(which, one, edges.size - 1)[full] / count[full] for one in (probability, target))
    error = float((count[full] * np.abs(mean - share)).sum() / target.size)
    return CalibrationCurve(mean, share, count[full], error, float(((probability - target) ** 2).mean()))
