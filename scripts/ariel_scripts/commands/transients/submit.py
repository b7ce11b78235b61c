"""`ariel transients submit PROBABILITIES OUT.csv`: the challenge's submission, checked; or a check."""

from __future__ import annotations

import logging
from pathlib import Path

import typer

from ariel_scripts.options.transients.submit import SubmitOptions
from ariel_scripts.submission.transients import problems, write_submission
from ariel_scripts.transients.predicted import read_predicted, recorded_threshold

logger = logging.getLogger(__name__)


def main(options: SubmitOptions) -> None:
    """Check a submission, or write one."""
    if options.check is not None:
        _check(options.check, options.sample)
        return
    if options.probabilities is None:
        raise ValueError("expected PROBABILITIES and OUT.csv, or --check FILE.csv")
    if options.out.suffix != ".csv":
        raise ValueError(f"{options.out}: expected a name that ends in .csv")
    found = read_predicted(options.probabilities)
    threshold = recorded_threshold(options.probabilities) if options.threshold is None else options.threshold
    chosen = (found.probability >= threshold).astype(int)
    write_submission(options.out, found.name.tolist(), chosen.tolist(), options.sample)
    logger.info("%s: %d of %d objects at %.3f", options.out, chosen.sum(), chosen.size, threshold)


def _check(path: Path, sample: Path | None) -> None:
    """Print what is wrong with a submission; exit code 1 where anything is."""
    found = problems(path, sample)
    for problem in found:
        typer.echo(f"{path}: {problem}")
    if found:
        raise typer.Exit(1)
    typer.echo(f"{path}: valid" + ("" if sample is None else f", with the objects of {sample}"))
