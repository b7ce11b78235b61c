"""`ariel retrieve DATASET`: transit spectra with uncertainties from a dataset of light curves, by the classical fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_record, run_script
from ariel_scripts.opening.datasets import DatasetRevision, count_visits, open_split, read_truths, wavelengths_of
from ariel_scripts.opening.hub import Located, locate_dataset
from modeling_ariel.columns import STAR_IN_FIT

logger = logging.getLogger(__name__)

NEEDED = ("planet_id", "visit", "layout", "time", "flux", "flux_err", "valid", "spectrum", *STAR_IN_FIT)


def main(
    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of light curves.")],
    out: Annotated[Path, typer.Option(help="Predictions, Parquet; run.json is written beside it.")],
    split: Annotated[str, typer.Option(help="Split to retrieve.")] = "train",
    dataset_revision: DatasetRevision = None,
    prior: Annotated[
        str,
        typer.Option(
            help="none, simulated, dataset (its labels, K-fold by planet; 20 planets or more), or a safetensors FILE."
        ),
    ] = "simulated",
    mixture: Annotated[bool, typer.Option(help="Let feature sizes differ from planet to planet in the prior.")] = True,
    save_prior: Annotated[Path | None, typer.Option(help="Write the prior learned from all labels here.")] = None,
    folds: Annotated[int, typer.Option(help="Folds of --prior dataset.", min=2)] = 5,
    drift: Annotated[str, typer.Option(help="joint (separable) or channel (each by itself).")] = "joint",
    batch: Annotated[int, typer.Option(help="Visits in memory at a time.", min=1)] = 16,
    limit: Annotated[int | None, typer.Option(help="At most this many planets.")] = None,
    seed: Annotated[int, typer.Option(help="Of the folds and of the simulated prior.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be retrieved; write nothing.")] = False,
) -> None:
    """Fit light curves and write predicted spectra, one row a planet.

    Visits of a planet are combined. A planet whose fit fails gets the prior with a wide sigma and its status says so.

    Example: ariel retrieve light-curves --out run/predictions.parquet --prior dataset
    """
    from modeling_ariel.predictions import write_predictions
    from modeling_ariel.retrieval import FitSettings

    settings = FitSettings(drift=drift)
    curves = locate_dataset(dataset, dataset_revision)
    index = count_visits(curves, split, limit)
    if dry_run:
        _make_prior(prior, curves, split, mixture, folds, seed)  # says what is wrong with it
        logger.info("%d planets, %d visits of %s, split %s", len(index), sum(index.values()), dataset, split)
        return
    config = dict(
        dataset=dataset, dataset_revision=dataset_revision, split=split, prior=prior, mixture=mixture, folds=folds,
        drift=drift, limit=limit, seed=seed,
    )  # fmt: skip
    with run_record(out.parent, "retrieve", config, seed, name=f"{out.stem}.run.json") as run:
        with run.timed("prior"):
            judge = _make_prior(prior, curves, split, mixture, folds, seed)
        with run.timed("fit"):
            for planet, depth, covariance, truth, status in _planets(curves, split, index, settings, batch):
                judge.add(planet, depth, covariance, truth, status)
        predictions = judge.finish()
        write_predictions(out, predictions)
        if save_prior is not None:
            judge.save(save_prior)
        counts = {name: predictions.extra["status"].count(name) for name in sorted(set(predictions.extra["status"]))}
        run.metrics.update(dataset=curves.record(), planets=len(index), status=counts, sigma_factors=judge.factors)
    logger.info("%s: %d planets, %s", out, len(index), ", ".join(f"{n} {name}" for name, n in counts.items()))


def _planets(
    dataset: Located, split: str, index: dict[int, int], settings: Any, batch: int
) -> Iterator[tuple[int, Any, Any, np.ndarray | None, str]]:
    """Fitted planets (planet, depth (C,), covariance (C, C), truth, status), each once all of its visits have come."""
    import torch
    from tqdm import tqdm

    from modeling_ariel.posterior import best_status, combine_visits

    axes: dict[str, Any] = {}
    waiting: dict[int, list[tuple[Any, Any, str]]] = {}
    truths: dict[int, np.ndarray | None] = {}
    with tqdm(total=sum(index.values()), unit="visit", desc="fit") as bar, torch.no_grad():
        for rows in _batches(dataset, split, index, batch):
            layout = str(rows[0]["layout"])
            if layout not in axes:
                axes[layout] = torch.as_tensor(wavelengths_of(dataset, layout))
            fitted = _fit_rows(rows, axes[layout], settings)
            for row, depth, covariance, status, reason in zip(rows, *fitted, strict=True):
                planet = int(row["planet_id"])
                if status != "ok":
                    logger.warning("planet %d visit %d: %s: %s", planet, row["visit"], status, reason)
                spectrum = row["spectrum"]
                truths[planet] = None if spectrum is None or not len(spectrum) else np.asarray(spectrum, np.float64)
                waiting.setdefault(planet, []).append((depth, covariance, status))
                if len(waiting[planet]) == index[planet]:
                    depths, covariances, states = zip(*waiting.pop(planet), strict=True)
                    yield planet, *combine_visits(depths, covariances), truths.pop(planet), best_status(states)
            bar.update(len(rows))


def _batches(dataset: Located, split: str, index: dict[int, int], batch: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of the wanted planets, ``batch`` at a time, all of one length in time."""
    rows: list[dict[str, Any]] = []
    left = sum(index.values())
    for row in open_split(dataset, split).select_columns(list(NEEDED)).with_format("numpy"):
        if int(row["planet_id"]) not in index:
            continue
        if rows and len(rows[0]["time"]) != len(row["time"]):
            yield rows
            rows = []
        rows.append(row)
        left -= 1
        if len(rows) == batch:
            yield rows
            rows = []
        if left == 0:
            break
    if rows:
        yield rows


