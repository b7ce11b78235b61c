"""A dataset of transients → one table of features, in processes; an unfinished one is continued.

`OUT/features.parquet` has a row an object and draw. Draw 0 is the redshift as it stands; the others add the error of a
photometric one to a spectroscopic one, for training. Parts wait in `OUT/parts` under the hash of what made them.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import get_dataset_split_names
from numpy.typing import NDArray

import modeling_ariel.transients
from ariel_scripts.opening.datasets import load_arguments, open_split
from ariel_scripts.opening.hub import locate_dataset
from hf_dataset.digests import config_hash, source_hash
from hf_dataset.folders import hidden, put
from modeling_ariel.transients.feature_families import features
from modeling_ariel.transients.observed import observe
from modeling_ariel.transients.smooth import smooth_all

FILE, PARTS, KEY, LAYOUTS, CODE = "features.parquet", "parts", b"features", b"layouts", b"code"
OBJECTS_PER_PART = 100  # half a minute's work, and what an interrupted run loses
PHOTOMETRIC_ERROR = 0.02  # of a redshift, times 1 + z (arXiv:2512.04946)
LEAST_REDSHIFT = 0.005
SOURCES = tuple(
    f"{name}.py"
    for name in ("band_features", "curves", "feature_families", "gaussian_process", "light_features", "observed",
                 "shape_features", "smooth", "surveys", "variability_features")
)  # fmt: skip
COLUMNS = ("object_id", "lightcurve", "redshift", "redshift_err", "ebv", "spec_type", "target", "layout")
KNOWN = ("object_id", "split", "spec_type", "target", "draw", "redshift")  # columns that are no features
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Rows of features: names of objects, splits, types, targets (−1: none), draws; values (row, feature).

    layouts: those of the dataset's rows; code: hash of the sources of the features; none where the table does not say.
    """

    object_id: NDArray[np.str_]
    split: NDArray[np.str_]
    spec_type: NDArray[np.str_]
    target: NDArray[np.int64]
    draw: NDArray[np.int64]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    layouts: tuple[str, ...] = ()
    code: str = ""

    def of(self, rows: NDArray[Any]) -> FeatureTable:
        """Some of the rows, by a mask or places."""
        columns = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **columns)


def read_features(out: Path) -> FeatureTable:
    """The table of a folder or file; ValueError where there is none, or it has other columns."""
    path = out / FILE if out.is_dir() else out
    if not path.is_file():
        raise ValueError(f"{path}: expected a table of `ariel transients features`, found none")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: expected a Parquet table, found another file: {error}") from error
    if missing := [name for name in KNOWN if name not in table.column_names]:
        raise ValueError(
            f"{path}: expected the columns {', '.join(missing)}, found {', '.join(table.column_names[:6])}"
        )
    names = tuple(name for name in table.column_names if name not in KNOWN)
    if others := [name for name in names if not _is_number(table[name].type)]:
        raise ValueError(f"{path}: {others[0]}: expected numbers, found {table[others[0]].type}")
    rows = table.group_by(["object_id", "draw"]).aggregate([([], "count_all")])
    if (most := max(rows["count_all"].to_pylist(), default=0)) > 1:
        raise ValueError(f"{path}: expected each draw of an object once, found {most} rows of one")
    texts = {name: np.array([one or "" for one in table[name].to_pylist()]) for name in KNOWN[:3]}
    target = np.array([-1 if one is None else one for one in table["target"].to_pylist()], np.int64)
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    draw = table["draw"].to_numpy().astype(np.int64)
    about = table.schema.metadata or {}
    layouts, code = tuple(json.loads(about.get(LAYOUTS, b"[]"))), about.get(CODE, b"").decode()
    return FeatureTable(**texts, target=target, draw=draw, names=names, values=values, layouts=layouts, code=code)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def write_features(
    dataset: str, out: Path, draws: int, seed: int, workers: int, progress: Callable[[int], object]
) -> tuple[int, int]:
    """Write `out/features.parquet` for all splits; return how many objects it has and how many were done before.

    `progress(n)` is called for finished objects. ValueError where the dataset has no rows.
    """
    rows = list(_rows(dataset))
    if not rows:
        raise ValueError(f"{dataset}: expected objects, found none")
    sources = source_hash(Path(modeling_ariel.transients.__path__[0]), SOURCES)
    key = config_hash([_digest(rows), draws, seed, PHOTOMETRIC_ERROR, LEAST_REDSHIFT, sources])
    final, parts = out / FILE, out / PARTS
    if final.is_file() and (pq.read_schema(final).metadata or {}).get(KEY) == key.encode():
        progress(len(rows))
        return len(rows), len(rows)
    parts.mkdir(parents=True, exist_ok=True)
    chunks = {
        parts / f"{key}-{start:06d}.parquet": rows[start : start + OBJECTS_PER_PART]
        for start in range(0, len(rows), OBJECTS_PER_PART)
    }
    there = {path: len(chunk) for path, chunk in chunks.items() if path.is_file()}
    progress(sum(there.values()))
    left = {path: chunk for path, chunk in chunks.items() if path not in there}
    for count in _write_parts(left, draws, seed, workers):
        progress(count)
    about = {KEY: key, CODE: sources, LAYOUTS: json.dumps(sorted({str(row["layout"]) for row in rows}))}
    _put(pa.concat_tables([pq.read_table(path) for path in chunks]).replace_schema_metadata(about), final)
    shutil.rmtree(parts)
    return len(rows), sum(there.values())


