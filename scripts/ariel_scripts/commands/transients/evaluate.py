"""`ariel transients evaluate PREDICTIONS DATASET|CSV`: scores of predicted transients, as a table and as JSON."""

from __future__ import annotations

import logging

import typer

from ariel_scripts.opening.hub import locate_dataset
from ariel_scripts.opening.truths import is_table
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.evaluate import EvaluateOptions
from ariel_scripts.run_record import run_record, write_json
from ariel_scripts.transients.evaluation import as_csv, as_text, evaluate
from ariel_scripts.transients.predicted import judge_predicted, read_predicted, read_targets, warn_of_trained
from hf_dataset.digests import file_hash
from hf_dataset.folders import write_bytes
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)


def main(options: EvaluateOptions) -> None:
    """Score the labelled objects among the predicted."""
    out = options.out or options.predictions.with_suffix(".evaluation.json")
    if out.suffix != ".json":
        raise ValueError(f"--out {out}: expected a name that ends in .json; a CSV table goes beside it")
    if is_table(options.truth) and options.dataset_revision is not None:
        raise ValueError(
            f"--dataset-revision {options.dataset_revision}: expected a dataset on the Hub, found the table "
            f"{options.truth}"
        )
    predicted = read_predicted(options.predictions)
    warn_of_trained(options.predictions)
    source = options.truth if is_table(options.truth) else locate_dataset(options.truth, options.dataset_revision)
    judged = judge_predicted(predicted, read_targets(source, options.split), options.threshold)
    if left := predicted.name.size - judged.target.size:
        logger.warning("%s without a target left out", number_of(left, "object"))
    config = {name: str(value) for name, value in values_of(options).items()}
    with run_record(out.parent, "transients evaluate", config, options.seed, name=f"{out.stem}.run.json") as run:
        metrics = evaluate(judged, options.draws, options.seed)
        metrics["predictions_sha256"] = file_hash(options.predictions)
        run.metrics |= metrics
        write_json(out, metrics)
        write_bytes(out.with_suffix(".csv"), as_csv(metrics).encode())
    typer.echo(as_text(metrics))
