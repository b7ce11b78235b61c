"""Reads a folder in the layout of the MALLORN challenge (arXiv:2512.04946) into rows of the schema.

`train_log.csv` and `test_log.csv` name the objects, `split_NN/{train,test}_full_lightcurves.csv` have their
measurements. A table that is none stops the reading; an object or a measurement that is wrong is left out and noted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_dataset.folders import read_json
from hf_dataset.raw.files import RawDataError, csv_lines, numbers, other_form, read_csv, row_of, what_is
from hf_dataset.transients.contents import SPLITS
from hf_dataset.transients.findings import Findings
from hf_dataset.transients.schema import BANDS

LOG_COLUMNS = ("object_id", "Z", "Z_err", "EBV", "SpecType", "split")
TARGET = "target"
CURVE_COLUMNS = ("object_id", "Time (MJD)", "Flux", "Flux_err", "Filter")
RECORD = "simulation.json"  # names the objects that `ariel transients simulate` made
POSITIVE = "TDE"

# (least, most), far beyond any object of the challenge: what is outside is an error of the table
RANGES = {"Z": (0.0, 20.0), "Z_err": (0.0, 10.0), "EBV": (0.0, 10.0)}
MJD_RANGE = (40_000.0, 90_000.0)  # the years 1968 to 2105: days of another count are outside
FLUX_RANGE = (1e-30, 1e30)  # [µJy] of sizes: within what float32 has

NO_FLUX = "no flux"
NO_NUMBER = "no number in time, flux or error"
NO_ERROR = "error not above 0"
NO_TIME = "time outside MJD 40000 to 90000"
NO_SIZE = "flux or error not of 1e-30 to 1e30 µJy"
SHORT_LINE = "another number of fields than the header"
REPEATED = "repeated: one is kept"
CONTRADICTORY = "same band and time, other values: none is kept"
UNLISTED = "object without a row in the logs"
MISPLACED = "in another file than the log says"

Measurement = tuple[float, int, float, float]  # time [d], place of the band, flux and error [µJy]


@dataclass(frozen=True)
class LogEntry:
    """An object's row in a log: what the dataset's row has of it, and the file of its measurements."""

    columns: Mapping[str, Any]
    place: tuple[str, str]  # split_NN, train or test


@dataclass(frozen=True)
class RawObjects:
    """Rows of the schema by split, in the order of the logs; the files they come from; what is not in them."""

    rows: Mapping[str, list[dict[str, Any]]]
    files: Sequence[Path]
    findings: Findings


def read_objects(root: Path, progress: Callable[[int], object] | None = None) -> RawObjects:
    """All objects of a raw folder; `progress(1)` is called after each file of measurements.

    RawDataError where there is no such folder, a table has not the layout's columns or is packed or in another format,
    or no object is left.
    """
    findings = Findings()
    logs = [root / f"{split}_log.csv" for split in SPLITS]
    for path in logs:
        if other := other_form(path):
            raise RawDataError(f"{path}: expected a CSV table, found {other}")
    found = {split: path for split, path in zip(SPLITS, logs, strict=True) if what_is(path) != "none"}
    if not found:
        raise RawDataError(f"{root}: expected a folder with train_log.csv or test_log.csv, found neither")
    entries = _read_logs(found, _simulated(root), findings)
    measured: dict[str, dict[tuple[str, str], list[Measurement]]] = {}
    files = list(found.values())
    for place, path in _curve_files(root, entries, findings):
        files.append(path)
        for name, values in _read_curves(path, findings).items():
            measured.setdefault(name, {})[place] = values
        if progress:
            progress(1)
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in found}
    for name, entry in entries.items():
        if curve := _curve_of(name, entry, measured.pop(name, {}), findings):
            rows[entry.place[1]].append({**entry.columns, "lightcurve": curve})
    for name, places in measured.items():
        lost = sum(map(len, places.values()))
        if name not in findings.objects:
            findings.drop_object(name, f"expected a row in the logs, found {lost} measurements alone")
        findings.drop_measurements(UNLISTED, name, lost)
    if not any(rows.values()):
        raise RawDataError(
            f"{root}: expected objects, found none: {'; '.join(findings.lines()) or 'the logs are empty'}"
        )
    return RawObjects(rows, files, findings)


def count_files(root: Path) -> int:
    """How many files of measurements a folder has."""
    return sum((folder / f"{split}_full_lightcurves.csv").exists() for folder in _folders(root) for split in SPLITS)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("split_*") if path.is_dir())


def _simulated(root: Path) -> frozenset[str]:
    """Names of the objects that this project's simulator made."""
    return frozenset(map(str, (read_json(root / RECORD) or {}).get("objects", ())))


