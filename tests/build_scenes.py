"""Builds of a fake folder, and what they leave: for tests that compare builds."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from fake_folder import open_fake, reduce_fake

from hf_dataset.build import run
from hf_dataset.build.plan import BuildOptions
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.shards import find_shards

BINS = 8
TIMES = ("seconds", "cpu_seconds", "peak_mb", "node")
fake_build = partial(run.build_dataset, open_folder=open_fake, reduce_visit=reduce_fake)


def options(**changes: Any) -> BuildOptions:
    return BuildOptions(**{"reduction": ReductionOptions(n_bins=BINS), "workers": 1, "planets_per_shard": 2, **changes})


def contents(out: Path) -> dict[str, bytes]:
    """The shard files: equal bytes are equal columns, row groups and metadata."""
    return {path.name: path.read_bytes() for paths in find_shards(out).values() for path in paths}


def visits(out: Path, split: str) -> list[tuple[int, int]]:
    tables = [pq.read_table(path, columns=["planet_id", "visit"]).to_pylist() for path in find_shards(out)[split]]
    return [(row["planet_id"], row["visit"]) for table in tables for row in table]


def timeless_contents(out: Path) -> dict[str, bytes]:
    """What may not depend on where and how the dataset was built; manifests without durations."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in (out / "data").rglob("*") if path.is_file()}
    found["README.md"] = (out / "README.md").read_bytes()
    for path in (out / "manifest").iterdir():
        found[path.name] = json.dumps(timeless(json.loads(path.read_text()))).encode()
    return found


def timeless(value: Any) -> Any:
    """A manifest without what differs from run to run."""
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items() if name not in TIMES}
    return [timeless(part) for part in value] if isinstance(value, list) else value
