"""Populations of what visits share: learned from fits of known origin, applied as dense Gaussian algebra says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from linear_systems import columns_of
from torch import Tensor

from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.least_squares import Bound, LinearSolution, LinearSystem, SeriesColumns, solve, truncated_root
from modeling_ariel.light_curve_model import B2
from modeling_ariel.populations import (
    Population,
    PopulationError,
    doubted,
    planet_depths,
    unlike_note,
    visit_posteriors,
)
from modeling_ariel.retrieval import UNKNOWN_SIGMA, ClassicalFit
from modeling_ariel.shared_parameters import (
    GROUPS,
    LIMB,
    SLOW,
    Shared,
    combine_visits,
    shared_groups,
)
from modeling_ariel.white_light import POPULATION_B2_SIGMA

SHARED, CHANNELS = 6, 4
OF = torch.tensor([-1, 0, 0, 1, 2, 3])  # a mid-time, orbit, limb darkening, slow and fast drift
CERTAIN = 1e12  # degrees of freedom of a star table's errors: Gaussian
NO_BOUND = -60.0  # in sigmas of the prior: a bound that nothing is near


def as_fits(depth: Tensor, covariance: Tensor, shared: Tensor, shared_covariance: Tensor, cross: Tensor,
            free_b2: Tensor, table: bool) -> ClassicalFit:  # fmt: skip
    """Fits of which only what populations look at is filled in."""
    visits = len(depth)
    given: dict[str, Any] = {name: torch.zeros(visits) for name in ClassicalFit.__annotations__}
    given |= {"status": ["ok"] * visits, "notes": [""] * visits}
    given |= {"depth": depth, "covariance": covariance, "shared": shared, "shared_covariance": shared_covariance}
    given |= {"cross_covariance": cross, "free_b2": free_b2, "table_known": torch.full((visits,), table)}
    given |= {"prior_mean": torch.zeros_like(shared), "prior_sigma": torch.ones_like(shared)}
    given["prior_mean"][:, B2] = -free_b2[:, 2]
    given["table_trust"] = torch.tensor([1.0, CERTAIN], dtype=torch.float64).expand(visits, -1)
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
    parts = (mean[:, d], covariance[:, d, d], mean[:, s], covariance[:, s, s], covariance[:, d, s])
    fits = as_fits(*parts, free_b2, table)
    if low == NO_BOUND and table:
        return fits
    heard = _bounded_plainly(Shared.of(fits), low, table)
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
    together = (index[:, None] > 3) == (index > 3)  # drift is nothing of planet and star
    covariance = root @ root.T * together + 0.02 * torch.eye(len(index)).double()
    return Population(index, mean, covariance, math.inf, OF)


def like_the_fits_prior(table: bool, b_sigma: float = math.inf) -> Population:
    index = torch.arange(3 if table else 2, SHARED)
    return Population(index, torch.zeros(len(index)).double(), torch.eye(len(index)).double(), b_sigma, OF)


def learned(fits: ClassicalFit, rounds: int = 1000) -> Population:
    return Population.fit(fits, rounds, OF)


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
    found = learned(linear_visits(drawn(population, 800), 0.5, table=True), rounds=200)
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
    found = learned(linear_visits(drawn(still, 600), 1.0, table=True), rounds=200)
    assert float((found.mean - still.mean).abs().max()) < 0.08
    assert float(found.covariance.diagonal().max().sqrt()) < 0.1


@pytest.mark.parametrize("b_sigma", [0.25, 0.5])
def test_the_half_normal_population_of_impact_parameters_is_recovered(b_sigma: float) -> None:
    """It multiplies the fit's prior, in whose units b^2 is never below 0, which its mean, 0 there, puts at 0 sigmas."""
    population = some_population(table=False)
    truth = drawn(population, 700)
    rng = np.random.default_rng(2)
    b = b_sigma * np.abs(rng.standard_normal(9 * len(truth)))
    kept = rng.random(len(b)) < np.exp(-0.5 * (b**2 / POPULATION_B2_SIGMA) ** 2)  # the fit's own prior
    b = b[kept][: len(truth)]
    truth[:, B2] = torch.as_tensor(b**2 / POPULATION_B2_SIGMA)
    found = learned(linear_visits(truth, 2.0, table=False, low=0.0), rounds=200)
    assert found.index.tolist() == list(range(2, SHARED))
    assert found.b_sigma == pytest.approx(b_sigma, rel=0.12)
    assert float((found.mean - population.mean).abs().max()) < 0.15


