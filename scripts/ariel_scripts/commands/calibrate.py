"""`ariel calibrate MODEL DATASET`: a model's sigma made honest on validation planets, with numbers and figures."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from ariel_scripts.content import plain
from ariel_scripts.opening.datasets import read_layouts
from ariel_scripts.opening.hub import Located, locate_dataset, locate_model
from ariel_scripts.opening.provenance import calibrated_layouts
from ariel_scripts.options.calibrate import METHODS, CalibrateOptions
from ariel_scripts.options.fields import taken, values_of
from ariel_scripts.plugins import CONFORMAL, distribution, plugins
from ariel_scripts.prediction.calibration import (
    RECORD,
    fit_calibration,
    model_folder,
    save_calibrated,
    training_planets,
    usable,
    validation_truths,
    warn_of_pooling,
)
from ariel_scripts.prediction.conformal import Arrays, Target, meaning, quantiles, record_of, refuse_applied
from ariel_scripts.prediction.job import Job, predict
from ariel_scripts.prediction.predictor import choose_device, load_member
from ariel_scripts.prediction.reliability import as_text
from ariel_scripts.prediction.widths import widths_as_text
from ariel_scripts.run_record import Run
from ariel_scripts.versions import git_commit, versions
from modeling_ariel.architectures import checkpoint_class
from modeling_ariel.predictions import Predictions, read_predictions

logger = logging.getLogger(__name__)

# of the calibration's record, what goes with q sigma
OF_Q = ("created", "method", "package", "model_sha256", "dataset", "split", "git_commit")


def main(options: CalibrateOptions) -> None:
    """Predict the validation planets, fit, judge, and write the calibrated model."""
    out, split = options.out, options.split
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new folder, found one in use")
    run = Run("calibrate", plain(values_of(options)), options.seed)
    source = locate_model(options.model, options.revision)
    curves = locate_dataset(options.dataset, options.dataset_revision)
    folder = model_folder(source)
    known = training_planets(folder)
    truths = validation_truths(curves, split, *known, options.validation_only)
    target = None if options.apply is None else Target.open(options.apply)
    job = _job(options, folder, curves, frozenset(truths))
    found, about = _predictions(job, options.predictions, truths, options.restart)
    if target is not None:
        target.check_model(about["model_sha256"], about["samples"])
    planets, arrays, left_out = usable(found, truths)
    kind = checkpoint_class(folder, options.architecture)
    wavelength = np.asarray(kind.config_class.from_pretrained(folder).wavelength, np.float64)
    method = (options.method, options.n_groups)
    fitted = fit_calibration(wavelength, arrays, planets, *method, options.folds, options.seed)
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": source.record(),
        "dataset": curves.record(),
        "split": split,
        "layouts": calibrated_layouts(folder, read_layouts(curves, split)),
        "method": options.method,
        **_package(options.method),
        **about,
        "folds": options.folds,
        "seed": options.seed,
        **fitted.record,
        "left_out": {str(planet): status for planet, status in left_out.items()},
        "planets": planets,
        "git_commit": git_commit(),
        "versions": versions(),
    }
    q = None if target is None else _q(options, arrays, wavelength)
    run.metrics.update(planets=len(planets), left_out=len(left_out), dataset=curves.record(), source=source.record())
    save_calibrated(folder, out, fitted, record, run)
    typer.echo(as_text(fitted.record))
    if fitted.graph is not None:
        typer.echo(widths_as_text(fitted.record["graph"]["widths"]))
    logger.info("%s: calibrated on %d planets, %s", out, len(planets), RECORD)
    if target is not None and q is not None:
        about = {name: record[name] for name in OF_Q if name in record}
        target.write(q, {"alpha": options.alpha, **about, "planets": len(planets)})
        size = f"{q.min():.2f} to {q.max():.2f} times what it was"
        typer.echo(f"{options.apply}: sigma is {size}, {meaning(options.alpha)}")


def _package(method: str) -> dict[str, str]:
    """The distribution that a method comes from, where it is not this one."""
    return {} if method in METHODS else {"package": distribution(plugins(CONFORMAL)[method])}


def _q(options: CalibrateOptions, arrays: Arrays, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half-widths (C,) [sigma] of intervals of level 1 - alpha."""
    level = 1.0 - options.alpha
    found, pooled = quantiles(options.method, arrays, [level], wavelength)
    warn_of_pooling(len(arrays[0]), pooled, [level])
    return found[0]


def _job(options: CalibrateOptions, folder: Path, dataset: Located, planets: frozenset[int]) -> Job:
    """The predictions that are needed, kept beside the calibrated model."""
    out = options.out.with_name(f"{options.out.name}.predictions.parquet")
    own = {"models": (str(folder),), "out": out, "revision": None, "only": planets, "dataset_revision": dataset.commit}
    return taken(Job, options, **own)


def _predictions(
    job: Job, given: Path | None, truths: dict[int, NDArray[np.float64]], restart: bool
) -> tuple[Predictions, dict[str, Any]]:
    """Predictions of the job, made now or read from ``given``, and what is known of how they were made."""
    if given is None:
        predict(job, restart)
        path = job.out
    else:
        path = given
    found, kept = read_predictions(path), record_of(path)
    refuse_applied(path, kept)
    digest = load_member(job.models[0], None, choose_device("cpu")).digest
    about = {"model_sha256": digest, "samples": job.samples}
    try:
        models, about["samples"] = kept["metrics"]["models"], kept["metrics"]["samples"]
    except KeyError:
        logger.warning("%s has no run record: whether it is this model's can't be checked", path)
    else:
        if models != [digest]:
            raise ValueError(f"{path}: expected predictions of {job.models[0]} alone, found those of another model")
    if not set(truths) & set(found.planet_id.tolist()):
        raise ValueError(f"{path}: expected the validation planets, found none of them")
    return found, about
