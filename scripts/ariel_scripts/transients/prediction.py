"""A search for TDEs on a dataset from light curves to a table of predictions, each step kept and continued."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ariel_scripts.submission.transients import write_submission, write_table
from ariel_scripts.transients.boosters import BoosterSettings
from ariel_scripts.transients.feature_table import FeatureTable
from ariel_scripts.transients.kinds import held_out, shares, train_kinds
from ariel_scripts.transients.nested import Judged, judge, nested_folds
from ariel_scripts.transients.search import TUNED, Search, SearchSettings, objects_of, train_search

logger = logging.getLogger(__name__)

PREDICTIONS, PROBABILITIES, HELD_OUT = "predictions.csv", "probabilities.csv", "predictions.parquet"
LIBRARIES = ("catboost", "lightgbm", "xgboost")


def settings_of(library: str, tune: bool = False) -> SearchSettings:
    """What `ariel transients boost` trains: one library, or `all` with their log odds averaged; tuned or not."""
    names = LIBRARIES if library == "all" else (library,)
    boosters = tuple(BoosterSettings(name) for name in names)
    return SearchSettings(boosters, alternatives=TUNED if tune else SearchSettings.alternatives)


def train_on(table: FeatureTable, settings: SearchSettings, seed: int) -> tuple[Search, Search | None]:
    """A search trained on the labelled objects of a table, and one for what the others are, where types tell."""
    objects = objects_of(table)
    kinds = train_kinds(objects, settings.boosters[0].library, seed)
    search = train_search(objects, settings, seed)[0]
    return replace(search, layouts=table.layouts, code=table.code), kinds


def write_held_out(
    table: FeatureTable, settings: SearchSettings, folds: int, seed: int, out: Path, progress: Callable[[int], object]
) -> Judged:
    """Write `predictions.parquet`: labelled objects' probabilities and shares, each by searches that never saw it.

    Whatever a search chooses it chooses in inner folds. `progress(1)` is called after each outer fold.
    """
    objects = objects_of(table)
    outer = nested_folds(objects, settings, folds, 1, seed, progress)
    judged = judge(outer, objects.target)
    fold = np.zeros(objects.target.size, np.int64)
    for place, one in enumerate(outer):
        fold[one.judged] = place
    supernova = held_out(objects, outer, settings.boosters[0].library, seed)
    columns = {"object_id": objects.name, "fold": fold, "probability": judged.probability[0]}
    if supernova is not None:
        columns |= shares(judged.probability[0], supernova)
    target = pa.array(objects.target.astype(np.int8))
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).append_column("target", target), out / HELD_OUT)
    return judged


def write_predictions(
    search: Search, kinds: Search | None, table: FeatureTable, split: str, out: Path
) -> dict[str, int]:
    """Write `predictions.csv` (0 or 1, as a submission) and `probabilities.csv`; return how many objects, how many 1,
    how many the search learned from.

    Of the objects of a split, as their redshifts stand, in the table's order. ValueError where it has none.
    """
    own = table.of((table.split == split) & (table.draw == 0))
    if not own.object_id.size:
        raise ValueError(f"{split}: expected a split of the table, found {', '.join(sorted(set(table.split)))}")
    if search.code and table.code and search.code != table.code:
        logger.warning("model: learned from features of another version of this code than these: train it anew")
    probability = search.probability(own.values, own.names)
    chosen = (probability >= search.threshold).astype(int)
    columns = {"probability": probability}
    if kinds is not None:
        columns |= shares(probability, kinds.probability(own.values, own.names))
    write_submission(out / PREDICTIONS, own.object_id.tolist(), chosen.tolist())
    write_table(out / PROBABILITIES, own.object_id.tolist(), {name: one.tolist() for name, one in columns.items()})
    learned = set(search.learned_from).intersection(own.object_id.tolist())
    return {"objects": chosen.size, "chosen": int(chosen.sum()), "learned from": len(learned)}
