"""What shape a transit has, from the white light curve: Levenberg-Marquardt fits from several starts.

A fit frees mid-time, impact parameter, speed, depth, two limb-darkening offsets and the baseline, under the priors that
the star table gives (or wide ones). It starts from the dips that a search finds, at several impact parameters. Where
contacts fall into gaps, starts end in different solutions; each is kept, with its share of the evidence.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .columns import ORBIT_COLUMNS
from .limb_darkening import legendre
from .transit import binned_moments, intensity_coefficients, intensity_gradients
from .transit_search import Dip, find_dips, scaled_time
from .visit_data import MODEL_ERROR, RetrievalError, band_scatter
from .visit_design import VisitDesign

HOURS_PER_DAY = 24.0
# Where no star table is given: the 1,100 planets of the 2025 table have speeds of 0.37-0.81 R*/h (5-95 %), median 0.55,
# b of 0-0.66 spread evenly near 0 (so the joint fit's prior is flat in b, not in b^2), and periods near 4 d (which only
# bends the orbit slightly).
_POPULATION_LOG_SPEED, _POPULATION_LOG_SPEED_SIGMA = math.log(0.55), 0.35
_POPULATION_B2, POPULATION_B2_SIGMA = 0.0, 0.35
_POPULATION_PERIOD = 4.0
_STARTS_B2 = (0.02, 0.2, 0.5, 0.9)
_AS_GOOD = 0.9  # of the best dip's score: others that are worth a start
_DEEPEST, LARGEST_B2 = 1.0, 2.5  # a planet as large as its star, and one that only grazes it
_MOST_STEPS = 40
BAND_LIMB_SIGMA = (0.12, 0.16)  # of u1 and u2
_WORSE, _BARRIER, _MOST_SOLUTIONS = 25.0, 1.0, 4  # in chi2: solutions worth weighing, and what separates two


@dataclass
class ShapePrior:
    """Gaussian prior on (t0 [h], b^2, ln speed): ``mean`` and ``sigma`` (B, 3); orbital ``rate`` (B,) [rad / h].

    ``known`` (B,): whether it comes from a star table. ``repeats`` (B,): whether the period is known, so that all
    transits in the window are modelled; else there is one. ``eccentric`` (B, 2): eccentricity and argument of
    periastron [rad], None where orbits are circular.
    """

    mean: Tensor
    sigma: Tensor
    rate: Tensor
    known: Tensor
    repeats: Tensor
    eccentric: Tensor | None = None

    def rows(self, index: Tensor) -> "ShapePrior":
        """The prior of these visits, given by their numbers."""
        parts = {name: getattr(self, name) for name in self.__annotations__}
        return replace(self, **{name: part[index] for name, part in parts.items() if part is not None})


def shape_prior(
    star: dict[str, Tensor], like: Tensor, table_sigma: tuple[float, float], eccentric: Tensor | None = None
) -> ShapePrior:
    """Prior from P [d], sma [stellar radii] and i [deg] of the star table, each (B,), NaN where there is none.

    ``table_sigma`` is how far the table is trusted: in b, and in ln speed. The mid-time is left free. ``eccentric`` as
    in :class:`ShapePrior`: at conjunction the planet is nearer and faster by these factors, or farther and slower.
    """
    period, sma, inclination = (star[name].to(like) for name in ORBIT_COLUMNS)
    repeats = torch.isfinite(period)
    known = repeats & torch.isfinite(sma) & torch.isfinite(inclination)
    rate = 2.0 * math.pi / (HOURS_PER_DAY * torch.where(repeats, period, torch.full_like(period, _POPULATION_PERIOD)))
    b = torch.where(known, sma * torch.cos(torch.deg2rad(inclination)), torch.zeros_like(sma)).abs()
    log_speed = torch.where(known, torch.log(rate * sma), torch.full_like(sma, _POPULATION_LOG_SPEED))
    if eccentric is not None:
        e, towards = eccentric[:, 0], 1.0 + eccentric[:, 0] * torch.sin(eccentric[:, 1])
        b = b * (1.0 - e**2) / towards
        log_speed = torch.where(known, log_speed + torch.log(towards) - 0.5 * torch.log1p(-(e**2)), log_speed)
    b2 = torch.where(known, b**2, torch.full_like(b, _POPULATION_B2))
    b2_sigma = torch.where(
        known, 2.0 * b * table_sigma[0] + table_sigma[0] ** 2, torch.full_like(b, POPULATION_B2_SIGMA)
    )
    speed_sigma = torch.where(
        known, torch.full_like(b, table_sigma[1]), torch.full_like(b, _POPULATION_LOG_SPEED_SIGMA)
    )
    mean = torch.stack([torch.zeros_like(b2), b2, log_speed], -1)
    sigma = torch.stack([torch.full_like(b2, 1e3), b2_sigma, speed_sigma], -1)
    return ShapePrior(mean, sigma, rate, known, repeats, eccentric)


@dataclass
class WhiteFit:
    """Solution of N broad bands (FGS1 and white AIRS, or one) for B visits; they share the shape only.

    ``shape`` (B, 3) t0 [h], b^2, ln speed; ``depth``, ``depth_err`` (B, N); ``limb`` (B, N, 2) offsets of u1, u2 from
    the prior; ``level`` (B, N) ln F; ``baseline`` (B, N, P) coefficients of its columns; ``snr`` (B,) of the search;
    ``chi2`` (B,) with ``points`` (B,) that went into it, and ``pull`` (B,) the part of it that is the shape's prior;
    ``evidence`` (B,) ln of the posterior's volume, by which solutions of one visit are weighed.
    """

    shape: Tensor
    depth: Tensor
    depth_err: Tensor
    limb: Tensor
    level: Tensor
    baseline: Tensor
    snr: Tensor
    chi2: Tensor
    points: Tensor
    pull: Tensor
    evidence: Tensor

    def rows(self, index: Tensor) -> "WhiteFit":
        """These rows, given by their numbers."""
        return WhiteFit(*(getattr(self, name)[index] for name in self.__annotations__))


def robust_weights(standardised: Tensor, threshold: float = 3.5) -> Tensor:
    """Weights that leave Gaussian noise alone and let hits go: 1 up to ``threshold`` sigma, then (threshold / r)^2."""
    return (threshold / standardised.abs().clamp_min(threshold)) ** 2


def white_solutions(
    time: Tensor,
    y: Tensor,
    sigma: Tensor,
    good: Tensor,
    u: Tensor,
    prior: ShapePrior,
    drift_sigma: tuple[float, ...],
    design: VisitDesign | None = None,
    limb_sigma: tuple[float, float] = BAND_LIMB_SIGMA,
) -> WhiteFit:
    """Fits of one visit: a transit with a depth, limb darkening and polynomial baseline in each of N bands.

    Args:
        time: (1, T) [h]; ``y``, ``sigma`` (1, N, T) relative flux near 1 and its known error; ``good`` (1, N, T) bool.
        u: (1, N, 2) prior mean of the bands' limb-darkening coefficients.
        prior: on the shape; ``drift_sigma`` on the baseline's Legendre coefficients 1, 2, ..., relative; ``limb_sigma``
            on u1 and u2. A ``design`` has other exposures and another baseline than polynomials.

    Returns:
        Solutions, a row each, the best first; others are separated from it by a worse fit, and may be as good. A band
        without data takes the depth of the other.
    """
    measured = band_scatter(y[0], good[0])
    stated = (sigma[0] * good[0]).sum(-1) / good[0].sum(-1).clamp_min(1)
    noise = torch.where(measured > 0, measured, stated).clamp_min(MODEL_ERROR)[None]
    used = good[0].any(-1)
    information = torch.where(used, noise[0] ** -2, torch.zeros_like(noise[0]))
    dips = _search(time[0], y[0], good[0], information, prior, None if design is None else design.basis)
    shapes = _starts(dips, prior, float(time[0, -1] + time[0, 0]) / 2.0)
    problem = _Problem.of(time, y, noise, good, u, prior, drift_sigma, design, limb_sigma)
    solutions = _separate(problem, _levenberg(problem, shapes, dips[0].snr))
    if not bool(used.all()):
        other = torch.where(used, torch.arange(len(used), device=used.device), int(torch.nonzero(used)[0]))
        solutions.depth, solutions.depth_err = solutions.depth[:, other], solutions.depth_err[:, other]
    return solutions


def _search(
    time: Tensor, y: Tensor, good: Tensor, information: Tensor, prior: ShapePrior, basis: Tensor | None
) -> list[Dip]:
    """Dips of the mean of all bands, where they have data, the best first; ``basis`` (P, T) of other baselines."""
    weight = good * information[:, None]
    some = weight.sum(0) > 0
    white = (weight * y).sum(0)[some] / weight.sum(0)[some]
    period = 2.0 * math.pi / float(prior.rate) if bool(prior.repeats) else math.inf
    duration = math.nan
    if bool(prior.known[0]):
        duration = 2.0 * math.sqrt(max(1.1 - float(prior.mean[0, 1]), 0.2)) / math.exp(float(prior.mean[0, 2]))
    beside = None if basis is None else basis[:, some]
    dips = find_dips(time[some], white, duration, period, share=_AS_GOOD, basis=beside)
    if not dips:  # the known duration is none that the window can show
        dips = find_dips(time[some], white, share=_AS_GOOD, basis=beside)
    # a long transit can hide in a cubic baseline: look a second time under a stiffer one
    dips += find_dips(time[some], white, duration, period, order=1)
    if not dips:
        raise RetrievalError("the bins with data are too few, or lie too close together, to show a transit")
    return dips


def _starts(dips: list[Dip], prior: ShapePrior, middle: float) -> Tensor:
    """Shapes (S, 3) to begin with: each dip at one impact parameter, the best at several.

    Of transits that repeat, the one nearest to the ``middle`` of the window gives the mid-time.
    """
    known = bool(prior.known[0])
    period = 2.0 * math.pi / float(prior.rate[0]) if bool(prior.repeats[0]) else math.inf
    shapes = []
    for place, dip in enumerate(dips):
        for b2 in _STARTS_B2 if place == 0 and not known else _STARTS_B2[1:2]:
            b2 = float(prior.mean[0, 1]) if known else b2
            chord = (1.0 + math.sqrt(min(max(dip.depth, 1e-4), 1.0))) ** 2 - b2
            speed = math.log(2.0 * math.sqrt(max(chord, 0.2)) / dip.duration)
            mid = dip.mid - period * round((dip.mid - middle) / period) if math.isfinite(period) else dip.mid
            shapes.append([mid, b2, float(prior.mean[0, 2]) if known else speed])
    expected, width = float(prior.mean[0, 0]), float(prior.sigma[0, 0])
    if width < abs(shapes[0][0] - expected):  # an ephemeris that the best dip is not at
        shapes += [[expected, *shape] for _, *shape in shapes[: len(_STARTS_B2)]]
    return prior.mean.new_tensor(shapes)


def baseline_polynomials(time: Tensor, order: int) -> Tensor:
    """Legendre polynomials 1..order over each visit (B, P, T), for times (B, T)."""
    return legendre(scaled_time(time), order)[1:].transpose(0, 1)


def white_model(
    time: Tensor, width: Tensor, parameters: Tensor, u: Tensor, prior: ShapePrior, baseline: Tensor
) -> tuple[Tensor, Tensor]:
    """Curves (B, N, T) and Jacobian (B, N, T, 3 + N (4 + P)), for the columns of a ``baseline`` (B, P, T).

    ``parameters``: t0, b^2, ln v; then for each band depth, du1, du2, ln F and the baseline's coefficients.
    """
    bands = u.shape[1]
    own = parameters[:, 3:].unflatten(-1, (bands, 4 + baseline.shape[1]))
    k = torch.sqrt(own[..., 0].clamp(1e-6, _DEEPEST))
    orbit = prior.rate, k, prior.repeats, prior.eccentric
    moments, by_shape, by_k = binned_moments(time, width, parameters[:, :3], *orbit)
    u1, u2 = (u + own[..., 1:3]).unbind(-1)
    coefficients = intensity_coefficients(u1, u2)  # (B, N, 3)
    by_u = torch.stack(intensity_gradients(u1, u2), -1)
    polynomials = baseline.mT[:, None]  # (B, 1, T, P)
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


@dataclass
class _Problem:
    """What a descent minimises: robust chi2 of a visit's bands with the priors' penalty, for S rows at once."""

    time: Tensor
    width: Tensor
    y: Tensor
    noise: Tensor
    good: Tensor
    u: Tensor
    prior: ShapePrior
    mean: Tensor
    precision: Tensor
    baseline: Tensor

    @classmethod
    def of(
        cls, time: Tensor, y: Tensor, noise: Tensor, good: Tensor, u: Tensor, prior: ShapePrior,
        drift_sigma: tuple[float, ...], design: VisitDesign | None, limb_sigma: tuple[float, float],
    ) -> "_Problem":  # fmt: skip
        """With the priors of all parameters laid out."""
        bands, width = y.shape[1], time.diff(dim=-1).median(-1).values
        baseline = baseline_polynomials(time, len(drift_sigma))
        if design is not None:
            width, baseline = design.exposure[None], design.basis[None]
        wide = y.new_tensor([10.0, *limb_sigma, 10.0, *drift_sigma]).repeat(bands).expand(len(y), -1)
        mean = torch.cat([prior.mean, torch.zeros_like(wide)], -1)
        precision = torch.cat([prior.sigma, wide], -1) ** -2
        return cls(time, width, y, noise, good, u, prior, mean, precision, baseline)

    def repeated(self, starts: int) -> "_Problem":
        """The same visit for many starts at once."""
        names = ("time", "width", "y", "noise", "good", "u", "mean", "precision", "baseline")
        copies = {name: getattr(self, name).expand(starts, *getattr(self, name).shape[1:]) for name in names}
        return replace(self, **copies, prior=self.prior.rows(torch.zeros(starts, dtype=torch.long)))

    def state(self, at: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Residual, Jacobian, weights and cost (S,) at parameters (S, X).

        The cost is that of the reweighted problem itself: descent under moving weights could cycle.
        """
        model, jacobian = white_model(self.time, self.width, at, self.u, self.prior, self.baseline)
        standardised = (self.y - model) / self.noise[..., None]
        weight = self.good / self.noise[..., None] ** 2 * robust_weights(standardised)
        penalty = (self.precision * (at - self.mean) ** 2).sum(-1)
        return self.y - model, jacobian, weight, _robust_cost(standardised, self.good) + penalty


