"""A search for TDEs on a dataset from light curves to a table of predictions, each step kept and continued."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ariel_scripts.transients.boosters import BoosterSettings
from ariel_scripts.transients.feature_table import FeatureTable
from ariel_scripts.transients.search import Search, SearchSettings, objects_of, train_search
from hf_dataset.folders import write_bytes

PREDICTIONS, PROBABILITIES = "predictions.csv", "probabilities.csv"
LIBRARIES = ("catboost", "lightgbm", "xgboost")


def settings_of(library: str) -> SearchSettings:
    """What `ariel transients boost` trains: one library, or `all` with their log odds averaged."""
    names = LIBRARIES if library == "all" else (library,)
    return SearchSettings(tuple(BoosterSettings(name) for name in names))


def train_on(table: FeatureTable, library: str, seed: int) -> Search:
    """A search trained on the labelled objects of a table."""
    return train_search(objects_of(table), settings_of(library), seed)[0]


def write_predictions(search: Search, table: FeatureTable, split: str, out: Path) -> tuple[int, int]:
    """Write `predictions.csv` (0 or 1, as a submission) and `probabilities.csv`; return how many objects, how many 1.

    Of the objects of a split, as their redshifts stand, in the table's order. ValueError where it has none.
    """
    own = table.of((table.split == split) & (table.draw == 0))
    if not own.object_id.size:
        raise ValueError(f"{split}: expected a split of the table, found {', '.join(sorted(set(table.split)))}")
    probability = search.calibration(search.odds(own.values, own.names))
    chosen = (probability >= search.threshold).astype(int)
    _write(out / PREDICTIONS, "prediction", own.object_id.tolist(), chosen.astype(str).tolist())
    _write(out / PROBABILITIES, "probability", own.object_id.tolist(), [f"{one:.6f}" for one in probability])
    return chosen.size, int(chosen.sum())


def _write(path: Path, name: str, objects: Sequence[str], values: Sequence[str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("object_id", name))
    writer.writerows(zip(objects, values, strict=True))
    write_bytes(path, text.getvalue().encode())
