"""Simulated folders in the layout of the MALLORN challenge: logs, light curves in split_01 … split_20, a submission.

`simulation.json` names the objects and how they were made; `simulation_truth.csv` has what was drawn for each, the
labels of the test objects too. Both are written last: a folder without them is unfinished.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_dataset.folders import write_json
from hf_dataset.transients.contents import SPLITS
from hf_dataset.transients.raw import CURVE_COLUMNS, LOG_COLUMNS, POSITIVE, RECORD, TARGET
from hf_dataset.transients.simulation.population import Transient, draw_transient, draw_types, parameters_of
from hf_dataset.transients.simulation.survey import Survey

PARTS = 20
TRUTH = "simulation_truth.csv"
TRANSLATION = "English Translation"  # a column of the challenge's logs, empty here
LOST_FLUXES = 0.002  # share of measurements without a flux, as in the challenge's tables
PHOTOMETRIC_ERROR = 0.02  # of a test object's redshift, times 1 + z


@dataclass(frozen=True)
class Settings:
    """How many objects are drawn, for `train` and `test`, and how they are observed."""

    objects: int
    test_objects: int
    seed: int
    survey: Survey = field(default_factory=Survey)


def write_folder(root: Path, settings: Settings, progress: Callable[[int], object]) -> None:
    """Write a new folder; `progress(1)` is called after each object. ValueError where it has tables already."""
    if any((root / f"{split}_log.csv").exists() for split in SPLITS):
        raise ValueError(f"{root}: expected a new folder, found a raw one: choose another folder or delete it")
    root.mkdir(parents=True, exist_ok=True)
    truths: list[list[Any]] = []
    names: list[str] = []
    for split, count in zip(SPLITS, (settings.objects, settings.test_objects), strict=True):
        own = _write_split(root, split, count, settings, truths, progress)
        names += own
        if split == "test":
            _write_csv(root / "sample_submission.csv", ("object_id", "prediction"), [(name, 0) for name in own])
    _write_csv(root / TRUTH, ("object_id", "set", "Z", "SpecType", TARGET, "parameters"), truths)
    write_json(root / RECORD, {"command": "ariel transients simulate", "settings": asdict(settings), "objects": names})


def _write_split(
    root: Path,
    split: str,
    count: int,
    settings: Settings,
    truths: list[list[Any]],
    progress: Callable[[int], object],
) -> list[str]:
    """Write the log and the light curves of a split; return the names of its objects."""
    which = SPLITS.index(split)
    types = draw_types(np.random.default_rng((settings.seed, which)), count)
    log: list[list[Any]] = []
    curves: dict[str, list[list[Any]]] = {f"split_{part + 1:02d}": [] for part in range(PARTS)}
    for place, spec_type in enumerate(types):
        rng = np.random.default_rng((settings.seed, which, place))
        transient = draw_transient(rng, spec_type, settings.survey)
        name, part = f"simulated_{split}_{place:05d}", f"split_{place % PARTS + 1:02d}"
        log.append(_log_row(rng, name, split, part, transient))
        curves[part] += _curve_rows(rng, name, transient)
        truths.append(
            [
                name,
                split,
                round(transient.redshift, 6),
                spec_type,
                int(spec_type == POSITIVE),
                json.dumps(parameters_of(transient)),
            ]
        )
        progress(1)
    for part, rows in curves.items():
        (root / part).mkdir(exist_ok=True)
        _write_csv(root / part / f"{split}_full_lightcurves.csv", CURVE_COLUMNS, rows)
    known = (*LOG_COLUMNS[:5], TRANSLATION, LOG_COLUMNS[5])
    _write_csv(root / f"{split}_log.csv", (*known, TARGET) if split == "train" else known, log)
    return [row[0] for row in log]


def _log_row(rng: np.random.Generator, name: str, split: str, part: str, transient: Transient) -> list[Any]:
    """An object's row of a log: redshift and type as observed in train, a photometric redshift alone in test."""
    ebv = round(transient.ebv, 3)
    if split == "train":
        redshift = round(transient.redshift, 4)
        return [name, redshift, "", ebv, transient.spec_type, "", part, int(transient.spec_type == POSITIVE)]
    error = PHOTOMETRIC_ERROR * (1 + transient.redshift)
    redshift = 0.0
    while redshift <= 0:  # photometric redshifts are positive
        redshift = rng.normal(transient.redshift, error)
    return [name, round(redshift, 4), round(error, 5), ebv, "", "", part]


def _curve_rows(rng: np.random.Generator, name: str, transient: Transient) -> list[list[Any]]:
    """An object's rows of a table of light curves, some without a flux."""
    lost = rng.random(transient.flux.size) < LOST_FLUXES
    columns = zip(transient.visits.time, transient.flux, transient.flux_err, transient.visits.band, lost, strict=True)
    return [
        [name, f"{time:.4f}", "" if gone else f"{flux:.8f}", f"{error:.8f}", band]
        for time, flux, error, band, gone in columns
    ]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