def test_the_order_of_visits_does_not_matter() -> None:
    fits = linear_visits(drawn(some_population(), 80), 0.5, table=True)
    one, two = learned(fits, 30), learned(fits.select(torch.randperm(80)), 30)
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one.covariance, two.covariance, rtol=1e-9, atol=1e-9)


def test_widened_limb_darkening_and_slow_drift_stay_within_the_fits_prior() -> None:
    own = some_population()
    wide = own.widened(2.0)
    grew = (wide.covariance.diagonal() / own.covariance.diagonal()).sqrt()
    sigma, free = own.covariance.diagonal().sqrt(), torch.isin(own.groups[own.index], torch.tensor([LIMB, SLOW]))
    assert torch.equal(grew[~free], torch.ones(int((~free).sum())).double())
    torch.testing.assert_close(grew[free], (1.0 / sigma[free]).clamp(1.0, 2.0))
    correlation = [one.covariance / one.covariance.diagonal().sqrt().outer(one.covariance.diagonal().sqrt())
                   for one in (own, wide)]  # fmt: skip
    torch.testing.assert_close(*correlation)
    assert torch.equal(own.widened(1.0).covariance, own.covariance)
    learned_here = replace(own, shares=own.shares.flip(-1))
    assert torch.equal(learned_here.widened(1.0).shares, learned_here.shares)
    assert torch.equal(learned_here.widened(2.0).shares, doubted())


def test_learning_looks_at_no_depth() -> None:
    fits = linear_visits(drawn(some_population(), 80), 0.5, table=True)
    other = replace(
        fits, depth=fits.depth + 1.0, covariance=4 * fits.covariance, cross_covariance=-fits.cross_covariance
    )
    one, two = learned(fits, 20), learned(other, 20)
    assert torch.equal(one.mean, two.mean)
    assert torch.equal(one.covariance, two.covariance)


def test_no_visits_or_some_with_and_some_without_star_table_are_refused() -> None:
    fits = linear_visits(drawn(some_population(), 70), 0.5, table=True)
    with pytest.raises(PopulationError, match=r"expected fitted visits, .*, found 0 with and 0 without"):
        learned(fits.select(torch.arange(0)))
    mixed = replace(fits, table_known=torch.arange(70) < 30)
    with pytest.raises(PopulationError, match="all with a star table or all without, found 30 with and 40 without"):
        learned(mixed)


def test_a_population_comes_nearer_to_the_truth_with_every_visit_from_the_fits_own_prior() -> None:
    population = some_population(scale=0.1)
    fits = linear_visits(drawn(population, 300), 1.0, table=True)
    away = []
    for visits in (1, 5, 20, 300):
        found = [learned(fits.select(torch.arange(start, start + visits))) for start in range(0, 300, max(visits, 60))]
        size = torch.stack([one.covariance.diagonal().sqrt().log() for one in found]).mean(0)
        away.append(size - population.covariance.diagonal().sqrt().log())
    away = torch.stack(away)
    assert bool((away[:-1] > 0).all())  # wider than it is, narrower than the fit's prior
    assert bool((away[:-1] > away[1:]).all())
    assert float(away[-1].abs().max()) < 0.15
    assert bool((away[0] < -population.covariance.diagonal().sqrt().log()).all())


