"""Depths together with what channels share, as one Gaussian: other priors on it, its bound, several visits of a planet.

A fit's answer is a Gaussian of depths d and shared parameters s under the fit's own prior. Another prior on s, even a
mixture of Gaussians, changes it exactly: d follows along its covariance with s, and the evidence of each of the
mixture's Gaussians is a ratio of determinants. b^2 >= 0 is heard last, by the first two moments, as in the fit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from .joint_fit import FitSettings
from .least_squares import truncated_normal, truncated_root
from .light_curve_model import B2
from .retrieval import ClassicalFit

OWN, ORBIT, LIMB, SLOW, FAST = -1, 0, 1, 2, 3
GROUPS = ("orbit", "limb darkening", "slow drift", "fast drift")
_SLOW_ORDERS = 3  # of the drift in time, which the fit leaves free; it holds the others to a size
_DEPTH_UNIT = 1e-4  # depths are counted in 100 ppm where matrices hold shared parameters, too
_QUADRATURE = 256
_IN_TABLE = (B2, 2)  # b^2 and ln speed
_WIDENINGS = 10  # until they change little


def shared_groups(n_shared: int, settings: FitSettings | None = None) -> Tensor:
    """Which of GROUPS each of the fit's shared parameters is of (S,): ``OWN`` for the mid-time, which is of none."""
    settings = settings or FitSettings()
    orders, slopes = len(settings.drift_sigma), len(settings.wavelength_sigma)
    in_time = [SLOW if order < _SLOW_ORDERS else FAST for order in range(orders)]
    drift = [*in_time, *in_time, *[SLOW] * slopes] if settings.drift == "joint" else []
    return torch.tensor([OWN, ORBIT, ORBIT, *[LIMB] * (n_shared - 3 - len(drift)), *drift])


@dataclass
class Beliefs:
    """K Gaussians of shared parameters s relative to the fit's prior: exp(log_weight - s' precision s / 2 + pull' s).

    ``precision`` (K, S, S), ``pull`` (K, S), ``log_weight`` (K,).
    """

    precision: Tensor
    pull: Tensor
    log_weight: Tensor


