"""The population of what visits share besides their spectra: impact parameter, speed, limb darkening, drift.

The fit treats every visit alone, under wide priors. How large drifts are, or how central transits, is learned from many
visits together, without any true spectrum: empirical Bayes, by the expectation-maximisation that deconvolves a Gaussian
population from measurements with known errors (Bovy, Hogg & Roweis 2011, Annals of Applied Statistics 5, 1657). Means
and sizes are pulled towards the fit's own priors, so that few visits say little (maximum a posteriori).

A population need not hold for a visit. Each group of parameters may be as the population, three times as scattered,
or as the fit's own prior says, and each visit's evidence decides. Evidence of one group is none for another: who has
the same drift need not have central transits. How often each is so, is learned from the same visits.

The impact parameter's population is half-normal in b, which in b^2 is the fit's 1 / sqrt(b^2) times exp(-b^2 / 2 s^2).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from .light_curve_model import B2
from .retrieval import ClassicalFit
from .shared_parameters import (
    FAST,
    GROUPS,
    LIMB,
    ORBIT,
    SLOW,
    Beliefs,
    Shared,
    combine_visits,
    shared_groups,
)
from .white_light import POPULATION_B2_SIGMA

# How likely, before any visit is seen, a group of a visit's parameters is of the population, of one with so many times
# its covariance, or only of the fit's prior. A visit from elsewhere needs evidence of 10 : 1 to be believed.
DOUBT = (0.7, 0.2, 0.1)
_TIMES_COVARIANCE = (1.0, 9.0, math.inf)
_DOUBT_VISITS = 20.0  # that it counts as, where shares are learned
_SIZE_SIGMA = 1.0  # prior of the ln of a population's sigma, about that of the fit's prior
_B_VISITS = 1.0  # visits that the fit's prior of b counts as
_FLOOR = 1e-3  # of a population's sigma, in sigmas of the fit's prior
_SHARE_ROUNDS = 200
_NOTED = 0.9  # share of the fit's prior from which a visit's note says so
_OF_VISIT, _OF_PLANET = (SLOW, FAST), (ORBIT, LIMB)


class PopulationError(ValueError):
    """No visits to learn a population from, or visits that cannot be of one."""


def doubted() -> Tensor:
    """``shares`` (4, 3) of a population of which no visit has been seen."""
    return torch.tensor([DOUBT] * len(GROUPS), dtype=torch.float64)


@dataclass
class Mixture:
    """Beliefs about some groups, K of them; ``wide`` (K, 4): which of GROUPS is the fit's prior in each."""

    beliefs: Beliefs
    wide: Tensor

    def of(self, free: Shared, bounded: bool) -> tuple[Shared, Tensor]:
        """Visits under it, and the share (B, 4) of each of GROUPS that is the fit's prior."""
        found, share = free.believing(self.beliefs, bounded)
        return found, share @ self.wide


