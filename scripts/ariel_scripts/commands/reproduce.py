"""`ariel reproduce FILE`: the command that left a result, run again elsewhere, and both compared."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import typer

from ariel_scripts.options.reproduce import ReproduceOptions
from ariel_scripts.reproduction.command_text import command_text
from ariel_scripts.reproduction.compare import compared
from ariel_scripts.reproduction.lineage import other_code
from ariel_scripts.reproduction.rerun import again, check_inputs, counterpart, recorded, run_again

_SHOWN = 5  # files that are the same are named

logger = logging.getLogger(__name__)


def main(options: ReproduceOptions) -> None:
    """Check the inputs, run, compare; exit with an error where a number is off by more than the tolerance."""
    found = recorded(options.file)
    check_inputs(found)
    for text in other_code(found.record):
        logger.warning("%s", text)
    invocation = found.record["invocation"]
    if options.dry_run:
        typer.echo(command_text(invocation["command"], again(found, options.out or Path("SCRATCH"))))
        return
    scratch = options.out or Path(tempfile.mkdtemp(prefix="ariel-reproduce-"))
    if scratch.exists() and (not scratch.is_dir() or any(scratch.iterdir())):
        raise ValueError(f"{scratch}: expected a new folder, found one in use")
    scratch.mkdir(parents=True, exist_ok=True)
    logger.info("%s", command_text(invocation["command"], again(found, scratch)))
    run_again(found, scratch)
    results = compared(options.file, counterpart(options.file, found, scratch), options.tolerance)
    same = [result for result in results if result.same]
    if len(same) > _SHOWN:
        typer.echo(f"{len(same)} of {len(results)} files: the same bytes")
    for result in results if len(same) <= _SHOWN else [one for one in results if not one.same]:
        typer.echo(str(result))
    if not all(result.close for result in results):
        typer.echo(f"tolerance {options.tolerance:g}; the new result is in {scratch}")
        raise typer.Exit(1)
    if options.out is None:
        shutil.rmtree(scratch)
