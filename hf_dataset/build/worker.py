"""What runs on workers: datatrove steps that make shards, and the step that ends a build."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datatrove.pipeline.base import PipelineStep
from threadpoolctl import threadpool_limits

from hf_dataset import schema
from hf_dataset.build import submissions
from hf_dataset.build.frames import FrameKeeper, FramesLost
from hf_dataset.build.plan import Plan, Shard, code_version
from hf_dataset.build.progress import ProgressLines
from hf_dataset.build.report import finish
from hf_dataset.build.resume import check_tables
from hf_dataset.digests import file_hash
from hf_dataset.raw import layouts
from hf_dataset.raw.fingerprints import Fingerprint, fingerprints
from hf_dataset.store.lineage import STATE_DIR, write_manifest
from hf_dataset.store.shards import ShardWriter

OpenFolder = Callable[[Path], layouts.ChallengeFolder]
ReduceVisit = Callable[..., tuple[dict[str, Any], dict[str, Any]]]  # of visit, options; keep, where frames are kept
NODE_VARIABLES = ("ARIEL_NODE", "SLURMD_NODENAME")  # in which engines name the node


class BuildShards(PipelineStep):
    """Task `rank` of `world_size` makes the shards rank, rank + world_size, …, those that are not finished."""

    name = "light-curve shards"
    type = "ARIEL"

    def __init__(self, plan: Plan, shards: Sequence[Shard], open_folder: OpenFolder, reduce_visit: ReduceVisit) -> None:
        super().__init__()
        self.plan, self.shards = plan, list(shards)
        self.open_folder, self.reduce_visit = open_folder, reduce_visit

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Make this task's shards; passes `data` on."""
        check_node(self.plan)
        folder = self.open_folder(self.plan.root)
        with one_thread():
            for shard in self.shards[rank::world_size]:
                with self.track_time("shard"):
                    entries = build_shard(self.plan, shard, folder, self.reduce_visit)
                failed = sum("error" in entry for entry in entries)
                self.stat_update("rows", value=len(entries) - failed)
                self.stat_update("failures", value=failed)
        yield from data or ()


class FinishDataset(PipelineStep):
    """Writes card and report once all shards are there: the last task on engines that do not wait."""

    name = "card and report"
    type = "ARIEL"

    def __init__(self, plan: Plan, open_folder: OpenFolder) -> None:
        super().__init__()
        self.plan, self.open_folder = plan, open_folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Finish the dataset; passes `data` on."""
        check_node(self.plan)
        try:
            check_tables(self.plan)
            finish(self.plan, self.open_folder(self.plan.root).wavelengths)
        finally:
            submissions.forget(self.plan.out)
        yield from data or ()


def node() -> str:
    """The name of the machine, as its engine calls it."""
    return next((os.environ[name] for name in NODE_VARIABLES if os.environ.get(name)), platform.node())


def check_node(plan: Plan) -> None:
    """RuntimeError if this machine has other folders or code than the one that planned the build."""
    if not plan.root.is_dir():
        raise RuntimeError(f"{plan.root}: expected a folder that all nodes share, not found on {node()}")
    if isinstance(plan.out, Path) and not (plan.out / STATE_DIR).is_dir():
        raise RuntimeError(f"{plan.out}: expected a folder that all nodes share, the build's is not found on {node()}")
    elsewhere = os.environ.get("DATATROVE_EXECUTOR", "LOCAL") != "LOCAL"
    if elsewhere and (found := code_version()) != plan.code:
        raise RuntimeError(
            f"ariel-hf on {node()}: expected the code that planned the build, {plan.code}, found {found}"
        )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries use one thread in the block: every core has a task, and sums keep their order."""
    before = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        pa.set_cpu_count(before)


