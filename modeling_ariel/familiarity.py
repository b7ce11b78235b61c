"""How far a planet is from those that a network was trained on, and how much of its correction that leaves.

The distance is Mahalanobis' in the spectrum head's own features (Lee et al. 2018, NeurIPS 31, arXiv:1807.03888): there
the network tells planets apart, and what it has not seen lies off the axes along which training varied. Far from home
its correction fades, which leaves the classical answer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .status import DOUBTFUL, OK

_QUANTILE = 0.99  # of planets like those of training lie within a distance of 1
_FADED = 2.0  # distance from which on nothing of the correction is left
_NOISE = 1e-3  # of the features' mean variance, added along every axis
_TINY = 1e-12
_UNLIKE = "unlike the network's training (distance {:.1f}), and no fit checks its answer"
_UNJUDGED = "no fit checks the network's answer, and it never learned how far planets are from its training"


class Familiarity(nn.Module):
    """``mean`` (W,) and ``whiten`` (W, W) of the features that training had; ``limit``, 0 where none was learned."""

    mean: Tensor
    whiten: Tensor
    limit: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, shape in {"mean": (width,), "whiten": (width, width), "limit": ()}.items():
            self.register_buffer(name, torch.empty(shape))
        self.reset()

    @torch.no_grad()
    def reset(self, zero: Callable[[Tensor], Any] = init.zeros_) -> None:
        """Back to the start, where all is familiar. The default spares buffers just loaded, `Tensor.zero_` doesn't."""
        for buffer in self.buffers():
            zero(buffer)

    @torch.no_grad()
    def learn(self, seen: Tensor, held: Tensor) -> None:
        """Take the distribution of features ``seen`` (N, W) in training, and its edge from those ``held`` (M, W) too.

        Planets that were held out lie farther away where few were trained on, and still count as familiar.
        """
        mean, away = seen.double().mean(0), seen.double() - seen.double().mean(0)
        values, axes = torch.linalg.eigh(away.mT @ away / len(seen))
        values = values.clamp_min(0.0) + (_NOISE * values.mean()).clamp_min(_TINY)
        self.mean.copy_(mean)
        self.whiten.copy_(axes / values.sqrt())
        self.limit.fill_(1.0)
        self.limit.copy_(
            torch.stack([torch.quantile(self(one.float()), _QUANTILE) for one in (seen, held)]).amax().clamp_min(_TINY)
        )

    @property
    def learned(self) -> bool:
        """Whether anything was."""
        return bool(self.limit > 0.0)

    def forward(self, features: Tensor) -> Tensor:
        """Distance (P,) of ``features`` (P, W): 1 is the edge of what training had; 0 where nothing was learned.

        No gradient passes: a network is not to learn how to seem familiar.
        """
        size = ((features.detach().to(self.mean) - self.mean) @ self.whiten).square().mean(-1).sqrt()
        return torch.where(self.limit > 0.0, size / self.limit.clamp_min(_TINY), torch.zeros_like(size))

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "Familiarity":
        """Move, but keep float32."""
        return super()._apply(lambda t: function(t) if t.is_meta else t.to(function(t).device), recurse)


def kept_share(distance: Tensor) -> Tensor:
    """Share of the network's correction that is kept at a ``distance``."""
    return ((_FADED - distance) / (_FADED - 1.0)).clamp(0.0, 1.0)


def judged_alone(distance: Tensor, learned: bool) -> tuple[list[str], list[str]]:
    """Statuses and notes of P planets that a network answered without a fit, which nothing else checks.

    Beyond the edge of training an answer is doubtful; so are all of a network that never ``learned`` where that is.
    """
    values = distance.tolist()
    if not learned:
        return [DOUBTFUL] * len(values), [_UNJUDGED] * len(values)
    notes = [_UNLIKE.format(value) if value > 1.0 else "" for value in values]
    return [DOUBTFUL if note else OK for note in notes], notes


def with_distance_notes(notes: Sequence[str], distance: Tensor) -> list[str]:
    """The ``notes`` of P planets, and what there is to say of those that are unlike the ones of training."""
    return ["; ".join(filter(None, pair)) for pair in zip(notes, map(_note, distance.tolist()), strict=True)]


def _note(distance: float) -> str:
    if distance <= 1.0:
        return ""
    kept = 100 * float(kept_share(torch.tensor(distance)))
    return f"unlike the network's training (distance {distance:.1f}): {kept:.0f} % of its correction is kept"
