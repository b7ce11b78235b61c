"""`ariel retrieve DATASET`: transit spectra with uncertainties from a dataset of light curves, by the classical fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ariel_scripts.opening.datasets import count_visits, open_split, read_truths, wavelengths_of
from ariel_scripts.opening.hub import Located, locate_dataset
from ariel_scripts.options.retrieve import RetrieveOptions
from ariel_scripts.prediction.classical import FoldedPriorPredictor, SinglePriorPredictor, folded_priors
from ariel_scripts.run_record import run_record
from hf_dataset.simulation.planets import spectra
from hf_dataset.words import number_of
from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.populations import planet_depths
from modeling_ariel.predictions import check_name, write_predictions
from modeling_ariel.retrieval import ClassicalFit, fit
from modeling_ariel.shared_parameters import Shared, shared_groups
from modeling_ariel.spectrum_prior import MIXTURE, PLAIN, SpectrumPrior
from modeling_ariel.status import OK, best_status, count_statuses, counted, counts_text, planet_note
from modeling_ariel.surprise import Surprise
from modeling_ariel.telescope import Telescope, VisitEvidence

logger = logging.getLogger(__name__)

NEEDED = (
    "planet_id",
    "visit",
    "layout",
    "time",
    "flux",
    "flux_err",
    "valid",
    "spectrum",
    "P",
    "sma",
    "i",
    "Ts",
)

LEARNED_FROM = 300  # visits

Array = NDArray[np.float64]
Row = dict[str, Any]  # of the dataset
FittedPlanet = tuple[int, Tensor, Tensor, Array | None, str, str]  # depth (C,), covariance (C, C), truth, …


def main(options: RetrieveOptions) -> None:
    """Fit all visits, turn the fits of each planet into a prediction, and write them."""
    out, split = options.out, options.split
    check_name(out)
    curves = locate_dataset(options.dataset, options.dataset_revision)
    index = count_visits(curves, split, options.limit)
    if options.dry_run:
        _make_judge(options, curves)  # checks its prior
        if options.telescope != "learned":
            _telescope(options, curves, index)
        counts = (number_of(len(index), "planet"), number_of(sum(index.values()), "visit"))
        logger.info("%s, %s of %s, split %s", *counts, options.dataset, split)
        return
    name = f"{out.stem}.run.json"
    with run_record(out.parent, "retrieve", options.record(), options.seed, name=name) as run:
        with run.timed("prior"):
            judge = _make_judge(options, curves)
        with run.timed("telescope"):
            telescope = _telescope(options, curves, index)
        settings = FitSettings(drift=options.drift, telescope=telescope)
        with run.timed("fit"):
            for fitted in _planets(curves, split, index, settings, options.batch):
                judge.add(*fitted)
        predictions = judge.finish()
        found = count_statuses(predictions.extra["status"])
        run.metrics.update(
            dataset=curves.record(),
            planets=len(index),
            status=found,
            sigma_factors=judge.factors,
            telescope=telescope.to_dict(),
        )
        write_predictions(out, predictions, run.record())
        for path, save in ((options.save_prior, judge.save), (options.save_telescope, telescope.save)):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                save(path)
    logger.info("%s: %s, %s", out, number_of(len(index), "planet"), counts_text(found))


def _planets(
    dataset: Located, split: str, index: dict[int, int], settings: FitSettings, batch: int
) -> Iterator[FittedPlanet]:
    """Planets, each once all of its visits have come."""
    waiting: dict[int, list[tuple[Shared, str, str]]] = {}
    with tqdm(total=sum(index.values()), unit="visit", desc="fit") as bar:
        for rows, fitted in _fits(dataset, split, index, settings, batch):
            free, groups = Shared.free(fitted), shared_groups(fitted.shared.shape[-1], settings)
            for number, row in enumerate(rows):
                planet, status, note = int(row["planet_id"]), fitted.status[number], fitted.notes[number]
                visits = waiting.setdefault(planet, [])
                if status != OK:  # counted as in the notes
                    place = (planet, len(visits) + 1, index[planet])
                    logger.warning("planet %d visit %d of %d: %s: %s", *place, status, note)
                visits.append((free.select(torch.tensor([number])), status, note))
                if len(visits) == index[planet]:
                    parts, states, notes = zip(*waiting.pop(planet), strict=True)
                    both = planet_depths(Shared.join([parts[n] for n in counted(states)]), {}, groups)
                    yield planet, *both, _truth(row), best_status(states), planet_note(states, notes)
            bar.update(len(rows))


def _fits(
    dataset: Located, split: str, index: dict[int, int], settings: FitSettings, batch: int
) -> Iterator[tuple[list[Row], ClassicalFit]]:
    """Rows of the wanted planets with their fits, ``batch`` visits at a time."""
    axes: dict[str, Tensor] = {}
    for rows in _batches(dataset, split, index, batch):
        layout = str(rows[0]["layout"])
        if layout not in axes:
            axes[layout] = torch.as_tensor(wavelengths_of(dataset, layout))
        with torch.no_grad():
            yield rows, _fit_rows(rows, axes[layout], settings)


def _telescope(options: RetrieveOptions, dataset: Located, index: dict[int, int]) -> Telescope:
    """What the fit takes for usual."""
    if options.telescope == "default":
        return Telescope()
    if options.telescope != "learned":
        if not Path(options.telescope).is_file():
            raise ValueError(f"telescope: expected default, learned or a JSON file, found {options.telescope!r}")
        return Telescope.load(Path(options.telescope))
    seen = list[VisitEvidence]()
    some = dict(islice(index.items(), LEARNED_FROM))
    with tqdm(total=min(sum(some.values()), LEARNED_FROM), unit="visit", desc="telescope") as bar:
        for rows, fitted in _fits(dataset, options.split, some, FitSettings(drift=options.drift), options.batch):
            seen += fitted.evidence
            bar.update(len(rows))
            if len(seen) >= LEARNED_FROM:
                break
    return Telescope.learn(seen)


def _truth(row: Row) -> Array | None:
    """The true spectrum (C,), where there is one."""
    spectrum = row["spectrum"]
    return None if spectrum is None or not len(spectrum) else np.asarray(spectrum, np.float64)


def _batches(dataset: Located, split: str, index: dict[int, int], batch: int) -> Iterator[list[Row]]:
    """Rows of the wanted planets, ``batch`` at a time, all of one length in time."""
    rows: list[Row] = []
    left = sum(index.values())
    for row in open_split(dataset, split, NEEDED).with_format("numpy"):
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


def _fit_rows(rows: list[Row], wavelength: Tensor, settings: FitSettings) -> ClassicalFit:
    """The classical fit of dataset rows."""
    data = {
        name: torch.as_tensor(np.stack([np.asarray(row[name]) for row in rows]))
        for name in ("time", "flux", "flux_err", "valid")
    }
    for name in STAR_IN_FIT:
        data[name] = torch.tensor([float(row[name]) for row in rows], dtype=torch.float64)
    return fit(data, wavelength, settings)


def _surprise(dataset: Located, split: str) -> Surprise:
    """Room for spectra unlike those that a prior learns, over the dataset's channels."""
    row = next(iter(open_split(dataset, split, ["layout"])))
    return Surprise.of(torch.as_tensor(wavelengths_of(dataset, str(row["layout"]))))