@dataclass
class Population:
    """Population of shared parameters, in the fit's unit: sigmas of its prior away from that prior's mean.

    ``index`` (J,) which parameters; ``mean`` (J,) and ``covariance`` (J, J) of them; ``b_sigma`` of the half-normal
    population of impact parameters [stellar radii], infinity where a star table tells them or nothing is known;
    ``groups`` (S,) of all shared parameters, as in :func:`shared_groups`; ``shares`` (4, 3) of visits that, in each of
    GROUPS, are as the population, more scattered, or as the fit's prior says; ``DOUBT`` where left out.
    """

    index: Tensor
    mean: Tensor
    covariance: Tensor
    b_sigma: float
    groups: Tensor
    shares: Tensor = field(default_factory=doubted)

    def widened(self, times: float) -> "Population":
        """So many times as wide in limb darkening and slow drift: for stars and telescopes that no visit was of.

        One simulator's stars have the limb darkening of one grid of stellar models, and its drift one law. None gets
        wider than the fit's prior, and how many of them are like the visits learned from is not known: ``DOUBT``.
        """
        if times == 1.0:
            return self
        size = (1.0 / self.covariance.diagonal().sqrt()).clamp(1.0, times)
        size = torch.where(_is_of(self.groups[self.index], (LIMB, SLOW)), size, 1.0)
        return replace(self, covariance=self.covariance * size[:, None] * size, shares=doubted().to(self.covariance))

    @classmethod
    def fit(cls, fits: ClassicalFit, rounds: int = 1000, groups: Tensor | None = None) -> "Population":
        """Learn from visits (N,) that all have a star table, or all have none.

        The fit's prior counts as one visit that tells each mean, and as the ln of each sigma known to 1; correlations
        count as N / (N + J) of what is found, and those between drift and the rest as none; ``DOUBT`` counts as 20
        visits. ``groups`` are by default those of :class:`FitSettings`.
        """
        known = fits.table_known
        if not len(known) or bool(known.any()) != bool(known.all()):
            raise PopulationError(
                "expected fitted visits, all with a star table or all without, found "
                f"{int(known.sum())} with and {int((~known).sum())} without"
            )
        groups = (shared_groups(fits.shared.shape[-1]) if groups is None else groups).to(known.device)
        index = torch.arange(3 if bool(known[0]) else 2, len(groups), device=known.device)
        free = Shared.free(fits)
        free = replace(
            free,
            depth=free.depth[:, :0],
            covariance=free.covariance[:, :0, :0],
            cross_covariance=free.cross_covariance[:, :0],
        )
        now = cls(
            index,
            torch.zeros(len(index)).to(free.shared),
            torch.eye(len(index)).to(free.shared),
            math.inf,
            groups,
            doubted().to(free.shared),
        )
        for _ in range(rounds):
            better = now._maximised(free)
            moved = (better.covariance - now.covariance).abs().max()
            now = better
            if float(moved) < 1e-6:
                break
        return replace(now, shares=now._learned_shares(free))

    def _learned_shares(self, free: Shared) -> Tensor:
        """Most probable ``shares`` by the evidence of visits before their bound, the drift's first."""
        shares = self.shares.clone()
        for about in (_OF_VISIT, _OF_PLANET):
            last = about == _OF_PLANET
            mixture = replace(self, shares=shares)._mixture(about)
            free, found = free.believing(mixture.beliefs, bounded=last)
            own = shares[list(about)]
            likelihood = found.reshape(-1, *[len(DOUBT)] * 2) / (own[0][:, None] * own[1])
            for _ in range(_SHARE_ROUNDS):
                share = likelihood * (own[0][:, None] * own[1])
                share = share / share.sum((1, 2), keepdim=True)
                counted = torch.stack([share.sum((0, 2)), share.sum((0, 1))])
                own = (counted + _DOUBT_VISITS * doubted()[list(about)].to(own)) / (len(share) + _DOUBT_VISITS)
            shares[list(about)] = own
        return shares

    def _maximised(self, free: Shared) -> "Population":
        """One round of expectation and maximisation."""
        after, count = self.given(free), len(free.shared)
        values, errors = after.shared[:, self.index], after.shared_covariance[:, self.index][:, :, self.index]
        eye = torch.eye(len(self.index)).to(self.covariance)
        doubt = torch.linalg.solve(count * eye + self.covariance, self.covariance)  # of the mean, a priori N(0, 1)
        mean = values.mean(0) - doubt @ values.mean(0)
        found = (values - mean).T @ (values - mean) / count + errors.mean(0) + doubt
        scale = found.diagonal().rsqrt() * _shrunk_sigma(found.diagonal(), count)
        of_visit = _is_of(self.groups, _OF_VISIT)[self.index]
        kept = count / (count + len(eye)) * (of_visit[:, None] == of_visit)
        covariance = found * scale[:, None] * scale * kept.masked_fill(eye > 0, 1.0) + _FLOOR**2 * eye
        b_sigma = self.b_sigma
        if not bool(free.with_table[0]):
            b_sigma = _half_normal(POPULATION_B2_SIGMA * (after.shared[:, B2] - free.low))
        return replace(self, mean=mean, covariance=0.5 * (covariance + covariance.T), b_sigma=b_sigma)

    def given(self, free: Shared) -> Shared:
        """Visits, before the bound on b^2, were they all of this population; their bound heard."""
        beliefs = Beliefs(*(part[None] for part in self._beliefs([(self.index, 1.0)], 1.0)))
        return free.believing(beliefs, bounded=True)[0]

    def apply(self, fits: ClassicalFit) -> tuple[Shared, Tensor]:
        """Depths and shared parameters of visits that have a star table, or have none, as those learned from.

        With the share (B, 4) of each of GROUPS that the population does not explain.
        """
        settled, drift = self.of_visits.of(Shared.free(fits), bounded=False)
        found, orbit = self.of_planets.of(settled, bounded=True)
        return found, drift + orbit

    @cached_property
    def of_visits(self) -> Mixture:
        """About what is each visit's own, the drift."""
        return self._mixture(_OF_VISIT)

    @cached_property
    def of_planets(self) -> Mixture:
        """About what is planet's and star's, orbit and limb darkening."""
        return self._mixture(_OF_PLANET)

    def _mixture(self, about: Sequence[int]) -> Mixture:
        places = [self.index[self.groups[self.index] == group] for group in about]
        parts, wide = [], []
        for chosen in itertools.product(range(len(DOUBT)), repeat=len(about)):
            factors = [_TIMES_COVARIANCE[kind] for kind in chosen]
            b_factor = factors[0] if about[0] == ORBIT else math.inf
            finite = [(place, factor) for place, factor in zip(places, factors, strict=True) if factor < math.inf]
            precision, pull, log_weight = self._beliefs(finite, b_factor)
            parts.append((precision, pull, log_weight + self.shares[list(about), list(chosen)].log().sum()))
            alone = {group for group, factor in zip(about, factors, strict=True) if factor == math.inf}
            wide.append([float(group in alone) for group in range(len(GROUPS))])
        beliefs = Beliefs(*(torch.stack(column) for column in zip(*parts, strict=True)))
        return Mixture(beliefs, torch.tensor(wide).to(self.mean))

    def _beliefs(self, factors: Sequence[tuple[Tensor, float]], b_factor: float) -> tuple[Tensor, Tensor, Tensor]:
        """``precision``, ``pull`` and ``log_weight`` of one Gaussian relative to the fit's prior.

        This population's, of the parameters in ``factors`` alone, with as many times their covariance.
        """
        size, index = len(self.groups), torch.cat([self.index[:0], *(places for places, _ in factors)])
        precision, pull = self.mean.new_zeros(size, size), self.mean.new_zeros(size)
        scale, mean, covariance = torch.ones_like(pull), torch.zeros_like(pull), torch.zeros_like(precision)
        for places, factor in factors:
            scale[places] = factor**0.5
        mean[self.index], covariance[self.index[:, None], self.index] = self.mean, self.covariance
        sizes, axes = torch.linalg.eigh((covariance * scale[:, None] * scale)[index[:, None], index])
        sizes = sizes.clamp_max(1.0)  # a wider one would leave visits that know little knowing less than nothing
        precision[index[:, None], index] = (axes * (1.0 / sizes - 1.0)) @ axes.T
        pull[index] = (axes / sizes) @ (axes.T @ mean[index])
        log_weight = -0.5 * (sizes.log().sum() + mean @ pull)
        if math.isfinite(self.b_sigma) and math.isfinite(b_factor):
            rate = 1.0 / (b_factor * self.b_sigma**2)
            pull[B2] = -0.5 * POPULATION_B2_SIGMA * rate
            log_weight = log_weight - _b_moments(rate)[0]
        return precision, pull, log_weight


