"""Raw challenge folder → dataset folder: a datatrove step that makes shards, and what goes round it.

    ROOT → plan (visits → shards) → workers: reduce each visit, write rows → shard + manifest → card and report

A worker holds one visit and one row group at a time. Shards are finished or absent, so that a build can be stopped
anywhere and run again; only what is missing is made. Which worker makes a shard has no influence on what is in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep
from filelock import FileLock, Timeout

from hf_dataset import lineage, raw, reduction, schema
from hf_dataset.executors import WAITS, WorkerKilled, make_executor
from hf_dataset.lineage import STATE_DIR
from hf_dataset.plan import BuildOptions, Plan, Shard, describe, make_plan
from hf_dataset.progress import PROGRESS_DIR, ProgressBar
from hf_dataset.report import BuildSummary, finish
from hf_dataset.shards import ShardWriter, remove_unfinished

logger = logging.getLogger(__name__)

OpenFolder = Callable[[Path], raw.ChallengeFolder]
ReduceVisit = Callable[[raw.RawVisit, reduction.ReductionOptions], tuple[dict[str, Any], dict[str, Any]]]


class BuildError(RuntimeError):
    """The build as a whole cannot be done; what was finished stays."""


def build_dataset(
    root: str | Path,
    out: str | Path,
    options: BuildOptions | None = None,
    *,
    open_folder: OpenFolder = raw.open_folder,
    reduce_visit: ReduceVisit = reduction.reduce_visit,
    on_start: Callable[[], object] | None = None,
) -> BuildSummary:
    """Build the dataset of the raw folder `root` in `out`, or what is missing of it.

    Visits that fail are in the summary, not raised. BuildConflict: `out` was begun with other settings, code or input.
    `on_start` is called when nothing speaks against the build any more and it is about to write in `out`.
    `open_folder` and `reduce_visit` reach the workers by name: functions of an importable module.
    """
    root, out, options = Path(root), Path(out), options or BuildOptions()
    if options.engine != "local":  # other machines have other working directories
        root, out = root.resolve(), out.resolve()
    folder = open_folder(root)
    plan = make_plan(folder, root, out, options)
    _check_out(root, out)
    wavelengths = folder.wavelengths
    with _locked(out):
        todo = list(plan.shards) if options.restart else lineage.unfinished(plan, folder)
        if on_start:
            on_start()
        if options.restart:
            lineage.clear(out)
        lineage.drop_others(plan)
        remove_unfinished(out)
        logger.info("%s", describe(plan, folder, todo, _workers(options, len(todo))))
        if todo:
            _run(plan, todo, options, open_folder, reduce_visit)
        if options.engine in WAITS or not todo:
            return finish(plan, wavelengths)
    return BuildSummary.submitted(plan)


def dry_run(
    root: str | Path, out: str | Path, options: BuildOptions, *, open_folder: OpenFolder = raw.open_folder
) -> str:
    """What `build_dataset` would do, in words; nothing is written."""
    folder = open_folder(Path(root))
    plan = make_plan(folder, Path(root), Path(out), options)
    todo = list(plan.shards) if options.restart else lineage.unfinished(plan, folder)
    return describe(plan, folder, todo, _workers(options, len(todo)))


def _workers(options: BuildOptions, n_tasks: int) -> int:
    if options.engine != "local":
        return options.workers or n_tasks
    return max(1, min(options.workers or os.cpu_count() or 1, n_tasks))


def _check_out(root: Path, out: Path) -> None:
    """Refuse to write over something that is not a dataset of this command."""
    if out.resolve() == root.resolve():
        raise BuildError(f"{out}: expected an output folder other than the raw folder")
    foreign = [name for name in ("README.md", "data") if (out / name).exists()]
    if foreign and not (out / lineage.MANIFEST_DIR).exists() and not (out / STATE_DIR).exists():
        raise BuildError(f"{out}: expected a new folder or a dataset of this command, found {' and '.join(foreign)}")


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold `out` for this process alone, until it ends, however it ends."""
    path = out / STATE_DIR / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BuildError(f"{out}: another build is writing it; wait for it or choose another folder") from None
    try:
        yield
    finally:
        lock.release()