@pytest.mark.parametrize(
    "visits", [1, pytest.param(5, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.slow), 60]
)
def test_a_population_of_few_visits_helps_others_or_does_no_harm(visits: int) -> None:
    population = some_population(scale=0.1)
    fits, others = (linear_visits(drawn(population, n, seed), 0.05, True, seed) for n, seed in ((60, 3), (300, 4)))
    gained = []
    for start in range(0, 60, visits):
        found = learned(fits.select(torch.arange(start, min(start + visits, 60))))
        after, _ = visit_posteriors(others, {True: found})
        gained.append(log_likelihood(after) - log_likelihood(Shared.of(others)))
    mean = torch.stack(gained).mean(0)
    error = float(mean.std()) / math.sqrt(len(mean))
    assert float(mean.mean()) > (2 if visits >= 20 else -2) * error
    assert min(float(one.mean()) for one in gained) > -0.02


def log_likelihood(found: Shared) -> Tensor:
    """Of the true depths, the mean over channels (N,)."""
    variance = found.covariance.diagonal(dim1=1, dim2=2)
    return (-0.5 * (found.depth - 0.01) ** 2 / variance - 0.5 * variance.log()).mean(1)


# --- applying ------------------------------------------------------------------------------------------------------


def test_depths_follow_as_in_the_joint_gaussian() -> None:
    population = some_population()
    fits = linear_visits(drawn(population, 5), 0.5, table=True)
    after = population.given(Shared.free(fits))
    d, s = slice(None, CHANNELS), slice(CHANNELS, None)
    for visit in range(5):
        mean, covariance = dense(fits, visit, population)
        expected = (mean[d], covariance[d, d], mean[s], covariance[s, s], covariance[d, s])
        for name, value in zip(Shared.__annotations__, expected, strict=False):
            torch.testing.assert_close(getattr(after, name)[visit], value, rtol=1e-8, atol=1e-10)
    narrower = fits.covariance.diagonal(dim1=1, dim2=2) - after.covariance.diagonal(dim1=1, dim2=2)
    assert bool((narrower > 0).all())


def test_how_often_visits_are_unlike_is_learned_from_them() -> None:
    population = some_population(scale=0.05)
    truth = drawn(population, 400)
    home = learned(linear_visits(truth, 20.0, table=True))
    assert bool((home.shares[1:, 0] > 0.9).all())
    torch.testing.assert_close(home.shares.sum(-1), torch.ones(len(GROUPS)).double())
    torch.testing.assert_close(home.shares[0], doubted()[0])  # a star table tells the orbit: it has no population
    shares = torch.tensor([0.6, 0.1, 0.3], dtype=torch.float64)
    kind = np.random.default_rng(3).choice(3, 400, p=shares.numpy())
    spread = torch.as_tensor(np.where(kind == 1, 3.0, 1.0))
    column = int((population.index == 5).nonzero())
    mean, sigma = population.mean[column], population.covariance[column, column].sqrt()
    fast = torch.where(torch.as_tensor(kind == 2), truth[:, 0], mean + spread * (truth[:, 5] - mean))
    fits = linear_visits(torch.cat([truth[:, :5], fast[:, None]], 1), 20.0 / float(sigma) ** 2, table=True)
    found = population._learned_shares(Shared.free(fits))
    torch.testing.assert_close(found[3], shares, atol=0.08, rtol=0)
    assert float(found[2, 0]) > 0.9


def test_a_few_visits_hardly_change_how_often_visits_are_unlike() -> None:
    few = learned(linear_visits(drawn(some_population(), 3), 20.0, table=True))
    torch.testing.assert_close(few.shares, doubted(), atol=0.06, rtol=0)


@pytest.mark.parametrize("table", [True, False], ids=["star table", "no star table"])
def test_a_population_like_the_fits_own_prior_changes_nothing(table: bool) -> None:
    low = NO_BOUND if table else -0.3
    fits = linear_visits(drawn(some_population(table), 6), 0.5, table, low=low)
    own = like_the_fits_prior(table)
    same(own.given(Shared.free(fits)), Shared.of(fits), tolerance=1e-3 if low != NO_BOUND else 1e-9)  # by brute force


