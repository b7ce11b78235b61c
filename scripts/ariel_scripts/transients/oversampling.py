"""More rows of the rare class, each between two of its objects: SMOTE (Chawla et al. 2002, JAIR 16, 321)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

NEIGHBOURS = 5
FARTHEST = 5.0  # standard deviations: features have long tails


def interpolated(values: Values, count: int, seed: int, draws: int = 1) -> Values:
    """(count, feature) rows, each on the line from one of `values` (row, feature) to one of its nearest neighbours.

    `draws` rows one after another are of one object; neighbours are of others. Distances are over the features that
    both rows have, in standard deviations. What the first row lacks the new one lacks; what only its neighbour lacks
    stays as it is.
    """
    rng = np.random.default_rng(seed)
    first = np.resize(rng.permutation(len(values)), count)
    near = neighbours(values, draws)[first, rng.integers(0, NEIGHBOURS, count)]
    step = rng.random((count, 1)).astype(np.float32) * (values[near] - values[first])
    return np.where(np.isfinite(step), values[first] + step, values[first])


def neighbours(values: Values, draws: int) -> NDArray[np.int64]:
    """(row, NEIGHBOURS) places of the nearest rows of other objects, again from the nearest where there are fewer."""
    known = np.isfinite(values)
    seen = np.maximum(known.sum(0), 1)
    filled = np.where(known, values, 0).astype(np.float64)
    offset = np.where(known, filled - filled.sum(0) / seen, 0)
    scaled = np.clip(offset / (np.sqrt((offset**2).sum(0) / seen) + 1e-12), -FARTHEST, FARTHEST)
    both = known.astype(np.float64)
    squares = scaled**2 @ both.T
    distance = (squares + squares.T - 2 * scaled @ scaled.T) / np.maximum(both @ both.T, 1)
    owner = np.arange(len(values)) // draws
    distance[owner[:, None] == owner] = np.inf
    found = np.argsort(distance, axis=1, kind="stable")[:, : max(len(values) - draws, 1)]
    return found[:, np.arange(NEIGHBOURS) % found.shape[1]]
