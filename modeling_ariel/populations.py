"""The population of what visits share besides their spectra: impact parameter, speed, limb darkening, drift.

The fit treats every visit alone, under wide priors. How large drifts are, or how central transits, is learned from many
visits together, without any true spectrum: empirical Bayes, by the expectation-maximisation that deconvolves a Gaussian
population from measurements with known errors (Bovy, Hogg & Roweis 2011, Annals of Applied Statistics 5, 1657). The
joint Gaussian of depths and shared parameters then makes the narrower population an exact linear update of the depths.

The impact parameter's population is half-normal in b, which in b^2 is the fit's 1 / sqrt(b^2) times exp(-b^2 / 2 s^2).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .least_squares import truncated_normal, truncated_root
from .light_curve_model import B2
from .retrieval import ClassicalFit
from .white_light import POPULATION_B2_SIGMA

_MIN_VISITS = 60
_FLOOR = 1e-3  # of a population's sigma, in sigmas of the fit's prior


class PopulationError(ValueError):
    """Too few visits to learn a population from."""


@dataclass
class Shared:
    """Depths with the shared parameters, as in ClassicalFit, ``bounded``: conditioned on b^2 >= 0."""

    depth: Tensor
    covariance: Tensor
    shared: Tensor
    shared_covariance: Tensor
    cross_covariance: Tensor

    @classmethod
    def of(cls, fit: ClassicalFit) -> "Shared":
        """The part of a fit that populations change."""
        return cls(*(getattr(fit, name) for name in cls.__annotations__))

    def put(self, visits: Tensor, other: "Shared") -> "Shared":
        """The same with these visits taken from ``other``."""
        names = self.__annotations__
        return Shared(*(getattr(self, name).index_copy(0, visits, getattr(other, name)) for name in names))

    def with_b2(self, mean: Tensor, variance: Tensor) -> "Shared":
        """The same with another mean and variance (B,) of b^2; everything follows along its regression on it."""
        old = self.shared_covariance[:, B2, B2].clamp_min(1e-300)
        by_depth, by_shared = (
            self.cross_covariance[:, :, B2] / old[:, None],
            self.shared_covariance[:, B2] / old[:, None],
        )
        move, change = (mean - self.shared[:, B2])[:, None], (variance - old)[:, None, None]
        return Shared(
            self.depth + by_depth * move,
            self.covariance + change * by_depth[:, :, None] * by_depth[:, None, :],
            self.shared + by_shared * move,
            self.shared_covariance + change * by_shared[:, :, None] * by_shared[:, None, :],
            self.cross_covariance + change * by_depth[:, :, None] * by_shared[:, None, :],
        )


@dataclass
class Population:
    """Population of shared parameters, in the fit's unit: sigmas of its prior away from that prior's mean.

    ``index`` (J,) which parameters; ``mean`` (J,) and ``covariance`` (J, J) of them; ``b_sigma`` of the half-normal
    population of impact parameters [stellar radii], infinity where a star table tells them.
    """

    index: Tensor
    mean: Tensor
    covariance: Tensor
    b_sigma: float = math.inf

    @classmethod
    def fit(cls, fits: ClassicalFit, rounds: int = 1000) -> "Population":
        """Learn from visits (N >= 60) that all have a star table, or all have none."""
        known = fits.table_known
        if len(known) < _MIN_VISITS or bool(known.any()) != bool(known.all()):
            raise PopulationError(
                f"expected {_MIN_VISITS} fitted visits or more, all with a star table or all without, found "
                f"{int(known.sum())} with and {int((~known).sum())} without"
            )
        n_shared, with_table = fits.shared.shape[-1], bool(known[0])
        index = torch.arange(3 if with_table else 2, n_shared, device=known.device)
        spread = fits.shared[:, index].T.cov() + _FLOOR * torch.eye(len(index)).to(fits.shared)
        prior = cls(index, fits.shared[:, index].mean(0), spread, math.inf if with_table else 0.3)
        for _ in range(rounds):
            better = prior._maximised(fits)
            moved = (better.covariance - prior.covariance).abs().max()
            prior = better
            if float(moved) < 1e-6:
                break
        return prior

    def _maximised(self, fits: ClassicalFit) -> "Population":
        """One round of expectation and maximisation."""
        after = self._update(fits, depths=False)
        values, errors = after.shared[:, self.index], after.shared_covariance[:, self.index][:, :, self.index]
        mean = values.mean(0)
        covariance = (values - mean).T @ (values - mean) / len(values) + errors.mean(0)
        covariance = covariance + _FLOOR**2 * torch.eye(len(mean)).to(covariance)
        b_sigma = self.b_sigma
        if math.isfinite(b_sigma):
            b_sigma = math.sqrt(float((after.shared[:, B2] - fits.free_b2[:, 2]).mean()) * POPULATION_B2_SIGMA)
        return Population(self.index, mean, covariance, b_sigma)

    def apply(self, fits: ClassicalFit) -> Shared:
        """Depths and shared parameters of visits given the population; star tables are there or not, as in `fit`."""
        return self._update(fits, depths=True)

    def _update(self, fits: ClassicalFit, depths: bool) -> Shared:
        now = Shared.of(fits)
        if not depths:
            now = replace(
                now,
                depth=now.depth[:, :0],
                covariance=now.covariance[:, :0, :0],
                cross_covariance=now.cross_covariance[:, :0],
            )
        free = now.with_b2(fits.free_b2[:, 0], fits.free_b2[:, 1])
        precision, pull = torch.zeros_like(free.shared_covariance[0]), torch.zeros_like(free.shared[0])
        inverse = torch.linalg.inv(self.covariance)
        rows, columns = self.index[:, None], self.index[None, :]
        precision[rows, columns] = inverse - torch.eye(len(self.index)).to(inverse)
        pull[self.index] = inverse @ self.mean
        if math.isfinite(self.b_sigma):
            pull[B2] = -0.5 * POPULATION_B2_SIGMA / self.b_sigma**2
        free = _with_prior(free, precision, pull)
        return _bounded(free, fits.free_b2[:, 2], fits.table_known)


def _with_prior(now: Shared, precision: Tensor, pull: Tensor) -> Shared:
    """Multiply by a Gaussian of the shared parameters, exp(-s' precision s / 2 + pull' s)."""
    size = len(precision)
    eye = torch.eye(size).to(precision)
    # covariance (1 + precision covariance)^-1, which needs no inverse of a covariance that may be near-singular
    shrink = torch.linalg.inv(eye + now.shared_covariance @ precision)
    covariance = shrink @ now.shared_covariance
    covariance = 0.5 * (covariance + covariance.transpose(-1, -2))
    mean = (shrink @ (now.shared + now.shared_covariance @ pull)[..., None]).squeeze(-1)
    force = pull - mean @ precision
    lost = precision @ shrink  # depths lose cross lost cross'
    lost = 0.5 * (lost + lost.transpose(-1, -2))
    return Shared(
        now.depth + (now.cross_covariance @ force[..., None]).squeeze(-1),
        now.covariance - now.cross_covariance @ lost @ now.cross_covariance.transpose(-1, -2),
        mean,
        covariance,
        now.cross_covariance @ shrink.transpose(-1, -2),
    )


def _bounded(free: Shared, low: Tensor, with_table: Tensor) -> Shared:
    """Hear that b^2 is not negative, as the fit does."""
    mean, size = free.shared[:, B2], free.shared_covariance[:, B2, B2].clamp_min(1e-300).sqrt()
    (flat, flat_shrink), (root, root_shrink) = (cut((low - mean) / size) for cut in (truncated_normal, truncated_root))
    shift, shrink = torch.where(with_table, flat, root), torch.where(with_table, flat_shrink, root_shrink)
    return free.with_b2(mean + size * shift, size**2 * (1.0 - shrink))
