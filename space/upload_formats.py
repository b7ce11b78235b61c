"""The formats of light curves: a long table (CSV, Parquet, FITS), arrays (NPZ, FITS images), rows of the dataset.

Readers give rows with `time`, `flux`, `flux_err`, `valid`, `wavelength` and the star table's columns; they check
what the format says of itself before they read, and raise UploadError. What the numbers mean is checked by `uploads`.
"""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upload_limits import (
    DAMAGED,
    MAX_BINS,
    MAX_CHANNELS,
    MAX_POINTS,
    MAX_UNPACKED_BYTES,
    MAX_VISITS,
    MB,
    UploadError,
    brief,
    check_members,
)

from hf_dataset.rows import rows_of
from modeling_ariel.visits_ariel import STAR_COLUMNS

Row = dict[str, Any]

NEEDED = ("time_h", "wavelength_um", "flux", "flux_err")
OPTIONAL = ("visit", *STAR_COLUMNS)
ARRAYS = ("time", "flux", "flux_err", "wavelength")
FEWEST_FILLED = 0.2  # of the grid time × wavelength: less is no grid


# --- the long table --------------------------------------------------------------------------------------------------


def from_table(table: Mapping[str, Any]) -> list[Row]:
    """Rows of a long table: columns (n,) of NEEDED and any of OPTIONAL, in any order; what is missing is invalid."""
    columns = {name: _numbers(name, table[name]) for name in (*NEEDED, *OPTIONAL) if name in table}
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
    star = {name: _constant(name, columns[name]) for name in STAR_COLUMNS if name in columns}
    return [
        {"visit": place, **_grid({name: columns[name][visit == number] for name in NEEDED}), **star}
        for place, number in enumerate(numbers)
    ]


def _numbers(name: str, values: Any) -> np.ndarray:
    """A column as float64; text in it is refused with its row."""
    if getattr(values, "dtype", None) is not None and values.dtype.kind in "fiu":
        return np.asarray(values, np.float64)
    series = pd.Series(values)
    converted = pd.to_numeric(series, errors="coerce")
    wrong = converted.isna() & series.notna() & ~series.astype(str).str.strip().str.lower().isin(("", "nan"))
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise UploadError(f"expected numbers in {name}, found {str(series.iloc[row])[:40]!r} in row {row + 1}.")
    return converted.to_numpy(np.float64)


def _constant(name: str, values: np.ndarray) -> float:
    known = np.unique(values[np.isfinite(values)])
    if known.size > 1:
        raise UploadError(
            f"expected one {name} for all rows, found {known.size} values, {known[0]:g} and {known[1]:g}."
        )
    return float(known[0]) if known.size else float("nan")


def _grid(columns: Mapping[str, np.ndarray]) -> Row:
    """(T, C) arrays of one visit; combinations that are not there are invalid."""
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
    return _visit(time, flux, error, wavelength)


def _visit(time: np.ndarray, flux: np.ndarray, error: np.ndarray, wavelength: np.ndarray | None) -> Row:
    """A row with channels ascending, and only what is finite valid."""
    if wavelength is not None and wavelength.ndim == 1 and wavelength.shape == flux.shape[1:]:
        order = np.argsort(wavelength, kind="stable")
        wavelength, flux, error = wavelength[order], flux[:, order], error[:, order]
    valid = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    if not valid.any():
        raise UploadError(
            f"expected flux and positive flux_err, found none in {valid.size:,} points "
            f"({int((~np.isfinite(flux)).sum()):,} without flux)."
        )
    row: Row = {"time": time, "flux": np.where(valid, flux, 0.0), "flux_err": np.where(valid, error, 1.0)}
    return row | {"valid": valid, "wavelength": wavelength}


def _check_columns(found: Sequence[str]) -> None:
    if missing := [name for name in NEEDED if name not in found]:
        shown = ", ".join(str(name)[:30] for name in list(found)[:8]) or "none"
        raise UploadError(f"expected columns {', '.join(NEEDED)}, missing {', '.join(missing)}, found {shown}.")


# --- CSV -------------------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> list[Row]:
    """A long table with a header line; lines that begin with # are comments."""
    try:
        header = pd.read_csv(path, nrows=0, comment="#", skipinitialspace=True)
        header.columns = [str(name).strip() for name in header.columns]
        _check_columns(list(header.columns))
        table = pd.read_csv(
            path, comment="#", skipinitialspace=True, nrows=MAX_POINTS + 1, low_memory=False, encoding="utf-8"
        )
    except UnicodeDecodeError:
        raise UploadError("expected text in UTF-8, found other bytes.") from None
    except DAMAGED as error:
        if isinstance(error, UploadError):
            raise
        raise UploadError(f"expected a table with commas, found {brief(error)}.") from None
    table.columns = [str(name).strip() for name in table.columns]
    return from_table({name: table[name] for name in table.columns})


# --- Parquet ---------------------------------------------------------------------------------------------------------


