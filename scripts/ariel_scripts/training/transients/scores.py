"""How well objects are found: average precision, and F1 at thresholds that were chosen elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def average_precision(truth: Mask, probability: Array) -> float:
    """Area under precision over recall as a step function; objects of one probability are one step. NaN without a
    positive object."""
    order = np.argsort(-probability, kind="stable")
    found, last = np.cumsum(truth[order]), np.flatnonzero(np.append(np.diff(probability[order]) != 0, True))
    if not found[-1]:
        return float("nan")
    recall, precision = found[last] / found[-1], found[last] / (last + 1)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def f1_score(truth: Mask, chosen: Mask) -> float:
    """2 TP / (2 TP + FP + FN); 0 where nothing is found."""
    both = int((truth & chosen).sum())
    return 2.0 * both / max(int(truth.sum() + chosen.sum()), 1)


def best_threshold(truth: Mask, probability: Array) -> float:
    """The threshold (objects at or above are chosen) of the highest F1, half way to the next object below."""
    order = np.argsort(-probability, kind="stable")
    ordered, found = probability[order], np.cumsum(truth[order])
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    f1 = 2.0 * found[last] / (last + 1 + found[-1])
    place = int(np.argmax(f1))
    below = ordered[last[place + 1]] if place + 1 < len(last) else 0.0
    return float((ordered[last[place]] + below) / 2)


def out_of_fold_scores(truth: Mask, probability: Array, fold: NDArray[np.int64]) -> dict[str, float]:
    """Scores of out-of-fold probabilities (object,).

    ``f1``, ``precision`` and ``recall`` are at thresholds that the other folds choose, one for each fold, and not there
    where there is no other; ``f1_optimistic`` is at the one that these objects themselves choose, which leaderboard
    logs quote.
    """
    threshold = best_threshold(truth, probability)
    scores = {
        "objects": len(truth),
        "positives": int(truth.sum()),
        "average_precision": average_precision(truth, probability),
        "f1_optimistic": f1_score(truth, probability >= threshold),
        "threshold": threshold,
    }
    folds = np.unique(fold)
    if len(folds) < 2:
        return scores
    chosen = np.zeros(len(truth), bool)
    for one in folds:
        held = fold == one
        chosen[held] = probability[held] >= best_threshold(truth[~held], probability[~held])
    both = int((truth & chosen).sum())
    nested = {
        "f1": f1_score(truth, chosen),
        "precision": both / max(int(chosen.sum()), 1),
        "recall": both / max(int(truth.sum()), 1),
    }
    return scores | nested
