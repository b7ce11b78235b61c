"""All channels of visits fitted at once: preparation, white curves, Gauss-Newton steps with robust weights and jitter.

Each step is an exact generalised least squares over per-channel depths and levels and the shared timing, shape, limb
darkening, drift and jitter. Hits are down-weighted by iteratively reweighted least squares (Huber 1981, Robust
Statistics), errors that understate the scatter of a channel are scaled, and jitter is measured once, from residuals.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .least_squares import LinearSystem, solve
from .light_curve_model import LightCurveModel, Linearised, Parameters
from .noise import Jitter, estimate_jitter, jitter_responses
from .white_light import robust_weights

_SMOOTHING = 15  # channels: wide enough to average noise, narrower than molecular bands


class RetrievalError(ValueError):
    """Light curves or settings that the fit cannot take."""


@dataclass(frozen=True)
class FitSettings:
    """Settings of the fit.

    Args:
        drift: "joint", separable over AIRS, or "channel", every channel by itself with white noise alone.
        drift_sigma: prior standard deviation of the drift's Legendre coefficients 1, 2, ... in time, relative flux;
            its length is the order. The real 2024 white curves have 690, 415, 160, 46 and 17 ppm: the first three are
            left wide; the others are told their size, as the fourth can hardly be told from a depth.
        wavelength_sigma: the same for q(lambda) = 1 + ..., orders 1, 2, ...
        table_sigma: how far the star table is trusted, in impact parameter and in ln speed.
        jitter: estimate noise common to the channels and include it.
        iterations: Gauss-Newton steps over all channels.
        hit_threshold: residuals beyond it, in sigma, lose weight.
        min_snr: white-light depths below it, in their sigma, count as no transit.
    """

    drift: str = "joint"
    drift_sigma: tuple[float, ...] = (5e-3, 3e-3, 1e-3, 5e-5, 5e-5)
    wavelength_sigma: tuple[float, ...] = (1.0, 0.5)
    table_sigma: tuple[float, float] = (0.03, 0.02)
    jitter: bool = True
    iterations: int = 4
    hit_threshold: float = 3.5
    min_snr: float = 5.0

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if self.drift not in ("joint", "channel"):
            raise RetrievalError(f"drift: expected 'joint' or 'channel', found {self.drift!r}")
        if not self.drift_sigma or min(self.drift_sigma + self.wavelength_sigma + self.table_sigma) <= 0:
            raise RetrievalError("drift_sigma, wavelength_sigma, table_sigma: expected positive numbers")
        if self.iterations < 2:
            raise RetrievalError(f"iterations: expected at least 2, found {self.iterations}")


def shared_count(channels: int, settings: FitSettings) -> int:
    """Number of parameters that all channels share: shape, limb darkening and, in a joint fit, drift."""
    limb = 8 if channels > 1 else 2
    drift = 2 * len(settings.drift_sigma) + len(settings.wavelength_sigma) if settings.drift == "joint" else 0
    return 3 + limb + drift


@dataclass
class VisitData:
    """B visits ready for fitting.

    ``time`` (B, T) [h]; ``y`` (B, C, T) flux over the channel's median ``level`` (B, C); ``weight`` (B, C, T) inverse
    variance of ``y``, 0 where invalid; ``channel`` (B, C) weights of channels in the white curve.
    """

    time: Tensor
    y: Tensor
    weight: Tensor
    channel: Tensor
    level: Tensor


def prepare_visit(time: Tensor, flux: Tensor, flux_err: Tensor, valid: Tensor) -> VisitData:
    """One visit, (T,) and (T, C), as VisitData with B = 1; RetrievalError where there is too little to fit."""
    time, error = time.detach().double()[None], flux_err.detach().double().T[None]
    flux, valid = flux.double().T[None], valid.T[None]
    if not bool(torch.isfinite(time).all()) or not bool((time.diff(dim=-1) > 0).all()):
        raise RetrievalError("time: expected finite, increasing bin centres")
    good = valid & torch.isfinite(flux) & torch.isfinite(error) & (error > 0)
    level = torch.where(good, flux.detach(), torch.full_like(flux, float("nan"))).nanmedian(-1).values
    usable = torch.isfinite(level) & (level > 0) & (good.sum(-1) > 0.3 * good.shape[-1])
    if int(usable.sum()) < 0.5 * usable.numel():
        raise RetrievalError(f"expected most channels to have data, found {int(usable.sum())} of {usable.numel()}")
    level = torch.where(usable, level, torch.ones_like(level))[..., None]
    good = good & usable[..., None]
    weight = torch.where(good, (level / torch.where(good, error, torch.ones_like(error))) ** 2, torch.zeros_like(flux))
    y = torch.where(good, flux / level, torch.ones_like(flux))
    channel = weight.mean(-1)
    if channel.shape[-1] > 1:  # FGS1 has other limb darkening and another drift
        channel = torch.cat([torch.zeros_like(channel[:, :1]), channel[:, 1:]], -1)
    bins = int(((weight > 0) * channel[..., None]).sum(1).gt(0.5 * channel.sum(-1, keepdim=True)).sum())
    if bins < 20:
        raise RetrievalError(f"expected at least 20 bins with most channels, found {bins}")
    return VisitData(time, y, weight, channel, level[..., 0])


def band_curves(data: VisitData) -> tuple[Tensor, Tensor, Tensor]:
    """White AIRS, after FGS1 where there is one: flux, known error, and which bins are good, each (B, N, T)."""
    present = (data.weight > 0) * data.channel[..., None]
    total = present.sum(1)
    good = total > 0.5 * data.channel.sum(-1, keepdim=True)
    safe = total.clamp_min(1e-300)
    y = data.y.detach()
    white = torch.where(good, (present * y).sum(1) / safe, torch.ones_like(total))
    variance = torch.where(data.weight > 0, present**2 / data.weight.clamp_min(1e-300), 0.0).sum(1)
    sigma = torch.sqrt(variance) / safe
    if y.shape[1] == 1:
        return white[:, None], sigma[:, None], good[:, None]
    fgs1 = data.weight[:, 0] > 0
    error = torch.where(fgs1, data.weight[:, 0].clamp_min(1e-300) ** -0.5, torch.full_like(white, 1.0))
    error = torch.where(fgs1.any(-1, keepdim=True), error, torch.full_like(error, 1.0))
    return torch.stack([y[:, 0], white], 1), torch.stack([error, sigma], 1), torch.stack([fgs1, good], 1)


@dataclass
class FittedVisits:
    """State before the last step: a linear ``system`` about ``linear``, for gradients to pass through."""

    parameters: Parameters
    linear: Linearised
    system: LinearSystem
    jitter: Jitter | None
    noise_scale: Tensor


def iterate(data: VisitData, model: LightCurveModel, parameters: Parameters, settings: FitSettings) -> FittedVisits:
    """All Gauss-Newton steps but the last."""
    y, jitter, scale = data.y.detach(), None, torch.ones_like(data.y[..., 0])
    white_depth = parameters.depth[:, -1]
    variance = torch.ones_like(parameters.depth)
    series = torch.zeros_like(y[:, :, :1])
    for iteration in range(settings.iterations):
        linear = model.linearise(parameters, expansion_depths(parameters.depth, variance, white_depth))
        weight = data.weight / scale[..., None] ** 2
        if iteration:
            standardised = (y - linear.model - series) * weight.sqrt()
            weight = weight * robust_weights(standardised, settings.hit_threshold)
        own_precision, shared_precision, pull = model.priors(parameters)
        system = LinearSystem(linear.own, linear.shared, weight, own_precision, shared_precision, pull)
        system.bound = model.bound(parameters)
        if jitter is not None:
            system.series, system.series_precision = (
                jitter.response[..., None] * linear.model[:, None],
                jitter.precision,
            )
        if iteration == settings.iterations - 1:
            break
        solution = solve(system, y - linear.model)
        parameters, variance = model.step(parameters, solution.own, solution.shared), solution.variance
        if iteration == 0:
            continue
        around = expansion_depths(parameters.depth, variance, white_depth)
        residual = y - model.linearise(parameters, around, with_derivatives=False).model
        if settings.jitter and settings.drift == "joint" and jitter is None:
            responses = jitter_responses(data.level, data.channel)
            design = _white_design(model, linear, data.channel)
            jitter = estimate_jitter(data.time, residual, weight, responses, design)
            series = jitter.flux(jitter.series)
        elif solution.series is not None and jitter is not None:
            series = jitter.flux(solution.series)
        scale = noise_scale(residual - series, data.weight)
    return FittedVisits(parameters, linear, system, jitter, scale)


def _white_design(model: LightCurveModel, linear: Linearised, channel: Tensor) -> Tensor:
    """Columns (B, T, X) that the white curve was fitted with: level, depth, shape and drift."""
    weights = channel / channel.sum(-1, keepdim=True)
    depth = torch.einsum("bc,bct->bt", weights, linear.own[..., 0])[..., None]
    columns = [torch.ones_like(depth), depth, model.polynomials.transpose(1, 2)]
    if model.fit_shape:
        columns.append(torch.einsum("bc,bcts->bts", weights, linear.shared[..., :3]))
    design = torch.cat(columns, -1)
    return design / design.norm(dim=1, keepdim=True).clamp_min(1e-12)


def noise_scale(residual: Tensor, weight: Tensor) -> Tensor:
    """Noise of each channel over what is stated (B, C): 1 unless 4 sigma of its own error says otherwise."""
    count = (weight > 0).sum(-1)
    standardised = torch.where(weight > 0, residual * weight.sqrt(), torch.full_like(residual, float("nan")))
    robust = 1.4826 * standardised.abs().nanmedian(-1).values
    tolerance = 4.0 * 1.17 / torch.sqrt(2.0 * count.clamp_min(1))  # a MAD is 1.17 / sqrt(2 n) uncertain
    stated = ((robust - 1.0).abs() < tolerance) | ~torch.isfinite(robust) | (count < 20)
    return torch.where(stated, torch.ones_like(robust), robust.clamp(0.2, 100.0))


def expansion_depths(depth: Tensor, variance: Tensor, white: Tensor) -> Tensor:
    """Positive depths (B, C) to expand transits about: the spectrum smoothed, held near the white depth (B,)."""
    if depth.shape[-1] > 2 * _SMOOTHING:
        weight = 1.0 / (variance[:, 1:] + 1e-12)
        kernel = depth.new_ones(1, 1, _SMOOTHING)
        total = torch.nn.functional.conv1d(weight[:, None], kernel, padding=_SMOOTHING // 2)
        smooth = torch.nn.functional.conv1d((depth[:, 1:] * weight)[:, None], kernel, padding=_SMOOTHING // 2) / total
        depth = torch.cat([depth[:, :1], smooth[:, 0]], -1)
    white = white[:, None].clamp_min(1e-8)
    return torch.minimum(torch.maximum(depth, 0.5 * white), 2.0 * white)
