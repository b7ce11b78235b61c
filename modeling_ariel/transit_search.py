"""Where a light curve dips: a matched filter over mid-times and durations, with a smooth baseline projected out.

Box least squares of Kovacs, Zucker & Mazeh (2002, A&A 391, 369) with a limb-darkened box.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .limb_darkening import legendre
from .visit_data import averaged, point_scatter, running_median

_SHORTEST = 0.06  # of the window; in long windows a transit of an hour
_SHORTEST_EVER = 1e-3
_MOST_DIPS = 6
_MOST_BINS = 1500  # more are averaged


@dataclass(frozen=True)
class Dip:
    """Mid-time and duration [h], ``depth`` relative to the star, and signal-to-noise against neighbours' scatter."""

    mid: float
    duration: float
    depth: float
    snr: float


def scaled_time(time: Tensor) -> Tensor:
    """Time (B, T) mapped to -1 ... 1 over each visit."""
    low, high = time.min(-1, keepdim=True).values, time.max(-1, keepdim=True).values
    return 2.0 * (time - low) / (high - low) - 1.0


def find_dips(
    time: Tensor,
    y: Tensor,
    duration: float = math.nan,
    period: float = math.inf,
    order: int = 3,
    share: float = 1.0,
    basis: Tensor | None = None,
) -> list[Dip]:
    """The best dip of relative flux ``y`` (T,), and others, elsewhere or of other lengths, as good as ``share`` of it.

    Args:
        time: (T,) [h], increasing. The mid-time may lie up to a fifth of the window outside it.
        duration: where it is known [h], within a third.
        period: of the orbit [h]: all transits in the window count together.
        order: of the polynomial baseline; with a ``basis`` (P, T) its columns are the baseline, of any order.
    """
    if basis is None:
        time, y = averaged(_MOST_BINS, time, y)
        baseline, _ = torch.linalg.qr(legendre(scaled_time(time[None])[0], order).T)
    else:
        time, y, columns = averaged(_MOST_BINS, time, y, basis.T)
        baseline = orthonormal(torch.cat([torch.ones_like(y)[:, None], columns], -1))
    noise = point_scatter(y).clamp_min(1e-12)
    smooth = running_median(y)
    y = torch.where((y - smooth).abs() > 5.0 * noise, smooth, y)
    span = float(time[-1] - time[0])
    mids, lengths, norms, scores = [], [], [], []
    for hours in _lengths(span):
        mid = _mid_times(time, span, hours)
        templates = _templates(time, mid, hours, period if period < 1.4 * span else math.inf)
        templates = templates - (templates @ baseline) @ baseline.T
        norms.append(templates.norm(dim=-1))
        scores.append(-(templates @ y) / norms[-1].clamp_min(1e-12))
        mids.append(mid)
        lengths.append(torch.full_like(mid, hours))
    mid, length, norm, score = (torch.cat(parts) for parts in (mids, lengths, norms, scores))
    good = norm > 0.05 * norm.max()  # a template that the baseline can mimic decides nothing
    if math.isfinite(duration):
        good = good & ((length / duration).log().abs() < 0.3)
    score = torch.where(good, score, torch.full_like(score, -math.inf))
    found: list[Dip] = []
    best = float(score.max())
    while len(found) < _MOST_DIPS:
        at = int(score.argmax())
        value = float(score[at])
        if not math.isfinite(value) or (found and value < share * best):
            break
        dip = Dip(float(mid[at]), float(length[at]), value / float(norm[at]), value / float(noise))
        found.append(dip)
        near = ((mid - dip.mid).abs() < 0.3 * dip.duration) & ((length / dip.duration).log().abs() < 0.5)
        score = torch.where(near, torch.full_like(score, -math.inf), score)
    return found


def orthonormal(columns: Tensor) -> Tensor:
    """An orthonormal basis (T, R) of what columns (T, P) span, whatever repeats among them."""
    scaled = columns / columns.norm(dim=0).clamp_min(1e-300)
    vectors, sizes, _ = torch.linalg.svd(scaled, full_matrices=False)
    return vectors[:, sizes > 1e-8 * sizes[0]]


def _lengths(span: float) -> list[float]:
    """Durations [h] to try, in equal steps of their logarithm."""
    shortest, longest = max(min(_SHORTEST * span, 1.0), _SHORTEST_EVER * span), 0.95 * span
    steps = round(13 * math.log(longest / shortest) / math.log(0.95 / _SHORTEST))
    return [shortest * (longest / shortest) ** (step / steps) for step in range(steps + 1)]


def _mid_times(time: Tensor, span: float, length: float) -> Tensor:
    """Mid-times [h] to try for one duration, from a fifth of the window before it to a fifth after it."""
    places = max(71, math.ceil(4.2 * span / length))
    return float(time[0]) + torch.linspace(-0.2, 1.2, places).to(time) * span


def _templates(time: Tensor, mid: Tensor, length: float, period: float) -> Tensor:
    """Unit-depth transits (n, T), positive where light is lost: a rounded bottom, an ingress of a tenth."""
    apart = (time - mid[:, None]).abs()
    if math.isfinite(period):
        apart = torch.minimum(apart % period, period - apart % period)
    phase = 2.0 * apart / length
    edge = ((1.0 - phase) / 0.1).clamp(0.0, 1.0)
    return edge * (0.9 + 0.1 * torch.sqrt((1.0 - phase**2).clamp_min(0.0)))
