"""Predicted spectra as one file, a row a planet, whatever made them; its format is that of its suffix.

Parquet and NPZ have ``planet_id`` int64, ``mu`` and ``sigma`` float32 [C] in (Rp/Rs)^2, and optionally
``sigma_aleatoric``, ``sigma_epistemic``, ``status`` (how the fit ended, see ``status.py``) and ``notes`` (why, in
words). They may hold under ``run`` the record of the run that made them, as JSON: Parquet in its metadata. CSV has
the columns of a submission, ``planet_id, wl_1 ..., sigma_1 ...``, and the others after them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .columns import N_CHANNELS

TEXTS = ("status", "notes")
RUN = "run"
OPTIONAL = ("sigma_aleatoric", "sigma_epistemic", *TEXTS)
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
SUFFIXES = (".parquet", ".csv", ".npz")


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
        if (self.mu > 1).any():
            row, channel = np.argwhere(self.mu > 1)[0]
            raise PredictionError(
                f"{source}: planet {self.planet_id[row]}: mu: expected depths from 0 to 1, found "
                f"{self.mu[row, channel]} in channel {channel}: in ppm or percent?"
            )
        return self


def check_name(path: Path) -> None:
    """PredictionError where the name of a file to write has no known suffix."""
    if Path(path).suffix not in SUFFIXES:
        raise PredictionError(f"{path}: expected a name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def write_predictions(path: Path, predictions: Predictions, run: Mapping[str, Any] | None = None) -> None:
    """Write the Parquet, CSV or NPZ file whole or not at all.

    ``run`` is the record of what made it, for :func:`read_run`; a CSV file holds none.
    """
    path = Path(path)
    check_name(path)
    predictions.check(str(path))
    arrays = {"mu": predictions.mu, "sigma": predictions.sigma, **predictions.extra}
    columns = {
        name: list(values) if name in TEXTS else np.asarray(values, np.float32) for name, values in arrays.items()
    }
    about = None if run is None else json.dumps(run, ensure_ascii=False, default=str)
    encode = {".parquet": _as_parquet, ".csv": _as_csv, ".npz": _as_npz}[path.suffix]
    content = encode(np.asarray(predictions.planet_id, np.int64), columns, about)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def read_predictions(path: Path) -> Predictions:
    """Read and check a predictions file: CSV or NPZ by its suffix, else Parquet.

    Raises:
        PredictionError: it is none, lacks a column, or a value of a planet is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise PredictionError(f"{path}: expected a file of predictions, found none")
    if path.suffix in PACKED:
        raise PredictionError(
            f"{path}: expected a Parquet, CSV or NPZ file of predictions, found a packed one: unpack it"
        )
    try:
        columns = {".csv": _from_csv, ".npz": _from_npz}.get(path.suffix.lower(), _from_parquet)(path)
    except PredictionError:
        raise
    except (pa.ArrowException, OSError, zipfile.BadZipFile, csv.Error, ValueError) as error:
        raise PredictionError(f"{path}: expected a Parquet, CSV or NPZ file of predictions: {error}") from error
    if missing := [name for name in ("planet_id", "mu", "sigma") if name not in columns]:
        raise PredictionError(f"{path}: expected columns planet_id, mu, sigma, missing {missing}")
    planet_id = _planets(path, columns["planet_id"])
    found = {name: _column(path, name, rows) for name, rows in columns.items() if name != "planet_id"}
    return Predictions(planet_id, found.pop("mu"), found.pop("sigma"), found).check(str(path))