# --- logs ----------------------------------------------------------------------------------------------------------


def _read_logs(logs: Mapping[str, Path], simulated: frozenset[str], findings: Findings) -> dict[str, LogEntry]:
    """Every object whose row can be read, in the order of the logs."""
    entries: dict[str, LogEntry] = {}
    for split, path in logs.items():
        for name, rows, header in _rows_by_object(path, split, findings):
            try:
                if name in entries:
                    del entries[name]
                    raise RawDataError(f"{path}: object {name}: expected in one log, found in both")
                if any(row != rows[0] for row in rows):
                    raise RawDataError(f"{path}: object {name}: expected one row, found {len(rows)} that differ")
                entry = _entry(path, split, row_of(path, f"object {name}", header, rows[0]), name in simulated)
            except RawDataError as error:
                findings.drop_object(name, error)
                continue
            if name in findings.objects:  # it was refused in the other log
                continue
            entries[name] = entry
            if len(rows) > 1:
                findings.note("listed more than once, alike", name)
            if entry.columns["redshift"] is None:
                findings.note("without a redshift", name)
    return entries


def _rows_by_object(path: Path, split: str, findings: Findings) -> Iterator[tuple[str, list[list[str]], Sequence[str]]]:
    """(name, its rows, header) of every object of a log; a row without a name is noted by its place."""
    header, rows = read_csv(path)
    needed = (*LOG_COLUMNS, TARGET) if split == "train" else LOG_COLUMNS
    _require(path, header, needed)
    at = header.index("object_id")
    found: dict[str, list[list[str]]] = {}
    for place, row in enumerate(rows, 1):
        if name := row[at].strip() if at < len(row) else "":
            found.setdefault(name, []).append([field.strip() for field in row])
        else:
            findings.drop_object(f"{path.name}, row {place}", "expected a name in object_id, found none")
    for name, own in found.items():
        yield name, own, header


def _require(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in header]:
        raise RawDataError(f"{path}: expected the columns {', '.join(missing)}, found {', '.join(header[:8])}")


def _entry(path: Path, split: str, row: dict[str, str], simulated: bool) -> LogEntry:
    """What a log says of an object; RawDataError where a value cannot be."""
    name = row["object_id"]
    what = f"object {name}"
    values = dict(zip(RANGES, numbers(path, what, row, list(RANGES)).tolist(), strict=True))
    for column, (least, most) in RANGES.items():
        if not (math.isnan(values[column]) or least <= values[column] <= most):
            raise RawDataError(
                f"{path}: {what}: expected {column} from {least:g} to {most:g}, found {row[column]}; an empty field "
                "says that it is not known"
            )
    if not re.fullmatch(r"split_\d+", row["split"]):
        raise RawDataError(f"{path}: {what}: expected split_NN in split, found {row['split']!r}")
    spec_type, target = row["SpecType"] or None, row.get(TARGET) or None
    if target not in (("0", "1") if split == "train" else ("0", "1", None)):
        raise RawDataError(f"{path}: {what}: expected 0 or 1 in target, found {row[TARGET]!r}")
    if target and spec_type and (spec_type == POSITIVE) != (target == "1"):
        raise RawDataError(f"{path}: {what}: expected a target that fits SpecType {spec_type}, found {target}")
    columns = {
        "object_id": name,
        "layout": "simulated" if simulated else "mallorn",
        **{
            new: None if math.isnan(values[old]) else values[old]
            for new, old in (("redshift", "Z"), ("redshift_err", "Z_err"), ("ebv", "EBV"))
        },
        "spec_type": spec_type,
        "target": None if target is None else int(target),
    }
    return LogEntry(columns, (row["split"], split))


# --- light curves --------------------------------------------------------------------------------------------------


