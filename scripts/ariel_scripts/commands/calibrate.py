"""`ariel calibrate MODEL DATASET`: a model's sigma made honest on validation planets, with numbers and figures."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import git_commit, run_script, versions, write_json
from ariel_scripts.opening.datasets import DatasetRevision, ModelRevision
from ariel_scripts.opening.hub import Located

if TYPE_CHECKING:
    from ariel_scripts.prediction.reliability import Judged
    from modeling_ariel.predictions import Predictions

logger = logging.getLogger(__name__)

METHODS = ("temperature", "groups", "conformal")
FEWEST_PLANETS = 5
CAP = 3.0  # calibrated sigmas that a planet's root mean square z counts for at most
RECORD, TRAINING, WEIGHTS, CARD = "calibration.json", "training.json", "model.safetensors", "README.md"


def main(
    model: Annotated[str, typer.Argument(help="Model folder or Hub id.")],
    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id with true spectra.")],
    out: Annotated[Path, typer.Option(help="Folder for the calibrated model; new.")],
    split: Annotated[str, typer.Option(help="Split of validation planets.")] = "validation",
    dataset_revision: DatasetRevision = None,
    method: Annotated[
        str,
        typer.Option(
            help="temperature: one factor on sigma; groups: one for each group of channels; conformal: sigma as it is, "
            "intervals' half-widths alone."
        ),
    ] = "temperature",
    n_groups: Annotated[
        int, typer.Option(help="Groups of AIRS channels, FGS1 apart; 0: the molecular bands.", min=0)
    ] = 0,
    predictions: Annotated[
        Path | None, typer.Option(help="Predictions of this model for these planets, to spare predicting.")
    ] = None,
    validation_only: Annotated[
        bool, typer.Option("--validation-only", help="Of the split, only what training.json calls validation planets.")
    ] = False,
    folds: Annotated[int, typer.Option(help="Folds by planet for the numbers after calibration.", min=2)] = 5,
    samples: Annotated[int, typer.Option(help="Dropout samples, as predict will be told.", min=0)] = 0,
    revision: ModelRevision = None,
    batch: Annotated[str, typer.Option(help="Planets at a time, or auto.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes for the classical fits; 0: one a core.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="At most this many planets.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of folds and samples.", min=0)] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the parts of an interrupted run.")] = False,
) -> None:
    """Calibrate a model's sigma on planets it wasn't trained on; draw coverage curves and z-score histograms.

    The calibrated model has the same weights and other buffers. Beside it stand calibration.json, coverage.png and
    z.png, but not the model's card, whose numbers no longer hold. The numbers after calibration are those of planets
    whose own truths were not used (folds by planet).

    Example: ariel calibrate runs/finetuned light-curves --split validation --out runs/calibrated
    """
    from ariel_scripts.opening.datasets import read_layouts
    from ariel_scripts.opening.hub import locate_dataset, locate_model
    from ariel_scripts.opening.provenance import calibrated_layouts
    from ariel_scripts.prediction.job import Job

    if method not in METHODS:
        raise ValueError(f"--method: expected one of {', '.join(METHODS)}, found {method!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new folder, found one in use")
    source, curves = locate_model(model, revision), locate_dataset(dataset, dataset_revision)
    folder = model_folder(source)
    truths = validation_truths(curves, split, *training_planets(folder), validation_only)
    job = Job(
        dataset, (str(folder),), out.with_name(f"{out.name}.predictions.parquet"), None, split, batch, device, samples,
        workers, limit, seed, frozenset(truths), curves.commit,
    )  # fmt: skip
    found, about = _predictions(job, predictions, truths, restart)
    planets, arrays, left_out = usable(found, truths)
    fitted = Fitted.of(folder, arrays, planets, method, n_groups, folds, seed)
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": source.record(),
        "dataset": curves.record(),
        "split": split,
        "layouts": calibrated_layouts(folder, read_layouts(curves, split)),
        "method": method,
        **about,
        "folds": folds,
        "seed": seed,
        **fitted.record,
        "left_out": {str(planet): status for planet, status in left_out.items()},
        "planets": planets,
        "git_commit": git_commit(),
        "versions": versions(),
    }
    save_calibrated(folder, out, fitted, record)
    from ariel_scripts.prediction.reliability import as_text

    typer.echo(as_text(fitted.record))
    logger.info("%s: calibrated on %d planets, %s", out, len(planets), RECORD)


def model_folder(model: Located) -> Path:
    """The model's files on this machine; ValueError where its weights are not one safetensors file."""
    folder = Path(model.location)
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{model.name}: expected {WEIGHTS}, found none")
    return folder


