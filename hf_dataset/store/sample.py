"""The configuration `sample`: the first planets of the first split in one small file, to look at before the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from hf_dataset.folders import Folder, files, open_binary
from hf_dataset.store.contents import SPLIT_ORDER
from hf_dataset.store.rows import rows_of
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, ShardName, ShardWriter, find_shards

PLANETS = 8


def write_sample(out: Folder) -> Folder:
    """Write the sample of the dataset folder or URL `out` in place of an earlier one, and return its file.

    The same shards give the same bytes. ValueError where there are no rows to take it from.
    """
    split, rows = sample_of(out)
    path = out / SAMPLE_DIR / f"{ShardName(split, 0, 1)}.parquet"
    first = next(rows)
    with ShardWriter(path, len(first["time"])) as writer:
        writer.write(first)
        for row in rows:
            writer.write(row)
    for other in files(out / SAMPLE_DIR, ".parquet"):
        if other.name != path.name:
            other.unlink()
    return path


def sample_of(out: Folder) -> tuple[str, Iterator[dict[str, Any]]]:
    """(split, rows) that the sample has: every visit of the first `PLANETS` planets of the first split with rows.

    Only row groups with such planets are decoded.
    """
    found = find_shards(out)
    for split in SPLIT_ORDER:
        for path in found.get(split, []):
            with open_binary(path) as file, pq.ParquetFile(file) as shard:
                if shard.metadata.num_rows:
                    return split, _rows(found[split])
    raise ValueError(f"{out / DATA_DIR}: expected Parquet shards with rows, found none")


def _rows(paths: list[Folder]) -> Iterator[dict[str, Any]]:
    """The rows of the first planets, in the order of the files."""
    planets: set[int] = set()
    for path in paths:
        with open_binary(path) as file, pq.ParquetFile(file) as shard:
            for group in range(shard.num_row_groups):
                ids = shard.read_row_group(group, columns=["planet_id"])["planet_id"].to_pylist()
                for planet in ids:
                    if len(planets) < PLANETS:
                        planets.add(planet)
                if planets.intersection(ids):
                    table = shard.read_row_group(group, use_threads=False)
                    for place, planet in enumerate(ids):
                        if planet in planets:
                            yield from rows_of(table.slice(place, 1))
