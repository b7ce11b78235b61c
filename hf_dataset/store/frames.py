"""Kept frames: `DIR/PLANET-VISIT-INSTRUMENT.safetensors`, calibrated exposures of one instrument and what they are.

A safetensors file is a JSON header and raw arrays: it runs no code, and a part of it is read without the rest.
docs/dataset.md names the arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hf_dataset.folders import hidden

Array = NDArray[Any]
FORMAT, SUFFIX = "ariel-frames-1", ".safetensors"
ARRAYS = ("deviation", "mean", "variance", "mask", "flags", "lost", "time", "centroid", "column", "foreground")


class FramesError(ValueError):
    """A file that holds no frames of this project."""


def frames_path(folder: Path, planet: int, visit: int, instrument: str) -> Path:
    """The file of one instrument's frames."""
    return folder / f"{planet}-{visit}-{instrument}{SUFFIX}"


def write_unnamed(path: Path, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> Path:
    """Write a file under a hidden name beside `path` and return it; `os.replace` gives it its own."""
    unnamed = hidden(path)
    unnamed.parent.mkdir(parents=True, exist_ok=True)
    about = {"format": FORMAT, "facts": json.dumps(dict(facts), separators=(",", ":"))}
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, unnamed, about)
        with unnamed.open("rb") as file:  # on disk before it is named
            os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        unnamed.unlink(missing_ok=True)
        raise OSError(f"{path}: frames cannot be kept: {error}") from error
    return unnamed


@dataclass(frozen=True)
class Frames:
    """Calibrated exposures of one instrument in one visit; arrays are read when they are asked for.

    `facts`: planet_id, visit, split, layout, instrument, aperture and what else docs/dataset.md names.
    """

    path: Path
    facts: dict[str, Any]

    def __getitem__(self, name: str) -> Array:
        """An array of the file, whole; KeyError where there is none of that name."""
        with safe_open(self.path, "np") as file:
            if name not in file.keys():  # noqa: SIM118  safe_open is no mapping
                raise KeyError(f"{self.path}: expected one of {', '.join(sorted(file.keys()))}, found {name!r}")
            found: Array = file.get_tensor(name)
        return found

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """(row, column) [e-] mean of all exposures."""
        return self["mean"]

    def exposures(
        self, rows: slice = slice(None), columns: slice = slice(None), when: slice = slice(None)
    ) -> NDArray[np.float32]:
        """(exposure, row, column) [e-] of a part of the detector and of the visit; nothing else is read."""
        with safe_open(self.path, "np") as file:
            deviation = file.get_slice("deviation")[when, rows, columns]
        return np.asarray(deviation, np.float32) + self.mean[rows, columns]


def open_frames(path: str | Path) -> Frames:
    """The frames in a file; FramesError where it holds none, or is cut."""
    path = Path(path)
    try:
        with safe_open(path, "np") as file:
            about, names = file.metadata() or {}, set(file.keys())
    except (SafetensorError, OSError) as error:
        raise FramesError(f"{path}: expected kept frames (safetensors), found {error}") from error
    missing = sorted(set(ARRAYS) - names)
    if about.get("format") != FORMAT or missing:
        found = f"none of {', '.join(missing)}" if missing else repr(about.get("format"))
        raise FramesError(f"{path}: expected frames in the format {FORMAT}, found {found}")
    return Frames(path, json.loads(about["facts"]))


def find_frames(folder: str | Path, instrument: str) -> list[Frames]:
    """All kept frames of an instrument in a folder, by planet and visit; FramesError where there are none."""
    folder = Path(folder)
    paths = [path for path in folder.glob(f"*-{instrument}{SUFFIX}") if not path.name.startswith(".")]
    if not paths:
        raise FramesError(f"{folder}: expected frames of {instrument} (ariel build-dataset --keep-frames), found none")
    found = [open_frames(path) for path in paths]
    return sorted(found, key=lambda one: (one.facts["planet_id"], one.facts["visit"]))
