"""Populations of what visits share: learned from fits of known origin, applied as dense Gaussian algebra says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from linear_systems import columns_of
from torch import Tensor

from modeling_ariel.least_squares import Bound, LinearSolution, LinearSystem, SeriesColumns, solve, truncated_root
from modeling_ariel.light_curve_model import B2
from modeling_ariel.populations import Population, PopulationError, Shared
from modeling_ariel.retrieval import ClassicalFit
from modeling_ariel.white_light import POPULATION_B2_SIGMA

SHARED, CHANNELS = 6, 4
NO_BOUND = -60.0  # in sigmas of the prior: a bound that nothing is near


def as_fits(depth: Tensor, covariance: Tensor, shared: Tensor, shared_covariance: Tensor, cross: Tensor,
            free_b2: Tensor, table: bool) -> ClassicalFit:  # fmt: skip
    """Fits of which only what populations look at is filled in."""
    visits = len(depth)
    given: dict[str, Any] = {name: torch.zeros(visits) for name in ClassicalFit.__annotations__}
    given |= {"status": ["ok"] * visits, "notes": [""] * visits}
    given |= {"depth": depth, "covariance": covariance, "shared": shared, "shared_covariance": shared_covariance}
    given |= {"cross_covariance": cross, "free_b2": free_b2, "table_known": torch.full((visits,), table)}
    return ClassicalFit(**given)


def linear_visits(truth: Tensor, precision: float, table: bool, seed: int = 0, low: float = NO_BOUND) -> ClassicalFit:
    """Visits whose depths and shared parameters ``truth`` (N, S) were measured through random linear designs.

    Depths have no prior, shared parameters N(0, 1) and, without a star table, 1 / sqrt(b^2): as in the fit.
    """
    draw = np.random.default_rng(seed)
    visits, joint = len(truth), CHANNELS + SHARED
    design = torch.as_tensor(draw.standard_normal((visits, 2 * joint, joint))) * math.sqrt(precision)
    true = torch.cat([torch.full((visits, CHANNELS), 0.01, dtype=torch.float64), truth], 1)
    seen = (design @ true[..., None]).squeeze(-1) + torch.as_tensor(draw.standard_normal((visits, 2 * joint)))
    prior = torch.diag(torch.cat([torch.zeros(CHANNELS), torch.ones(SHARED)])).double()
    covariance = torch.linalg.inv(design.transpose(1, 2) @ design + prior)
    mean = (covariance @ design.transpose(1, 2) @ seen[..., None]).squeeze(-1)
    d, s = slice(None, CHANNELS), slice(CHANNELS, None)
    place = CHANNELS + B2
    free_b2 = torch.stack([mean[:, place], covariance[:, place, place], torch.full((visits,), low).double()], -1)
    free = Shared(mean[:, d], covariance[:, d, d], mean[:, s], covariance[:, s, s], covariance[:, d, s])
    heard = free if low == NO_BOUND and table else _bounded_plainly(free, low, table)
    return as_fits(heard.depth, heard.covariance, heard.shared, heard.shared_covariance, heard.cross_covariance,
                   free_b2, table)  # fmt: skip


def _bounded_plainly(free: Shared, low: float, table: bool) -> Shared:
    """Moments of b^2 above ``low`` by brute force, the rest along its regression on it."""
    mean, variance = free.shared[:, B2], free.shared_covariance[:, B2, B2]
    step = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    moments = []
    for m, v in zip(mean, variance, strict=True):
        width = math.sqrt(max(float(m - low), 0.0) + 9 * math.sqrt(float(v)))
        root = width * step  # flat in the root of the distance is 1 / sqrt(distance)
        value = low + root**2
        weight = torch.exp(-0.5 * (value - m) ** 2 / v) * (root if table else 1.0)
        weight = weight / weight.sum()
        first = (weight * value).sum()
        moments.append((float(first), float((weight * (value - first) ** 2).sum())))
    return free.with_b2(*torch.tensor(moments, dtype=torch.float64).T)


def dense(fit: ClassicalFit, visit: int, population: Population) -> tuple[Tensor, Tensor]:
    """Joint posterior of (depth, shared) where the prior N(0, 1) of some shared parameters is another Gaussian."""
    joint = torch.cat([torch.cat([fit.covariance[visit], fit.cross_covariance[visit]], 1),
                       torch.cat([fit.cross_covariance[visit].T, fit.shared_covariance[visit]], 1)])  # fmt: skip
    mean, places = torch.cat([fit.depth[visit], fit.shared[visit]]), CHANNELS + population.index
    precision = torch.linalg.inv(joint)
    pull = precision @ mean
    inverse = torch.linalg.inv(population.covariance)
    precision[places[:, None], places] += inverse - torch.eye(len(places)).double()
    pull[places] += inverse @ population.mean
    after = torch.linalg.inv(precision)
    return after @ pull, after


def some_population(table: bool = True, scale: float = 0.3) -> Population:
    index = torch.arange(3 if table else 2, SHARED)
    draw = torch.Generator().manual_seed(7)
    root = scale * torch.randn(len(index), len(index), generator=draw, dtype=torch.float64)
    mean = torch.linspace(-0.5, 0.8, len(index), dtype=torch.float64)
    return Population(index, mean, root @ root.T + 0.02 * torch.eye(len(index)).double())


def drawn(population: Population, visits: int, seed: int = 1) -> Tensor:
    """True shared parameters: the population's, and N(0, 1) elsewhere."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((visits, SHARED))
    truth[:, population.index] = rng.multivariate_normal(population.mean.numpy(), population.covariance.numpy(), visits)
    return torch.as_tensor(truth)


