"""Spectra from channels and what is known of a planet, in several scales of wavelength.

What describes a planet as a whole, the shape of its transit too, scales and shifts what every channel shows (FiLM:
Perez et al. 2018, AAAI, arXiv:1709.07871). A coarse spectrum, a finer one and the finest are added, each interpolated
linearly; FGS1, the first channel, stands alone and has a share in the finest only.
"""

import torch
from torch import Tensor, nn

from .correction_head import ZeroLinear


class PlanetPerceptron(nn.Module):
    """All that is known of R planets, (R, inputs), to features (R, size)."""

    def __init__(self, inputs: int, size: int, dropout: float):
        super().__init__()
        self.read, self.deepen = nn.Linear(inputs, size), nn.Linear(size, size)
        self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(dropout)

    def forward(self, known: Tensor) -> Tensor:
        """Features."""
        found = self.dropout(nn.functional.gelu(self.read(known)))
        return self.norm(found + nn.functional.gelu(self.deepen(found)))


class ConditionedChannels(nn.Module):
    """Nodes (R, C, W) with their spectrum (R, C, 3), scaled and shifted by features (R, size) of the planet."""

    def __init__(self, width: int, size: int):
        super().__init__()
        self.spectrum, self.condition = nn.Linear(3, width), nn.Linear(size, 2 * width)

    def forward(self, nodes: Tensor, channels: Tensor, features: Tensor) -> Tensor:
        """Nodes (R, C, W)."""
        scale, shift = self.condition(features)[:, None].chunk(2, -1)
        return nn.functional.gelu((nodes + self.spectrum(channels)) * (1.0 + scale) + shift)


class SpectrumScale(nn.Module):
    """One scale: ``numbers`` a place, of which there is one in ``step`` of C - 1 channels, or in each of C for 1."""

    def __init__(self, channels: int, step: int, width: int, size: int, numbers: int = 1):
        super().__init__()
        self.channels, self.numbers = channels, numbers
        self.places = channels if step == 1 else -(-(channels - 1) // step)
        self.local, self.whole = ZeroLinear(width, numbers), ZeroLinear(size, self.places * numbers)

    def forward(self, nodes: Tensor, features: Tensor) -> Tensor:
        """(R, C, numbers) of nodes (R, C, W) and features (R, size) of the planet."""
        whole = self.whole(features).unflatten(-1, (self.places, self.numbers))
        if self.places == self.channels:
            return self.local(nodes) + whole
        pooled = nn.functional.adaptive_avg_pool1d(nodes[:, 1:].mT, self.places).mT
        found = (self.local(pooled) + whole).mT
        spread = nn.functional.interpolate(found, self.channels - 1, mode="linear").mT
        return torch.cat([torch.zeros_like(spread[:, :1]), spread], 1)


class SpectrumDecoder(nn.Module):
    """The mean in scales of ``steps`` channels, coarse first, then of one; and ``numbers`` of sigma a channel."""

    def __init__(self, channels: int, steps: list[int], width: int, size: int, numbers: int):
        super().__init__()
        self.scales = nn.ModuleList(SpectrumScale(channels, step, width, size) for step in [*steps, 1])
        self.sigma = SpectrumScale(channels, 1, width, size, numbers)
        self.level = ZeroLinear(size, 2)

    def forward(self, nodes: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means up to each scale (R, scales, C), raw numbers of sigma (R, C, numbers), and the level (R, 2)."""
        means = torch.stack([scale(nodes, features)[..., 0] for scale in self.scales], 1)
        return means.cumsum(1), self.sigma(nodes, features), self.level(features)
