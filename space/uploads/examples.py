"""Example files: a simulated planet's light curves in every supported format."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modeling_ariel.columns import STAR_COLUMNS
from uploads.limits import UploadError


def write_example(kind: str, rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray, path: Path) -> Path:
    """Write rows of the dataset (C channels at ``wavelength`` [um]) as a file of that kind, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writers = {"csv": _write_csv, "parquet": _write_parquet, "fits": _write_fits, "npz": _write_npz}
    if kind not in writers:
        raise UploadError(f"example: expected one of {', '.join(writers)} or zip, found {kind!r}.")
    handle, name = tempfile.mkstemp(suffix=f".{kind}", dir=path.parent)
    os.close(handle)
    try:
        writers[kind](rows, wavelength, Path(name))
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def long_table(rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray) -> pd.DataFrame:
    """The long table: valid points, and the known values of the star table."""
    parts = []
    for place, row in enumerate(rows):
        valid = np.asarray(row["valid"], bool)
        time = np.repeat(np.asarray(row["time"]), wavelength.size).reshape(valid.shape)
        own = np.broadcast_to(wavelength, valid.shape)
        part = {"time_h": time[valid], "wavelength_um": own[valid]}
        part |= {name: np.asarray(row[name])[valid] for name in ("flux", "flux_err")}
        table = pd.DataFrame(part | ({"visit": place} if len(rows) > 1 else {}))
        for name in STAR_COLUMNS:  # in the first row, which is enough
            if np.isfinite(row.get(name, np.nan)):
                table[name] = np.where(np.arange(len(table)) == 0, float(row[name]), np.nan)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _write_csv(rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray, path: Path) -> None:
    long_table(rows, wavelength).to_csv(path, index=False, float_format="%.9g")


def _write_parquet(rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray, path: Path) -> None:
    long_table(rows, wavelength).to_parquet(path, index=False)


def _write_fits(rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray, path: Path) -> None:
    from astropy.table import Table

    Table.from_pandas(long_table(rows, wavelength)).write(path, format="fits", overwrite=True)


def _write_npz(rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray, path: Path) -> None:
    row = rows[0]
    arrays = {name: np.asarray(row[name]) for name in ("time", "flux", "flux_err", "valid", "centroid")}
    star = {name: np.asarray(row[name]) for name in STAR_COLUMNS if np.isfinite(row.get(name, np.nan))}
    np.savez_compressed(path, wavelength=wavelength, **arrays, **star)  # type: ignore[arg-type]
