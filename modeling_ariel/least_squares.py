"""Generalised least squares for many channels that share some parameters and correlated noise series.

The model of a visit, linearised, is

    e[c, t] = X[c, t] x[c] + A[c, t] s + sum_k h[k, c, t] j[k, t] + noise,

with parameters x of each channel, parameters s shared by all (Gaussian prior), and series j = basis a with known
covariances.
Eliminating x first (its normal matrix is block-diagonal) leaves a system as small as s and j together: the Schur
complement of the normal equations, exact and cheap (see Boyd & Vandenberghe, Convex Optimization, appendix C.4).
"""

import math
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

_BLOCK = 2**17  # numbers at a time


@dataclass
class Bound:
    """Shared column ``index`` may not go below ``low`` (B,).

    Above it its prior is Gaussian, or, where ``root`` (B,) is true, Gaussian times 1 / sqrt(value - low): then the root
    of the distance from the bound has a flat prior near it.
    """

    index: int
    low: Tensor
    root: Tensor


@dataclass
class SeriesColumns:
    """A series in time, basis a, which channels answer by ``response`` (C,); ``basis`` (T, R), None where R = T;
    ``precision`` (R, R) of a.
    """

    response: Tensor
    basis: Tensor | None
    precision: Tensor

    def spread(self, values: Tensor) -> Tensor:
        """values (..., T) along the coefficients a: (..., R)."""
        return values if self.basis is None else values @ self.basis

    def curve(self, coefficients: Tensor) -> Tensor:
        """The series (B, T) of coefficients (B, R)."""
        return coefficients if self.basis is None else coefficients @ self.basis.T

    def product(self, other: "SeriesColumns", information: Tensor) -> Tensor:
        """This basis with another one, (B, R, R') under weights (B, T)."""
        if other.basis is None:
            right = torch.diag_embed(information)
        else:
            right = information[..., None] * other.basis
        return right if self.basis is None else self.basis.T @ right


@dataclass
class LinearSystem:
    """A linearised visit, batch first; n own and S shared parameters.

    Their derivatives are mixtures of a few ``columns`` (B, C, N, T): ``mixing`` (B, C, N, n + S), own parameters first.
    ``weight`` (B, C, T) inverse variances; ``own_precision`` (n,) or (C, n) and ``shared_precision`` (B, S) of the
    priors; ``prior_pull`` (B, S) = precision * (prior mean - current value), ``own_pull`` (B, C, n) that of own ones.
    ``series`` multiply the ``light`` (B, C, T). ``bound``: a shared column that has a lowest value.
    """

    columns: Tensor
    mixing: Tensor
    weight: Tensor
    own_precision: Tensor
    shared_precision: Tensor
    prior_pull: Tensor
    series: list[SeriesColumns] = field(default_factory=list)
    light: Tensor | None = None
    bound: Bound | None = None
    own_pull: Tensor | None = None


@dataclass
class LinearSolution:
    """``own`` (B, C, n), ``shared`` (B, S), ``series`` (B, C, T) the flux of all series.

    ``variance`` (B, C) and, on request, ``covariance`` (B, C, C) of the first own column, ``shared_covariance``
    (B, S, S) and ``cross_covariance`` (B, C, S) of the first own column with the shared ones. ``unbound`` (B, 2): mean
    and variance of the bounded column before its bound was heard. ``certain`` (B, C, C): the covariance were all series
    known.
    """

    own: Tensor
    shared: Tensor
    series: Tensor
    variance: Tensor
    covariance: Tensor | None
    shared_covariance: Tensor | None = None
    cross_covariance: Tensor | None = None
    unbound: Tensor | None = None
    certain: Tensor | None = None


def solve(system: LinearSystem, residual: Tensor, with_covariance: bool = False) -> LinearSolution:
    """Posterior mean and, for the first own column of every channel, variance and covariance.

    The mean is linear in ``residual`` (B, C, T), and autograd sees just that: the matrices are constants of the step.
    """
    n, n_shared = system.own_precision.shape[-1], system.shared_precision.shape[-1]
    pushed = system.weight * residual
    projected = (system.mixing.mT @ (system.columns @ pushed[..., None])).squeeze(-1)
    pulls = [projected[..., n:].sum(1) + system.prior_pull]
    if system.series and system.light is not None:
        pushed = pushed * system.light
        pulls += [one.spread(one.response @ pushed) for one in system.series]
    factors = _factors(system)
    own_pushed = projected[..., :n] if system.own_pull is None else projected[..., :n] + system.own_pull
    own_right = factors.own @ own_pushed[..., None]
    right = torch.cat(pulls, -1)[..., None] - factors.reduced.flatten(1, 2).mT @ own_right.flatten(1, 2)
    rest = factors.solve_rest(right)
    solution = LinearSolution(
        factors.own_beside(own_right, rest),
        rest[..., 0],
        torch.zeros_like(residual),
        *_covariances(factors, n_shared, with_covariance),
    )
    if system.bound is not None:
        solution = _truncate(system.bound, solution, factors)
    shared, *coefficients = solution.shared.split([n_shared, *(len(one.precision) for one in system.series)], -1)
    if system.series and system.light is not None:
        curves = torch.stack([one.curve(values) for one, values in zip(system.series, coefficients, strict=True)], -2)
        solution.series = system.light * (torch.stack([one.response for one in system.series], -1) @ curves)
    return replace(solution, shared=shared)


