"""Which objects a fold trains on, validates on and holds out, every class alike in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_dataset.transients.folds import stratified_folds

Places = NDArray[np.int64]
_VALIDATION = 1_000_000  # apart from the seeds of folds


@dataclass(frozen=True)
class TransientFold:
    """Places of the objects of one fold; ``number`` None where nothing is held out."""

    number: int | None
    train: Places
    validation: Places
    test: Places

    @property
    def name(self) -> str:
        """Of its folder and in reports."""
        return "all" if self.number is None else f"fold-{self.number}"


def make_folds(
    names: Sequence[str], classes: Sequence[str], folds: int, chosen: str, validation: float, seed: int
) -> list[TransientFold]:
    """The dataset's own folds (:func:`stratified_folds`), and within each a stratified part to validate on.

    Args:
        names, classes: of the objects; classes are what is stratified by.
        folds: how many; 0 holds nothing out.
        chosen: "all" or the number of one.
        validation: share of the others that is validated on.
        seed: of the folds.
    """
    if not 0.0 < validation <= 0.5:
        raise ValueError(f"validation: expected a share of 0 to 0.5, found {validation}")
    if folds == 1 or (folds == 0 and chosen != "all"):
        raise ValueError(f"folds: expected 2 or more, or 0 to hold nothing out, found {folds} and fold {chosen}")
    if chosen != "all" and not (chosen.isdigit() and int(chosen) < folds):
        raise ValueError(f"fold: expected all or 0 to {folds - 1}, found {chosen!r}")
    everything = np.arange(len(names))
    if folds == 0:
        return [_fold(None, everything, everything[:0], names, classes, validation, seed)]
    own = stratified_folds(names, list(classes), folds, seed)
    wanted = range(folds) if chosen == "all" else [int(chosen)]
    return [
        _fold(k, np.flatnonzero(own != k), np.flatnonzero(own == k), names, classes, validation, seed) for k in wanted
    ]


def _fold(
    number: int | None,
    pool: Places,
    test: Places,
    names: Sequence[str],
    classes: Sequence[str],
    validation: float,
    seed: int,
) -> TransientFold:
    parts = max(round(1 / validation), 2)
    inner = stratified_folds([names[k] for k in pool], [classes[k] for k in pool], parts, _VALIDATION + seed)
    return TransientFold(number, pool[inner != 0], pool[inner == 0], test)
