"""Augmentation by the physics: other spectra and fresh errors, with light curves to match.

Given the data, a fit's errors of depth are N(0, covariance). So a planet can be drawn again any number of times: the
same star, drift and residuals with another spectrum and error, and the light curve that has this fit. A network that
sees only the stored errors learns them by heart; with fresh ones it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Augmentation:
    """How often and how far examples are changed.

    Args:
        real_noise: share of examples that keep the error their fit really has; the others draw a new one.
        swap: share of examples that take another planet's spectrum.
        swap_width: how far its mean depth may be from the planet's own, in ln (1 sigma).
        mix: share of spectra that are a mean of two, with uniform weight.
        feature_scale: 1 sigma of the ln of a factor on features, the spectrum about its level.
        level_shift: 1 sigma of a shift of the level, in ln.
        draws: spectra and errors drawn for each planet of a batch, whose light curves the network then reads once and
            as they are. Only with the classical posterior, which carries the depths.
    """

    real_noise: float = 0.0
    swap: float = 1.0
    swap_width: float = 0.2
    mix: float = 0.0
    feature_scale: float = 0.0
    level_shift: float = 0.0
    draws: int = 1

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if self.draws < 1:
            raise ValueError(f"draws: expected 1 or more, found {self.draws}")
        for name in ("real_noise", "swap", "mix"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: expected a share of 0 to 1, found {getattr(self, name)}")
        for name in ("swap_width", "feature_scale", "level_shift"):
            if not 0.0 <= getattr(self, name) <= 3.0:
                raise ValueError(f"{name}: expected 0 to 3, found {getattr(self, name)}")

    @property
    def changes(self) -> bool:
        """Whether any example differs from what was observed."""
        return bool(self.swap or self.mix or self.feature_scale or self.level_shift or self.real_noise < 1.0)


class SpectrumPool:
    """Spectra (N, C) to swap in, sorted by their mean depth."""

    def __init__(self, spectra: Array):
        level = np.log(np.maximum(spectra.mean(-1), 1e-9))
        order = np.argsort(level, kind="stable")
        self.spectra, self.level = spectra[order], level[order]

    def near(self, log_level: float, rng: np.random.Generator, width: float) -> Array:
        """A spectrum (C,) with a mean depth near ``exp(log_level)``: the one next to log_level + N(0, width)."""
        wanted = log_level + width * rng.standard_normal()
        place = int(np.searchsorted(self.level, wanted))
        if place == len(self.level) or (place and wanted - self.level[place - 1] < self.level[place] - wanted):
            place -= 1
        return self.spectra[place]


def mean_of_two(first: Array, second: Array, share: float) -> Array:
    """``share`` of the first spectrum (C,) and the rest of the second."""
    return share * first + (1.0 - share) * second


def scaled_features(spectrum: Array, features: float, level: float) -> Array:
    """The spectrum (C,) with its features about its mean, and then all of it, multiplied by a factor; none negative."""
    mean = spectrum.mean()
    return np.maximum(level * (mean + features * (spectrum - mean)), 0.0)


def draw_spectrum(own: Array, spectra: SpectrumPool, rng: np.random.Generator, settings: Augmentation) -> Array:
    """The spectrum (C,) that an example will have; the number of draws is the same whatever the settings."""
    level = float(np.log(max(own.mean(), 1e-9)))
    swaps, mixes, share, features, shift = *rng.random(3), *rng.standard_normal(2)
    first, second = (spectra.near(level, rng, settings.swap_width) for _ in range(2))
    chosen = first if swaps < settings.swap else own
    if mixes < settings.mix:
        chosen = mean_of_two(chosen, second, share)
    if settings.feature_scale or settings.level_shift:
        chosen = scaled_features(
            chosen, float(np.exp(settings.feature_scale * features)), float(np.exp(settings.level_shift * shift))
        )
    return chosen


def error_factor(covariance: Tensor) -> Tensor:
    """Lower triangular factor (P, C, C) float32 that turns normal draws into errors, in units of 100 ppm."""
    scaled = covariance.double() * 1e8
    tiny = 1e-7 * scaled.diagonal(dim1=-2, dim2=-1).mean(-1)
    eye = torch.eye(scaled.shape[-1], dtype=scaled.dtype, device=scaled.device)
    return torch.linalg.cholesky(scaled + tiny[:, None, None] * eye).float()


def fresh_error(factor: Tensor, draws: Tensor) -> Tensor:
    """Errors of depths (P, D, C) float64 with the covariance behind ``factor``, from normal draws (P, D, C)."""
    return 1e-4 * (draws.to(factor) @ factor.transpose(-1, -2)).double()


def move_depth(curve: Array, transit: Array, old: Array, new: Array) -> Array:
    """The light curve (T, C) with other transit depths (C,); star, drift and residuals stay as they are.

    Args:
        curve: (T, C) flux, in any unit.
        transit: (T, C) light hidden over depth, 0 outside the transit.
        old, new: (C,) depths before and after.
    """
    old, new = old.astype(curve.dtype), new.astype(curve.dtype)
    return curve * ((1.0 - new * transit) / (1.0 - old * transit))


def channel_levels(curve: Array, valid: NDArray[np.bool_]) -> Array:
    """Median of each channel's valid bins: (C,) from (T, C), infinite where there are none."""
    ordered = np.sort(np.where(valid, curve, np.asarray(np.inf, curve.dtype)).T, axis=-1)  # invalid bins last
    count, channel = valid.sum(0), np.arange(curve.shape[1])
    low, high = (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(curve) - 1))
    return 0.5 * (ordered[channel, low] + ordered[channel, high])


def standardise(relative: Array, inverse_error: Array, valid: NDArray[np.bool_], clip: float) -> Array:
    """Flux about its median over valid bins, in sigma, clipped: (T, C), 0 where invalid.

    The same as the feature extractor makes of flux and error; ``inverse_error`` (T, C) is in the unit of ``relative``.
    """
    level = channel_levels(relative, valid)
    level = np.where(np.isfinite(level), level, 0.0).astype(relative.dtype)
    return np.where(valid, ((relative - level) * inverse_error).clip(-clip, clip), np.asarray(0.0, relative.dtype))
