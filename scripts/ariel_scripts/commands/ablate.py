"""`ariel ablate PLAN`: variants of a model trained on the same folds, and ranked."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ariel_scripts import cli
from ariel_scripts.alone import alone_in
from ariel_scripts.opening.datasets import read_layouts, read_truths, wavelengths_of
from ariel_scripts.opening.hub import locate_dataset
from ariel_scripts.options.ablate import AblateOptions
from ariel_scripts.options.fields import values_of
from ariel_scripts.run_record import run_record
from ariel_scripts.training.ablation import Plan, ablate, drawn, read_plan
from ariel_scripts.training.leaderboard import Judges, rows_of, write_leaderboard, write_top

logger = logging.getLogger(__name__)


def main(options: AblateOptions) -> None:
    """Train what has not been trained, rank it, write the leaderboard."""
    plan = read_plan(options.plan, options.dataset)
    variants = drawn(plan, options)
    logger.info("%d variants: %s", len(variants), "; ".join(variant.name for variant in variants))
    if options.dry_run:
        return
    options = replace(options, out=options.out.absolute())
    config = {name: str(value) for name, value in values_of(options).items()}
    with alone_in(options.out), run_record(options.out, "ablate", config, options.seed) as run:
        with run.timed("training"):
            trained = ablate(plan, options, _finetune)
        rows = rows_of(trained, _judges(plan))
        run.metrics.update({row["variant"]: row for row in rows})
        text = write_leaderboard(options.out, rows)
        top = write_top(options.out, trained, options.top)
    print(text)
    logger.info("%s%s", options.out / "leaderboard.html", "" if top is None else f", {top}")


def _finetune(config: Path, out: Path) -> int:
    return cli.call("finetune", "--config", config, "--out", out)


def _judges(plan: Plan) -> Judges:
    located = locate_dataset(str(plan.options["dataset"]), plan.options.get("dataset_revision"))
    split = str(plan.options.get("split") or "train")
    wavelength = wavelengths_of(located, read_layouts(located, split)[0]).tolist()
    return Judges(read_truths(located, split), wavelength, plan.rules)