def test_the_half_normal_population_is_the_fits_prior_times_its_gaussian_in_b() -> None:
    """b^2 / sigma of 0.35 above 0 has density b^-1 exp(-b^2 / 2 s^2): moments by brute force in b."""
    fits = linear_visits(drawn(some_population(False), 4), 0.5, table=False, low=0.0)
    after = like_the_fits_prior(False, b_sigma=0.3).given(Shared.free(fits))
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


def test_depths_given_the_right_population_are_nearer_the_truth_and_their_errors_honest() -> None:
    population = some_population(scale=0.1)
    fits = linear_visits(drawn(population, 400), 0.05, table=True)
    after = population.given(Shared.free(fits))
    error = [(found.depth - 0.01) for found in (fits, after)]
    assert float(error[1].square().mean()) < 0.98 * float(error[0].square().mean())
    assert z_spread(after) == pytest.approx(1.0, abs=0.08)


def z_spread(found: Shared) -> float:
    return float(((found.depth - 0.01) / found.covariance.diagonal(dim1=1, dim2=2).sqrt()).square().mean().sqrt())


# --- whether it holds ----------------------------------------------------------------------------------------------


def plainly_weighed(
    mean: Tensor, covariance: Tensor, population: Population, group_of: list[int]
) -> tuple[Tensor, ...]:
    """The mixture over kinds of ``group_of``'s groups of one visit's Gaussian, by measurements of s and Bayes' rule."""
    s = slice(CHANNELS, None)
    precision = torch.linalg.inv(covariance)
    information = torch.linalg.inv(covariance[s, s]) - torch.eye(SHARED).double()
    noise = torch.linalg.inv(information)
    seen = noise @ torch.linalg.inv(covariance[s, s]) @ mean[s]
    kin = ((1.0, 0.7), (9.0, 0.2), (math.inf, 0.1))
    evidence, means, covariances, wide = [], [], [], []
    for chosen in itertools.product(kin, repeat=len(group_of)):
        prior_mean, prior = torch.zeros(SHARED).double(), torch.eye(SHARED).double()
        factor = torch.ones(SHARED).double()
        on = []
        for group, (times, _) in zip(group_of, chosen, strict=True):
            mine = [int(place) for place in population.index if OF[place] == group]
            if times < math.inf:
                factor[mine] = math.sqrt(times)
                on += mine
        where = [population.index.tolist().index(place) for place in on]
        for place, m in zip(on, where, strict=True):
            prior_mean[place] = population.mean[m]
            for other, n in zip(on, where, strict=True):
                prior[place, other] = population.covariance[m, n] * factor[place] * factor[other]
        evidence.append(
            math.log(math.prod(share for _, share in chosen))
            + torch.distributions.MultivariateNormal(prior_mean, noise + prior).log_prob(seen)
        )
        with_prior = precision.clone()
        with_prior[s, s] += torch.linalg.inv(prior) - torch.eye(SHARED).double()
        pull = precision @ mean
        pull[s] += torch.linalg.inv(prior) @ prior_mean
        covariances.append(torch.linalg.inv(with_prior))
        means.append(covariances[-1] @ pull)
        wide.append([times == math.inf for times, _ in chosen])
    share = torch.softmax(torch.stack(evidence), 0)
    middle = sum(p * m for p, m in zip(share, means, strict=True))
    spread = sum(p * (c + torch.outer(m - middle, m - middle))
                 for p, m, c in zip(share, means, covariances, strict=True))  # fmt: skip
    return middle, spread, share @ torch.tensor(wide).double()


def joint(found: ClassicalFit | Shared, visit: int) -> tuple[Tensor, Tensor]:
    cross = found.cross_covariance[visit]
    covariance = torch.cat([torch.cat([found.covariance[visit], cross], 1),
                            torch.cat([cross.T, found.shared_covariance[visit]], 1)])  # fmt: skip
    return torch.cat([found.depth[visit], found.shared[visit]]), covariance


