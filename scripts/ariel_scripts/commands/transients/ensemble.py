"""`ariel transients ensemble DATASET OUT --add FILE --add FILE`: predictions of several models as one."""

from __future__ import annotations

import logging

import typer

from ariel_scripts.opening.hub import locate_dataset
from ariel_scripts.opening.truths import is_table
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.ensemble import EnsembleOptions
from ariel_scripts.run_record import run_record, write_json
from ariel_scripts.submission.transients import write_table
from ariel_scripts.transients.ensembles import combine_others, judged_ensembles, read_members, table_of, write_judged
from ariel_scripts.transients.nested import COMBINATIONS, as_text
from ariel_scripts.transients.predicted import read_targets
from ariel_scripts.transients.prediction import HELD_OUT, PROBABILITIES

logger = logging.getLogger(__name__)


def main(options: EnsembleOptions) -> None:
    """Judge members and combinations, write the one asked for."""
    if options.how not in COMBINATIONS:
        raise ValueError(f"--how: expected one of {', '.join(COMBINATIONS)}, found {options.how!r}")
    source = options.dataset if is_table(options.dataset) else locate_dataset(options.dataset, options.dataset_revision)
    members = read_members(options.add, read_targets(source, options.split))
    config = {name: str(value) for name, value in values_of(options).items()}
    with run_record(options.out, "transients ensemble", config, options.seed) as run:
        judged = judged_ensembles(members, [str(path) for path in options.add], options.repeats, options.seed)
        table = table_of(judged)
        run.metrics |= {"objects": members.target.size, "positives": int(members.target.sum())}
        if options.predict:
            names, probability, run.metrics["threshold"] = combine_others(members, options.how, options.predict)
            write_table(options.out / PROBABILITIES, names, {"probability": probability.tolist()})
        write_judged(members, judged[options.how], options.seed, options.out / HELD_OUT)
        write_json(options.out / "scores.json", table)
    width = max(map(len, table))
    for name, own in table.items():
        f1, precision = as_text(own["f1"]), as_text(own["average precision"])
        typer.echo(f"{name:<{width}}  F1 {f1}  average precision {precision}  optimistic F1 {own['optimistic F1']:.3f}")
