"""`ariel evaluate PREDICTIONS TRUTH`: scores and diagnostics of predicted spectra, as a table and as JSON."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_record, run_script, write_json
from ariel_scripts.opening.datasets import DatasetRevision, read_truths, wavelengths_of
from ariel_scripts.opening.hub import Located, locate_dataset

logger = logging.getLogger(__name__)


def main(
    predictions: Annotated[Path, typer.Argument(help="Predictions, Parquet.")],
    truth: Annotated[
        str, typer.Argument(help="Dataset folder or Hub id with spectra, or a train_labels.csv/train.csv.")
    ],
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    dataset_revision: DatasetRevision = None,
    out: Annotated[Path | None, typer.Option(help="JSON file; beside the predictions by default.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="CSV of training truths for the score's reference; the 2024 one by default.")
    ] = None,
) -> None:
    """Score predictions against true spectra: 2024 and 2025 scores, RMSE, coverage, z-scores, errors by band.

    Example: ariel evaluate run/predictions.parquet light-curves
    """
    from modeling_ariel.predictions import read_predictions
    from modeling_ariel.scoring import REFERENCE_2024, align, band_table, summary

    found = read_predictions(predictions)
    if truth.endswith(".csv") and dataset_revision is not None:
        raise ValueError(
            f"--dataset-revision {dataset_revision}: expected a dataset on the Hub, found the table {truth}"
        )
    source = truth if truth.endswith(".csv") else locate_dataset(truth, dataset_revision)
    truths, wavelengths = load_truths(source, split)
    known = REFERENCE_2024
    if reference is not None:
        all_truths = np.stack(list(read_truth_csv(reference).values()))
        known = (float(all_truths.mean()), float(all_truths.std()))
    extra = sorted(set(found.planet_id.tolist()) - set(truths))
    if extra:
        logger.warning("%d predicted planets have no truth and are left out: %s", len(extra), extra[:5])
    out = out or predictions.with_suffix(".evaluation.json")
    with run_record(
        out.parent,
        "evaluate",
        {"predictions": str(predictions), "truth": truth, "dataset_revision": dataset_revision, "split": split},
        name=f"{out.stem}.run.json",
    ) as run:
        planets, y, mu, sigma = align(truths, found.planet_id, found.mu, found.sigma)
        metrics: dict[str, Any] = {"planets": len(planets), **summary(y, mu, sigma, known)}
        metrics["bands"] = band_table(y, mu, sigma, wavelengths)
        run.metrics.update(metrics)
        if isinstance(source, Located):
            run.metrics["truth"] = source.record()
        write_json(out, metrics)
    typer.echo(as_text(metrics))


def load_truths(source: str | Located, split: str) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Truths by planet and the wavelengths [um], from a CSV or a dataset."""
    if isinstance(source, str) and source.endswith(".csv"):
        return read_truth_csv(Path(source)), wavelengths_of(str(Path(source).parent), "2024")
    where = locate_dataset(source)
    truths = read_truths(where, split)
    if not truths:
        raise ValueError(f"{where.name}: split {split!r} has no true spectra to compare with")
    return truths, wavelengths_of(where, "simulated")


def read_truth_csv(path: Path) -> dict[int, np.ndarray]:
    """Spectra (C,) of a table `planet_id, wl_1 … wl_283`."""
    truths: dict[int, np.ndarray] = {}
    with Path(path).open(newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if header[:2] != ["planet_id", "wl_1"]:
            raise ValueError(f"{path}: expected columns planet_id, wl_1, …, found {header[:3]}")
        for line, row in enumerate(reader, start=2):
            if len(row) != len(header):
                raise ValueError(f"{path}: line {line}: expected {len(header)} values, found {len(row)}")
            planet = int(float(row[0]))
            if planet in truths:
                raise ValueError(f"{path}: planet {planet}: expected one row, found a second at line {line}")
            truths[planet] = np.array(row[1:], np.float64)
    if not truths:
        raise ValueError(f"{path}: expected spectra, found no rows")
    return truths


def as_text(metrics: dict[str, Any]) -> str:
    """The metrics as a plain table."""
    lines = [f"{'planets':<20}{metrics['planets']:>10}"]
    for name, value in metrics.items():
        if isinstance(value, float):
            lines.append(f"{name:<20}{value:>10.4g}" if "ppm" not in name else f"{name:<20}{value:>10.1f}")
    lines.append("")
    lines.append(f"{'band':<16}{'channels':>9}{'rmse ppm':>10}{'bias ppm':>10}{'cover 90':>10}{'z spread':>10}")
    for name, row in metrics["bands"].items():
        lines.append(
            f"{name:<16}{row['channels']:>9}{row['rmse_ppm']:>10.1f}{row['bias_ppm']:>10.1f}"
            f"{row['coverage_90']:>10.3f}{row['z_spread']:>10.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
