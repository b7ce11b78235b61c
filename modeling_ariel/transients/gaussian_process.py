"""Gaussian processes of many light curves at once: exact likelihood, its gradient, a fit of each object's own scales.

Objects are padded to one size with measurements that say nothing (flux 0, covariance 1 with themselves alone): they
change neither log-likelihood nor gradient beyond a constant that is taken off. Everything is float64 (Rasmussen &
Williams 2006, chapter 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, pi, sqrt

import torch
from torch import Tensor

# (gaps, log scales (object, parameter)) → covariance and its derivative by every parameter
Kernel = Callable[[Tensor, Tensor], tuple[Tensor, list[Tensor]]]

STEPS = 40
SURE = 1e-3  # a step in the log of the scales below which a fit has ended
TINY = 1e-10


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded objects: gaps (dimension, object, measurement, measurement), flux, error, real (object, measurement)."""

    gaps: Tensor
    flux: Tensor
    error: Tensor
    real: Tensor

    def of(self, which: Tensor) -> Batch:
        """Some of the objects."""
        return Batch(self.gaps[:, which], self.flux[which], self.error[which], self.real[which])


@dataclass(frozen=True, eq=False)
class Prior:
    """Normal priors of the log scales: mean and spread, (parameter,) or (object, parameter)."""

    mean: Tensor
    spread: Tensor