def _population(dataset: Located, split: str) -> str:
    """The challenge whose planets the split's resemble: 2025 where there is a star table, else 2024."""
    row = next(iter(open_split(dataset, split, ["layout", "P"])))
    return "2025" if row["layout"] == "2025" or np.isfinite(row["P"]) else "2024"


def _make_judge(options: RetrieveOptions, dataset: Located) -> SinglePriorPredictor | FoldedPriorPredictor:
    """What turns fits into predictions."""
    prior, seed = options.prior, options.seed
    if prior == "none":
        return SinglePriorPredictor(None)
    scales, surprise = (MIXTURE, _surprise(dataset, options.split)) if options.mixture else (PLAIN, None)
    if prior == "simulated":
        known = torch.as_tensor(spectra(2000, seed, _population(dataset, options.split)))
        return SinglePriorPredictor(SpectrumPrior.fit(known, scales, surprise))
    if prior == "dataset":
        truths = read_truths(dataset, options.split)
        return FoldedPriorPredictor(folded_priors(truths, scales, options.folds, seed, surprise))
    if not Path(prior).is_file():
        raise ValueError(f"prior: expected none, simulated, dataset or a safetensors file, found {prior!r}")
    return SinglePriorPredictor(SpectrumPrior.load(Path(prior)))
