"""The transit in light curves that a network has rebuilt: light lost under a smooth baseline, folded about its middle.

Where the dip lies is read from the measured curves (:mod:`light_curve_depths`), so slopes go to the network through
what it rebuilds alone.
"""

import torch
from torch import Tensor

from .denoising_network import bin_of_channel, bin_times
from .light_curve_depths import dip_shape, find_dip
from .visit_batch import DEPTH, VisitBatch

PHASES = 48
_REACH = 0.75  # durations of the dip to either side of its middle, where the window has them
_RIDGE = 1e-6


def rebuilt_transit(visits: VisitBatch, clean: Tensor, bins: int, channels: int) -> Tensor | None:
    """Relative light lost (R, PHASES, C) at even times about mid-transit, the mean of a planet's visits.

    Args:
        visits: what was measured; None is answered where its noise is not known.
        clean: (B, N, D) rebuilt of ``visits.light``, in its unit, averaged over ``bins`` bins and ``channels``
            channels; of a fit's residuals the fit's own curve is added.
    """
    if visits.noise is None:
        return None
    noise = visits.noise[:, None].to(clean)
    course = clean[..., bin_of_channel(visits.valid.shape[-1], channels).to(clean.device)]
    seen = visits.valid.to(clean)
    if visits.residual is None:
        course = course * DEPTH
    else:
        course = (course + bin_times((visits.light_curve - visits.residual).to(clean), seen, bins)[0]) * noise
    measured = torch.where(visits.valid, visits.light_curve * visits.noise[:, None], torch.zeros_like(noise))
    at, place = find_dip(measured, visits.valid, visits.time, visits.noise)
    used = visits.valid.any(-1, keepdim=True).to(at)
    at, weight = (one[..., 0] for one in bin_times(at[..., None], used, bins))
    lost = _lost(course.double(), at, weight, dip_shape(at, place))
    known = _nearest_used(weight > 0)
    lost = lost.gather(1, known[..., None].expand_as(lost))
    folded = _folded(lost, at.gather(1, known), place).to(clean)
    return visits.by_row(folded.flatten(1)).unflatten(-1, (PHASES, -1))


def _lost(course: Tensor, at: Tensor, weight: Tensor, shape: Tensor) -> Tensor:
    """A quadratic less ``course`` (B, N, C), both (B, N, C); the quadratic is fitted beside a dip (B, N)."""
    smooth = torch.stack([torch.ones_like(at), at, at.square()], -1)
    columns = torch.cat([smooth, -shape[..., None]], -1)
    weighted = (columns * weight[..., None]).mT
    ridge = _RIDGE * torch.eye(4, dtype=at.dtype, device=at.device)
    fitted = torch.linalg.solve(weighted @ columns + ridge, weighted @ course)
    return smooth @ fitted[:, :3] - course


def _nearest_used(used: Tensor) -> Tensor:
    """The place (B, N) of the last bin ``used`` (B, N) up to each, or of the first where none is before."""
    first = used.int().argmax(1, keepdim=True)
    return torch.where(used, torch.arange(used.shape[1], device=used.device), first).cummax(1).values


def _folded(lost: Tensor, at: Tensor, place: Tensor) -> Tensor:
    """``lost`` (B, N, C) by straight lines at PHASES even times (B, PHASES, C) about the middle of the dip.

    They reach to either side as far as the window does on both.
    """
    middle, length = place[:, :1], place[:, 1:2]
    reach = torch.minimum(_REACH * length, 1.0 - middle.abs())
    times = middle + reach * torch.linspace(-1.0, 1.0, PHASES, dtype=at.dtype, device=at.device)
    after = torch.searchsorted(at.contiguous(), times).clamp(1, at.shape[1] - 1)
    first = (after - 1).clamp_min(0)  # of a visit that is one bin
    left, right = at.gather(1, first), at.gather(1, after)
    share = ((times - left) / (right - left).clamp_min(1e-12)).clamp(0.0, 1.0)[..., None]
    before, later = (lost.gather(1, index[..., None].expand(-1, -1, lost.shape[-1])) for index in (first, after))
    return before + share * (later - before)
