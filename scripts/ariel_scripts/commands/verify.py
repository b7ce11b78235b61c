"""`ariel verify OUT`: is a finished dataset still what its manifests say, and the raw folder what it was?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.command_line import run_script

logger = logging.getLogger(__name__)


def main(
    out: Annotated[str, typer.Argument(help="Folder or URL (s3://…) of a dataset of `ariel build-dataset`.")],
    root: Annotated[
        Path | None, typer.Option(help="Raw folder to compare too; by default the recorded one, if still there.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Sizes, counts and ids only: no hashes, no values.")] = False,
    rewrite_card: Annotated[
        bool, typer.Option("--rewrite-card", help="First write README.md, croissant.json and sample again.")
    ] = False,
) -> None:
    """Check a finished dataset against its manifests: files, hashes, every row, splits, settings, card, raw files.

    --rewrite-card is for a dataset of an earlier version, or a card that was edited by mistake: title, wavelengths,
    provenance and how the rows were made are kept, all else is read off the shards, which must be sound. It also takes
    light curves of `ariel simulate --fast`, which have no manifests.

    Exit codes: 0 sound, 1 differences (each is printed: what, expected, found), 2 wrong usage or no dataset there.

    Example: ariel verify light-curves --root ariel-data-challenge-2025

    Example: ariel verify light-curves --rewrite-card
    """
    from tqdm import tqdm

    from hf_dataset.store.verify import verify

    if rewrite_card and not _rewritten(out, quick):
        return
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
    if verdict.older:
        typer.echo(
            "It was built by an earlier version, which wrote no sample and no croissant.json: "
            f"`ariel verify {out} --rewrite-card` adds them"
        )


def _rewritten(out: str, quick: bool) -> bool:
    """Write the card again, after a look at the shards; whether there are manifests to check the dataset against."""
    from hf_dataset.folders import files, folder
    from hf_dataset.store.card import rewrite_card
    from hf_dataset.store.lineage import MANIFEST_DIR
    from hf_dataset.store.verify import check_card, verify, verify_rows

    where = folder(out)
    built = any(files(where / MANIFEST_DIR, ".json"))
    try:
        if built:
            verdict = verify(where, quick=quick, inputs=False)
            wrong = [difference for difference in verdict.differences if not difference.of_the_card]
        else:  # the counts in the card are all that tells of rows that were lost
            verdict = verify_rows(where)
            check_card(verdict, where)
            wrong = [found for found in verdict.differences if not found.of_the_card or "rows of" in found.what]
        for difference in wrong:
            typer.echo(difference)
        if wrong:
            raise RuntimeError(f"{out}: {len(wrong)} differences in the shards: the card is left as it is")
        typer.echo(f"{rewrite_card(where)}: written again, with croissant.json and the sample")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return built


if __name__ == "__main__":
    run_script(main)
