"""Raw challenge folder → dataset folder: everything around the steps that workers run.

    ROOT → plan (visits → shards) → workers: reduce each visit, write rows → shard + manifest → card and report

A worker holds one visit and one row group at a time. A shard is either complete or absent, so a build can be stopped
at any time and run again; only missing shards are made. Their content does not depend on which worker makes them.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datatrove.executor.base import PipelineExecutor

from hf_dataset import folders
from hf_dataset.build import frames, locks, resume, submissions
from hf_dataset.build.executors import WAITS, check_installed, make_executor
from hf_dataset.build.plan import BuildOptions, Plan, Shard, describe, make_plan
from hf_dataset.build.process_executor import WorkerKilled
from hf_dataset.build.progress import ProgressBar, progress_path
from hf_dataset.build.report import NothingBuiltError, finish
from hf_dataset.build.summary import BuildSummary
from hf_dataset.build.worker import BuildShards, FinishDataset, OpenFolder, ReduceVisit
from hf_dataset.folders import Folder, remove_tree
from hf_dataset.raw.layouts import ChallengeFolder, open_folder
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.store import lineage
from hf_dataset.store.lineage import STATE_DIR

logger = logging.getLogger(__name__)


class BuildError(RuntimeError):
    """The build failed as a whole; finished shards stay."""


def build_dataset(
    root: str | Path,
    out: str | Folder,
    options: BuildOptions | None = None,
    *,
    open_folder: OpenFolder = open_folder,
    reduce_visit: ReduceVisit = reduce_visit,
    on_start: Callable[[], object] | None = None,
    most: int | None = None,
) -> BuildSummary:
    """Build the dataset of the raw folder `root` in `out`, or the missing part of it; at most `most` shards now.

    What is finished is a dataset with a card, also where shards are still missing. `out` is a folder or a URL that
    fsspec can open. Visits that fail are in the summary, not raised. BuildConflict: `out` was begun with other
    settings, code or input.
    `on_start` is called after all checks, just before anything is written to `out`.
    `open_folder` and `reduce_visit` reach the workers by name: functions of an importable module.
    """
    root, out, options = Path(root), folders.folder(out), options or BuildOptions()
    if options.engine != "local":  # other machines have other working directories
        root, out = root.resolve(), out.resolve()
        if options.keep_frames is not None:
            options = replace(options, keep_frames=options.keep_frames.resolve())
    folder = open_folder(root)
    plan = make_plan(folder, root, out, options)
    _check_out(root, out, options.keep_frames)
    if unlabelled := folder.missing_truths():
        logger.warning("%s", unlabelled)
    wavelengths = folder.wavelengths
    with _locked(out), _locked_frames(plan.frames):
        todo = _todo(plan, folder, options)
        if most is not None:  # those made again, as a visit may be readable now, come last
            todo = sorted(todo, key=lambda shard: lineage.manifest_path(out, shard.name).exists())[:most]
        executor = _executor(plan, todo, options, open_folder, reduce_visit) if todo else None
        if on_start:
            on_start()
        if options.restart:
            lineage.clear(out)
        resume.drop_others(plan)
        resume.forget(plan, todo)
        lineage.remove_unfinished(out)
        logger.info("%s", describe(plan, folder, todo, _workers(options, len(todo))))
        if executor:
            _run(executor, plan, todo, options)
        if options.engine in WAITS or not todo:
            with _keeping(plan, todo=()):
                summary = finish(plan, wavelengths, whole=most is None)
            remove_tree(out / STATE_DIR / "logs")
            return summary
    return BuildSummary.submitted(plan)


def dry_run(
    root: str | Path, out: str | Folder, options: BuildOptions, *, open_folder: OpenFolder = open_folder
) -> str:
    """A description of what `build_dataset` would do; nothing is written."""
    root, out = Path(root), folders.folder(out)
    folder = open_folder(root)
    plan = make_plan(folder, root, out, options)
    _check_out(root, out, options.keep_frames)
    if unlabelled := folder.missing_truths():
        logger.warning("%s", unlabelled)
    todo = _todo(plan, folder, options)
    return describe(plan, folder, todo, _workers(options, len(todo)))


def _todo(plan: Plan, folder: ChallengeFolder, options: BuildOptions) -> list[Shard]:
    """The shards to be made; BuildConflict where what is there was made otherwise."""
    if options.restart:
        return list(plan.shards)
    return frames.with_missing_frames(plan, folder, resume.unfinished(plan, folder))


def _workers(options: BuildOptions, n_tasks: int) -> int:
    if options.engine != "local":
        return options.workers or n_tasks
    return max(1, min(options.workers or os.cpu_count() or 1, n_tasks))


def _check_out(root: Path, out: Folder, kept: Path | None) -> None:
    """Refuse to write over something that is not a dataset of this command, or where workers cannot write.

    Frames, `kept`, are no part of a dataset or of a raw folder.
    """
    for place in (root, out) if kept is not None else ():
        if kept is not None and isinstance(place, Path) and kept.resolve().is_relative_to(place.resolve()):
            raise BuildError(f"{kept}: expected a folder for frames outside of {place}, found one in it")
    if not isinstance(out, Path) and out.protocol == "memory":
        raise BuildError(f"{out}: expected a folder or a URL that workers reach, found the memory of this process")
    if isinstance(out, Path) and out.resolve() == root.resolve():
        raise BuildError(f"{out}: expected an output folder other than the raw folder")
    foreign = [name for name in ("README.md", "data") if (out / name).exists()]
    if foreign and not (out / lineage.MANIFEST_DIR).exists() and not (out / STATE_DIR).exists():
        raise BuildError(f"{out}: expected a new folder or a dataset of this command, found {' and '.join(foreign)}")


@contextlib.contextmanager
def _locked(out: Folder) -> Iterator[None]:
    """Hold `out` for this process alone, and refuse it while jobs of an earlier build wait or run."""
    try:
        with locks.hold(out / STATE_DIR / "lock"):
            submissions.check(out)
            yield
    except (locks.FolderInUse, submissions.StillQueued) as error:
        raise BuildError(f"{out}: {error}") from None


@contextlib.contextmanager
def _locked_frames(kept: Path | None) -> Iterator[None]:
    """Hold the folder of kept frames, if there is one, free of what killed processes left."""
    if kept is None:
        yield
        return
    try:
        with locks.hold(kept / ".lock"):
            folders.remove_hidden(kept)
            yield
    except locks.FolderInUse as error:
        raise BuildError(f"{kept}: {error}") from None


def _executor(
    plan: Plan, todo: Sequence[Shard], options: BuildOptions, open_folder: OpenFolder, reduce_visit: ReduceVisit
) -> PipelineExecutor:
    """The executor of the shards `todo` on the chosen engine, not started; without waiting, it also ends the build.

    ValueError where this machine lacks the engine, or the engine one of its options.
    """
    check_installed(options.engine)
    step = BuildShards(plan, todo, open_folder, reduce_visit)
    own, logs = options.engine_options, str(plan.out / STATE_DIR / "logs")
    workers = _workers(options, len(todo))
    if options.engine in WAITS:
        return make_executor(options.engine, [step], len(todo), workers, logs, own)
    own = {"job_name": submissions.job_name(plan.out), **own}
    executor = make_executor(options.engine, [step], len(todo), workers, logs, own)
    own |= {"tasks": 1, "logging_dir": f"{own.get('logging_dir', logs)}_finish"}
    return make_executor(options.engine, [FinishDataset(plan, open_folder)], 1, 1, logs, own, depends=executor)


def _run(executor: PipelineExecutor, plan: Plan, todo: Sequence[Shard], options: BuildOptions) -> None:
    """Make the shards `todo`, or submit them to a cluster."""
    if options.engine in WAITS:
        with _keeping(plan, todo), ProgressBar(plan.out, todo):
            executor.run()
    else:
        _submit(plan, executor, options.engine, options.engine_options)


@contextlib.contextmanager
def _keeping(plan: Plan, todo: Sequence[Shard]) -> Iterator[None]:
    """If the block is stopped: clean up, and say what is finished and what is missing."""
    try:
        yield
    except NothingBuiltError:
        raise
    except BaseException as error:
        n_done = sum(1 for _ in resume.read_manifests(plan))
        lineage.remove_unfinished(plan.out)
        reason = "stopped" if isinstance(error, KeyboardInterrupt) else f"stopped by {type(error).__name__}: {error}"
        if isinstance(error, (WorkerKilled, MemoryError)):
            reason += f"; in work were {', '.join(_in_work(plan, todo)) or 'no visits'}"
        missing = "" if n_done < len(plan.shards) else ", card and report are missing"
        message = "%s; %d of %d shards are finished and kept%s: run the same command again to go on"
        logger.warning(message, reason, n_done, len(plan.shards), missing)
        raise


def _submit(plan: Plan, executor: PipelineExecutor, engine: str, options: Mapping[str, Any]) -> None:
    """Submit a build to a cluster and record it in `.build`."""
    submissions.remember(plan.out, engine, options)
    try:
        executor.run()
    except Exception as error:
        submissions.forget(plan.out)
        raise BuildError(f"the jobs could not be submitted to {engine}: {error}") from error


def _in_work(plan: Plan, todo: Sequence[Shard]) -> Iterator[str]:
    """The visits that workers had begun: the ones after the last line of shards that are not finished."""
    for shard in todo:
        path = progress_path(plan.out, shard)
        if path.exists() and not lineage.manifest_path(plan.out, shard.name).exists():
            planet, visit = shard.visits[min(path.read_bytes().count(b"\n"), len(shard.visits) - 1)]
            yield f"planet {planet} visit {visit}"
