"""PhySNet: a U-Net over time x wavelength that takes the noise out of light curves.

Its blocks are those of ConvNeXt-V2, beside them layers of a Fourier neural operator and attention to transit shapes
and PSF templates (:mod:`image_layers`). It learns without labels to rebuild what is hidden from it, as masked
autoencoders do (ConvNeXt-V2: arXiv:2301.00808) and blind spots (Noise2Self: Batson & Royer 2019, arXiv:1901.11365):
noise cannot be rebuilt, so what it answers is free of it. U-Net: Ronneberger et al. 2015 (arXiv:1505.04597).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .image_layers import ConvNextBlock, FourierBlock, TemplateAttention, shape_match, transit_shapes


@dataclass
class Denoised:
    """``clean`` (B, N, D), in the unit of the image; ``features`` (B, F, N, D); ``attention`` (B, H, W, M + K)."""

    clean: Tensor
    features: Tensor
    attention: Tensor


def bin_times(light: Tensor, weight: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Weighted means (B, N, C) of ``bins`` bins of (B, T, C), and the sum of weights over ``bins``."""
    pad = (0, 0, 0, -light.shape[1] % bins)
    light, weight = (nn.functional.pad(x, pad).unflatten(1, (-1, bins)) for x in (light * weight, weight))
    total = weight.sum(2)
    return light.sum(2) / total.clamp_min(1e-6), total / bins


def bin_channels(light: Tensor, weight: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Weighted means (B, N, D) over ``channels`` AIRS channels of (B, N, C), FGS1 by itself, and their weight."""
    first, rest = bin_times(light[..., 1:].mT, weight[..., 1:].mT, channels)
    return torch.cat([light[..., :1], first.mT], -1), torch.cat([weight[..., :1], rest.mT], -1)


def bin_of_channel(count: int, channels: int) -> Tensor:
    """Which of :func:`bin_channels`'s bins each of ``count`` channels is in: (C,)."""
    return torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.arange(count - 1) // channels])


class DenoisingNetwork(nn.Module):
    """Image (B, N, D) of binned light curves to the same without noise.

    Args:
        sizes: features at the image's own scale, at half of it and at a quarter.
        modes: of the Fourier layer, along time and wavelength.
        heads: of attention.
        pixels: of a PSF template.
    """

    def __init__(self, sizes: list[int], modes: tuple[int, int], heads: int, pixels: int, dropout: float):
        super().__init__()
        fine, middle, coarse = sizes
        self.stem = nn.Conv2d(4, fine, 3, padding=1)
        self.to_middle, self.to_coarse = nn.Conv2d(fine, middle, 2, 2), nn.Conv2d(middle, coarse, 2, 2)
        self.middle = nn.Sequential(ConvNextBlock(middle), FourierBlock(middle, modes))
        self.coarse = ConvNextBlock(coarse)
        self.attention = TemplateAttention(coarse, heads, pixels)
        self.after = nn.Sequential(nn.Dropout(dropout), ConvNextBlock(coarse))
        self.merge_middle = nn.Conv2d(coarse + middle, middle, 1)
        self.middle_again = ConvNextBlock(middle)
        self.merge = nn.Conv2d(middle + fine, fine, 1)
        self.head = nn.Conv2d(fine, 1, 3, padding=1)

    def forward(self, image: Tensor, weight: Tensor, psf: Tensor) -> Denoised:
        """What is behind the noise.

        Args:
            image: (B, N, D), any unit; 0 where its ``weight`` (B, N, D), 0 to 1, is 0.
            psf: (K, pixels), normalised.
        """
        count = weight.sum((1, 2), keepdim=True).clamp_min(1e-6)
        size = ((weight * image**2).sum((1, 2), keepdim=True) / count).sqrt().clamp_min(1e-6)
        bins, waves = image.shape[1:]
        coordinates = torch.meshgrid(torch.linspace(-1, 1, bins), torch.linspace(-1, 1, waves), indexing="ij")
        places = [x.to(image).expand_as(image) for x in coordinates]
        x = torch.stack([image / size, weight, *places], 1)
        x = nn.functional.pad(x, (0, -waves % 4, 0, -bins % 4))
        light, seen = bin_of_visit(image / size, weight)
        fine = nn.functional.gelu(self.stem(x))
        middle = self.middle(self.to_middle(fine))
        coarse = self.coarse(self.to_coarse(middle))
        coarse, attention = self.attention(coarse, psf, shape_match(light, seen, transit_shapes(bins).to(image)))
        middle = self.middle_again(self.merge_middle(torch.cat([_twice(self.after(coarse)), middle], 1)))
        fine = nn.functional.gelu(self.merge(torch.cat([_twice(middle), fine], 1)))
        clean = self.head(fine)[:, 0, :bins, :waves] * size
        return Denoised(clean, fine[..., :bins, :waves], attention)


def bin_of_visit(image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The white light curve (B, N) of an image (B, N, D), and its weight."""
    total = weight.sum(-1)
    return (image * weight).sum(-1) / total.clamp_min(1e-6), total


def _twice(x: Tensor) -> Tensor:
    """Image (..., H, W) as (..., 2 H, 2 W)."""
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def rebuilding_loss(clean: Tensor, image: Tensor, hidden: Tensor, power: Tensor) -> Tensor:
    """Mean squared error of what was ``hidden`` (B, N, D), a weight, as a share of the image's power.

    Args:
        clean: (B, N, D) as rebuilt.
        image: (B, N, D) as measured.
        power: (B,), mean square of the whole image.
    """
    error = (hidden * (clean - image).square()).sum((1, 2)) / hidden.sum((1, 2)).clamp_min(1e-6)
    return (error / power.clamp_min(1e-6)).mean()
