"""The configuration `retrieval` of a published dataset: spectra that were retrieved from its light curves.

They are predictions as `ariel retrieve` and `ariel predict` write them. A row is a planet: planet_id, mu and sigma
(C,) in (Rp/Rs)^2, status, notes. Planets go to the split that their light curves are in.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value

from ariel_scripts.publishing.previews import Size
from hf_dataset.folders import open_binary
from hf_dataset.schema import N_CHANNELS
from hf_dataset.store.contents import SPLIT_ORDER
from hf_dataset.store.shards import ShardName, find_shards
from modeling_ariel.predictions import Predictions, read_predictions

CONFIG = "retrieval"
DEPTHS = List(Value("float32"), length=N_CHANNELS)
FEATURES = Features(
    {
        "planet_id": Value("int64"),
        "mu": DEPTHS,
        "sigma": DEPTHS,
        "status": Value("string"),
        "notes": Value("string"),
    }
)


@dataclass(frozen=True)
class Retrieved:
    """Files by path in the repository, and the splits' sizes."""

    files: Mapping[str, bytes]
    sizes: Mapping[str, Size]


def retrieved_spectra(out: Path, paths: Sequence[Path]) -> Retrieved:
    """The configuration's files for the dataset folder, from files of predictions.

    Raises:
        ValueError: a file has a planet twice, one that the dataset lacks, or no status; or it has some planets of a
            split, and not all. The message names file, planet, expected and found.
    """
    split_of = dict(_planets(out)) if paths else {}
    rows: dict[int, dict[str, object]] = {}
    for path in paths:
        for planet, row in _rows(path, read_predictions(path)):
            if planet not in split_of:
                raise ValueError(f"{path}: planet {planet}: expected planets of {out}, found one that it lacks")
            if planet in rows:
                raise ValueError(f"{path}: planet {planet}: expected once in all files, found twice")
            rows[planet] = row
    files: dict[str, bytes] = {}
    sizes: dict[str, Size] = {}
    for split in (name for name in SPLIT_ORDER if name in split_of.values()):
        planets = [planet for planet, where in split_of.items() if where == split]
        found = [rows[planet] for planet in planets if planet in rows]
        if found and len(found) < len(planets):
            missing = next(planet for planet in planets if planet not in rows)
            raise ValueError(
                f"{', '.join(map(str, paths))}: expected all {len(planets)} planets of {split}, found {len(found)}: "
                f"planet {missing} is missing"
            )
        if found:
            content, sizes[split] = _written(found)
            files[f"{CONFIG}/{ShardName(split, 0, 1)}.parquet"] = content
    return Retrieved(files, sizes)


def _planets(out: Path) -> Iterator[tuple[int, str]]:
    """Planets of the dataset with their split, in the shards' order."""
    for split, paths in find_shards(out).items():
        for path in paths:
            with open_binary(path) as file, pq.ParquetFile(file) as shard:
                for planet in shard.read(columns=["planet_id"])["planet_id"].to_pylist():
                    yield int(planet), split


def _rows(path: Path, predictions: Predictions) -> Iterator[tuple[int, dict[str, object]]]:
    if missing := [name for name in ("status", "notes") if name not in predictions.extra]:
        raise ValueError(f"{path}: expected the columns status and notes, found no {' and no '.join(missing)}")
    for number, planet in enumerate(map(int, predictions.planet_id)):
        yield (
            planet,
            {
                "planet_id": planet,
                "mu": predictions.mu[number],
                "sigma": predictions.sigma[number],
                **{name: str(predictions.extra[name][number]) for name in ("status", "notes")},
            },
        )


def _written(rows: Sequence[Mapping[str, object]]) -> tuple[bytes, Size]:
    table = pa.Table.from_pylist(list(rows), schema=FEATURES.arrow_schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue()
    return content, Size(table.num_rows, table.nbytes, len(content))