def _levenberg(visit: _Problem, shape: Tensor, snr: float) -> tuple[WhiteFit, Tensor]:
    """Levenberg-Marquardt descents from ``shape`` (S, 3): fits, and all their parameters (S, X).

    Damping is per row; hits are reweighted on the way.
    """
    problem = visit.repeated(len(shape))
    y, good, order, bands = problem.y, problem.good, problem.baseline.shape[1], problem.y.shape[1]
    own = y.new_zeros(len(y), bands, 4 + order)
    own[..., 0] = (1.0 - _quantile(y, good, 0.1) / _quantile(y, good, 0.5)).clamp(1e-4, _DEEPEST)
    own[..., 3] = _quantile(y, good, 0.9).clamp_min(1e-6).log()
    parameters = torch.cat([shape, own.flatten(1)], -1)
    damping = y.new_full((len(y), 1), 1e-2)
    residual, jacobian, weight, cost = problem.state(parameters)
    for _ in range(_MOST_STEPS):
        weighted = jacobian * weight[..., None]
        gram = torch.einsum("bnti,bntj->bij", weighted, jacobian) + torch.diag_embed(problem.precision)
        gradient = torch.einsum("bnti,bnt->bi", weighted, residual) + problem.precision * (problem.mean - parameters)
        damped = gram + torch.diag_embed(damping * gram.diagonal(dim1=-2, dim2=-1))
        trial = parameters + torch.linalg.solve(damped, gradient)
        trial = torch.cat(
            [trial[:, :1], trial[:, 1:2].clamp(0.0, LARGEST_B2), trial[:, 2:3].clamp(-6.0, 4.0), trial[:, 3:]], -1
        )
        new = problem.state(trial)
        better = (new[3] < cost) & torch.isfinite(new[3])
        gained = torch.where(better, cost - new[3], torch.zeros_like(cost))
        stuck = damping[:, 0] > 1e5
        parameters = torch.where(better[:, None], trial, parameters)
        residual = torch.where(better[:, None, None], new[0], residual)
        jacobian = torch.where(better[:, None, None, None], new[1], jacobian)
        weight = torch.where(better[:, None, None], new[2], weight)
        cost = torch.where(better, new[3], cost)
        damping = torch.where(better[:, None], damping * 0.2, damping * 8.0).clamp(1e-9, 1e6)
        if bool(((better & (gained < 1e-7)) | stuck).all()):
            break
    gram = torch.einsum("bnti,bntj->bij", jacobian * weight[..., None], jacobian) + torch.diag_embed(problem.precision)
    own = parameters[:, 3:].unflatten(-1, (bands, 4 + order))
    error = torch.linalg.inv(gram).diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()[:, 3:]
    error = error.unflatten(-1, (bands, 4 + order))[..., 0]
    found = WhiteFit(
        shape=parameters[:, :3],
        depth=own[..., 0],
        depth_err=error,
        limb=own[..., 1:3],
        level=own[..., 3],
        baseline=own[..., 4:],
        snr=torch.full_like(cost, snr),
        chi2=cost,
        points=good.sum((-2, -1)),
        pull=(((parameters - problem.mean)[:, :3] / problem.prior.sigma) ** 2).sum(-1),
        evidence=-0.5 * cost - 0.5 * torch.linalg.slogdet(gram).logabsdet,
    )
    return found, parameters