def _run(
    plan: Plan, todo: Sequence[Shard], options: BuildOptions, open_folder: OpenFolder, reduce_visit: ReduceVisit
) -> None:
    """Make the shards `todo` on the chosen engine."""
    step = BuildShards(plan, todo, open_folder, reduce_visit)
    own, logs = options.engine_options, str(plan.out / STATE_DIR / "logs")
    executor = make_executor(options.engine, [step], len(todo), _workers(options, len(todo)), logs, own)
    if options.engine not in WAITS:
        last = FinishDataset(plan, open_folder)
        own = {**own, "tasks": 1, "logging_dir": f"{own.get('logging_dir', logs)}_finish"}
        executor = make_executor(options.engine, [last], 1, 1, logs, own, depends=executor)
    try:
        with ProgressBar(plan.out, sum(len(shard.visits) for shard in todo)):
            executor.run()
    except BaseException as error:
        n_done = sum(1 for _ in lineage.read_manifests(plan))
        remove_unfinished(plan.out)
        reason = "stopped" if isinstance(error, KeyboardInterrupt) else f"stopped by {type(error).__name__}: {error}"
        if isinstance(error, WorkerKilled):
            reason += f"; in work were {', '.join(_in_work(plan, todo)) or 'no visits'}"
        message = "%s; %d of %d shards are finished and kept: run the same command again to go on"
        logger.warning(message, reason, n_done, len(plan.shards))
        raise


def _in_work(plan: Plan, todo: Sequence[Shard]) -> Iterator[str]:
    """The visits that workers had begun: the ones after the last line of shards that are not finished."""
    for shard in todo:
        path = plan.out / STATE_DIR / PROGRESS_DIR / f"{shard.name}.jsonl"
        if path.exists() and not lineage.manifest_path(plan.out, shard).exists():
            planet, visit = shard.visits[min(path.read_text().count("\n"), len(shard.visits) - 1)]
            yield f"planet {planet} visit {visit}"


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
        folder = self.open_folder(self.plan.root)
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
        finish(self.plan, self.open_folder(self.plan.root).wavelengths)
        yield from data or ()


def build_shard(
    plan: Plan, shard: Shard, folder: raw.ChallengeFolder, reduce_visit: ReduceVisit
) -> list[dict[str, Any]]:
    """Make one shard and its manifest; returns the entries of its visits, with `error` where one failed."""
    inputs = lineage.fingerprints(plan.root, lineage.tables(plan.root))
    entries = []
    progress = plan.out / STATE_DIR / PROGRESS_DIR / f"{shard.name}.jsonl"
    progress.parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(shard.name.path(plan.out), plan.reduction.n_bins) as writer, progress.open("w") as lines:
        for planet, visit in shard.visits:
            row, entry, files = _reduce(plan, folder.visit(shard.raw_split, planet, visit), reduce_visit)
            inputs |= files
            if row is not None:
                writer.write(row)
            entries.append(entry)
            lines.write(json.dumps(entry) + "\n")
            lines.flush()
    lineage.write_manifest(plan, shard, inputs, entries)
    return entries


def _reduce(
    plan: Plan, visit: raw.RawVisit, reduce_visit: ReduceVisit
) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, lineage.Fingerprint]]:
    """(row or None, report entry, fingerprints of the input) of one visit; only a lack of memory is raised."""
    start = time.perf_counter()
    files: dict[str, lineage.Fingerprint] = {}
    entry: dict[str, Any] = {"planet_id": visit.planet_id, "visit": visit.visit, "split": visit.split}
    row = None
    try:
        files = lineage.fingerprints(plan.root, visit.files())
        if visit.planet_id in plan.ambiguous:
            raise raw.RawDataError(f"planet {visit.planet_id}: expected in one split, found in {plan.root} in several")
        row, entry["report"] = reduce_visit(visit, plan.reduction)
        schema.check_row(row, plan.reduction.n_bins)
        if (found := (row["planet_id"], row["visit"])) != (visit.planet_id, visit.visit):
            raise ValueError(f"planet {visit.planet_id} visit {visit.visit}: found the row of planet and visit {found}")
    except MemoryError:
        raise
    except Exception as error:  # whatever is wrong with one visit, the others go on
        row = None
        entry["error"] = str(error)
        if not isinstance(error, (ValueError, OSError)):
            entry["error"] = f"planet {visit.planet_id} visit {visit.visit}: unexpected {type(error).__name__}: {error}"
            entry["traceback"] = traceback.format_exc()
    finally:
        visit.close()
    entry["files"] = sorted(files)
    entry["seconds"] = round(time.perf_counter() - start, 3)
    entry["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return row, entry, files
