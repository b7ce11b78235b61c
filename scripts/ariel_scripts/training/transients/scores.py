"""Scores of probabilities out of fold: average precision, and F1 at thresholds that were chosen elsewhere."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from modeling_ariel.transients.detection_scores import average_precision, best_threshold, chosen_by_others, detection

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


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
        "f1_optimistic": detection(truth, probability >= threshold).f1,
        "threshold": threshold,
    }
    if len(np.unique(fold)) < 2:
        return scores
    return scores | asdict(detection(truth, chosen_by_others(truth, probability, fold)[0]))
