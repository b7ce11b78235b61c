"""All channels of visits fitted at once: preparation, white curves, Gauss-Newton steps with robust weights and jitter.

Each step is an exact generalised least squares over per-channel depths and levels and the shared timing, shape, limb
darkening, drift and jitter. Hits are down-weighted by iteratively reweighted least squares (Huber 1981, Robust
Statistics), errors that understate the scatter of a channel are scaled, and jitter is measured once, from residuals.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .least_squares import LinearSystem, SeriesColumns, solve
from .light_curve_model import LightCurveModel, Linearised, Parameters
from .noise import WIDE_ORDERS, Series, estimate_noise
from .telescope import Telescope
from .visit_data import MODEL_ERROR, RetrievalError, VisitData, has_photometer, noise_scale, point_scatter
from .visit_design import VisitDesign
from .white_light import robust_weights

_FEW = 5  # channels
_SURELY, _SCATTER_ERROR = 3.0, 1.42  # sigma; relative error of scatter from second differences, times the root of times
_SMOOTHING = 15  # channels: wide enough to average noise, narrower than molecular bands


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
        jitter: estimate noise with memory, of minutes and of hours, and include it.
        iterations: Gauss-Newton steps over all channels.
        hit_threshold: residuals beyond it, in sigma, lose weight.
        min_snr: white-light depths below it, in their sigma, count as no transit.
        telescope: what is usual for its visits.
        photometer: whether the shortest channel is a photometer beside a spectrograph, with limb darkening and a drift
            of its own; by default where it lies below 1 um and far from the next.
        design: of one visit of another telescope; its systematics and limb darkening in place of Ariel's.
    """

    drift: str = "joint"
    drift_sigma: tuple[float, ...] = (5e-3, 3e-3, 1e-3, 5e-5, 5e-5)
    wavelength_sigma: tuple[float, ...] = (1.0, 0.5)
    table_sigma: tuple[float, float] = (0.03, 0.02)
    jitter: bool = True
    iterations: int = 4
    hit_threshold: float = 3.5
    min_snr: float = 5.0
    photometer: bool | None = None
    telescope: Telescope = field(default_factory=Telescope)
    design: VisitDesign | None = None

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if self.drift not in ("joint", "channel"):
            raise RetrievalError(f"drift: expected 'joint' or 'channel', found {self.drift!r}")
        if (
            not self.drift_sigma
            or not self.wavelength_sigma
            or min(self.drift_sigma + self.wavelength_sigma + self.table_sigma) <= 0
        ):
            raise RetrievalError("drift_sigma, wavelength_sigma, table_sigma: expected positive numbers")
        if self.iterations < 2:
            raise RetrievalError(f"iterations: expected at least 2, found {self.iterations}")

    def with_photometer(self, wavelength: Tensor) -> bool:
        """Whether the first of ascending channels (C,) [um] is a photometer."""
        if self.photometer is None:
            return has_photometer(wavelength)
        return self.photometer and len(wavelength) > 1


def shared_count(wavelength: Tensor, settings: FitSettings) -> int:
    """Number of parameters that the channels (C,) share: shape, limb darkening and, in a joint fit, drift."""
    limb = 8 if settings.with_photometer(wavelength) else 6
    if settings.design is not None and settings.design.limb is not None:
        limb = 0  # every channel has its own
    drift = 2 * len(settings.drift_sigma) + len(settings.wavelength_sigma) if settings.drift == "joint" else 0
    return 3 + limb + drift


@dataclass
class FittedVisits:
    """State before the last step: a linear ``system`` about ``linear``, for gradients to pass through."""

    parameters: Parameters
    linear: Linearised
    system: LinearSystem
    noise: list[Series]
    noise_scale: Tensor