def training_planets(folder: Path) -> tuple[frozenset[int], frozenset[int] | None]:
    """Planets the model was trained on, and its validation planets (None: unknown), by its training record."""
    path = folder / TRAINING
    if not path.is_file():
        logger.warning("%s has no %s: whether it was trained on these planets can't be checked", folder, TRAINING)
        return frozenset(), None
    try:
        planets = json.loads(path.read_text()).get("planets") or ()
        if not isinstance(planets, dict):
            return frozenset(map(int, planets)), None
        known = planets.get("validation")
        return frozenset(map(int, planets.get("train", ()))), None if known is None else frozenset(map(int, known))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected planets: a list of ids, or lists train and validation: {error}") from error


def validation_truths(
    dataset: Located, split: str, trained: frozenset[int], validation: frozenset[int] | None, validation_only: bool
) -> dict[int, np.ndarray]:
    """True spectra of the planets to calibrate on; ValueError where the model was trained on some of them."""
    from ariel_scripts.opening.datasets import read_truths

    truths, where = read_truths(dataset, split), f"{dataset.name}: split {split!r}"
    if validation_only:
        if validation is None:
            raise ValueError(f"--validation-only: expected a {TRAINING} that names validation planets, found none")
        truths = {planet: spectrum for planet, spectrum in truths.items() if planet in validation}
    if seen := sorted(set(truths) & trained):
        raise ValueError(
            f"{where}: expected planets that the model was not trained on, found {len(seen)} that it was, planet "
            f"{seen[0]} the first; use another split, or --validation-only"
        )
    if len(truths) < FEWEST_PLANETS:
        raise ValueError(
            f"{where}: expected {FEWEST_PLANETS} or more validation planets with true spectra, found {len(truths)}"
        )
    return truths


def _predictions(
    job: Any, given: Path | None, truths: dict[int, np.ndarray], restart: bool
) -> tuple[Predictions, dict[str, Any]]:
    """Predictions of the job, made now or read from ``given``, and what is known of how they were made."""
    from ariel_scripts.prediction.job import predict
    from ariel_scripts.prediction.predictor import choose_device, load_member
    from modeling_ariel.predictions import read_predictions

    if given is None:
        predict(job, restart)
        path = job.out
    else:
        path = given
    found = read_predictions(path)
    digest = load_member(job.models[0], None, choose_device("cpu")).digest
    about = {"model_sha256": digest, "samples": job.samples}
    try:
        made = json.loads(path.with_name(f"{path.stem}.run.json").read_text())["metrics"]
        models, about["samples"] = made["models"], made["samples"]
    except (OSError, ValueError, KeyError):
        logger.warning("%s has no run record: whether it is this model's can't be checked", path)
    else:
        if models != [digest]:
            raise ValueError(f"{path}: expected predictions of {job.models[0]} alone, found those of another model")
    if not set(truths) & set(found.planet_id.tolist()):
        raise ValueError(f"{path}: expected the validation planets, found none of them")
    return found, about


def usable(
    found: Predictions, truths: dict[int, np.ndarray]
) -> tuple[list[int], tuple[np.ndarray, np.ndarray, np.ndarray], dict[int, str]]:
    """Planets, their truth, mean and sigma (P, C) where the fit went well, and the status of those left out."""
    status = found.extra.get("status") or ["ok"] * len(found.planet_id)
    rows, left_out = [], {}
    for row, planet in enumerate(found.planet_id.tolist()):
        if planet not in truths:
            continue
        if status[row] in ("ok", "partial"):
            rows.append(row)
        else:
            left_out[planet] = status[row]
    if len(rows) < FEWEST_PLANETS:
        raise ValueError(f"expected {FEWEST_PLANETS} or more validation planets with a good fit, found {len(rows)}")
    planets = found.planet_id[rows].tolist()
    truth = np.stack([truths[planet] for planet in planets])
    return planets, (truth, found.mu[rows].astype(np.float64), found.sigma[rows].astype(np.float64)), left_out


