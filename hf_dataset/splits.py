"""Splits by planet: a planet's visits are never in two of them, and nothing but its id and a seed decides.

The place of a planet comes from a hash of its id, so it does not change when other planets are added or removed, nor
with the number of workers, the order of files or the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def fraction_of(name: int | str, seed: int = 0) -> float:
    """A fixed number in [0, 1) for a planet's id or an object's name, uniform over them, another for another seed."""
    digest = hashlib.sha256(f"{seed}:{name if isinstance(name, str) else int(name)}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def fold_of(name: int | str, n_folds: int, seed: int = 0) -> int:
    """The fold 0 … n_folds−1 in which a planet or object is held out; folds are equal in size only on average."""
    if n_folds < 1:
        raise ValueError(f"n_folds: expected at least 1, found {n_folds}")
    return int(fraction_of(name, seed) * n_folds)


def is_validation(planet_id: int, fraction: float, seed: int = 0) -> bool:
    """Whether a training planet is held out for validation; a larger fraction keeps those of a smaller one."""
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction: expected 0 ≤ fraction < 1, found {fraction}")
    return fraction_of(planet_id, seed) < fraction


def grouped_folds(planet_ids: Iterable[int], n_folds: int, seed: int = 0) -> np.ndarray:
    """Folds (row,) int64 for rows of planets, repeated ids allowed: sizes differ by at most one planet.

    Planets are dealt in the order of their hashes, so the sizes are even but a planet's fold depends on which others
    there are; where it must not, use `fold_of`.
    """
    rows = np.asarray(list(planet_ids), np.int64)
    planets = np.unique(rows)
    if not 1 <= n_folds <= max(len(planets), 1):
        raise ValueError(f"n_folds: expected 1 … {len(planets)} for {len(planets)} planets, found {n_folds}")
    order = np.argsort([fraction_of(planet, seed) for planet in planets])
    fold = np.empty(len(planets), np.int64)
    fold[order] = np.arange(len(planets)) % n_folds
    return fold[np.searchsorted(planets, rows)]