def visit_posteriors(fits: ClassicalFit, populations: Mapping[bool, Population]) -> tuple[Shared, Tensor]:
    """Depths and shared parameters of visits, each given the population with or without a star table, where there is.

    With the share (B, 4) of each of GROUPS that the population does not explain.
    """
    result, unlike = Shared.of(fits), torch.zeros(len(fits.shared), len(GROUPS)).to(fits.shared)
    for with_table, population in populations.items():
        rows = torch.nonzero(fits.table_known == with_table).squeeze(-1)
        if len(rows):
            found, share = population.apply(fits.select(rows))
            result, unlike = result.put(rows, found), unlike.index_copy(0, rows, share)
    return result, unlike


def planet_depths(free: Shared, populations: Mapping[bool, Population], groups: Tensor) -> tuple[Tensor, Tensor]:
    """Depth (C,) and covariance (C, C) of one planet from its visits before the bound on b^2, as `visit_posteriors`.

    Orbit and limb darkening are common to the visits.
    """
    visits = free
    for with_table, population in populations.items():
        rows = torch.nonzero(free.with_table == with_table).squeeze(-1)
        if len(rows):
            visits = visits.put(rows, population.of_visits.of(free.select(rows), bounded=False)[0])
    planet = combine_visits(visits, torch.nonzero(_is_of(groups, _OF_PLANET)).squeeze(-1))
    of_planet = populations.get(bool(planet.with_table[0]))
    planet = planet.bounded() if of_planet is None else of_planet.of_planets.of(planet, bounded=True)[0]
    return planet.depth[0], planet.covariance[0]


