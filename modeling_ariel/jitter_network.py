"""TCN-JNet: dilated causal convolutions over FGS1's flux and the centroids, which predict jitter and remove it.

The temporal convolutional network is that of Bai, Kolter & Koltun 2018 (arXiv:1803.01271), without weight norm. It
makes a few series in time; a response of each channel says how much of each is in it, as light curves answer small
shifts of the image linearly. What is removed at a time depends on nothing after it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_RIDGE = 1e-3  # of the centroids' power: where there are no centroids nothing is explained by them


@dataclass
class Jitter:
    """``removed`` (B, T, C), in the unit of the light; ``series`` (B, T, S) that it is made of."""

    removed: Tensor
    series: Tensor


class CausalBlock(nn.Module):
    """Two dilated convolutions (B, W, T) -> (B, W, T) that see the past alone, added to their input."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.first = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.second = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Features of each time."""
        y = x
        for convolution in (self.first, self.second):
            y = self.dropout(nn.functional.gelu(convolution(nn.functional.pad(y, (self.past, 0)))))
        return x + y


class JitterNetwork(nn.Module):
    """Predicts the part of light curves that the pointing makes.

    Args:
        channels: C of the light curves.
        templates: K, PSF templates whose correlation is read too.
        width, kernel, blocks: of the convolutions; dilation doubles with each block.
        series: S, series in time that all channels share.
    """

    def __init__(
        self, channels: int, templates: int, width: int, kernel: int, blocks: int, series: int, dropout: float
    ):
        super().__init__()
        self.read = nn.Conv1d(2 + 4 + templates, width, 1)
        self.blocks = nn.ModuleList(CausalBlock(width, kernel, 2**block, dropout) for block in range(blocks))
        self.series = nn.Conv1d(width, series, 1)
        self.response = nn.Parameter(torch.zeros(channels, series))  # nothing is removed until something is learned

    def forward(self, light: Tensor, valid: Tensor, centroid: Tensor, correlation: Tensor, unit: Tensor) -> Jitter:
        """Jitter of light curves.

        Args:
            light: (B, T, C), 0 where not ``valid`` (B, T, C).
            centroid: (B, T, 4), scaled.
            correlation: (B, T, K) with PSF templates.
            unit: (B, 1, C) or (1, 1, 1), of the light, in which responses do not depend on how bright the star is.
        """
        fgs1 = torch.stack([light[..., 0].asinh(), valid[..., 0].to(light)], 1)
        x = self.read(torch.cat([fgs1, centroid.mT.to(light), correlation.mT], 1))
        for block in self.blocks:
            x = block(x)
        series = self.series(x).mT
        return Jitter(series @ self.response.mT * unit, series)


def jitter_losses(
    light: Tensor, valid: Tensor, quiet: Tensor, removed: Tensor, centroid: Tensor, unit: Tensor
) -> dict[str, Tensor]:
    """What says, without labels, whether the right thing was removed; both are shares of the scatter before.

    ``scatter``, left while nothing is in transit; and ``unexplained``, of what was removed, by the centroids, their
    squares and their product: neither a transit nor noise may be. The law by which they explain it is one for all
    visits of the batch: a law of each visit's own would fit transits by chance, as both are slow.

    Args:
        light: (B, T, C), 0 where not ``valid``.
        quiet: (T,) bool, out of transit.
        removed: (B, T, C).
        centroid: (B, T, 4), scaled.
        unit: (B, 1, C) or (1, 1, 1), of the light, in which the law is one.
    """
    weight = (valid & quiet[:, None]).float()
    before, after = _scatter(light.float(), weight).detach(), _scatter((light - removed).float(), weight)
    known = before > 0
    before, count = before.clamp_min(1e-12), known.sum().clamp_min(1)
    y, x = centroid[..., :1], centroid[..., 1:2]
    shifts = torch.cat([centroid, centroid**2, y * x], -1).float()
    shifts, seen = (part - part.mean(1, keepdim=True) for part in (shifts, (removed / unit).float()))
    columns, rows = shifts.flatten(0, 1), seen.flatten(0, 1)
    ridge = _RIDGE * torch.eye(columns.shape[-1], device=columns.device)
    with torch.autocast(light.device.type, enabled=False):  # normal equations need float32
        rest = seen - shifts @ torch.linalg.solve(columns.mT @ columns + ridge, columns.mT @ rows)
    unexplained = torch.where(known, (rest * unit).square().mean(1) / before, 0.0).sum() / count
    return {"scatter": torch.where(known, after / before, 0.0).sum() / count, "unexplained": unexplained}


def _scatter(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted variance in time (B, C) of (B, T, C)."""
    total = weight.sum(1).clamp_min(1.0)
    away = x - ((x * weight).sum(1) / total)[:, None]
    return (away.square() * weight).sum(1) / total
