"""`ariel pretrain`: masked or contrastive, over light curves stored or simulated on the fly; no label is looked at."""

from __future__ import annotations

from ariel_scripts.determinism import deterministic
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.training.pretraining import pretrain


def main(options: PretrainOptions) -> None:
    """Train on a dataset or on light curves simulated on the fly."""
    with deterministic(options.loop.deterministic):
        pretrain(options)
