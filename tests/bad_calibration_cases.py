"""Bad inputs: calibration folders and frames."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import spoiled_folders as spoil
from spoiled_folders import AIRS, FGS1, SAME, TRUE, Case, calibration

KINDS = ("dark", "dead", "flat", "read", "linear_corr")


def calibration_cases() -> Iterator[Case]:
    """What goes wrong with a visit's calibration."""
    yield from _whole_frames()
    yield from _pixels()
    yield from _files()


def _whole_frames() -> Iterator[Case]:
    def case(kind: str, what: str, value: Any, *found: str, name: str = FGS1, **more: Any) -> Case:
        def change(frame: np.ndarray) -> np.ndarray:
            return value(frame) if callable(value) else np.full(frame.shape, value)

        outcome = more.pop("outcome", None) or (f"{name}_calibration_0", "planet 7 visit 0", *found)
        return Case(
            "calibration",
            f"{name} {kind}: {what}",
            lambda root: spoil.array(calibration(root, kind, name), change),
            outcome,
            **more,
        )

    for kind in KINDS:
        for what, value in (("NaN", np.nan), ("infinite", np.inf)):
            yield case(kind, what, value, f"{kind}.parquet", "expected finite values, found 0 of")
    medians = {
        "flat": "expected flat with a median from 0.5 to 2, found 0",
        "read": "expected read with a median from 0.1",
        "linear_corr": "expected slopes",
        "dark": "expected a measured dark frame, found 0",
    }
    for kind, message in medians.items():
        yield case(kind, "zero", 0.0, f"{kind}.parquet", message)
        yield case(kind, "zero", 0.0, f"{kind}.parquet", message, name=AIRS)
    yield case("dead", "zero (no pixel is dead)", False, outcome=SAME)
    yield case("dead", "one everywhere", True, "expected at most 10.0% of the pixels", "dead 100.0%")
    yield case("dead", "of another integer type", lambda f: f.astype(np.int8), outcome=SAME)
    yield case("dead", "that holds the flat", 1.01, "dead 100.0%")
    yield case("flat", "negative", -1.0, "flat.parquet", "expected flat with a median from 0.5 to 2, found -1")
    yield case("flat", "in another unit", 1e4, "flat.parquet", "found 10000")
    yield case("read", "negative", -13.0, "read.parquet", "expected read with a median from 0.1 to 1000, found -13")
    yield case("dark", "gigantic", 1e6, "dark.parquet", "expected dark with a median from -10 to 10, found 1e+06")
    yield case("dark", "that holds the read noise", 13.0, "dark.parquet", "found 13")
    yield case(
        "linear_corr",
        "coefficients in descending powers",
        lambda f: f.reshape(6, 32, -1)[::-1].reshape(f.shape),
        "linear_corr.parquet",
        "expected slopes (the second of six stacked coefficients)",
    )
    yield case(
        "linear_corr",
        "coefficients stacked by pixel",
        lambda f: f.reshape(6, 32, -1).swapaxes(0, 1).reshape(f.shape),
        "linear_corr.parquet",
        "expected slopes",
    )
    yield case("linear_corr", "five coefficients", lambda f: f[:160], "expected shape (192, 32), found (160, 32)")
    yield case("flat", "of half the rows", lambda f: f[:16], "expected shape (32, 32), found (16, 32)")
    yield case("flat", "transposed", lambda f: f.T, "expected shape (32, 356), found (356, 32)", name=AIRS)
    yield case(
        "dark", "transposed", lambda f: f.T, "expected the 356 columns of axis_info.parquet, found 32", name=AIRS
    )
    yield case(
        "dark",
        "of half the rows",
        lambda f: f[:16],
        outcome=("FGS1_signal_0.parquet of planet 7 visit 0", "expected 512 columns", "found 1,024"),
    )


