"""Light curves in Parquet: the long table, or rows of the dataset of one planet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.rows import VisitRow
from hf_dataset.store.rows import rows_of
from modeling_ariel.columns import STAR_COLUMNS
from uploads.arrays import check_shapes, valid_points
from uploads.limits import MAX_POINTS, MAX_UNPACKED_BYTES, MAX_VISITS, MB, UploadError, refuse_damaged
from uploads.tables import OPTIONAL, REQUIRED, check_columns, from_table, precise, visit_row

THRIFT = {"thrift_string_size_limit": 10 * MB, "thrift_container_size_limit": 1_000_000}  # of a footer
_ROW = ("planet_id", "visit", "layout", "time", "flux", "flux_err", "valid", "centroid", "spectrum", "wavelength")


def read_parquet(path: Path) -> list[VisitRow]:
    """A long table, or rows of the dataset of one planet; sizes are checked in the file's footer before reading."""
    with refuse_damaged("a whole Parquet file"), pq.ParquetFile(path, **THRIFT) as file:
        check_footer(file.metadata)
        names = file.schema_arrow.names
        if {"time", "flux", "flux_err"} <= set(names):
            wanted = [name for name in (*_ROW, *STAR_COLUMNS) if name in names]
            return _from_rows(file.read(columns=wanted, use_threads=False))
        check_columns(names)
        columns = [name for name in (*REQUIRED, *OPTIONAL) if name in names]
        table = file.read(columns=columns, use_threads=False)
        return from_table({name: _flat(name, table[name]) for name in columns})


def _flat(name: str, column: pa.ChunkedArray) -> Any:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise UploadError(f"expected numbers in {name}, found {column.type}.")
    return column.to_pandas()


def check_footer(footer: pq.FileMetaData) -> None:
    """Refuse columns that are too long or unpack to too much."""
    values = unpacked = 0
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            values, unpacked = values + chunk.num_values, unpacked + chunk.total_uncompressed_size
    if footer.num_rows > MAX_POINTS or values > 20 * MAX_POINTS:
        raise UploadError(f"expected at most {MAX_POINTS:,} rows, found {footer.num_rows:,} with {values:,} values.")
    if unpacked > MAX_UNPACKED_BYTES:
        raise UploadError(f"expected at most {MAX_UNPACKED_BYTES // MB} MB unpacked, found {unpacked / MB:.0f} MB.")


def _from_rows(table: pa.Table) -> list[VisitRow]:
    """Visits from rows of the dataset; UploadError if they are of several planets."""
    if not 1 <= table.num_rows <= MAX_VISITS:
        raise UploadError(f"expected 1 to {MAX_VISITS} rows (visits of one planet), found {table.num_rows}.")
    rows: list[VisitRow] = []
    for row in rows_of(table):
        time, flux, flux_err = (precise(name, row[name]) for name in ("time", "flux", "flux_err"))
        check_shapes(time, flux, flux_err, row.get("wavelength"))
        wavelength = None if row.get("wavelength") is None else np.asarray(row["wavelength"], np.float64)
        made = visit_row(time, flux, flux_err, wavelength)
        if row.get("valid") is not None:
            made["valid"] &= valid_points(row["valid"], made["valid"].shape)
        kept = {
            name: row[name]
            for name in ("planet_id", "visit", "layout", "centroid", "spectrum", *STAR_COLUMNS)
            if row.get(name) is not None
        }
        rows.append(cast(VisitRow, {**kept, **made}))
    planets = {row.get("planet_id") for row in rows}
    if len(planets) > 1:
        raise UploadError(f"expected the visits of one planet, found {len(planets)} planets.")
    return rows
