"""One visit made ready for the fit: bins with data, channels that can be used, errors of the size of the noise.

Bins without a valid point are left out before anything is computed, so an invalid bin is worth what an absent one is,
and what a batch is padded with is never seen. Errors that are far from the scatter between neighbouring bins are scaled
to it: flux in electrons with relative errors, or errors twenty times too large, are common in people's files.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST_BINS = 20
MODEL_ERROR = 1e-5  # relative flux: what quadrature and limb-darkening law are good for, however quiet a curve is
_FAR, _FARTHER = math.log(1.7), 1.4  # in ln wavelength, and times the others: where a photometer stands alone
_FEWEST_POINTS = 0.3  # of the bins, in a channel that is used
_FEW_CHANNELS = 0.8  # of those asked for: with fewer a note says so
_BEYOND_NOISE = 10.0  # sigma
_DARK = 0.3  # of a channel's points not positive: a star's are only where noise is larger than its light
_TRUSTED_ERRORS = (0.5, 2.0)  # scatter over stated error: the fit itself scales errors within it


class RetrievalError(ValueError):
    """Light curves or settings that the fit cannot take."""


def has_photometer(wavelength: Tensor) -> bool:
    """Whether the first of ascending channels (C,) [um] is a photometer: below 1 um, and far from the next one."""
    if len(wavelength) < 2:
        return False
    step = wavelength.log().diff()
    others = float(step[1:].median()) if len(step) > 1 else 0.0
    return float(wavelength[0]) < 1.0 and float(step[0]) > max(_FAR, _FARTHER * others)


@dataclass
class VisitData:
    """A visit of T bins, with a batch axis of one.

    ``time`` (1, T) [h] from ``origin``; ``y`` (1, C, T) flux over the channel's median ``level`` (1, C); ``weight``
    (1, C, T) inverse variance of ``y``, 0 where invalid; ``channel`` (1, C) weights of channels in the white curve;
    ``error_scale`` (1, C) by which stated errors were multiplied; ``photometer``: whether channel 0 is one; ``kept``
    which of the given bins these are; ``notes`` on what was found.
    """

    time: Tensor
    y: Tensor
    weight: Tensor
    channel: Tensor
    level: Tensor
    error_scale: Tensor
    photometer: bool
    kept: Tensor
    origin: float
    notes: list[str]

    @property
    def width(self) -> Tensor:
        """(1,) length of a bin [h]."""
        return self.time.diff(dim=-1).median(-1).values


def prepare_visit(time: Tensor, flux: Tensor, flux_err: Tensor, valid: Tensor, photometer: bool = True) -> VisitData:
    """One visit, (T,) and (T, C), ready for the fit; RetrievalError where there is too little to fit."""
    flux, error, valid = flux.double().T[None], flux_err.detach().double().T[None], valid.T[None]
    good, lost = _starlight(flux, valid & torch.isfinite(flux) & torch.isfinite(error) & (error > 0))
    kept = good[0].any(0)
    if int(kept.sum()) < FEWEST_BINS:
        raise RetrievalError(f"expected at least {FEWEST_BINS} bins with data, found {int(kept.sum())}")
    time = time.detach().double()[kept]
    if not bool(torch.isfinite(time).all()) or not bool((time.diff() > 0).all()):
        raise RetrievalError("time: expected finite, increasing bin centres (does its dtype hold them?)")
    flux, error, good = flux[..., kept], error[..., kept], good[..., kept]
    level = torch.where(good, flux.detach(), torch.full_like(flux, math.nan)).nanmedian(-1).values
    usable = torch.isfinite(level) & (level > 0) & (good.sum(-1) > _FEWEST_POINTS * good.shape[-1])
    level = _filled_levels(level, usable)
    y = torch.where(good & usable[..., None], flux / level[..., None], torch.ones_like(flux))
    scatter = band_scatter(y.detach()[0], good[0])[None]
    constant = usable & ~(scatter > 0)
    usable = usable & ~constant
    if not bool(usable.any()):
        raise RetrievalError(_nothing_usable(constant))
    good = good & usable[..., None]
    sigma = torch.where(good, error / level[..., None], torch.full_like(error, math.nan))
    scale, notes = _error_scale(scatter, sigma.nanmedian(-1).values, usable)
    weight = torch.where(good, (sigma * scale[..., None]) ** -2, torch.zeros_like(sigma))
    if float(usable.double().mean()) < _FEW_CHANNELS:
        notes.append(f"data in {int(usable.sum())} of {usable.numel()} channels only")
    if lost:
        some = f"{lost} point{'s' * (lost > 1)}"
        notes.append(f"{some} of no starlight (not positive, or above twice the median) taken as invalid")
    if bool(constant.any()):
        notes.append(f"{_channels(constant[0])} constant or quantised, taken as invalid")
    return VisitData(
        time=(time - time[0])[None],
        y=torch.where(good, y, torch.ones_like(y)),
        weight=weight,
        channel=_white_channels(weight.mean(-1), photometer),
        level=level,
        error_scale=scale,
        photometer=photometer,
        kept=kept,
        origin=float(time[0]),
        notes=notes,
    )


def _starlight(flux: Tensor, good: Tensor) -> tuple[Tensor, int]:
    """``good`` (1, C, T) without points far beyond the noise that no star can give, as -999 is; and how many."""
    flux = flux.detach()
    dark = (good & (flux <= 0)).sum(-1) / good.sum(-1)  # NaN without any
    if float(least := dark.nan_to_num(1.0).amin()) > _DARK and bool(good.any()):
        raise RetrievalError(
            f"flux: expected a star's flux, found {float(least):.0%} of it or more not positive in every channel: its "
            "deviation, or magnitudes?"
        )
    level = torch.where(good, flux, torch.full_like(flux, math.nan)).nanmedian(-1, keepdim=True).values
    away = torch.where(good & (level > 0), (flux / level - 1.0).abs(), torch.zeros_like(flux))
    if not bool((away >= 1.0).any()):
        return good, 0
    noise = band_scatter(torch.where(good, flux / level, torch.ones_like(flux))[0], good[0])[None, :, None]
    lost = away >= (_BEYOND_NOISE * noise).clamp_min(1.0)
    return good & ~lost, int(lost.sum())


def _filled_levels(level: Tensor, usable: Tensor) -> Tensor:
    """Levels (1, C), those of unusable channels from their neighbours, and so in the unit of the flux."""
    places = torch.nonzero(usable[0]).squeeze(-1)
    if not len(places):
        return torch.ones_like(level)
    left, right, along = between_places(places, level.shape[-1])
    log_level = level[0, places].log()
    return torch.where(usable, level, torch.lerp(log_level[left], log_level[right], along).exp()[None])


def _nothing_usable(constant: Tensor) -> str:
    if bool(constant.any()):
        return f"expected channels that vary, found {_channels(constant[0])} constant or quantised, and no other"
    return "expected a channel of positive flux with data in a third of the bins, found none"


def _channels(found: Tensor) -> str:
    numbers = torch.nonzero(found).squeeze(-1).tolist()
    more = ", …" if len(numbers) > 4 else ""
    return f"channel{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:4]))}{more} ({len(numbers)} in all)"


def _error_scale(scatter: Tensor, stated: Tensor, usable: Tensor) -> tuple[Tensor, list[str]]:
    """Factors (1, C) that bring stated errors to the measured scatter where they are far from it, with a note."""
    ratio = torch.where(usable, scatter / stated, torch.ones_like(scatter))
    low, high = _TRUSTED_ERRORS
    wrong = (ratio < low) | (ratio > high)
    scale = torch.where(wrong, ratio, torch.ones_like(ratio))
    if not bool(wrong.any()):
        return scale, []
    typical = float(ratio[wrong].median())
    return scale, [
        f"errors of {int(wrong.sum())} of {int(usable.sum())} channels replaced by the measured scatter, "
        f"{typical:.3g} times what is stated"
    ]


def _white_channels(information: Tensor, photometer: bool) -> Tensor:
    """Weights (1, C) in the white curve: without the photometer, which has other limb darkening and another drift."""
    if not photometer or not bool((information[:, 1:] > 0).any()):
        return information
    return torch.cat([torch.zeros_like(information[:, :1]), information[:, 1:]], -1)


def band_curves(data: VisitData) -> tuple[Tensor, Tensor, Tensor]:
    """The white curve, after the photometer where there is one: flux, known error, good bins, each (1, N, T).

    A band without data has flux 1, error 1 and no good bin.
    """
    spectrograph = data.channel.clone()
    if data.photometer:
        spectrograph[:, 0] = 0.0
    present = (data.weight > 0) * spectrograph[..., None]
    total = present.sum(1)
    good = (total > 0.5 * spectrograph.sum(-1, keepdim=True)) & (total > 0)
    safe = total.clamp_min(1e-300)
    y = data.y.detach()
    white = torch.where(good, (present * y).sum(1) / safe, torch.ones_like(total))
    variance = torch.where(data.weight > 0, present**2 / data.weight.clamp_min(1e-300), 0.0).sum(1)
    sigma = torch.where(good, torch.sqrt(variance) / safe, torch.ones_like(total))
    if not data.photometer:
        return white[:, None], sigma[:, None], good[:, None]
    seen = data.weight[:, 0] > 0
    error = torch.where(seen, data.weight[:, 0].clamp_min(1e-300) ** -0.5, torch.ones_like(white))
    return torch.stack([y[:, 0], white], 1), torch.stack([error, sigma], 1), torch.stack([seen, good], 1)


def averaged(most: int, *series: Tensor) -> list[Tensor]:
    """Series (T, ...) with as many neighbouring bins averaged as leave at most ``most``; a rest at the end is lost."""
    group = -(-len(series[0]) // most)
    whole = len(series[0]) // group * group
    return [values[:whole].unflatten(0, (-1, group)).mean(1) for values in series]


def between_places(places: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """How to interpolate what is known at ``places`` (n,) of 0 ... size - 1, held beyond them.

    Returns numbers (size,) of the known value before and after, and how far along between the two.
    """
    at = torch.arange(size, device=places.device)
    right = torch.searchsorted(places, at).clamp(0, len(places) - 1)
    left = torch.where(places[right] > at, right - 1, right).clamp_min(0)
    along = (at - places[left]).double() / (places[right] - places[left]).clamp_min(1)
    return left, right, along.clamp(0.0, 1.0)


# --- scatter -------------------------------------------------------------------------------------------------------


def running_median(y: Tensor, width: int = 7) -> Tensor:
    """Median over ``width`` neighbours in the last axis, edges repeated."""
    half = width // 2
    padded = torch.cat([y[..., :1].expand(*y.shape[:-1], half), y, y[..., -1:].expand(*y.shape[:-1], half)], -1)
    return padded.unfold(-1, width, 1).median(-1).values


def point_scatter(y: Tensor) -> Tensor:
    """Robust white scatter (...) of (..., T) from second differences: blind to slow trends and to a few outliers."""
    second = y[..., 2:] - 2.0 * y[..., 1:-1] + y[..., :-2]
    return 1.4826 * second.abs().median(-1).values / math.sqrt(6.0)


def band_scatter(y: Tensor, good: Tensor) -> Tensor:
    """:func:`point_scatter` (N,) of the good bins alone of each series (N, T); 0 of fewer than three."""
    whole = good.all(-1)
    scatter = torch.zeros_like(y[:, 0])
    if bool(whole.any()):
        scatter[whole] = point_scatter(y[whole])
    for row in torch.nonzero(~whole).squeeze(-1).tolist():
        own = y[row, good[row]]
        scatter[row] = point_scatter(own) if len(own) > 2 else 0.0
    return scatter


def noise_scale(residual: Tensor, weight: Tensor, believed: Tensor) -> Tensor:
    """Noise of each channel over what its weights say (B, C): 1 unless 4 sigma of its own error says otherwise.

    ``believed`` (B, C): where weights come from stated errors; of the others the measured noise is taken as it is.
    """
    count = (weight > 0).sum(-1)
    standardised = torch.where(weight > 0, residual * weight.sqrt(), torch.full_like(residual, math.nan))
    robust = 1.4826 * standardised.abs().nanmedian(-1).values
    tolerance = 4.0 * 1.17 / torch.sqrt(2.0 * count.clamp_min(1))  # a MAD is 1.17 / sqrt(2 n) uncertain
    stated = (believed & ((robust - 1.0).abs() < tolerance)) | ~(robust > 0) | (count < FEWEST_BINS)
    return torch.where(stated, torch.ones_like(robust), robust)
