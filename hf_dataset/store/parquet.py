"""Rows of any schema as Parquet shards: `OUT/FOLDER/SPLIT-00000-of-00012.parquet`.

Floats are stored byte-stream-split under zstd (half the size of the default on noisy curves, as fast to read), cut by
content so that an upload sends only what changed. A shard has its final name only when it is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_dataset.folders import Folder, files, hidden, put, sha256

_NAME = re.compile(r"(?P<split>[a-z]+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.parquet")


def shard_name(split: str, index: int, count: int) -> str:
    """Name of a shard's file without its ending: `train-00000-of-00012`."""
    return f"{split}-{index:05d}-of-{count:05d}"


def find_shards(out: Folder, where: str) -> dict[str, list[Folder]]:
    """The shard files in the folder `where` of the dataset folder `out` by split, in order."""
    found: dict[str, list[Folder]] = {}
    for path in files(out / where, ".parquet"):
        if match := _NAME.fullmatch(path.name):
            found.setdefault(match["split"], []).append(path)
    return found


@dataclass(frozen=True)
class RowFormat:
    """How rows of one schema are checked and stored.

    check: raises ValueError for a row that breaks the schema. to_table: rows as a table of `schema`. floats: Parquet's
    names of the columns that hold arrays of floats.
    """

    schema: pa.Schema
    check: Callable[[Mapping[str, Any]], None]
    to_table: Callable[[Sequence[Mapping[str, Any]]], pa.Table]
    rows_per_group: int
    floats: tuple[str, ...]


@dataclass(frozen=True)
class Stored:
    """A finished shard's size [byte] and SHA-256 (hex)."""

    bytes: int
    sha256: str


class RowWriter:
    """Writes rows to a hidden file beside `path` and gives it its name when the `with` block ends well.

    At most one row group of rows is held in memory. On an exception nothing is left behind; a killed process leaves
    the hidden file, which `lineage.remove_unfinished` deletes. For a URL the file is in a temporary folder of this
    machine, and uploaded. `stored` is there once the block has ended.
    """

    stored: Stored

    def __init__(self, path: Folder, form: RowFormat) -> None:
        self.path, self.n_rows, self._form = path, 0, form
        self._rows: list[Mapping[str, Any]] = []
        if isinstance(path, Path):
            self._temporary = hidden(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            self._temporary = hidden(Path(tempfile.gettempdir()) / path.name)
        self._writer = pq.ParquetWriter(
            self._temporary,
            form.schema,
            compression="zstd",
            use_dictionary=False,
            use_byte_stream_split=list(form.floats),
            use_content_defined_chunking=True,
            write_page_index=True,
        )

    def write(self, row: Mapping[str, Any]) -> None:
        """Add one row, refused with a ValueError naming it and the column where it breaks the schema."""
        self._form.check(row)
        self._rows.append(row)
        self.n_rows += 1
        if len(self._rows) == self._form.rows_per_group:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._form.to_table(self._rows))
            self._rows = []

    def __enter__(self) -> RowWriter:
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


def write_split(
    out: Path, where: str, split: str, rows: Iterable[Mapping[str, Any]], form: RowFormat, rows_per_shard: int
) -> list[Path]:
    """Write `rows` as the split `split` in the folder `where` of `out`, replacing that split; return the files.

    Memory is bounded whatever the number of rows. The split appears when all rows are written: a failing iterator
    leaves an earlier one as it was.
    """
    stage = out / where / f".{split}.{os.getpid()}"
    written: list[Path] = []
    iterator = iter(rows)
    try:
        for first in iterator:
            path = stage / f"{len(written):05d}.parquet"
            with RowWriter(path, form) as writer:
                for row in chain([first], islice(iterator, rows_per_shard - 1)):
                    writer.write(row)
            written.append(path)
        for old in find_shards(out, where).get(split, []):
            old.unlink()
        final = [out / where / f"{shard_name(split, index, len(written))}.parquet" for index in range(len(written))]
        for source, target in zip(written, final, strict=True):
            os.replace(source, target)
        return final
    finally:
        shutil.rmtree(stage, ignore_errors=True)
