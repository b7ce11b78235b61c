"""Ensembles of predictions that are there: how they are combined is learned in folds that are not judged.

Each file's probabilities are out of fold; outer folds of their own decide weights, calibration and threshold in all but
one and judge that one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ariel_scripts.transients.nested import COMBINATIONS, Judged, OuterFold, combined, judge, scores
from ariel_scripts.transients.predicted import Predicted, read_predicted
from ariel_scripts.transients.search import SMOOTH, Array, Ints, calibrate
from hf_dataset.transients.folds import stratified_folds
from hf_dataset.words import number_of
from modeling_ariel.transients.detection_scores import best_threshold, log_odds

FOLDS = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Members:
    """Log odds (member, object) of the labelled objects that all files have, their names and targets (object,)."""

    name: NDArray[np.str_]
    target: Ints
    odds: Array

    def folds(self, repeats: int, seed: int) -> list[list[OuterFold]]:
        """Outer folds of each member."""
        found: list[list[OuterFold]] = [[] for _ in self.odds]
        for repeat in range(repeats):
            fold = stratified_folds(self.name.tolist(), self.target.tolist(), FOLDS, seed + repeat)
            for held in range(FOLDS):
                train, judged = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
                for own, odds in zip(found, self.odds, strict=True):
                    own.append(OuterFold(repeat, train, judged, odds[train], odds[judged]))
        return found


def read_members(paths: Sequence[Path], targets: Mapping[str, tuple[int, str]]) -> Members:
    """Predictions of several files; ValueError where there is one alone, or they share no labelled objects."""
    if len(paths) < 2:
        raise ValueError(f"predictions: expected two files or more, found {len(paths)}")
    found = [read_predicted(path) for path in paths]
    shared = sorted(set(targets).intersection(*(one.name.tolist() for one in found)))
    target = np.array([targets[name][0] for name in shared], np.int64)
    for path, one in zip(paths, found, strict=True):
        if lost := len(set(targets).intersection(one.name.tolist())) - len(shared):
            logger.warning("%s: %s left out, as another file lacks them", path, number_of(lost, "labelled object"))
    if lost := len(targets) - len(shared):
        logger.warning("%d of %s not judged: not in all files", lost, number_of(len(targets), "labelled object"))
    if np.bincount(target, minlength=2).min() < FOLDS:
        raise ValueError(
            f"predictions: expected {FOLDS} objects or more of each class that all files have, found "
            f"{int(target.sum())} TDEs of {len(shared)} objects"
        )
    return Members(np.array(shared), target, _stacked(found, shared))


def _stacked(found: Sequence[Predicted], names: Sequence[str]) -> Array:
    """(member, object) log odds."""
    rows = []
    for one in found:
        place = {name: row for row, name in enumerate(one.name.tolist())}
        rows.append(log_odds(one.probability[[place[name] for name in names]]))
    return np.stack(rows)


def judged_ensembles(members: Members, labels: Sequence[str], repeats: int, seed: int) -> dict[str, Judged]:
    """What each file and each combination of them is worth, by its name."""
    folds = members.folds(repeats, seed)
    found = {label: judge(own, members.target) for label, own in zip(labels, folds, strict=True)}
    return found | {how: judge(combined(folds, members.target, how), members.target) for how in COMBINATIONS}


def table_of(judged: Mapping[str, Judged]) -> dict[str, dict[str, Any]]:
    """Scores of each."""
    return {name: scores(one) for name, one in judged.items()}


def write_judged(members: Members, judged: Judged, seed: int, path: Path) -> None:
    """`predictions.parquet` of an ensemble, as of `finetune`: the first repeat's."""
    fold = stratified_folds(members.name.tolist(), members.target.tolist(), FOLDS, seed)
    columns = {"object_id": members.name, "fold": fold, "probability": judged.probability[0]}
    target = pa.array(members.target.astype(np.int8))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).append_column("target", target), path)


def combine_others(members: Members, how: str, paths: Sequence[Path]) -> tuple[list[str], Array, float]:
    """Names, probabilities and threshold of objects without a target: combined as all labelled objects say.

    paths: the members' predictions of them, in the members' order. ValueError where files differ in number or objects.
    """
    if len(paths) != len(members.odds):
        raise ValueError(f"--predict: expected {len(members.odds)} files, a member each, found {len(paths)}")
    found = [read_predicted(path) for path in paths]
    names = found[0].name.tolist()
    for path, one in zip(paths, found, strict=True):
        if set(one.name.tolist()) != set(names):
            raise ValueError(f"{path}: expected the objects of {paths[0]}, found others")
    inner, odds = COMBINATIONS[how](members.odds, members.target, _stacked(found, names))
    calibration = calibrate(inner, members.target)
    return names, calibration(odds), best_threshold(members.target, calibration(inner), SMOOTH)
