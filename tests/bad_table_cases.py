"""Bad inputs: the tables of a folder."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import spoiled_folders as spoil
from spoiled_folders import EVERYTHING, SAME, TRAIN, TRUE, WHOLE, WL, Case

PLANETS_2024 = ((7, 0), (11, 0))


def table_cases() -> Iterator[Case]:
    """What goes wrong with tables."""
    yield from _adc()
    yield from _stars()
    yield from _labels()
    yield from _wavelengths()
    yield from _axes()


def _of(group: str, name: str, layout: str, visits: Any) -> Callable[..., Case]:
    """Makes cases that change the table `name`."""

    def case(what: str, how: Callable[[Path], Any], *found: str, outcome: str | None = None, **more: Any) -> Case:
        more = {"layout": layout, "visits": visits, **more}
        return Case(group, what, lambda root: how(root / name), outcome or (name, *found), **more)

    return case


def _repeat_row(path: Path, **changes: object) -> None:
    """Repeat the row of planet 7, some fields changed."""

    def change(header: list[str], rows: list[list[str]]) -> None:
        row = next(row for row in rows if float(row[0]) == 7)
        rows.append([str(changes.get(name.replace("-", "_"), value)) for name, value in zip(header, row, strict=True)])

    spoil.table(path, change)


def _without(path: Path, column: str) -> None:
    def change(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
        keep = [k for k, name in enumerate(header) if name != column]
        return [header[k] for k in keep], [[row[k] for k in keep] for row in rows]

    spoil.table(path, change)


def _reordered(path: Path) -> None:
    """The columns in the reverse order, the first one left."""
    spoil.table(path, lambda h, rows: ([h[0], *h[:0:-1]], [[r[0], *r[:0:-1]] for r in rows]))


def _adc() -> Iterator[Case]:
    name, gain = "train_adc_info.csv", "FGS1_adc_gain"
    case = _of("ADC table", name, "2024", ((7, 0),))
    table = _of("ADC table", name, "2024", PLANETS_2024)

    def cell(value: object, column: str = gain) -> Callable[[Path], None]:
        return lambda path: spoil.cell(path, 7, column, value)

    def drop(path: Path) -> None:
        spoil.table(path, lambda header, rows: (header, [row for row in rows if row[0] != "7"]))

    ranged = "planet 7: expected FGS1_adc_gain positive, from 0.01 to 100, found "
    yield case("without the planet", drop, "expected a row of planet 7, found 1 other planets")
    yield case("with the planet twice, alike", _repeat_row, outcome=SAME)
    yield case(
        "with the planet twice, unlike",
        lambda p: _repeat_row(p, FGS1_adc_gain=2),
        "expected one row, found 2 that differ",
    )
    for value in (0, -0.4369, "nan", "", "inf", 1e9):
        found = "nan" if value == "" else f"{float(value):g}"
        yield case(f"gain {value or 'empty' if value != 0 else 0}", cell(value), ranged + found)
    yield case("gain a text", cell("abc"), "planet 7: expected a number in FGS1_adc_gain, found 'abc'")
    yield case("offset a text", cell("-1e3 e-", "FGS1_adc_offset"), "expected a number in FGS1_adc_offset")
    yield case("offset infinite", cell("-inf", "FGS1_adc_offset"), "planet 7: expected FGS1_adc_offset within")
    yield case("a decimal comma", lambda p: spoil.text(p, "7,-1000.0", "7,-1000,0"), "expected 6 fields", "found 7")
    yield case("a short row", lambda p: spoil.text(p, "0.4369,1\n", "0.4369\n"), "expected 6 fields", "found 5")
    yield case("star 1.5", cell(1.5, "star"), "planet 7: expected star to be an index, found '1.5'")
    yield case("star infinite", cell("inf", "star"), "planet 7: expected star to be an index, found 'inf'")
    yield case("star a text", cell("G2V", "star"), "planet 7: expected a number in star, found 'G2V'")
    yield case("star empty", cell("", "star"), outcome=TRUE, check=lambda row: _expect(spoil.column(row, "star"), -1))
    yield case(
        "planet_id 7.5",
        lambda p: spoil.text(p, "\n7,", "\n7.5,"),
        "expected a row of planet 7, found 1 other planets and 1 rows whose planet_id is no whole number",
    )
    yield case("planet_id a text", lambda p: spoil.text(p, "\n7,", "\nseven,"), "expected a row of planet 7")
    yield case("planet_id 7.0", lambda p: spoil.text(p, "\n7,", "\n7.0,"), outcome=SAME)
    yield case("a byte order mark", lambda p: spoil.put(p, "\ufeff" + p.read_text()), outcome=SAME)
    yield case("columns in another order", _reordered, outcome=SAME)
    yield case("empty lines", lambda p: spoil.put(p, p.read_text().replace("\n", "\n\n")), outcome=SAME)
    yield table("missing", Path.unlink, "expected a CSV table, found none")
    yield table("empty", lambda p: spoil.put(p, b""), "expected a CSV table, found an empty file")
    yield table("a folder", lambda p: spoil.replace_by(p, Path.mkdir), "found a folder")
    yield table("header only", lambda p: spoil.table(p, lambda h, rows: (h, [])), "found 0 other planets")
    yield table("without the gain's column", lambda p: _without(p, gain), "expected the columns FGS1_adc_gain")
    yield table("without planet_id", lambda p: _without(p, "planet_id"), "expected a column planet_id")
    yield table("a column twice", lambda p: spoil.text(p, "FGS1_adc_offset", gain), "every column once", gain)
    yield table(
        "semicolons",
        lambda p: spoil.put(p, p.read_text().replace(",", ";")),
        "expected commas between columns, found semicolons",
    )
    yield table("tabs", lambda p: spoil.put(p, p.read_text().replace(",", "\t")), "found tabs")
    yield table("in UTF-16", lambda p: spoil.put(p, p.read_text().encode("utf-16")), "expected a CSV table in UTF-8")
    whole = _of("ADC table", "adc_info.csv", "2025", EVERYTHING)
    yield whole("two rows for all", lambda p: spoil.put(p, p.read_text() + "1,1,1,1\n"), "expected one row", "found 2")
    yield whole(
        "no row", lambda p: spoil.table(p, lambda h, rows: (h, [])), "expected one row for all planets, found 0"
    )
    yield whole("gain zero", lambda p: spoil.text(p, "0.4369", "0"), "_adc_gain positive, from 0.01 to 100, found 0")
    yield whole("missing", Path.unlink, "expected a CSV table, found none")


def _expect(found: object, expected: object) -> None:
    if found != expected and not (found != found and expected != expected):
        raise AssertionError(f"expected {expected}, found {found}")


def _stars() -> Iterator[Case]:
    case = _of("star table", "train_star_info.csv", "2025", WHOLE)
    table = _of("star table", "train_star_info.csv", "2025", TRAIN)

    def cell(value: object, column: str) -> Callable[[Path], None]:
        return lambda path: spoil.cell(path, 7, column, value)

    for value in ("", "nan"):
        yield case(
            f"Rs {value or 'empty'}",
            cell(value, "Rs"),
            outcome=TRUE,
            check=lambda row: _expect(spoil.column(row, "Rs"), math.nan),
        )
    absurd = {"Rs": -1, "Ms": 0, "Ts": "inf", "Mp": -2, "e": 1.5, "P": 0, "sma": 1e9, "i": 900}
    for column, value in absurd.items():
        yield case(
            f"{column} {value}", cell(value, column), f"planet 7: expected {column} from", f"found {float(value):g}"
        )
    yield case("Ts a text", cell("hot", "Ts"), "planet 7: expected a number in Ts, found 'hot'")
    yield case("the planet twice, alike", _repeat_row, outcome=SAME)
    yield case("the planet twice, unlike", lambda p: _repeat_row(p, Rs=2), "expected one row, found 2 that differ")
    yield case("without the planet", lambda p: spoil.text(p, "\n7.0,", "\n8.0,"), "expected a row of planet 7")
    yield case("columns in another order", _reordered, outcome=SAME)
    yield table("without a column", lambda p: _without(p, "sma"), "expected the columns sma")
    yield table("missing", Path.unlink, "expected a CSV table, found none")
    yield table("a picture", lambda p: spoil.put(p, bytes(range(256))), "expected a CSV table in UTF-8")


def _labels() -> Iterator[Case]:
    case = _of("labels", "train.csv", "2025", WHOLE)
    table = _of("labels", "train.csv", "2025", TRAIN)

    def cell(value: object) -> Callable[[Path], None]:
        return lambda path: spoil.cell(path, 7, "wl_17", value)

    unlabelled = partial(lambda row: _expect(spoil.column(row, "spectrum"), None))
    for value in ("nan", "", -0.01, 1.5, "inf"):
        yield case(
            f"a channel {value or 'empty'}", cell(value), "planet 7: expected 283 finite wl_… from 0 to 1", "at wl_17"
        )
    yield case("a channel a text", cell("deep"), "planet 7: expected a number in wl_17, found 'deep'")
    yield case("in percent", lambda p: spoil.text(p, "7,0.02,0.02", "7,2.0,2.0"), "from 0 to 1, found 2.0 at wl_1")
    yield case("a short row", lambda p: spoil.text(p, "0.02,0.02\n11", "0.02\n11"), "expected 284 fields", "found 283")
    yield case("the planet twice, alike", _repeat_row, outcome=SAME)
    yield case("the planet twice, unlike", lambda p: _repeat_row(p, wl_1=0.5), "expected one row, found 2 that differ")
    yield case("columns in another order", _reordered, outcome=SAME)
    yield case("without the planet", lambda p: spoil.text(p, "\n7,", "\n8,"), outcome=TRUE, check=unlabelled)
    yield case(
        "the planet's id a text",
        lambda p: spoil.text(p, "\n7,", "\nHD 7,"),
        "expected whole numbers in planet_id, found 'HD 7'",
    )
    yield case("the planet's id with spaces", lambda p: spoil.text(p, "\n7,", "\n 7.0 ,"), outcome=SAME)
    yield case("Windows line ends", lambda p: spoil.put(p, p.read_text().replace("\n", "\r\n")), outcome=SAME)
    yield case(
        "an index column", lambda p: spoil.table(p, lambda h, rows: (["", *h], [["0", *r] for r in rows])), outcome=SAME
    )
    yield table(
        "packed under its own name", lambda p: spoil.put(p, gzip.compress(p.read_bytes())), "found gzip: unpack it"
    )
    yield table("missing", Path.unlink, outcome=TRUE, check=unlabelled)
    yield table("a channel's column missing", lambda p: _without(p, "wl_17"), "expected the columns wl_17")
    yield table(
        "a channel's column twice", lambda p: spoil.text(p, "wl_17,", "wl_16,"), "every column once, found wl_16"
    )


def _wavelengths() -> Iterator[Case]:
    case = _of("wavelengths", "wavelengths.csv", "2024", PLANETS_2024)

    def values(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
        def of(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
            found = np.array(rows[0], float)
            changed = change(found)
            new = found if changed is None else changed
            return WL[: len(new)], [[str(value) for value in new]]

        return lambda path: spoil.table(path, of)

    ascending = "expected 283 ascending wavelengths"
    yield case("missing", Path.unlink, "expected a CSV table, found none")
    yield case("empty", lambda p: spoil.put(p, b""), "found an empty file")
    yield case("reversed", values(lambda w: w[::-1]), ascending)
    yield case("AIRS-CH0 reversed", values(lambda w: np.r_[w[0], w[:0:-1]]), ascending)
    yield case("NaN", values(lambda w: w.__setitem__(9, np.nan)), ascending, "found nan at wl_10")
    yield case("NaN for FGS1", values(lambda w: w.__setitem__(0, np.nan)), ascending, "found nan at wl_1")
    yield case("one too few", values(lambda w: w[:-1]), "expected the columns wl_283")
    yield case("one too many", lambda p: spoil.table(p, lambda h, r: ([*h, "wl_284"], [[*r[0], "4"]])), "found 284")
    yield case("two rows", lambda p: spoil.table(p, lambda h, r: (h, r * 2)), "expected 1 row", "found 2")
    yield case("a text", lambda p: spoil.text(p, "0.705", "visible"), "expected a number in wl_1, found 'visible'")
    yield case("in nm", values(lambda w: 1000 * w), "wavelength matching")
    yield case("off the detector's", values(lambda w: w + np.r_[0, np.full(282, 0.9)]), "wavelength matching")
    yield case("in another order of columns", _reordered, outcome=SAME)


def _axes() -> Iterator[Case]:
    case = _of("axes", "axis_info.parquet", "2024", PLANETS_2024)
    airs, fgs1, um, seconds = "AIRS-CH0-axis0-h", "FGS1-axis0-h", "AIRS-CH0-axis2-um", "AIRS-CH0-integration_time"

    def axis(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
        return lambda path: spoil.axis(path.parent, name, change)

    yield case("missing", Path.unlink, "expected a Parquet file, found none")
    yield case("a text", lambda p: spoil.put(p, "time\n"), "expected a whole Parquet file")
    for name in (airs, fgs1, um, seconds):
        yield case(
            f"without {name}",
            lambda p, n=name: spoil.parquet(p, lambda t: t.drop_columns(n)),
            f"expected the column {name}",
        )
    yield case("times of text", axis(fgs1, lambda v: np.array(["noon"] * len(v))), "expected columns of numbers")
    yield case("times unsorted", axis(airs, lambda v: v.__setitem__([4, 6], v[[6, 4]])), f"expected increasing {airs}")
    yield case("times of two frames alike", axis(airs, lambda v: v.__setitem__(5, v[4])), f"expected increasing {airs}")
    yield case(
        "NaN within the times", axis(airs, lambda v: v.__setitem__(4, np.nan)), f"expected finite {airs}, found nan"
    )
    yield case("times in seconds", axis(airs, lambda v: 3600 * v), f"expected {airs} in hours, up to 240")
    yield case("times in days of days", axis(airs, lambda v: v / 24**2), "expected exposures of 4.6 s")
    yield case(
        "times of fewer frames",
        axis(fgs1, lambda v: np.where(np.arange(len(v)) < 40, v, np.nan)),
        "expected at most the 40 frames of axis_info.parquet, found 48",
    )
    yield case("wavelengths reversed", axis(um, lambda v: v[::-1].copy()), f"expected {um} descending")
    yield case("NaN within the wavelengths", axis(um, lambda v: v.__setitem__(100, np.nan)), f"expected finite {um}")
    yield case(
        "too few wavelengths",
        axis(um, lambda v: np.where(np.arange(len(v)) < 330, v, np.nan)),
        "expected the 330 columns of axis_info.parquet, found 356",
    )
    alternating = f"expected {seconds} alternating between two values"
    yield case("integration times swapped", axis(seconds, lambda v: np.where(v == 0.1, 4.5, 0.1)), alternating)
    yield case("a third integration time", axis(seconds, lambda v: v.__setitem__(7, 9.0)), alternating)
    yield case("integration times zero", axis(seconds, lambda v: 0 * v), alternating)
    yield case("in several row groups", lambda p: pq.write_table(_fresh(p), p, row_group_size=9), outcome=SAME)


def _fresh(path: Path) -> Any:
    found = pq.read_table(path)
    path.unlink()
    return found
