"""Parquet shards of light-curve rows: `OUT/data/light_curves/SPLIT-00000-of-00012.parquet`.

Each file carries the schema's `datasets.Features` in its metadata, so it opens with the right types by itself. Floats
are stored byte-stream-split under zstd (half the size of the default on noisy curves, as fast to read), cut by content
so that an upload sends only what changed. A shard has its final name only when it is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.features.features import numpy_to_pyarrow_listarray

from hf_dataset import schema
from hf_dataset.folders import Folder, files, hidden, put, sha256

DATA_DIR, SAMPLE_DIR = "data/light_curves", "data/sample"
GROUP_BYTES = 16 << 20  # decoded bytes a row group: one fetch when streaming, far below the Hub viewer's 286 MiB
_NAME = re.compile(r"(?P<split>[a-z]+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.parquet")


@dataclass(frozen=True)
class ShardName:
    """Which shard of which split a file is."""

    split: str
    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}"

    @property
    def file(self) -> str:
        """Path of the shard in a dataset folder."""
        return f"{DATA_DIR}/{self}.parquet"

    def path(self, out: Folder) -> Folder:
        """Path of the shard in the dataset folder `out`."""
        return out / self.file


@overload
def find_shards(out: Path, where: str = DATA_DIR) -> dict[str, list[Path]]: ...
@overload
def find_shards(out: Folder, where: str = DATA_DIR) -> dict[str, list[Folder]]: ...
def find_shards(out: Any, where: str = DATA_DIR) -> Any:
    """The shard files of the dataset folder `out` by split, in order; `where` is a folder in it."""
    found: dict[str, list[Folder]] = {}
    for path in files(out / where, ".parquet"):
        if match := _NAME.fullmatch(path.name):
            found.setdefault(match["split"], []).append(path)
    return found


def rows_per_group(n_bins: int) -> int:
    """How many rows of `n_bins` time bins make a row group of about `GROUP_BYTES`."""
    return max(1, GROUP_BYTES // (n_bins * (9 * schema.N_CHANNELS + 20)))


def _float_arrays() -> list[str]:
    """Parquet's names of the columns that hold arrays of floats."""
    arrays = [column for column in schema.COLUMNS if column.shape and column.dtype == "float32"]
    return [column.name + ".list.element" * len(column.shape) for column in arrays]


def to_table(rows: list[Mapping[str, Any]], n_bins: int) -> pa.Table:
    """Rows of the schema as an Arrow table with the schema's features."""
    features = schema.features(n_bins)
    target = features.arrow_schema
    columns = []
    for name, feature in features.items():
        values, kind = [row[name] for row in rows], target.field(name).type
        if isinstance(feature, datasets.Array2D):
            storage = numpy_to_pyarrow_listarray(np.stack(values)).cast(kind.storage_type)
            columns.append(pa.ExtensionArray.from_storage(kind, storage))
        else:
            columns.append(pa.array(values, type=kind))
    return pa.Table.from_arrays(columns, schema=target)


@dataclass(frozen=True)
class Stored:
    """A finished shard's size [byte] and SHA-256 (hex)."""

    bytes: int
    sha256: str


class ShardWriter:
    """Writes rows to a hidden file beside `path` and gives it its name when the `with` block ends well.

    At most one row group of rows is held in memory. On an exception nothing is left behind; a killed process leaves
    the hidden file, which `lineage.remove_unfinished` deletes. For a URL the file is in a temporary folder of this
    machine, and uploaded. `stored` is there once the block has ended.
    """

    stored: Stored

    def __init__(self, path: Folder, n_bins: int) -> None:
        self.path, self.n_bins, self.n_rows = path, n_bins, 0
        self._rows: list[Mapping[str, Any]] = []
        if isinstance(path, Path):
            self._temporary = hidden(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            self._temporary = hidden(Path(tempfile.gettempdir()) / path.name)
        self._writer = pq.ParquetWriter(
            self._temporary,
            schema.features(n_bins).arrow_schema,
            compression="zstd",
            use_dictionary=False,
            use_byte_stream_split=_float_arrays(),
            use_content_defined_chunking=True,
            write_page_index=True,
        )

    def write(self, row: Mapping[str, Any]) -> None:
        """Add one row, refused with a ValueError naming planet and column where it breaks the schema."""
        schema.check_row(row, self.n_bins)
        self._rows.append(row)
        self.n_rows += 1
        if len(self._rows) == rows_per_group(self.n_bins):
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(to_table(self._rows, self.n_bins))
            self._rows = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
            self._writer.close()
            if kind is None:
                with self._temporary.open("rb") as file:
                    self.stored = Stored(self._temporary.stat().st_size, sha256(file))
                put(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)


def write_rows(
    out: Path,
    split: str,
    rows: Iterable[Mapping[str, Any]],
    n_bins: int = schema.DEFAULT_BINS,
    rows_per_shard: int = 64,
) -> list[Path]:
    """Write `rows` as the split `split` of the dataset folder `out`, replacing that split; return the files.

    Memory is bounded whatever the number of rows. The split appears when all rows are written: a failing iterator
    leaves an earlier one as it was. Follow it with `card.write_card`.
    """
    stage = out / DATA_DIR / f".{split}.{os.getpid()}"
    written: list[Path] = []
    iterator = iter(rows)
    try:
        for first in iterator:
            path = stage / f"{len(written):05d}.parquet"
            with ShardWriter(path, n_bins) as writer:
                for row in chain([first], islice(iterator, rows_per_shard - 1)):
                    writer.write(row)
            written.append(path)
        for path in find_shards(out).get(split, []):
            path.unlink()
        final = [out / ShardName(split, index, len(written)).file for index in range(len(written))]
        for source, target in zip(written, final, strict=True):
            os.replace(source, target)
        return final
    finally:
        shutil.rmtree(stage, ignore_errors=True)
