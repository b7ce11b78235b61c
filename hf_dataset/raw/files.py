"""Opens the files of a raw folder, Parquet frames and CSV tables, and checks that they are what they claim to be.

Nothing here knows a layout. A file may be missing, a folder, a broken link or half a download: each is a RawDataError
with the path, what was expected and what was found.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

INDEX_COLUMN = "__index_level"  # pandas stores an index under this name
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")
_SIGNATURES = {  # first bytes of what people hand over in place of a CSV table
    b"\x1f\x8b": "gzip: unpack it",
    b"BZh": "bzip2: unpack it",
    b"\xfd7zXZ": "xz: unpack it",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it",
    b"PK\x03\x04": "zip (or xlsx): unpack it, or save it as CSV",
    b"7z\xbc\xaf": "7z: unpack it",
    b"PAR1": "Parquet: save it as CSV",
}
_SOME_ROWS = 5
_DECIMAL = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class RawDataError(ValueError):
    """A raw folder or file breaks the challenge's layout; names file, planet, what was expected and found."""


def what_is(path: Path) -> str:
    """What is at a path, in words: `a file`, `a folder`, `none`, `a broken link`, …"""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a broken link" if os.path.islink(path) else "none"
    except OSError as error:  # no permission
        return f"one that cannot be reached ({error.strerror})"
    return {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder"}.get(stat.S_IFMT(mode), "a special file")


def require_file(path: Path, expected: str, of: str = "") -> None:
    """Raise RawDataError unless `path` is a regular file, or a link to one."""
    if (found := what_is(path)) == "a file":
        return
    if found == "none":
        parent = what_is(path.parent)
        if other := other_form(path):
            found = other
        elif parent == "a folder":
            others = sorted(entry.name for entry in path.parent.glob(f"*{path.suffix}"))[:4]
            found += f" (there: {', '.join(others)})" if others else ""
        else:
            found += f" ({path.parent} is {parent})"
    raise RawDataError(f"{path}{of}: expected {expected}, found {found}")


def other_form(path: Path) -> str:
    """What lies in place of a file that is missing, and what to do: `train.csv.gz: unpack it`; empty where nothing."""
    if what_is(path) != "none" or what_is(path.parent) != "a folder":
        return ""
    names = sorted(os.listdir(path.parent))
    for name in names:
        if name.lower() == path.name.lower():
            return f"{name}: rename it"
        if name.lower() in {f"{path.name}{ending}".lower() for ending in PACKED}:
            return f"{name}: unpack it"
    others = {f"{path.stem}{ending}" for ending in (".csv", ".tsv", ".xlsx", ".parquet")}
    return next((f"{name}: save it as {path.suffix[1:]}" for name in names if name in others), "")


# --- Parquet -------------------------------------------------------------------------------------------------------


def open_parquet(path: Path, of: str = "") -> pq.ParquetFile:
    """A Parquet file whose footer is whole; `of` (" of planet 1 visit 0") follows the path in messages."""
    require_file(path, "a Parquet file", of)
    try:
        # a buffer would hold far more than the requested columns; checksums are verified where present
        return pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RawDataError(
            f"{path}{of}: expected a whole Parquet file, found {path.stat().st_size:,} bytes: {error}"
        ) from error


def array_columns(schema: pa.Schema, path: Path, of: str = "") -> list[int]:
    """Positions of the columns of an array stored as `column_0`, `column_1`, …: in this order, or RawDataError.

    An index that pandas stored is left out. Columns are read by position, so another order would scramble pixels.
    """
    names = schema.names  # pyarrow builds the list on every access
    at = [i for i, name in enumerate(names) if not name.startswith(INDEX_COLUMN)]
    for k, i in enumerate(at):
        if names[i] != f"column_{k}":
            raise RawDataError(
                f"{path}{of}: expected the columns column_0, column_1, … in order, found {names[i]!r} "
                f"in place of column_{k}"
            )
    return at


def read_frame(path: Path, of: str = "") -> NDArray[np.float64]:
    """(row, column) of an array stored as one Parquet column per array column; a null is NaN."""
    file = open_parquet(path, of)
    try:
        schema = file.schema_arrow
        at = array_columns(schema, path, of)
        if not at or file.metadata.num_rows == 0:
            raise RawDataError(f"{path}{of}: expected numbers, found {file.metadata.num_rows} rows × {len(at)} columns")
        if wrong := {str(kind) for i in at if not _is_number(kind := schema.field(i).type)}:
            raise RawDataError(f"{path}{of}: expected numbers, found {', '.join(sorted(wrong))}")
        table = file.read(use_threads=False)
        return np.stack([column_values(table.column(i)) for i in at], axis=1)
    except (pa.ArrowException, OSError) as error:
        raise RawDataError(f"{path}{of}: cannot be decoded: {error}") from error
    finally:
        file.close()


def column_values(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """(row,) float64 of a column of numbers or truth values; a null is NaN."""
    if column.type != pa.float64():
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(), np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


# --- CSV -----------------------------------------------------------------------------------------------------------


def csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """(line number from 1, fields) of every line of a UTF-8 CSV table that is not empty, the header first.

    A byte order mark is left out. RawDataError where it is no such table, packed, or has other separators.
    """
    require_file(path, "a CSV table")
    try:
        content = path.read_bytes()
        if packed := next((what for start, what in _SIGNATURES.items() if content.startswith(start)), None):
            raise RawDataError(f"{path}: expected a CSV table in UTF-8, found {packed}")
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RawDataError(f"{path}: expected a CSV table in UTF-8, found {error}") from error
    if not lines:
        raise RawDataError(f"{path}: expected a CSV table, found an empty file")
    header = lines[0][1]
    for mark, name in _SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            raise RawDataError(
                f"{path}: expected commas between columns, found {name} ({header[0][:40]}…): save it with commas, and "
                "with decimal points"
            )
    return lines


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """(column names, rows of texts) of a CSV table, each column once; see :func:`csv_lines`."""
    (_, first), *lines = csv_lines(path)
    header = [name.strip() for name in first]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise RawDataError(f"{path}: expected every column once, found {', '.join(repeated)} more than once")
    return header, [row for _, row in lines]


def row_of(path: Path, what: str, header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """One row by column name; RawDataError where it has more or fewer fields than the header (a decimal comma, say)."""
    if len(row) != len(header):
        raise RawDataError(f"{path}: {what}: expected {len(header)} fields as in the header, found {len(row)}")
    return dict(zip(header, row, strict=True))


def numbers(path: Path, what: str, row: dict[str, str], names: Sequence[str]) -> NDArray[np.float64]:
    """(name,) values of a row; an empty field is NaN. RawDataError if a column is missing or not a number."""
    if missing := [name for name in names if name not in row]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise RawDataError(f"{path}: {what}: expected the columns {', '.join(missing[:3])}{more}, found none of them")
    values = np.full(len(names), np.nan)
    for k, name in enumerate(names):
        try:
            values[k] = float(row[name] or "nan")
        except ValueError as error:
            raise RawDataError(f"{path}: {what}: expected a number in {name}, found {row[name]!r}") from error
    return values


class PlanetTable:
    """A CSV table with rows by planet.

    A row is checked when its planet is requested, so one planet's bad row does not affect others.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header, rows = read_csv(path)
        if "planet_id" not in self.header:
            raise RawDataError(f"{path}: expected a column planet_id, found {', '.join(self.header[:8])}")
        at = self.header.index("planet_id")
        self._rows: dict[int | None, list[list[str]]] = {}
        for row in rows:
            self._rows.setdefault(planet_number(row[at]) if at < len(row) else None, []).append(row)

    def __contains__(self, planet: int) -> bool:
        return planet in self._rows

    @property
    def planets(self) -> list[int]:
        """Every planet of the table, in its order; RawDataError where a planet_id is no whole number."""
        if None in self._rows:
            at = self.header.index("planet_id")
            found = next((row[at] for row in self._rows[None] if at < len(row)), "a short row")
            raise RawDataError(f"{self.path}: expected whole numbers in planet_id, found {found!r}")
        return [planet for planet in self._rows if planet is not None]

    def median(self, column: str) -> float:
        """Of the rows that have a number there; NaN where they are too few to say what is typical."""
        at = self.header.index(column)
        fields = [row[at] for rows in self._rows.values() for row in rows if at < len(row)]
        values = [float(field) for field in fields if _DECIMAL.fullmatch(field)]
        return float(np.median(values)) if len(values) >= _SOME_ROWS else float("nan")

    def row(self, planet: int) -> dict[str, str]:
        """The planet's row; two equal ones are one, two that differ a RawDataError."""
        rows = self._rows.get(planet, [])
        if not rows:
            unread = len(self._rows.get(None, []))
            raise RawDataError(
                f"{self.path}: expected a row of planet {planet}, found {len(set(self._rows) - {None})} other planets"
                + (f" and {unread} rows whose planet_id is no whole number" if unread else "")
            )
        if any(row != rows[0] for row in rows):
            raise RawDataError(f"{self.path}: planet {planet}: expected one row, found {len(rows)} that differ")
        return row_of(self.path, f"planet {planet}", self.header, rows[0])


def planet_number(text: str) -> int | None:
    """The planet number (1103775, or 1103775.0 as in the 2025 test table), None if it is no whole number."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return None
    whole = value.is_finite() and value == value.to_integral_value() and not re.search(r"[^\d.eE+]", text.strip())
    return int(value) if whole and value < 2**63 else None
