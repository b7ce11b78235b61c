"""Two results compared: to the byte, or number by number with a tolerance."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from ariel_scripts.content import deciding, shards_of
from hf_dataset.digests import file_hash

PASSING = frozenset(  # of a record: when, where and how long, not what
    [
        "created",
        "started",
        "written",
        "seconds",
        "durations",
        "host",
        "platform",
        "cpu",
        "gpus",
        "cuda",
        "peak_memory_mb",
        "image_digest",
        "command_line",
        "planets_per_second",
        "worker_seconds",
        "cpu_seconds",
        "invocation",
        "outputs",
        "run",
        "sha256",
        "out",
        "resumed",
    ]
)
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_RUN = re.compile(r'<footer id="run">.*?</footer>', re.DOTALL)
Numbers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """How a result compares: the ``same`` bytes, or ``close``, all numbers within the tolerance, or what differs."""

    name: str
    same: bool
    differences: list[str]
    largest: float = 0.0

    @property
    def close(self) -> bool:
        """Whether nothing differs by more than the tolerance."""
        return not self.differences

    def __str__(self) -> str:
        if self.same:
            return f"{self.name}: the same bytes"
        if self.close:
            off = f", the largest difference {self.largest:.1e} of its column's largest" if self.largest else ""
            return f"{self.name}: the same numbers{off}"
        return "\n  ".join([f"{self.name}: differs", *self.differences])


def compared(then: Path, now: Path, tolerance: float) -> list[Comparison]:
    """Each file of a result compared with its counterpart; of a dataset or model those that decide what it is.

    tolerance: of numbers, relative to the largest of their column, tensor or list.
    """
    if not then.is_dir():
        return [_file(then.name, then, now, tolerance)]
    names = dict.fromkeys([*_results(then), *_results(now)])
    if not names:
        raise ValueError(f"{then}: expected results to compare, found none")
    return [_file(name, then / name, now / name, tolerance) for name in names]


def _results(folder: Path) -> list[str]:
    """Names of the files of a folder that are compared."""
    names = shards_of(folder) or [path.name for path in deciding(folder)]
    files = (path for path in folder.rglob("*") if _counts(path.relative_to(folder), path))
    return names or sorted(path.relative_to(folder).as_posix() for path in files)


def _counts(name: Path, path: Path) -> bool:
    """Whether a file of a folder is a result, rather than a record, a log or a state to resume from."""
    hidden = any(part.startswith(".") or part in ("logs", "state") for part in name.parts)
    return path.is_file() and not hidden and name.suffix in _READERS and not name.name.endswith("run.json")


def _file(name: str, then: Path, now: Path, tolerance: float) -> Comparison:
    if missing := [path for path in (then, now) if not path.is_file()]:
        return Comparison(name, False, [f"expected {missing[0]}, found nothing there"])
    if file_hash(then) == file_hash(now):
        return Comparison(name, True, [])
    read = _READERS.get(then.suffix)
    if read is None:
        return Comparison(name, False, ["other bytes, of a kind whose numbers are not read"])
    old, new = read(then), read(now)
    differences, largest = [], 0.0
    for key in [*old, *(key for key in new if key not in old)]:
        said, size = _difference(old.get(key), new.get(key), tolerance)
        largest = max(largest, size)
        if said:
            differences.append(f"{key}: {said}")
    return Comparison(name, False, differences, largest)


def _difference(old: np.ndarray | None, new: np.ndarray | None, tolerance: float) -> tuple[str, float]:
    """How two arrays differ, in words, empty where they don't, and by how much of the largest value."""
    if old is None or new is None:
        return ("only then" if new is None else "only now"), 0.0
    if old.shape != new.shape:
        return f"shape {old.shape}, now {new.shape}", 0.0
    if old.dtype.kind not in "fiub" or new.dtype.kind not in "fiub":
        wrong = int((old.astype(str) != new.astype(str)).sum())
        return (f"{wrong} of {old.size} values differ" if wrong else ""), 0.0
    old, new = old.astype(np.float64), new.astype(np.float64)
    unlike = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    if not unlike.any():
        return "", 0.0
    off = np.abs(new - old)[unlike]
    finite = np.abs(old[np.isfinite(old)])
    size = float(np.nan_to_num(off, nan=np.inf).max() / max(finite.max(initial=0.0), np.finfo(float).tiny))
    if size <= tolerance:
        return "", size
    return (
        f"{int(unlike.sum())} of {old.size} values differ, by up to {off.max():.3g} ({size:.1e} of the largest)",
        size,
    )


def _parquet(path: Path) -> Numbers:
    """Columns of a table; lists of one length as one array."""
    return {name: _column(column.to_pylist()) for name, column in zip(*_table(path), strict=True)}


def _table(path: Path) -> tuple[list[str], list[Any]]:
    table = pq.read_table(path)
    return table.column_names, table.columns


def _column(values: list[Any]) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return np.asarray([str(one) for one in values])


def _npz(path: Path) -> Numbers:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "run"}


def _csv(path: Path) -> Numbers:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    return {name: _column([row[number] for row in rows]) for number, name in enumerate(header)}


def _json(path: Path) -> Numbers:
    return dict(_leaves(json.loads(path.read_text(encoding="utf-8"))))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Values of JSON by their place; lists of numbers as one, what passes left out."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key not in PASSING:
                yield from _leaves(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and not all(isinstance(one, int | float | str | None) for one in value):
        for number, one in enumerate(value):
            yield from _leaves(one, f"{name}[{number}]")
    else:
        yield name, np.atleast_1d(_column(value if isinstance(value, list) else [value]))


def _html(path: Path) -> Numbers:
    """A page's data, and its text without what it says of the run."""
    text = path.read_text(encoding="utf-8")
    data = _DATA.search(text)
    shown = _RUN.sub("", _DATA.sub("", text))
    return {"text": np.asarray([shown]), **(dict(_leaves(json.loads(data[1]))) if data else {})}


_READERS: dict[str, Callable[[Path], Numbers]] = {
    ".parquet": _parquet,
    ".npz": _npz,
    ".csv": _csv,
    ".json": _json,
    ".html": _html,
    ".safetensors": lambda path: dict(load_file(path)),
}
