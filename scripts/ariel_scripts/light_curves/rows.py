"""Parquet: rows of this project's datasets, rows that are observations, flat tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.light_curves.arrays import REGRESSORS, from_arrays
from ariel_scripts.light_curves.clocks import CLOCKS
from ariel_scripts.light_curves.columns import Columns, from_columns
from ariel_scripts.light_curves.curves import Curves, ReadOptions, first_line
from hf_dataset.simulation.telescope import wavelengths_um
from hf_dataset.store.card import read_wavelengths
from hf_dataset.store.record import FILE
from modeling_ariel.any_telescope.observation import Array, ObservationError

CENTROIDS = ("fgs1_y", "fgs1_x", "airs_y", "airs_shift")  # the dataset's column centroid (T, 4) [px]
DEEPEST = 4  # folders above a shard where its dataset.json may be


def read_parquet(path: Path, options: ReadOptions) -> list[Curves]:
    """Light curves of a Parquet file: a row each, or a flat table by its columns' names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ObservationError(
            f"{path.name}: expected a Parquet file, found a damaged one: {first_line(error)}"
        ) from None
    if not nested:
        values = {name: table[name].to_numpy() for name in table.column_names}
        return from_columns(path.stem, Columns(path.name, values), options)
    rows = table.to_pylist()
    if not rows:
        raise ObservationError(f"{path.name}: expected rows of light curves, found none")
    if {"planet_id", "layout", "visit"} <= set(table.column_names):
        return [_visit(path, row, options) for row in rows]
    return [made for place, row in enumerate(rows) for made in _own(path, place, len(rows), row, options)]


def _visit(path: Path, row: dict[str, Any], options: ReadOptions) -> Curves:
    """A row of a dataset (hf_dataset/schema.py): hours from the first exposure, all channels."""
    where = f"{path.name}: planet {row['planet_id']}, visit {row['visit']}"
    flux = np.array(row["flux"], np.float64)
    notes: list[str] = []
    waves = _wavelengths(path, str(row["layout"]), notes)
    if flux.ndim != 2 or flux.shape[1] != len(waves):
        raise ObservationError(f"{where}: flux: expected (T, {len(waves)}), found {flux.shape}")
    centroid = np.array(row.get("centroid", np.empty((0, 4))), np.float64)
    asked = {}
    for name in options.regressors:
        if name not in CENTROIDS or centroid.shape != (len(flux), len(CENTROIDS)):
            raise ObservationError(f"{where}: --regressor {name}: expected one of {', '.join(CENTROIDS)}, found none")
        asked[name] = centroid[:, CENTROIDS.index(name)]
    return Curves(
        f"planet {row['planet_id']}, visit {row['visit']}",
        np.array(row["time"], np.float64),
        CLOCKS["h"],
        flux,
        np.array(row["flux_err"], np.float64),
        waves,
        flagged=~np.array(row["valid"], bool),
        instrument="Ariel",
        regressors=asked,
        notes=notes,
    )


def _wavelengths(path: Path, layout: str, notes: list[str]) -> Array:
    """Channels [um] of the dataset that a shard is in, else of the challenge's year."""
    for folder in list(path.resolve().parents)[:DEEPEST]:
        if (folder / FILE).exists():
            return np.asarray(read_wavelengths(str(folder)), np.float64)
    year = "2024" if layout in ("2024", "given") else "2025"
    notes.append(f"no {FILE} beside it: the wavelengths of the challenge of {year} are taken")
    return np.asarray(wavelengths_um(year), np.float64)


def _own(path: Path, place: int, count: int, row: dict[str, Any], options: ReadOptions) -> list[Curves]:
    """A row with an observation's own names; a struct of regressors."""
    where = path.name if count == 1 else f"{path.name}, row {place + 1}"
    arrays: dict[str, np.ndarray] = {}
    if "bjd0" in row and row["bjd0"] is None:
        row["bjd0"] = np.nan
    for name, value in row.items():
        if name == "regressors":
            arrays |= {f"{REGRESSORS}{one}": np.array(values, np.float64) for one, values in (value or {}).items()}
        elif value is not None:
            arrays[name] = _array(where, name, value)
    title = path.stem if count == 1 else f"{path.stem}, row {place + 1}"
    return from_arrays(where, title, arrays, options)


def _array(where: str, name: str, value: Any) -> np.ndarray:
    try:
        array = np.array(value)
        return array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError):
        raise ObservationError(f"{where}: {name}: expected numbers of one shape, found other values") from None