def test_a_visit_is_the_mixture_of_what_it_may_be_by_its_own_evidence() -> None:
    population = some_population(scale=0.1)
    fits = linear_visits(drawn(population, 6), 0.3, table=True)
    for visit in range(3):  # of which some parameter is elsewhere
        fits.shared[visit, 3 + visit] += 1.5
    after, unlike = visit_posteriors(fits, {True: population})
    assert float(unlike.max()) > 0.5
    for visit in range(6):
        mean, covariance = joint(fits, visit)
        mean, covariance, drift = plainly_weighed(mean, covariance, population, [2, 3])
        mean, covariance, rest = plainly_weighed(mean, covariance, population, [1])
        found = joint(after, visit)
        torch.testing.assert_close(found[0], mean, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(found[1], covariance, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(unlike[visit, 1:], torch.cat([rest, drift]), rtol=1e-6, atol=1e-8)


def test_how_central_a_transit_is_follows_from_its_own_b() -> None:
    """Shares of half-normal populations and of the fit's prior by brute force in b, all else unknown."""
    values = torch.tensor([0.0, 0.1, 0.3, 0.6, 0.9], dtype=torch.float64)
    truth = torch.zeros(len(values), SHARED).double()
    truth[:, B2] = values**2 / POPULATION_B2_SIGMA
    fits = linear_visits(truth, 20.0, table=False, low=0.0)
    population = replace(like_the_fits_prior(False, b_sigma=0.15), index=torch.arange(0))
    population = replace(population, mean=torch.zeros(0).double(), covariance=torch.zeros(0, 0).double())
    _, unlike = visit_posteriors(fits, {False: population})
    b = torch.linspace(0, 3, 100_001, dtype=torch.float64)
    wide = -0.5 * (b**2 / POPULATION_B2_SIGMA) ** 2
    for visit in range(len(values)):
        mean, variance, _ = fits.free_b2[visit]
        seen = -0.5 * (b**2 / POPULATION_B2_SIGMA - mean) ** 2 / variance  # includes the fit's prior
        logs = [math.log(0.1) + torch.logsumexp(seen, 0) - torch.logsumexp(wide, 0)]
        for times, share in ((1.0, 0.7), (9.0, 0.2)):
            half = -0.5 * b**2 / (times * 0.15**2)
            logs.append(math.log(share) + torch.logsumexp(seen + half, 0) - torch.logsumexp(wide + half, 0))
        expected = torch.softmax(torch.stack(logs), 0)[0]
        torch.testing.assert_close(unlike[visit, 0], expected, rtol=5e-3, atol=1e-6)
    assert float(unlike[0, 0]) < 0.1
    assert float(unlike[-1, 0]) > 0.5  # the others: three times as scattered


def test_a_population_from_elsewhere_spoils_no_error_bar_and_at_home_little_is_lost() -> None:
    population = some_population(scale=0.05)
    foreign = replace(population, mean=-2.0 * population.mean)
    home, away = (linear_visits(drawn(one, 400), 1.0, table=True) for one in (population, foreign))
    believed, (found, _) = population.given(Shared.free(away)), visit_posteriors(away, {True: population})
    assert z_spread(believed) > 2.0
    assert z_spread(found) < 1.1
    lost = [float((log_likelihood(one) - log_likelihood(Shared.of(away))).mean()) for one in (believed, found)]
    assert lost[1] > 0.02 * lost[0] > -0.05
    believed, (found, unlike) = population.given(Shared.free(home)), visit_posteriors(home, {True: population})
    assert z_spread(found) == pytest.approx(1.0, abs=0.07)
    gain = [float((log_likelihood(one) - log_likelihood(Shared.of(home))).mean()) for one in (believed, found)]
    assert gain[1] > 0.85 * gain[0] > 0.05
    assert not bool((unlike > 0.9).any())


def test_what_one_group_is_like_is_no_evidence_for_another() -> None:
    population = some_population(scale=0.05)
    truth = drawn(population, 50)
    truth[:, 5] += 3.0
    _, unlike = visit_posteriors(linear_visits(truth, 2.0, table=True), {True: population})
    assert float(unlike[:, 3].median()) > 0.9
    assert float(unlike[:, 1].median()) < 0.1
    assert float(unlike[:, 2].median()) < 0.1
    names = unlike_note(unlike.median(0).values.tolist())
    assert names == "unlike the visits that the populations are learned from, so told by wide priors: fast drift"
    assert unlike_note([0.5] * len(GROUPS)) == ""


@pytest.mark.parametrize("table", [True, False], ids=["star table", "no star table"])
def test_a_visits_answer_does_not_depend_on_its_company(table: bool) -> None:
    population = replace(some_population(table), b_sigma=math.inf if table else 0.3)
    fits = linear_visits(drawn(population, 6).abs(), 0.5, table, low=NO_BOUND if table else 0.0)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    whole, shuffled, alone = (
        visit_posteriors(f, {table: population})[0] for f in (fits, fits.select(order), fits.select(torch.tensor([2])))
    )
    for name in Shared.__annotations__:
        torch.testing.assert_close(getattr(shuffled, name), getattr(whole, name)[order])
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name)[2:3])


