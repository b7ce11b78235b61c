"""The configuration `previews` of a published dataset: pictures of its first rows, which the Hub's viewer shows.

It lies outside `data/` and is made at every push: a folder, and what is loaded without a configuration's name, are as
they were. Columns: planet_id, visit, light_curve and spectrum (images; null where no truth is known).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, Value

from ariel_scripts.publishing import pictures
from hf_dataset.folders import open_binary
from hf_dataset.store.contents import SPLIT_ORDER
from hf_dataset.store.rows import rows_of
from hf_dataset.store.shards import ShardName, find_shards

CONFIG = "previews"
EXAMPLES = "examples.png"
MOST = 100  # rows of a split: seconds to draw, and 2 MB
ON_THE_CARD = 4
COLUMNS = ("planet_id", "visit", "time", "flux", "valid", "spectrum")
FEATURES = Features({"planet_id": Value("int64"), "visit": Value("int32"), "light_curve": Image(), "spectrum": Image()})


@dataclass(frozen=True)
class Size:
    """How much a split of a configuration holds."""

    rows: int
    decoded: int
    stored: int


@dataclass(frozen=True)
class Previews:
    """Files by path in the repository, the picture for the card among them, and the splits' sizes."""

    files: Mapping[str, bytes]
    sizes: Mapping[str, Size]


def draw_previews(out: Path, wavelength: np.ndarray) -> Previews:
    """Pictures of the first rows of each split of the dataset folder. wavelength: (C,) [um]."""
    files: dict[str, bytes] = {}
    sizes: dict[str, Size] = {}
    found = find_shards(out)
    for split in (name for name in SPLIT_ORDER if name in found):
        rows = islice(_rows(found[split]), MOST)
        if first := list(islice(rows, ON_THE_CARD)):
            files.setdefault(EXAMPLES, pictures.examples(first, wavelength))
            content, sizes[split] = _written(chain(first, rows), wavelength)
            files[f"{CONFIG}/{ShardName(split, 0, 1)}.parquet"] = content
    return Previews(files, sizes)


def _rows(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Rows with what a picture needs, one in memory at a time."""
    for path in paths:
        with open_binary(path) as file, pq.ParquetFile(file) as shard:
            for group in range(shard.num_row_groups):
                table = shard.read_row_group(group, columns=list(COLUMNS), use_threads=False)
                for place in range(table.num_rows):
                    yield from rows_of(table.slice(place, 1))


def _written(rows: Iterable[dict[str, Any]], wavelength: np.ndarray) -> tuple[bytes, Size]:
    """A Parquet file of pictures of the rows."""
    records = [
        {
            "planet_id": row["planet_id"],
            "visit": row["visit"],
            "light_curve": _image(pictures.light_curve_thumbnail(row)),
            "spectrum": _image(pictures.spectrum_thumbnail(row, wavelength)),
        }
        for row in rows
    ]
    table = pa.Table.from_pylist(records, schema=FEATURES.arrow_schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue(), Size(table.num_rows, table.nbytes, len(buffer.getvalue()))


def _image(content: bytes | None) -> dict[str, Any] | None:
    return None if content is None else {"bytes": content, "path": None}
