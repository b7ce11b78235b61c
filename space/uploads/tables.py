"""The long table of light curves, one row for each time and wavelength: conversion to visits, and CSV files.

Readers of all formats return rows with `time`, `flux`, `flux_err`, `valid`, `wavelength` and the star table's columns,
and raise UploadError. Values are checked in reading.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd

from engine.rows import StarTable, VisitRow
from modeling_ariel.columns import STAR_COLUMNS
from uploads.limits import (
    MAX_BINS,
    MAX_CHANNELS,
    MAX_COLUMNS,
    MAX_LINE_BYTES,
    MAX_POINTS,
    MAX_VISITS,
    UploadError,
    refuse_damaged,
)

REQUIRED = ("time_h", "wavelength_um", "flux", "flux_err")
OPTIONAL = ("visit", *STAR_COLUMNS)
FEWEST_FILLED = 0.2  # of the grid time × wavelength


def from_table(table: Mapping[str, Any]) -> list[VisitRow]:
    """Rows of a long table: columns (n,) of REQUIRED and any of OPTIONAL, in any order; missing points are invalid."""
    columns = {name: as_numbers(name, table[name]) for name in (*REQUIRED, *OPTIONAL) if name in table}
    size = columns["time_h"].size
    if not size:
        raise UploadError("expected rows of data, found none.")
    if size > MAX_POINTS:
        raise UploadError(f"expected at most {MAX_POINTS:,} rows, found {size:,}.")
    for name in ("time_h", "wavelength_um"):
        if not np.isfinite(columns[name]).all():
            raise UploadError(f"expected finite {name}, found {int((~np.isfinite(columns[name])).sum())} rows without.")
    visit = columns.get("visit", np.zeros(size))
    numbers = np.unique(visit)
    if not (np.isfinite(numbers).all() and numbers.size <= MAX_VISITS):
        raise UploadError(f"expected visit to number at most {MAX_VISITS} visits, found {numbers.size} values.")
    star = cast(StarTable, {name: single_value(name, columns[name]) for name in STAR_COLUMNS if name in columns})
    return [
        {"visit": place, **_grid({name: columns[name][visit == number] for name in REQUIRED}), **star}
        for place, number in enumerate(numbers)
    ]


def as_numbers(name: str, values: Any) -> np.ndarray:
    """A column as float64; UploadError with the row of any text in it."""
    if getattr(values, "dtype", None) is not None and values.dtype.kind in "fiu":
        return precise(name, values)
    series = pd.Series(values)
    converted = pd.to_numeric(series, errors="coerce")
    wrong = converted.isna() & series.notna() & ~series.astype(str).str.strip().str.lower().isin(("", "nan"))
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise UploadError(f"expected numbers in {name}, found {str(series.iloc[row])[:40]!r} in row {row + 1}.")
    return converted.to_numpy(np.float64)


def precise(name: str, values: Any) -> np.ndarray:
    """As float64; refused where half precision has lost what they were."""
    array = np.asarray(values)
    if array.dtype == np.float16:
        raise UploadError(f"expected {name} in float32 or float64, found float16.")
    return array.astype(np.float64)


def single_value(name: str, values: np.ndarray) -> float:
    """Their only finite value, NaN if there is none; UploadError if there are several."""
    known = np.unique(values[np.isfinite(values)])
    if known.size > 1:
        raise UploadError(
            f"expected one {name} for all rows, found {known.size} values, {known[0]:g} and {known[1]:g}."
        )
    return float(known[0]) if known.size else float("nan")


def _grid(columns: Mapping[str, np.ndarray]) -> VisitRow:
    """(T, C) arrays of one visit; missing combinations are invalid."""
    time, at_time = np.unique(columns["time_h"], return_inverse=True)
    wavelength, at_channel = np.unique(columns["wavelength_um"], return_inverse=True)
    shape = (time.size, wavelength.size)
    if time.size > MAX_BINS or wavelength.size > MAX_CHANNELS:
        raise UploadError(
            f"expected at most {MAX_BINS:,} times and {MAX_CHANNELS:,} wavelengths, found {shape[0]:,} and "
            f"{shape[1]:,}."
        )
    if at_time.size < FEWEST_FILLED * shape[0] * shape[1]:
        raise UploadError(
            f"expected the same times for all wavelengths, found {shape[0]:,} times and {shape[1]:,} wavelengths with "
            f"{at_time.size / (shape[0] * shape[1]):.0%} of their combinations: bin them to common times."
        )
    flat = at_time * shape[1] + at_channel
    if np.unique(flat).size < flat.size:
        twice = flat[np.flatnonzero(np.bincount(flat, minlength=1)[flat] > 1)[0]]
        raise UploadError(
            f"expected each time and wavelength once, found {time[twice // shape[1]]:g} h, "
            f"{wavelength[twice % shape[1]]:g} µm more than once: several visits need a column visit."
        )
    flux, error = np.full(shape, np.nan), np.full(shape, np.nan)
    flux.flat[flat], error.flat[flat] = columns["flux"], columns["flux_err"]
    return visit_row(time, flux, error, wavelength)


def visit_row(time: np.ndarray, flux: np.ndarray, error: np.ndarray, wavelength: np.ndarray | None) -> VisitRow:
    """A row with channels in ascending order; points that are not finite are invalid."""
    if wavelength is not None and wavelength.ndim == 1 and wavelength.shape == flux.shape[1:]:
        order = np.argsort(wavelength, kind="stable")
        wavelength, flux, error = wavelength[order], flux[:, order], error[:, order]
    valid = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if not valid.any():
        raise UploadError(
            f"expected flux and positive flux_err, found none in {valid.size:,} points "
            f"({int((~np.isfinite(flux)).sum()):,} without flux)."
        )
    row: VisitRow = {"time": time, "flux": np.where(valid, flux, 0.0), "flux_err": np.where(valid, error, 1.0)}
    return row | {"valid": valid, "wavelength": wavelength}


def check_columns(found: Sequence[str]) -> None:
    """Refuse a table that lacks required columns."""
    if missing := [name for name in REQUIRED if name not in found]:
        shown = ", ".join(str(name)[:30] for name in list(found)[:8]) or "none"
        raise UploadError(f"expected columns {', '.join(REQUIRED)}, missing {', '.join(missing)}, found {shown}.")


# --- CSV -------------------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> list[VisitRow]:
    """A long table with a header line; lines that begin with # are comments, other columns are ignored.

    Columns are parted by commas, semicolons or tabs, as the header has them; with the latter two, decimals may be 0,5.
    """
    with refuse_damaged("a table with commas, semicolons or tabs"), path.open("rb") as file:
        header = _line(file)
        separator = next((mark for mark in (";", "\t") if mark in header), ",")
        names = _fields(header, separator)
        check_columns(names)
        if twice := [name for name in (*REQUIRED, *OPTIONAL) if names.count(name) > 1]:
            raise UploadError(f"expected each column once, found {twice[0]} {names.count(twice[0])} times.")
        start = file.tell()
        line = _line(file)
        first = _fields(line, separator)
        if not line:
            raise UploadError("expected rows of data, found none.")
        if len(first) < len(names) or any(first[len(names) :]):
            raise UploadError(f"expected {len(names)} values a row, as the header says, found {len(first)}.")
        file.seek(start)
        places = {name: names.index(name) for name in (*REQUIRED, *OPTIONAL) if name in names}
        read = pd.read_csv(  # in chunks, as short lines are padded to the header's width
            file,
            sep=separator,
            decimal="," if separator != "," and "," in line else ".",
            header=None,
            names=range(len(names)),
            usecols=list(places.values()),
            index_col=False,
            comment="#",
            skipinitialspace=True,
            nrows=MAX_POINTS + 1,
            low_memory=True,
            encoding="utf-8",
        )
    return from_table({name: read[place] for name, place in places.items()})


def _line(file: BinaryIO) -> str:
    """The next line that is neither empty nor a comment; empty at the end of the file."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise UploadError(f"expected lines of at most {MAX_LINE_BYTES:,} bytes, found a longer one.")
        try:
            text = line.decode("utf-8-sig").split("#", 1)[0].strip(" \r\n")
        except UnicodeDecodeError:
            raise UploadError("expected text in UTF-8, found other bytes.") from None
        if text:
            return text
    return ""


def _fields(line: str, separator: str) -> list[str]:
    """Values of a line."""
    found = [value.strip().strip('"').strip() for value in line.split(separator)]
    if len(found) > MAX_COLUMNS:
        raise UploadError(f"expected at most {MAX_COLUMNS} columns, found {len(found):,}.")
    return found
