"""The plan of a build: which visits go to which shard of which split, before anything is read."""

from __future__ import annotations

import importlib.metadata
import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hf_dataset import schema, splits
from hf_dataset.build.executors import check_name
from hf_dataset.digests import source_hash
from hf_dataset.folders import Folder
from hf_dataset.raw.fingerprints import Fingerprint, table_fingerprints
from hf_dataset.raw.layouts import INSTRUMENTS, ChallengeFolder, RawDataError
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.shards import ShardName
from hf_dataset.words import number_of

BYTES_PER_VALUE = 2.6  # stored bytes of a flux, its error and its flag under zstd, measured on simulated planets
SECONDS_PER_GB = 8.0  # one core, per GB of Parquet signal files as they lie on disk, measured on a full planet
PLANETS_PER_SHARD, SMALL_BUILD = 8, 16


@dataclass(frozen=True)
class BuildOptions:
    """All options of a build.

    Rows depend on `reduction`; their places on `planets`, `limit` (planets a split), `planets_per_shard` (None: 8, or
    fewer where a small folder would keep workers idle) and on the training planets held out for validation. The rest
    is how it runs: `workers` (None: one a core), `engine` (local, slurm, ray or jobs) and its own options, `restart`,
    and a folder of this machine in which calibrated frames are kept (`keep_frames`).
    """

    reduction: ReductionOptions = field(default_factory=ReductionOptions)
    planets: Sequence[int] | None = None
    limit: int | None = None
    planets_per_shard: int | None = None
    validation_fraction: float = 0.0
    seed: int = 0
    workers: int | None = None
    engine: str = "local"
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    restart: bool = False
    keep_frames: Path | None = None

    def __post_init__(self) -> None:
        check_name(self.engine)
        splits.is_validation(0, self.validation_fraction, self.seed)
        for name in ("limit", "planets_per_shard", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}")


@dataclass(frozen=True)
class Shard:
    """One output file: visits (planet_id, visit) of whole planets, from the folder's split `raw_split`."""

    name: ShardName
    raw_split: str
    visits: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Plan:
    """The shards of a build and the settings that decide what is in them; plain data, sent to every worker."""

    root: Path
    out: Folder
    layout: str
    shards: tuple[Shard, ...]
    reduction: ReductionOptions
    settings: dict[str, Any]
    code: dict[str, str]
    tables: dict[str, Fingerprint]  # of the raw folder, as they were when the build was planned
    ambiguous: frozenset[int]  # planets found in more than one split of the raw folder
    frames: Path | None = None  # where calibrated frames are kept; rows do not depend on it


@cache
def code_version() -> dict[str, str]:
    """The package's version and a hash of the sources that decide what is in a row."""
    return {"ariel-hf": importlib.metadata.version("ariel-hf"), "source": source_hash()}


def make_plan(folder: ChallengeFolder, root: Path, out: Folder, options: BuildOptions) -> Plan:
    """Assign the folder's planets to splits and shards, in the order of their ids."""
    found = {split: folder.planets(split) for split in folder.splits}
    chosen = _choose(found, options)
    n_planets = sum(len(planets) for _, planets in chosen.values())
    size = options.planets_per_shard or shard_size(n_planets)
    shards = []
    for split, (raw_split, planets) in chosen.items():
        groups = [planets[start : start + size] for start in range(0, len(planets), size)]
        for index, group in enumerate(groups):
            visits = tuple((planet, visit) for planet in group for visit in _visits(folder, raw_split, planet))
            shards.append(Shard(ShardName(split, index, len(groups)), raw_split, visits))
    settings: dict[str, Any] = {
        "layout": folder.layout,
        "reduction": options.reduction.to_dict(),
        "planets_per_shard": size,
        "validation_fraction": options.validation_fraction,
    }
    if options.validation_fraction:  # otherwise the seed decides nothing
        settings["seed"] = options.seed
    ambiguous = frozenset().union(*(set(a) & set(b) for a, b in itertools.combinations(found.values(), 2)))
    return Plan(
        root=root,
        out=out,
        layout=folder.layout,
        shards=tuple(shards),
        reduction=options.reduction,
        settings=settings,
        code=code_version(),
        tables=table_fingerprints(root),
        ambiguous=ambiguous,
        frames=options.keep_frames,
    )


