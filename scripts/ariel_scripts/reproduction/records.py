"""The record of the run that left a file or folder, wherever the command that left it puts one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ariel_scripts.content import deciding, shards_of
from ariel_scripts.opening.provenance import ADAPTATION, CALIBRATION, ON_THE_FLY, TRAINING
from hf_dataset.digests import config_hash, file_hash
from hf_dataset.folders import read_json
from hf_dataset.store import record as dataset_record
from modeling_ariel.predictions import PredictionError, read_run

RUN, MANIFEST = "run.json", ".manifest.json"
_PREDICTIONS = (".parquet", ".npz")
_SUBMITTED = (".csv", ".zip")
_ABOVE = 3  # folders above a result in which the run.json of its run may lie: OUT/fold-0/best/step-000100


@dataclass(frozen=True)
class Found:
    """A run's ``record``, the file ``place`` that holds it, and what it says the result held (`kind`, `sha256`)."""

    record: dict[str, Any]
    place: Path
    content: dict[str, str] | None = None
    before: Found | None = None  # of a model: the record of the one that it was made of, which travels with it


def record_of(path: Path) -> Found | None:
    """The record of the run that left ``path``, or what it is a link to; None where there is none."""
    places = dict.fromkeys((path.absolute(), path.resolve()))
    return next((found for place in places for found in _records(place)), None)


def written(invocation: Mapping[str, Any], value: object) -> Path:
    """Where a command wrote what its option named `.` or `../page`, with a name of its own."""
    return Path(os.path.normpath(Path(invocation["folder"], str(value))))


def moved(found: Found, path: Path) -> Path | None:
    """Where a ``path`` of a record lies now, if it was moved together with the record, as a whole study is."""
    invocation = found.record.get("invocation") or {}
    out = invocation.get("options", {}).get("out")
    if out is None:
        return None
    place = written(invocation, out)
    then = place if found.place.name == RUN else place.parent
    return Path(os.path.normpath(found.place.parent / os.path.relpath(path, then)))


def reads_of(found: Found) -> dict[str, list[dict[str, str]]]:
    """What the run read, by option, as its record has it: `given`, `path`, `kind` and `sha256`, or a Hub `commit`.

    Where a record has no invocation (a run from Python, a model from the Hub) it is what else it says.
    """
    record = found.record
    if "invocation" in record:
        inputs: dict[str, list[dict[str, str]]] = record["invocation"]["inputs"]
        return inputs
    metrics = record.get("metrics") or {}
    named = {"dataset": [metrics.get("dataset")], "model": metrics.get("sources") or [metrics.get("source")]}
    listed = {key: [one for one in entries if isinstance(one, Mapping)] for key, entries in named.items()}
    listed |= record.get("told", {})
    return {key: [_entry(one, key) for one in entries] for key, entries in listed.items() if entries}


def _entry(named: Mapping[str, Any], kind: str) -> dict[str, str]:
    """A `{name, commit}` of a record as an input."""
    name = str(named["name"])
    commit = named.get("commit")
    place = {"kind": "hub", "commit": str(commit)} if commit else {"kind": kind, "path": name}
    return {"given": name, **place}


def _records(path: Path) -> Iterator[Found]:
    """Records that may be the one, the best first."""
    if path.is_dir():
        yield from _of_folder(path)
        return
    if path.name.endswith(MANIFEST):
        yield from _manifest(path, path)
    if path.name.endswith(RUN) and (record := read_json(path)):
        yield Found(record, path)
    stem = path.name.split(".")[0] if path.suffix in _SUBMITTED else path.stem
    yield from _manifest(path.with_name(f"{stem}{MANIFEST}"), path)
    beside = path.with_name(f"{path.stem}.{RUN}")
    record = read_json(beside) or {}
    if path.suffix in _PREDICTIONS and path.is_file():
        try:
            if inside := read_run(path):
                same = inside.get("started") == record.get("started")
                yield Found(inside, path, left_in(record, path) if same else None)
        except PredictionError:
            pass
    if record:
        yield Found(record, beside, left_in(record, path))
    if deciding(path.parent):
        yield from _of_folder(path.parent)
    if path.suffix in _SUBMITTED:
        for manifest in sorted(path.parent.glob(f"*{MANIFEST}")):
            yield from _manifest(manifest, path, renamed=True)
    yield from _above(path)


