"""True spectra by planet: of a dataset's split, or of a table of the challenge."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.opening.datasets import read_truths, wavelengths_of
from ariel_scripts.opening.hub import Located, locate_dataset

Array = NDArray[np.float64]


def load_truths(source: str | Located, split: str) -> tuple[dict[int, Array], Array]:
    """Truths by planet and the wavelengths [um], from a CSV or a dataset."""
    if isinstance(source, str) and source.endswith(".csv"):
        return read_truth_csv(Path(source)), wavelengths_of(str(Path(source).parent), "2024")
    where = locate_dataset(source)
    truths = read_truths(where, split)
    if not truths:
        raise ValueError(f"{where.name}: split {split!r} has no true spectra to compare with")
    return truths, wavelengths_of(where, "simulated")


def read_truth_csv(path: Path) -> dict[int, Array]:
    """Spectra (C,) of a table `planet_id, wl_1 … wl_283`."""
    truths: dict[int, Array] = {}
    with path.open(newline="") as file:
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