def build_shard(
    plan: Plan, shard: Shard, folder: layouts.ChallengeFolder, reduce_visit: ReduceVisit
) -> list[dict[str, Any]]:
    """Make one shard and its manifest; returns the entries of its visits, with `error` where one failed.

    BuildConflict, and no shard, where a table of the raw folder has changed since the build was planned.
    """
    check_tables(plan)
    inputs, entries = dict(plan.tables), []
    hashes = {name: file_hash(plan.root / name) for name in plan.tables if (plan.root / name).is_file()}
    progress = ProgressLines(plan.out, shard)
    with ShardWriter(shard.name.path(plan.out), plan.reduction.n_bins) as writer:
        for planet, visit in shard.visits:
            visit_folder = folder.visit(shard.raw_split, planet, visit)
            row, entry, files = _reduce(plan, visit_folder, reduce_visit, hashes)
            inputs |= files
            if row is not None:
                writer.write(row)
            entries.append(entry)
            progress.add(entry)
        check_tables(plan)
    write_manifest(
        plan.out,
        shard.name,
        writer.stored,
        settings=plan.settings,
        code=plan.code,
        tables=plan.tables,
        inputs=inputs,
        hashes=hashes,
        visits=entries,
    )
    return entries


def _reduce(
    plan: Plan, visit: layouts.RawVisit, reduce_visit: ReduceVisit, hashes: dict[str, str]
) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, Fingerprint]]:
    """(row or None, report entry, fingerprints of the input) of one visit; ``hashes`` gains those of what was read.

    Only a lack of memory is raised, and frames that cannot be kept.
    """
    start, processor = time.perf_counter(), time.process_time()
    files: dict[str, Fingerprint] = {}
    entry: dict[str, Any] = {"planet_id": visit.planet_id, "visit": visit.visit, "split": visit.split}
    row, name = None, f"planet {visit.planet_id} visit {visit.visit}"
    keeper: FrameKeeper | None = None
    try:
        files = fingerprints(plan.root, visit.files())
        if visit.planet_id in plan.ambiguous:
            raise layouts.RawDataError(
                f"planet {visit.planet_id}: expected in one split, found in {plan.root} in several"
            )
        if plan.frames is not None:
            keeper = FrameKeeper(plan, plan.frames, visit, files)
        row, entry["report"] = reduce_visit(visit, plan.reduction, **({} if keeper is None else {"keep": keeper.keep}))
        schema.check_row(row, plan.reduction.n_bins)
        if (found := (row["planet_id"], row["visit"])) != (visit.planet_id, visit.visit):
            raise ValueError(f"{name}: found the row of planet and visit {found}")
        read = {name: file_hash(plan.root / name) for name, state in files.items() if state is not None}
        if (now := fingerprints(plan.root, visit.files())) != files:
            changed = ", ".join(sorted(path for path in {*now, *files} if now.get(path) != files.get(path)))
            raise layouts.RawDataError(f"{name}: expected its files to stay as they were, found {changed} changed")
        if keeper is not None:
            keeper.name()
        hashes |= read
    except FramesLost:
        raise
    except Exception as error:  # one bad visit is not fatal
        if lacks_memory(error):
            raise MemoryError(f"{name}: {error}") from None
        row = None
        if may_pass(error):
            entry["retry"] = True
        said = str(error).replace(f"{plan.root}{os.sep}", "")  # reports and cards travel: no path of this machine
        entry["error"] = said if f"planet {visit.planet_id}" in said else f"{name}: {said}"
        if not isinstance(error, (ValueError, OSError)):
            entry["error"] = f"{name}: unexpected {type(error).__name__}: {said}"
            entry["traceback"] = traceback.format_exc()
    finally:
        visit.close()
        if keeper is not None:
            keeper.forget()
    entry["files"] = sorted(files)
    entry["seconds"] = round(time.perf_counter() - start, 3)
    entry["cpu_seconds"] = round(time.process_time() - processor, 3)
    entry["peak_mb"], entry["node"] = peak_mb(), node()
    return row, entry, files


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the chain of its causes."""
    while error is not None:
        yield error
        error = error.__cause__


def lacks_memory(error: BaseException) -> bool:
    """Whether an error means a lack of memory; Arrow's readers say so only in their message."""
    return any(
        isinstance(cause, MemoryError) or "bad_alloc" in str(cause) or getattr(cause, "errno", None) == errno.ENOMEM
        for cause in _causes(error)
    )


def may_pass(error: BaseException) -> bool:
    """Whether an error may pass: no permission, a stale handle, a failed read."""
    return any(isinstance(cause, OSError) and cause.errno is not None for cause in _causes(error))


def peak_mb() -> int:
    """Peak memory of this process [MB, 2²⁰ byte]; the system counts in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