def same(found: Shared, expected: Shared, tolerance: float = 1e-9) -> None:
    for name in Shared.__annotations__:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=tolerance, atol=tolerance)


# --- learning ------------------------------------------------------------------------------------------------------


def test_a_known_gaussian_population_is_recovered_from_noisy_visits() -> None:
    population = some_population()
    found = Population.fit(linear_visits(drawn(population, 800), 0.5, table=True), rounds=200)
    assert torch.equal(found.index, population.index)
    assert found.b_sigma == math.inf
    size = population.covariance.diagonal().sqrt()
    assert float(((found.mean - population.mean) / size).abs().max()) < 0.2
    assert float((found.covariance.diagonal().sqrt() / size).log().abs().max()) < 0.15
    apart = (found.covariance - population.covariance) / (size[:, None] * size)
    assert float(apart.abs().max()) < 0.3


def test_a_population_without_spread_is_found_to_have_little() -> None:
    still = some_population(scale=0.0)
    still.covariance *= 1e-6
    found = Population.fit(linear_visits(drawn(still, 300), 1.0, table=True), rounds=200)
    assert float((found.mean - still.mean).abs().max()) < 0.08
    assert float(found.covariance.diagonal().max().sqrt()) < 0.1


@pytest.mark.parametrize("b_sigma", [0.25, 0.5])
def test_the_half_normal_population_of_impact_parameters_is_recovered(b_sigma: float) -> None:
    """In units of the fit's prior b^2 is never below 0, which its mean, 0 there, puts at 0 sigmas."""
    population = some_population(table=False)
    truth = drawn(population, 700)
    b = b_sigma * np.abs(np.random.default_rng(2).standard_normal(len(truth)))
    truth[:, B2] = torch.as_tensor(b**2 / POPULATION_B2_SIGMA)
    found = Population.fit(linear_visits(truth, 2.0, table=False, low=0.0), rounds=200)
    assert found.index.tolist() == list(range(2, SHARED))
    assert found.b_sigma == pytest.approx(b_sigma, rel=0.12)
    assert float((found.mean - population.mean).abs().max()) < 0.15


def test_the_order_of_visits_does_not_matter() -> None:
    fits = linear_visits(drawn(some_population(), 80), 0.5, table=True)
    one, two = Population.fit(fits, 30), Population.fit(fits.select(torch.randperm(80)), 30)
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one.covariance, two.covariance, rtol=1e-9, atol=1e-9)


def test_learning_looks_at_no_depth() -> None:
    fits = linear_visits(drawn(some_population(), 80), 0.5, table=True)
    other = replace(
        fits, depth=fits.depth + 1.0, covariance=4 * fits.covariance, cross_covariance=-fits.cross_covariance
    )
    one, two = Population.fit(fits, 20), Population.fit(other, 20)
    assert torch.equal(one.mean, two.mean)
    assert torch.equal(one.covariance, two.covariance)


