"""How far apart contrastive pretraining puts patches in and out of transit, on light curves that it never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from modeling_ariel.contrastive import IN, NEITHER, OUT, ArielForContrastive

Array = NDArray[np.float64]


def area_under_curve(inside: Array, outside: Array) -> float:
    """Chance that one of ``inside`` (n,) is above one of ``outside`` (m,), ties halved: area under the ROC curve."""
    order = np.sort(outside)
    below = np.searchsorted(order, inside, "left") + np.searchsorted(order, inside, "right")
    return float(below.mean() / (2 * len(outside)))


def direction_auc(vectors: Array, side: NDArray[np.int64], visit: NDArray[np.int64]) -> float:
    """Area under the ROC curve of the direction from out to in (K, E), learned on half of the visits, for the others.

    The mean of both halves; NaN where one of them lacks a side.
    """
    found = []
    for half in (0, 1):
        learn, judge = visit % 2 == half, visit % 2 != half
        groups = [vectors[part & (side == which)] for part in (learn, judge) for which in (IN, OUT)]
        if not all(len(group) for group in groups):
            return float("nan")
        axis = groups[0].mean(0) - groups[1].mean(0)
        found.append(area_under_curve(groups[2] @ axis, groups[3] @ axis))
    return float(np.mean(found))


def silhouette(vectors: Array, side: NDArray[np.int64]) -> float:
    """Mean silhouette (Rousseeuw 1987, J. Comput. Appl. Math. 20, 53) of both sides, by cosine distance; -1 to 1.

    NaN where a side has fewer than two of the unit vectors (K, E).
    """
    groups = [np.flatnonzero(side == which) for which in (IN, OUT)]
    if min(map(len, groups)) < 2:
        return float("nan")
    away = 1.0 - vectors @ vectors.T
    values = []
    for own, other in (groups, groups[::-1]):
        within = (away[np.ix_(own, own)].sum(1) - away[own, own]) / (len(own) - 1)
        between = away[np.ix_(own, other)].mean(1)
        values.append((between - within) / np.maximum(np.maximum(within, between), 1e-12))
    return float(np.concatenate(values).mean())


@dataclass
class Patches:
    """Patches of known side: unit vectors (K, E), ``side`` (K,) IN or OUT, and ``visit`` (K,) of each."""

    vectors: Array
    side: NDArray[np.int64]
    visit: NDArray[np.int64]


class Separation:
    """Judges a model on held-out light curves, always under the same views."""

    def __init__(self, held_out: dict[str, Tensor], batch: int):
        self.held_out, self.batch = held_out, batch

    def __call__(self, model: ArielForContrastive, accelerator: Accelerator) -> dict[str, float]:
        """The mean loss, and how the vectors of whole light curves separate the sides; each process does all of it."""
        loss, found = self.look(model, accelerator.device)
        return {
            "validation_loss": loss,
            "auc": direction_auc(found.vectors, found.side, found.visit),
            "silhouette": silhouette(found.vectors, found.side),
        }

    @torch.no_grad()
    def look(self, model: ArielForContrastive, device: torch.device) -> tuple[float, Patches]:
        """The mean loss, and where the model puts the patches of whole light curves."""
        count, loss = len(self.held_out["time"]), 0.0
        vectors, sides = [], []
        for start in range(0, count, self.batch):
            part = {name: value[start : start + self.batch].to(device) for name, value in self.held_out.items()}
            found = model(**part)
            loss += float(found.loss) * len(part["time"]) / count
            vectors.append(model.embed(**{name: value for name, value in part.items() if name != "noise"}).cpu())
            sides.append(found.side.cpu())
        side = torch.cat(sides).numpy()
        known = side != NEITHER
        visit = np.broadcast_to(np.arange(count)[:, None], side.shape)[known]
        return loss, Patches(torch.cat(vectors).double().numpy()[known], side[known], visit)
