"""`ariel adapt DATASET --model MODEL --out DIR`: a model adapted to light curves without labels."""

from __future__ import annotations

from ariel_scripts.options.adapt import AdaptOptions
from ariel_scripts.options.fields import taken
from ariel_scripts.prediction.adaptation import adapt
from ariel_scripts.prediction.job import Job


def main(options: AdaptOptions) -> None:
    """Adapt the model."""
    job = taken(Job, options, models=(options.model,), out=options.out.with_name(f"{options.out.name}.parquet"))
    adapt(job, options.out, options.visits)
