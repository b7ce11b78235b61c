"""What a build has finished already: the plan compared with the manifests of existing shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hf_dataset.build.plan import Plan, Shard
from hf_dataset.digests import config_hash
from hf_dataset.folders import files
from hf_dataset.raw.fingerprints import changes, fingerprint, fingerprints, table_fingerprints
from hf_dataset.raw.layouts import ChallengeFolder
from hf_dataset.store.lineage import MANIFEST_DIR, is_whole, manifest_path, read_manifest
from hf_dataset.store.shards import find_shards


class BuildConflict(ValueError):
    """OUT was made with other settings, code or inputs."""


def read_manifests(plan: Plan) -> Iterator[tuple[Shard, dict[str, Any]]]:
    """The finished shards of the plan with their manifests, in order."""
    for shard in plan.shards:
        manifest = read_manifest(manifest_path(plan.out, shard.name))
        if manifest is not None and is_whole(plan.out, manifest):
            yield shard, manifest


def unfinished(plan: Plan, folder: ChallengeFolder) -> list[Shard]:
    """The shards still to be made; BuildConflict where a finished one does not belong to this plan.

    A shard is made again if input files of its failed visits have changed (were repaired), or could not be
    read.
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
            + "\nNothing was changed. Build into another folder, or use --restart to start this one over."
        )
    return [shard for shard in plan.shards if str(shard.name) not in done]


def _differences(plan: Plan, shard: Shard | None, manifest: Mapping[str, Any]) -> list[str]:
    """How a manifest contradicts the plan."""
    if manifest["config_hash"] != config_hash(plan.settings):
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


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _mended(plan: Plan, folder: ChallengeFolder, shard: Shard, manifest: Mapping[str, Any]) -> bool:
    """Whether files of failed visits have come, gone or changed since, or the system refused to read them."""
    for entry in manifest["visits"]:
        if entry.get("retry"):
            return True
        if "error" in entry:
            paths = folder.visit(shard.raw_split, entry["planet_id"], entry["visit"]).files()
            if fingerprints(plan.root, paths) != {name: manifest["inputs"].get(name) for name in entry["files"]}:
                return True
    return False


def check_tables(plan: Plan) -> None:
    """BuildConflict if the raw folder's tables have changed since the build was planned."""
    if found := changes(plan.tables, table_fingerprints(plan.root)):
        raise BuildConflict(
            f"{plan.root}: tables changed while the build ran: {'; '.join(found)}. Run it again; where that is "
            "refused, shards were finished before the change, and --restart starts over"
        )


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
        manifest_path(plan.out, shard.name).unlink(missing_ok=True)