def _separate(visit: _Problem, fits: tuple[WhiteFit, Tensor]) -> WhiteFit:
    """The fits that are solutions of their own, the best first.

    Two are one solution where the fit half way between them is no worse than they are.
    """
    found, parameters = fits
    cost, kept = found.chi2, list[int]()
    for row in cost.argsort().tolist():
        if kept and (float(cost[row] - cost[kept[0]]) > _WORSE or len(kept) == _MOST_SOLUTIONS):
            break
        halves = [0.5 * (parameters[row] + parameters[other]) for other in kept]
        if all(float(visit.state(half[None])[3]) > float(cost[row]) + _BARRIER for half in halves):
            kept.append(row)
    return found.rows(torch.tensor(kept, device=cost.device))


def _quantile(y: Tensor, good: Tensor, share: float) -> Tensor:
    """Quantile (S, N) of the good points of (S, N, T); 1 where there are none."""
    return torch.nan_to_num(torch.where(good, y, torch.full_like(y, math.nan)).nanquantile(share, -1), nan=1.0)


def _robust_cost(standardised: Tensor, good: Tensor, threshold: float = 3.5) -> Tensor:
    """Sum (B,) of the loss of :func:`robust_weights`: r^2, beyond it threshold^2 (1 + 2 ln(r / threshold))."""
    size = standardised.abs()
    far = threshold**2 * (1.0 + 2.0 * torch.log(size.clamp_min(threshold) / threshold))
    return (good * torch.where(size <= threshold, size**2, far)).sum((-2, -1))
