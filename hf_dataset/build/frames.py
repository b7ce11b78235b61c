"""The frames that a build keeps beside its dataset, whose rows and bytes are the same with or without them.

A visit's frames are named when its row is sound. Each file has a hash of what made it, so that a build that goes on, or
that is asked for frames only when its shards are finished, makes what is missing and mixes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hf_dataset.build.plan import Plan, Shard
from hf_dataset.build.resume import BuildConflict, read_manifests
from hf_dataset.digests import config_hash
from hf_dataset.raw.fingerprints import Fingerprint, fingerprints
from hf_dataset.raw.layouts import INSTRUMENTS, ChallengeFolder, RawVisit
from hf_dataset.reduction.exposures import Exposures
from hf_dataset.reduction.frames import frames_to_keep
from hf_dataset.reduction.visit import Series
from hf_dataset.store.frames import FramesError, frames_path, open_frames, write_unnamed


class FramesLost(RuntimeError):
    """Frames cannot be written where they are to be kept."""


class FrameKeeper:
    """Keeps the frames of one visit in the plan's folder: `keep` as they come, then `name` or `forget` all of them."""

    def __init__(self, plan: Plan, folder: Path, visit: RawVisit, files: Mapping[str, Fingerprint]) -> None:
        self.plan, self.folder, self.visit = plan, folder, visit
        self.made = maker(plan, files)
        self.unnamed: dict[Path, Path] = {}

    def keep(self, exposures: Exposures, series: Series) -> None:
        """Write one instrument's frames under a hidden name; FramesLost where that fails."""
        arrays, facts = frames_to_keep(self.visit, exposures, series.centroid, self.plan.reduction)
        path = frames_path(self.folder, self.visit.planet_id, self.visit.visit, exposures.instrument)
        try:
            self.unnamed[path] = write_unnamed(path, arrays, facts | {"made": self.made})
        except OSError as error:
            raise FramesLost(str(error)) from error

    def name(self) -> None:
        """Give the files their names; FramesLost where that fails."""
        try:
            for path, unnamed in self.unnamed.items():
                os.replace(unnamed, path)
        except OSError as error:
            raise FramesLost(f"{self.folder}: frames cannot be kept: {error}") from error
        self.unnamed.clear()

    def forget(self) -> None:
        """Delete what has no name yet."""
        for unnamed in self.unnamed.values():
            unnamed.unlink(missing_ok=True)


def maker(plan: Plan, files: Mapping[str, Fingerprint]) -> str:
    """Hash of what decides a visit's frames: settings, code, tables and input files."""
    return config_hash([plan.reduction.to_dict(), plan.code, plan.tables, files])


def with_missing_frames(plan: Plan, folder: ChallengeFolder, todo: Sequence[Shard]) -> list[Shard]:
    """Shards to be made: `todo`, and those of which a visit has a row and not its frames.

    BuildConflict where the folder has frames of a visit that other settings, code or inputs made.
    """
    if plan.frames is None:
        return list(todo)
    if others := [str(path) for shard in plan.shards for path in _others(plan, plan.frames, folder, shard)]:
        raise BuildConflict(
            f"{others[0]}: expected frames of these settings, code and input files, found others"
            + (f", as in {len(others) - 1} more files" if len(others) > 1 else "")
            + ". Nothing was changed. Keep them in another folder, or use --restart to write them anew."
        )
    wanted = set(todo)
    for shard, manifest in read_manifests(plan):
        rows = [(entry["planet_id"], entry["visit"]) for entry in manifest["visits"] if "error" not in entry]
        if not all(path.exists() for visit in rows for path in _paths(plan.frames, *visit)):
            wanted.add(shard)
    return [shard for shard in plan.shards if shard in wanted]


def _paths(folder: Path, planet: int, visit: int) -> list[Path]:
    """The files of a visit's frames."""
    return [frames_path(folder, planet, visit, instrument) for instrument in INSTRUMENTS]


def _others(plan: Plan, kept: Path, folder: ChallengeFolder, shard: Shard) -> list[Path]:
    """Files of a shard's visits that this plan would not have made."""
    found = []
    for planet, visit in shard.visits:
        if paths := [path for path in _paths(kept, planet, visit) if path.exists()]:
            made = maker(plan, fingerprints(plan.root, folder.visit(shard.raw_split, planet, visit).files()))
            found += [path for path in paths if _made(path) != made]
    return found


def _made(path: Path) -> str:
    """The hash of what made a file; none where it is no file of frames."""
    try:
        return str(open_frames(path).facts.get("made"))
    except FramesError:
        return ""
