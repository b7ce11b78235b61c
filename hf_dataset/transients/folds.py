"""Folds of objects: nothing but their names, classes and a seed decides, as in `hf_dataset.splits`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_dataset.splits import fraction_of


def stratified_folds(
    object_ids: Sequence[str],
    classes: Sequence[int] | Sequence[str],
    n_folds: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> NDArray[np.int64]:
    """(object,) the fold 0 … n_folds−1 in which each is held out; of every class each has as many, to within one.

    groups: (object,) names of what must stay together, such as siblings of one observed event; a group counts as the
    rarest of its classes. Objects, or groups, are dealt class by class in the order of the hashes of their names.
    ValueError where lengths differ or there are fewer groups than folds.
    """
    names = list(object_ids if groups is None else groups)
    if not len(names) == len(object_ids) == len(classes):
        raise ValueError(f"folds: expected as many classes and groups as objects, found {len(classes)}, {len(names)}")
    _, which, counts = np.unique(np.asarray(classes), return_inverse=True, return_counts=True)
    rarest: dict[str, int] = {}
    for name, one in zip(names, which.tolist(), strict=True):
        rarest[name] = min(rarest.get(name, one), one, key=lambda place: (counts[place], place))
    if not 1 <= n_folds <= max(len(rarest), 1):
        raise ValueError(f"n_folds: expected 1 … {len(rarest)} for {len(rarest)} groups, found {n_folds}")
    order = sorted(rarest, key=lambda name: (rarest[name], fraction_of(name, seed), name))
    fold = {name: place % n_folds for place, name in enumerate(order)}
    return np.array([fold[name] for name in names], np.int64)