def _rows(dataset: str) -> Iterator[dict[str, Any]]:
    """Rows of both splits, of those that there are, with the name of the split."""
    where = locate_dataset(dataset)
    for split in get_dataset_split_names(**load_arguments(where)):
        for row in open_split(where, split, COLUMNS):
            yield {**row, "split": split}


def _digest(rows: Sequence[Row]) -> str:
    found = hashlib.sha256()
    for row in rows:
        found.update(repr([row[name] for name in ("split", *COLUMNS) if name != "lightcurve"]).encode())
        for name in ("time", "flux", "flux_err"):
            found.update(np.asarray(row["lightcurve"][name], np.float64).tobytes())
        found.update("".join(row["lightcurve"]["band"]).encode())
    return found.hexdigest()


def _write_parts(chunks: Mapping[Path, Sequence[Row]], draws: int, seed: int, workers: int) -> Iterator[int]:
    if workers == 1 or len(chunks) < 2:
        for path, chunk in chunks.items():
            yield write_part(path, chunk, draws, seed)
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    with ProcessPoolExecutor(
        min(workers, len(chunks)), context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        tasks = [pool.submit(write_part, path, chunk, draws, seed) for path, chunk in chunks.items()]
        try:
            for task in as_completed(tasks):
                yield task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_part(path: Path, rows: Sequence[Row], draws: int, seed: int) -> int:
    """Write the features of some objects; return how many objects."""
    objects = [observe(row) for row in rows]
    table: list[dict[str, Any]] = []
    for row, one, smooth in zip(rows, objects, smooth_all(objects), strict=True):
        for draw, redshift in enumerate(drawn_redshifts(row, draws, seed)):
            known = {name: row[name] for name in ("object_id", "split", "spec_type", "target")}
            values = features(one.at(redshift), smooth)
            table.append({**known, "draw": draw, "redshift": redshift, **values})
    _put(pa.Table.from_pylist(table, _schema(table[0])), path)
    return len(rows)


def drawn_redshifts(row: Row, draws: int, seed: int) -> list[float]:
    """An object's redshift as it stands, then with errors as photometric ones have; those that have one stay alone."""
    redshift = float("nan") if row["redshift"] is None else float(row["redshift"])
    if row["redshift"] is None or row["redshift_err"] is not None:
        return [redshift]
    name = int.from_bytes(hashlib.sha256(str(row["object_id"]).encode()).digest()[:8], "big")
    noise = np.random.default_rng((seed, name)).standard_normal(draws)
    return [redshift, *np.maximum(redshift + PHOTOMETRIC_ERROR * (1 + redshift) * noise, LEAST_REDSHIFT).tolist()]


def _schema(row: Row) -> pa.Schema:
    kinds = {"target": pa.int8(), "draw": pa.int16(), "redshift": pa.float32()}
    texts = {name: pa.string() for name in KNOWN[:3]}
    return pa.schema([(name, (texts | kinds).get(name, pa.float32())) for name in row])


def _put(table: pa.Table, path: Path) -> None:
    temporary = hidden(path)
    try:
        pq.write_table(table, temporary, compression="zstd")
        put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