def test_a_population_never_makes_a_visit_less_certain_than_the_fits_prior() -> None:
    population = some_population()
    wide = replace(population, covariance=30.0 * population.covariance + 4.0 * torch.eye(3).double())
    fits = linear_visits(drawn(population, 5), 1e-4, table=True)
    fits.shared_covariance.mul_(1.05)  # as with two solutions
    after = wide.given(Shared.free(fits))
    assert bool((torch.linalg.eigvalsh(after.shared_covariance) > 0).all())
    assert float(after.shared_covariance.diagonal(dim1=1, dim2=2).max()) < 1.06


# --- visits of one planet ------------------------------------------------------------------------------------------

COMMON = torch.tensor([1, 2, 3])


def one_planets_visits(visits: int, precision: float, seed: int) -> ClassicalFit:
    """Visits that share orbit and limb darkening, drawn from the fit's prior."""
    rng = np.random.default_rng([9, seed])
    truth = torch.as_tensor(rng.standard_normal((visits, SHARED)))
    truth[:, COMMON] = truth[0, COMMON].clone()
    return linear_visits(truth, precision, True, seed)


def test_visits_combine_as_in_the_joint_gaussian_of_all_their_parameters() -> None:
    fits = one_planets_visits(3, 0.2, 1)
    own = [place for place in range(SHARED) if place not in COMMON]
    size = CHANNELS + len(COMMON)
    precision = torch.zeros(size + 3 * len(own), size + 3 * len(own)).double()
    pull = torch.zeros(len(precision)).double()
    for visit in range(3):
        mean, covariance = joint(fits, visit)
        places = torch.empty(CHANNELS + SHARED, dtype=torch.long)
        places[:CHANNELS], places[CHANNELS + COMMON] = torch.arange(CHANNELS), torch.arange(CHANNELS, size)
        places[CHANNELS + torch.tensor(own)] = torch.arange(len(own)) + size + visit * len(own)
        inverse = torch.linalg.inv(covariance)
        precision[places[:, None], places] += inverse
        pull[places] += inverse @ mean
    precision[range(CHANNELS, size), range(CHANNELS, size)] -= 2.0  # the prior, once
    covariance = torch.linalg.inv(precision)
    mean = covariance @ pull
    found = combine_visits(Shared.free(fits), COMMON)
    torch.testing.assert_close(found.depth[0], mean[:CHANNELS], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.covariance[0], covariance[:CHANNELS, :CHANNELS], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.shared[0, COMMON], mean[CHANNELS:size], rtol=1e-7, atol=1e-9)
    cross = covariance[:CHANNELS, CHANNELS:size]
    torch.testing.assert_close(found.cross_covariance[0][:, COMMON], cross, rtol=1e-6, atol=1e-9)
    assert not found.cross_covariance[0][:, own].any()


