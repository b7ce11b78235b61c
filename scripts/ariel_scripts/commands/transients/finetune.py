"""`ariel transients finetune DATASET`: a classifier of transients, in folds."""

from __future__ import annotations

from ariel_scripts.determinism import deterministic
from ariel_scripts.options.transients.finetune import FinetuneOptions
from ariel_scripts.training.transients.finetuning import finetune


def main(options: FinetuneOptions) -> None:
    """Train on a dataset of transients."""
    with deterministic(options.loop.deterministic):
        finetune(options)