@dataclass
class _Factors:
    """The normal matrix, factored: own parameters of each channel, then the R that all share, series included.

    ``own`` (B, C, n, n) inverses of the own blocks' lower Cholesky factors; ``reduced`` (B, C, n, R) those times the
    blocks between own and shared; ``rest`` (B, R, R) the factor of the Schur complement.
    """

    own: Tensor
    reduced: Tensor
    rest: Tensor

    def solve_rest(self, right: Tensor) -> Tensor:
        """Shared part (B, R, k) of the solution for reduced right sides (B, R, k)."""
        half = torch.linalg.solve_triangular(self.rest, right, upper=False)
        return torch.linalg.solve_triangular(self.rest.mT, half, upper=True)

    def own_beside(self, right: Tensor | float, rest: Tensor) -> Tensor:
        """Own part (B, C, n) beside the shared one (B, R, 1), for a right side (B, C, n, 1) times ``own``."""
        return (self.own.mT @ (right - self.reduced @ rest[:, None])).squeeze(-1)


def _factors(system: LinearSystem) -> _Factors:
    """Factors of the normal matrix; only its lower triangle is written, as only that is read."""
    series, n_shared = system.series, system.shared_precision.shape[-1]
    own_own, own_shared, shared_shared, own_lit, border = _blocks(system)
    own_factor = torch.linalg.cholesky(own_own)
    eye = torch.eye(own_own.shape[-1], dtype=own_own.dtype, device=own_own.device)
    own = torch.linalg.solve_triangular(own_factor, eye.expand_as(own_factor), upper=False)
    between = [own_shared, *(one.response[:, None, None] * one.spread(own_lit) for one in series)]
    reduced = own @ torch.cat(between, -1)
    flat = reduced.flatten(1, 2)
    rest = reduced.new_zeros(len(flat), flat.shape[-1], flat.shape[-1])
    rest[:, :n_shared, :n_shared] = shared_shared
    information = system.weight * system.light**2 if system.light is not None else system.weight
    ends = list(accumulate([len(one.precision) for one in series], initial=n_shared))
    places = [slice(first, end) for first, end in pairwise(ends)]
    for k, (one, rows) in enumerate(zip(series, places, strict=True)):
        rest[:, rows, :n_shared] = one.spread(border[:, k]).mT
        for other, columns in zip(series[: k + 1], places, strict=False):
            rest[:, rows, columns] = one.product(other, (one.response * other.response) @ information)
        rest[:, rows, rows] += one.precision
    for rows in (slice(n_shared), *places):
        rest[:, rows, : rows.stop] -= flat[..., rows].mT @ flat[..., : rows.stop]
    return _Factors(own, reduced, torch.linalg.cholesky(rest))