def _pixels() -> Iterator[Case]:
    """A pixel, a row or a column of a frame: masked or filled, and the depths stay."""

    def case(kind: str, what: str, at: Any, value: float, name: str = FGS1, **more: Any) -> Case:
        def change(frame: np.ndarray) -> np.ndarray:
            frame = frame.astype(bool if kind == "dead" else float)
            frame[at] = value
            return frame

        return Case(
            "calibration",
            f"{name} {kind}: {what}",
            lambda root: spoil.array(calibration(root, kind, name), change),
            TRUE,
            **more,
        )

    for name, column in ((FGS1, 16), (AIRS, 200)):
        for kind in ("dark", "flat", "read", "linear_corr"):
            row = 32 + 15 if kind == "linear_corr" else 15
            yield case(kind, "NaN in a pixel of the star", (row, column), np.nan, name)
        yield case("read", "zero in a pixel of the star", (15, column), 0.0, name)
        yield case("flat", "1e6 in a pixel of the star", (15, column), 1e6, name)
        yield case("linear_corr", "slope 1e6 in a pixel of the star", (32 + 15, column), 1e6, name)
        yield case("dead", "a row", 15, True, name)
    yield case("dead", "a column", (slice(None), 16), True)
    yield case("dead", "a column", (slice(None), 200), True, AIRS, check=partial(spoil.check_truth, least_valid=0.9))
    yield case("dark", "1e6 in a pixel of the star", (15, 16), 1e6)

    def null(table: pa.Table) -> pa.Table:
        values = table["column_16"].to_pylist()
        values[15] = None
        return table.set_column(16, "column_16", pa.array(values, pa.float64()))

    yield Case("calibration", "FGS1 flat: a null", lambda root: spoil.parquet(calibration(root, "flat"), null), TRUE)


def _files() -> Iterator[Case]:
    def case(what: str, apply: Callable[[Path], Any], *found: str, outcome: str | None = None, **more: Any) -> Case:
        return Case("calibration", what, apply, outcome or ("planet 7 visit", *found), **more)

    def lost(kind: str) -> Callable[[Path], None]:
        return lambda root: calibration(root, kind, AIRS).unlink()

    def dark(change: Callable[[pa.Table], pa.Table], **options: Any) -> Callable[[Path], None]:
        return lambda root: spoil.parquet(calibration(root, "dark"), change, **options)

    def of_other(root: Path) -> None:
        shutil.rmtree(calibration(root, "dark").parent)
        spoil.copy_of(calibration(root, "dark", AIRS).parent, calibration(root, "dark").parent)

    for kind in KINDS:
        yield case(f"{kind} missing", lost(kind), f"{kind}.parquet", "expected a Parquet file, found none")
    yield case("read missing", lost("read"), "AIRS-CH0_calibration/read.parquet", "found none", layout="2024")
    yield case(
        "cut", lambda root: spoil.cut(calibration(root, "flat"), lambda n: n // 2), "expected a whole Parquet file"
    )
    yield case("empty", lambda root: spoil.put(calibration(root, "read"), b""), "read.parquet", "found 0 bytes")
    yield case("a hole of zeros", lambda root: spoil.blank(calibration(root, "flat", AIRS), 0.2, 3000), "flat.parquet")
    yield case("no folder", lambda root: shutil.rmtree(calibration(root, "dark").parent), "dark.parquet", "is none)")
    yield case(
        "of a visit missing",
        lambda root: shutil.rmtree(calibration(root, "dark", visit=1).parent),
        "FGS1_calibration_1",
        "found none",
        visits=((7, 1),),
    )
    yield case("the other instrument's", of_other, "FGS1_signal_0.parquet", "expected 11,392 columns", "found 1,024")
    yield case(
        "texts",
        dark(lambda t: t.cast(pa.schema([(n, pa.string()) for n in t.column_names]))),
        "dark.parquet",
        "expected numbers, found string",
    )
    yield case("no rows", dark(lambda t: t.slice(0, 0)), "expected 0 columns", "found 1,024")
    yield case(
        "columns sorted by name",
        dark(lambda t: t.select(sorted(t.column_names))),
        "dark.parquet",
        "expected the columns column_0, column_1, … in order, found 'column_10'",
    )
    yield case(
        "an index of pandas", dark(lambda t: t.append_column("__index_level_0__", pa.array(range(32)))), outcome=SAME
    )
    yield case("several row groups", dark(lambda t: t, row_group_size=5), outcome=SAME)
    yield case(
        "in single precision",
        dark(lambda t: t.cast(pa.schema([(n, pa.float32()) for n in t.column_names]))),
        outcome=TRUE,
    )
