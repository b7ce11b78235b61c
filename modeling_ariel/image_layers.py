"""Layers over images: ConvNeXt-V2 blocks, convolutions in Fourier space, attention to templates.

ConvNeXt-V2 with global response normalisation: Woo et al. 2023 (CVPR, arXiv:2301.00808). Fourier neural operator: Li
et al. 2021 (ICLR, arXiv:2010.08895).
"""

import math

import torch
from torch import Tensor, nn


class GlobalResponseNorm(nn.Module):
    """Features (B, H, W, F) compete by their norm over the image."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Weighted by how strong each is beside the others, added to the input."""
        size = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        return self.weight * (x * (size / (size.mean(-1, keepdim=True) + 1e-6))) + self.bias + x


class ConvNextBlock(nn.Module):
    """A ConvNeXt-V2 block (B, F, H, W) -> (B, F, H, W)."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.response_norm = GlobalResponseNorm(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Depthwise convolution and perceptron, added to the input."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(self.response_norm(nn.functional.gelu(self.widen(y))))
        return x + y.permute(0, 3, 1, 2)


class FourierConv2d(nn.Module):
    """Mixes features (B, F, H, W) mode by mode in Fourier space; of higher modes nothing is left.

    Args:
        width: F.
        modes: how many along H, of either sign, and along W; an image that has fewer uses those.
    """

    def __init__(self, width: int, modes: tuple[int, int]):
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.empty(2, width, width, *modes, 2))  # sign, in, out, H, W, (real, imaginary)

    def forward(self, x: Tensor) -> Tensor:
        """The slow part of the image, its features mixed."""
        spectrum = torch.fft.rfft2(x.float())
        rows, columns = min(self.modes[0], x.shape[-2] // 2), min(self.modes[1], spectrum.shape[-1])
        weight = torch.view_as_complex(self.weight[:, :, :, :rows, :columns].float().contiguous())
        mixed = [
            torch.einsum("bixy,ioxy->boxy", part, one)
            for part, one in zip(
                (spectrum[..., :rows, :columns], spectrum[..., -rows:, :columns]), weight.unbind(), strict=True
            )
        ]
        middle = spectrum.new_zeros(*x.shape[:2], x.shape[-2] - 2 * rows, columns)
        kept = torch.cat([mixed[0], middle, mixed[1]], -2)
        rest = kept.new_zeros(*kept.shape[:-1], spectrum.shape[-1] - columns)
        return torch.fft.irfft2(torch.cat([kept, rest], -1), s=x.shape[-2:]).to(x)


class FourierBlock(nn.Module):
    """A layer of the Fourier neural operator (B, F, H, W) -> (B, F, H, W), added to its input."""

    def __init__(self, width: int, modes: tuple[int, int]):
        super().__init__()
        self.fourier, self.local = FourierConv2d(width, modes), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Slow and local part together."""
        return x + nn.functional.gelu(self.fourier(x) + self.local(x))


def transit_shapes(bins: int) -> Tensor:
    """Trapezoids (9, bins), 0 outside and -1 in transit: three durations, centred and early and late."""
    phase = (torch.arange(bins) + 0.5) / bins - 0.5
    made = []
    for duration in (0.25, 0.45, 0.65):
        ingress = 0.15 * duration
        for middle in (-0.12, 0.0, 0.12):
            inside = (0.5 * duration + 0.5 * ingress - (phase - middle).abs()) / ingress
            made.append(-inside.clamp(0.0, 1.0))
    return torch.stack(made)


def shape_match(white: Tensor, weight: Tensor, shapes: Tensor) -> Tensor:
    """Normalised correlation (B, M) of series (B, T), weighted, with ``shapes`` (M, T): a matched filter."""
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1e-6)
    light = white - (weight * white).sum(-1, keepdim=True)
    away = shapes - (weight[:, None] * shapes).sum(-1, keepdim=True)  # (B, M, T)
    cross = (weight[:, None] * away * light[:, None]).sum(-1)
    size = (weight[:, None] * away**2).sum(-1) * (weight * light**2).sum(-1, keepdim=True)
    return cross / (size + 1e-12).sqrt()


class TemplateAttention(nn.Module):
    """Attention of an image's places to transit shapes and PSF templates.

    A shape's score is raised by its match with the white light curve, and it also gives its own value at the place's
    time.

    Args:
        width: F of the image, a multiple of ``heads``.
        pixels: of a PSF template.
    """

    points = 32  # at which the shapes are embedded

    def __init__(self, width: int, heads: int, pixels: int):
        super().__init__()
        self.heads = heads
        self.shape, self.psf = nn.Linear(self.points, width), nn.Linear(pixels, width)
        self.token_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.course = nn.Linear(1, width, bias=False)
        self.match = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor, psf: Tensor, match: Tensor) -> tuple[Tensor, Tensor]:
        """The image (B, F, H, W) with what templates add, and the weights (B, H, W, M + K), shapes first.

        Args:
            x: (B, F, H, W), H along time.
            psf: (K, pixels).
            match: (B, M), of each shape with the white light curve.
        """
        tall, wide = x.shape[-2:]
        embedded = torch.cat([self.shape(transit_shapes(self.points).to(x)), self.psf(psf.to(x))])
        tokens = self.token_norm(embedded)  # (M + K, F)
        key, value = (part(tokens).unflatten(-1, (self.heads, -1)) for part in (self.key, self.value))
        query = self.query(self.norm(x.flatten(2).mT)).unflatten(-1, (self.heads, -1))  # (B, N, heads, d)
        scores = torch.einsum("bnhd,mhd->bhnm", query, key) / math.sqrt(key.shape[-1])
        bias = nn.functional.pad(match, (0, len(psf)))[:, None] * self.match[:, None]  # (B, heads, M + K)
        weights = (scores + bias[:, :, None]).softmax(-1)
        found = self.out(torch.einsum("bhnm,mhd->bnhd", weights, value).flatten(2))
        mean = weights.mean(1).unflatten(1, (tall, wide))
        course = torch.einsum("bhwm,mh->bhw", mean[..., : match.shape[-1]], transit_shapes(tall).to(x))
        found = found + self.course(course.flatten(1)[..., None])
        return x + found.mT.unflatten(-1, (tall, wide)), mean