def matern(gaps: Tensor, log_scales: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Matérn 3/2 in time × wavelength; scales: amplitude, length in time, length in wavelength.

    k = a² (1 + √3 r) exp(−√3 r), r² = (Δt/ℓ_t)² + (Δλ/ℓ_λ)² (Boone 2019, AJ 158, 257).
    """
    amplitude, *lengths = log_scales.exp()[..., None, None].unbind(-3)
    squares = [(gap / length) ** 2 for gap, length in zip(gaps, lengths, strict=True)]
    r = sqrt(3) * (squares[0] + squares[1]).sqrt()
    falling = amplitude**2 * (-r).exp()
    k = (1 + r) * falling
    return k, [2 * k, *(3 * square * falling for square in squares)]


def damped(gaps: Tensor, log_scales: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Damped random walk; scales: spread σ and time τ: k = σ² exp(−Δt/τ) (Kelly et al. 2009, ApJ 698, 895)."""
    spread, tau = log_scales.exp()[..., None, None].unbind(-3)
    gap = gaps[0] / tau
    k = spread**2 * (-gap).exp()
    return k, [2 * k, k * gap]


def padded(places: Sequence[Tensor], flux: Sequence[Tensor], error: Sequence[Tensor]) -> Batch:
    """Objects of any sizes as one batch; places: of each object (dimension, measurement), such as time and wavelength.

    ValueError where there is no object.
    """
    if not places:
        raise ValueError("padded: expected objects, found none")
    size = max(one.shape[1] for one in places)
    where = torch.zeros(places[0].shape[0], len(places), size, dtype=torch.float64)
    values, errors = torch.zeros(len(places), size, dtype=torch.float64), torch.ones(len(places), size).double()
    real = torch.zeros(len(places), size, dtype=torch.bool)
    for row, (place, one, sigma) in enumerate(zip(places, flux, error, strict=True)):
        count = one.numel()
        where[:, row, :count], values[row, :count], errors[row, :count], real[row, :count] = place, one, sigma, True
    return Batch((where[..., :, None] - where[..., None, :]).abs(), values, errors, real)


def covariance(kernel: Kernel, batch: Batch, log_scales: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(object, measurement, measurement) covariance of the fluxes with their errors, and its derivatives."""
    both = batch.real[:, :, None] & batch.real[:, None, :]
    k, slopes = kernel(batch.gaps, log_scales)
    return k * both + torch.diag_embed(batch.error**2), [slope * both for slope in slopes]


def log_likelihood(kernel: Kernel, batch: Batch, log_scales: Tensor) -> Tensor:
    """(object,) natural log of the marginal likelihood."""
    factor, _ = torch.linalg.cholesky_ex(covariance(kernel, batch, log_scales)[0])
    return _value(batch, factor)


def _value(batch: Batch, factor: Tensor) -> Tensor:
    white = torch.linalg.solve_triangular(factor, batch.flux[..., None], upper=False)[..., 0]
    logs = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    value = -0.5 * (white**2).sum(-1) - logs - 0.5 * batch.real.double().sum(-1) * log(2 * pi)
    return value.nan_to_num(nan=-torch.inf)


def gradient(kernel: Kernel, batch: Batch, log_scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(object,) log-likelihood, (object, parameter) its gradient, (object, parameter, parameter) average information.

    The average of observed and expected information costs no product of matrices (Gilmour, Thompson & Cullis 1995,
    Biometrics 51, 1440).
    """
    k, slopes = covariance(kernel, batch, log_scales)
    factor, _ = torch.linalg.cholesky_ex(k)
    inverse = torch.cholesky_inverse(factor)
    alpha = inverse @ batch.flux[..., None]
    towards = torch.cat([slope @ alpha for slope in slopes], -1)  # (object, measurement, parameter)
    traces = torch.stack([(inverse * slope).sum((-2, -1)) for slope in slopes], -1)
    slope = 0.5 * ((alpha.mT @ towards)[:, 0] - traces)
    return _value(batch, factor), slope, 0.5 * towards.mT @ inverse @ towards


def fit(kernel: Kernel, batch: Batch, starts: Sequence[Tensor], prior: Prior) -> tuple[Tensor, Tensor]:
    """(object, parameter) log scales of the greatest posterior, and (object,) log-likelihood there.

    starts: sets (object, parameter) of first values, the best of which is taken for each object. Damped Newton steps on
    the average information; an object whose step is refused is damped more, one that has ended leaves the batch.
    """
    logs = torch.stack([_posterior(log_likelihood(kernel, batch, start), start, prior) for start in starts])
    scales = torch.stack(list(starts))[logs.argmax(0), torch.arange(len(batch.flux))].clone()
    damping, going = torch.full((len(scales),), 0.1).double(), torch.arange(len(scales))
    mean, spread = (one.double().expand_as(scales) for one in (prior.mean, prior.spread))
    for _ in range(STEPS):
        own, here = batch.of(going), Prior(mean[going], spread[going])
        value, slope, information = gradient(kernel, own, scales[going])
        value = _posterior(value, scales[going], here)
        slope = slope - (scales[going] - here.mean) / here.spread**2
        information = information + torch.diag_embed(here.spread**-2.0)
        diagonal = information.diagonal(dim1=-2, dim2=-1) * damping[going, None] + TINY
        step = torch.linalg.solve(information + torch.diag_embed(diagonal), slope).clamp(-1.5, 1.5)
        new = scales[going] + step
        better = _posterior(log_likelihood(kernel, own, new), new, here) >= value
        scales[going[better]] = new[better]
        damping[going] = torch.where(better, damping[going] / 5, damping[going] * 10).clamp(1e-6, 1e6)
        ended = (better & (step.abs().amax(-1) < SURE)) | (damping[going] >= 1e6)
        going = going[~ended]
        if not len(going):
            break
    return scales, log_likelihood(kernel, batch, scales)


def _posterior(value: Tensor, log_scales: Tensor, prior: Prior) -> Tensor:
    return value - 0.5 * (((log_scales - prior.mean) / prior.spread) ** 2).sum(-1)


def weights(kernel: Kernel, batch: Batch, log_scales: Tensor) -> Tensor:
    """(object, measurement) K⁻¹ y; times σ² it is what the process leaves of each flux."""
    factor, _ = torch.linalg.cholesky_ex(covariance(kernel, batch, log_scales)[0])
    return torch.cholesky_solve(batch.flux[..., None], factor)[..., 0]


def predict(kernel: Kernel, batch: Batch, log_scales: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor]:
    """(object, place) mean and standard deviation of the process at other places.

    gaps: (dimension, object, place, measurement) from them to the measurements.
    """
    factor, _ = torch.linalg.cholesky_ex(covariance(kernel, batch, log_scales)[0])
    across = kernel(gaps, log_scales)[0] * batch.real[:, None, :]
    white = torch.linalg.solve_triangular(factor, batch.flux[..., None], upper=False)
    towards = torch.linalg.solve_triangular(factor, across.mT, upper=False)  # (object, measurement, place)
    variance = kernel(torch.zeros_like(gaps[..., :1, :1]), log_scales)[0][:, 0] - (towards**2).sum(-2)
    return (towards.mT @ white)[..., 0], variance.clamp_min(TINY).sqrt()
