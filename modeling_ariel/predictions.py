"""Predicted spectra as one Parquet file, a row a planet, whatever made them.

Columns: ``planet_id`` int64, ``mu`` and ``sigma`` float32 [C] in (Rp/Rs)^2, and optionally ``sigma_aleatoric``,
``sigma_epistemic``, ``status`` (how the fit ended, see ``status.py``) and ``notes`` (why, in words). The file's
metadata may hold under ``run`` the record of the run that made it, as JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .columns import N_CHANNELS

TEXTS = ("status", "notes")
RUN = b"run"
OPTIONAL = ("sigma_aleatoric", "sigma_epistemic", *TEXTS)


class PredictionError(ValueError):
    """A predictions file or array that breaks the contract."""


@dataclass
class Predictions:
    """``planet_id`` (N,) int64; ``mu``, ``sigma`` (N, C) float32; ``extra`` optional columns."""

    planet_id: NDArray[np.int64]
    mu: NDArray[np.float32]
    sigma: NDArray[np.float32]
    extra: dict[str, Any] = field(default_factory=dict)

    def check(self, source: str = "predictions") -> Predictions:
        """Self, or PredictionError naming what is wrong and in which planet."""
        if self.mu.shape != (len(self.planet_id), N_CHANNELS) or self.sigma.shape != self.mu.shape:
            raise PredictionError(
                f"{source}: expected mu and sigma of shape ({len(self.planet_id)}, {N_CHANNELS}), found "
                f"{self.mu.shape} and {self.sigma.shape}"
            )
        planets, counts = np.unique(self.planet_id, return_counts=True)
        if (counts > 1).any():
            raise PredictionError(f"{source}: planet {planets[counts > 1][0]}: expected one row, found {counts.max()}")
        for name, values in (("mu", self.mu), ("sigma", self.sigma)):
            wrong = ~np.isfinite(values) | (values < 0)
            if wrong.any():
                row, channel = np.argwhere(wrong)[0]
                raise PredictionError(
                    f"{source}: planet {self.planet_id[row]}: {name}: expected finite values >= 0, found "
                    f"{values[row, channel]} in channel {channel}"
                )
        return self


def write_predictions(path: Path, predictions: Predictions, run: Mapping[str, Any] | None = None) -> None:
    """Write the Parquet file whole or not at all; ``run`` is the record of what made it, for :func:`read_run`."""
    predictions.check(str(path))
    columns: dict[str, Any] = {"planet_id": pa.array(predictions.planet_id, pa.int64())}
    arrays: Mapping[str, Any] = {"mu": predictions.mu, "sigma": predictions.sigma, **predictions.extra}
    for name, values in arrays.items():
        if name in TEXTS:
            columns[name] = pa.array(list(values), pa.string())
        else:
            flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, N_CHANNELS)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    about = None if run is None else {RUN: json.dumps(run, ensure_ascii=False, default=str).encode()}
    pq.write_table(pa.table(columns, metadata=about), temporary)
    os.replace(temporary, path)


def read_predictions(path: Path) -> Predictions:
    """Read and check a predictions file."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise PredictionError(f"{path}: expected a Parquet file of predictions: {error}") from error
    missing = {"planet_id", "mu", "sigma"} - set(table.column_names)
    if missing:
        raise PredictionError(f"{path}: expected columns planet_id, mu, sigma, missing {sorted(missing)}")
    extra = {name: _column(path, table, name) for name in OPTIONAL if name in table.column_names}
    planet_id = np.asarray(table["planet_id"].to_pylist(), np.int64)
    return Predictions(planet_id, _column(path, table, "mu"), _column(path, table, "sigma"), extra).check(str(path))


def read_run(path: Path) -> dict[str, Any]:
    """The record of the run that made a predictions file; empty where it has none."""
    try:
        found = json.loads((pq.read_schema(path).metadata or {}).get(RUN, b"{}"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise PredictionError(f"{path}: expected predictions with the JSON record of their run: {error}") from error
    return found if isinstance(found, dict) else {}


def _column(path: Path, table: pa.Table, name: str) -> Any:
    rows = table[name].to_pylist()
    if name in TEXTS:
        return ["" if row is None else row for row in rows]
    lengths = {len(row) if row is not None else 0 for row in rows}
    if lengths - {N_CHANNELS}:
        raise PredictionError(f"{path}: {name}: expected {N_CHANNELS} values a row, found {sorted(lengths)}")
    return np.array(rows, np.float32).reshape(-1, N_CHANNELS)
