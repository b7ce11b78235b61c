"""What a dataset folder of transients holds, read from the Parquet files themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from hf_dataset.store.contents import OPEN_LICENCE
from hf_dataset.store.parquet import find_shards

CONFIG = "transients"
DATA_DIR = f"data/{CONFIG}"
SPLITS = ("train", "test")
OTHER_TERMS = "other"  # the Hub's word for a licence that is none of its list


@dataclass(frozen=True)
class SplitContents:
    """What a split's files hold: rows, those with a target, those of TDEs, measurements, bytes decoded and stored."""

    rows: int
    labelled: int
    positives: int
    measurements: int
    decoded: int
    stored: int


@dataclass(frozen=True)
class Contents:
    """What a dataset folder's files say of themselves."""

    name: str
    splits: Mapping[str, SplitContents]
    layouts: tuple[str, ...]

    @property
    def licence(self) -> str:
        """This project's licence only where it made every row; the challenge states none."""
        return OPEN_LICENCE if self.layouts == ("simulated",) else OTHER_TERMS


def read_contents(out: Path) -> Contents:
    """What is in the shards of the dataset folder `out`; ValueError where there are none."""
    splits: dict[str, SplitContents] = {}
    layouts: set[str] = set()
    for split, paths in find_shards(out, DATA_DIR).items():
        targets: list[int | None] = []
        measurements = decoded = 0
        for path in paths:
            with pq.ParquetFile(path) as shard:
                table, footer = shard.read(columns=["layout", "target", "lightcurve.time"]), shard.metadata
                targets += table["target"].to_pylist()
                layouts.update(map(str, table["layout"].unique().to_pylist()))
                measurements += sum(len(chunk.field("time").flatten()) for chunk in table["lightcurve"].chunks)
                decoded += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        splits[split] = SplitContents(
            rows=len(targets),
            labelled=len(targets) - targets.count(None),
            positives=targets.count(1),
            measurements=measurements,
            decoded=decoded,
            stored=sum(path.stat().st_size for path in paths),
        )
    if not splits:
        raise ValueError(f"{out / DATA_DIR}: expected Parquet shards, found none")
    order = {split: splits[split] for split in SPLITS if split in splits}
    return Contents(out.resolve().name, order, tuple(sorted(layouts)))
