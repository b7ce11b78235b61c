"""Where the transit is and what shape it has, from the white light curve: search, then a Levenberg-Marquardt fit.

The search is a matched filter: transit templates over a grid of mid-times and durations, each with a cubic baseline
projected out (box least squares of Kovacs, Zucker & Mazeh 2002, A&A 391, 369, with a limb-darkened box). The fit frees
mid-time, impact parameter, speed, depth, two limb-darkening offsets and the baseline, under the priors that the star
table gives (or wide ones), for all planets at once and from several impact parameters.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .columns import ORBIT_COLUMNS
from .limb_darkening import legendre
from .transit import binned_moments, intensity_coefficients, intensity_gradients

HOURS_PER_DAY = 24.0
# Where no star table is given: the 1,100 planets of the 2025 table have speeds of 0.37-0.81 R*/h (5-95 %), median 0.55,
# b of 0-0.66 spread evenly near 0 (so the joint fit's prior is flat in b, not in b^2), and periods near 4 d (which only
# bends the orbit slightly).
_POPULATION_LOG_SPEED, _POPULATION_LOG_SPEED_SIGMA = math.log(0.55), 0.35
_POPULATION_B2, POPULATION_B2_SIGMA = 0.0, 0.35
_POPULATION_PERIOD = 4.0
_STARTS_B2 = (0.02, 0.2, 0.5)


@dataclass
class ShapePrior:
    """Gaussian prior on (t0 [h], b^2, ln speed): ``mean`` and ``sigma`` (B, 3); orbital ``rate`` (B,) [rad / h].

    ``known`` (B,): whether it comes from a star table.
    """

    mean: Tensor
    sigma: Tensor
    rate: Tensor
    known: Tensor


def shape_prior(star: dict[str, Tensor], like: Tensor, table_sigma: tuple[float, float]) -> ShapePrior:
    """Prior from P [d], sma [stellar radii] and i [deg] of the star table, each (B,), NaN where there is none.

    ``table_sigma`` is how far the table is trusted: in b, and in ln speed. The mid-time is left free.
    """
    period, sma, inclination = (star[name].to(like) for name in ORBIT_COLUMNS)
    known = torch.isfinite(period) & torch.isfinite(sma) & torch.isfinite(inclination)
    rate = 2.0 * math.pi / (HOURS_PER_DAY * torch.where(known, period, torch.full_like(period, _POPULATION_PERIOD)))
    b = torch.where(known, sma * torch.cos(torch.deg2rad(inclination)), torch.zeros_like(sma)).abs()
    log_speed = torch.where(known, torch.log(rate * sma), torch.full_like(sma, _POPULATION_LOG_SPEED))
    b2 = torch.where(known, b**2, torch.full_like(b, _POPULATION_B2))
    b2_sigma = torch.where(
        known, 2.0 * b * table_sigma[0] + table_sigma[0] ** 2, torch.full_like(b, POPULATION_B2_SIGMA)
    )
    speed_sigma = torch.where(
        known, torch.full_like(b, table_sigma[1]), torch.full_like(b, _POPULATION_LOG_SPEED_SIGMA)
    )
    mean = torch.stack([torch.zeros_like(b2), b2, log_speed], -1)
    return ShapePrior(mean, torch.stack([torch.full_like(b2, 1e3), b2_sigma, speed_sigma], -1), rate, known)


def scaled_time(time: Tensor) -> Tensor:
    """Time (B, T) mapped to -1 ... 1 over each visit."""
    low, high = time.min(-1, keepdim=True).values, time.max(-1, keepdim=True).values
    return 2.0 * (time - low) / (high - low) - 1.0


def running_median(y: Tensor, width: int = 7) -> Tensor:
    """Median over ``width`` neighbours in the last axis, edges repeated."""
    half = width // 2
    padded = torch.cat([y[..., :1].expand(*y.shape[:-1], half), y, y[..., -1:].expand(*y.shape[:-1], half)], -1)
    return padded.unfold(-1, width, 1).median(-1).values


def point_scatter(y: Tensor) -> Tensor:
    """Robust white scatter (B,) of (B, T) from second differences: blind to slow trends and to a few outliers."""
    second = y[..., 2:] - 2.0 * y[..., 1:-1] + y[..., :-2]
    return 1.4826 * second.abs().median(-1).values / math.sqrt(6.0)


def search_transit(time: Tensor, y: Tensor, known_duration: Tensor, order: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Best mid-time (B,) [h], duration (B,) [h] and signal-to-noise (B,) of a transit in relative flux ``y`` (B, T).

    The mid-time may lie up to a fifth of the window outside it; the duration is within a third of ``known_duration``
    (B,) [h] where that is not NaN. Signal-to-noise is the matched filter's, against the scatter between neighbours.
    """
    smooth = running_median(y)
    noise = point_scatter(y).clamp_min(1e-9)
    clipped = torch.where((y - smooth).abs() > 5.0 * noise[:, None], smooth, y)
    t0, duration, snr = torch.empty_like(noise), torch.empty_like(noise), torch.empty_like(noise)
    grids, member = torch.unique(time - time[:, :1], dim=0, return_inverse=True)
    for index, grid in enumerate(grids):
        rows = torch.nonzero(member == index).squeeze(-1)
        mid, length, templates = _templates(grid)
        baseline, _ = torch.linalg.qr(legendre(scaled_time(grid[None])[0], order).T)
        templates = templates - (templates @ baseline) @ baseline.T
        norm = templates.norm(dim=-1)
        good = norm > 0.05 * norm.max()  # a template that the baseline can mimic decides nothing
        score = -(clipped[rows] @ templates.T) / norm.clamp_min(1e-12)
        apart = (length / known_duration[rows, None]).log().abs()
        good = good & ((apart < 0.3) | torch.isnan(apart))
        best = torch.where(good, score, score.new_tensor(-math.inf)).max(-1)
        t0[rows] = mid[best.indices] + time[rows, 0]
        duration[rows], snr[rows] = length[best.indices], best.values / noise[rows]
    return t0, duration, snr