def test_what_is_wrong_in_all_visits_does_not_average_out() -> None:
    """A star table off by its sigma: z of the combined depth is 1 with it in common, and 2 without."""
    rng, visits, noise = np.random.default_rng(3), 8, 1e-4
    along = noise * torch.linspace(0.5, 1.5, CHANNELS).double()  # a depth's answer to one sigma of the table
    spread = noise**2 * torch.eye(CHANNELS).double() + torch.outer(along, along)
    cross = torch.zeros(CHANNELS, SHARED).double()
    cross[:, 2] = along
    together, apart = [], []
    for _ in range(300):
        seen = 0.01 - rng.standard_normal() * along + noise * torch.as_tensor(rng.standard_normal((visits, CHANNELS)))
        same = (torch.eye(SHARED).double(), cross, torch.tensor([0.0, 1.0, NO_BOUND]).double())
        own, between, free_b2 = (part.expand(visits, *part.shape) for part in same)
        shared = torch.zeros(visits, SHARED).double()
        fits = as_fits(seen, spread.expand(visits, -1, -1), shared, own, between, free_b2, table=True)
        together.append(planet_depths(Shared.free(fits), {}, OF))
        apart.append((fits.depth.mean(0), spread / visits))
    spreads = []
    for found in (together, apart):
        depth, covariance = (torch.stack(part) for part in zip(*found, strict=True))
        spreads.append(float(((depth - 0.01) / covariance.diagonal(dim1=1, dim2=2).sqrt()).square().mean().sqrt()))
    assert spreads[0] == pytest.approx(1.0, abs=0.08)
    assert spreads[1] > 1.7