def unlike_note(unlike: Sequence[float]) -> str:
    """What is noted on a visit of which so much of each of GROUPS is not explained; empty where it is."""
    names = [name for name, share in zip(GROUPS, unlike, strict=True) if share > _NOTED]
    return (
        f"unlike the visits that the populations are learned from, so told by wide priors: {', '.join(names)}"
        * bool(names)
    )


def _is_of(groups: Tensor, wanted: Sequence[int]) -> Tensor:
    return torch.stack([groups == group for group in wanted]).any(0)


def _shrunk_sigma(variance: Tensor, count: int) -> Tensor:
    """Most probable sigma (J,) of Gaussians in which ``count`` values had this ``variance``, ln sigma ~ N(0, 1)."""
    log_sigma = 0.5 * variance.log().clamp_max(0.0) - 1e-3  # left of the root of a concave slope, where Newton's stays
    for _ in range(30):
        ratio = count * variance * torch.exp(-2.0 * log_sigma)
        slope = count - ratio + log_sigma / _SIZE_SIGMA**2
        log_sigma = log_sigma - slope / (2.0 * ratio + 1.0 / _SIZE_SIGMA**2)
    return log_sigma.exp()


def _b_moments(rate: float) -> tuple[float, float]:
    """Of the fit's prior in b times exp(-rate b^2 / 2): ln of its integral over that of rate 0, and the mean of b^2."""
    b = torch.linspace(0.0, 2.5, 2_501, dtype=torch.float64)
    wide = -0.5 * (b**2 / POPULATION_B2_SIGMA) ** 2
    inside = wide - 0.5 * rate * b**2
    return float(torch.logsumexp(inside, 0) - torch.logsumexp(wide, 0)), float(torch.softmax(inside, 0) @ b**2)


def _half_normal(b2: Tensor) -> float:
    """Scale of the half-normal population of impact parameters with these squares; infinity: the fit's prior."""
    wide = _b_moments(0.0)[1]
    mean = (float(b2.sum()) + _B_VISITS * wide) / (len(b2) + _B_VISITS)
    if mean >= wide:
        return math.inf
    low, high = 0.0, 1.0 / mean  # which alone, without the fit's prior, has this mean
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _b_moments(middle)[1] > mean else (low, middle)
    return high**-0.5
