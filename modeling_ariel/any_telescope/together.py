"""Visits and instruments of one planet together: one orbit, a spectrum of each instrument.

Every visit is fitted by itself; its likelihood, a Gaussian of its depths and of what the visits share, is the posterior
over the prior. The product of all of them under one prior is the joint fit's linear step; visits are then fitted again
about its orbit, until the step is at home there (Gauss-Newton, with each visit's nuisances marginalised).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from modeling_ariel.any_telescope.binning import bin_times
from modeling_ariel.any_telescope.fitting import FREE_LIMB, FitChoices, Shape, VisitFit, fit_visit
from modeling_ariel.any_telescope.folding import fold
from modeling_ariel.any_telescope.limb_darkening import LimbDarkening
from modeling_ariel.any_telescope.observation import HOURS, Array, Observation, ObservationError
from modeling_ariel.any_telescope.orbit import Orbit, transits
from modeling_ariel.any_telescope.scan import without_scan
from modeling_ariel.light_curve_model import B2
from modeling_ariel.retrieval import ClassicalFit
from modeling_ariel.shared_parameters import Shared, no_wider_than_the_prior
from modeling_ariel.status import DOUBTFUL, FITTED, NO_TRANSIT, OK, best_status, counted, planet_note

MOST_TIMES = 800
_ROUNDS = 2  # of fits about the joint orbit
_WIDER = 3.0  # times the joint orbit's errors, for a visit that is fitted about it
_LEAST_NEW = 0.1  # of a visit's variance, that the others do not share
_APART = 4.0  # sigma: visits that differ by more are doubted
_FAINT = 8.0  # signal-to-noise of a transit that is found by itself, whatever its noise
_SAME = 1e-7  # relative flux
_UNIT = 1e-4  # of depths, in matrices
_ORBIT = (B2, 2)  # b^2 and ln speed among the shared parameters


@dataclass(frozen=True, eq=False)
class Spectrum:
    """``instrument``, ``wavelength`` and ``half_width`` [um], ``depth``, ``visits`` (C,); ``covariance`` (C, C)."""

    instrument: tuple[str, ...]
    wavelength: Array
    half_width: Array
    depth: Array
    covariance: Array
    visits: tuple[int, ...]

    @property
    def depth_err(self) -> Array:
        """(C,) standard deviations."""
        return np.sqrt(np.diagonal(self.covariance))


@dataclass(frozen=True)
class MidTime:
    """A visit's mid-transit [BJD_TDB, or hours where its times have no zero], its error [d or h] and epoch's number.

    ``late`` [d or h] behind the ephemeris, NaN without one.
    """

    visit: str
    number: int
    time: float
    error: float
    late: float


@dataclass(frozen=True, eq=False)
class TelescopeFit:
    """What visits say of their planet.

    ``visits`` with their fits; ``spectrum``; ``shape`` (2,) and ``shape_covariance`` (2, 2) of b^2 and ln speed
    [stellar radii / h]; ``times`` of mid-transit; ``status``, as in ``modeling_ariel.status``, with ``notes`` on it.
    """

    visits: tuple[VisitFit, ...]
    spectrum: Spectrum
    shape: Array
    shape_covariance: Array
    times: tuple[MidTime, ...]
    status: str
    notes: str


def fit_observations(
    observations: Observation | Sequence[Observation],
    orbit: Orbit | None = None,
    choices: FitChoices | Sequence[FitChoices] | None = None,
    each: bool = False,
    times: int = MOST_TIMES,
) -> TelescopeFit:
    """From light curves to a spectrum: visits of one or several instruments, which share the planet's orbit.

    A light curve of many transits is cut to them; where some are too faint by themselves, they are folded. Of more than
    ``times`` in a transit neighbours are averaged first, never over a gap. Observations of one ``instrument``
    and the same wavelengths share depths and limb darkening too, unless ``each`` visit is to have depths of its own.
    ``choices`` are the same for all, or one for each observation.

    Raises:
        ObservationError: where no transit is in an observation, choices do not fit it, or one is given twice. What is
            wrong with light curves is the status.
    """
    given = [observations] if isinstance(observations, Observation) else list(observations)
    if not given:
        raise ObservationError("light curves: expected at least one observation, found none")
    _refuse_copies(given)
    orbit, chosen = orbit or Orbit(), _for_each(choices, len(given))
    parts, visits = list[FitChoices](), list[VisitFit]()
    for one, own in zip(given, chosen, strict=True):
        found = _transits(one, orbit, own, each, times)
        visits += found
        parts += [own] * len(found)
    states = [visit.fit.status[0] for visit in visits]
    members = [place for place in counted(states) if states[place] in FITTED] or [0]
    groups = _groups([visits[place].observation for place in members], each)
    prior = _Prior.of([visits[place].fit for place in members])
    joint = _joint([visits[place].fit for place in members], groups, prior)
    for _ in range(_ROUNDS if len(members) > 1 else 0):
        for place in members:
            visit = visits[place]
            again = fit_visit(visit.observation, orbit, parts[place], joint.wider, visit.tried)
            if again.fit.status[0] in FITTED:
                visits[place] = again
        joint = _joint([visits[place].fit for place in members], groups, prior)
    common = _CommonLimb.of([visits[place] for place in members], [parts[place] for place in members], groups)
    if common.groups:
        joint = common.joint(prior, orbit, joint.wider)
    return _answer(visits, members, groups, joint, orbit)


def _transits(observation: Observation, orbit: Orbit, choices: FitChoices, each: bool, times: int) -> list[VisitFit]:
    """Fits of an observation's transits; one of all where some are faint, for the others would be the deep ones."""
    cut = transits(observation, orbit)
    visits = [fit_visit(bin_times(without_scan(part), times), orbit, choices) for part in cut]
    if each or len(visits) < 2 or not any(_is_faint(visit.fit) for visit in visits):
        return visits
    return [fit_visit(fold(cut, orbit, times, observation.name), orbit, choices)]


