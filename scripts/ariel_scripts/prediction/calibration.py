"""A model's sigma made honest: a factor and intervals fitted on validation planets, and the model that has them."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from ariel_scripts.opening.datasets import read_truths
from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.models import add_code
from ariel_scripts.options.calibrate import METHODS
from ariel_scripts.prediction.conformal import OURS, quantiles
from ariel_scripts.prediction.reliability import (
    Intervals,
    Judged,
    by_channel,
    coverage_figure,
    cross_fitted,
    numbers,
    z_figure,
)
from ariel_scripts.prediction.reliability_tables import coverage_csv, coverage_map, quantiles_csv
from ariel_scripts.prediction.widths import compared_widths
from ariel_scripts.run_record import Run, write_json
from hf_dataset.splits import grouped_folds
from modeling_ariel.graph_conformal import GraphIntervals
from modeling_ariel.predictions import Predictions
from modeling_ariel.scoring import BANDS
from modeling_ariel.status import OK, TRUSTED, count_statuses, counts_text
from modeling_ariel.uncertainty import (
    LEVELS,
    band_groups,
    equal_groups,
    planets_needed,
    temperature,
)

logger = logging.getLogger(__name__)

FEWEST_PLANETS = 5
CAP = 3.0  # calibrated sigmas that a planet's root mean square z counts for at most
RECORD, TRAINING, WEIGHTS, CARD = (
    "calibration.json",
    "training.json",
    "model.safetensors",
    "README.md",
)

Array = NDArray[np.float64]
Fit = Callable[[Array, Array, Array], Array]  # truth, mean, sigma (P, C) → factors (C,) on sigma


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
        logger.warning(
            "%s has no %s: whether it was trained on these planets can't be checked",
            folder,
            TRAINING,
        )
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
    dataset: Located,
    split: str,
    trained: frozenset[int],
    validation: frozenset[int] | None,
    validation_only: bool,
) -> dict[int, Array]:
    """True spectra of the planets to calibrate on; ValueError where the model was trained on some of them."""
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


def usable(
    found: Predictions, truths: dict[int, Array]
) -> tuple[list[int], tuple[Array, Array, Array], dict[int, str]]:
    """Planets, their truth, mean and sigma (P, C) where the fit can be trusted, and the status of those left out."""
    status = found.extra.get("status") or [OK] * len(found.planet_id)
    rows, left_out = [], {}
    for row, planet in enumerate(found.planet_id.tolist()):
        if planet not in truths:
            continue
        if status[row] in TRUSTED:
            rows.append(row)
        else:
            left_out[planet] = status[row]
    if len(rows) < FEWEST_PLANETS:
        others = f" ({counts_text(count_statuses(left_out.values()))})" if left_out else ""
        raise ValueError(f"expected {FEWEST_PLANETS} or more validation planets to trust, found {len(rows)}{others}")
    planets = found.planet_id[rows].tolist()
    truth = np.stack([truths[planet] for planet in planets])
    return (
        planets,
        (truth, found.mu[rows].astype(np.float64), found.sigma[rows].astype(np.float64)),
        left_out,
    )


@dataclass(frozen=True)
class Fitted:
    """A fitted calibration: ``factor`` (C,), ``quantiles`` (L, C), the planets as ``judged`` and the ``record``.

    ``graph``: what stretches the quantiles, where they were learned over the spectrum's graph.
    """

    factor: Array
    quantiles: Array
    judged: Judged
    record: dict[str, Any]
    graph: GraphIntervals | None = None


def fit_calibration(
    wavelength: Array,
    arrays: tuple[Array, Array, Array],
    planets: list[int],
    method: str,
    n_groups: int,
    folds: int,
    seed: int,
) -> Fitted:
    """Fit on all planets; judge on each by the others.

    Args:
        wavelength: (C,) [um].
        arrays: truth, mean and sigma (P, C) of the ``planets``.
        planets: ids.
        method: "temperature", "groups", "conformal", "graph" or that of another package.
        n_groups: of AIRS channels; 0 for the molecular bands.
        folds: by planet, in which they are judged.
        seed: of the folds, and of which planets teach sizes of errors over the graph.
    """
    truth, mean, sigma = arrays
    labels, names = np.zeros(len(wavelength), int), ["all"]
    if method == "groups":
        labels, names = equal_groups(len(wavelength), n_groups) if n_groups else band_groups(wavelength, BANDS)
    fit: Fit = partial(temperature, groups=labels, cap=CAP)
    if method not in ("temperature", "groups"):
        fit = _unchanged
    factor = fit(truth, mean, sigma)
    number = grouped_folds(planets, min(folds, len(planets)), seed)
    by = OURS if method in METHODS else method
    intervals = by_channel if by == OURS else partial(_by_plugin, by, wavelength)
    judged = cross_fitted(truth, mean, sigma, wavelength, number, fit, intervals)
    graph, compared = None, {}
    if method == "graph":
        graph = GraphIntervals.fit(truth, mean, sigma, seed=seed)
        half_widths, pooled = graph.quantiles, graph.pooled.tolist()
        plain, judged = judged, cross_fitted(truth, mean, sigma, wavelength, number, fit, partial(_over_graph, seed))
        compared = {"graph": _about_graph(graph) | {"widths": compared_widths(judged, plain.half_widths)}}
    else:
        half_widths, pooled = quantiles(by, (truth, mean, sigma * factor), LEVELS, wavelength)
    warn_of_pooling(len(planets) if graph is None else graph.calibrated_on, pooled)
    record = {
        "groups": _groups(factor, labels, names),
        "outlying": _outlying(planets, (truth - mean) / (sigma * factor)),
        "levels": list(LEVELS),
        "pooled_neighbours": pooled,
        **numbers(judged),
        **compared,
    }
    return Fitted(factor, half_widths, judged, record, graph)


def _by_plugin(method: str, wavelength: Array, truth: Array, mean: Array, sigma: Array) -> Intervals:
    """Intervals by another package's half-widths of each channel, the same for all planets."""
    found, _ = quantiles(method, (truth, mean, sigma), LEVELS, wavelength)
    return lambda own: np.broadcast_to(found[:, None], (len(found), *own.shape))


