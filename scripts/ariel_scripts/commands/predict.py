"""`ariel predict DATASET --model MODEL`: spectra with uncertainties by a trained model, from light curves."""

from __future__ import annotations

from dataclasses import replace

import typer

from ariel_scripts.options.fields import taken
from ariel_scripts.options.predict import PredictOptions
from ariel_scripts.prediction.adaptation import adapted
from ariel_scripts.prediction.job import Job, predict


def main(options: PredictOptions) -> None:
    """Predict, or say what would be predicted."""
    job = taken(Job, options, models=tuple(options.model))
    if options.adapt and not options.dry_run:
        job = replace(job, models=(str(adapted(job, options.restart)),), revision=None)
    if options.dry_run:
        typer.echo(job.prepare().plan())
        return
    refused = predict(job, options.restart)
    if refused and options.strict:
        raise typer.Exit(1)
