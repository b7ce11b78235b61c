"""The page of predicted transients: a verdict, its sections, and what is recorded of the run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.opening.hub import Located, locate_dataset
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.report import ReportOptions
from ariel_scripts.report.page import NO_PLANETS, Section, Table, page, without_folders
from ariel_scripts.report.plots import Figure
from ariel_scripts.report.transients import figures
from ariel_scripts.report.transients.objects import Shown, light_figure, reasons_figure
from ariel_scripts.report.transients.study import CANDIDATES, TransientStudy, read_shown, read_study
from ariel_scripts.run_record import Run
from ariel_scripts.transients.evaluation import SCORES, threshold_text
from ariel_scripts.versions import git_commit, versions
from hf_dataset import folders
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)

NAMES = {"f1": "F1", "precision": "precision", "recall": "recall", "average_precision": "average precision"}
FEW = 30  # TDEs; below, intervals are too narrow


def write_report(options: ReportOptions, run: Run) -> None:
    """Write the page of `options`; metrics go into the `run` record."""
    where = locate_dataset(options.dataset, options.dataset_revision)
    with run.timed("predictions"):
        study = read_study(options, where)
    with run.timed("light curves"):
        shown = read_shown(study, where, options.split)
    sections = make_sections(study, shown)
    known = _known(options, where, run)
    name = where.name if where.commit else Path(where.name).name
    text = page(f"Predictions for {name}", verdict(study), sections, NO_PLANETS, without_folders(known)).encode()
    folders.write_bytes(options.out, text)
    run.metrics |= {**study.metrics, "drawn": study.drawn, "bytes": len(text)}
    logger.info("%s: %s, %.1f MB", options.out, number_of(study.predicted.name.size, "object"), len(text) / 1e6)


def _known(options: ReportOptions, where: Located, run: Run) -> dict[str, Any]:
    """Provenance, shown at the page's end."""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": f"{where.name}, split {options.split}" + (f", commit {where.commit}" if where.commit else ""),
        "git commit": git_commit() or "not a checkout",
        "seed": options.seed,
        "command": {one: str(value) for one, value in values_of(options).items()},
        "versions": versions(),
        "seconds": {one: round(seconds, 1) for one, seconds in run.durations.items()},
    }


def verdict(study: TransientStudy) -> str:
    """What the page says, in sentences."""
    if study.judged is None:
        chosen = int((study.predicted.probability >= study.threshold).sum())
        return (
            f"Of {study.predicted.name.size} objects without a target {chosen} are chosen as tidal disruption events, "
            f"at a probability of {study.threshold:.2f}."
        )
    found, judged = study.metrics, study.judged
    hits = int((judged.chosen & (judged.target == 1)).sum())
    wrong = found["chosen"] - hits
    text = (
        f"{hits} of {found['positives']} tidal disruption events are found, with {number_of(wrong, 'false positive')}: "
        f"F1 {interval_text(found['f1'])}."
    )
    others = {kind: own["chosen"] for kind, own in found["types"].items()
              if own["chosen"] and not judged.target[judged.kind == kind].any()}  # fmt: skip
    if others:
        kind = max(others, key=lambda one: others[one])
        text += f" Most often mistaken for one: {kind} ({others[kind]} of {found['types'][kind]['objects']})."
    bias = float(np.mean(judged.probability) - np.mean(judged.target))
    if abs(bias) > 0.03:
        text += f" Probabilities are too {'high' if bias > 0 else 'low'}, by {abs(bias):.2f} on average."
    return text


def interval_text(own: dict[str, float]) -> str:
    """`0.65 (0.60 to 0.70)`."""
    return f"{own['value']:.2f} ({own['low']:.2f} to {own['high']:.2f})"


def make_sections(study: TransientStudy, shown: dict[str, list[Shown]]) -> list[Section]:
    """The sections of the page, mistakes first."""
    found = [_drawn("candidates" if CANDIDATES in shown else "mistakes", study, shown)]
    if study.judged is not None:
        found += [_scores(study), _types(study), _probabilities(study)]
    if study.explained is not None:
        own = study.explained
        found.append(Section("reasons", {"figures": [figures.features_figure(own.features, own.values, own.shares)]}))
    return found


def _drawn(key: str, study: TransientStudy, shown: dict[str, list[Shown]]) -> Section:
    """Objects with their light curves and, by a boosted model, reasons."""
    groups = {kind: [figure for one in own for figure in _figures_of(study, one)] for kind, own in shown.items() if own}
    counts = {}
    if study.judged is not None:
        target, chosen = study.judged.target, study.judged.chosen
        counts = {
            "false positives": int(((target == 0) & chosen).sum()),
            "misses": int(((target == 1) & ~chosen).sum()),
        }
    drawn = {kind: len(shown[kind]) for kind in groups}
    return Section(key, {"groups": groups, "counts": counts, "drawn": drawn, "threshold": f"{study.threshold:.2f}"})


def _figures_of(study: TransientStudy, one: Shown) -> list[Figure]:
    found, own = [light_figure(one)], study.explained
    if own is not None and one.observed.name in own.place:
        row = own.place[one.observed.name]
        said = float(own.probability[row])
        found.append(reasons_figure(one.observed.name, own.features, own.values[row], own.shares[row], said))
    return found


def _scores(study: TransientStudy) -> Section:
    metrics = study.metrics
    rows = [[NAMES[name], interval_text(metrics[name])] for name in SCORES]
    share = metrics["positives"] / metrics["objects"]
    rows += [
        ["F1 of choosing every object", f"{2 * share / (1 + share):.2f}"],
        ["optimistic F1", f"{metrics['f1_optimistic']:.2f}"],
        ["threshold", threshold_text(metrics["thresholds"])],
        ["objects, TDEs", f"{metrics['objects']}, {metrics['positives']}"],
    ]
    few = metrics["positives"] if metrics["positives"] < FEW else None
    return Section("scores", {"scores": Table(["", "value"], rows), "few": few})


def _types(study: TransientStudy) -> Section:
    metrics = study.metrics
    head = ["spectral type", "objects", "chosen", "share", "mean probability"]
    rows = [
        [kind, str(own["objects"]), str(own["chosen"]), f"{own['chosen_share']:.2f}", f"{own['mean_probability']:.2f}"]
        for kind, own in metrics["types"].items()
    ]
    data: dict[str, Any] = {"figures": [figures.types_figure(metrics["types"])], "types": Table(head, rows)}
    if classes := metrics.get("classes"):
        names = list(classes["scores"])
        data["classes"] = Table(
            ["class", "objects", "F1", "precision", "recall"],
            [
                [name, str(own["objects"]), *(f"{own[one]:.2f}" for one in ("f1", "precision", "recall"))]
                for name, own in classes["scores"].items()
            ],
        )
        data["confusion"] = Table(
            ["spectral type", *(f"as {name}" for name in names)],
            [[kind, *(str(own[name]) for name in names)] for kind, own in classes["confusion"].items()],
        )
    return Section("types", data)


def _probabilities(study: TransientStudy) -> Section:
    judged, metrics = study.judged, study.metrics
    if judged is None:
        raise ValueError("probabilities: expected labelled objects, found none")
    at = metrics["recall"]["value"], metrics["precision"]["value"]
    curve = figures.precision_recall_figure(judged.target, judged.probability, at, metrics["f1"]["value"])
    calibration = figures.calibration_figure(judged.target, judged.probability)
    return Section("probabilities", {"figures": [curve, calibration]})