def _manifest(manifest: Path, path: Path, renamed: bool = False) -> Iterator[Found]:
    """The record in a submission's manifest that lists the file, by its name, or by its content where it is renamed."""
    content = read_json(manifest) or {}
    if "run" not in content:
        return
    hashes = {Path(name).name: digest for name, digest in content.get("sha256", {}).items()}
    digest = file_hash(path) if renamed else hashes.get(path.name)
    if path == manifest or digest in hashes.values():
        yield Found(content["run"], manifest, None if path == manifest else {"kind": "file", "sha256": str(digest)})


def _of_folder(path: Path) -> Iterator[Found]:
    record = read_json(path / RUN)
    if record is not None:
        yield Found(record, path / RUN, left_in(record, path))
    if deciding(path):
        yield from _above(path)
        yield from _told_by_model(path)
    elif shards_of(path) and (path / dataset_record.FILE).is_file():
        yield _told_by_dataset(path)
    else:
        yield from _above(path)


def _above(path: Path) -> Iterator[Found]:
    """The run.json of a folder above, where its `out` is that folder."""
    for folder in list(path.parents)[:_ABOVE]:
        record = read_json(folder / RUN)
        invocation = (record or {}).get("invocation") or {}
        out = invocation.get("options", {}).get("out")
        if record is not None and out is not None and written(invocation, out).name == folder.name:
            yield Found(record, folder / RUN, left_in(record, folder) if path == folder / "model" else None)
            return


def left_in(record: Mapping[str, Any], path: Path) -> dict[str, str] | None:
    """What a record says that it left at ``path``, whose name is still that of then."""
    outputs, invocation = record.get("outputs") or {}, record.get("invocation") or {"folder": "."}
    return next((one for name, one in outputs.items() if written(invocation, name).name == path.name), None)


def _told_by_model(folder: Path) -> Iterator[Found]:
    """What the records that travel with a checkpoint tell: of its calibration, adaptation, training, the last first."""
    found: Found | None = None
    for name, command, model, dataset in (
        (TRAINING, "training", "base", "data"),
        (ADAPTATION, "adapt", "of_model", "of_dataset"),
        (CALIBRATION, "calibrate", "model", "dataset"),
    ):
        known = read_json(folder / name)
        if known is not None:
            told = {"model": _named(known.get(model)), "dataset": _named(known.get(dataset))}
            command = known.get("invocation", {}).get("command", command)
            record = _as_run(command, known, known.get("config") or {}) | {"told": told}
            found = Found(record, folder / name, before=found)
    if found is not None:
        yield found


def _named(known: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The dataset or model that a checkpoint's record names, if it is one that can be found again."""
    name = (known or {}).get("name") or (known or {}).get("source")
    return [] if name in (None, ON_THE_FLY) else [{"name": name, "commit": (known or {}).get("commit")}]


def _as_run(command: str, known: Mapping[str, Any], config: Any) -> dict[str, Any]:
    kept = ("invocation", "versions", "git_commit", "lock_hash")
    seed = known.get("seed", config.get("seed") if isinstance(config, Mapping) else None)
    return {
        "command": command,
        "config_hash": config_hash(config) if config else None,
        "seeds": [] if seed is None else [seed],
        **{name: known[name] for name in kept if name in known},
        "started": known.get("created"),
    }


def _told_by_dataset(folder: Path) -> Found:
    """What the record beside a dataset's card tells, of a copy without a run.json."""
    known = (read_json(folder / dataset_record.FILE) or {}).get("provenance") or {}
    code = known.get("code") or {}
    record: dict[str, Any] = {
        "command": str(known.get("command", "unknown")).removeprefix("ariel "),
        "config_hash": known.get("config_hash") or config_hash(known.get("settings") or {}),
        "seeds": [],
        "git_commit": code.get("commit"),
        "versions": {name: text for name, text in code.items() if name != "commit"},
    }
    return Found(record, folder / dataset_record.FILE)