def _is_faint(fit: ClassicalFit) -> bool:
    return fit.status[0] == NO_TRANSIT or (fit.status[0] in FITTED and float(fit.snr[0]) < _FAINT)


def _refuse_copies(given: Sequence[Observation]) -> None:
    """ObservationError where two have the same light curves, be it in other units: errors would be too small."""
    relative = [one.flux / np.nanmedian(np.where(one.flux == 0, np.nan, one.flux), axis=0) for one in given]
    for (one, flux), (other, again) in combinations(zip(given, relative, strict=True), 2):
        if one.shape == other.shape and np.allclose(flux, again, rtol=0, atol=_SAME, equal_nan=True):
            raise ObservationError(f"{one.name}, {other.name}: expected different light curves, found the same twice")


def _for_each(choices: FitChoices | Sequence[FitChoices] | None, count: int) -> list[FitChoices]:
    if choices is None or isinstance(choices, FitChoices):
        return [choices or FitChoices()] * count
    if len(choices) != count:
        raise ObservationError(f"choices: expected one, or one for each of {count} observations, found {len(choices)}")
    return list(choices)


def _groups(observations: Sequence[Observation], each: bool) -> list[int]:
    """Number of the spectrum that each observation has a part in, from 0."""
    found: list[Observation] = []
    numbers = []
    for one in observations:
        alike = [k for k, other in enumerate(found) if not each and _alike(one, other)]
        numbers.append(alike[0] if alike else len(found))
        if not alike:
            found.append(one)
    return numbers


def _alike(one: Observation, other: Observation) -> bool:
    """Whether two observations see the same channels of one instrument."""
    same = one.shape[1] == other.shape[1] and one.instrument == other.instrument
    return same and np.allclose(one.wavelength, other.wavelength, rtol=1e-4, equal_nan=True)


# --- the product of likelihoods ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Prior:
    """Of b^2 and ln speed: ``mean``, ``sigma`` (2,); ``low``: b^2 = 0 in its sigma; ``table``: whether one told it."""

    mean: Tensor
    sigma: Tensor
    low: Tensor
    table: Tensor

    @classmethod
    def of(cls, fits: Sequence[ClassicalFit]) -> _Prior:
        """That of the visit which trusts the orbit least: what one visit contradicts the others may not repeat."""
        lead = max(fits, key=lambda one: float(one.prior_sigma[0, 2]))
        mean, sigma = (part[0, list(_ORBIT)] for part in (lead.prior_mean, lead.prior_sigma))
        return cls(mean, sigma, lead.free_b2[:, 2], lead.table_known)


@dataclass(frozen=True, eq=False)
class _Joint:
    """Depths of each spectrum one after the other, with their covariance; shape (2,) and covariance (2, 2)."""

    depth: Array
    covariance: Array
    shape: Array
    shape_covariance: Array

    @property
    def wider(self) -> Shape:
        """The shape with errors that leave a visit its own, to fit it about."""
        return Shape(torch.as_tensor(self.shape), _WIDER * torch.as_tensor(self.shape_covariance).diagonal().sqrt())


