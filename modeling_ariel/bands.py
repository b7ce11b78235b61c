"""Noise of channels that no response expects, as of one amplifier's band: found in residuals by their largest series.

The residuals of a fit are looked at slowly, over cosines in time, and smoothly, over cosines in wavelength. Where they
are white, the singular values of that small matrix are those of random numbers (Marchenko & Pastur 1967, Math. USSR
Sbornik 1, 457); a larger one is a series in time that channels share, and its vectors say which and when.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

_TIMES, _WAVES = 16, 16  # cosines over the window, and over the channels
_FEWEST_CHANNELS, _FEWEST_BINS = 24, 3 * _TIMES
_MOST = 3  # responses found
_FALSE_ALARMS, _DRAWS = 0.005, 2000  # of visits with white noise; random matrices that the threshold is told by


def unexpected(
    residual: Tensor, weight: Tensor, taken: Tensor, known: list[Tensor], first: int
) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Responses (C,) beyond the ``known`` ones, largest 1, each with what of it (C,) no known one answers; and the
    residual (C, T) without their series.

    Args:
        residual: (C, T) relative flux; ``weight`` (C, T) inverse variance, 0 where invalid.
        taken: (T, X) columns that the fit has used in every channel.
        known: responses (C,) that are looked after already.
        first: channels before the spectrograph's.
    """
    used = (weight > 0).any(-1)
    used[:first] = False
    informed = (weight[used] > 0).double().mean(0) > 0.5
    if int(used.sum()) < _FEWEST_CHANNELS or int(informed.sum()) < _FEWEST_BINS:
        return [], residual
    root = weight[used].sum(-1).div((weight[used] > 0).sum(-1)).sqrt()
    whitened = residual[used][:, informed] * weight[used][:, informed].sqrt()
    time = _cosines(weight.shape[-1], _TIMES, residual)[informed]
    waves = _cosines(len(root), min(_WAVES, len(root) // 3), residual)
    slow = _beyond(taken[informed], time)  # (t, R)
    answered = torch.stack([one[used] for one in known], -1)
    smooth = _beyond(root[:, None] * answered, root[:, None] * torch.cat([torch.ones_like(waves[:, :1]), waves], -1))
    whole = torch.linalg.qr(root[:, None] * torch.cat([answered, waves], -1)).Q
    seen = whitened @ slow
    found = list[tuple[Tensor, Tensor]]()
    left = residual.clone()
    for _ in range(_MOST):
        shapes, values, series = torch.linalg.svd(smooth.T @ seen)
        if float(values[0]) < _largest(smooth.shape[-1], slow.shape[-1]):
            break
        along = series[0]
        answer = whole @ (whole.T @ (seen @ along))
        seen = seen - answer[:, None] * along
        response, alone = torch.zeros_like(weight[:, 0]), torch.zeros_like(weight[:, 0])
        response[used], alone[used] = answer / root, smooth @ shapes[:, 0] / root
        curve = torch.zeros_like(weight[0])
        curve[informed] = slow @ along
        left = left - response[:, None] * curve
        found.append((response / response.abs().max(), alone))
    return found, left


def _cosines(count: int, number: int, like: Tensor) -> Tensor:
    """The first ones (count, number) over a range, but for the constant."""
    x = (torch.arange(count).to(like) + 0.5) / count
    return torch.cos(math.pi * x[:, None] * torch.arange(1, 1 + number).to(like))


def _beyond(known: Tensor, columns: Tensor) -> Tensor:
    """An orthonormal basis of what ``columns`` (N, K) add to ``known`` (N, X)."""
    return torch.linalg.qr(torch.cat([known, columns], -1)).Q[:, known.shape[-1] :]


@lru_cache(maxsize=8)
def _largest(rows: int, columns: int) -> float:
    """What the largest singular value of random numbers hardly exceeds."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(_DRAWS, rows, columns, generator=generator, dtype=torch.float64)
    return float(torch.linalg.svdvals(draws)[:, 0].quantile(1.0 - _FALSE_ALARMS))