def _blocks(system: LinearSystem) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Blocks of the normal matrix, own with own (B, C, n, n), own with shared (B, C, n, S), shared with shared, and
    what the series' bases are to be laid along: own columns times weight and light (B, C, n, T), and the sums over
    channels of shared ones times each response (B, K, S, T).

    A few channels at a time: what is made of them stays in the processor's cache.
    """
    batch, channels, n_columns, bins = system.columns.shape
    own, shared = system.mixing.tensor_split([system.own_precision.shape[-1]], -1)
    grams, own_lit = [], []
    border = system.columns.new_zeros(batch, len(system.series), shared.shape[-1], bins)
    for some in torch.arange(channels).split(max(1, _BLOCK // (n_columns * bins))):
        block = slice(int(some[0]), int(some[-1]) + 1)
        columns = system.columns[:, block]
        weighted = columns * system.weight[:, block, None]
        grams.append(weighted @ columns.mT)
        if system.series and system.light is not None:
            lit = weighted.mul_(system.light[:, block, None])
            own_lit.append(own[:, block].mT @ lit)
            factor = torch.stack([one.response[block, None, None] * shared[:, block] for one in system.series], 1)
            border += factor.flatten(2, 3).mT @ lit.flatten(1, 2)[:, None]
    gram = torch.cat(grams, 1)
    return (
        own.mT @ gram @ own + torch.diag_embed(system.own_precision),
        own.mT @ gram @ shared,
        (shared.mT @ gram @ shared).sum(1) + torch.diag_embed(system.shared_precision),
        torch.cat(own_lit, 1) if own_lit else gram.new_zeros(0),
        border,
    )


def _truncate(bound: Bound, solution: LinearSolution, factors: _Factors) -> LinearSolution:
    """Condition the Gaussian solution on one shared parameter staying above its bound, by its first two moments.

    The other parameters follow along their covariance with it. ``solution.shared`` holds the series too.
    """
    index, rest = bound.index, solution.shared
    unit = torch.zeros_like(rest)
    unit[:, index] = 1.0
    with_rest = factors.solve_rest(unit[..., None])  # covariance of everything shared with it
    with_own = factors.own_beside(0.0, with_rest)
    with_rest = with_rest[..., 0]
    size2 = with_rest[:, index].clamp_min(1e-300)
    size = size2.sqrt()
    alpha = (bound.low - rest[:, index]) / size
    (flat, flat_shrink), (root, root_shrink) = truncated_normal(alpha), truncated_root(alpha)
    shift = (torch.where(bound.root, root, flat) / size)[:, None]
    shrink = torch.where(bound.root, root_shrink, flat_shrink)
    lost = (shrink.detach().sqrt() / size.detach())[:, None]
    along, beside = with_own[..., 0] * lost, with_rest * lost
    truncated = replace(
        solution,
        own=solution.own + with_own * shift[..., None],
        shared=rest + with_rest * shift,
        variance=solution.variance - along**2,
        unbound=torch.stack([rest[:, index], size2], -1),
    )
    if solution.covariance is None or solution.shared_covariance is None or solution.cross_covariance is None:
        return truncated
    beside = beside[:, : solution.shared_covariance.shape[-1]]
    return replace(
        truncated,
        covariance=solution.covariance - along[:, :, None] * along[:, None, :],
        shared_covariance=solution.shared_covariance - beside[:, :, None] * beside[:, None, :],
        cross_covariance=solution.cross_covariance - along[:, :, None] * beside[:, None, :],
    )


def truncated_normal(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of a standard normal above ``alpha``, and 1 - its variance."""
    hazard = math.sqrt(2.0 / math.pi) / torch.special.erfcx(alpha.clamp(-20.0, 1e6) / math.sqrt(2.0))
    hazard = torch.where(alpha > -8.0, hazard, torch.zeros_like(hazard))
    return hazard, (hazard * (hazard - alpha)).clamp(0.0, 1.0)


def truncated_root(alpha: Tensor, nodes: int = 256) -> tuple[Tensor, Tensor]:
    """The same of the density exp(-x^2 / 2) / sqrt(x - alpha) above ``alpha``, by quadrature in sqrt(x - alpha)."""
    low = (-alpha - 9.0).clamp_min(0.0).sqrt()
    high = (-alpha + (alpha.clamp_min(0.0) ** 2 + 81.0).sqrt()).sqrt()
    step = (torch.arange(nodes, dtype=alpha.dtype, device=alpha.device) + 0.5) / nodes
    distance = (low[..., None] + (high - low)[..., None] * step) ** 2
    weight = torch.softmax(-0.5 * distance**2 - alpha[..., None] * distance, -1)
    mean = (weight * distance).sum(-1)
    variance = (weight * (distance - mean[..., None]) ** 2).sum(-1)
    return mean + alpha, (1.0 - variance).clamp(0.0, 1.0)


def _covariances(
    factors: _Factors, n_shared: int, whole: bool
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, None, Tensor | None]:
    """Variance (B, C) of the first own parameter, everything else marginalised; and, where ``whole``, its covariance.

    With it those of the shared parameters (B, S, S) and between the two (B, C, S), and that of the first own parameter
    were the series known.
    """
    row = factors.own[..., 0]  # (B, C, n)
    alone = (row**2).sum(-1)
    sensitivity = (row[..., None, :] @ factors.reduced).squeeze(-2)  # (B, C, R)
    spread = torch.linalg.solve_triangular(factors.rest, sensitivity.mT, upper=False)
    variance = alone + (spread**2).sum(-2)
    if not whole:
        return variance, None, None, None, None, None
    unit = torch.eye(spread.shape[1], n_shared, dtype=spread.dtype, device=spread.device)
    columns = torch.linalg.solve_triangular(factors.rest, unit.expand(len(spread), -1, -1), upper=False)
    leading = spread[:, :n_shared]  # the factor's first rows are those of the shared parameters alone
    return (
        variance,
        torch.diag_embed(alone) + spread.mT @ spread,
        columns.mT @ columns,
        -spread.mT @ columns,
        None,
        torch.diag_embed(alone) + leading.mT @ leading,
    )