def _templates(time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mid-times and durations (n,) [h] with unit-depth transits (n, T), positive where light is lost."""
    span = float(time[-1] - time[0])
    mid = torch.linspace(-0.2, 1.2, 71, dtype=time.dtype, device=time.device) * span
    length = span * torch.logspace(math.log10(0.06), math.log10(0.95), 14, dtype=time.dtype, device=time.device)
    mid, length = (x.reshape(-1) for x in torch.meshgrid(mid, length, indexing="ij"))
    # a box with the rounded bottom of AIRS limb darkening and ingress of a tenth of the duration
    phase = 2.0 * (time - mid[:, None]).abs() / length[:, None]
    edge = ((1.0 - phase) / 0.1).clamp(0.0, 1.0)
    return mid, length, edge * (0.9 + 0.1 * torch.sqrt((1.0 - phase**2).clamp_min(0.0)))


@dataclass
class WhiteFit:
    """Solution of N broad bands (FGS1 and white AIRS, or one) for B visits; they share the shape only.

    ``shape`` (B, 3) t0 [h], b^2, ln speed; ``depth``, ``depth_err`` (B, N); ``limb`` (B, N, 2) offsets of u1, u2 from
    the prior; ``baseline`` (B, N, P) polynomial coefficients 1..P; ``snr`` (B,) of the search; ``chi2`` (B,)
    with ``points`` (B,) that went into it, and ``pull`` (B,) the part of it that is the shape's prior.
    """

    shape: Tensor
    depth: Tensor
    depth_err: Tensor
    limb: Tensor
    baseline: Tensor
    snr: Tensor
    chi2: Tensor
    points: Tensor
    pull: Tensor


def robust_weights(standardised: Tensor, threshold: float = 3.5) -> Tensor:
    """Weights that leave Gaussian noise alone and let hits go: 1 up to ``threshold`` sigma, then (threshold / r)^2."""
    return (threshold / standardised.abs().clamp_min(threshold)) ** 2


def fit_white(
    time: Tensor,
    y: Tensor,
    sigma: Tensor,
    good: Tensor,
    u: Tensor,
    prior: ShapePrior,
    drift_sigma: tuple[float, ...],
    n_iterations: int = 20,
) -> WhiteFit:
    """Levenberg-Marquardt fit of one transit, with a depth, limb darkening and polynomial baseline in each band.

    Args:
        time: (B, T) [h]; ``y``, ``sigma`` (B, N, T) relative flux near 1 and its known error; ``good`` (B, N, T) bool.
        u: (B, N, 2) prior mean of the bands' limb-darkening coefficients.
        prior: on the shape; ``drift_sigma`` on the baseline's Legendre coefficients 1, 2, ..., relative.
    """
    filled = torch.where(good, y, running_median(y))
    # the scatter between neighbours is the noise where jitter or hits exceed the photons
    noise = torch.maximum(point_scatter(filled), (sigma * good).sum(-1) / good.sum(-1).clamp_min(1)).clamp_min(1e-9)
    noise = torch.where(good.any(-1), noise, torch.ones_like(noise))  # a band without data has no say in the search
    share = noise**-2 / (noise**-2).sum(-1, keepdim=True)
    white = (share[..., None] * filled).sum(1)
    known = prior.sigma[:, 1] < 0.2
    chord = 2.0 * torch.sqrt((1.1 - prior.mean[:, 1]).clamp_min(0.2))
    known_duration = torch.where(known, chord / prior.mean[:, 2].exp(), torch.full_like(chord, math.nan))
    t0, duration, snr = search_transit(time, white, known_duration)
    # a long transit can hide in a cubic baseline: look a second time under a stiffer one
    t0_stiff, duration_stiff, _ = search_transit(time, white, known_duration, order=1)
    starts = []
    for mid, length, start_b2 in [(t0, duration, b2) for b2 in _STARTS_B2] + [
        (t0_stiff, duration_stiff, _STARTS_B2[1])
    ]:
        if bool(known.all()) and start_b2 != _STARTS_B2[1]:
            continue
        b2 = torch.where(known, prior.mean[:, 1], torch.full_like(t0, start_b2))
        log_speed = torch.log(2.0 * torch.sqrt((1.1 - b2).clamp_min(0.2)) / length)
        log_speed = torch.where(known, prior.mean[:, 2], log_speed)
        shape = torch.stack([mid, b2, log_speed], -1)
        starts.append(_levenberg(time, y, noise, good, u, prior, shape, drift_sigma, n_iterations, snr))
    best = torch.stack([fit.chi2 for fit in starts]).argmin(0)
    pick = torch.arange(len(best), device=best.device)
    return WhiteFit(*(torch.stack([getattr(f, name) for f in starts])[best, pick] for name in WhiteFit.__annotations__))


def white_model(
    time: Tensor, width: Tensor, parameters: Tensor, u: Tensor, rate: Tensor, order: int
) -> tuple[Tensor, Tensor]:
    """Curves (B, N, T) and Jacobian (B, N, T, 3 + N (4 + order)).

    ``parameters``: t0, b^2, ln v; then for each band depth, du1, du2, ln F and the baseline's coefficients.
    """
    bands = u.shape[1]
    own = parameters[:, 3:].unflatten(-1, (bands, 4 + order))
    k = torch.sqrt(own[..., 0].clamp(1e-6, 0.5))
    moments, by_shape, by_k = binned_moments(time, width, parameters[:, :3], rate, k)
    u1, u2 = (u + own[..., 1:3]).unbind(-1)
    coefficients = intensity_coefficients(u1, u2)  # (B, N, 3)
    by_u = torch.stack(intensity_gradients(u1, u2), -1)
    polynomials = legendre(scaled_time(time), order)[1:].permute(1, 2, 0)[:, None]  # (B, 1, T, P)
    level = own[..., 3:4].exp()
    trend = level * (1.0 + (polynomials * own[:, :, None, 4:]).sum(-1))
    transit = 1.0 - (moments * coefficients[:, :, None]).sum(-1)
    by_own = torch.cat(
        [
            -((by_k * coefficients[:, :, None]).sum(-1) * trend / (2.0 * k[..., None]))[..., None],
            -torch.einsum("bntm,bnmu->bntu", moments, by_u) * trend[..., None],
            (transit * trend)[..., None],
            polynomials * (transit * level)[..., None],
        ],
        -1,
    )
    spread = torch.einsum("bnto,nm->bntmo", by_own, torch.eye(bands, dtype=time.dtype, device=time.device)).flatten(-2)
    shape_part = -torch.einsum("bntms,bnm->bnts", by_shape, coefficients) * trend[..., None]
    return transit * trend, torch.cat([shape_part, spread], -1)


def _levenberg(
    time: Tensor,
    y: Tensor,
    noise: Tensor,
    good: Tensor,
    u: Tensor,
    prior: ShapePrior,
    shape: Tensor,
    drift_sigma: tuple[float, ...],
    n_iterations: int,
    snr: Tensor,
) -> WhiteFit:
    """One Levenberg-Marquardt descent from ``shape``; damping is per visit, hits are reweighted as it goes."""
    batch, bands, order = len(time), y.shape[1], len(drift_sigma)
    width = time.diff(dim=-1).median(-1).values
    own = y.new_zeros(batch, bands, 4 + order)
    own[..., 0] = (1.0 - torch.quantile(y, 0.1, dim=-1) / y.median(-1).values).clamp(1e-4, 0.05)
    own[..., 3] = torch.quantile(y, 0.9, dim=-1).clamp_min(1e-6).log()
    parameters = torch.cat([shape, own.flatten(1)], -1)
    mean = torch.cat([prior.mean, torch.zeros_like(own).flatten(1)], -1)
    wide = y.new_tensor([1.0, 0.12, 0.16, 10.0, *drift_sigma]).repeat(bands).expand(batch, -1)
    precision = torch.cat([prior.sigma, wide], -1) ** -2
    damping = y.new_full((batch, 1), 1e-2)
    base = good / noise[..., None] ** 2

    def state(at: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        model, jacobian = white_model(time, width, at, u, prior.rate, order)
        weight = base * robust_weights((y - model) / noise[..., None])
        # the cost of the reweighted problem itself: descent under moving weights could cycle
        penalty = (precision * (at - mean) ** 2).sum(-1)
        return y - model, jacobian, weight, _robust_cost((y - model) / noise[..., None], good) + penalty

    residual, jacobian, weight, cost = state(parameters)
    for _ in range(n_iterations):
        weighted = jacobian * weight[..., None]
        gram = torch.einsum("bnti,bntj->bij", weighted, jacobian) + torch.diag_embed(precision)
        gradient = torch.einsum("bnti,bnt->bi", weighted, residual) + precision * (mean - parameters)
        damped = gram + torch.diag_embed(damping * gram.diagonal(dim1=-2, dim2=-1))
        trial = parameters + torch.linalg.solve(damped, gradient)
        trial = torch.cat(
            [trial[:, :1], trial[:, 1:2].clamp(0.0, 1.2), trial[:, 2:3].clamp(-4.0, 3.0), trial[:, 3:]], -1
        )
        new = state(trial)
        better = (new[3] < cost) & torch.isfinite(new[3])
        parameters = torch.where(better[:, None], trial, parameters)
        residual = torch.where(better[:, None, None], new[0], residual)
        jacobian = torch.where(better[:, None, None, None], new[1], jacobian)
        weight = torch.where(better[:, None, None], new[2], weight)
        cost = torch.where(better, new[3], cost)
        damping = torch.where(better[:, None], damping * 0.2, damping * 8.0).clamp(1e-9, 1e6)
    gram = torch.einsum("bnti,bntj->bij", jacobian * weight[..., None], jacobian) + torch.diag_embed(precision)
    own = parameters[:, 3:].unflatten(-1, (bands, 4 + order))
    error = torch.linalg.inv(gram).diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()[:, 3:]
    error = error.unflatten(-1, (bands, 4 + order))[..., 0]
    pull = (((parameters - mean)[:, :3] / prior.sigma) ** 2).sum(-1)
    points = good.sum((-2, -1))
    return WhiteFit(parameters[:, :3], own[..., 0], error, own[..., 1:3], own[..., 4:], snr, cost, points, pull)


def _robust_cost(standardised: Tensor, good: Tensor, threshold: float = 3.5) -> Tensor:
    """Sum (B,) of the loss of :func:`robust_weights`: r^2, beyond it threshold^2 (1 + 2 ln(r / threshold))."""
    size = standardised.abs()
    far = threshold**2 * (1.0 + 2.0 * torch.log(size.clamp_min(threshold) / threshold))
    return (good * torch.where(size <= threshold, size**2, far)).sum((-2, -1))