def test_too_few_visits_or_some_with_and_some_without_star_table_are_refused() -> None:
    fits = linear_visits(drawn(some_population(), 70), 0.5, table=True)
    with pytest.raises(PopulationError, match=r"expected 60 fitted visits or more, .*, found 59 with and 0 without"):
        Population.fit(fits.select(torch.arange(59)))
    mixed = replace(fits, table_known=torch.arange(70) < 30)
    with pytest.raises(PopulationError, match="all with a star table or all without, found 30 with and 40 without"):
        Population.fit(mixed)


# --- applying ------------------------------------------------------------------------------------------------------


def test_depths_follow_as_in_the_joint_gaussian() -> None:
    population = some_population()
    fits = linear_visits(drawn(population, 5), 0.5, table=True)
    after = population.apply(fits)
    d, s = slice(None, CHANNELS), slice(CHANNELS, None)
    for visit in range(5):
        mean, covariance = dense(fits, visit, population)
        expected = Shared(mean[d], covariance[d, d], mean[s], covariance[s, s], covariance[d, s])
        for name in Shared.__annotations__:
            torch.testing.assert_close(getattr(after, name)[visit], getattr(expected, name), rtol=1e-8, atol=1e-10)
    narrower = fits.covariance.diagonal(dim1=1, dim2=2) - after.covariance.diagonal(dim1=1, dim2=2)
    assert bool((narrower > 0).all())


@pytest.mark.parametrize("table", [True, False], ids=["star table", "no star table"])
def test_a_population_like_the_fits_own_prior_changes_nothing(table: bool) -> None:
    low = NO_BOUND if table else -0.3
    fits = linear_visits(drawn(some_population(table), 6), 0.5, table, low=low)
    index = torch.arange(3 if table else 2, SHARED)
    own = Population(index, torch.zeros(len(index)).double(), torch.eye(len(index)).double())
    same(own.apply(fits), Shared.of(fits), tolerance=1e-3 if low != NO_BOUND else 1e-9)  # by brute force


def test_the_half_normal_population_is_the_fits_prior_times_its_gaussian_in_b() -> None:
    """b^2 / sigma of 0.35 above 0 has density b^-1 exp(-b^2 / 2 s^2): moments by brute force in b."""
    fits = linear_visits(drawn(some_population(False), 4), 0.5, table=False, low=0.0)
    index = torch.arange(2, SHARED)
    population = Population(index, torch.zeros(len(index)).double(), torch.eye(len(index)).double(), b_sigma=0.3)
    after = population.apply(fits)
    b = torch.linspace(0, 3, 300_001, dtype=torch.float64)[1:]
    value = b**2 / POPULATION_B2_SIGMA
    for visit in range(4):
        mean, variance, _ = fits.free_b2[visit]
        log_weight = -0.5 * (value - mean) ** 2 / variance - 0.5 * (b / 0.3) ** 2
        weight = torch.softmax(log_weight, 0)  # even steps in b are the density 1 / sqrt(b^2)
        first = (weight * value).sum()
        torch.testing.assert_close(after.shared[visit, B2], first, rtol=2e-3, atol=2e-4)
        spread = (weight * (value - first) ** 2).sum()
        torch.testing.assert_close(after.shared_covariance[visit, B2, B2], spread, rtol=5e-3, atol=1e-6)


def test_a_visits_answer_does_not_depend_on_its_company() -> None:
    population = some_population()
    fits = linear_visits(drawn(population, 6), 0.5, table=True)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    whole, shuffled, alone = (population.apply(f) for f in (fits, fits.select(order), fits.select(torch.tensor([2]))))
    for name in Shared.__annotations__:
        torch.testing.assert_close(getattr(shuffled, name), getattr(whole, name)[order])
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name)[2:3])


def test_depths_given_the_right_population_are_nearer_the_truth_and_their_errors_honest() -> None:
    population = some_population(scale=0.1)
    fits = linear_visits(drawn(population, 400), 0.05, table=True)
    after = population.apply(fits)
    error = [(found.depth - 0.01) for found in (fits, after)]
    assert float(error[1].square().mean()) < 0.98 * float(error[0].square().mean())
    z = error[1] / after.covariance.diagonal(dim1=1, dim2=2).sqrt()
    assert float(z.square().mean().sqrt()) == pytest.approx(1.0, abs=0.08)


# --- where the covariances come from -------------------------------------------------------------------------------


