"""`ariel verify OUT`: is a finished dataset still what its manifests say, and the raw folder what it was?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts._common import run_script

logger = logging.getLogger(__name__)


def main(
    out: Annotated[str, typer.Argument(help="Folder or URL (s3://…) of a dataset of `ariel build-dataset`.")],
    root: Annotated[
        Path | None, typer.Option(help="Raw folder to compare too; by default the recorded one, if still there.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Sizes, counts and ids only: no hashes, no values.")] = False,
) -> None:
    """Check a finished dataset against its manifests: files, hashes, every row, splits, settings, card, raw files.

    Exit codes: 0 sound, 1 differences (each is printed: what, expected, found), 2 wrong usage or no dataset there.

    Example: ariel verify light-curves --root ariel-data-challenge-2025
    """
    from tqdm import tqdm

    from hf_dataset.verify import verify

    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"--root {root}: expected a raw challenge folder, found none")
    try:
        with tqdm(unit="shard", desc="verifying", delay=1, disable=None if logger.isEnabledFor(20) else True) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            verdict = verify(out, root, quick=quick, progress=show)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for difference in verdict.differences:
        typer.echo(difference)
    rows = " + ".join(f"{count} {split}" for split, count in sorted(verdict.rows.items())) or "no"
    inputs = f"{verdict.inputs} raw files of {verdict.root}" if verdict.root else "raw files not compared (--root)"
    summary = f"{out}: {verdict.shards} shards, {rows} rows, {inputs}{', values not read' if quick else ''}"
    if verdict.differences:
        raise RuntimeError(f"{summary}: {len(verdict.differences)} differences")
    typer.echo(f"{summary}: sound")


if __name__ == "__main__":
    run_script(main)
