"""`ariel evaluate PREDICTIONS TRUTH`: scores and diagnostics of predicted spectra, as a table and as JSON."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import typer

from ariel_scripts.opening.hub import Located, locate_dataset
from ariel_scripts.opening.truths import is_table, load_truths, read_truth_csv
from ariel_scripts.options.evaluate import EvaluateOptions
from ariel_scripts.prediction.conformal import KEY, meaning, record_of
from ariel_scripts.run_record import run_record, write_json
from hf_dataset.digests import file_hash
from hf_dataset.folders import write_bytes
from modeling_ariel.predictions import read_predictions
from modeling_ariel.scoring import REFERENCE_2024, align, band_table, coverages, summary
from modeling_ariel.status import count_statuses, counts_text

logger = logging.getLogger(__name__)


def main(options: EvaluateOptions) -> None:
    """Score the predictions of planets whose truth is known, whatever their status."""
    levels, out = options.levels, options.out or options.predictions.with_suffix(".evaluation.json")
    if out.suffix != ".json":
        raise ValueError(f"--out {out}: expected a name that ends in .json; a CSV table goes beside it")
    found = read_predictions(options.predictions)
    if (applied := record_of(options.predictions).get("metrics", {}).get(KEY)) is not None:
        logger.warning("%s: sigma is %s", options.predictions, meaning(applied["alpha"]))
    source = _source(options)
    truths, wavelengths = load_truths(source, options.split)
    known = REFERENCE_2024
    if options.reference is not None:
        all_truths = np.stack(list(read_truth_csv(options.reference).values()))
        known = (float(all_truths.mean()), float(all_truths.std()))
    _compare_planets(options, truths, set(found.planet_id.tolist()))
    config = {
        "predictions": str(options.predictions),
        "truth": options.truth,
        "dataset_revision": options.dataset_revision,
        "split": options.split,
    }
    with run_record(out.parent, "evaluate", config, name=f"{out.stem}.run.json") as run:
        planets, y, mu, sigma = align(truths, found.planet_id, found.mu, found.sigma)
        metrics: dict[str, Any] = {"planets": len(planets), **summary(y, mu, sigma, known)}
        metrics |= coverages(y, mu, sigma, levels)
        metrics["bands"] = band_table(y, mu, sigma, wavelengths, levels=levels)
        metrics["predictions_sha256"] = file_hash(options.predictions)
        if "status" in found.extra:
            status = dict(zip(found.planet_id.tolist(), found.extra["status"], strict=True))
            metrics["status"] = count_statuses(status[planet] for planet in planets)
        run.metrics.update(metrics)
        if isinstance(source, Located):
            run.metrics["truth"] = source.record()
        write_json(out, metrics)
        write_bytes(out.with_suffix(".csv"), as_csv(metrics).encode())
    typer.echo(as_text(metrics))


def _compare_planets(options: EvaluateOptions, truths: Mapping[int, object], predicted: set[int]) -> None:
    """Warn of predicted planets without a truth; ValueError where none has one."""
    if not predicted & set(truths):
        where = "" if is_table(options.truth) else f", split {options.split}"
        raise ValueError(
            f"{options.predictions}: expected planets of {options.truth}{where}, found none of its {len(truths)} with "
            "a true spectrum: are these predictions of another split (--split)?"
        )
    if extra := sorted(predicted - set(truths)):
        logger.warning("predicted planets without a truth are left out: %d, the first %s", len(extra), extra[:5])


def _source(options: EvaluateOptions) -> str | Located:
    """Where the truths are: the path of a table, or a dataset."""
    truth, revision = options.truth, options.dataset_revision
    if not is_table(truth):
        return locate_dataset(truth, revision)
    if revision is not None:
        raise ValueError(f"--dataset-revision {revision}: expected a dataset on the Hub, found the table {truth}")
    return truth


def as_csv(metrics: dict[str, Any]) -> str:
    """The numbers as a table: `band` (all of them in `all`), `metric`, `value`."""
    overall = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["band", "metric", "value"])
    for band, values in {"all": overall, **metrics["bands"]}.items():
        writer.writerows([band, name, value] for name, value in values.items())
    return text.getvalue()


def as_text(metrics: dict[str, Any]) -> str:
    """The metrics as a plain table."""
    lines = [f"{'planets':<20}{metrics['planets']:>10}"]
    if "status" in metrics:
        lines.append(f"{'fits':<20}{counts_text(metrics['status']):>10}")
    for name, value in metrics.items():
        if isinstance(value, float):
            digits = ".1f" if "ppm" in name else ".4g"
            lines.append(f"{name:<20}{value:>10{digits}}")
    lines.append("")
    lines.append(
        f"{'band':<16}{'channels':>9}{'rmse ppm':>10}{'mae ppm':>10}{'bias ppm':>10}{'cover 90':>10}{'z spread':>10}"
    )
    for name, row in metrics["bands"].items():
        lines.append(
            f"{name:<16}{row['channels']:>9}{row['rmse_ppm']:>10.1f}{row['mae_ppm']:>10.1f}{row['bias_ppm']:>10.1f}"
            f"{row['coverage_90']:>10.3f}{row['z_spread']:>10.3f}"
        )
    return "\n".join(lines)
