"""What each shard was made of: one manifest a shard, so that a resumed build never mixes settings, code or inputs.

`OUT/manifest/SHARD.json` is written after its Parquet file: a shard is finished when both are there and agree. It
holds the settings, the code's version, size and modification time of every input file, and a report for every visit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hf_dataset.build.plan import Plan, Shard
from hf_dataset.folders import Folder, files, read_json, remove_hidden, remove_tree, write_json
from hf_dataset.raw.inputs import Fingerprint, changes, fingerprint, fingerprints, tables
from hf_dataset.raw.layouts import ChallengeFolder
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, Stored, find_shards

MANIFEST_DIR = "manifest"
STATE_DIR = ".build"  # lock, progress and logs of a running build
REPORTS = ("README.md", "croissant.json", "report.json", "report.md")
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


class BuildConflict(ValueError):
    """What is in OUT was made with other settings, code or inputs than this build has."""


def digest(content: Any) -> str:
    """First 12 hex digits of the SHA-256 of the canonical JSON of `content`."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def manifest_path(out: Folder, shard: Shard) -> Folder:
    """Where the manifest of a shard is."""
    return out / MANIFEST_DIR / f"{shard.name}.json"


def write_manifest(
    plan: Plan, shard: Shard, stored: Stored, inputs: Mapping[str, Fingerprint], entries: list[dict[str, Any]]
) -> None:
    """Record the finished shard; from now on it counts as done."""
    content = {
        "shard": shard.name.file,
        "rows": sum("error" not in entry for entry in entries),
        "bytes": stored.bytes,
        "sha256": stored.sha256,
        "settings": plan.settings,
        "config_hash": digest(plan.settings),
        "code": plan.code,
        "tables": list(plan.tables),
        "inputs": inputs,
        "visits": entries,
    }
    write_json(manifest_path(plan.out, shard), content)


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
    """The manifest in a file; None where it is missing, cut or lacks one of its keys."""
    manifest = read_json(path)
    return None if manifest is None or flaws(manifest) else manifest


def read_manifests(plan: Plan) -> Iterator[tuple[Shard, dict[str, Any]]]:
    """The finished shards of the plan with their manifests, in order."""
    for shard in plan.shards:
        manifest = read_manifest(manifest_path(plan.out, shard))
        if manifest is not None and is_whole(plan.out, manifest):
            yield shard, manifest


def is_whole(out: Folder, manifest: Mapping[str, Any]) -> bool:
    """Whether the shard's file is there with the size that its manifest says."""
    try:
        return (out / manifest["shard"]).stat().st_size == manifest["bytes"]
    except FileNotFoundError:
        return False


def unfinished(plan: Plan, folder: ChallengeFolder) -> list[Shard]:
    """The shards still to be made; BuildConflict where a finished one does not belong to this plan.

    A shard is made again where failed visits have other input files now (somebody has mended them), or where the
    system refused to read these.
    """
    by_name = {str(shard.name): shard for shard in plan.shards}
    done, problems = set(), []
    for path in files(plan.out / MANIFEST_DIR, ".json"):
        manifest = read_manifest(path)
        if manifest is None:
            continue
        found = _differences(plan, by_name.get(path.stem), manifest)
        if found and not manifest["rows"]:
            continue  # nothing to mix: it is made again
        problems += [f"{path.stem}: {problem}" for problem in found]
        if not found and is_whole(plan.out, manifest) and not _mended(plan, folder, by_name[path.stem], manifest):
            done.add(path.stem)
    if problems:
        raise BuildConflict(
            f"{plan.out} was begun differently:\n  "
            + "\n  ".join(problems[:5])
            + (f"\n  … and {len(problems) - 5} more" if len(problems) > 5 else "")
            + "\nNothing was changed. Build into another folder, or use --restart to begin this one anew."
        )
    return [shard for shard in plan.shards if str(shard.name) not in done]


def _differences(plan: Plan, shard: Shard | None, manifest: Mapping[str, Any]) -> list[str]:
    """How a manifest contradicts the plan, in words."""
    if manifest["config_hash"] != digest(plan.settings):
        old, new = _flat(manifest["settings"]), _flat(plan.settings)
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return [f"{name} was {old.get(name)}, is {new.get(name)}" for name in names]
    if manifest["code"] != plan.code:
        return [f"made by code {manifest['code']}, this is {plan.code}"]
    planned = [list(visit) for visit in shard.visits] if shard else None
    if planned != [[entry["planet_id"], entry["visit"]] for entry in manifest["visits"]]:
        return ["other planets or visits were in it (has the choice of planets or the raw folder changed?)"]
    used = {name for entry in manifest["visits"] if "error" not in entry for name in entry["files"]}
    then = {name: manifest["inputs"].get(name) for name in used.union(manifest["tables"])}
    return changes(then, {name: fingerprint(plan.root / name) for name in used} | plan.tables)


def _mended(plan: Plan, folder: ChallengeFolder, shard: Shard, manifest: Mapping[str, Any]) -> bool:
    """Whether files of failed visits have come, gone or changed since, or the system refused to read them."""
    for entry in manifest["visits"]:
        if entry.get("retry"):
            return True
        if "error" in entry:
            files = folder.visit(shard.raw_split, entry["planet_id"], entry["visit"]).files()
            if fingerprints(plan.root, files) != {name: manifest["inputs"].get(name) for name in entry["files"]}:
                return True
    return False


def check_tables(plan: Plan) -> None:
    """BuildConflict where the raw folder's tables are not those that the build was planned with."""
    if found := changes(plan.tables, tables(plan.root)):
        raise BuildConflict(
            f"{plan.root}: tables changed while the build ran: {'; '.join(found)}. Run it again; where that is "
            "refused, shards were finished before the change, and --restart begins anew"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def drop_others(plan: Plan) -> None:
    """Delete shards that are not in the plan; `unfinished` has made sure that they hold no row."""
    names = {str(shard.name) for shard in plan.shards}
    for path in [
        *files(plan.out / MANIFEST_DIR, ".json"),
        *(p for paths in find_shards(plan.out).values() for p in paths),
    ]:
        if path.stem not in names:
            path.unlink()


def forget(plan: Plan, todo: Iterable[Shard]) -> None:
    """Delete the manifests of shards that are about to be made: until that is done, they are not finished."""
    for shard in todo:
        manifest_path(plan.out, shard).unlink(missing_ok=True)


def remove_unfinished(out: Folder) -> None:
    """Delete what killed processes left half written in the dataset folder `out`; a URL never has any."""
    if isinstance(out, Path):
        for path in [*(out / DATA_DIR).glob(".*"), *(out / SAMPLE_DIR).glob(".*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for where in (out, out / MANIFEST_DIR):
            remove_hidden(where)


def clear(out: Folder) -> None:
    """Forget everything that a build made in `out`, manifests first; other files stay."""
    remove_tree(out / MANIFEST_DIR)
    for paths in [*find_shards(out).values(), *find_shards(out, SAMPLE_DIR).values()]:
        for path in paths:
            path.unlink()
    for name in REPORTS:
        (out / name).unlink(missing_ok=True)