def iterate(data: VisitData, model: LightCurveModel, parameters: Parameters, settings: FitSettings) -> FittedVisits:
    """All Gauss-Newton steps but the last."""
    y, noise, scale = data.y.detach(), list[Series](), torch.ones_like(data.y[..., 0])
    photometer, few = data.photometer, int((data.weight > 0).any(-1).sum()) < _FEW
    white_depth = parameters.depth[:, -1]
    variance = torch.ones_like(parameters.depth)
    correlated = torch.zeros_like(y)
    linear = model.linearise(parameters, expansion_depths(parameters.depth, variance, white_depth, photometer))
    for iteration in range(settings.iterations):
        weight = (data.weight / scale[..., None] ** 2).clamp_max(MODEL_ERROR**-2)
        if iteration:
            standardised = (y - linear.model - correlated) * weight.sqrt()
            weight = weight * robust_weights(standardised, settings.hit_threshold)
        own_precision, shared_precision, pull = model.priors(parameters)
        system = LinearSystem(linear.columns, linear.mixing, weight, own_precision, shared_precision, pull)
        system.bound, system.own_pull = model.bound(parameters), model.own_pull(parameters)
        system.series = [SeriesColumns(one.response, one.basis, one.precision) for one in noise]
        system.light = linear.model
        if iteration == settings.iterations - 1:
            break
        solution = solve(system, y - linear.model)
        parameters, variance = model.step(parameters, solution.own, solution.shared), solution.variance
        linear = model.linearise(parameters, expansion_depths(parameters.depth, variance, white_depth, photometer))
        if iteration == 0:
            continue
        residual = y - linear.model
        if settings.jitter and iteration == 1:
            design = _transit_columns(model, linear, data.channel)
            separable = model.common_drift(parameters) if settings.drift == "joint" else None
            noise = estimate_noise(
                data,
                model.wavelength,
                residual,
                weight,
                design,
                separable,
                model.drift_curves(parameters, WIDE_ORDERS),
                model.drift_sigma,
                settings.telescope.noise,
                None if settings.design is None else settings.design.basis,
            )
        correlated = solution.series
        if few:
            scale = _scatter_scale(residual, data.weight)
            if settings.design is not None:
                scale = _not_below_stated(scale, data)
        else:
            scale = noise_scale(residual - correlated, data.weight, data.error_scale == 1.0)
    return FittedVisits(parameters, linear, system, noise, scale)


def _transit_columns(model: LightCurveModel, linear: Linearised, channel: Tensor) -> Tensor:
    """Columns (T, X) that the white curve was fitted with but for drift: level, depth and shape."""
    weights = channel[0] / channel.sum()
    depth = torch.einsum("c,ct->t", weights, linear.columns[0, :, 0])[:, None]
    columns = [torch.ones_like(depth), depth]
    if model.fit_shape:
        columns.append(torch.einsum("c,cst->ts", weights, linear.columns[0, :, 2:5]))
    design = torch.cat(columns, -1)
    return design / design.norm(dim=0, keepdim=True).clamp_min(1e-12)


def _scatter_scale(residual: Tensor, weight: Tensor) -> Tensor:
    """Noise of a few channels over what their weights say (B, C), from second differences.

    The noise that channels share takes its part of all that they have, so what it leaves is no measure.
    """
    scale = torch.ones_like(residual[..., 0])
    for visit, channel in torch.nonzero((weight > 0).any(-1)).tolist():
        good = weight[visit, channel] > 0
        standardised = residual[visit, channel, good] * weight[visit, channel, good].sqrt()
        scale[visit, channel] = point_scatter(standardised) if len(standardised) > 2 else 1.0
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _not_below_stated(scale: Tensor, data: VisitData) -> Tensor:
    """Scales (B, C) below 1 as 1 where stated errors are not clearly too large: of few times scatter is uncertain."""
    tolerance = _SURELY * _SCATTER_ERROR / (data.weight > 0).sum(-1).clamp_min(1).sqrt()
    return torch.where((data.error_scale == 1.0) & (scale > 1.0 - tolerance), scale.clamp_min(1.0), scale)


def expansion_depths(depth: Tensor, variance: Tensor, white: Tensor, photometer: bool = True) -> Tensor:
    """Positive depths (B, C) to expand transits about: the spectrum smoothed, held near the white depth (B,)."""
    if depth.shape[-1] > 2 * _SMOOTHING:
        first = int(photometer)
        weight = 1.0 / (variance[:, first:] + 1e-12)
        kernel = depth.new_ones(1, 1, _SMOOTHING)
        total = torch.nn.functional.conv1d(weight[:, None], kernel, padding=_SMOOTHING // 2)
        summed = torch.nn.functional.conv1d((depth[:, first:] * weight)[:, None], kernel, padding=_SMOOTHING // 2)
        depth = torch.cat([depth[:, :first], (summed / total)[:, 0]], -1)
    white = white[:, None].clamp_min(1e-8)
    return torch.minimum(torch.maximum(depth, 0.5 * white), 2.0 * white)
