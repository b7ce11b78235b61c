"""Depths together with what channels share, as one Gaussian: other priors on it, its bound, several visits of a planet.

A fit's answer is a Gaussian of depths d and shared parameters s under the fit's own prior. Another prior on s, even a
mixture of Gaussians, changes it exactly: d follows along its covariance with s, and the evidence of each of the
mixture's Gaussians is a ratio of determinants. b^2 >= 0 is heard last, by the first two moments, as in the fit.
"""

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

    ``low`` (B,): b^2 = 0 in its prior's sigmas; ``with_table`` (B,): whether its prior is flat there, or 1 / sqrt(b^2).
    """

    depth: Tensor
    covariance: Tensor
    shared: Tensor
    shared_covariance: Tensor
    cross_covariance: Tensor
    low: Tensor
    with_table: Tensor

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


def alike(visits: Shared) -> list[Tensor]:
    """Numbers of visits in groups whose shape has the same prior; a visit without a fit is alone with its like."""
    keys = [(bool(table), round(float(low), 4)) for table, low in zip(visits.with_table, visits.low, strict=True)]
    return [torch.tensor([n for n, key in enumerate(keys) if key == one]) for one in dict.fromkeys(keys)]


def combine_visits(visits: Shared, common: Tensor) -> Shared:
    """One planet's visits (B,) under one prior as one visit, before the bound on b^2.

    The ``common`` shared parameters, given by their places, are those of planet and star: what a wrong one does to the
    depths, it does in all visits. Likelihoods multiply, the prior of the common ones, N(0, 1), counts once. The others
    are marginalised; in the result they are as before any data.
    """
    if len(visits.depth) == 1:
        return visits
    channels, count = visits.depth.shape[-1], len(visits.depth)
    common = common.to(visits.depth.device)
    visits = _no_wider_than_the_prior(visits, common)
    cross = visits.cross_covariance[..., common] / _DEPTH_UNIT
    own = visits.shared_covariance[:, common[:, None], common]
    whole = torch.cat(
        [torch.cat([visits.covariance / _DEPTH_UNIT**2, cross], -1), torch.cat([cross.transpose(-1, -2), own], -1)], -2
    )
    value = torch.cat([visits.depth / _DEPTH_UNIT, visits.shared[:, common]], -1)
    precisions = torch.linalg.inv(whole)
    precision = precisions.sum(0)
    places = torch.arange(channels, channels + len(common), device=common.device)
    precision[places, places] -= count - 1.0
    covariance = torch.linalg.inv(precision)
    covariance = 0.5 * (covariance + covariance.T)
    mean = covariance @ (precisions @ value[..., None]).sum(0)[:, 0]
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
        visits.low[0],
        visits.with_table[0],
    )
    return Shared(*(part[None] for part in found))


def _no_wider_than_the_prior(visits: Shared, places: Tensor) -> Shared:
    """Common parameters that a visit knows less well than the prior, as where it has several solutions, as well."""
    own = visits.shared_covariance[:, places[:, None], places]
    size, axes = torch.linalg.eigh(own)
    if float(size.max()) <= 1.0:
        return visits
    change = torch.zeros_like(visits.shared_covariance)
    change[:, places[:, None], places] = (axes * ((size.clamp_max(1.0) - size) / size**2)[:, None]) @ axes.mT
    return visits._changed(torch.zeros_like(visits.shared), change)


def combine_independent(depths: Sequence[Tensor], covariances: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Depth (C,) and covariance (C, C) from several, by inverse covariance.

    A visit without a transit has an error wider than any label, so it hardly counts.
    """
    if len(depths) == 1:
        return depths[0], covariances[0]
    precisions = [torch.linalg.inv(covariance) for covariance in covariances]
    covariance = torch.linalg.inv(torch.stack(precisions).sum(0))
    pulled = torch.stack([p @ d for p, d in zip(precisions, depths, strict=True)]).sum(0)
    return covariance @ pulled, 0.5 * (covariance + covariance.T)


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
