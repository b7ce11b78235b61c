"""How well systematics explain a white light curve: the evidence, with noise that may have memory.

About a fit the curve is linear in its parameters, so that the integral over all of them, under their priors, is a
Gaussian's. White noise is as large as neighbours differ; noise with memory beside it is averaged over sizes and
correlation times, none of them as likely as all sizes together. Without it every trend would be taken for systematics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.light_curve_model import LightCurveModel
from modeling_ariel.noise import exponential_correlation
from modeling_ariel.visit_data import MODEL_ERROR, VisitData, averaged, band_curves, band_scatter, running_median
from modeling_ariel.white_light import WhiteFit, white_model
from modeling_ariel.white_stage import band_limb_darkening, band_limb_sigma

_SIZES = (0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 20.0)  # of noise with memory, over white noise
_HIT = 6.0  # sigma from the neighbours' median
_WINDOWS = (0.02, 0.06, 0.2)  # correlation times over the window
_MOST_BINS = 300
_STEP = 1e-3  # relative flux: a tilt of a mirror's segment
_BESIDE_STEP = 5  # times on either side


@torch.no_grad()
def log_evidence(data: VisitData, model: LightCurveModel, white: WhiteFit, settings: FitSettings) -> float:
    """ln of the probability of a visit's white curve, about the first of its ``white`` solutions.

    Comparable between models of the same visit, whose shape, depth and limb darkening have the same priors.
    """
    time, left, columns, noise = _linear(data, model, white, settings)
    return _marginal(time, left, columns, noise)


@dataclass(frozen=True)
class Step:
    """A step of the white curve: ``size`` [relative flux] at ``time`` [h], ``gain`` of ln evidence by it."""

    size: float
    time: float
    gain: float


@torch.no_grad()
def likeliest_step(data: VisitData, model: LightCurveModel, white: WhiteFit, settings: FitSettings) -> Step | None:
    """The best step between neighbouring times, in noise that may have memory; None where the curve is too short.

    Any place of it is as likely, its size is normal of _STEP; gaps are left out, which orbits' offsets look like.
    """
    time, left, columns, noise = _linear(data, model, white, settings)
    places = torch.arange(len(time))
    usual = 2.0 * float(time.diff().median())
    near = torch.cat([time.new_full((1,), math.inf), time.diff()]) < usual
    places = places[near & (places >= _BESIDE_STEP) & (places <= len(time) - _BESIDE_STEP)]
    if not len(places):
        return None
    steps = _STEP * (time[:, None] >= time[places])
    root = torch.linalg.cholesky(_covariances(time, noise))
    whole = torch.cat([left[:, None], columns, steps.to(columns)], -1).expand(*root.shape[:2], -1, -1)
    scaled = torch.linalg.solve_triangular(root, whole, upper=False)
    known = columns.shape[-1] + 1
    gram = scaled.mT @ scaled[..., 1:known]
    inner = gram[..., 1:known, :] + torch.eye(known - 1).to(time)
    through = torch.linalg.solve(inner, gram.mT)  # (size, length, X, 1 + X + S)
    cross = (scaled[..., known:] * scaled[..., :1]).sum(-2) - (gram[..., known:, :] * through[..., :1].mT).sum(-1)
    own = scaled[..., known:].square().sum(-2) - (gram[..., known:, :] * through[..., known:].mT).sum(-1)
    gain = 0.5 * cross**2 / (1.0 + own) - 0.5 * torch.log1p(own)
    inside = scaled[..., 0].square().sum(-1) - (gram[..., 0, :] * through[..., 0]).sum(-1)
    volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * torch.linalg.slogdet(inner).logabsdet
    plain = -0.5 * inside - volume
    best = int(_over_noise(plain[..., None] + gain).argmax())
    row = int(plain.flatten().add(gain.flatten(0, 1)[:, best]).argmax())
    size = _STEP * float((cross / (1.0 + own)).flatten(0, 1)[row, best])
    found = torch.logsumexp(_over_noise(plain[..., None] + gain), 0) - math.log(len(places))
    at = int(places[best])
    middle = data.origin + 0.5 * float(time[at] + time[at - 1])
    return Step(size, middle, float(found - _over_noise(plain[..., None])[0]))


def _linear(
    data: VisitData, model: LightCurveModel, white: WhiteFit, settings: FitSettings
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Times (T,), white curve about the prior's mean (T,), columns (T, X) of standard normal coefficients, noise."""
    y, _, good = band_curves(data)
    scatter = band_scatter(y[0], good[0])[None].clamp_min(MODEL_ERROR)
    own = [white.depth[:1, :, None], white.limb[:1], white.level[:1, :, None], white.baseline[:1]]
    at = torch.cat([white.shape[:1], torch.cat(own, -1).flatten(1)], -1)
    baseline, u = model.polynomials, band_limb_darkening(data, model)
    curve, jacobian = white_model(data.time, model.width, at, u, model.prior, baseline)
    sigma = at.new_tensor([10.0, *band_limb_sigma(data, model), 10.0, *settings.drift_sigma])
    sigma = torch.cat([model.prior.sigma[0], sigma])
    mean = torch.cat([model.prior.mean[0], torch.zeros_like(sigma[3:])])
    left = y[0, 0] - curve[0, 0] + jacobian[0, 0] @ (at[0] - mean)
    usual = good[0, 0] & ((y[0, 0] - running_median(y[0, 0])).abs() < _HIT * scatter[0, 0])  # whatever the model
    time, left, columns = averaged(_MOST_BINS, data.time[0, usual], left[usual], jacobian[0, 0][usual] * sigma)
    count = math.ceil(int(usual.sum()) / _MOST_BINS)
    return time, left, columns, float(scatter[0, 0]) / math.sqrt(count)


def _marginal(time: Tensor, left: Tensor, columns: Tensor, white: float) -> float:
    """ln of the density of ``left`` (T,), of noise and ``columns`` (T, X) with standard normal coefficients."""
    root = torch.linalg.cholesky(_covariances(time, white))
    whole = torch.cat([left[:, None], columns], -1).expand(*root.shape[:2], -1, -1)
    scaled = torch.linalg.solve_triangular(root, whole, upper=False)
    gram = scaled.mT @ scaled
    inner = gram[..., 1:, 1:] + torch.eye(columns.shape[-1]).to(time)
    cross = gram[..., 1:, :1]
    fitted = (cross * torch.linalg.solve(inner, cross)).sum((-2, -1))
    volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * torch.linalg.slogdet(inner).logabsdet
    found = _over_noise((-0.5 * (gram[..., 0, 0] - fitted) - volume)[..., None])
    return float(found[0] - 0.5 * len(time) * math.log(2.0 * math.pi))


def _covariances(time: Tensor, white: float) -> Tensor:
    """Covariances (size, length, T, T) of noise, the first of white noise alone."""
    lengths = (time[-1] - time[0]) * time.new_tensor(_WINDOWS)
    correlated = exponential_correlation(time.expand(len(lengths), -1), lengths)
    sizes = torch.cat([time.new_zeros(1), time.new_tensor(_SIZES)])
    one = torch.eye(len(time)).to(time)
    return white**2 * (one + sizes[:, None, None, None] ** 2 * correlated)


def _over_noise(found: Tensor) -> Tensor:
    """ln of the mean (N,) of what is known by noise (size, length, N): white noise counts as much as all other."""
    some = torch.logsumexp(found[1:].flatten(0, 1), 0) - math.log(found[1:, :, 0].numel())
    return torch.logaddexp(found[0, 0], some) - math.log(2.0)
