"""Examples by their number: batches of curves, augmented anew each time.

Example number k depends on the seed and k alone, as in `training.examples`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ariel_scripts.training.examples import place_of
from ariel_scripts.training.transients.augmentation import TransientAugmentation
from ariel_scripts.training.transients.process import LightCurveProcess
from modeling_ariel.transients.curves import Array, Curve
from modeling_ariel.transients.feature_extraction_transient import TransientFeatureExtractor

SAMPLING = ("all", "balanced")
_EXAMPLE, _MASK = 101, 102  # purposes of random numbers, kept apart from those of other examples


@dataclass
class TransientExamples(Dataset[dict[str, Tensor]]):
    """Training examples.

    Args:
        curves: objects trained on.
        extractor: makes tensors of them.
        augmentation: None for none.
        seed: of orders and draws.
        labels: (object,) places of classes; None to pretrain.
        features: (object, F), NaN unknown.
        sampling: "all", each object once an epoch, or "balanced", each class as often.
        with_noise: give the random numbers that decide what pretraining hides.
        processes: of objects by name, made as they are needed: folds may share them.
    """

    curves: Sequence[Curve]
    extractor: TransientFeatureExtractor
    augmentation: TransientAugmentation | None
    seed: int
    labels: NDArray[np.int64] | None = None
    features: Array | None = None
    sampling: str = "all"
    with_noise: bool = False
    processes: dict[str, LightCurveProcess] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse another sampling, or a balanced one of classes that are not known."""
        if self.sampling not in SAMPLING:
            raise ValueError(f"sampling: expected {' or '.join(SAMPLING)}, found {self.sampling!r}")
        if self.sampling == "balanced" and self.labels is None:
            raise ValueError("sampling: expected labels to balance, found none")
        groups = [np.arange(len(self.curves))]
        if self.sampling == "balanced" and self.labels is not None:
            groups = [np.flatnonzero(self.labels == one) for one in np.unique(self.labels)]
        self._groups = groups

    def __getitem__(self, numbers: list[int]) -> dict[str, Tensor]:
        """Batch of these examples."""
        places = [self._place(number) for number in numbers]
        curves = [self._curve(place, number) for place, number in zip(places, numbers, strict=True)]
        features = None if self.features is None else self.features[places]
        batch = dict(self.extractor.batch(curves, features))
        if self.labels is not None:
            batch["labels"] = torch.from_numpy(self.labels[places])
        if self.with_noise:
            batch["noise"] = mask_noise(self.seed, numbers, batch["time"].shape[1])
        return batch

    def _place(self, number: int) -> int:
        """Which object an example shows."""
        turn, group = divmod(number, len(self._groups))
        own = self._groups[group]
        return int(own[place_of(turn, len(own), self.seed + group)])

    def _curve(self, place: int, number: int) -> Curve:
        curve = self.curves[place]
        if self.augmentation is None:
            return curve
        process = None
        if self.augmentation.redshift:
            if curve.name not in self.processes:
                self.processes[curve.name] = LightCurveProcess.of(curve)
            process = self.processes[curve.name]
        return self.augmentation.draw(curve, process, np.random.default_rng([self.seed, _EXAMPLE, number]))


def mask_noise(seed: int, numbers: Sequence[int], size: int) -> Tensor:
    """(example, size) uniform numbers that decide what is hidden of examples."""
    drawn = [np.random.default_rng([seed, _MASK, number]).random(size, np.float32) for number in numbers]
    return torch.from_numpy(np.stack(drawn))