def _over_graph(seed: int, truth: Array, mean: Array, sigma: Array) -> Intervals:
    """Conformal intervals learned over the spectrum's graph."""
    return GraphIntervals.fit(truth, mean, sigma, seed=seed).half_widths


def _about_graph(graph: GraphIntervals) -> dict[str, Any]:
    """How many planets taught and calibrated, and how half-widths follow sigma of the neighbours and of the channel."""
    names = ("neighbours", "own")
    slopes = {name: round(float(slope), 4) for name, slope in zip(names, graph.slopes, strict=True)}
    return {"learned_from": graph.learned_from, "calibrated_on": graph.calibrated_on, "slopes": slopes}


def _unchanged(truth: Array, mean: Array, sigma: Array) -> Array:
    """Factors (C,) that leave sigma (P, C) as it is."""
    return np.ones(sigma.shape[1])


def warn_of_pooling(planets: int, pooled: list[int], levels: Sequence[float] = LEVELS) -> None:
    """Say of which levels so few planets leave no guarantee."""
    for level, reach in zip(levels, pooled, strict=True):
        if reach:
            logger.warning(
                "%g %% intervals: %d planets are fewer than the %d that a channel needs: %d "
                "neighbours on each side are pooled, without a guarantee",
                100 * level,
                planets,
                planets_needed(level),
                reach,
            )


def _groups(factor: Array, labels: NDArray[np.int_], names: list[str]) -> dict[str, Any]:
    """How many channels each group has, and its factor."""
    return {
        name: {
            "channels": int((labels == number).sum()),
            "factor": round(float(factor[labels == number][0]), 5),
        }
        for number, name in enumerate(names)
    }


def _outlying(planets: list[int], z: Array) -> dict[str, float]:
    """Root mean square of the calibrated z (P, C) of planets where it is above the cap, the largest first."""
    size = np.sqrt((z**2).mean(1))
    found = {str(planets[row]): round(float(size[row]), 2) for row in np.argsort(-size) if size[row] > CAP}
    if found:
        logger.warning("%d planets are off by more than %g sigma in the mean: %s", len(found), CAP, found)
    return found


def save_calibrated(folder: Path, out: Path, fitted: Fitted, record: dict[str, Any], run: Run) -> None:
    """Write the model's files with new buffers, the records and the figures, whole or not at all.

    The card is not copied, as its numbers are those before calibration. A push writes one from the records.
    """
    stage = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        shutil.copytree(
            folder,
            stage,
            ignore=shutil.ignore_patterns(".*", "__pycache__", "*.py", WEIGHTS, "optimizer*", "README.md", "run.json"),
        )
        add_code(stage)
        _write_weights(folder / WEIGHTS, stage / WEIGHTS, fitted)
        write_json(stage / RECORD, record)
        run.left = stage
        write_json(stage / "run.json", run.record() | {"outputs": run.outputs()})
        coverage_figure(fitted.judged, fitted.record).savefig(stage / "coverage.png", dpi=130)
        z_figure(fitted.judged).savefig(stage / "z.png", dpi=130)
        coverage_map(fitted.judged).savefig(stage / "coverage_map.png", dpi=130)
        (stage / "coverage.csv").write_text(coverage_csv(fitted.judged))
        own = (fitted.judged.wavelength, fitted.factor, fitted.quantiles)
        (stage / "quantiles.csv").write_text(quantiles_csv(*own))
        if out.is_dir():
            out.rmdir()  # empty: checked before
        os.replace(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write_weights(old: Path, new: Path, fitted: Fitted) -> None:
    """The weights with another calibration: its factor times the one there was, its half-widths and their slopes."""
    with safe_open(old, "pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("calibration.scale", "calibration.quantiles"):
        if name not in tensors:
            raise ValueError(f"{old}: expected a model with {name}, found none")
    scale = tensors["calibration.scale"].double() * torch.as_tensor(fitted.factor)
    tensors["calibration.scale"] = scale.float()
    tensors["calibration.quantiles"] = torch.as_tensor(fitted.quantiles).float()
    usual, slopes = (
        (np.zeros(len(scale)), np.zeros(2)) if fitted.graph is None else (fitted.graph.usual, fitted.graph.slopes)
    )
    tensors |= {
        "calibration.usual": torch.as_tensor(usual).float(),
        "calibration.slopes": torch.as_tensor(slopes).float(),
    }
    save_file(tensors, new, metadata=about)
