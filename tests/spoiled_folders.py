"""Small raw folders with a known transit, and ways to spoil copies of them.

A copy is a tree of hard links, so that making one costs nothing: whatever changes a file must write a new one, and all
functions here do. Planet 7 is the one that is spoiled; in the 2025 layout it has two visits.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import detector_frames as frames
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

AIRS, FGS1 = "AIRS-CH0", "FGS1"
EXPOSURES, BINS, DEPTH = 24, 12, 0.02
IN_TRANSIT = slice(4, 8)  # bins; exposures 8 to 15
VISITS = {
    "2025": [("train", 7, 0), ("train", 7, 1), ("train", 11, 0), ("test", 100, 0)],
    "2024": [("train", 7, 0), ("train", 11, 0)],
}
WL = [f"wl_{k + 1}" for k in range(283)]

Spoil = Callable[[Path], Any]
SAME, TRUE = "same", "true"  # a row byte-equal to the unspoiled folder's; a row with the depths of the folder's truth
WHOLE = ((7, 0), (7, 1))  # both visits of the spoiled planet
TRAIN = (*WHOLE, (11, 0))
EVERYTHING = (*TRAIN, (100, 0))


@dataclass(frozen=True)
class Case:
    """One way to spoil a folder.

    `outcome` is SAME, TRUE, or the pieces of the message with which `visits` are left out; every other visit keeps its
    row. `check` looks at the row of the first of `visits` in place of the truth's depths.
    """

    group: str
    what: str
    spoil: Spoil
    outcome: str | tuple[str, ...]
    layout: str = "2025"
    visits: tuple[tuple[int, int], ...] = ((7, 0),)
    check: Callable[[pa.Table], None] | None = None
    gone: tuple[tuple[int, int], ...] = ()  # visits that are not found any more
    new: tuple[tuple[int, int], ...] = ()  # visits found besides, with a row
    log: str = ""  # what a warning names

    @property
    def of_tables(self) -> bool:
        """Whether only tables differ: a visit that they tell the same has the same row."""
        return self.group in ("ADC table", "star table", "labels", "wavelengths", "axes")

    @property
    def name(self) -> str:
        return f"{self.group}: {self.what}" + (" (2024)" if self.layout == "2024" else "")


def write_folders(root: Path) -> Path:
    """`root/2024` and `root/2025`: stars of constant light with a box transit of depth 0.02, photon and read noise."""
    for number, (split, planet, visit) in enumerate(VISITS["2025"]):
        rng = np.random.default_rng(number)
        airs, fgs1 = (np.array(part) for part in frames.star_light(EXPOSURES, EXPOSURES))
        for light in (airs, fgs1):
            light[EXPOSURES // 3 : 2 * EXPOSURES // 3] *= 1 - DEPTH
        counts = [frames.read_pairs(rng.poisson(light), rng) for light in (airs, fgs1)]
        frames.write_planet(root / split, "2025", planet, *counts, visit=visit)
    (root / "2025").mkdir()
    for split, part in (("train", root / "train/train"), ("test", root / "test/train")):
        shutil.move(part, root / "2025" / split)
    for planet in (7, 11):
        for path in (root / "2025/train" / str(planet)).rglob("*_0*/*.parquet"):
            link(path, root / "2024/train" / str(planet) / path.parent.name.removesuffix("_0") / path.name)
        for name in (AIRS, FGS1):
            old = root / f"2025/train/{planet}/{name}_signal_0.parquet"
            link(old, root / f"2024/train/{planet}/{name}_signal.parquet")
    for layout in VISITS:
        frames.write_tables(root / layout, layout, [7, 11], 2 * EXPOSURES, 2 * EXPOSURES)
        name = "train.csv" if layout == "2025" else "train_labels.csv"
        frames.write_csv(root / layout / name, ["planet_id", *WL], [[planet, *[DEPTH] * 283] for planet in (7, 11)])
    star = (root / "2025/train_star_info.csv").read_text().replace("7.0,1.1", "100.0,1.1")
    (root / "2025/test_star_info.csv").write_text(star)
    for extra in (root / "train", root / "test"):
        shutil.rmtree(extra)
    return root


def link(source: Path, target: Path) -> None:
    """Another name for the same file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


def copy_of(folder: Path, target: Path) -> Path:
    """A tree of links to the files of `folder`; of a raw folder, planets other than 7 are links as a whole."""

    def others(path: str, names: list[str]) -> list[str]:
        return [name for name in names if name in ("11", "100")]

    shutil.copytree(folder, target, copy_function=os.link, ignore=others)
    for planet in [*folder.glob("*/11"), *folder.glob("*/100")]:
        (target / planet.relative_to(folder)).symlink_to(planet)
    return target


# --- where things are ----------------------------------------------------------------------------------------------


def signal(root: Path, instrument: str = FGS1, planet: int = 7, visit: int = 0) -> Path:
    """The signal file of a visit, in either layout."""
    number = f"_{visit}" if (root / "adc_info.csv").exists() else ""
    return root / f"train/{planet}/{instrument}_signal{number}.parquet"


def calibration(root: Path, kind: str, instrument: str = FGS1, planet: int = 7, visit: int = 0) -> Path:
    """A calibration file of a visit, in either layout."""
    number = f"_{visit}" if (root / "adc_info.csv").exists() else ""
    return root / f"train/{planet}/{instrument}_calibration{number}/{kind}.parquet"