def read_parquet(path: Path) -> list[Row]:
    """A long table, or rows of the dataset of one planet; sizes are checked in the file's footer before reading."""
    try:
        with pq.ParquetFile(path, thrift_string_size_limit=10 * MB, thrift_container_size_limit=1_000_000) as file:
            _check_footer(file.metadata)
            names = file.schema_arrow.names
            if {"time", "flux", "flux_err"} <= set(names):
                wanted = [name for name in (*_ROW, *STAR_COLUMNS) if name in names]
                return _from_rows(file.read(columns=wanted, use_threads=False))
            _check_columns(names)
            columns = [name for name in (*NEEDED, *OPTIONAL) if name in names]
            table = file.read(columns=columns, use_threads=False)
            return from_table({name: _flat(name, table[name]) for name in columns})
    except DAMAGED as error:
        if isinstance(error, UploadError):
            raise
        raise UploadError(f"expected a whole Parquet file, found {brief(error)}.") from None


_ROW = ("planet_id", "visit", "layout", "time", "flux", "flux_err", "valid", "centroid", "spectrum", "wavelength")


def _flat(name: str, column: pa.ChunkedArray) -> Any:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise UploadError(f"expected numbers in {name}, found {column.type}.")
    return column.to_pandas()


def _check_footer(footer: pq.FileMetaData) -> None:
    values = unpacked = 0
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            values, unpacked = values + chunk.num_values, unpacked + chunk.total_uncompressed_size
    if footer.num_rows > MAX_POINTS or values > 20 * MAX_POINTS:
        raise UploadError(f"expected at most {MAX_POINTS:,} rows, found {footer.num_rows:,} with {values:,} values.")
    if unpacked > MAX_UNPACKED_BYTES:
        raise UploadError(f"expected at most {MAX_UNPACKED_BYTES // MB} MB unpacked, found {unpacked / MB:.0f} MB.")


def _from_rows(table: pa.Table) -> list[Row]:
    """Rows of the dataset; those of one planet."""
    if not 1 <= table.num_rows <= MAX_VISITS:
        raise UploadError(f"expected 1 to {MAX_VISITS} rows (visits of one planet), found {table.num_rows}.")
    rows = []
    for row in rows_of(table):
        arrays = {name: np.asarray(row[name], np.float64) for name in ("time", "flux", "flux_err")}
        _check_shapes(arrays["time"], arrays["flux"], arrays["flux_err"], row.get("wavelength"))
        wavelength = None if row.get("wavelength") is None else np.asarray(row["wavelength"], np.float64)
        made = _visit(*arrays.values(), wavelength)
        if row.get("valid") is not None:
            given = np.asarray(row["valid"])
            if given.shape != made["valid"].shape:
                raise UploadError(f"expected valid of shape {made['valid'].shape}, found {given.shape}.")
            made["valid"] = made["valid"] & given.astype(bool)
        kept = {name: row[name] for name in ("planet_id", "visit", "layout", "centroid", "spectrum", *STAR_COLUMNS)
                if row.get(name) is not None}  # fmt: skip
        rows.append({**kept, **made})
    planets = {row.get("planet_id") for row in rows}
    if len(planets) > 1:
        raise UploadError(f"expected the visits of one planet, found {len(planets)} planets.")
    return rows


def _check_shapes(time: np.ndarray, flux: np.ndarray, error: np.ndarray, wavelength: Any) -> None:
    channels = flux.shape[1:] if wavelength is None else np.shape(wavelength)
    if time.ndim != 1 or flux.ndim != 2 or flux.shape != (time.size, *channels) or error.shape != flux.shape:
        found = f"{time.shape}, {flux.shape}, {error.shape}, {'none' if wavelength is None else channels}"
        raise UploadError(f"expected time (T,), flux and flux_err (T, C), wavelength (C,), found shapes {found}.")


# --- NPZ -------------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> list[Row]:
    """Arrays time (T,), flux and flux_err (T, C), wavelength (C,), optionally valid, centroid (T, 4), star scalars."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in check_members(path.name, archive):
                _check_array(archive, member)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in (*ARRAYS, "valid", "centroid", *STAR_COLUMNS)}
    except DAMAGED as error:
        if isinstance(error, UploadError):
            raise
        raise UploadError(f"expected a whole NPZ file, found {brief(error)}.") from None
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise UploadError(
            f"expected arrays {', '.join(ARRAYS)}, missing {', '.join(missing)}, found {', '.join(arrays) or 'none'}."
        )
    return [_from_arrays(arrays)]


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse what is not a plain array of numbers, or claims more values than its bytes hold."""
    name = member.filename.removesuffix(".npy")[:40]
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        except ValueError:
            raise UploadError(f"expected NumPy arrays, found {member.filename[:40]!r}, which is none.") from None
    if dtype.hasobject:
        raise UploadError(f"expected arrays of numbers, found {name} with Python objects (pickle), which is not read.")
    if dtype.kind not in "fiub":
        raise UploadError(f"expected arrays of numbers, found {name} of {dtype}.")
    if (
        any(n < 0 for n in shape)
        or int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize > member.file_size
    ):
        raise UploadError(f"expected {name} as large as its header says, {shape}, found {member.file_size:,} bytes.")


