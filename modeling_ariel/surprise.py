"""Room in a prior over spectra for what it was not taught: residuals of unknown size and length beside its components.

A prior that learned one population's molecules is sure of itself where a planet has another one. A share of its weight
is therefore given to the same Gaussians plus a Gaussian process over wavelength, Q + r^2 G_l, with sizes r and lengths
l on a grid; each planet's own evidence decides what counts. The correlation is Matern's of order 3/2 (Rasmussen &
Williams 2006, eq. 4.17), cut to its leading modes, so that Woodbury's identity makes a component cost a few products.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor

SHARE = 0.05  # of spectra that are unlike what a prior learned; at home it widens sigma by under 0.5 %
SIZES = (20e-6, 60e-6, 200e-6, 600e-6)  # r [depth], evenly in ln r as the size is unknown: hardly seen to very large
LENGTHS = (0.05, 0.2, 1.0)  # l [um]: an edge, a band, a slope
_MODES = 48  # 97 % of the shortest length's variance over the 283 channels


@dataclass
class Surprise:
    """``share`` of the prior's weight, over L lengths, of correlation ``roots`` roots^T (L, C, R), and J sizes.

    ``variances`` (J,) are r^2 [depth^2]; ``weights`` (L, J) of them all sum to 1.
    """

    roots: Tensor
    variances: Tensor
    share: float
    weights: Tensor

    @classmethod
    def of(
        cls, wavelength: Tensor, share: float = SHARE, weights: Sequence[Sequence[float]] | None = None
    ) -> "Surprise":
        """For channels at ``wavelength`` (C,) [um], without ``weights`` all of them alike.

        ValueError for a ``share`` that is not between 0 and 1.
        """
        if not 0.0 < share < 1.0:
            raise ValueError(f"share: expected between 0 and 1, found {share}")
        roots = _roots(tuple(wavelength.double().tolist())).to(wavelength.device)
        variances = torch.tensor(SIZES, dtype=torch.float64, device=roots.device) ** 2
        alike = cls.alike(roots, variances)
        return cls(roots, variances, share, alike if weights is None else alike.new_tensor(weights))

    @classmethod
    def none(cls, mean: Tensor) -> "Surprise":
        """No residuals about spectra ``mean`` (C,)."""
        return cls(mean.new_zeros(0, len(mean), 1), mean.new_zeros(1), 0.0, mean.new_zeros(0, 1))

    @staticmethod
    def alike(roots: Tensor, variances: Tensor) -> Tensor:
        """``weights`` where no length or size is likelier than another."""
        return variances.new_full((len(roots), len(variances)), 1.0 / (len(roots) * len(variances)))

    @staticmethod
    def scales(components: int) -> range:
        """Which of a prior's components have residuals beside them: every second, as all of them gain nothing."""
        return range((components - 1) % 2, components, 2)

    def beside(self, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Roots, all or none, and log weights (L, J) of the residuals beside each of the components of ``weights``."""
        chosen = self.scales(len(weights))
        log_weights = (self.share * weights / weights[list(chosen)].sum()).log()
        own = self.weights.log()
        return [
            (self.roots, one + own) if k in chosen else (self.roots[:0], own[:0]) for k, one in enumerate(log_weights)
        ]


@dataclass
class Residuals:
    """What P measurements of covariance Sigma say of residuals beside priors of covariance Q, L of each measurement.

    ``pull`` (P, L, C, R) turns an innovation into modes of the residual, ``left`` (P, L, R, C) modes into what they add
    to the posterior mean, shrunk by ``gain`` (P, L, J, R) for each size; ``log_weight`` (P, L, J) is the prior's, with
    their part in the evidence's determinant; ``variance`` (P, L, J, C) is what they add to the posterior's.
    """

    pull: Tensor
    left: Tensor
    gain: Tensor
    log_weight: Tensor
    variance: Tensor

    @classmethod
    def of(cls, roots: Tensor, variances: Tensor, log_weights: Tensor, prior: Tensor, solved: Tensor) -> "Residuals":
        """``prior`` (C, C) is Q, ``solved`` (P, L, C, R) (Q + Sigma)^-1 roots; the rest is :class:`Surprise`'s."""
        seen = roots.transpose(-1, -2) @ solved
        seen, turn = torch.linalg.eigh(0.5 * (seen + seen.transpose(-1, -2)))
        size = variances[:, None] * seen.clamp_min(0.0)[..., None, :]
        pull, gain = solved @ turn, variances[:, None] / (1.0 + size)
        left = (roots @ turn - prior @ pull).transpose(-1, -2)
        return cls(pull, left, gain, log_weights - 0.5 * size.log1p().sum(-1), gain @ left**2)

    @classmethod
    def join(cls, parts: Sequence["Residuals"], dim: int = 0) -> "Residuals":
        """The planets of all parts, or along ``dim`` 1 all residuals of the same planets."""
        return cls(*(torch.cat([getattr(part, one.name) for part in parts], dim) for one in fields(cls)))

    def to(self, dtype: torch.dtype) -> "Residuals":
        """The same in another precision."""
        return Residuals(*(getattr(self, one.name).to(dtype) for one in fields(self)))

    def select(self, planets: Tensor) -> "Residuals":
        """Of these planets, given by their numbers."""
        return Residuals(*(getattr(self, one.name)[planets] for one in fields(self)))

    def __call__(self, innovation: Tensor) -> tuple[Tensor, Tensor]:
        """What they add to the posterior mean, (P, D, L, J, C), and to the weighted log evidence, (P, D, L, J).

        ``innovation`` (P, D, C): D measured spectra of each planet less the prior's mean.
        """
        modes = (innovation[:, None] @ self.pull)[:, :, :, None]  # (P, L, D, 1, R)
        shrunk = modes * self.gain[:, :, None]
        evidence = 0.5 * (modes * shrunk).sum(-1) + self.log_weight[:, :, None]
        return (shrunk @ self.left[:, :, None]).transpose(1, 2), evidence.transpose(1, 2)


@lru_cache(maxsize=4)
def _roots(wavelength: tuple[float, ...]) -> Tensor:
    """Leading modes (L, C, R) of the correlations over these channels, each times the root of its eigenvalue."""
    w = torch.tensor(wavelength, dtype=torch.float64)
    apart = 3.0**0.5 * (w[:, None] - w).abs() / torch.tensor(LENGTHS, dtype=torch.float64)[:, None, None]
    values, vectors = torch.linalg.eigh((1.0 + apart) * torch.exp(-apart))
    return vectors[..., -_MODES:] * values[:, None, -_MODES:].clamp_min(0.0).sqrt()
