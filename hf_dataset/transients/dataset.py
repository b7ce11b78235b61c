"""Rows of transients → a dataset folder: shards, `dataset.json`, `report.json` and, last, the card.

A folder without README.md is unfinished. The same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hf_dataset.digests import file_hash, source_hash
from hf_dataset.folders import write_bytes, write_json
from hf_dataset.store.parquet import write_split
from hf_dataset.transients import card, raw, schema
from hf_dataset.transients.contents import DATA_DIR, SPLITS, Contents, read_contents
from hf_dataset.transients.findings import Findings

ROWS_PER_SHARD = 4096  # about 15 MB decoded


def build_dataset(
    root: Path, out: Path, code: Mapping[str, Any], progress: Callable[[int], object] | None = None
) -> tuple[Contents, Findings]:
    """Build the dataset folder `out` from the raw folder `root`, in place of an earlier one.

    code: what made it, for the record. `progress(1)` is called after each raw file. RawDataError where the raw folder
    cannot be read; ValueError where `out` holds another dataset.
    """
    if others := sorted(path.name for path in (out / "data").glob("*") if path.name != Path(DATA_DIR).name):
        raise ValueError(f"{out}: expected a new folder or a dataset of transients, found data/{others[0]}")
    objects = raw.read_objects(root, progress)
    for name in ("README.md", "dataset.json", "report.json"):
        (out / name).unlink(missing_ok=True)
    for split in SPLITS:
        rows = objects.rows.get(split, [])
        write_split(out, DATA_DIR, split, rows, schema.row_format(), ROWS_PER_SHARD)
    provenance = {
        "command": "ariel transients build",
        "code": {**code, "sources": source_hash(sources=("transients",))},
        "raw files": {path.relative_to(root).as_posix(): file_hash(path) for path in objects.files},
    }
    contents = read_contents(out)
    write_json(out / "dataset.json", _record(contents, provenance, objects.findings))
    write_json(out / "report.json", {"rows": _rows(contents), **objects.findings.record()})
    write_bytes(out / "README.md", card.card(contents, provenance, objects.findings).encode())
    return contents, objects.findings


def _rows(contents: Contents) -> dict[str, int]:
    return {split: part.rows for split, part in contents.splits.items()}


def _record(contents: Contents, provenance: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """Content of `dataset.json`: what the dataset is, for programs."""
    return {
        "title": card.TITLE,
        "licence": contents.licence,
        "layouts": list(contents.layouts),
        "splits": {
            split: {
                "rows": part.rows,
                "labelled": part.labelled,
                "positives": part.positives,
                "measurements": part.measurements,
            }
            for split, part in contents.splits.items()
        },
        "left out": findings.counts(),
        "provenance": dict(provenance),
    }