def read_run(path: Path) -> dict[str, Any]:
    """The record of the run that made a predictions file; empty where it has none."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".csv":
            return {}
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as file:
                text = str(file[RUN]) if RUN in file.files else "{}"
        else:
            text = (pq.read_schema(path).metadata or {}).get(RUN.encode(), b"{}").decode()
        found = json.loads(text)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise PredictionError(f"{path}: expected predictions with the JSON record of their run: {error}") from error
    return found if isinstance(found, dict) else {}


# --- formats -------------------------------------------------------------------------------------------------------


def _as_parquet(planet_id: NDArray[np.int64], columns: Mapping[str, Any], run: str | None) -> bytes:
    table: dict[str, Any] = {"planet_id": pa.array(planet_id, pa.int64())}
    for name, values in columns.items():
        if name in TEXTS:
            table[name] = pa.array(values, pa.string())
        else:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            table[name] = pa.FixedSizeListArray.from_arrays(flat, N_CHANNELS)
    file = io.BytesIO()
    pq.write_table(pa.table(table, metadata=None if run is None else {RUN: run}), file)
    return file.getvalue()


def _from_parquet(path: Path) -> dict[str, list[Any]]:
    table = pq.read_table(path)
    return {name: table[name].to_pylist() for name in table.column_names if name in _NAMES}


def _as_npz(planet_id: NDArray[np.int64], columns: Mapping[str, Any], run: str | None) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = dict(columns) if run is None else {**columns, RUN: np.array(run)}
    np.savez_compressed(file, planet_id=planet_id, **arrays)
    return file.getvalue()


def _from_npz(path: Path) -> dict[str, list[Any]]:
    with zipfile.ZipFile(path):  # np.load would open other files too
        pass
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name].tolist() for name in file.files if name in _NAMES}


def _as_csv(planet_id: NDArray[np.int64], columns: Mapping[str, Any], _: str | None) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    order = sorted(columns, key=_NAMES.index)
    writer.writerow(["planet_id", *(name for column in order for name in _csv_names(column))])
    for row, planet in enumerate(planet_id.tolist()):
        fields = [planet]
        for name in order:
            fields += [columns[name][row]] if name in TEXTS else [f"{value:.9g}" for value in columns[name][row]]
        writer.writerow(fields)
    return text.getvalue().encode()


def _from_csv(path: Path) -> dict[str, list[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        header = [name.strip() for name in next(reader, [])]
        rows = []
        for row in filter(None, reader):
            if len(row) != len(header):
                raise PredictionError(
                    f"{path}: line {reader.line_num}: expected {len(header)} fields as in the header, found {len(row)}"
                )
            rows.append(row)
    place = {name: number for number, name in enumerate(header)}
    if len(place) < len(header):
        raise PredictionError(f"{path}: expected every column once, found {len(header) - len(place)} twice")
    if missing := [name for column in _NAMES[:3] for name in _csv_names(column) if name not in place]:
        raise PredictionError(
            f"{path}: expected the columns planet_id, wl_1 ..., sigma_1 ..., missing {len(missing)}, the first "
            f"{missing[0]}; found {', '.join(header[:3])[:60]}"
        )
    columns: dict[str, list[Any]] = {}
    for column in _NAMES:
        names = _csv_names(column)
        if all(name in place for name in names):
            at = [place[name] for name in names]
            columns[column] = [[row[k] for k in at] if len(at) > 1 else row[at[0]] for row in rows]
    return columns


_NAMES = ("planet_id", "mu", "sigma", *OPTIONAL)


def _csv_names(column: str) -> list[str]:
    """Names of a column's columns in a CSV file."""
    if column == "planet_id" or column in TEXTS:
        return [column]
    stem = {"mu": "wl"}.get(column, column)
    return [f"{stem}_{channel + 1}" for channel in range(N_CHANNELS)]


def _planets(path: Path, rows: Sequence[Any]) -> NDArray[np.int64]:
    """Planet ids, which may be numbers or texts, but whole: `7`, `7.0`."""
    found = []
    for row in rows:
        try:
            value = Decimal(str(row).strip())
        except InvalidOperation:
            value = Decimal("nan")
        if not value.is_finite() or value != value.to_integral_value() or abs(value) >= 2**63:
            raise PredictionError(f"{path}: planet_id: expected whole numbers, found {row!r}")
        found.append(int(value))
    return np.array(found, np.int64)


def _column(path: Path, name: str, rows: Sequence[Any]) -> Any:
    """A column of texts, or of spectra (P, C) float32."""
    if name in TEXTS:
        return ["" if row is None else str(row) for row in rows]
    lengths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if lengths - {N_CHANNELS}:
        raise PredictionError(f"{path}: {name}: expected {N_CHANNELS} values a row, found {sorted(lengths)}")
    try:
        return np.array(rows, np.float32).reshape(-1, N_CHANNELS)
    except (TypeError, ValueError) as error:
        raise PredictionError(f"{path}: {name}: expected numbers: {error}") from error
