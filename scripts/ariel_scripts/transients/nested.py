"""Honest scores: searches trained in outer folds, which judge objects that decided nothing about them.

Each outer fold keeps the inner folds' log odds too, so that ensembles of searches can be weighed, calibrated and given
a threshold inside the training objects, without training anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.transients.search import (
    SMOOTH,
    Array,
    Ints,
    Objects,
    SearchSettings,
    calibrate,
    train_search,
)
from hf_dataset.transients.folds import stratified_folds
from modeling_ariel.transients.detection_scores import (
    Interval,
    average_precision,
    best_threshold,
    bootstrap,
    calibration_curve,
    detection,
)
from modeling_ariel.transients.logistic import logistic

ADDED = 20  # members of a weighted mean, with repetitions
# (member, training object) log odds out of the inner folds, their targets, (member, judged object) log odds
# → both as one
Combine = Callable[[Array, Ints, Array], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class OuterFold:
    """One outer fold: places of its training and judged objects, log odds of both, the first out of inner folds."""

    repeat: int
    train: Ints
    judged: Ints
    inner: Array
    odds: Array


def nested_folds(
    objects: Objects,
    settings: SearchSettings,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> list[OuterFold]:
    """Train a search in each of `folds` outer folds, `repeats` times over other folds; `progress(1)` after each.

    Folds are stratified by class and keep the objects' groups together, the inner ones too.
    """
    found = []
    for repeat in range(repeats):
        for held, (train, judged) in enumerate(places_of(objects, folds, seed + repeat)):
            search, inner = train_search(objects.of(train), settings, seed + 100 * repeat + held)
            odds = search.odds(objects.values[judged, -1], objects.features)
            found.append(OuterFold(repeat, train, judged, inner, odds))
            if progress:
                progress(1)
    return found


def places_of(objects: Objects, folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Places of the objects that each fold trains on and judges, stratified by class, groups together."""
    fold = stratified_folds(objects.name.tolist(), objects.target.tolist(), folds, seed, objects.group.tolist())
    return [(np.flatnonzero(fold != held), np.flatnonzero(fold == held)) for held in range(folds)]


# --- ensembles -----------------------------------------------------------------------------------------------------


def _calibrated(inner: Array, target: Ints, odds: Array) -> tuple[Array, Array]:
    """Both log odds, each member's calibrated."""
    each = [calibrate(one, target) for one in inner]
    offset, slope = (np.array([getattr(one, name) for one in each])[:, None] for name in ("offset", "slope"))
    return offset + slope * inner, offset + slope * odds


def averaged(inner: Array, target: Ints, odds: Array) -> tuple[Array, Array]:
    """Means of the members' log odds, each calibrated before."""
    first, second = _calibrated(inner, target, odds)
    return first.mean(0), second.mean(0)


def ranked(inner: Array, target: Ints, odds: Array) -> tuple[Array, Array]:
    """Means of the members' ranks among the training objects, as log odds of a share."""
    del target
    size = inner.shape[1]
    shares = [
        np.mean([np.searchsorted(np.sort(own), row) for own, row in zip(inner, rows, strict=True)], axis=0)
        for rows in (inner, odds)
    ]
    first, second = (np.log((one + 0.5) / (size + 0.5 - one)) for one in shares)
    return np.asarray(first), np.asarray(second)


def stacked(inner: Array, target: Ints, odds: Array) -> tuple[Array, Array]:
    """A logistic regression on the members' standardised log odds, with a ridge of 1."""
    return _regressed(inner, target, odds, np.arange(target.size))


def blended(inner: Array, target: Ints, odds: Array) -> tuple[Array, Array]:
    """As `stacked`, regressed on every fourth object of each class alone, as where a part is held out for it."""
    part = np.concatenate([np.flatnonzero(target == one)[::4] for one in (0, 1)])
    return _regressed(inner, target, odds, part)


def _regressed(inner: Array, target: Ints, odds: Array, on: Ints) -> tuple[Array, Array]:
    mean, spread = inner.mean(1, keepdims=True), inner.std(1, keepdims=True) + 1e-9
    first, second = (np.vstack([np.ones(one.shape[1]), (one - mean) / spread]).T for one in (inner, odds))
    at = logistic(first[on], target[on], np.r_[1e-4, np.ones(len(inner))])
    return first @ at, second @ at


