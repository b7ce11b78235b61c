"""Tables in text: CSV, TSV, semicolons, columns of a fixed width with a header line or a commented one, and ECSV."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.light_curves.clocks import BKJD, BTJD, is_time
from ariel_scripts.light_curves.columns import EMPTY, Columns
from ariel_scripts.light_curves.curves import ReadOptions, first_line, missing_extra
from modeling_ariel.any_telescope.observation import ObservationError

META_WORDS = ("name", "instrument", "bjd0", "time_unit", "wavelength_unit")
META = re.compile(rf"^#\s*({'|'.join(META_WORDS)})\s*[:=]\s*(.+?)\s*$", re.I)
DECIMAL = re.compile(r"^\s*([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)\s*$")
BRACKETS = re.compile(r"^(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]\s*$")


def read_text(path: Path, options: ReadOptions) -> Columns:
    """Columns of a table in text; ObservationError where it has no header or rows of other lengths."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ObservationError(f"{path.name}: expected a table in UTF-8, found other bytes") from None
    if text.startswith("# %ECSV"):
        return _ecsv(path)
    lines = text.splitlines()
    comments = [line for line in lines if line.lstrip().startswith("#")]
    places = [place for place, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    meta = {match[1].lower(): match[2] for line in comments if (match := META.match(line))}
    if not places:
        raise ObservationError(f"{path.name}: expected a table with a header and rows, found no rows")
    rows = [lines[place] for place in places]
    separator = _separator(rows[0])
    head = _fields(rows[:3], separator)
    before = len(head)
    names = _header(path.name, comments, head, separator, options)
    width = len(names)
    units = [""] * width
    if len(head) > 1 and len(head[0]) == width and _is_units(head[0]):
        units = [one.strip("[]() ") for one in head.pop(0)]
    skipped = before - len(head)
    if len(rows) == skipped:
        raise ObservationError(f"{path.name}: expected rows after the header, found none")
    columns = Columns(path.name, {}, {}, meta)
    read = _values(path.name, rows[skipped:], places[skipped:], separator, width)
    for name, unit, values in zip(names, units, read, strict=True):
        match = BRACKETS.match(name)
        bare = match[1] if match and match[1] else name
        if bare in columns.values:
            raise ObservationError(f"{path.name}: expected each column once, found {bare} twice")
        columns.units[bare] = (match[2] if match and match[1] else "") or unit
        columns.values[bare] = values
    return columns


def _values(
    where: str, lines: list[str], places: list[int], separator: str | None, width: int
) -> list[NDArray[np.generic]]:
    """Columns of rows, by NumPy's own parser where all are numbers; ``places`` (n,) of the lines in the file."""
    if separator != "|":
        try:
            numbers = np.loadtxt(lines, np.float64, comments=None, delimiter=separator, quotechar='"', ndmin=2)
            if numbers.shape[1] == width:
                return list(numbers.T)
        except ValueError:
            pass  # text, empty values, rows of other lengths
    rows = _fields(lines, separator)
    for place, row in zip(places, rows, strict=True):
        if len(row) != width:
            raise ObservationError(
                f"{where}: expected {width} values a row, as the header has, found {len(row)} in line {place + 1}"
            )
    return [_column(values) for values in zip(*rows, strict=True)]


def _column(values: tuple[str, ...]) -> NDArray[np.generic]:
    """Numbers where all are, else text."""
    try:
        return np.array(values, np.float64)
    except ValueError:
        return np.array([one.strip() for one in values])


def _separator(line: str) -> str | None:
    """What is between values; None for any white space."""
    return next((one for one in (";", ",", "\t", "|") if one in line), None)


def _fields(lines: list[str], separator: str | None) -> list[list[str]]:
    """Values of rows."""
    if separator is None:
        return [line.split() for line in lines]
    if separator == "|":
        lines = [line.strip().strip("|") for line in lines]
    if any('"' in line for line in lines):
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    else:
        rows = [line.split(separator) for line in lines]
    rows[0] = [one.strip() for one in rows[0]]
    if separator == ";" and any("," in line for line in lines):  # where a comma may be the decimal point
        rows = [[DECIMAL.sub(r"\1.\2", one) for one in row] for row in rows]
    return rows


def _is_units(row: list[str]) -> bool:
    """Whether a row has words and no number."""
    words = [one for one in row if one.lower() not in EMPTY]
    return bool(words) and not any(_numeric(one) for one in words)


def _numeric(text: str) -> bool:
    if text.lower() in EMPTY:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header(
    where: str, comments: list[str], rows: list[list[str]], separator: str | None, options: ReadOptions
) -> list[str]:
    """Names of columns: as given, of the first row (taken off ``rows``), or of the last comment that has as many."""
    width = len(rows[0])
    # names of channels may be numbers, that of times is not; instruments in rows of data are words
    first_is_names = any(is_time(one) for one in rows[0]) or not any(_numeric(one) for one in rows[0])
    if options.columns:
        if first_is_names:
            rows.pop(0)
        if len(options.columns) != width:
            raise ObservationError(f"{where}: --columns: expected {width} names, found {len(options.columns)}")
        return list(options.columns)
    if first_is_names:
        return rows.pop(0)
    for line in reversed(comments):
        bare = line.lstrip("# \t")
        for one in (separator, ",", None):
            names = [name.strip() for name in _fields([bare], one)[0]] if bare else []
            if len(names) == width and not all(_numeric(name) for name in names):
                return names
    raise ObservationError(
        f"{where}: expected names of the {width} columns in the first line, found data: give them, as in "
        "--columns bjd_tdb,flux,flux_err"
    )


def _ecsv(path: Path) -> Columns:
    """astropy's text table, with its units."""
    try:
        from astropy.table import Table
    except ImportError:
        raise missing_extra(path.name, "astropy") from None
    _know_missions()
    try:
        table = Table.read(path, format="ascii.ecsv")
    except Exception as error:  # astropy's parser raises many kinds
        raise ObservationError(
            f"{path.name}: expected an ECSV table, found one that astropy refuses: {first_line(error)}"
        ) from None
    return from_astropy(path.name, table)


def _know_missions() -> None:
    """Teach astropy lightkurve's formats of times, btjd and bkjd, where lightkurve itself has not."""
    from astropy.time import Time, TimeFromEpoch

    for name, zero in (("btjd", BTJD), ("bkjd", BKJD)):
        if name not in Time.FORMATS:
            epoch = {"epoch_val": zero, "epoch_val2": None, "epoch_scale": "tdb", "epoch_format": "jd"}
            type(name, (TimeFromEpoch,), {"name": name, "unit": 1.0, **epoch})  # a format is known once it is a class


def from_astropy(where: str, table: Any) -> Columns:
    """Columns of an astropy Table; those of several values a row are left out."""
    columns = Columns(
        where, {}, {}, {key: str(table.meta[key]) for key in META_WORDS if table.meta.get(key) is not None}
    )
    for name in table.colnames:
        column = table[name]
        if hasattr(column, "jd"):  # astropy's Time
            columns.values[name] = np.asarray(column.jd, np.float64)
            columns.units[name] = "bjd_tdb" if column.scale == "tdb" else f"jd_{column.scale}"
            continue
        values = getattr(column, "value", column)
        if np.ndim(values) != 1:
            continue
        if isinstance(values, np.ma.MaskedArray):
            numbers = values.dtype.kind in "fiu"
            values = np.ma.filled(values.astype(np.float64), np.nan) if numbers else np.ma.filled(values)
        array = np.asarray(values)
        columns.values[name] = array.astype(array.dtype.newbyteorder("=")) if array.dtype.kind in "fiu" else array
        columns.units[name] = "" if column.unit is None else str(column.unit)
    return columns