def _from_arrays(arrays: Mapping[str, Any]) -> Row:
    time, flux, error, wavelength = (np.asarray(arrays[name], np.float64) for name in ARRAYS)
    _check_shapes(time, flux, error, wavelength)
    row = _visit(time, flux, error, wavelength)
    if "valid" in arrays:
        valid = np.asarray(arrays["valid"])
        if valid.shape != flux.shape:
            raise UploadError(f"expected valid of shape {flux.shape}, found {valid.shape}.")
        row["valid"] = row["valid"] & valid.astype(bool)[:, np.argsort(wavelength, kind="stable")]
    if "centroid" in arrays:
        row["centroid"] = np.asarray(arrays["centroid"], np.float64)
    for name in STAR_COLUMNS:
        if name in arrays:
            row[name] = _constant(name, np.atleast_1d(np.asarray(arrays[name], np.float64)).ravel())
    return row


# --- FITS ------------------------------------------------------------------------------------------------------------


def read_fits(path: Path) -> list[Row]:
    """A table of the long format's columns, or images FLUX, FLUX_ERR (T rows, C columns), TIME and WAVELENGTH."""
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyError, VerifyWarning
    from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            warnings.simplefilter("ignore", VerifyWarning)
            warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
            with fits.open(path, memmap=False, lazy_load_hdus=False, disable_image_compression=True) as hdus:
                _check_hdus(hdus)
                return _from_hdus(hdus)
    except (*DAMAGED, VerifyError, AstropyUserWarning) as error:
        if isinstance(error, UploadError):
            raise
        raise UploadError(f"expected a whole FITS file, found {brief(error)}.") from None


def _check_hdus(hdus: Any) -> None:
    """Refuse by the headers alone what is too large, or kept in a heap or compressed."""
    total = 0
    for hdu in hdus:
        header = hdu.header
        if header.get("ZIMAGE") or header.get("ZTABLE"):
            raise UploadError("expected images and tables that are not compressed, found compressed ones.")
        if header.get("XTENSION", "").strip() == "BINTABLE" and header.get("PCOUNT", 0):
            raise UploadError("expected columns of numbers, found columns of arrays of varying length.")
        sizes = [int(header.get(f"NAXIS{axis + 1}", 0)) for axis in range(int(header.get("NAXIS", 0)))]
        if sizes:
            total += abs(int(header.get("BITPIX", 8))) // 8 * int(np.prod(sizes, dtype=object))
    if total > MAX_UNPACKED_BYTES:
        raise UploadError(f"expected at most {MAX_UNPACKED_BYTES // MB} MB of data, found {total / MB:.0f} MB.")


def _from_hdus(hdus: Any) -> list[Row]:
    images = {hdu.name.upper(): hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0)}
    tables = [hdu for hdu in hdus if not hdu.is_image and getattr(hdu, "columns", None) is not None]
    known = {name.lower(): name for name in (*NEEDED, *OPTIONAL)}
    for hdu in tables:
        names = {known[str(column).lower()]: column for column in hdu.columns.names if str(column).lower() in known}
        if set(NEEDED) <= set(names):
            return from_table({name: _column(name, hdu.data[column]) for name, column in names.items()})
    wanted = {"TIME": "time", "FLUX": "flux", "FLUX_ERR": "flux_err", "WAVELENGTH": "wavelength"}
    if set(wanted) <= set(images):
        arrays = {name: _native(images[hdu].data) for hdu, name in wanted.items()}
        header = images["FLUX"].header
        star = {
            name: header[name.upper()] for name in STAR_COLUMNS if isinstance(header.get(name.upper()), int | float)
        }
        return [_from_arrays({**arrays, **star})]
    if tables:
        _check_columns([name for hdu in tables for name in hdu.columns.names])
    found = ", ".join(f"{hdu.name or 'unnamed'} of shape {getattr(hdu, 'shape', ())}" for hdu in hdus)
    raise UploadError(
        f"expected a table with columns {', '.join(NEEDED)}, or images {', '.join(wanted)}, found {found[:160]}."
    )


def _column(name: str, values: Any) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1:
        raise UploadError(f"expected one number a row in {name}, found arrays of shape {values.shape[1:]}.")
    return _native(values) if values.dtype.kind in "fiu" else values


def _native(values: Any) -> np.ndarray:
    """In this machine's byte order."""
    values = np.asarray(values)
    return values.astype(values.dtype.newbyteorder("=")) if values.dtype.kind in "fiu" else values


# --- examples --------------------------------------------------------------------------------------------------------


def write_example(kind: str, rows: Sequence[Mapping[str, Any]], wavelength: np.ndarray, path: Path) -> Path:
    """The rows of the dataset (C channels at ``wavelength`` [um]) as a file of that kind, whole or not at all."""
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
    """The minimal format, with what is not valid left out, and what is known of the star."""
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
