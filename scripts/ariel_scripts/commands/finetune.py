"""`ariel finetune DATASET`: a model of spectra from labelled light curves, in folds by planet or from all of them."""

from __future__ import annotations

from ariel_scripts.determinism import deterministic
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.training.finetuning import finetune


def main(options: FinetuneOptions) -> None:
    """Train on a dataset or on light curves simulated on the fly."""
    with deterministic(options.loop.deterministic):
        finetune(options)