def _joint(fits: Sequence[ClassicalFit], groups: Sequence[int], prior: _Prior) -> _Joint:
    """The posterior of all visits. Limb darkening that channels share smoothly is one for a group's visits."""
    places, size = _layout(fits, groups)
    precision, pull = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    precision[0, 0], precision[1, 1] = 1.0, 1.0  # the prior, in its sigmas
    limbs = {int(place) for own, fit in zip(places, fits, strict=True) for place in own[2 + fit.depth.shape[-1] :]}
    for place in limbs:
        precision[place, place] += 1.0
    for fit, own in zip(fits, places, strict=True):
        told, pulled = _likelihood(fit, prior)
        precision[own[:, None], own] += told
        pull[own] += pulled
    covariance = torch.linalg.inv(precision)
    covariance = 0.5 * (covariance + covariance.T)
    mean = covariance @ pull
    depths = torch.tensor([place for place in range(2, size) if place not in limbs])
    shape = torch.cat([mean.new_zeros(1), mean[:2]])
    shape_covariance = torch.block_diag(torch.ones(1, 1).to(mean), covariance[:2, :2])
    between = _UNIT * torch.cat([mean.new_zeros(len(depths), 1), covariance[depths, :2]], 1)
    whole = Shared(
        depth=_UNIT * mean[depths][None],
        covariance=_UNIT**2 * covariance[depths[:, None], depths][None],
        shared=shape[None],
        shared_covariance=shape_covariance[None],
        cross_covariance=between[None],
        low=prior.low,
        with_table=prior.table,
        prior_mean=torch.cat([mean.new_zeros(1), prior.mean])[None],
        prior_sigma=torch.cat([mean.new_ones(1), prior.sigma])[None],
        table_trust=mean.new_ones(1, 2),
    ).bounded()
    unit = prior.sigma
    return _Joint(
        depth=whole.depth[0].numpy(),
        covariance=whole.covariance[0].numpy(),
        shape=(prior.mean + unit * whole.shared[0, 1:]).numpy(),
        shape_covariance=(unit[:, None] * unit * whole.shared_covariance[0, 1:, 1:]).numpy(),
    )


def _layout(fits: Sequence[ClassicalFit], groups: Sequence[int]) -> tuple[list[Tensor], int]:
    """Where each visit's orbit (2), depths (C) and shared limb darkening (L) are in the whole, and how large it is."""
    first: dict[int, Tensor] = {}
    size = 2
    for fit, group in zip(fits, groups, strict=True):
        if group not in first:
            count = fit.depth.shape[-1] + fit.shared.shape[-1] - 3
            first[group] = torch.cat([torch.arange(2), torch.arange(size, size + count)])
            size += count
    return [first[group] for group in groups], size


def _likelihood(fit: ClassicalFit, prior: _Prior) -> tuple[Tensor, Tensor]:
    """Precision, and its mean times it, of orbit, depths and shared limb darkening by a visit's data alone.

    Orbits are counted from the joint prior, in its sigmas; depths in 100 ppm.
    """
    orbit, rest = list(_ORBIT), list(range(3, fit.shared.shape[-1]))
    own = no_wider_than_the_prior(Shared.free(fit), torch.tensor(orbit + rest))
    unit = own.prior_sigma[0, orbit] / prior.sigma
    shift = (own.prior_mean[0, orbit] - prior.mean) / prior.sigma
    scale = torch.cat([unit, unit.new_full((fit.depth.shape[-1],), 1 / _UNIT), unit.new_ones(len(rest))])
    covariance, cross = own.shared_covariance[0], own.cross_covariance[0]
    whole = torch.cat(
        [
            torch.cat([covariance[orbit][:, orbit], cross[:, orbit].T, covariance[orbit][:, rest]], 1),
            torch.cat([cross[:, orbit], own.covariance[0], cross[:, rest]], 1),
            torch.cat([covariance[rest][:, orbit], cross[:, rest].T, covariance[rest][:, rest]], 1),
        ]
    )
    precision = torch.linalg.inv(scale[:, None] * whole * scale)
    mean = scale * torch.cat([own.shared[0, orbit], own.depth[0], own.shared[0, rest]])
    mean[:2] += shift
    pull = precision @ mean
    channels = fit.depth.shape[-1]
    precision[[0, 1], [0, 1]] -= unit**-2
    pull[:2] -= unit**-2 * shift
    limb = torch.arange(2 + channels, len(mean))
    precision[limb, limb] -= 1.0
    return precision, pull