def _curve_files(
    root: Path, entries: dict[str, LogEntry], findings: Findings
) -> Iterator[tuple[tuple[str, str], Path]]:
    """(place, path) of every file of measurements; objects whose file is missing are left out."""
    wanted = {entry.place for entry in entries.values()}
    for folder, split in sorted(wanted | {(folder.name, split) for folder in _folders(root) for split in SPLITS}):
        path = root / folder / f"{split}_full_lightcurves.csv"
        if other := other_form(path):
            raise RawDataError(f"{path}: expected a CSV table, found {other}")
        if what_is(path) != "none":
            yield (folder, split), path
        else:
            for name in [name for name, entry in entries.items() if entry.place == (folder, split)]:
                findings.drop_object(name, f"{path}: expected the light curve of object {name}, found no such file")
                del entries[name]


def _read_curves(path: Path, findings: Findings) -> dict[str, list[Measurement]]:
    """Object → its measurements that are sound, in the order of the file; an empty list where none is."""
    (_, first), *lines = csv_lines(path)
    header = [name.strip() for name in first]
    _require(path, header, CURVE_COLUMNS)
    name_at, *places = (header.index(column) for column in CURVE_COLUMNS)
    found: dict[str, list[Measurement]] = {}
    for number, fields in lines:
        if len(fields) != len(header):
            name = fields[name_at].strip() if name_at < len(fields) else ""
            findings.drop_measurements(SHORT_LINE, name or f"{path.parent.name}/{path.name}, line {number}")
            continue
        name = fields[name_at].strip()
        own = found.setdefault(name, [])
        measurement = _measurement(*(fields[place] for place in places))
        if isinstance(measurement, str):
            findings.drop_measurements(measurement, name)
        else:
            own.append(measurement)
    return found


def _measurement(time: str, flux: str, error: str, band: str) -> Measurement | str:
    """A measurement from its fields, or the kind of what is wrong with it."""
    place = BANDS.find(band.strip()) if len(band.strip()) == 1 else -1
    if place < 0:
        return f"unknown band {band.strip()!r}"
    try:
        when, value, sigma = float(time), float(flux or "nan"), float(error)
    except ValueError:
        return NO_NUMBER
    if not (math.isfinite(when) and math.isfinite(sigma)) or math.isinf(value):
        return NO_NUMBER
    if math.isnan(value):
        return NO_FLUX
    if not MJD_RANGE[0] <= when <= MJD_RANGE[1]:
        return NO_TIME
    if not sigma > 0:
        return NO_ERROR
    if sigma < FLUX_RANGE[0] or max(abs(value), sigma) > FLUX_RANGE[1]:
        return NO_SIZE
    return when, place, value, sigma


def _curve_of(
    name: str, entry: LogEntry, measured: Mapping[tuple[str, str], list[Measurement]], findings: Findings
) -> dict[str, np.ndarray] | None:
    """The light curve of an object of the logs, by time and band; None where it is left out."""
    others = {place: values for place, values in measured.items() if place != entry.place}
    own = f"{entry.place[0]}/{entry.place[1]}_full_lightcurves.csv"
    if others:
        folder, split = min(others)
        findings.drop_object(
            name, f"expected its light curve in {own} alone, found it in {folder}/{split}_full_lightcurves.csv"
        )
        findings.drop_measurements(MISPLACED, name, sum(map(len, measured.values())))
        return None
    if entry.place not in measured:
        findings.drop_object(name, f"expected its light curve in {own}, found none")
        return None
    kept = _without_repeats(name, sorted(measured[entry.place]), findings)
    if not kept:
        findings.drop_object(name, f"expected measurements that can be used in {own}, found none")
        return None
    time, band, flux, error = map(np.array, zip(*kept, strict=True))
    return {
        "band": np.array(list(BANDS))[band],
        "time": time,
        "flux": flux.astype(np.float32),
        "flux_err": error.astype(np.float32),
    }


def _without_repeats(name: str, measurements: Sequence[Measurement], findings: Findings) -> list[Measurement]:
    """Sorted measurements, each band and time once.

    A visit lasts 30 s and the challenge's times have steps of 9 s: two values of one band at one time contradict each
    other, and neither can be trusted.
    """
    at: dict[tuple[float, int], list[Measurement]] = {}
    for measurement in measurements:
        at.setdefault(measurement[:2], []).append(measurement)
    kept: list[Measurement] = []
    for same in at.values():
        if len(set(same)) == 1:
            kept.append(same[0])
            if len(same) > 1:
                findings.drop_measurements(REPEATED, name, len(same) - 1)
        else:
            findings.drop_measurements(CONTRADICTORY, name, len(same))
    return kept
