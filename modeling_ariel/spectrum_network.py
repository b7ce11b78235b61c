"""Bayesian ResNet-1D: residual blocks over wavelength, attention to molecular bands, dropout that stays for sampling.

Residual blocks before activation: He et al. 2016 (arXiv:1603.05027). Monte Carlo dropout: Gal & Ghahramani 2016
(arXiv:1506.02142); with a sigma that depends on the input: Kendall & Gal 2017 (arXiv:1703.04977). Spectral dropout is
SpecAugment's mask over frequency (Park et al. 2019, arXiv:1904.08779) on molecular bands.
"""

import math

import torch
from torch import Tensor, nn

from .correction_head import CorrectionHead, ZeroLinear
from .masking import BANDS
from .molecules import MOLECULES

_FGS1 = 1.0  # um: below are the photometer's channels


def band_templates(wavelength: Tensor) -> Tensor:
    """Shapes (1 + M, C), largest 1, over channels (C,) [um]: the photometer, then each molecule's bands.

    A band is a Gaussian that is half as high at the band's edges.
    """
    airs = wavelength >= _FGS1
    made = [(~airs).to(wavelength)]
    for bands in MOLECULES.values():
        places = [((2.0 * wavelength - low - high) / (high - low)) ** 2 for low, high in bands]
        shape = sum(torch.exp(-math.log(2.0) * place) for place in places)
        made.append(torch.as_tensor(shape) * airs)
    return torch.stack([shape / shape.max().clamp_min(1e-3) for shape in made])


def band_members(wavelength: Tensor) -> Tensor:
    """Whether channels (C,) [um] are in each of the bands that are hidden together: (bands, C) bool."""
    low, high = torch.tensor(BANDS, dtype=wavelength.dtype, device=wavelength.device).T[..., None]
    return (wavelength >= low) & (wavelength < high)


def spectral_mask(members: Tensor, rows: int, share: float) -> Tensor:
    """Channels (R, C) hidden: each band with probability ``share``, drawn from torch's global generator."""
    drawn = torch.rand(rows, len(members), device=members.device) < share
    return (drawn[:, :, None] & members).any(1)


class ResidualBlock(nn.Module):
    """Two convolutions over wavelength (R, W, C) -> (R, W, C), with dropout between, added to their input."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        pad = dilation * (kernel // 2)
        self.first_norm, self.second_norm = nn.GroupNorm(1, width), nn.GroupNorm(1, width)
        self.first = nn.Conv1d(width, width, kernel, padding=pad, dilation=dilation)
        self.second = nn.Conv1d(width, width, kernel, padding=pad, dilation=dilation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Features of each channel."""
        y = self.first(nn.functional.gelu(self.first_norm(x)))
        return x + self.second(self.dropout(nn.functional.gelu(self.second_norm(y))))


class MolecularAttention(nn.Module):
    """Channels (R, W, C) attend to bands: the mean of what is seen in each, nearer to a channel that lies in it."""

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.inside = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, templates: Tensor) -> tuple[Tensor, Tensor]:
        """Features with what bands add, and the weights (R, C, 1 + M); ``templates`` (1 + M, C)."""
        share = templates / templates.sum(-1, keepdim=True).clamp_min(1e-3)
        bands = torch.einsum("rwc,mc->rmw", x, share)
        scores = self.query(x.mT) @ self.key(bands).mT / math.sqrt(x.shape[1])
        weights = (scores + self.inside * templates.mT).softmax(-1)
        return x + (weights @ self.value(bands)).mT, weights


class SpectrumNetwork(nn.Module):
    """What is known of each channel to corrections of mean and ln sigma.

    Args:
        channels: C.
        n_context: numbers of a planet beside its channels.
        width, kernel, dilations: of the residual blocks, one a dilation.
        features: W' of the summary of a whole spectrum.
    """

    def __init__(
        self,
        channels: int,
        n_context: int,
        width: int,
        kernel: int,
        dilations: list[int],
        features: int,
        dropout: float,
    ):
        super().__init__()
        self.read = nn.Conv1d(3, width, 1)
        self.context = nn.Linear(n_context, width)
        self.place = nn.Parameter(torch.empty(width, channels))
        self.blocks = nn.ModuleList(ResidualBlock(width, kernel, dilation, dropout) for dilation in dilations)
        self.attention = MolecularAttention(width)
        self.norm = nn.GroupNorm(1, width)
        self.summary = nn.Linear(2 * width + n_context, features)
        self.dropout = nn.Dropout(dropout)
        self.head = CorrectionHead(features, channels)
        self.channel = ZeroLinear(width, 2)

    def forward(
        self, visits: Tensor, channels: Tensor, context: Tensor, templates: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Corrections of channels (R, C, 2) and level (R, 2), the summary (R, W') and attention (R, C, 1 + M).

        Args:
            visits: (R, W, C), what light curves showed of each channel.
            channels: (R, C, 3) and context (R, G), of the classical posterior.
            templates: (1 + M, C), as :func:`band_templates` makes them.
            hidden: (R, C) bool, channels of which nothing is seen.
        """
        x = visits + self.read(channels.mT.to(visits))
        if hidden is not None:
            x = x.masked_fill(hidden[:, None], 0.0)
        x = x + self.place + self.context(context.to(x))[..., None]
        half = len(self.blocks) // 2
        for block in self.blocks[:half]:
            x = block(x)
        x, weights = self.attention(x, templates)
        for block in self.blocks[half:]:
            x = block(x)
        x = nn.functional.gelu(self.norm(x))
        whole = torch.cat([x.mean(-1), x.amax(-1), context.to(x)], -1)
        features = self.dropout(nn.functional.gelu(self.summary(whole)))
        by_channel, level = self.head(features)
        return by_channel + self.channel(x.mT), level, features, weights

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Its layers, and those of their outputs that are of ln sigma alone."""
        return [*self.head.sigma_layers(), (self.channel, slice(1, None))]
