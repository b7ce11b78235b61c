"""A stand-in for raw folders and their reduction, quick enough to test the builder by itself.

A visit is a text file ROOT/SPLIT/PLANET/VISIT.txt: `good`, or what shall go wrong. This is a module, not a fixture, as
the builder's worker processes import what they run.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_dataset import schema
from hf_dataset.raw.layouts import RawDataError
from hf_dataset.reduction.options import ReductionOptions

CODE = {"ariel-hf": "0", "source": "tested"}
TRAIN, TEST = {1: 2, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1}, {101: 1, 102: 2}  # visits of each planet
WAVELENGTHS = np.r_[0.705, np.linspace(1.9518, 3.895, schema.N_CHANNELS - 1)]


def write_folder(root: Path, train: dict[int, int] | None = None, test: dict[int, int] | None = None) -> Path:
    """A folder of planets with so many good visits each."""
    for split, planets in (("train", train or {}), ("test", test or {})):
        for planet, n_visits in planets.items():
            for visit in range(n_visits):
                set_visit(root, split, planet, visit, "good")
    (root / "train.csv").write_text("planet_id\n")
    return root


def set_visit(root: Path, split: str, planet: int, visit: int, content: str) -> None:
    """Say how a visit goes: good, bad, wrong (a row of another planet), nan, bug, kill (the worker), edits a table."""
    path = root / split / str(planet) / f"{visit}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@dataclass(frozen=True)
class FakeFolder:
    root: Path
    layout: str = "2025"

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in ("train", "test") if (self.root / split).is_dir())

    @property
    def wavelengths(self) -> np.ndarray:
        return WAVELENGTHS

    def missing_truths(self) -> str:
        return ""

    def planets(self, split: str) -> list[int]:
        return sorted(int(path.name) for path in (self.root / split).iterdir())

    def visits(self, split: str, planet: int) -> list[int]:
        return sorted(int(path.stem) for path in (self.root / split / str(planet)).glob("*.txt"))

    def visit(self, split: str, planet: int, visit: int) -> FakeVisit:
        return FakeVisit(self.root / split / str(planet) / f"{visit}.txt", split, planet, visit)


@dataclass(frozen=True)
class FakeVisit:
    path: Path
    split: str
    planet_id: int
    visit: int

    def files(self) -> list[Path]:
        return [self.path] if self.path.exists() else []

    def close(self) -> None:
        pass


def open_fake(root: Path) -> FakeFolder:
    """In place of `raw.open_folder`."""
    return FakeFolder(Path(root))


def make_row(planet: int, visit: int, n_bins: int, layout: str = "2025") -> dict[str, Any]:
    """A valid row, the same for the same planet and visit."""
    rng = np.random.default_rng([planet, visit])
    shape = (n_bins, schema.N_CHANNELS)
    star = rng.uniform(0.5, 2.0, len(schema.STAR_COLUMNS)).astype(np.float32)
    return {
        "planet_id": planet,
        "visit": visit,
        "layout": layout,
        "time": np.linspace(0, 7.5, n_bins, dtype=np.float32),
        "flux": rng.normal(1e4, 30, shape).astype(np.float32),
        "flux_err": rng.uniform(25, 35, shape).astype(np.float32),
        "valid": rng.random(shape) > 0.01,
        "centroid": rng.normal(0, 0.1, (n_bins, 4)).astype(np.float32),
        "star": np.int32(-1),
        **dict(zip(schema.STAR_COLUMNS, star, strict=True)),
        "spectrum": None if planet % 5 == 0 else rng.uniform(0.01, 0.02, schema.N_CHANNELS).astype(np.float32),
        "calibration": json.dumps([{"step": "adc", "params": {"gain": 0.4369}}]),
    }


def reduce_fake(visit: FakeVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """In place of `reduce_visit`."""
    if not visit.path.exists():
        raise RawDataError(f"{visit.path}: planet {visit.planet_id}: expected a signal file, found none")
    content = visit.path.read_text()
    if content == "bad":
        raise RawDataError(f"{visit.path}: planet {visit.planet_id}: expected 11,392 columns, found 1")
    if content == "needs 9 bins" and options.n_bins != 9:
        raise RawDataError(f"{visit.path}: expected 9 bins, found {options.n_bins}")
    if content == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if content == "bug":
        raise KeyError("forgotten")
    if content == "edits a table":
        (visit.path.parents[2] / "train.csv").write_text("planet_id,wl_1\n")
    row = make_row(visit.planet_id, visit.visit, options.n_bins)
    if content == "wrong":
        row["planet_id"] += 1
    if content == "nan":
        row["flux"][3, 4] = np.nan
    return row, {"seconds": {"decode": 0.01}, "quality": {"FGS1": {"hit_samples": 7, "jitter_rms_px": [0.1, 0.2]}}}


def reduce_with_a_stale_handle(visit: FakeVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """`reduce_fake`, but the system does not let planet 5 be read."""
    if visit.planet_id == 5:
        cause = OSError(errno.ESTALE, "Stale file handle")
        raise RawDataError(f"{visit.path}: expected a whole Parquet file, found 4 bytes: {cause}") from cause
    return reduce_fake(visit, options)


def reduce_slowly(visit: FakeVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """`reduce_fake`, 0.2 s a visit: slow enough to be interrupted."""
    time.sleep(0.2)
    return reduce_fake(visit, options)


def reduce_until_full(visit: FakeVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """`reduce_fake`, after which from planet 10 on no file of the process may be larger than 1 KB."""
    if visit.planet_id == 10:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return reduce_fake(visit, options)