def shard_size(n_planets: int) -> int:
    """Planets a shard of a build of so many planets, where no number is asked for."""
    return max(1, min(PLANETS_PER_SHARD, n_planets // SMALL_BUILD))


def _choose(found: Mapping[str, list[int]], options: BuildOptions) -> dict[str, tuple[str, list[int]]]:
    """Split of the dataset → (split of the folder, its planets, ascending), of the planets found in the folder."""
    chosen: dict[str, tuple[str, list[int]]] = {}
    wanted = None if options.planets is None else set(options.planets)
    for split, everyone in found.items():
        planets = [planet for planet in everyone if wanted is None or planet in wanted][: options.limit]
        held_out = [p for p in planets if splits.is_validation(p, options.validation_fraction, options.seed)]
        if split == "train" and held_out:
            chosen["train"] = split, [planet for planet in planets if planet not in set(held_out)]
            chosen["validation"] = split, held_out
        else:
            chosen[split] = split, planets
    if wanted and (missing := sorted(wanted.difference(*found.values()))):
        raise RawDataError(f"expected the planets {missing} in {' or '.join(found)}, found none of that name")
    if not any(planets for _, planets in chosen.values()):
        raise RawDataError(f"expected planets in {' or '.join(found)}, found none")
    return {split: entry for split, entry in chosen.items() if entry[1]}


def _visits(folder: ChallengeFolder, split: str, planet: int) -> list[int]:
    """The planet's visits; where there are none, visit 0, which fails when it is read and so is reported."""
    try:
        return folder.visits(split, planet) or [0]
    except (RawDataError, OSError):
        return [0]


def describe(plan: Plan, folder: ChallengeFolder, todo: Sequence[Shard], workers: int) -> str:
    """A description of what a build has and would make, with estimates of size and time for the shards `todo`."""
    lines = [f"{plan.root} ({plan.layout} layout) → {plan.out}"]
    for split in dict.fromkeys(shard.name.split for shard in plan.shards):
        of_split = [shard for shard in plan.shards if shard.name.split == split]
        planets = len({planet for shard in of_split for planet, _ in shard.visits})
        visits = sum(len(shard.visits) for shard in of_split)
        counts = [number_of(planets, "planet"), number_of(visits, "visit"), number_of(len(of_split), "shard")]
        lines.append(f"  {split}: {counts[0]}, {counts[1]} in {counts[2]}")
    if len(todo) < len(plan.shards):
        lines.append(f"  {len(plan.shards) - len(todo)} of {len(plan.shards)} shards are finished already")
    if todo:
        n_visits = sum(len(shard.visits) for shard in todo)
        stored = n_visits * plan.reduction.n_bins * schema.N_CHANNELS * BYTES_PER_VALUE
        raw = sum(_bytes(folder, shard, visit) for shard in todo for visit in shard.visits)
        minutes = max(raw / 1e9 * SECONDS_PER_GB / 60 / workers, 0.1)
        lines.append(
            f"  to do: read {raw / 1e9:.1f} GB, write about {stored / 1e6:.0f} MB, in about {minutes:.1f} min "
            f"with {workers} worker{'s' * (workers > 1)}"
        )
        if plan.frames is not None:
            kept = sum(_frame_bytes(folder, shard, visit) for shard in todo for visit in shard.visits)
            lines.append(f"  frames: about {kept / 1e9:.2f} GB in {plan.frames}")
    return "\n".join(lines)


def _bytes(folder: ChallengeFolder, shard: Shard, visit: tuple[int, int]) -> int:
    try:
        files = folder.visit(shard.raw_split, *visit).files()
        return sum(path.stat().st_size for path in files)
    except (OSError, ValueError):
        return 0


def _frame_bytes(folder: ChallengeFolder, shard: Shard, visit: tuple[int, int]) -> int:
    """Bytes of a visit's kept frames: two for each pixel and exposure."""
    try:
        with closing(folder.visit(shard.raw_split, *visit)) as one:
            return sum(math.prod(one.shape(name)) * one.n_frames(name) for name in INSTRUMENTS)
    except (OSError, ValueError):
        return 0