# --- limb darkening that is given ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _CommonLimb:
    """Visits whose channels have limb darkening with errors of their own: it is one star's, and no visit's alone.

    ``groups`` of them; ``numbers``, the group of each visit.
    """

    visits: list[VisitFit]
    choices: list[FitChoices]
    numbers: Sequence[int]
    groups: tuple[int, ...]

    @classmethod
    def of(cls, visits: list[VisitFit], choices: list[FitChoices], numbers: Sequence[int]) -> _CommonLimb:
        """With the groups of several visits whose limb darkening has errors."""
        told = {group for group, own in zip(numbers, choices, strict=True) if _uncertain(own.limb)}
        return cls(visits, choices, numbers, tuple(one for one in sorted(told) if list(numbers).count(one) > 1))

    def joint(self, prior: _Prior, orbit: Orbit, shape: Shape) -> _Joint:
        """Visits together at one limb darkening, and what its errors add to the depths, once."""
        fits = [visit.fit for visit in self.visits]
        added: dict[int, list[Array]] = {group: [] for group in self.groups}
        for place, (visit, own) in enumerate(zip(self.visits, self.choices, strict=True)):
            group = self.numbers[place]
            if group not in added:
                continue
            fixed = replace(own, limb=self._mean(group))
            fits[place] = fit_visit(visit.observation, orbit, fixed, shape, visit.tried).fit
            added[group].append((visit.fit.covariance[0] - fits[place].covariance[0]).numpy())
        joint = _joint(fits, self.numbers, prior)
        covariance, start = joint.covariance.copy(), 0
        for group in sorted(set(self.numbers)):
            size = fits[list(self.numbers).index(group)].depth.shape[-1]
            if group in added:
                covariance[start : start + size, start : start + size] += _positive(np.mean(added[group], axis=0))
            start += size
        return replace(joint, covariance=covariance)

    def _mean(self, group: int) -> LimbDarkening:
        """The mean of a group's visits, without errors."""
        own = [visit for visit, number in zip(self.visits, self.numbers, strict=True) if number == group]
        u = np.mean([visit.fit.limb_darkening[0].T.numpy() for visit in own], axis=0)
        return LimbDarkening(own[0].observation.wavelength, u, np.zeros_like(u))


def _uncertain(limb: LimbDarkening | str | None) -> bool:
    return limb == FREE_LIMB if isinstance(limb, str) else limb is not None and bool((limb.u_err > 0).any())


def _positive(matrix: Array) -> Array:
    """A symmetric matrix without its negative part."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


# --- the answer ----------------------------------------------------------------------------------------------------


def _answer(
    visits: list[VisitFit], members: Sequence[int], groups: Sequence[int], joint: _Joint, orbit: Orbit
) -> TelescopeFit:
    states = [visit.fit.status[0] for visit in visits]
    notes = planet_note(states, [visit.fit.notes[0] for visit in visits])
    status, apart = best_status(states), _apart([visits[place] for place in members], groups, joint)
    if apart:
        status, notes = DOUBTFUL if status == OK else status, "; ".join(filter(None, [notes, apart]))
    first = {group: visits[place].observation for place, group in reversed(list(zip(members, groups, strict=True)))}
    shown = [first[group] for group in sorted(first)]
    counts = [groups.count(group) for group in sorted(first)]
    covariance = joint.covariance
    spectrum = Spectrum(
        instrument=tuple(one.instrument or one.name for one in shown for _ in one.wavelength),
        wavelength=np.concatenate([one.wavelength for one in shown]),
        half_width=np.concatenate([one.half_width for one in shown]),
        depth=joint.depth,
        covariance=covariance,
        visits=tuple(count for one, count in zip(shown, counts, strict=True) for _ in one.wavelength),
    )
    times = tuple(_mid_time(visits[place], orbit) for place in members)
    return TelescopeFit(tuple(visits), spectrum, joint.shape, joint.shape_covariance, times, status, notes)


def _apart(visits: Sequence[VisitFit], groups: Sequence[int], joint: _Joint) -> str:
    """Which visit's white depth lies far from that of all of them; empty where none does."""
    start, said = 0, []
    for group in sorted(set(groups)):
        own = [visit for visit, of in zip(visits, groups, strict=True) if of == group]
        channels = slice(start, start + own[0].observation.shape[1])
        start = channels.stop
        if len(own) < 2:
            continue
        for visit in own:
            covariance = visit.fit.covariance[0].numpy()
            share = 1.0 / np.diagonal(covariance) / (1.0 / np.diagonal(covariance)).sum()
            away = float(share @ (visit.fit.depth[0].numpy() - joint.depth[channels]))
            told, whole = (float(share @ one @ share) for one in (covariance, joint.covariance[channels, channels]))
            error = math.sqrt(max(told - whole, _LEAST_NEW * told))
            if abs(away) > _APART * error:
                said.append(f"{visit.observation.name} is {abs(away) / error:.1f} sigma from all visits together")
    return "; ".join(said)


def _mid_time(visit: VisitFit, orbit: Orbit) -> MidTime:
    fit, observation = visit.fit, visit.observation
    middle = float(fit.shape[0, 0])
    error = float(fit.shared_covariance[0, 0, 0].sqrt() * fit.prior_sigma[0, 0])
    due, _, number = orbit.due(observation)
    late = math.nan if math.isnan(orbit.t0) else middle - due
    if observation.bjd0 is None:
        return MidTime(observation.name, number, middle, error, late)
    return MidTime(observation.name, number, observation.bjd0 + middle / HOURS, error / HOURS, late / HOURS)
