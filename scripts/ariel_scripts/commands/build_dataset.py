"""`ariel build-dataset ROOT OUT`: raw challenge folder → Hugging Face dataset of light curves."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import typer

from ariel_scripts.options.build_dataset import BuildDatasetOptions
from ariel_scripts.run_record import Run, run_record
from hf_dataset.build import run
from hf_dataset.build.executors import ENGINES
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.report import BuildSummary
from hf_dataset.folders import folder
from hf_dataset.reduction.visit import ReductionOptions
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)


def main(options: BuildDatasetOptions) -> None:
    """Start or continue a build and report the result."""
    build, place = build_options(options), folder(options.out)
    if options.dry_run:
        typer.echo(run.dry_run(options.root, place, build))
        return
    summary = recorded_build(options.root, options.out, build)
    if summary.waiting:
        logger.info(
            "submitted: %d shards; run the same command again to see what is finished",
            summary.shards,
        )
        if options.strict:
            logger.warning("--strict: what is left out is not known yet; the same command says it when the jobs ended")
        return
    rows = " + ".join(f"{count} {split}" for split, count in summary.rows.items())
    count, why = len(summary.failures), place / "report.md"
    left_out = f", {number_of(count, 'visit')} left out: {why} says why" if count else ""
    logger.info("%s: %s rows%s", options.out, rows, left_out)
    if options.strict and count:
        raise RuntimeError(f"{number_of(count, 'visit')} left out, see {why}")


def build_options(options: BuildDatasetOptions) -> BuildOptions:
    """The options of a build; those that it cannot have are wrong usage."""
    reduction, executor = options.settings(), options.executor_options()
    known = [one.name for one in fields(ReductionOptions)]
    if unknown := [str(name) for name in reduction if name not in known]:
        raise typer.BadParameter(f"reduction: unknown setting {', '.join(unknown)}; known: {', '.join(known)}")
    if options.engine not in ENGINES:
        raise typer.BadParameter(f"engine: expected one of {', '.join(ENGINES)}, found {options.engine!r}")
    try:
        return BuildOptions(
            reduction=ReductionOptions(**reduction),
            planets=options.planets,
            limit=options.limit,
            planets_per_shard=options.planets_per_shard,
            validation_fraction=options.validation_fraction,
            seed=options.seed,
            workers=options.workers,
            engine=options.engine,
            engine_options=executor,
            restart=options.restart,
            keep_frames=options.keep_frames,
        )
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def recorded_build(root: Path, out: str, build: BuildOptions, most: int | None = None) -> BuildSummary:
    """Build, at most ``most`` shards; recorded from when the build has begun, as a refused one changes no record."""
    place = folder(out)
    config: dict[str, Any] = {"root": str(root.resolve()), "out": out, **asdict(build)}
    with ExitStack() as stack:
        runs: list[Run] = []

        def record() -> None:
            begun = run_record(place, "build-dataset", config, build.seed)
            runs.append(stack.enter_context(begun))

        summary = run.build_dataset(root, place, build, on_start=record, most=most)
        if summary.waiting:
            runs[0].status = "submitted"
            runs[0].metrics.update(shards=summary.shards)
        else:
            runs[0].metrics.update(
                rows=summary.rows,
                left_out=len(summary.failures),
                worker_seconds=summary.seconds,
                shards=summary.shards,
            )
            runs[0].status = "incomplete" if summary.missing else "done"
    return summary
