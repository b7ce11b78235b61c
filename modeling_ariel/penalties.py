"""Physics penalties on an answered spectrum: pure functions, each 0 where its rule is kept.

Depths x are in units of 100 ppm (:func:`in_units`), the size of spectral features, so that penalties are pure numbers
of order one where spectra look wrong. P planets, C channels (FGS1 first, then AIRS ascending), N channels of AIRS; what
is measured comes as (P,). ``weight`` (C,) or (N,) says how much a channel counts: 0 leaves it out.
"""

import torch
from torch import Tensor

UNIT = 1e-4  # depth: 100 ppm


def in_units(depth: Tensor) -> Tensor:
    """Depths in units of 100 ppm, as float64, or float32 on devices without it."""
    return (depth.float() if depth.device.type == "mps" else depth.double()) / UNIT


def mean_over(terms: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of ``terms`` (P, K) over the number of places whose ``weight`` (K,) is not 0: (P,)."""
    return (terms * weight).sum(-1) / (weight > 0).sum().clamp_min(1)


def lowest_of(weight: Tensor, number: int) -> Tensor:
    """The lowest weight (K - number + 1,) of each run of so many channels: one that is left out is left out of all."""
    return weight.unfold(0, number, 1).amin(-1)


def edge_mask(channels: int, blue: int, red: int) -> Tensor:
    """Weights (channels,) of AIRS: 0 for so many at both ends, where detectors are worst."""
    place = torch.arange(channels)
    return ((place >= blue) & (place < channels - red)).double()


# --- shape -----------------------------------------------------------------------------------------------------------


def second_difference(x: Tensor, wavelength: Tensor) -> Tensor:
    """Bend (P, N - 2) of ``x`` (P, N): x[i-1] - 2 x[i] + x[i+1] where ``wavelength`` (N,) is even, 0 for any line."""
    left, right = wavelength[1:-1] - wavelength[:-2], wavelength[2:] - wavelength[1:-1]
    line = (x[:, :-2] * right + x[:, 2:] * left) / (left + right)
    return 2.0 * (line - x[:, 1:-1])


def smoothness(x: Tensor, wavelength: Tensor, weight: Tensor) -> Tensor:
    """Mean square bend; a ``weight`` (N,) that is lower inside molecular bands lets features bend there."""
    return mean_over(second_difference(x, wavelength).square(), lowest_of(weight, 3))


def total_variation(x: Tensor, weight: Tensor) -> Tensor:
    """Mean step between neighbours (Rudin, Osher & Fatemi 1992, Physica D 60, 259): noise adds, one edge hardly."""
    return mean_over((x[:, 1:] - x[:, :-1]).abs(), lowest_of(weight, 2))


def high_frequencies(x: Tensor, frequency: float) -> Tensor:
    """What of ``x`` (P, N) varies faster than ``frequency`` [cycles a channel, at most 0.5].

    By the Fourier transform of the spectrum and its mirror image, whose ends meet: a slope is no high frequency.
    """
    size = 2 * x.shape[-1]
    transform = torch.fft.rfft(torch.cat([x, x.flip(-1)], -1))
    fast = torch.arange(transform.shape[-1], device=x.device) > frequency * size
    return torch.fft.irfft(transform * fast, n=size)[..., : x.shape[-1]]


def fft_power(x: Tensor, frequency: float, weight: Tensor) -> Tensor:
    """Mean square of what varies faster than ``frequency``: the power above it."""
    return mean_over(high_frequencies(x, frequency).square(), weight)


def seam_jump(x: Tensor, wavelength: Tensor, index: int, width: int) -> Tensor:
    """Step (P,) of ``x`` (P, C) between channels index - 1 and index.

    It is that of two straight lines through the ``width`` nearest channels of each side, half-way between; of their
    mean levels where a side has one channel alone, as FGS1.
    """
    parts = slice(max(index - width, 0), index), slice(index, index + width)
    middle = 0.5 * (wavelength[index - 1] + wavelength[index])
    straight = min(len(wavelength[part]) for part in parts) > 1
    left, right = (_level(x[:, part], wavelength[part] - middle, straight) for part in parts)
    return right - left


def _level(x: Tensor, away: Tensor, straight: bool) -> Tensor:
    """Mean of ``x`` (P, n), or its line of least squares where ``away`` (n,) is 0."""
    if not straight:
        return x.mean(-1)
    centred = away - away.mean()
    return (x * (1.0 / len(away) - centred * away.mean() / centred.square().sum())).sum(-1)


def seam(x: Tensor, wavelength: Tensor, index: int, width: int) -> Tensor:
    """Square of :func:`seam_jump`: detectors that meet see one planet."""
    return seam_jump(x, wavelength, index, width).square()


# --- bounds ----------------------------------------------------------------------------------------------------------


def non_negativity(x: Tensor, weight: Tensor) -> Tensor:
    """Mean square of what depths (P, C) lack of 0."""
    return mean_over(x.clamp_max(0.0).square(), weight)


def sigma_bounds(sigma: Tensor, low: float, high: float, weight: Tensor) -> Tensor:
    """Mean square of how far ln sigma (P, C) lies outside ``low`` and ``high``, all three in one unit."""
    size = sigma.clamp_min(1e-12)  # its logarithm has a slope everywhere
    return mean_over((low / size).clamp_min(1.0).log().square() + (size / high).clamp_min(1.0).log().square(), weight)


def quantile_order(quantiles: Tensor, weight: Tensor) -> Tensor:
    """Mean square of how far quantiles (P, C, Q) of rising probability fall."""
    fall = (quantiles[..., :-1] - quantiles[..., 1:]).clamp_min(0.0)
    return mean_over(fall.square().sum(-1), weight)


# --- molecules -------------------------------------------------------------------------------------------------------


def fit_templates(x: Tensor, wavelength: Tensor, templates: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitudes (P, M) of ``templates`` (N, M) in ``x`` (P, N), fitted with a straight line, and what is left (P, N).

    By least squares; all bands of a molecule have one amplitude.
    """
    line = torch.stack([torch.ones_like(wavelength), wavelength - wavelength.mean()], -1)
    columns = torch.cat([line, templates], -1)
    found = x @ torch.linalg.pinv(columns).T
    return found[:, 2:], x - found @ columns.T


def coherence(x: Tensor, wavelength: Tensor, templates: Tensor, weight: Tensor) -> Tensor:
    """Mean square that no line and molecules explain: a band alone, of a molecule whose others are missing."""
    return mean_over(fit_templates(x, wavelength, templates)[1].square(), weight)


def ratio_bounds(area: Tensor, other: Tensor, low: float, high: float) -> Tensor:
    """Square of how far ``area`` (P,) lies outside ``low`` to ``high`` times the ``other``, which counts from 0 on."""
    reference = other.clamp_min(0.0)
    return (low * reference - area).clamp_min(0.0).square() + (area - high * reference).clamp_min(0.0).square()


# --- transits --------------------------------------------------------------------------------------------------------


def transit_asymmetry(transit: Tensor) -> Tensor:
    """Square of the skewness over time of the light lost (P, T, C), all channels together, at even times."""
    white = transit.mean(-1).clamp_min(0.0)
    share = white / white.sum(-1, keepdim=True).clamp_min(1e-12)
    time = torch.linspace(-1.0, 1.0, white.shape[-1], dtype=white.dtype, device=white.device)
    away = time - (share * time).sum(-1, keepdim=True)
    variance = (share * away.square()).sum(-1).clamp_min(1e-12)
    return ((share * away**3).sum(-1) / variance**1.5).square()


def fgs1_shape(transit: Tensor, weight: Tensor) -> Tensor:
    """Mean square of AIRS's light lost (P, T, C) beyond FGS1's shape, scaled to each channel by least squares.

    ``weight`` (N,). FGS1 sees the transit best; limb darkening differs little from channel to channel.
    """
    shape, airs = transit[..., :1], transit[..., 1:]
    scale = (shape * airs).sum(1, keepdim=True) / shape.square().sum(1, keepdim=True).clamp_min(1e-12)
    return mean_over((airs - scale * shape).square().mean(1), weight)