@dataclass
class Shared:
    """Depths with the shared parameters of B visits, as in ClassicalFit.

    ``low`` (B,): b^2 = 0 in its prior's sigmas; ``with_table`` (B,): whether its prior is flat there, or 1 / sqrt(b^2);
    ``table_trust`` (B, 2).
    """

    depth: Tensor
    covariance: Tensor
    shared: Tensor
    shared_covariance: Tensor
    cross_covariance: Tensor
    low: Tensor
    with_table: Tensor
    prior_mean: Tensor
    prior_sigma: Tensor
    table_trust: Tensor

    @classmethod
    def of(cls, fits: ClassicalFit) -> "Shared":
        """The part of fits that populations change, b^2 bounded."""
        return cls(
            fits.depth,
            fits.covariance,
            fits.shared,
            fits.shared_covariance,
            fits.cross_covariance,
            fits.free_b2[:, 2],
            fits.table_known,
            fits.prior_mean,
            fits.prior_sigma,
            fits.table_trust,
        )

    @classmethod
    def free(cls, fits: ClassicalFit) -> "Shared":
        """The same before the bound was heard."""
        return cls.of(fits).with_b2(fits.free_b2[:, 0], fits.free_b2[:, 1])

    @classmethod
    def join(cls, parts: Sequence["Shared"]) -> "Shared":
        """The visits of all parts."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def select(self, visits: Tensor) -> "Shared":
        """These visits, given by their numbers."""
        return Shared(*(getattr(self, field.name)[visits] for field in fields(self)))

    def put(self, visits: Tensor, other: "Shared") -> "Shared":
        """The same with these visits taken from ``other``."""
        names = [field.name for field in fields(self)]
        return Shared(*(getattr(self, name).index_copy(0, visits, getattr(other, name)) for name in names))

    def with_b2(self, mean: Tensor, variance: Tensor) -> "Shared":
        """The same with another mean and variance (B,) of b^2; everything follows along its regression on it."""
        old = self.shared_covariance[:, B2, B2].clamp_min(1e-300)
        unit = torch.zeros_like(self.shared)
        unit[:, B2] = 1.0 / old
        force = unit * (mean - self.shared[:, B2])[:, None]
        return self._changed(force, (variance - old)[:, None, None] * unit[:, :, None] * unit[:, None, :])

    def _changed(self, force: Tensor, change: Tensor) -> "Shared":
        """Shared parameters s moved by V force, their covariance V by V change V; the depths follow."""
        cross, own = self.cross_covariance, self.shared_covariance
        by_change = own @ change
        return replace(
            self,
            depth=self.depth + (cross @ force[..., None]).squeeze(-1),
            covariance=self.covariance + cross @ change @ cross.transpose(-1, -2),
            shared=self.shared + (own @ force[..., None]).squeeze(-1),
            shared_covariance=own + by_change @ own,
            cross_covariance=cross + cross @ by_change.transpose(-1, -2),
        )

    def believing(self, beliefs: Beliefs, bounded: bool) -> tuple["Shared", Tensor]:
        """Under a mixture of other priors: its moments, and the share (B, K) of each by the visit's own evidence.

        Of visits before the bound, of which the result has heard where ``bounded``; the evidence always has.
        """
        own, at, precision, pull = (
            self.shared_covariance[:, None],
            self.shared[:, None],
            beliefs.precision,
            beliefs.pull,
        )
        with_precision = torch.eye(own.shape[-1]).to(own) + own @ precision
        shrink = torch.linalg.inv(with_precision)  # which needs no inverse of a covariance that may be near-singular
        mean = (shrink @ (at + (own @ pull[..., None]).squeeze(-1))[..., None]).squeeze(-1)
        force = pull - (precision @ mean[..., None]).squeeze(-1)
        lost = precision @ shrink
        evidence = 0.5 * ((at * force).sum(-1) + (pull * mean).sum(-1) - torch.linalg.slogdet(with_precision)[1])
        along = shrink[..., B2, :]  # own @ along is the new covariance with b^2
        size2 = (own @ along[..., None])[..., B2, 0].clamp_min(1e-300)
        alpha, table = (self.low[:, None] - mean[..., B2]) / size2.sqrt(), self.with_table[:, None]
        evidence = evidence + torch.where(table, _log_above(alpha), _log_root(alpha) - 0.25 * size2.log())
        change = -0.5 * (lost + lost.transpose(-1, -2))
        if bounded:
            (flat, flat_shrink), (root, root_shrink) = truncated_normal(alpha), truncated_root(alpha)
            force = force + along * (torch.where(table, flat, root) / size2.sqrt())[..., None]
            less = torch.where(table, flat_shrink, root_shrink) / size2
            change = change - less[..., None, None] * along[..., :, None] * along[..., None, :]
        share = torch.softmax(beliefs.log_weight + evidence, -1)
        middle = (share[..., None] * force).sum(1)
        away = force - middle[:, None]
        spread = (share[..., None] * away).transpose(-1, -2) @ away
        return self._changed(middle, (share[..., None, None] * change).sum(1) + spread), share

    def bounded(self) -> "Shared":
        """Visits before the bound as they are after it."""
        size = self.shared.shape[-1]
        zero = self.shared.new_zeros(1)
        return self.believing(Beliefs(zero.expand(1, size, size), zero.expand(1, size), zero), bounded=True)[0]


def combine_visits(visits: Shared, common: Tensor) -> Shared:
    """One planet's visits (B,), whatever priors they were fitted under, as one visit, before the bound on b^2.

    The ``common`` shared parameters, given by their places, are those of planet and star: what a wrong one does to the
    depths, it does in all visits. Likelihoods multiply, a posterior over its own prior each; the planet's prior counts
    once. It is that of the visit that tells most of those with a star table, which is trusted as by Student's t given
    all visits together. The others are marginalised; in the result they are as before any data.
    """
    if len(visits.depth) == 1:
        return visits
    channels, common = visits.depth.shape[-1], common.to(visits.depth.device)
    known = visits.with_table == visits.with_table.any()
    told = visits.covariance.diagonal(dim1=1, dim2=2).sum(-1)
    lead = int(torch.where(known, told, torch.full_like(told, torch.inf)).argmin())
    precision, pull = _likelihood(no_wider_than_the_prior(visits, common), common, lead)
    prior_sigma, trust = visits.prior_sigma[lead], visits.table_trust[lead]
    if bool(visits.with_table[lead]):
        prior_sigma, wider = _trusted(visits.select(torch.tensor([lead])), precision, pull, common)
        trust = torch.stack([trust.new_tensor(wider), trust[1]])
    unit = torch.ones_like(pull)
    unit[channels:] = (prior_sigma / visits.prior_sigma[lead])[common]
    precision, pull = unit[:, None] * precision * unit, unit * pull
    places = torch.arange(channels, len(pull), device=common.device)
    precision[places, places] += 1.0
    covariance = torch.linalg.inv(precision)
    covariance = 0.5 * (covariance + covariance.T)
    mean = covariance @ pull
    size = visits.shared.shape[-1]
    shared, shared_covariance = visits.shared.new_zeros(size), torch.eye(size).to(covariance)
    shared[common] = mean[channels:]
    shared_covariance[common[:, None], common] = covariance[channels:, channels:]
    between = visits.shared.new_zeros(channels, size)
    between[:, common] = _DEPTH_UNIT * covariance[:channels, channels:]
    found = (
        _DEPTH_UNIT * mean[:channels],
        _DEPTH_UNIT**2 * covariance[:channels, :channels],
        shared,
        shared_covariance,
        between,
        visits.low[lead] * visits.prior_sigma[lead, B2] / prior_sigma[B2],
        visits.with_table[lead],
        visits.prior_mean[lead],
        prior_sigma,
        trust,
    )
    return Shared(*(part[None] for part in found))


def _likelihood(visits: Shared, common: Tensor, lead: int) -> tuple[Tensor, Tensor]:
    """Precision (C + J, C + J) of depths and ``common`` parameters by all visits' data alone, and its mean times it.

    Depths are in units of 100 ppm, parameters away from the prior of visit ``lead``, in its sigmas.
    """
    mean, sigma = visits.prior_mean[:, common], visits.prior_sigma[:, common]
    shift, unit = (mean - mean[lead]) / sigma[lead], sigma / sigma[lead]
    cross = visits.cross_covariance[..., common] * unit[:, None] / _DEPTH_UNIT
    own = visits.shared_covariance[:, common[:, None], common] * unit[:, :, None] * unit[:, None]
    whole = torch.cat(
        [torch.cat([visits.covariance / _DEPTH_UNIT**2, cross], -1), torch.cat([cross.transpose(-1, -2), own], -1)], -2
    )
    value = torch.cat([visits.depth / _DEPTH_UNIT, shift + unit * visits.shared[:, common]], -1)
    precisions = torch.linalg.inv(whole)
    precision, pull = precisions.sum(0), (precisions @ value[..., None]).sum(0)[:, 0]
    places = torch.arange(visits.depth.shape[-1], len(pull), device=common.device)
    precision[places, places] -= (unit**-2).sum(0)
    pull[places] -= (shift * unit**-2).sum(0)
    return precision, pull


@torch.no_grad()
def _trusted(lead: Shared, precision: Tensor, pull: Tensor, common: Tensor) -> tuple[Tensor, float]:
    """Sigmas (S,) of a planet's prior whose star table is trusted as by Student's t, and how many times it is widened.

    ``precision`` and ``pull`` are of :func:`_likelihood`; ``lead`` is its visit. As each visit's fit does it.
    """
    channels, (start, freedom) = lead.depth.shape[-1], lead.table_trust[0].tolist()
    depths, rest = precision[:channels, :channels], precision[channels:, :channels]
    about = torch.linalg.solve(depths, torch.cat([rest.T, pull[:channels, None]], -1))  # depths given the rest
    precision = precision[channels:, channels:] - rest @ about[:, :-1]
    pull = pull[channels:] - rest @ about[:, -1]
    orbit = torch.stack([torch.nonzero(common == place)[0, 0] for place in _IN_TABLE])
    b = lead.prior_mean[0, B2].sqrt()
    b_sigma = ((b**2 + lead.prior_sigma[0, B2]).sqrt() - b) / start

    def sigmas(wider: float) -> Tensor:
        sigma = lead.prior_sigma[0].clone()
        sigma[B2] = 2.0 * b * wider * b_sigma + (wider * b_sigma) ** 2  # as `shape_prior` has it
        sigma[_IN_TABLE[1]] *= wider / start
        return sigma

    wider = 1.0
    for _ in range(_WIDENINGS):
        unit = (lead.prior_sigma[0] / sigmas(wider))[common]
        away = torch.linalg.solve(precision + torch.diag(unit**2), pull)[orbit]
        away[0] = away[0].clamp_min(lead.low[0])
        pulled = float(((unit[orbit] * away) ** 2).sum()) * wider**2
        factor = math.sqrt((freedom + pulled) / (freedom + 2.0))
        if factor < 1.1 * wider:
            break
        wider = factor
    return sigmas(wider), wider


def no_wider_than_the_prior(visits: Shared, places: Tensor) -> Shared:
    """Common parameters that a visit knows less well than the prior, as where it has several solutions, as well."""
    own = visits.shared_covariance[:, places[:, None], places]
    size, axes = torch.linalg.eigh(own)
    if float(size.max()) <= 1.0:
        return visits
    change = torch.zeros_like(visits.shared_covariance)
    change[:, places[:, None], places] = (axes * ((size.clamp_max(1.0) - size) / size**2)[:, None]) @ axes.mT
    return visits._changed(torch.zeros_like(visits.shared), change)


def _log_above(alpha: Tensor) -> Tensor:
    """ln of the mass of a standard normal above ``alpha``."""
    return torch.special.log_ndtr(-alpha)


def _log_root(alpha: Tensor) -> Tensor:
    """ln of the integral of exp(-x^2 / 2) / sqrt(x - alpha) above ``alpha``, by quadrature as in `truncated_root`."""
    low = (-alpha - 9.0).clamp_min(0.0).sqrt()
    high = (-alpha + (alpha.clamp_min(0.0) ** 2 + 81.0).sqrt()).sqrt()
    step = (torch.arange(_QUADRATURE, dtype=alpha.dtype, device=alpha.device) + 0.5) / _QUADRATURE
    distance = (low[..., None] + (high - low)[..., None] * step) ** 2
    inside = torch.logsumexp(-0.5 * (alpha[..., None] + distance) ** 2, -1)
    return inside + (2.0 / _QUADRATURE * (high - low)).log()
