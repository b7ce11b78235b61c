"""What the page is about: predictions beside their truth, and which objects are drawn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ariel_scripts.opening.datasets import open_split
from ariel_scripts.opening.hub import Located
from ariel_scripts.options.transients.report import ReportOptions
from ariel_scripts.report.plots import Array
from ariel_scripts.report.transients.objects import Shown
from ariel_scripts.transients.evaluation import evaluate
from ariel_scripts.transients.feature_table import FeatureTable, read_features
from ariel_scripts.transients.predicted import (
    Judgement,
    Predicted,
    judge_predicted,
    known_targets,
    read_predicted,
    recorded_threshold,
    warn_of_trained,
)
from ariel_scripts.transients.search import Search, load_search
from modeling_ariel.transients.observed import observe
from modeling_ariel.transients.smooth import smooth_all

logger = logging.getLogger(__name__)

COLUMNS = ("object_id", "lightcurve", "redshift", "ebv", "spec_type")
CANDIDATES = "candidates"
KINDS = {
    "false positives": "Chosen, but no TDE.",
    "misses": "A TDE that was not chosen.",
    CANDIDATES: "Among the most probable.",
    "asked": "Asked for.",
}


@dataclass(frozen=True, eq=False)
class Explained:
    """Of a boosted search: names of features, (object, feature) values and shares of the log odds, places by name.

    probability: (object,) as the search says it of the same features.
    """

    features: tuple[str, ...]
    values: Array
    shares: Array
    probability: Array
    place: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class TransientStudy:
    """Predictions; of labelled ones the judgement and its metrics; names of objects to draw by kind."""

    predicted: Predicted
    threshold: float
    judged: Judgement | None
    metrics: dict[str, Any]
    drawn: dict[str, list[str]]
    explained: Explained | None


def read_study(options: ReportOptions, where: Located) -> TransientStudy:
    """Read all that the options name; ValueError where something does not fit."""
    predicted = read_predicted(options.predictions)
    warn_of_trained(options.predictions)
    explained = explain(options, predicted)
    targets = known_targets(where, options.split)
    if not targets:
        threshold = recorded_threshold(options.predictions) if options.threshold is None else options.threshold
        order = np.argsort(-predicted.probability, kind="stable")[: options.mistakes]
        drawn = {CANDIDATES: predicted.name[order].tolist(), "asked": list(options.objects or ())}
        return TransientStudy(predicted, threshold, None, {}, drawn, explained)
    judged = judge_predicted(predicted, targets, options.threshold)
    threshold = float(np.mean(judged.thresholds))
    return TransientStudy(
        predicted, threshold, judged, evaluate(judged, seed=options.seed), _mistakes(judged, options), explained
    )


def _mistakes(judged: Judgement, options: ReportOptions) -> dict[str, list[str]]:
    """Names of the mistakes that are drawn, the worst first."""
    name, odds = judged.predicted.name, judged.probability
    wrong = {"false positives": (judged.target == 0) & judged.chosen, "misses": (judged.target == 1) & ~judged.chosen}
    drawn = {}
    for (kind, own), sign in zip(wrong.items(), (-1, 1), strict=True):
        places = np.flatnonzero(own)
        drawn[kind] = name[places[np.argsort(sign * odds[places], kind="stable")]][: options.mistakes].tolist()
    return drawn | {"asked": list(options.objects or ())}


def explain(options: ReportOptions, predicted: Predicted) -> Explained | None:
    """What weighs in the predicted objects by the boosted model; None without one."""
    if options.model is None:
        return None
    if options.features is None:
        raise ValueError("--model: expected --features with the table that it reads, found none")
    search, table = load_search(options.model), read_features(options.features)
    own = table.of((table.draw == 0) & np.isin(table.object_id, predicted.name))
    if not own.object_id.size:
        raise ValueError(f"{options.features}: expected features of the predicted objects, found none")
    return _explained(search, own)


def _explained(search: Search, own: FeatureTable) -> Explained:
    values = search.of_features(own.values, own.names).astype(np.float64)
    shares = search.contributions(own.values, own.names)
    probability = search.calibration(search.odds(own.values, own.names))
    place = {name: row for row, name in enumerate(own.object_id.tolist())}
    return Explained(search.features, values, shares, probability, place)


def read_shown(study: TransientStudy, where: Located, split: str) -> dict[str, list[Shown]]:
    """Objects to draw by kind, with their Gaussian processes; ValueError where one is not in the split."""
    wanted = {name for names in study.drawn.values() for name in names}
    probability = dict(zip(study.predicted.name.tolist(), study.predicted.probability.tolist(), strict=True))
    if unknown := sorted(wanted - set(probability)):
        raise ValueError(f"--object {unknown[0]}: expected one of the predicted objects, found none of that name")
    rows = {str(row["object_id"]): row for row in open_split(where, split, COLUMNS) if str(row["object_id"]) in wanted}
    if missing := sorted(wanted - set(rows)):
        raise ValueError(f"{where.name}: split {split!r}: expected object {missing[0]}, found none")
    seen = {name: observe(row) for name, row in rows.items()}
    smooth = dict(zip(seen, smooth_all(list(seen.values())), strict=True))
    return {
        kind: [
            Shown(seen[name], smooth[name], probability[name], rows[name]["spec_type"] or "", KINDS[kind])
            for name in names
        ]
        for kind, names in study.drawn.items()
    }
