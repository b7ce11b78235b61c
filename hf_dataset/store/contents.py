"""What a dataset folder holds, read from the Parquet files themselves: rows, planets, sizes, columns, origins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq
from datasets import Features

from hf_dataset.folders import Folder, open_binary
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, find_shards

CONFIG, SAMPLE = "light_curves", "sample"
CONFIG_DIRS = {CONFIG: DATA_DIR, SAMPLE: SAMPLE_DIR}
SPLIT_ORDER = ("train", "validation", "test", "unlike")  # the last is of simulations alone
OPEN_LICENCE, CHALLENGE_LICENCE = "apache-2.0", "cc-by-nc-4.0"


@dataclass(frozen=True)
class SplitContents:
    """What a split's files hold; `truths` are rows with a true spectrum, `decoded` and `stored` bytes."""

    rows: int
    planets: int
    truths: int
    shards: int
    decoded: int
    stored: int


@dataclass(frozen=True)
class Contents:
    """What a dataset folder's files say of themselves; `log` is the first row's calibration.

    `configs`: name of the configuration → split → what it holds; splits without rows are not in it. `layouts`: those of
    all rows.
    """

    name: str
    configs: Mapping[str, Mapping[str, SplitContents]]
    features: Features
    layouts: tuple[str, ...]
    log: str

    @property
    def splits(self) -> Mapping[str, SplitContents]:
        """Splits of the light curves."""
        return self.configs[CONFIG]

    @property
    def n_bins(self) -> int:
        """Time bins of a light curve."""
        return int(self.features["time"].length)

    @property
    def of_light_curves(self) -> bool:
        """Whether the first row was simulated as a light curve, with no frames behind it."""
        return '"simulate_fast"' in self.log

    @property
    def licence(self) -> str:
        """The licence that the rows have: this project's only where it made every row, spectrum included."""
        return OPEN_LICENCE if self.layouts == ("simulated",) else CHALLENGE_LICENCE


def read_contents(out: Folder) -> Contents:
    """Read what is in the dataset folder or URL `out`: the small columns of every shard.

    ValueError where there is no row, or a split of an unknown name.
    """
    configs: dict[str, dict[str, SplitContents]] = {}
    layouts: set[str] = set()
    for config, where in CONFIG_DIRS.items():
        found = find_shards(out, where)
        if unknown := sorted(set(found) - set(SPLIT_ORDER)):
            raise ValueError(f"{out / where}: expected the splits {', '.join(SPLIT_ORDER)}, found {', '.join(unknown)}")
        read = {split: _read_split(found[split], layouts) for split in SPLIT_ORDER if split in found}
        configs[config] = {split: part for split, part in read.items() if part.rows}
    if not configs[CONFIG]:
        raise ValueError(f"{out / DATA_DIR}: expected Parquet shards with rows, found none")
    features, log = _first_row(find_shards(out)[next(iter(configs[CONFIG]))])
    return Contents(out.resolve().name, configs, features, tuple(sorted(layouts)), log)


def _read_split(paths: Sequence[Folder], layouts: set[str]) -> SplitContents:
    """What the files hold; adds the layouts of their rows to `layouts`."""
    planets: set[int] = set()
    rows = truths = decoded = 0
    for path in paths:
        with open_binary(path) as file, pq.ParquetFile(file) as shard:
            table, footer = shard.read(columns=["planet_id", "layout", "spectrum"]), shard.metadata
            planets.update(table["planet_id"].to_pylist())
            layouts.update(map(str, table["layout"].unique().to_pylist()))
            rows += footer.num_rows
            truths += footer.num_rows - table["spectrum"].null_count
            decoded += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    stored = sum(path.stat().st_size for path in paths)
    return SplitContents(rows, len(planets), truths, len(paths), decoded, stored)


def _first_row(paths: Sequence[Folder]) -> tuple[Features, str]:
    """Columns and calibration log of the first row of files that have one."""
    for path in paths:
        with open_binary(path) as file, pq.ParquetFile(file) as shard:
            if shard.metadata.num_rows:
                log = shard.read_row_group(0, columns=["calibration"])["calibration"][0].as_py()
                return Features.from_arrow_schema(shard.schema_arrow), log
    raise ValueError(f"expected rows in {', '.join(map(str, paths))}, found none")