def test_one_visit_is_what_it_is_and_the_order_of_visits_does_not_matter() -> None:
    population = {True: some_population(scale=0.1)}
    fits = one_planets_visits(3, 0.2, 1)
    alone, _ = visit_posteriors(fits.select(torch.tensor([1])), population)
    depth, covariance = planet_depths(Shared.free(fits.select(torch.tensor([1]))), population, OF)
    assert torch.equal(depth, alone.depth[0])
    assert torch.equal(covariance, alone.covariance[0])
    one, two = (
        planet_depths(Shared.free(fits.select(torch.tensor(n))), population, OF) for n in ([0, 1, 2], [2, 0, 1])
    )
    torch.testing.assert_close(one[0], two[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one[1], two[1], rtol=1e-9, atol=1e-12)


def under_another_prior(fits: ClassicalFit, visit: int, mean: Tensor, sigma: Tensor, table: bool) -> None:
    """Fit ``visit`` again under a prior N(mean, sigma) (S,) instead of N(0, 1), in place."""
    value, covariance = joint(fits, visit)
    precision, s = torch.linalg.inv(covariance), slice(CHANNELS, None)
    pull = precision @ value
    precision[s, s] += torch.diag(sigma**-2 - 1.0)
    pull[s] += mean / sigma**2
    covariance = torch.linalg.inv(precision)
    value = covariance @ pull
    fits.depth[visit], fits.shared[visit] = value[:CHANNELS], (value[s] - mean) / sigma
    fits.covariance[visit], fits.cross_covariance[visit] = (
        covariance[:CHANNELS, :CHANNELS],
        covariance[:CHANNELS, s] / sigma,
    )
    fits.shared_covariance[visit] = covariance[s, s] / (sigma[:, None] * sigma)
    fits.free_b2[visit] = torch.stack(
        [fits.shared[visit, B2], fits.shared_covariance[visit, B2, B2], -mean[B2] / sigma[B2]]
    )
    fits.prior_mean[visit] += mean
    fits.prior_sigma[visit], fits.table_known[visit] = sigma, table


def test_visits_combine_alike_whatever_prior_each_was_fitted_under() -> None:
    """Wider where a visit's curve doubted its star table, elsewhere where it has none: what one saw holds for all."""
    fits, other = one_planets_visits(3, 0.2, 1), one_planets_visits(3, 0.2, 1)
    own = torch.ones(SHARED).double()
    for visit, (place, mean, sigma) in enumerate([(1, 0.4, 1.7), (2, -0.8, 3.0)], 1):
        means = torch.zeros(SHARED).double().index_fill(0, torch.tensor([place, 3]), mean)
        sigmas = own.index_fill(0, torch.tensor([place, 3]), sigma)
        under_another_prior(other, visit, means, sigmas, table=False)
    expected = planet_depths(Shared.free(fits), {}, OF)
    for order in ([0, 1, 2], [2, 0, 1]):
        found = planet_depths(Shared.free(other.select(torch.tensor(order))), {}, OF)
        torch.testing.assert_close(found[0], expected[0], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(found[1], expected[1], rtol=1e-7, atol=1e-10)


def test_a_table_that_is_far_off_is_trusted_less_by_all_visits_together_and_a_right_one_as_much() -> None:
    """Each visit is hardly pulled; together they are, as one visit with all their data would be."""
    rng, pulled = np.random.default_rng(5), {}
    for off in (0.0, 6.0):
        found = []
        for seed in range(100):
            truth = torch.as_tensor(rng.standard_normal((8, SHARED)))
            truth[:, COMMON] = torch.tensor([off, 0.0, 0.0]).double()
            fits = linear_visits(truth, 0.01, True, seed)
            fits = replace(fits, table_trust=torch.tensor([[1.0, 3.0]]).double().expand(8, -1))
            found.append(combine_visits(Shared.free(fits), COMMON))
        together = Shared.join(found)
        wider = together.table_trust[:, 0]
        pulled[off] = (together.shared[:, B2] * together.prior_sigma[:, B2], wider)
    assert float((pulled[0.0][1] > 1.0).double().mean()) < 0.1
    assert float(pulled[6.0][1].mean()) > 2.0
    assert float(pulled[6.0][0].mean()) > 4.0


def test_a_lost_visit_counts_nothing() -> None:
    fits = one_planets_visits(3, 0.2, 1)
    fits.depth[1], fits.shared[1], fits.cross_covariance[1] = 0.0, 0.0, 0.0
    fits.covariance[1] = 1e8 * UNKNOWN_SIGMA**2 * torch.eye(CHANNELS)  # depths of these tests know little
    fits.shared_covariance[1], fits.free_b2[1] = torch.eye(SHARED), torch.tensor([0.0, 1.0, -1.0])
    fits.table_known[1], fits.prior_mean[1] = False, 0.0
    expected = planet_depths(Shared.free(fits.select(torch.tensor([0, 2]))), {}, OF)
    found = planet_depths(Shared.free(fits), {}, OF)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-6, atol=1e-12)


def test_a_visit_with_several_solutions_takes_no_information_away() -> None:
    fits = one_planets_visits(2, 0.2, 1)
    fits.shared_covariance[1, COMMON[:, None], COMMON] = 4.0 * torch.eye(3).double()
    fits.cross_covariance[1, :, COMMON] = 0.0
    alone = combine_visits(Shared.free(fits.select(torch.tensor([0]))), COMMON)
    both = combine_visits(Shared.free(fits), COMMON)
    low = torch.linalg.eigvalsh(alone.covariance[0] - both.covariance[0])
    assert float(low.min()) > -1e-12
    assert bool((both.shared_covariance[0].diagonal() <= alone.shared_covariance[0].diagonal() + 1e-9)[COMMON].all())


def test_the_groups_are_those_of_the_fits_parameters() -> None:
    drift = [2, 2, 2, 3, 3]
    assert shared_groups(23).tolist() == [-1, 0, 0, *[1] * 8, *drift, *drift, 2, 2]
    assert shared_groups(11, FitSettings(drift="channel")).tolist() == [-1, 0, 0, *[1] * 8]
    assert shared_groups(17, FitSettings(drift_sigma=(1e-3, 1e-3))).tolist() == [-1, 0, 0, *[1] * 8, *[2] * 6]


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
