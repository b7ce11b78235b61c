"""Small tables of features, of which the truth is known, and searches that are quick to train."""

from __future__ import annotations

import numpy as np

from ariel_scripts.transients.boosters import BoosterSettings
from ariel_scripts.transients.search import Objects, SearchSettings

FAST = BoosterSettings(trees=30, depth=3, rate=0.15)
QUICK = SearchSettings((FAST,), counts=(4,), folds=3, seeds=1)


def objects(count: int = 400, signal: float = 2.0, seed: int = 0) -> Objects:
    """A tenth are of class 1; of eight features, at three draws, the third tells the class by `signal` σ."""
    rng = np.random.default_rng(seed)
    target = (np.arange(count) % 10 == 0).astype(np.int64)
    values = rng.standard_normal((count, 3, 8)).astype(np.float32)
    values[:, :, 2] = (signal * target + rng.standard_normal(count))[:, None]
    values[rng.random(values.shape) < 0.05] = np.nan
    names = np.array([f"object_{place:04d}" for place in range(count)])
    features = tuple(f"family.feature_{place}" for place in range(8))
    return Objects(names, np.where(target == 1, "TDE", "AGN"), target, values, features, names)
