"""Point spread functions on a grid of pixels, and how their correlation answers the pointing.

Rows of a dataset hold no pixels. What is correlated is therefore no image that a detector took: it is the first
template moved to the centroid that was measured, against every template. For a template this is a fixed, smooth
function of the centroid, which says how much more or less of its shape the star would show. It knows nothing that the
centroid does not: it is the centroid in the coordinates of the star's image, not a second measurement of the pointing.
Moving is exact for band-limited images on a periodic grid: a ramp of phases in Fourier space (Guizar-Sicairos et al.
2008, Opt. Lett. 33, 156).

Learned templates come from calibrated frames (``ariel templates``): FGS1's mean image and its derivatives, whose
correlations answer shifts to first order, and AIRS-CH0's profile across the dispersion, to which attention looks too.
"""

import math

import torch
from torch import Tensor, nn
from transformers import initialization as init

_SHIFT, _WIDTH = 0.5, 1.5  # px: of the Gaussian templates about the first, and their 1 sigma


def gaussian_templates(count: int, size: int) -> Tensor:
    """Gaussian profiles (count, size, size), the first in the middle and the others half a pixel round it."""
    angle = 2.0 * math.pi * torch.arange(count - 1) / max(count - 1, 1)
    y = torch.cat([torch.zeros(1), _SHIFT * angle.sin()])[:, None, None]
    x = torch.cat([torch.zeros(1), _SHIFT * angle.cos()])[:, None, None]
    place = torch.arange(size) - (size - 1) / 2
    return torch.exp(-0.5 * ((place[:, None] - y) ** 2 + (place - x) ** 2) / _WIDTH**2)


def gaussian_profile(size: int) -> Tensor:
    """A profile across the dispersion (size, size), the same at all wavelengths, which are along the second axis."""
    place = torch.arange(size) - (size - 1) / 2
    return torch.exp(-0.5 * (place / _WIDTH) ** 2)[:, None].repeat(1, size)


def correlation_change(templates: Tensor, shift: Tensor) -> Tensor:
    """How normalised cross-correlations (..., K) differ from those without a shift.

    Args:
        templates: (K, h, w); the first is what moves.
        shift: (..., 2) of the star along y and x [px].
    """
    away = normalised(templates)
    spectrum = torch.fft.fft2(away)
    cross = (spectrum[:1] * spectrum.conj()).flatten(1) / away[0].numel()  # (K, h w)
    rows, columns = (torch.fft.fftfreq(n, device=away.device, dtype=away.dtype) for n in away.shape[1:])
    turn = 2.0 * math.pi * (shift[..., :1, None] * rows[:, None] + shift[..., 1:, None] * columns).flatten(-2)
    # cos - 1 by half the angle: shifts of a hundredth of a pixel change little
    return -2.0 * torch.sin(0.5 * turn) ** 2 @ cross.real.mT + torch.sin(turn) @ cross.imag.mT


def normalised(templates: Tensor) -> Tensor:
    """Templates (K, h, w) with mean 0 and norm 1."""
    away = templates - templates.mean((1, 2), keepdim=True)
    return away / away.square().sum((1, 2), keepdim=True).sqrt().clamp_min(1e-12)


class PsfTemplates(nn.Module):
    """``templates`` (K, h, w) of FGS1 and ``profile`` (h, w) of AIRS-CH0, wavelengths along w; Gaussian until set.

    Args:
        count: K.
        size: h and w [px].
        pointing_scale: 1 sigma of the pointing [px], by which the feature extractor has scaled centroids.
    """

    templates: Tensor
    profile: Tensor

    def __init__(self, count: int, size: int, pointing_scale: float):
        super().__init__()
        self.pointing_scale = pointing_scale
        self.register_buffer("templates", torch.empty(count, size, size))
        self.register_buffer("profile", torch.empty(size, size))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Back to Gaussian profiles; buffers just loaded are spared."""
        count, size, device = len(self.templates), self.templates.shape[-1], self.templates.device
        init.copy_(self.templates, gaussian_templates(count, size).to(device))
        init.copy_(self.profile, gaussian_profile(size).to(device))

    @torch.no_grad()
    def set(self, templates: Tensor, profile: Tensor | None = None) -> None:
        """Take templates (K, h, w), the first that of the mean pointing, and a profile (h, w); in any unit.

        Raises:
            ValueError: another shape, or an image that is constant or not finite.
        """
        profile = self.profile if profile is None else profile
        if templates.shape != self.templates.shape or profile.shape != self.profile.shape:
            found = " and a profile ".join(str(tuple(x.shape)) for x in (templates, profile))
            raise ValueError(
                f"PSF templates: expected {tuple(self.templates.shape)}, found {found}: "
                "psf_templates and psf_size of the config say how many and how large"
            )
        images = torch.cat([templates, profile[None].to(templates)])
        if not torch.isfinite(images).all() or (images.flatten(1).std(1) == 0).any():
            raise ValueError("PSF templates: expected finite images that are not constant, found others")
        self.templates.copy_(templates)
        self.profile.copy_(profile)

    @property
    def tokens(self) -> Tensor:
        """What attention looks at (K + 1, h w): the templates and last the profile, normalised."""
        return normalised(torch.cat([self.templates, self.profile[None]])).flatten(1)

    @torch.no_grad()
    def forward(self, centroid: Tensor) -> Tensor:
        """Change of the correlation (B, T, K) with the scaled centroid (B, T, 4), FGS1's y and x first.

        In units of the largest change that one sigma of the pointing makes along either axis.
        """
        templates = self.templates.float()
        axes = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).to(templates)
        with torch.autocast(centroid.device.type, enabled=False):
            usual = correlation_change(templates, self.pointing_scale * axes).abs().amax(0).clamp_min(1e-9)
            change = correlation_change(templates, self.pointing_scale * centroid[..., :2].float())
        return (change / usual).to(centroid)