def _fit_rows(rows: list[dict[str, Any]], wavelength: Any, settings: Any) -> tuple[Any, Any, list[str], list[str]]:
    """Depths, covariances, statuses and reasons of dataset rows."""
    import torch

    from modeling_ariel.retrieval import fit

    arrays = ("time", "flux", "flux_err", "valid")
    data = {name: torch.as_tensor(np.stack([np.asarray(row[name]) for row in rows])) for name in arrays}
    for name in STAR_IN_FIT:
        data[name] = torch.tensor([float(row[name]) for row in rows], dtype=torch.float64)
    result = fit(data, wavelength, settings)
    return result.depth, result.covariance, result.status, result.reasons


def _population(dataset: Located, split: str) -> str:
    """The challenge whose planets the split's resemble: 2025 where there is a star table, else 2024."""
    row = next(iter(open_split(dataset, split).select_columns(["layout", "P"])))
    return "2025" if row["layout"] == "2025" or np.isfinite(row["P"]) else "2024"


def _make_prior(prior: str, dataset: Located, split: str, mixture: bool, folds: int, seed: int) -> Any:
    """What turns fits into predictions."""
    import torch

    from ariel_scripts.prediction.classical import FoldedPriorPredictor, SinglePriorPredictor, folded_priors
    from modeling_ariel.spectrum_prior import MIXTURE, PLAIN, SpectrumPrior

    scales = MIXTURE if mixture else PLAIN
    if prior == "none":
        return SinglePriorPredictor(None)
    if prior == "simulated":
        from hf_dataset.simulation.planets import spectra

        simulated = torch.as_tensor(spectra(2000, seed, _population(dataset, split)))
        return SinglePriorPredictor(SpectrumPrior.fit(simulated, scales))
    if prior == "dataset":
        return FoldedPriorPredictor(folded_priors(read_truths(dataset, split), scales, folds, seed))
    if not Path(prior).is_file():
        raise ValueError(f"prior: expected none, simulated, dataset or a safetensors file, found {prior!r}")
    return SinglePriorPredictor(SpectrumPrior.load(Path(prior)))


if __name__ == "__main__":
    run_script(main)
