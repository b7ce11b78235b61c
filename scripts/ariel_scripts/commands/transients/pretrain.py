"""`ariel transients pretrain DATASET`: a network learns light curves without labels."""

from __future__ import annotations

from ariel_scripts.determinism import deterministic
from ariel_scripts.options.transients.pretrain import PretrainOptions
from ariel_scripts.training.transients.pretraining import pretrain


def main(options: PretrainOptions) -> None:
    """Train on a dataset of transients."""
    with deterministic(options.loop.deterministic):
        pretrain(options)
