"""Predicted transients beside their truth: files of `finetune`, `boost` and `predict`, targets of a dataset or a table.

Whoever reads them judges each object by a threshold that other objects chose.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ariel_scripts.opening.datasets import open_split
from ariel_scripts.opening.hub import Located
from hf_dataset.folders import read_json
from hf_dataset.raw.files import csv_lines
from hf_dataset.transients.folds import stratified_folds
from hf_dataset.words import number_of
from modeling_ariel.transients.detection_scores import chosen_by_others

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

logger = logging.getLogger(__name__)

SHARE = "share_"  # of a class: the prefix of its column
FOLDS = 5  # that choose each other's thresholds where the predictions have none
UNKNOWN = "unknown"  # spectral type


@dataclass(frozen=True, eq=False)
class Predicted:
    """Probabilities of a file: names (object,), probability (object,), fold (object,) or None, shares by class."""

    name: NDArray[np.str_]
    probability: Array
    fold: Ints | None = None
    shares: Mapping[str, Array] = field(default_factory=dict)

    def of(self, places: Ints) -> Predicted:
        """Some of the objects."""
        fold = None if self.fold is None else self.fold[places]
        shares = {kind: share[places] for kind, share in self.shares.items()}
        return Predicted(self.name[places], self.probability[places], fold, shares)


def read_predicted(path: Path) -> Predicted:
    """A table, Parquet or CSV, of object_id and probability; also fold and `share_CLASS` where it has them.

    ValueError naming the file where there is none, a column misses, an object is there twice, or a probability is none.
    """
    if not path.is_file():
        raise ValueError(f"{path}: expected predictions, found none")
    text = pyarrow.csv.ConvertOptions(column_types={"object_id": pa.string()})
    try:
        csv = path.suffix.lower() == ".csv"
        table = pyarrow.csv.read_csv(path, convert_options=text) if csv else pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: expected a table, Parquet or CSV: {error}") from error
    if missing := [name for name in ("object_id", "probability") if name not in table.column_names]:
        hint = ": a submission says 0 or 1 alone" if "prediction" in table.column_names else ""
        found = ", ".join(table.column_names[:5])
        raise ValueError(
            f"{path}: expected the columns object_id and probability, missing {missing[0]}, found {found}{hint}"
        )
    if not table.num_rows:
        raise ValueError(f"{path}: expected objects, found none")
    name = np.array([str(one) for one in table["object_id"].to_pylist()])
    names, count = np.unique(name, return_counts=True)
    if (count > 1).any():
        raise ValueError(f"{path}: object {names[count.argmax()]}: expected once, found {count.max()} times")
    shares = {one.removeprefix(SHARE): one for one in table.column_names if one.startswith(SHARE)}
    return Predicted(
        name,
        _probabilities(path, name, "probability", table),
        _folds(path, table) if "fold" in table.column_names else None,
        {kind: _probabilities(path, name, column, table) for kind, column in shares.items()},
    )


def _folds(path: Path, table: pa.Table) -> Ints:
    if not pa.types.is_integer(table["fold"].type) or table["fold"].null_count:
        raise ValueError(f"{path}: fold: expected a whole number of each object, found others")
    return np.asarray(table["fold"].to_numpy(), np.int64)


def _probabilities(path: Path, name: NDArray[np.str_], column: str, table: pa.Table) -> Array:
    try:
        found = np.array([np.nan if one is None else float(one) for one in table[column].to_pylist()])
    except ValueError as error:
        raise ValueError(f"{path}: {column}: expected numbers: {error}") from error
    wrong = ~((found >= 0) & (found <= 1 + 1e-6))
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"{path}: object {name[first]}: {column}: expected 0 to 1, found {found[first]:g}")
    return np.minimum(found, 1.0)


# --- truths --------------------------------------------------------------------------------------------------------


def read_targets(source: str | Located, split: str) -> dict[str, tuple[int, str]]:
    """object_id → (target, spectral type) of the labelled objects of a dataset's split, or of a CSV table.

    ValueError where no object is labelled, or as `known_targets`.
    """
    found = known_targets(source, split)
    if not found:
        name = source.name if isinstance(source, Located) else source
        raise ValueError(f"{name}: split {split!r}: expected labelled objects, found none")
    return found


def known_targets(source: str | Located, split: str) -> dict[str, tuple[int, str]]:
    """As `read_targets`, empty where nothing is labelled.

    The table has the columns object_id, target and, where known, SpecType or spec_type, as the challenge's
    train_log.csv. ValueError where it has not, or a target is not 0 or 1.
    """
    table = isinstance(source, str) and source.lower().endswith(".csv")
    rows = _table_rows(Path(str(source))) if table else _dataset_rows(source, split)
    found: dict[str, tuple[int, str]] = {}
    for name, target, kind in rows:
        where = f"{source if table else split}: object {name}"
        if target not in ("0", "1"):
            raise ValueError(f"{where}: target: expected 0 or 1, found {target!r}")
        if name in found:
            raise ValueError(f"{where}: expected one target, found more")
        found[name] = (int(target), kind or UNKNOWN)
    return found


def _dataset_rows(source: str | Located, split: str) -> list[tuple[str, str, str]]:
    rows = open_split(source, split, ("object_id", "target", "spec_type"))
    return [
        (str(row["object_id"]), str(row["target"]), row["spec_type"] or "") for row in rows if row["target"] is not None
    ]


def _table_rows(path: Path) -> list[tuple[str, str, str]]:
    (_, header), *lines = csv_lines(path)
    place = {name.strip().lower(): column for column, name in enumerate(header)}
    if missing := [name for name in ("object_id", "target") if name not in place]:
        raise ValueError(f"{path}: expected the columns object_id and target, missing {', '.join(missing)}")
    kind = place.get("spectype", place.get("spec_type"))
    if short := [line for line, row in lines if len(row) != len(header)]:
        raise ValueError(f"{path}: line {short[0]}: expected {len(header)} fields as in the header, found others")
    of = place["object_id"], place["target"]
    return [(row[of[0]].strip(), row[of[1]].strip(), "" if kind is None else row[kind].strip()) for _, row in lines]


# --- both ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Judgement:
    """Predictions of labelled objects: target, kind (object,), and whether each is chosen at its threshold.

    thresholds: those in use, one a fold; chosen by the objects of the others, or the one that was given. unpredicted:
    how many labelled objects have no prediction, and are not among these.
    """

    predicted: Predicted
    target: Ints
    kind: NDArray[np.str_]
    chosen: NDArray[np.bool_]
    thresholds: tuple[float, ...]
    unpredicted: int = 0

    @property
    def probability(self) -> Array:
        """(object,) of the objects."""
        return self.predicted.probability


def judge_predicted(
    predicted: Predicted, targets: Mapping[str, tuple[int, str]], threshold: float | None = None
) -> Judgement:
    """The labelled objects among the predicted, each chosen or not; ValueError where none is labelled.

    Without a threshold each fold has the one of greatest F1 of the others: the folds of the predictions, or five
    stratified ones.
    """
    places = np.array([place for place, name in enumerate(predicted.name.tolist()) if name in targets], np.int64)
    if not places.size:
        raise ValueError(f"predictions: expected some of {len(targets)} labelled objects, found none: another --split?")
    own = predicted.of(places)
    known = [targets[name] for name in own.name.tolist()]
    target, kind = np.array([one for one, _ in known], np.int64), np.array([one for _, one in known])
    if lost := len(targets) - target.size:
        tdes = sum(one for one, _ in targets.values()) - int(target.sum())
        logger.warning("%s without a prediction, %d of them TDEs, not judged", number_of(lost, "labelled object"), tdes)
    if threshold is not None:
        return Judgement(own, target, kind, own.probability >= threshold, (threshold,), lost)
    fold = own.fold
    if fold is None or np.unique(fold).size < 2:
        fold = stratified_folds(own.name.tolist(), target.tolist(), min(FOLDS, target.size))
    chosen, thresholds = chosen_by_others(target, own.probability, fold)
    return Judgement(own, target, kind, chosen, thresholds, lost)


def warn_of_trained(path: Path) -> None:
    """Say so where `predict` made these probabilities by a model that learned from the objects themselves."""
    run = read_json(path.parent / "run.json") or {}
    if run.get("command") == "transients predict" and (count := (run.get("metrics") or {}).get("learned from")):
        logger.warning(
            "%s: the model was trained on %s of these: scores are too good; take ariel transients boost --folds 5",
            path,
            number_of(count, "object"),
        )


def recorded_threshold(path: Path) -> float:
    """The threshold beside probabilities: of `predict` or `ensemble` in run.json, of `finetune` in scores.json.

    ValueError where neither has one.
    """
    run, scores = (read_json(path.parent / name) or {} for name in ("run.json", "scores.json"))
    found = (run.get("metrics") or {}).get("threshold", scores.get("threshold"))
    if not isinstance(found, int | float):
        raise ValueError(f"{path}: expected a threshold in run.json or scores.json beside it, found none: --threshold")
    return float(found)
