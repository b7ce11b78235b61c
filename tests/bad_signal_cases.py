"""Bad inputs: signal files that are broken, have the wrong columns, or hold unusable frames."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import spoiled_folders as spoil
from spoiled_folders import AIRS, FGS1, SAME, TRUE, Case, calibration, signal


def signal_cases() -> Iterator[Case]:
    """What goes wrong with a visit's raw frames."""
    yield from _signal_files()
    yield from _signal_columns()
    yield from _frames()


def _signal_files() -> Iterator[Case]:
    of = "FGS1_signal_0.parquet of planet 7 visit 0: "

    def case(what: str, how: Callable[[Path], Any], *found: str, outcome: str | None = None, **more: Any) -> Case:
        return Case("signal file", what, lambda root: how(signal(root)), outcome or (of, *found), **more)

    whole = "expected a whole Parquet file, found "
    yield case("missing", Path.unlink, "expected a Parquet file, found none")
    yield case("empty", lambda p: spoil.put(p, b""), whole + "0 bytes")
    yield case("cut in the footer", lambda p: spoil.cut(p, lambda n: n - 1000), whole)
    yield case("cut in the last bytes", lambda p: spoil.cut(p, lambda n: n - 4), whole)
    yield case("cut in the middle", lambda p: spoil.cut(p, lambda n: n // 2), whole)
    yield case("a hole of zeros in its pages", lambda p: spoil.blank(p, 0.3, 4000), "cannot be decoded")
    yield case("a hole of zeros in its footer", lambda p: spoil.blank(p, 0.95, 2000), whole)
    yield case("a page changed under its checksum", _flip_under_checksum, "cannot be decoded")
    yield case("gzipped", lambda p: spoil.put(p, gzip.compress(p.read_bytes())), whole)
    yield case("a text", lambda p: spoil.put(p, "404: not found\n"), whole)
    yield case(
        "renamed",
        lambda p: p.rename(p.with_name("FGS1_signal_0 (1).parquet")),
        "expected a Parquet file, found none (there: AIRS-CH0_signal_0.parquet",
    )
    yield case("a folder", lambda p: spoil.replace_by(p, Path.mkdir), "found a folder")
    yield case("a broken link", lambda p: spoil.replace_by(p, lambda q: q.symlink_to("/nowhere")), "a broken link")
    yield case("a link to a store elsewhere", _move_out, outcome=SAME)
    yield Case(
        "signal file",
        "both instruments' missing, calibration there",
        lambda root: [signal(root, name).unlink() for name in (AIRS, FGS1)],
        ("AIRS-CH0_signal_0.parquet of planet 7 visit 0", "found none"),
    )
    yield Case(
        "signal file",
        "one visit of two cut",
        lambda root: spoil.cut(signal(root, AIRS, visit=1), lambda n: n // 2),
        ("AIRS-CH0_signal_1.parquet of planet 7 visit 1", whole),
        visits=((7, 1),),
    )
    yield Case(
        "signal file",
        "the instruments' swapped",
        _swap_signals,
        ("signal_0.parquet of planet 7 visit 0", "expected 11,392 columns", "found 1,024"),
    )
    yield Case(
        "signal file",
        "the instruments' swapped, calibration too",
        _swap_instruments,
        ("AIRS-CH0_calibration_0/dark.parquet of planet 7 visit 0", "expected the 356 columns"),
    )
    yield Case(
        "signal file",
        "missing",
        lambda root: signal(root, AIRS).unlink(),
        ("AIRS-CH0_signal.parquet of planet 7 visit 0", "found none"),
        layout="2024",
    )


def _flip_under_checksum(path: Path) -> None:
    spoil.parquet(path, lambda table: table, write_page_checksum=True)
    spoil.blank(path, 0.4, 1)


def _move_out(path: Path) -> None:
    store = path.parents[3] / "store"
    shutil.move(path, store)
    path.symlink_to(store)


def _swap(one: Path, other: Path) -> None:
    third = one.with_name("third")
    one.rename(third)
    other.rename(one)
    third.rename(other)


def _swap_signals(root: Path) -> None:
    _swap(signal(root, AIRS), signal(root, FGS1))


def _swap_instruments(root: Path) -> None:
    _swap_signals(root)
    _swap(calibration(root, "dark", AIRS).parent, calibration(root, "dark").parent)


def _signal_columns() -> Iterator[Case]:
    of = "FGS1_signal_0.parquet of planet 7 visit 0: "

    def case(what: str, change: Callable[[pa.Table], pa.Table], *found: str, outcome: str = "", **options: Any) -> Case:
        def apply(root: Path) -> None:
            spoil.parquet(signal(root), change, **options)

        return Case("signal columns", what, apply, outcome or (of, *found))

    def cast(kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
        return lambda table: table.cast(pa.schema([(name, kind) for name in table.column_names]))

    def as_named(order: Callable[[list[str]], list[str]]) -> Callable[[pa.Table], pa.Table]:
        return lambda table: table.select(order(table.column_names))

    def renamed(name: Callable[[int], str]) -> Callable[[pa.Table], pa.Table]:
        return lambda table: table.rename_columns([name(k) for k in range(table.num_columns)])

    def with_null(table: pa.Table) -> pa.Table:
        values = table["column_500"].to_pylist()
        return table.set_column(500, "column_500", pa.array([None, *values[1:]], pa.uint16()))

    def with_index(table: pa.Table) -> pa.Table:
        return table.add_column(0, "__index_level_0__", pa.array(range(table.num_rows)))

    ordered = "expected the columns column_0, column_1, … in order, found "
    yield case("one too few", lambda t: t.drop_columns("column_7"), "expected 1,024 columns", "found 1,023")
    yield case(
        "one too many", lambda t: t.append_column("more", t["column_0"]), "expected 1,024 columns", "found 1,025"
    )
    yield case(
        "flattened into one",
        lambda t: pa.table({"0": pa.concat_arrays([c.combine_chunks() for c in t.columns])}),
        "expected 1,024 columns",
        "found 1",
    )
    yield case("two swapped", as_named(lambda n: [n[1], n[0], *n[2:]]), ordered + "'column_1'")
    yield case("sorted by name", as_named(sorted), ordered + "'column_10'")
    yield case("other names", renamed(str), ordered + "'0'")
    yield case("a name twice", renamed(lambda k: f"column_{max(k, 1)}"), ordered + "'column_1'")
    yield case("an index of pandas beside them", with_index, outcome=SAME)
    for kind in (pa.int32(), pa.int16(), pa.float32(), pa.float64(), pa.string()):
        yield case(f"{kind} instead of uint16", cast(kind), f"expected uint16 counts, found {kind}")
    yield case("a null", with_null, "nulls in column_500")
    yield case("several row groups", lambda t: t, outcome=SAME, row_group_size=7)
    for compression in ("none", "gzip", "snappy", "lz4"):
        yield case(f"compression {compression}", lambda t: t, outcome=SAME, compression=compression)
    yield case("data pages of version 2", lambda t: t, outcome=SAME, data_page_version="2.0", compression="zstd")
    yield case("without dictionaries", lambda t: t, outcome=SAME, use_dictionary=False)


def _frames() -> Iterator[Case]:
    of = "FGS1_signal_0.parquet of planet 7 visit 0: "

    def case(what: str, change: Callable[[np.ndarray], Any], *found: str, name: str = FGS1, **more: Any) -> Case:
        def apply(root: Path) -> None:
            spoil.counts(signal(root, name), change)

        outcome = more.pop("outcome", None)
        return Case("frames", f"{name} {what}", apply, outcome or found, **more)

    def constant(value: int) -> Callable[[np.ndarray], None]:
        return lambda c: c.fill(value)

    def zero(*at: Any) -> Callable[[np.ndarray], None]:
        return lambda c: c.__setitem__(at, 0)

    def full(*at: Any) -> Callable[[np.ndarray], None]:
        return lambda c: c.__setitem__(at, 65535)

    def garbage(at: slice) -> Callable[[np.ndarray], None]:
        def change(c: np.ndarray) -> None:
            c[at] = np.random.default_rng(5).integers(0, 65536, c[at].shape)

        return change

    source, bad = f"{FGS1}: expected a source in the aperture", f"{FGS1}: expected at most 10.0% of the pixels"
    everything = slice(None)
    yield case("none", lambda c: c[:0], of, "expected frames, found none")
    yield case("too few for the bins", lambda c: c[:20], of, "expected at least 12 exposures", "found 10")
    yield case("an odd number", lambda c: c[:-1], of, "expected an even number of frames", "found 47")
    yield case("more than the axis has", lambda c: np.concatenate([c, c[:2]]), of, "expected at most the 48 frames")
    yield case("half as many as the other instrument", lambda c: c[:24], "planet 7 visit 0", "at the same times")
    yield case("all zero", constant(0), source)
    yield case("all the same", constant(1000), source)
    yield case("all saturated", constant(65535), bad, "saturated 100.0%")
    yield case("random counts", garbage(everything), "planet 7 visit 0 FGS1: expected")
    yield case(
        "the first lost, so that ends and starts are swapped",
        lambda c: np.roll(c, 1, axis=0),
        f"{FGS1}: centre of light: expected a source",
    )
    yield case("with a saturated peak", full(everything, slice(15, 17), slice(15, 17)), outcome=TRUE)
    yield case("with an exposure of garbage", garbage(slice(10, 12)), outcome=TRUE)
    yield case(
        "with an exposure of garbage",
        garbage(slice(10, 12)),
        outcome=TRUE,
        name=AIRS,
        check=partial(spoil.check_truth, least_valid=0.9),
    )
    yield case(
        "zero in a quarter of the visit",
        zero(slice(36, 48)),
        outcome=TRUE,
        name=AIRS,
        check=partial(spoil.check_truth, least_valid=0.7),
    )
    yield case("zero in most of the visit", zero(slice(16, 48)), "planet 7 visit 0 FGS1", "median light")
    yield case("with a row of zeros", zero(everything, 15), outcome=TRUE)
    yield case("with a column of zeros", zero(everything, everything, 15), outcome=TRUE)
    yield case("with a column of zeros", zero(everything, everything, 200), outcome=TRUE, name=AIRS, check=_one_invalid)
    yield Case("frames", "a transit before and after the window only", _transit_outside, TRUE, check=_flat)


def _one_invalid(row: pa.Table) -> None:
    invalid = ~spoil.column(row, "valid")
    if list(np.flatnonzero(invalid.all(axis=0))) != [1 + 320 - 200]:
        raise AssertionError(f"expected channel 121 alone invalid, found {np.flatnonzero(invalid.any(axis=0))}")


def _flat(row: pa.Table) -> None:
    found, error = spoil.depths(row)
    if not np.abs(found[1:] / error[1:]).max() < 5:
        raise AssertionError(f"expected a flat light curve, found depth {found[1:].mean():.5f}")


def _transit_outside(root: Path) -> None:
    for name in (AIRS, FGS1):
        spoil.counts(signal(root, name), lambda c: c.__setitem__(slice(16, 32), c[0:16]))
