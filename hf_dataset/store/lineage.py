"""Lineage: one manifest per shard, so that a resumed build never mixes settings, code or inputs.

`OUT/manifest/SHARD.json` is written after its Parquet file: a shard is finished when both are there and agree. It
holds the settings, the code's version, size and modification time of every input file, and a report for every visit.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_dataset.digests import config_hash
from hf_dataset.folders import Folder, read_json, remove_hidden, remove_tree, write_json
from hf_dataset.raw.fingerprints import Fingerprint
from hf_dataset.store.parquet import Stored
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, ShardName, find_shards

MANIFEST_DIR = "manifest"
STATE_DIR = ".build"  # lock, progress and logs of a running build
REPORTS = ("README.md", "dataset.json", "croissant.json", "report.json", "report.md")
MANIFEST_KEYS: dict[str, type] = {
    "shard": str,
    "rows": int,
    "bytes": int,
    "sha256": str,
    "settings": dict,
    "config_hash": str,
    "code": dict,
    "tables": list,
    "inputs": dict,
    "visits": list,
}
ENTRY_KEYS = {"planet_id", "visit", "files", "seconds"}  # of a visit


def manifest_path(out: Folder, name: ShardName) -> Folder:
    """Path of a shard's manifest."""
    return out / MANIFEST_DIR / f"{name}.json"


def write_manifest(
    out: Folder,
    name: ShardName,
    stored: Stored,
    *,
    settings: Mapping[str, Any],
    code: Mapping[str, str],
    tables: Iterable[str],
    inputs: Mapping[str, Fingerprint],
    hashes: Mapping[str, str],
    visits: Sequence[Mapping[str, Any]],
) -> None:
    """Record the finished shard; from now on it counts as done.

    tables: names of the raw folder's tables, which every row depends on. inputs: these and all files of the visits.
    hashes: SHA-256 of the tables and of the files of visits that gave a row, for later; resuming needs none of them.
    visits: an entry each, in the order of the rows, with `error` where one failed.
    """
    content = {
        "shard": name.file,
        "rows": sum("error" not in entry for entry in visits),
        "bytes": stored.bytes,
        "sha256": stored.sha256,
        "settings": settings,
        "config_hash": config_hash(settings),
        "code": code,
        "tables": list(tables),
        "inputs": inputs,
        "input_sha256": hashes,
        "visits": visits,
    }
    write_json(manifest_path(out, name), content)


def flaws(manifest: Mapping[str, Any]) -> list[str]:
    """The keys of a manifest that are missing or of another type."""
    wrong = [key for key, kind in MANIFEST_KEYS.items() if not isinstance(manifest.get(key), kind)]
    if wrong:
        return wrong
    entries, reduction = manifest["visits"], manifest["settings"].get("reduction")
    wrong = [
        f"visits[{i}]" for i, entry in enumerate(entries) if not (isinstance(entry, dict) and {*entry} >= ENTRY_KEYS)
    ]
    if not isinstance(reduction, dict) or not isinstance(reduction.get("n_bins"), int):
        wrong.append("settings.reduction.n_bins")
    return wrong


def read_manifest(path: Folder) -> dict[str, Any] | None:
    """The manifest in a file; None if it is missing, truncated or incomplete."""
    manifest = read_json(path)
    return None if manifest is None or flaws(manifest) else manifest


def is_whole(out: Folder, manifest: Mapping[str, Any]) -> bool:
    """Whether the shard's file exists with the size in its manifest."""
    try:
        return (out / manifest["shard"]).stat().st_size == manifest["bytes"]
    except FileNotFoundError:
        return False


def remove_unfinished(out: Folder) -> None:
    """Delete half-written files of killed processes in the dataset folder `out`; a URL never has any."""
    if isinstance(out, Path):
        for path in [*(out / DATA_DIR).glob(".*"), *(out / SAMPLE_DIR).glob(".*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for where in (out, out / MANIFEST_DIR):
            remove_hidden(where)


def clear(out: Folder) -> None:
    """Delete everything that a build made in `out`, manifests first; other files stay."""
    remove_tree(out / MANIFEST_DIR)
    for paths in [*find_shards(out).values(), *find_shards(out, SAMPLE_DIR).values()]:
        for path in paths:
            path.unlink()
    for name in REPORTS:
        (out / name).unlink(missing_ok=True)
