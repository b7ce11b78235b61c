"""What a file or a folder holds, as a hash of that which decides a result, so that the same content has the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hf_dataset.digests import config_hash, file_hash

DATA, SAMPLE, MANIFESTS = "data", "sample", "manifest"
_MODEL = ("config.json", "preprocessor_config.json")  # beside weights; records have times in them
_RECORDS = ("run.json", "stages.json")
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


def content_of(path: Path) -> dict[str, str] | None:
    """`kind` and `sha256` of what is at a path: file, dataset, model, or folder; None where nothing is.

    A dataset is its shards, a model its weights and configuration, a training run the model in it, to the byte. Of any
    other folder, such as a raw one, only the names, sizes and times of its files are hashed.
    """
    if path.is_file():
        return {"kind": "file", "sha256": file_hash(path)}
    if not path.is_dir():
        return None
    if shards := shards_of(path):
        return {"kind": "dataset", "sha256": together({name: file_hash(path / name) for name in shards})}
    for folder in (path, path / "model"):
        if files := deciding(folder):
            return {"kind": "model", "sha256": together({one.name: file_hash(one) for one in files})}
    found = sorted(one for one in path.rglob("*") if one.is_file() and not _passing(one.relative_to(path)))
    listed = [(one.relative_to(path).as_posix(), one.stat().st_size, one.stat().st_mtime_ns) for one in found]
    return {"kind": "folder", "sha256": together({name: [size, time] for name, size, time in listed})}


def shards_of(folder: Path) -> list[str]:
    """The shards of a dataset's folder, by their names in it; none where it is none."""
    names = (path.relative_to(folder).as_posix() for path in sorted((folder / DATA).rglob("*.parquet")))
    return [name for name in names if not name.startswith(f"{DATA}/{SAMPLE}/") and "/." not in name]


def deciding(folder: Path) -> list[Path]:
    """The files that decide what a checkpoint answers; none where the folder is none."""
    weights = sorted(folder.glob("*.safetensors"))
    return [*weights, *(folder / name for name in _MODEL if (folder / name).is_file())] if weights else []


def listed_at(where: str) -> dict[str, str]:
    """`sha256` of a dataset at a URL, as its manifests say; empty where it has none."""
    from hf_dataset.folders import files, folder, read_json

    manifests = [read_json(path) or {} for path in files(folder(where) / MANIFESTS, ".json")]
    shards = {str(one["shard"]): str(one["sha256"]) for one in manifests if "shard" in one and "sha256" in one}
    return {"sha256": together(shards)} if shards else {}


def together(hashes: Mapping[str, Any]) -> str:
    """One hash of the hashes of named parts, in whatever order they come."""
    return config_hash(sorted(hashes.items()))


def _passing(name: Path) -> bool:
    """Whether a file of a folder is a record, hidden or half-written."""
    return name.name in _RECORDS or any(part.startswith(".") for part in name.parts)


def without_passwords(value: Any) -> Any:
    """The same text, list or mapping with `***` for the passwords of URLs such as ftp://me:secret@host/x."""
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1:***@", value)
    if isinstance(value, Mapping):
        return {key: without_passwords(one) for key, one in value.items()}
    return [without_passwords(one) for one in value] if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """A value of options as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, str | bool | int | float | None):
        return value
    if isinstance(value, Iterable):
        return [plain(one) for one in (sorted(value) if isinstance(value, frozenset | set) else value)]
    return json.loads(json.dumps(value, default=str))
