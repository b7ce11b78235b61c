"""Which parts of a light curve are hidden in masked pretraining.

Ti-MAE (Li et al. 2023, arXiv:2301.08871) hides patches in time, at random or in blocks. Light curves have a second
axis: hiding molecular bands, or the channels with the best signal, for the whole visit makes the network learn how
channels depend on each other. Every mask is a function of ``noise`` alone, uniform in [0, 1): the same noise gives the
same mask. What holds no valid data is never chosen.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# FGS1, and where molecules absorb within AIRS-CH0 [um]: the bands by which predictions are judged. A copy, because
# files that travel with a checkpoint may not need the scores, which are no part of a model; a test holds the two equal.
BANDS: tuple[tuple[float, float], ...] = (
    (0.0, 1.0),  # FGS1
    (1.95, 2.10),  # CO2
    (2.15, 2.45),  # CH4
    (2.50, 2.90),  # H2O
    (2.90, 3.10),  # NH3
    (3.15, 3.50),  # CH4
    (3.55, 3.90),  # continuum
)
STRATEGIES = ("random", "block", "band", "snr")
BLOCK_LENGTH = 5  # patches: 1.5 h of a 7.5 h visit in 25 patches, an ingress and what is round it


class MaskError(ValueError):
    """Settings or shapes from which no mask can be made."""


def patch_valid(valid: Tensor, patch_bins: int) -> Tensor:
    """(B, N, C): whether a patch of ``patch_bins`` bins of ``valid`` (B, T, C) holds any; the last may be short."""
    batch, bins, channels = valid.shape
    padded = torch.nn.functional.pad(valid.bool(), (0, 0, 0, -bins % patch_bins))
    return padded.reshape(batch, -1, patch_bins, channels).any(2)


def expand_mask(hidden: Tensor, patch_bins: int, bins: int) -> Tensor:
    """Mask of patches (B, N, ...) as a mask of bins (B, T, ...)."""
    return hidden.repeat_interleave(patch_bins, 1)[:, :bins]


def channel_snr(light_curve: Tensor, valid: Tensor, patch_bins: int) -> Tensor:
    """(B, C) signal of each channel: scatter [sigma] of its patch means, which average most of the noise away.

    ``light_curve`` (B, T, C) in units of its errors, ``valid`` (B, T, C). 0 for channels without data.
    """
    batch, bins, channels = light_curve.shape
    pad = (0, 0, 0, -bins % patch_bins)
    weight = torch.nn.functional.pad(valid.to(light_curve.dtype), pad).reshape(batch, -1, patch_bins, channels)
    value = torch.nn.functional.pad(torch.where(valid, light_curve, torch.zeros_like(light_curve)), pad)
    count = weight.sum(2)  # (B, N, C)
    total = (value.reshape(weight.shape) * weight).sum(2)
    overall = total.sum(1, keepdim=True) / count.sum(1, keepdim=True).clamp_min(1.0)
    away = torch.where(count > 0, total / count.clamp_min(1.0) - overall, torch.zeros_like(total))
    patches = (count > 0).sum(1).clamp_min(1)
    return (away.square().sum(1) / patches).sqrt()


def _counts(usable: Tensor, ratio: float) -> Tensor:
    """How many of the ``usable`` (B, n) to hide in each row: (B, 1), round(ratio * usable), leaving at least one."""
    if not 0.0 < ratio < 1.0:
        raise MaskError(f"mask ratio: expected above 0 and below 1, found {ratio}")
    number = usable.sum(-1, keepdim=True)
    wanted = torch.round(ratio * number.double()).long()
    return torch.minimum(wanted.clamp_min(1), (number - 1).clamp_min(0))


def _check_noise(noise: Tensor, shape: Sequence[int]) -> None:
    if tuple(noise.shape) != tuple(shape):
        raise MaskError(f"noise: expected shape {tuple(shape)}, found {tuple(noise.shape)}")


def _lowest(key: Tensor, usable: Tensor, count: Tensor) -> Tensor:
    """Mask (B, n) of the ``count`` usable places of each row with the lowest key; the earlier of equal ones."""
    ordered = torch.where(usable, key.double(), torch.full_like(key, torch.inf, dtype=torch.float64))
    rank = ordered.argsort(stable=True, dim=-1).argsort(stable=True, dim=-1)
    return usable & (rank < count)


def random_mask(usable: Tensor, ratio: float, noise: Tensor) -> Tensor:
    """Hide single patches: (B, N) bool, round(ratio * usable patches) of each row.

    Args:
        usable: (B, N) bool, patches with any valid data: a padded visit is masked as it would be alone.
        ratio: above 0 and below 1; at least one patch is hidden and one left, where there are two.
        noise: (B, N) uniform; the patches with the lowest are hidden.
    """
    _check_noise(noise, usable.shape)
    return _lowest(noise, usable, _counts(usable, ratio))


def block_mask(usable: Tensor, ratio: float, noise: Tensor, length: int = BLOCK_LENGTH) -> Tensor:
    """Hide runs of ``length`` patches with random starts: (B, N) bool, as many as :func:`random_mask` hides.

    Starts come in the order of ``noise`` (B, N). Runs may overlap, the last is cut where the number is reached, and one
    that meets the end wraps round to the beginning, so that every patch is hidden equally often.
    """
    _check_noise(noise, usable.shape)
    if length < 1:
        raise MaskError(f"block length: expected 1 or more patches, found {length}")
    length = min(length, usable.shape[-1])
    order = noise.argsort(stable=True, dim=-1).argsort(stable=True, dim=-1)  # of a start at each patch
    of_run = torch.stack([order.roll(step, -1) for step in range(length)], -1)  # (B, N, length): runs over a patch
    first = of_run.min(-1)
    return _lowest(first.values * length + first.indices, usable, _counts(usable, ratio))


def band_mask(
    usable: Tensor, wavelength: Tensor, ratio: float, noise: Tensor, bands: Sequence[tuple[float, float]] = BANDS
) -> Tensor:
    """Hide whole bands: (B, C) bool, for all times. Channels in no band stay.

    Args:
        usable: (B, C) bool, channels with any valid data.
        wavelength: (C,) [um].
        ratio: of the bands that hold usable channels.
        noise: (B, number of bands) uniform; the bands with the lowest are hidden.
        bands: (low, high) [um], low included.
    """
    _check_noise(noise, (len(usable), len(bands)))
    low, high = torch.tensor(bands, dtype=torch.float64, device=usable.device).T
    where = wavelength.to(low).double()[:, None]
    inside = (where >= low) & (where < high)  # (C, bands)
    present = (usable[..., None] & inside).any(1)
    chosen = _lowest(noise, present, _counts(present, ratio))
    return usable & (chosen[:, None] & inside).any(-1)


def snr_mask(usable: Tensor, snr: Tensor, ratio: float, noise: Tensor) -> Tensor:
    """Hide channels, those with more signal more often: (B, C) bool, round(ratio * usable channels) of each row.

    Drawn without replacement with weights proportional to ``snr`` (Efraimidis & Spirakis 2006, Inf. Process. Lett. 97,
    181), so that the network cannot copy the channels that are easy to see.

    Args:
        usable: (B, C) bool, channels with any valid data.
        snr: (B, C), 0 or more, as :func:`channel_snr` gives; a thousandth of the largest at least is taken.
        ratio: of the usable channels.
        noise: (B, C) uniform.
    """
    _check_noise(noise, usable.shape)
    if snr.shape != usable.shape:
        raise MaskError(f"snr: expected shape {tuple(usable.shape)}, found {tuple(snr.shape)}")
    weight = torch.where(usable, snr.double(), torch.zeros((), dtype=torch.float64, device=snr.device))
    weight = weight / weight.amax(-1, keepdim=True).clamp_min(1e-300)
    waiting = -torch.log1p(-noise.double()) / weight.clamp_min(1e-3)  # exponential waiting times: soonest are hidden
    return _lowest(waiting, usable, _counts(usable, ratio))


def hidden_patches(
    config: Any, light_curve: Tensor, valid: Tensor, mask: Tensor | None, noise: Tensor | None
) -> Tensor:
    """What pretraining hides of ``light_curve`` (B, T, C): (B, N, C) bool, by the config's patches and mask strategy.

    Args:
        config: has ``patch_bins``, ``mask_strategy``, ``mask_ratio`` and ``wavelength``.
        mask: (B, N) or (B, N, C) bool, what to hide; None to draw it.
        noise: uniform numbers that decide the draw, of shape `noise_shape`; None for torch's global generator.
    """
    strategy, usable = config.mask_strategy, patch_valid(valid, config.patch_bins)
    if mask is None:
        if noise is None:
            noise = torch.rand(noise_shape(strategy, *usable.shape), device=usable.device)
        wavelength = torch.tensor(config.wavelength, device=usable.device) if strategy == "band" else None
        snr = channel_snr(light_curve, valid, config.patch_bins) if strategy == "snr" else None
        mask = make_mask(strategy, usable, config.mask_ratio, noise=noise, wavelength=wavelength, snr=snr)
    if mask.shape not in (usable.shape, usable.shape[:2]):
        raise ValueError(
            f"mask: expected {tuple(usable.shape[:2])} or {tuple(usable.shape)}, found {tuple(mask.shape)}"
        )
    return mask if mask.ndim == 3 else mask[..., None].expand_as(usable)


def noise_shape(strategy: str, batch: int, patches: int, channels: int) -> tuple[int, int]:
    """Shape of the noise that :func:`make_mask` takes: (B, N), (B, number of bands) or (B, C)."""
    sizes = {"random": patches, "block": patches, "band": len(BANDS), "snr": channels}
    if strategy not in sizes:
        raise MaskError(f"mask strategy: expected one of {STRATEGIES}, found {strategy!r}")
    return batch, sizes[strategy]


def make_mask(
    strategy: str,
    usable: Tensor,
    ratio: float,
    *,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    wavelength: Tensor | None = None,
    snr: Tensor | None = None,
) -> Tensor:
    """Mask (B, N, C) of patches by channels, True = hidden, equal along channels ("random", "block") or time (others).

    Args:
        strategy: "random" or "block" in time, "band" or "snr" in wavelength.
        usable: (B, N, C) bool, patches with any valid data: see :func:`patch_valid`.
        ratio: fraction hidden of the usable patches in time, bands or channels.
        noise: uniform in [0, 1), of shape :func:`noise_shape`; or a ``generator`` to draw it with.
        wavelength: (C,) [um], for "band".
        snr: (B, C), for "snr": see :func:`channel_snr`.
    """
    shape = noise_shape(strategy, *usable.shape)
    if noise is None:
        if generator is None:
            raise MaskError(f"noise: expected a tensor {shape} or a generator, found neither")
        noise = torch.rand(shape, generator=generator, device=generator.device).to(usable.device)
    if strategy in ("random", "block"):
        in_time = random_mask if strategy == "random" else block_mask
        return in_time(usable.any(-1), ratio, noise)[..., None].expand(usable.shape)
    given = {"band": wavelength, "snr": snr}[strategy]
    if given is None:
        raise MaskError(
            f"mask strategy {strategy!r}: expected {'wavelength' if strategy == 'band' else 'snr'}, found none"
        )
    in_wavelength = band_mask if strategy == "band" else snr_mask
    return in_wavelength(usable.any(1), given, ratio, noise)[:, None].expand(usable.shape)
