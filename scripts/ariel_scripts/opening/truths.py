"""True spectra by planet: of a dataset's split, or of a table of the challenge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.opening.datasets import read_truths, splits_with_truths, wavelengths_of
from ariel_scripts.opening.hub import Located, locate_dataset
from hf_dataset.raw.files import PlanetTable
from hf_dataset.raw.tables import read_wavelengths, spectrum

Array = NDArray[np.float64]


def is_table(source: str) -> bool:
    """Whether truths are in a CSV table rather than in a dataset."""
    return source.lower().endswith(".csv")


def load_truths(source: str | Located, split: str) -> tuple[dict[int, Array], Array]:
    """Truths by planet and the wavelengths [um], from a CSV or a dataset.

    Raises:
        ValueError: no truths there; of a dataset, which splits have some.
    """
    if isinstance(source, str) and is_table(source):
        path = Path(source)
        truths, axis = read_truth_csv(path), path.with_name("wavelengths.csv")
        return truths, read_wavelengths(axis) if axis.is_file() else wavelengths_of(str(path.parent), "2024")
    where = locate_dataset(source)
    truths = read_truths(where, split)
    if not truths:
        others = ", ".join(splits_with_truths(where))
        raise ValueError(
            f"{where.name}: split {split!r} has no true spectra to compare with; "
            + (f"splits that have: {others} (--split)" if others else "nor has any other")
        )
    return truths, wavelengths_of(where, "simulated")


def read_truth_csv(path: Path) -> dict[int, Array]:
    """Spectra (C,) of a table with the columns `planet_id, wl_1 … wl_283`, by name.

    Raises:
        ValueError: no such table, a planet twice with other values, or a value that is no depth from 0 to 1.
    """
    table = PlanetTable(path)
    if "sigma_1" in table.header:
        raise ValueError(f"{path}: expected true spectra, found a submission, which has sigma_1 …")
    truths = {planet: spectrum(table, planet) for planet in table.planets}
    if not truths:
        raise ValueError(f"{path}: expected spectra, found no rows")
    return truths
