"""`ariel build-dataset ROOT OUT`: raw challenge folder → Hugging Face dataset of light curves."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from ariel_scripts.command_line import Run, read_yaml, run_record, run_script

if TYPE_CHECKING:
    from hf_dataset.build.plan import BuildOptions

logger = logging.getLogger(__name__)


def _yaml(text: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"expected YAML, found {text!r}: {getattr(error, 'problem', error)}") from error


def _mapping(value: str | dict[str, Any]) -> dict[str, Any]:
    """A YAML mapping, as text on the command line or already read from a config file."""
    found = _yaml(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise typer.BadParameter(f"expected a mapping such as '{{n_bins: 187}}', found {value!r}")
    return found


def _named(texts: list[str]) -> dict[str, Any]:
    """`NAME=VALUE`s, the values in YAML."""
    for text in texts:
        if "=" not in text:
            raise typer.BadParameter(f"--engine-option: expected NAME=VALUE, found {text!r}")
    return {name: _yaml(value) for name, _, value in (text.partition("=") for text in texts)}


def _planets(value: str | int | list[int]) -> list[int]:
    """Planet ids: `1,2,3`, `@FILE` with an id a line, or a list from a config file."""
    found: Any = value if isinstance(value, list) else [value]
    try:
        if isinstance(value, str):
            text = Path(value[1:]).read_text() if value.startswith("@") else value
            found = text.replace(",", " ").split()
        planets = [int(planet) for planet in found]
    except (TypeError, ValueError, OSError) as error:
        raise typer.BadParameter(f"expected whole numbers or @FILE: {error}") from error
    if not planets:
        raise typer.BadParameter(f"expected at least one planet, {value!r} names none")
    return planets


def _options(reduction: dict[str, Any], engine: str, **others: Any) -> BuildOptions:
    """The options of a build; those that it cannot have are wrong usage."""
    from hf_dataset.build.executors import ENGINES
    from hf_dataset.build.plan import BuildOptions
    from hf_dataset.reduction.visit import ReductionOptions

    known = [one.name for one in fields(ReductionOptions)]
    if unknown := [str(name) for name in reduction if name not in known]:
        raise typer.BadParameter(f"reduction: unknown setting {', '.join(unknown)}; known: {', '.join(known)}")
    if engine not in ENGINES:
        raise typer.BadParameter(f"engine: expected one of {', '.join(ENGINES)}, found {engine!r}")
    try:
        return BuildOptions(reduction=ReductionOptions(**reduction), engine=engine, **others)
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def main(
    root: Annotated[Path, typer.Argument(help="Raw challenge folder, 2024 or 2025 layout.")],
    out: Annotated[str, typer.Argument(help="Folder or URL (s3://…) for the dataset; made, or gone on with.")],
    bins: Annotated[int | None, typer.Option(help="Time bins a visit (375).")] = None,
    reduction: Annotated[
        Any, typer.Option(parser=_mapping, metavar="YAML", help="Settings of calibration and extraction.")
    ] = None,
    planets: Annotated[
        Any, typer.Option(parser=_planets, metavar="IDS", help="Only these planets: 1,2,3 or @FILE.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many planets a split.")] = None,
    validation_fraction: Annotated[float, typer.Option(help="Training planets held out as split `validation`.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the choice of validation planets.")] = 0,
    planets_per_shard: Annotated[int | None, typer.Option(help="Planets a file (8, fewer in small folders).")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, about 1 GB each (one a core).")] = None,
    engine: Annotated[str, typer.Option(help="local, slurm, ray or jobs.")] = "local",
    engine_options: Annotated[
        Any, typer.Option(parser=_mapping, metavar="YAML", help="Options of datatrove's executor: partition, time, …")
    ] = None,
    engine_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="One of these options, above them; repeatable.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what is in OUT and begin anew.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any visit was left out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be built; write nothing.")] = False,
) -> None:
    """Build a dataset of light curves from a raw challenge folder.

    A stopped build goes on when the command is run again. A planet that cannot be reduced is reported and left out.

    Exit codes: 0 built, 1 failed (or visits left out, with --strict), 2 wrong usage, 130 interrupted.

    Example: ariel build-dataset /kaggle/input/ariel-data-challenge-2025 light-curves
    """
    from hf_dataset.build import run
    from hf_dataset.folders import folder

    options = _options(
        reduction={**(reduction or {}), **({} if bins is None else {"n_bins": bins})},
        planets=planets,
        limit=limit,
        planets_per_shard=planets_per_shard,
        validation_fraction=validation_fraction,
        seed=seed,
        workers=workers,
        engine=engine,
        engine_options={**(engine_options or {}), **_named(engine_option or [])},
        restart=restart,
    )
    place = folder(out)
    if dry_run:
        typer.echo(run.dry_run(root, place, options))
        return
    with ExitStack() as stack:
        runs: list[Run] = []

        def record() -> None:
            config = {"root": str(root.resolve()), "out": str(out), **asdict(options)}
            runs.append(stack.enter_context(run_record(place, "build-dataset", config, seed)))

        summary = run.build_dataset(root, place, options, on_start=record)
        if summary.waiting:
            runs[0].status = "submitted"
            runs[0].metrics.update(shards=summary.shards)
        else:
            runs[0].metrics.update(
                rows=summary.rows, left_out=len(summary.failures), worker_seconds=summary.seconds, shards=summary.shards
            )
    if summary.waiting:
        logger.info("submitted: %d shards; run the same command again to see what is finished", summary.shards)
        if strict:
            logger.warning("--strict: what is left out is not known yet; the same command says it when the jobs ended")
        return
    rows = " + ".join(f"{count} {split}" for split, count in summary.rows.items())
    left_out = f", {len(summary.failures)} visits left out: {place / 'report.md'} says why" if summary.failures else ""
    logger.info("%s: %s rows%s", out, rows, left_out)
    if strict and summary.failures:
        raise RuntimeError(f"{len(summary.failures)} visits left out, see {place / 'report.md'}")


if __name__ == "__main__":
    run_script(main)
