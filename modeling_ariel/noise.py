"""Correlated noise of a visit, estimated from the residuals of a fit: pointing jitter that channels share.

A pointing excursion moves all AIRS channels together where the aperture loses light, and by the slope of the stellar
spectrum where it runs along the dispersion: two time series, correlated over a few bins, that do not average down over
the spectrum and must be in the covariance. The amplitude and correlation time of each maximise the restricted
likelihood (REML, Patterson & Thompson 1971, Biometrika 58, 545) of the residual projected on its response, which
accounts for what the fitted transit and drift have already swallowed.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .visit_data import averaged

_CORRELATION_BINS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_AMPLITUDE_RATIOS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0, 13.0)  # jitter over white sigma
_FEWEST_BINS, _MOST_BINS = 10, 600
_FLOOR = 1e-9  # relative flux: keeps the covariance of absent jitter invertible


@dataclass
class Jitter:
    """Jitter of B visits as K series of unit variance.

    ``response`` (B, K, C) relative flux at one sigma; ``precision`` (B, K, T, T) inverse correlation matrices;
    ``series`` (B, K, T) first estimates; ``correlation_bins`` (B, K) e-folding times; ``rms`` (B,) of the white curve.
    """

    response: Tensor
    precision: Tensor
    series: Tensor
    correlation_bins: Tensor
    rms: Tensor

    def flux(self, series: Tensor) -> Tensor:
        """Relative flux (B, C, T) of series (B, K, T)."""
        return self.response.transpose(1, 2) @ series


@dataclass
class _Spectra:
    """Eigenvalues (L, T) and eigenvectors (L, T, T) of the candidate correlations on one time grid."""

    values: Tensor
    vectors: Tensor


def exponential_correlation(time: Tensor, length: Tensor) -> Tensor:
    """exp(-|dt| / length): (..., T, T) for times (..., T) and lengths (...)."""
    return torch.exp(-(time[..., :, None] - time[..., None, :]).abs() / length[..., None, None])


@lru_cache(maxsize=4)
def _spectra(grid: tuple[float, ...], step: float, device: torch.device) -> _Spectra:
    time = torch.tensor(grid, dtype=torch.float64, device=device)
    lengths = step * time.new_tensor(_CORRELATION_BINS)
    return _Spectra(*torch.linalg.eigh(exponential_correlation(time.expand(len(lengths), -1), lengths)))


def _grid(time: Tensor, step: Tensor) -> tuple[tuple[float, ...], float, torch.device]:
    """Arguments of :func:`_spectra`, in 1e-5 h: float32 hours carry some 1e-6 h of rounding, and visits share grids."""
    counted = ((time - time[0]) * 1e5).round()
    return tuple(counted.tolist()), round(float(step) * 1e5, 1), time.device


def _inverse(time: Tensor, length: Tensor) -> Tensor:
    """Inverse (T, T) of :func:`exponential_correlation`, which is that of a Markov process: tridiagonal, exact."""
    kept = torch.exp(-time.diff() / length)  # what one bin tells of the next
    lost = 1.0 - kept**2
    diagonal = torch.ones_like(time)
    diagonal[:-1] += kept**2 / lost
    diagonal[1:] += kept**2 / lost
    beside = -kept / lost
    return torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)


def jitter_responses(flux_level: Tensor, weight: Tensor, photometer: bool = True) -> Tensor:
    """Shapes (B, K, C) of the channels' answers to jitter.

    The common loss of light in AIRS; and the slope of the stellar spectrum, d ln F / d channel, made orthogonal to it
    under ``weight`` (B, C). A ``photometer`` is another detector and answers neither, unless it is all there is.
    ``flux_level`` (B, C) [e-/exposure].
    """
    common = torch.ones_like(flux_level)
    first = int(photometer and bool((weight[:, 1:] > 0).any()))
    common[:, :first] = 0.0
    if flux_level.shape[-1] < 30:
        return common[:, None]
    log_level = flux_level[:, first:].log()
    slope = torch.cat([torch.zeros_like(flux_level[:, :first]), torch.gradient(log_level, dim=-1)[0]], -1)
    slope = slope.clamp(-0.1, 0.1)  # a dead neighbour is not a slope
    mean = (weight * common * slope).sum(-1, keepdim=True) / (weight * common).sum(-1, keepdim=True)
    slope = (slope - mean) * common
    return torch.stack(
        [common, slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-12) * math.sqrt(slope.shape[-1])], 1
    )


def estimate_jitter(time: Tensor, residual: Tensor, weight: Tensor, responses: Tensor, design: Tensor) -> Jitter:
    """Jitter of a batch from residuals of a fit without it.

    Args:
        time: (B, T) [h].
        residual: (B, C, T) relative flux; ``weight`` (B, C, T) inverse variance, 0 where invalid.
        responses: (B, K, C) from :func:`jitter_responses`.
        design: (B, T, X) white-light columns that the fit has used (level, drift, transit).
    """
    information = torch.einsum("bkc,bct->bkt", responses**2, weight)
    projected = torch.einsum("bkc,bct->bkt", responses, weight * residual) / information.clamp_min(_FLOOR)
    amplitude = torch.full_like(projected[..., 0], _FLOOR)
    index = torch.zeros_like(amplitude, dtype=torch.long)
    precision, mean = [], torch.zeros_like(projected)
    for row in range(len(time)):
        step = time[row].diff().median()
        for k in range(projected.shape[1]):
            informed = _informed(information[row, k])
            ratio, white = 0.0, 1.0
            if int(informed.sum()) >= _FEWEST_BINS:
                white = float(1.0 / information[row, k, informed].median())
                at, left, columns = averaged(
                    _MOST_BINS, time[row, informed], projected[row, k, informed], design[row, informed]
                )
                group = int(informed.sum()) // len(at)
                best, ratio = _reml(left, white / group, columns, _spectra(*_grid(at, step)))
                index[row, k], ratio = best, ratio / math.sqrt(group)
            length = step * _CORRELATION_BINS[int(index[row, k])]
            correlation = exponential_correlation(time[row], length)
            precision.append(_inverse(time[row], length))
            if ratio > 0.0:
                amplitude[row, k] = ratio * math.sqrt(white)
                own = ratio**2 * correlation[informed][:, informed] + torch.eye(int(informed.sum())).to(time)
                gain = torch.linalg.solve(own, projected[row, k, informed]) * ratio / math.sqrt(white)
                mean[row, k] = correlation[:, informed] @ gain
    bins = time.new_tensor(_CORRELATION_BINS)[index]
    stacked = torch.stack(precision).unflatten(0, projected.shape[:2])
    return Jitter(amplitude[..., None] * responses, stacked, mean, bins, amplitude[:, 0])


def _informed(information: Tensor) -> Tensor:
    """Bins (T,) that say something of a series: an empty one would count as an exact zero."""
    some = information > 0
    return some & (information > 0.1 * information[some].median()) if bool(some.any()) else some


def _reml(residual: Tensor, white: float, design: Tensor, spectra: _Spectra) -> tuple[int, float]:
    """Best (index of correlation length, amplitude over the white sigma) of one projected residual (T,)."""
    rotated = spectra.vectors.transpose(-1, -2) @ torch.cat([residual[:, None], design], -1)  # (L, T, 1 + X)
    ratios = residual.new_tensor(_AMPLITUDE_RATIOS)
    total = white * (ratios[:, None, None] ** 2 * spectra.values + 1.0)  # (R, L, T)
    gram = torch.einsum("lti,rlt,ltj->rlij", rotated, 1.0 / total, rotated)
    information, cross = gram[..., 1:, 1:], gram[..., 1:, :1]
    fitted = (cross * torch.linalg.solve(information, cross)).sum((-2, -1))
    deviance = total.log().sum(-1) + torch.linalg.slogdet(information).logabsdet + gram[..., 0, 0] - fitted
    best = int(deviance.argmin())
    return best % len(_CORRELATION_BINS), _AMPLITUDE_RATIOS[best // len(_CORRELATION_BINS)]
