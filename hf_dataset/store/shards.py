"""Parquet shards of light-curve rows: `OUT/data/light_curves/SPLIT-00000-of-00012.parquet`.

Each file carries the schema's `datasets.Features` in its metadata, so it opens with the right types by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import datasets
import numpy as np
import pyarrow as pa
from datasets.features.features import numpy_to_pyarrow_listarray

from hf_dataset import schema
from hf_dataset.folders import Folder
from hf_dataset.store import parquet
from hf_dataset.store.parquet import RowFormat, RowWriter, write_split

DATA_DIR, SAMPLE_DIR = "data/light_curves", "data/sample"
GROUP_BYTES = 16 << 20  # decoded bytes a row group: one fetch when streaming, far below the Hub viewer's 286 MiB


@dataclass(frozen=True)
class ShardName:
    """Which shard of which split a file is."""

    split: str
    index: int
    count: int

    def __str__(self) -> str:
        return parquet.shard_name(self.split, self.index, self.count)

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
    return parquet.find_shards(out, where)


def rows_per_group(n_bins: int) -> int:
    """How many rows of `n_bins` time bins make a row group of about `GROUP_BYTES`."""
    return max(1, GROUP_BYTES // (n_bins * (9 * schema.N_CHANNELS + 20)))


def _float_arrays() -> list[str]:
    """Parquet's names of the columns that hold arrays of floats."""
    arrays = [column for column in schema.COLUMNS if column.shape and column.dtype == "float32"]
    return [column.name + ".list.element" * len(column.shape) for column in arrays]


def light_curves(n_bins: int) -> RowFormat:
    """How rows of `n_bins` time bins are checked and stored."""
    return RowFormat(
        schema=schema.features(n_bins).arrow_schema,
        check=lambda row: schema.check_row(row, n_bins),
        to_table=lambda rows: to_table(rows, n_bins),
        rows_per_group=rows_per_group(n_bins),
        floats=tuple(_float_arrays()),
    )


def to_table(rows: Sequence[Mapping[str, Any]], n_bins: int) -> pa.Table:
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


class ShardWriter(RowWriter):
    """Writes light curves of `n_bins` time bins to a shard; see :class:`RowWriter`."""

    def __init__(self, path: Folder, n_bins: int) -> None:
        super().__init__(path, light_curves(n_bins))


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
    return write_split(out, DATA_DIR, split, rows, light_curves(n_bins), rows_per_shard)