# --- ways to spoil -------------------------------------------------------------------------------------------------


def put(path: Path, content: bytes | str) -> None:
    """A new file of this content, the links of the old one left alone."""
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def cut(path: Path, size: Callable[[int], int]) -> None:
    """Only the first bytes of a file."""
    content = path.read_bytes()
    put(path, content[: size(len(content))])


def blank(path: Path, start: float, length: int) -> None:
    """Zeros over `length` bytes of a file, from a fraction of it on."""
    content = bytearray(path.read_bytes())
    at = int(start * len(content))
    content[at : at + length] = bytes(length)
    put(path, bytes(content))


def replace_by(path: Path, make: Callable[[Path], Any]) -> None:
    """Something else in a file's or folder's place: a folder, a link."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    make(path)


def parquet(path: Path, change: Callable[[pa.Table], pa.Table], **options: Any) -> None:
    """The Parquet file with its table changed; `options` are those of writing."""
    table = change(pq.read_table(path))
    path.unlink()
    pq.write_table(table, path, **{"row_group_size": max(table.num_rows, 1), **options})


def array(path: Path, change: Callable[[np.ndarray], Any], **options: Any) -> None:
    """The array (row, column) in a Parquet file changed in place, or for what `change` returns."""
    table = pq.read_table(path)
    values = np.stack([column.to_numpy() for column in table.columns], axis=1)
    changed = change(values)
    path.unlink()
    frames.write_frame(path, values if changed is None else changed, **options)


def counts(path: Path, change: Callable[[np.ndarray], Any]) -> None:
    """Frames (frame, row, column) [counts] changed in place, or for what `change` returns."""

    def cube(flat: np.ndarray) -> np.ndarray:
        values = flat.reshape(flat.shape[0], 32, flat.shape[1] // 32)
        changed = change(values)
        new = values if changed is None else changed
        return new.reshape(new.shape[0], flat.shape[1])

    array(path, cube)


def names(path: Path, rename: Callable[[list[str]], Sequence[str]]) -> None:
    """The Parquet file with other column names."""
    parquet(path, lambda table: table.rename_columns(list(rename(table.column_names))))


def text(path: Path, old: str, new: str) -> None:
    """A table with a piece of its text changed."""
    before = path.read_text()
    if old not in before:
        raise KeyError(f"{path.name} has no {old!r}")
    put(path, before.replace(old, new, 1))


def table(path: Path, change: Callable[[list[str], list[list[str]]], tuple[list[str], list[list[str]]] | None]) -> None:
    """A CSV table with its (header, rows) changed in place, or for what `change` returns."""
    header, *rows = csv.reader(io.StringIO(path.read_text(), newline=""))
    header, rows = change(header, rows) or (header, rows)
    path.unlink()
    frames.write_csv(path, header, rows)


def cell(path: Path, planet: int, column: str, value: object) -> None:
    """One field of a planet's row; the only row where the table has no planets."""

    def change(header: list[str], rows: list[list[str]]) -> None:
        [row] = [row for row in rows if header[0] != "planet_id" or float(row[0]) == planet]
        row[header.index(column)] = str(value)

    table(path, change)


def axis(root: Path, name: str, change: Callable[[np.ndarray], Any]) -> None:
    """One axis of axis_info.parquet changed in place, or for what `change` returns; None drops it."""

    def of(table: pa.Table) -> pa.Table:
        values = table[name].to_numpy().copy()
        changed = change(values)
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(values if changed is None else changed))

    parquet(root / "axis_info.parquet", of)


# --- what a row must be --------------------------------------------------------------------------------------------


def column(row: pa.Table, name: str) -> Any:
    """A column of a one-row table: (bin, channel) or (channel,) as an array, a scalar as it is."""
    value = row[name].to_pylist()[0]
    return np.array(value) if isinstance(value, list) else value


def depths(row: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """(channel,) depth and its error from the valid bins inside and outside the transit; NaN where there are none."""
    flux, error, valid = (column(row, name) for name in ("flux", "flux_err", "valid"))
    inside = np.zeros((BINS, 1), bool)
    inside[IN_TRANSIT] = True
    with np.errstate(invalid="ignore", divide="ignore"):
        (low, low_error), (high, high_error) = (
            ((flux * use).sum(axis=0) / use.sum(axis=0), np.sqrt((error**2 * use).sum(axis=0)) / use.sum(axis=0))
            for use in (valid & inside, valid & ~inside)
        )
        return 1 - low / high, np.hypot(low_error, high_error) / high


def check_truth(row: pa.Table, depth: float = DEPTH, least_valid: float = 0.95) -> None:
    """The depths of all channels are the folder's truth within their errors, and enough of the row is valid."""
    found, error = depths(row)
    z = ((found - depth) / error)[np.isfinite(found)]
    valid = column(row, "valid").mean()
    if valid < least_valid or z.size < 250:
        raise AssertionError(f"expected {least_valid:.0%} of the row valid, found {valid:.1%}; channels {z.size}")
    if not (np.abs(z).max() < 5 and abs(z[1:].mean()) < 5 / np.sqrt(z.size)):
        raise AssertionError(f"expected depth {depth}, found {np.nanmean(found):.5f}; worst {np.abs(z).max():.1f} σ")