def _unchanged(truth: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Factors (C,) that leave sigma (P, C) as it is."""
    return np.ones(sigma.shape[1])


class Fitted:
    """A fitted calibration: ``factor`` (C,), ``quantiles`` (L, C), the planets as ``judged`` and the ``record``."""

    def __init__(self, factor: np.ndarray, quantiles: np.ndarray, judged: Judged, record: dict[str, Any]) -> None:
        self.factor, self.quantiles, self.judged, self.record = factor, quantiles, judged, record

    @classmethod
    def of(
        cls,
        folder: Path,
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
        planets: list[int],
        method: str,
        n_groups: int,
        folds: int,
        seed: int,
    ) -> Fitted:
        """Fit on all planets; judge on each by the others."""
        from ariel_scripts.prediction.reliability import cross_fitted, numbers
        from hf_dataset.splits import grouped_folds
        from modeling_ariel.configuration_ariel import ArielConfig
        from modeling_ariel.scoring import BANDS
        from modeling_ariel.uncertainty import (
            LEVELS,
            band_groups,
            conformal_quantiles,
            equal_groups,
            planets_needed,
            temperature,
        )

        truth, mean, sigma = arrays
        wavelength = np.asarray(ArielConfig.from_pretrained(folder).wavelength, np.float64)
        labels, names = np.zeros(len(wavelength), int), ["all"]
        if method == "groups":
            labels, names = equal_groups(len(wavelength), n_groups) if n_groups else band_groups(wavelength, BANDS)
        fit: Callable[..., np.ndarray] = partial(temperature, groups=labels, cap=CAP)
        if method == "conformal":
            fit = _unchanged
        factor = fit(truth, mean, sigma)
        quantiles, pooled = conformal_quantiles(truth, mean, sigma * factor)
        for level, reach in zip(LEVELS, pooled.tolist(), strict=True):
            if reach:
                logger.warning(
                    "%g %% intervals: %d planets are fewer than the %d that a channel needs: %d neighbours on each "
                    "side are pooled, without a guarantee",
                    100 * level, len(planets), planets_needed(level), reach,
                )  # fmt: skip
        judged = cross_fitted(
            truth, mean, sigma, wavelength, grouped_folds(planets, min(folds, len(planets)), seed), fit
        )
        size = np.sqrt((((truth - mean) / (sigma * factor)) ** 2).mean(1))
        outlying = {str(planets[row]): round(float(size[row]), 2) for row in np.argsort(-size) if size[row] > CAP}
        if outlying:
            logger.warning("%d planets are off by more than %g sigma in the mean: %s", len(outlying), CAP, outlying)
        channels = {name: int((labels == number).sum()) for number, name in enumerate(names)}
        record = {
            "groups": {
                name: {"channels": channels[name], "factor": round(float(factor[labels == number][0]), 5)}
                for number, name in enumerate(names)
            },
            "outlying": outlying,
            "levels": list(LEVELS),
            "pooled_neighbours": pooled.tolist(),
            **numbers(judged),
        }
        return cls(factor, quantiles, judged, record)


def save_calibrated(folder: Path, out: Path, fitted: Fitted, record: dict[str, Any]) -> None:
    """Write the model's files with new buffers, the record and the figures, whole or not at all.

    Its card stays behind: what it says of sigma was true before. A push writes one from the records.
    """
    from ariel_scripts.opening.models import add_code
    from ariel_scripts.prediction.reliability import coverage_figure, z_figure

    stage = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        shutil.copytree(
            folder,
            stage,
            ignore=shutil.ignore_patterns(".*", "__pycache__", "*.py", WEIGHTS, "optimizer*", "README.md"),
        )
        add_code(stage)
        _write_weights(folder / WEIGHTS, stage / WEIGHTS, fitted)
        write_json(stage / RECORD, record)
        coverage_figure(fitted.judged, fitted.record).savefig(stage / "coverage.png", dpi=130)
        z_figure(fitted.judged).savefig(stage / "z.png", dpi=130)
        if out.is_dir():
            out.rmdir()  # empty: checked before
        os.replace(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write_weights(old: Path, new: Path, fitted: Fitted) -> None:
    """The weights with another calibration: its factor times the one there was, and its half-widths."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(old, "pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("calibration.scale", "calibration.quantiles"):
        if name not in tensors:
            raise ValueError(f"{old}: expected a model with {name}, found none")
    scale = tensors["calibration.scale"].double() * torch.as_tensor(fitted.factor)
    tensors["calibration.scale"] = scale.float()
    tensors["calibration.quantiles"] = torch.as_tensor(fitted.quantiles).float()
    save_file(tensors, new, metadata=about)


if __name__ == "__main__":
    run_script(main)