def small_system(with_series: bool, bound: Bound | None = None) -> tuple[LinearSystem, Tensor, Tensor, Tensor]:
    """A system of 3 channels, 7 bins, 2 own and 3 shared columns, with residual; and its dense design and precision."""
    draw = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    channels, bins, n, shared, count = 3, 7, 2, 3, 2
    own, common = random(1, channels, bins, n), random(1, channels, bins, shared)
    weight, residual = random(1, channels, bins).exp(), random(1, channels, bins)
    light, response, root = random(1, channels, bins), random(count, channels), random(count, bins, bins)
    kernels = root @ root.transpose(1, 2) + torch.eye(bins).double()
    own_precision = torch.tensor([0.3, 0.1], dtype=torch.float64)
    shared_precision = torch.tensor([[0.5, 0.2, 1.0]], dtype=torch.float64)
    noises = [
        SeriesColumns(response[k], None, torch.linalg.inv(kernels[k])) for k in range(count if with_series else 0)
    ]
    pull = torch.zeros(1, shared).double()
    system = LinearSystem(*columns_of(own, common), weight, own_precision, shared_precision, pull, noises, light, bound)
    noise = torch.diag(1 / weight.flatten())
    for k in range(count if with_series else 0):
        h = torch.cat([torch.diag(response[k, c] * light[0, c]) for c in range(channels)])
        noise = noise + h @ kernels[k] @ h.T
    design = torch.cat([torch.block_diag(*own[0]), common[0].reshape(-1, shared)], 1)
    inverse = torch.linalg.inv(noise)
    prior = torch.diag(torch.cat([own_precision.repeat(channels), shared_precision[0]]))
    covariance = torch.linalg.inv(design.T @ inverse @ design + prior)
    return system, residual, covariance @ design.T @ inverse @ residual.flatten(), covariance


FIRST = torch.tensor([0, 2, 4])  # first own columns among the dense system's parameters
LAST = torch.tensor([6, 7, 8])  # shared ones


def parts(found: LinearSolution) -> tuple[Tensor, Tensor, Tensor]:
    assert found.covariance is not None
    assert found.shared_covariance is not None
    assert found.cross_covariance is not None
    return found.covariance[0], found.shared_covariance[0], found.cross_covariance[0]


@pytest.mark.parametrize("with_series", [False, True], ids=["white", "jitter"])
def test_covariances_of_depths_with_shared_parameters_are_those_of_dense_algebra(with_series: bool) -> None:
    system, residual, mean, covariance = small_system(with_series)
    found = solve(system, residual, with_covariance=True)
    depth, shared, cross = parts(found)
    torch.testing.assert_close(found.own[0, :, 0], mean[FIRST])
    torch.testing.assert_close(found.shared[0], mean[LAST])
    torch.testing.assert_close(depth, covariance[FIRST][:, FIRST])
    torch.testing.assert_close(shared, covariance[LAST][:, LAST])
    torch.testing.assert_close(cross, covariance[FIRST][:, LAST])
    torch.testing.assert_close(found.variance[0], covariance[FIRST, FIRST])


@pytest.mark.parametrize("with_series", [False, True], ids=["white", "jitter"])
def test_a_bound_changes_covariances_along_the_regression_on_the_bounded_parameter(with_series: bool) -> None:
    _, _, mean, covariance = small_system(with_series)
    place = int(LAST[1])
    low = mean[place] + 0.4 * covariance[place, place].sqrt()
    system, residual, _, _ = small_system(with_series, Bound(1, low[None], torch.tensor([True])))
    found = solve(system, residual, with_covariance=True)
    depth, shared, cross = parts(found)
    size2 = covariance[place, place]
    shift, shrink = truncated_root((low - mean[place])[None] / size2.sqrt())
    regression = covariance[:, place] / size2
    moved = mean + regression * size2.sqrt() * shift
    less = covariance - shrink * size2 * regression[:, None] * regression
    torch.testing.assert_close(found.own[0, :, 0], moved[FIRST])
    torch.testing.assert_close(found.shared[0], moved[LAST])
    torch.testing.assert_close(depth, less[FIRST][:, FIRST])
    torch.testing.assert_close(shared, less[LAST][:, LAST])
    torch.testing.assert_close(cross, less[FIRST][:, LAST])
    assert found.unbound is not None
    torch.testing.assert_close(found.unbound[0], torch.stack([mean[place], size2]))
    assert bool((found.shared[0, 1] > low).all())
