"""Single rows of a dataset folder or URL, without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_dataset.folders import Folder, open_binary
from hf_dataset.store.shards import find_shards


class DamagedDataset(ValueError):
    """A shard cannot be read."""


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a table as `schema.check_row` takes them: NumPy arrays and plain scalars."""
    for i in range(table.num_rows):
        yield {name: value_of(table[name][i]) for name in table.column_names}


def value_of(scalar: pa.Scalar) -> Any:
    """A scalar, or a NumPy array of a (nested) list's shape; ValueError where the inner lists differ in length."""
    if isinstance(scalar, pa.ExtensionScalar):
        scalar = scalar.value
    if scalar is None or not scalar.is_valid or not hasattr(scalar, "values"):
        return None if scalar is None else scalar.as_py()
    values, shape = scalar.values, [len(scalar.values)]
    while pa.types.is_nested(values.type):
        lengths = set(values.value_lengths().to_pylist())
        if len(lengths) != 1:
            raise ValueError(f"expected inner lists of one length, found {sorted(map(str, lengths))[:4]}")
        shape += [lengths.pop()]
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)


def find_row(out: Folder, planet: int, visit: int) -> tuple[str, dict[str, Any]]:
    """(split, row) of a planet's visit.

    ValueError, saying what there is, where the dataset has none of that planet or visit; DamagedDataset where a shard
    cannot be read.
    """
    planets: set[int] = set()
    visits: list[int] = []
    for split, paths in find_shards(out).items():
        for path in paths:
            try:
                with open_binary(path) as opened:
                    file = pq.ParquetFile(opened)
                    ids = file.read(columns=["planet_id", "visit"])
                    pairs = list(zip(ids["planet_id"].to_pylist(), ids["visit"].to_pylist(), strict=True))
                    if (planet, visit) in pairs:
                        return split, next(rows_of(_slice(file, pairs.index((planet, visit)))))
            except (pa.ArrowException, OSError, KeyError) as error:
                raise DamagedDataset(f"{path}: cannot be read: {error}") from error
            planets |= {one for one, _ in pairs}
            visits += [number for one, number in pairs if one == planet]
    if not planets:
        raise ValueError(f"{out}: expected a dataset of light curves, found no shards with rows")
    if visits:
        raise ValueError(f"{out}: planet {planet}: expected the visit {visit}, found {sorted(visits)}")
    raise ValueError(
        f"{out}: expected the planet {planet}, found {len(planets)} others, {min(planets)} … {max(planets)}"
    )


def _slice(file: pq.ParquetFile, row: int) -> pa.Table:
    """One row as a table, of which only its row group is decoded."""
    for group in range(file.num_row_groups):
        length = file.metadata.row_group(group).num_rows
        if row < length:
            return file.read_row_group(group, use_threads=False).slice(row, 1)
        row -= length
    raise KeyError(f"row {row}")
