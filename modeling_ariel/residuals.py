"""What the residuals of a fit say against it: a bump in transit, structure over time and wavelength.

Each check is one number whose size on good visits is known (docs/uncertainty.md), so that a threshold on it has a known
rate of false alarms.
"""

import math

import torch
from torch import Tensor

from .visit_data import VisitData, point_scatter

_SHORT_BUMP = 0.05
_BUMP_LENGTHS = (0.1, 0.2)  # sigma of a Gaussian, in half durations of the transit
_BLOCKS = 12  # of time, and of wavelength
_FEWEST_OUTSIDE = 20  # bins from which the size of bumps out of transit can be told


def bump(
    data: VisitData, shape: Tensor, half: float, left: Tensor, weight: Tensor, short: bool = False
) -> tuple[float, float, float]:
    """The largest bump within transit: how many sigma, its height [relative flux] and its time [h].

    A sigma is what the scatter between neighbours makes of such a bump, or, where that is more, the size of bumps out
    of transit: noise with memory has bumps everywhere.

    Args:
        shape: (3,) t0 [h from the first bin], b^2, ln speed; ``half`` its duration [h].
        left: (1, C, T) data minus model, with correlated noise; ``weight`` as the fit used it, which hits have lost.
        short: look for short bumps too, as a spot's under a sharp eye.
    """
    found = (0.0, 0.0, math.nan)
    for curve, time in _white_curves(data, left, weight):
        inside = (time - shape[0]).abs() < half
        scatter = float(point_scatter(curve))
        if not bool(inside.any()) or not scatter > 0:
            continue
        for length in (_SHORT_BUMP, *_BUMP_LENGTHS) if short else _BUMP_LENGTHS:
            template = torch.exp(-0.5 * ((time[:, None] - time) / (length * half)) ** 2)
            norm = template.square().sum(-1)
            height = template @ curve / norm
            size = height * norm.sqrt() / scatter
            outside = (time - shape[0]).abs() > (1.0 + 2.0 * length) * half
            usual = float(size[outside].square().mean().sqrt()) if int(outside.sum()) >= _FEWEST_OUTSIDE else 1.0
            size = (size / max(usual, 1.0)).abs() * inside
            best = int(size.argmax())
            found = max(found, (float(size[best]), float(height[best]), float(time[best])))
    return found


def _white_curves(data: VisitData, left: Tensor, weight: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The white residual and the photometer's, each (t,) with its times (t,), where there are data."""
    kept = weight[0] / data.weight[0].clamp_min(1e-300)
    seen = (data.weight[0] > 0) & (kept > 0.5 * kept.median(-1, keepdim=True).values)
    groups = [data.channel[0]]
    if data.photometer:
        first = torch.zeros_like(groups[0])
        first[0] = 1.0
        groups.append(first)
    curves = []
    for share in groups:
        counted = share[:, None] * seen
        total = counted.sum(0)
        some = total > 0.5 * share.sum()
        if int(some.sum()) > _FEWEST_OUTSIDE:
            curves.append(((counted * left[0]).sum(0)[some] / total[some], data.time[0, some]))
    return curves


def structure(data: VisitData, residual: Tensor, weight: Tensor) -> float:
    """Chi2 a block of the residuals (1, C, T) averaged over blocks of time and wavelength; 1 where they are white.

    0 where there are too few channels or bins for blocks.
    """
    first = int(data.photometer)
    residual, weight = residual[0, first:], weight[0, first:]
    if len(residual) < 2 * _BLOCKS or residual.shape[-1] < 2 * _BLOCKS:
        return 0.0
    total = _blocks(weight)
    mean = _blocks(weight * residual) / total.clamp_min(1e-300)
    return float((total * mean**2)[total > 0].mean())


def _blocks(values: Tensor) -> Tensor:
    """Sums of (C, T) over blocks."""
    for axis in (0, 1):
        sizes = [len(part) for part in torch.arange(values.shape[axis]).tensor_split(_BLOCKS)]
        values = torch.stack([part.sum(axis) for part in values.split(sizes, axis)], axis)
    return values
