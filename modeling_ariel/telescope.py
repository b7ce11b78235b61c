"""What is usual for the visits of one telescope: slow noise, how far its instruments' clocks and star tables are off.

The fit treats every visit alone, and these are what it takes for granted. They are learned from many visits' fits,
without any true spectrum (empirical Bayes), and shrink towards the defaults where visits are few.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .noise_prior import DOUBTED, KINDS, Evidence, SlowNoise

_WEIGHT = 5.0  # visits that the defaults count for
_TABLE_SCALES, _TABLE_FREEDOMS = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0), (1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
_SPREAD = 0.7  # of ln scale and of ln degrees of freedom about the defaults, before any visit is seen
_QUANTILES = 32  # of Student's t as a mixture of Gaussians


class TelescopeError(ValueError):
    """A file that is no telescope's, or fits that cannot tell one."""


@dataclass
class VisitEvidence:
    """What a fit says of a telescope, apart from what it took for granted.

    ``noise`` of each of KINDS, None where the visit has no such response; ``clock`` mean and variance [h, h^2] of the
    photometer's delay; ``table`` (2,) and ``table_covariance`` (2, 2) b^2 and ln speed minus the star table's, in
    ``FitSettings.table_sigma``; None where there is nothing to tell.
    """

    noise: tuple[Evidence | None, ...] = (None,) * len(KINDS)
    clock: tuple[float, float] | None = None
    table: np.ndarray | None = None
    table_covariance: np.ndarray | None = None


def without_prior(mean: Tensor, covariance: Tensor, prior_mean: Tensor, prior_sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N,) and covariance (N, N) of what the data alone say: a Gaussian posterior over its independent priors.

    What they do not tell has the prior's sigma a hundred times.
    """
    precision, prior = torch.linalg.inv(covariance), prior_sigma**-2
    scale = prior_sigma[:, None] * prior_sigma
    values, vectors = torch.linalg.eigh((precision - torch.diag(prior)) * scale)  # in the prior's sigmas
    alone = (vectors / values.clamp_min(1e-4)) @ vectors.T * scale
    pull = precision @ mean - prior * prior_mean
    return alone @ pull, 0.5 * (alone + alone.T)


@dataclass(frozen=True)
class Telescope:
    """What the fit takes for granted.

    ``noise`` of each of KINDS; ``clock_sigma`` [h] between photometer and spectrograph; star tables are off as by
    Student's t, ``table_scale`` times ``FitSettings.table_sigma`` wide, with ``table_freedom`` degrees of freedom: few
    where some tables are far off. The defaults doubt noise, and trust a table less the further it is off.
    """

    noise: tuple[SlowNoise, ...] = DOUBTED
    clock_sigma: float = 0.03
    table_scale: float = 1.0
    table_freedom: float = 3.0

    def __post_init__(self) -> None:
        """TelescopeError for numbers that cannot be meant."""
        if len(self.noise) != len(KINDS):
            raise TelescopeError(f"noise: expected {len(KINDS)} kinds, found {len(self.noise)}")
        for name in ("clock_sigma", "table_scale", "table_freedom"):
            value = getattr(self, name)
            if not isinstance(value, float | int) or not 0.0 < value < math.inf:
                raise TelescopeError(f"{name}: expected a number above 0, found {value!r}")

    @classmethod
    def learn(cls, visits: Sequence[VisitEvidence]) -> "Telescope":
        """From fits' ``evidence``, of good and bad visits together; of those without a fit it says nothing."""
        start = cls()
        by_kind = zip(*(visit.noise for visit in visits), strict=True)
        seen = [[one for one in of_kind if one] for of_kind in by_kind] or [[] for _ in KINDS]
        return cls(
            tuple(before.learned(found, _WEIGHT) for before, found in zip(start.noise, seen, strict=True)),
            _clock_sigma([visit.clock for visit in visits if visit.clock], start.clock_sigma),
            *_table_errors(visits),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Telescope":
        """Of what :meth:`to_dict` gave; TelescopeError where it did not."""
        try:
            noise = [{name: _tuple(part) for name, part in kind.items()} for kind in values["noise"]]
            others = {name: value for name, value in values.items() if name != "noise"}
            return cls(tuple(SlowNoise(**kind) for kind in noise), **others)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise TelescopeError(f"expected a telescope as `Telescope.to_dict` has it, found {error}") from error

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Telescope":
        """Read what :meth:`save` wrote; TelescopeError where it did not."""
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise TelescopeError(f"{path}: {error}") from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _clock_sigma(clocks: list[tuple[float, float]], default: float) -> float:
    """Size of delays that were measured with errors, by expectation and maximisation."""
    mean, variance = torch.tensor(clocks, dtype=torch.float64).reshape(-1, 2).unbind(-1)
    size2 = default**2
    for _ in range(200):
        shrunk = size2 / (size2 + variance)
        second = (shrunk * mean) ** 2 + shrunk * variance
        size2 = (float(second.sum()) + _WEIGHT * default**2) / (len(clocks) + _WEIGHT)
    return math.sqrt(size2)


def _table_errors(visits: Sequence[VisitEvidence]) -> tuple[float, float]:
    """Scale and degrees of freedom of star tables' errors: means of their logarithms."""
    pairs, start = [(one.table, one.table_covariance) for one in visits if one.table is not None], Telescope()
    if not pairs:
        return start.table_scale, start.table_freedom
    away, error = (torch.as_tensor(np.stack(part)) for part in zip(*pairs, strict=True))
    scales, freedoms = away.new_tensor(_TABLE_SCALES), away.new_tensor(_TABLE_FREEDOMS)
    log_likelihood = torch.stack([_of_tables(away, error, scales, freedom) for freedom in _TABLE_FREEDOMS])
    log_scale, log_freedom = scales.log(), freedoms.log()
    far = (log_scale / _SPREAD) ** 2 + ((log_freedom - math.log(start.table_freedom))[:, None] / _SPREAD) ** 2
    share = torch.softmax((log_likelihood - 0.5 * far).flatten(), 0).reshape(log_likelihood.shape)
    return float((share.sum(0) @ log_scale).exp()), float((share.sum(1) @ log_freedom).exp())


def _of_tables(away: Tensor, error: Tensor, scales: Tensor, freedom: float) -> Tensor:
    """ln likelihood (K,) of tables' errors (N, 2) that were measured with covariance ``error`` (N, 2, 2)."""
    quantiles = (torch.arange(_QUANTILES).to(away) + 0.5) / _QUANTILES
    precision = _gamma_quantiles(quantiles, freedom)
    variance = scales[:, None] ** 2 / precision  # (K, Q)
    covariance = error + variance[..., None, None, None] * torch.eye(2).to(away)  # (K, Q, N, 2, 2)
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, away[..., None].expand(*covariance.shape[:-1], 1), upper=False)
    log = -0.5 * (white**2).sum((-2, -1)) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return torch.logsumexp(log, 1).sum(-1)


def _gamma_quantiles(share: Tensor, freedom: float) -> Tensor:
    """Quantiles of a gamma of mean 1 and shape freedom / 2, as Student's t mixes precisions, by bisection."""
    shape, low, high = share.new_tensor(freedom / 2), torch.zeros_like(share), torch.full_like(share, 60.0 / freedom)
    high = high + 8.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = torch.special.gammainc(shape, shape * middle) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)
