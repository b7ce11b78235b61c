"""`ariel verify OUT`: is a finished dataset still what its manifests say, and the raw folder what it was?"""

from __future__ import annotations

import logging

import typer
from tqdm import tqdm

from ariel_scripts.options.verify import VerifyOptions
from hf_dataset.folders import files, folder
from hf_dataset.store.card import rewrite_card
from hf_dataset.store.lineage import MANIFEST_DIR
from hf_dataset.store.verify import Verdict, verify, verify_rows

logger = logging.getLogger(__name__)


def main(options: VerifyOptions) -> None:
    """Rewrite the card if requested, then compare everything and print the differences."""
    out, root = options.out, options.root
    if options.rewrite_card and not _rewritten(out, options.quick):
        return
    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"--root {root}: expected a raw challenge folder, found none")
    verdict = _verdict(options)
    for difference in verdict.differences:
        typer.echo(difference)
    summary = _summary(options, verdict)
    if verdict.differences:
        raise RuntimeError(f"{summary}: {len(verdict.differences)} differences")
    typer.echo(f"{summary}: sound")
    if verdict.older:
        typer.echo(
            "It was made by an earlier version, which wrote no dataset.json: "
            f"`ariel verify {out} --rewrite-card` adds it"
        )


def _verdict(options: VerifyOptions) -> Verdict:
    """What was compared and what differs; the shards that are done are shown."""
    disable = None if logger.isEnabledFor(logging.INFO) else True
    try:
        with tqdm(unit="shard", desc="verifying", delay=1, disable=disable) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            return verify(options.out, options.root, quick=options.quick, progress=show)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _summary(options: VerifyOptions, verdict: Verdict) -> str:
    rows = " + ".join(f"{count} {split}" for split, count in sorted(verdict.rows.items())) or "no"
    inputs = "raw files not compared (--root)"
    if verdict.root:
        inputs = f"{verdict.inputs} raw files of {verdict.root}"
    unread = ", values not read" if options.quick else ""
    return f"{options.out}: {verdict.shards} shards, {rows} rows, {inputs}{unread}"


def _rewritten(out: str, quick: bool) -> bool:
    """Write the card again, after a look at the shards; whether there are manifests to check the dataset against."""
    where = folder(out)
    built = any(files(where / MANIFEST_DIR, ".json"))
    try:
        if built:
            verdict = verify(where, quick=quick, inputs=False)
            wrong = [difference for difference in verdict.differences if not difference.of_the_card]
        else:  # the counts in dataset.json are all that tells of rows that were lost
            verdict = verify_rows(where)
            wrong = [found for found in verdict.differences if not found.of_the_card or "rows of" in found.what]
        for difference in wrong:
            typer.echo(difference)
        if wrong:
            raise RuntimeError(f"{out}: {len(wrong)} differences in the shards: the card is left as it is")
        typer.echo(f"{rewrite_card(where)}: written again, with dataset.json, croissant.json and the sample")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return built
