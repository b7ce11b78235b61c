"""Scores of predicted transients: with intervals, calibration, and what becomes of each spectral type."""

from __future__ import annotations

import csv
import io
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.transients.predicted import Judgement
from modeling_ariel.transients.detection_scores import (
    average_precision,
    best_threshold,
    bootstrap,
    calibration_curve,
    detection,
)

SCORES = ("f1", "precision", "recall", "average_precision")
DRAWS = 1000


def evaluate(judged: Judgement, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """F1, precision and recall at the thresholds, average precision: each {value, low, high}, 90 % over `draws`.

    `f1_optimistic` has the threshold that the judged objects choose themselves, as leaderboards' logs quote it.
    """
    target, probability, chosen = judged.target, judged.probability, judged.chosen
    found: dict[str, Any] = {
        "objects": int(target.size),
        "unpredicted": judged.unpredicted,
        "positives": int(target.sum()),
        "chosen": int(chosen.sum()),
        "thresholds": [round(one, 6) for one in judged.thresholds],
    }
    for name in SCORES[:3]:
        found[name] = vars(bootstrap(partial(_detection, judged, name), target, draws, seed))
    found["average_precision"] = vars(
        bootstrap(lambda at: average_precision(target[at], probability[at]), target, draws, seed)
    )
    found["f1_optimistic"] = detection(target, probability >= best_threshold(target, probability)).f1
    found["calibration"] = calibration_curve(target, probability).record()
    found["types"] = by_type(judged)
    if judged.predicted.shares:
        found["classes"] = by_class(judged)
    return found


def _detection(judged: Judgement, name: str, places: NDArray[np.int64]) -> float:
    return float(getattr(detection(judged.target[places], judged.chosen[places]), name))


def by_type(judged: Judgement) -> dict[str, dict[str, float]]:
    """Spectral type → objects, how many and which share were chosen, mean probability; TDEs first, then by number."""
    counts = Counter(judged.kind.tolist())
    positive = {kind: bool(judged.target[judged.kind == kind].any()) for kind in counts}
    found = {}
    for kind in sorted(counts, key=lambda one: (not positive[one], -counts[one], one)):
        own = judged.kind == kind
        found[kind] = {
            "objects": counts[kind],
            "chosen": int(judged.chosen[own].sum()),
            "chosen_share": float(judged.chosen[own].mean()),
            "mean_probability": float(judged.probability[own].mean()),
        }
    return found


def by_class(judged: Judgement) -> dict[str, Any]:
    """What a network of several classes says: precision, recall, F1 of each, spectral type → class → objects.

    An object's class is the one of the greatest share. An object counts as of a class by its spectral type.
    """
    names = list(judged.predicted.shares)
    said = np.array(names)[np.stack([judged.predicted.shares[name] for name in names]).argmax(0)]
    truth = np.array([class_of(kind, int(one), names) for kind, one in zip(judged.kind, judged.target, strict=True)])
    scores = {name: vars(detection(truth == name, said == name)) | {"objects": int((truth == name).sum())}
              for name in names}  # fmt: skip
    confusion = {
        kind: {name: int(((judged.kind == kind) & (said == name)).sum()) for name in names} for kind in by_type(judged)
    }
    return {"scores": scores, "confusion": confusion}


def class_of(kind: str, target: int, names: list[str]) -> str:
    """The class among `names` of a spectral type: TDE by the target, else AGN, SN (with SLSN) or other."""
    if target:
        return "TDE"
    own = "AGN" if kind == "AGN" else "SN"
    return own if own in names else "other"


# --- as tables -----------------------------------------------------------------------------------------------------


def as_csv(metrics: dict[str, Any]) -> str:
    """The numbers as a table: `of` (all, `type …`, `class …`), `metric`, `value`, `low`, `high`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["of", "metric", "value", "low", "high"])
    calibration = {f"calibration_{one}": metrics["calibration"][one] for one in ("error", "brier")}
    for name, value in (metrics | calibration).items():
        if isinstance(value, int | float):
            writer.writerow(["all", name, value, "", ""])
        elif name in SCORES:
            writer.writerow(["all", name, value["value"], value["low"], value["high"]])
    groups = {f"type {kind}": own for kind, own in metrics["types"].items()}
    groups |= {f"class {name}": own for name, own in metrics.get("classes", {}).get("scores", {}).items()}
    for group, values in groups.items():
        writer.writerows([group, name, value, "", ""] for name, value in values.items())
    return text.getvalue()


def as_text(metrics: dict[str, Any]) -> str:
    """The metrics as plain tables."""
    lines = [f"{'objects':<20}{metrics['objects']:>8}", f"{'TDEs':<20}{metrics['positives']:>8}"]
    for name in SCORES:
        own = metrics[name]
        lines.append(f"{name.replace('_', ' '):<20}{own['value']:>8.3f}  ({own['low']:.2f}–{own['high']:.2f})")
    lines.append(f"{'optimistic F1':<20}{metrics['f1_optimistic']:>8.3f}")
    lines += [f"{f'calibration {one}':<20}{metrics['calibration'][one]:>8.3f}" for one in ("error", "brier")]
    lines.append(f"{'threshold':<20}{threshold_text(metrics['thresholds']):>8}")
    lines += ["", f"{'type':<14}{'objects':>8}{'chosen':>8}{'share':>8}{'mean p':>8}"]
    lines += [
        f"{kind:<14}{own['objects']:>8}{own['chosen']:>8}{own['chosen_share']:>8.3f}{own['mean_probability']:>8.3f}"
        for kind, own in metrics["types"].items()
    ]
    if classes := metrics.get("classes"):
        lines += ["", f"{'class':<14}{'objects':>8}{'F1':>8}{'prec.':>8}{'recall':>8}"]
        lines += [
            f"{name:<14}{own['objects']:>8}{own['f1']:>8.3f}{own['precision']:>8.3f}{own['recall']:>8.3f}"
            for name, own in classes["scores"].items()
        ]
        names = list(classes["scores"])
        lines += ["", f"{'type':<14}" + "".join(f"{f'as {name}':>10}" for name in names)]
        lines += [
            f"{kind:<14}" + "".join(f"{own[name]:>10}" for name in names) for kind, own in classes["confusion"].items()
        ]
    return "\n".join(lines)


def threshold_text(thresholds: list[float]) -> str:
    """`0.31`, or `0.28–0.35` of several folds."""
    low, high = min(thresholds), max(thresholds)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f}–{high:.2f}"
