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

import torch
from torch import Tensor


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
        """Of coefficients (B, R) in each channel (B, C, T)."""
        series = coefficients if self.basis is None else coefficients @ self.basis.T
        return self.response[:, None] * series[:, None]


@dataclass
class LinearSystem:
    """A linearised visit, batch first; n own and S shared parameters.

    Their derivatives are mixtures of a few ``columns`` (B, C, N, T): ``mixing`` (B, C, N, n + S), own parameters first.
    ``weight`` (B, C, T) inverse variances; ``own_precision`` (n,) and
    ``shared_precision`` (B, S) of the priors; ``prior_pull`` (B, S) = precision * (prior mean - current value).
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
    n, n_shared = len(system.own_precision), system.shared_precision.shape[-1]
    weighted, mixing = system.columns * system.weight[:, :, None], system.mixing
    mixed = mixing.transpose(-1, -2)  # (B, C, n + S, N)
    gram = mixed @ (weighted @ system.columns.transpose(-1, -2)) @ mixing
    projected = (mixed @ (weighted @ residual[..., None])).squeeze(-1)
    own_own = gram[..., :n, :n] + torch.diag_embed(system.own_precision)
    own_rest, rest_rest = gram[..., :n, n:], gram[..., n:, n:].sum(1) + torch.diag_embed(system.shared_precision)
    rest_rhs = projected[..., n:].sum(1) + system.prior_pull
    if system.series and system.light is not None:
        cross, corner, rhs = _series_blocks(system.series, system.light, system.weight, weighted, residual)
        own_rest = torch.cat([own_rest, mixed[..., :n, :] @ cross], -1)
        border = mixing[..., n:].flatten(1, 2).transpose(-1, -2) @ cross.flatten(1, 2)
        rest_rest = torch.cat(
            [torch.cat([rest_rest, border], -1), torch.cat([border.transpose(-1, -2), corner], -1)], -2
        )
        rest_rhs = torch.cat([rest_rhs, rhs], -1)
    factor = torch.linalg.cholesky(own_own)
    reduced = torch.linalg.solve_triangular(factor, own_rest, upper=False)  # (B, C, n, R)
    reduced_rhs = torch.linalg.solve_triangular(factor, projected[..., :n, None], upper=False)
    flat = reduced.flatten(1, 2)
    schur_factor = torch.linalg.cholesky(rest_rest - flat.transpose(-1, -2) @ flat)
    rest_rhs = rest_rhs - (flat.transpose(-1, -2) @ reduced_rhs.flatten(1, 2)).squeeze(-1)
    rest = torch.cholesky_solve(rest_rhs[..., None], schur_factor)
    own = torch.linalg.solve_triangular(
        factor.transpose(-1, -2), reduced_rhs - reduced @ rest[:, None], upper=True
    ).squeeze(-1)
    solution = LinearSolution(
        own,
        rest[..., 0],
        torch.zeros_like(residual),
        *_covariances(factor, reduced, schur_factor, n_shared, with_covariance),
    )
    if system.bound is not None:
        solution = _truncate(system.bound, solution, (factor, reduced, schur_factor))
    sizes = [n_shared, *(len(one.precision) for one in system.series)]
    shared, *coefficients = solution.shared.split(sizes, -1)
    if system.series and system.light is not None:
        curves = [one.curve(values) for one, values in zip(system.series, coefficients, strict=True)]
        solution.series = system.light * torch.stack(curves).sum(0)
    return replace(solution, shared=shared)


def _truncate(bound: Bound, solution: LinearSolution, factors: tuple[Tensor, Tensor, Tensor]) -> LinearSolution:
    """Condition the Gaussian solution on one shared parameter staying above its bound, by its first two moments.

    The other parameters follow along their covariance with it. ``solution.shared`` holds the series too.
    """
    index, rest = bound.index, solution.shared
    factor, reduced, schur_factor = factors
    unit = torch.zeros_like(rest)
    unit[:, index] = 1.0
    with_rest = torch.cholesky_solve(unit[..., None], schur_factor)  # covariance of everything shared with it
    with_own = -torch.linalg.solve_triangular(factor.transpose(-1, -2), reduced @ with_rest[:, None], upper=True)
    with_rest, with_own = with_rest[..., 0], with_own[..., 0]
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


def _series_blocks(
    series: list[SeriesColumns], light: Tensor, weight: Tensor, weighted: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Normal-matrix blocks of the series with the columns (B, C, N, R) and themselves, and the right side."""
    lit = weighted * light[:, :, None]
    along = {id(one.basis): one.spread(lit) for one in series}  # most have one basis
    cross = torch.cat([one.response[:, None, None] * along[id(one.basis)] for one in series], -1)
    information, pushed = weight * light**2, weight * light * residual
    rows = []
    for k, one in enumerate(series):
        blocks = []
        for m, other in enumerate(series):
            common = torch.diag_embed(((one.response * other.response)[:, None] * information).sum(1))
            block = one.spread(other.spread(common).transpose(-1, -2)).transpose(-1, -2)
            blocks.append(block + one.precision if k == m else block)
        rows.append(torch.cat(blocks, -1))
    rhs = [one.spread((one.response[:, None] * pushed).sum(1)) for one in series]
    return cross, torch.cat(rows, -2), torch.cat(rhs, -1)


def _covariances(
    factor: Tensor, reduced: Tensor, schur_factor: Tensor, n_shared: int, whole: bool
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, None, Tensor | None]:
    """Variance (B, C) of the first own parameter, everything else marginalised; and, where ``whole``, its covariance.

    With it those of the shared parameters (B, S, S) and between the two (B, C, S), and that of the first own parameter
    were the series known.
    """
    first = torch.zeros_like(factor[..., :1])
    first[..., 0, 0] = 1.0
    row = torch.linalg.solve_triangular(factor, first, upper=False)  # (B, C, n, 1)
    alone = (row**2).sum((-2, -1))
    sensitivity = (row * reduced).sum(-2)  # (B, C, R)
    spread = torch.linalg.solve_triangular(schur_factor, sensitivity.transpose(-1, -2), upper=False)
    variance = alone + (spread**2).sum(-2)
    if not whole:
        return variance, None, None, None, None, None
    unit = torch.eye(schur_factor.shape[-1], n_shared, dtype=factor.dtype, device=factor.device)
    columns = torch.linalg.solve_triangular(schur_factor, unit.expand(len(factor), -1, -1), upper=False)
    covariance = torch.diag_embed(alone) + spread.transpose(-1, -2) @ spread
    leading = spread[..., :n_shared, :]  # the factor's first rows are those of the shared parameters alone
    return (
        variance,
        covariance,
        columns.transpose(-1, -2) @ columns,
        -spread.transpose(-1, -2) @ columns,
        None,
        torch.diag_embed(alone) + leading.transpose(-1, -2) @ leading,
    )