def weighted(inner: Array, target: Ints, odds: Array) -> tuple[Array, Array]:
    """Weighted means of the members' calibrated log odds.

    Members are added one by one, the same again too, each time the one that lifts the average precision most (ensemble
    selection, Caruana et al. 2004).
    """
    first, second = _calibrated(inner, target, odds)
    counts = np.zeros(len(inner))
    for _ in range(ADDED):
        trials = counts @ first + first  # (member, object), with one more of each
        counts[int(np.argmax([average_precision(target, one) for one in trials]))] += 1
    return counts @ first / ADDED, counts @ second / ADDED


COMBINATIONS: dict[str, Combine] = {
    "average": averaged,
    "ranks": ranked,
    "stacking": stacked,
    "blending": blended,
    "weighted": weighted,
}


def combined(members: Sequence[Sequence[OuterFold]], target: Ints, how: str) -> list[OuterFold]:
    """Outer folds of an ensemble of searches that were judged on the same folds; ValueError where they were not."""
    found = []
    for own in zip(*members, strict=True):
        if any(not np.array_equal(one.judged, own[0].judged) for one in own):
            raise ValueError("combined: expected searches judged on the same folds, found others")
        inner, odds = np.stack([one.inner for one in own]), np.stack([one.odds for one in own])
        both = COMBINATIONS[how](inner, target[own[0].train], odds)
        found.append(OuterFold(own[0].repeat, own[0].train, own[0].judged, *both))
    return found


# --- scores --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Judged:
    """What outer folds say: (repeat, object) probabilities, and whether each is chosen at its fold's threshold."""

    target: Ints
    probability: Array
    chosen: NDArray[np.bool_]


def judge(folds: Sequence[OuterFold], target: Ints) -> Judged:
    """Calibrate and set the threshold on each fold's inner log odds, and apply both to its judged objects."""
    repeats = 1 + max(one.repeat for one in folds)
    probability = np.full((repeats, target.size), np.nan)
    chosen = np.zeros((repeats, target.size), bool)
    for one in folds:
        calibration = calibrate(one.inner, target[one.train])
        threshold = best_threshold(target[one.train], calibration(one.inner), SMOOTH)
        probability[one.repeat, one.judged] = calibration(one.odds)
        chosen[one.repeat, one.judged] = calibration(one.odds) >= threshold
    return Judged(target, probability, chosen)


def scores(judged: Judged, draws: int = 500) -> dict[str, Any]:
    """F1, average precision, precision, recall with intervals, calibration; `optimistic F1` beside the honest one.

    Means over repeats. Intervals are of other draws of the objects, 5th to 95th percentile. The optimistic F1 has the
    threshold of the judged objects themselves, as leaderboards' logs quote it.
    """
    found: dict[str, Any] = {
        name: vars(bootstrap(partial(_mean_detection, judged, name), judged.target, draws))
        for name in ("f1", "precision", "recall")
    }
    found["average precision"] = vars(bootstrap(partial(_mean_precision, judged), judged.target, draws))
    found["optimistic F1"] = float(np.mean([_optimistic(judged.target, one) for one in judged.probability]))
    curve = calibration_curve(np.tile(judged.target, len(judged.probability)), judged.probability.ravel())
    found["calibration"] = curve.record()
    found["by repeat"] = [detection(judged.target, one).f1 for one in judged.chosen]
    return found


def _mean_detection(judged: Judged, name: str, places: Ints) -> float:
    own = [getattr(detection(judged.target[places], one[places]), name) for one in judged.chosen]
    return float(np.mean(own))


def _mean_precision(judged: Judged, places: Ints) -> float:
    return float(np.mean([average_precision(judged.target[places], one[places]) for one in judged.probability]))


def _optimistic(target: Ints, probability: Array) -> float:
    return detection(target, probability >= best_threshold(target, probability)).f1


def as_text(interval: Interval | dict[str, float]) -> str:
    """`0.65 (0.60–0.70)`."""
    own = interval if isinstance(interval, dict) else vars(interval)
    return f"{own['value']:.3f} ({own['low']:.2f}–{own['high']:.2f})"
