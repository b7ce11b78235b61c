"""Gaussian prior over spectra, learned from training truths, and the posterior it gives with a measured spectrum.

The covariance of a few hundred spectra in 283 channels is rank-deficient. It is shrunk towards a smooth model of
itself: a common level plus a feature part that decorrelates over wavelength, with the weight that maximises the
likelihood of left-out spectra. Feature sizes range over 1-4,500 ppm, so one Gaussian is too wide for most planets: with
``scales`` beyond (1,) the feature part's size becomes a discrete unknown with learned weights, and the posterior is the
moments of a mixture (a Gaussian scale mixture: Andrews & Mallows 1974, JRSS B 36, 99). A :class:`Surprise` makes room
for spectra unlike all of them.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .surprise import Residuals, Surprise

PLAIN = (1.0,)
MIXTURE = (0.03, 0.1, 0.3, 1.0, 3.0)
_NUGGET = 2e-6  # relative depth: spectra are smooth to about this, and it keeps the covariance positive


class PriorError(ValueError):
    """Truths or measured spectra that cannot be used."""


@dataclass
class SpectrumPrior:
    """``mean`` (C,), and one covariance (K, C, C) per feature scale with ``weights`` (K,).

    ``sigma_factor`` multiplies the posterior's standard deviations, and is fitted on training planets; ``surprise``
    gives a share of the weights to residuals beside the components.
    """

    mean: Tensor
    covariances: Tensor
    weights: Tensor
    sigma_factor: float = 1.0
    surprise: Surprise | None = None

    @classmethod
    def fit(
        cls, truths: Tensor, scales: tuple[float, ...] = PLAIN, surprise: Surprise | None = None
    ) -> "SpectrumPrior":
        """Learn from spectra (N, C) [(Rp/Rs)^2], N >= 8; ``surprise`` is kept as given."""
        truths = torch.as_tensor(truths).double()
        if truths.ndim != 2 or len(truths) < 8:
            raise PriorError(f"truths: expected (N >= 8, C) spectra, found shape {tuple(truths.shape)}")
        if not bool(torch.isfinite(truths).all()):
            raise PriorError(
                f"truths: expected finite spectra, found {int((~torch.isfinite(truths)).sum())} other values"
            )
        mean = truths.mean(0)
        covariance = _shrunk_covariance(truths - mean)
        if scales == PLAIN:
            return cls(mean, covariance[None], torch.ones(1, dtype=torch.float64), surprise=surprise)
        covariances = _scaled(truths - mean, covariance, scales)
        return cls(mean, covariances, _mixture_weights(truths - mean, covariances), surprise=surprise)

    def posterior(self, depth: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, C) and covariance (B, C, C) given measured depths and their covariance; differentiable in depth.

        ``sigma_factor`` is applied.
        """
        depth, covariance = depth.double(), covariance.double()
        if depth.ndim != 2 or covariance.shape != (*depth.shape, depth.shape[-1]) or depth.shape[-1] != len(self.mean):
            raise PriorError(
                f"expected depth (B, {len(self.mean)}) with covariance (B, C, C), found {tuple(depth.shape)}, "
                f"{tuple(covariance.shape)}"
            )
        innovation = depth - self.mean
        surprise = self.surprise or Surprise.none(self.mean)
        log_weights = (self.weights * (1.0 - surprise.share)).log()
        means, spreads, evidence, residuals = [], [], [], []
        for prior, weight, (roots, beside) in zip(
            self.covariances, log_weights, surprise.beside(self.weights), strict=True
        ):
            factor = torch.linalg.cholesky(prior + covariance)
            gain = torch.cholesky_solve(prior.expand_as(covariance), factor)  # (P + C)^-1 P
            white = torch.linalg.solve_triangular(factor, innovation[..., None], upper=False)
            log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            own = (-log_det - 0.5 * (white**2).sum((-2, -1)))[:, None]
            mean = (self.mean + torch.einsum("bij,bi->bj", gain, innovation))[:, None]
            spreads.append(prior - prior @ gain)
            solved = torch.cholesky_solve(roots.expand(len(factor), -1, -1, -1), factor[:, None])
            residuals.append(Residuals.of(roots, surprise.variances, beside, prior, solved))
            shift, extra = residuals[-1](innovation[:, None])
            means += [mean, mean + shift[:, 0].flatten(1, 2)]
            evidence += [weight + own, own + extra[:, 0].flatten(1)]
        share = torch.softmax(torch.cat(evidence, 1), 1)  # (B, N)
        stacked = torch.cat(means, 1)
        mean = (share[..., None] * stacked).sum(1)
        away = stacked - mean[:, None]
        spread = torch.einsum("bn,bni,bnj->bij", share, away, away)
        shares = iter(share.split([one.shape[1] for one in evidence], 1))
        for known, residual in zip(spreads, residuals, strict=True):
            own, others = next(shares), next(shares)
            modes = (others.reshape(residual.log_weight.shape)[..., None] * residual.gain).sum(2)  # (B, L, R)
            spread = spread + (own.sum(1) + others.sum(1))[:, None, None] * known
            spread = spread + torch.einsum("blri,blr,blrj->bij", residual.left, modes, residual.left)
        return mean, 0.5 * (spread + spread.transpose(-1, -2)) * self.sigma_factor**2

    def save(self, path: Path) -> None:
        """Write as safetensors."""
        scalar = {"sigma_factor": self.sigma_factor}
        tensors = {"mean": self.mean, "covariances": self.covariances, "weights": self.weights}
        if self.surprise is not None:
            scalar["surprise_share"] = self.surprise.share
            tensors |= {"surprise_roots": self.surprise.roots, "surprise_variances": self.surprise.variances}
            tensors["surprise_weights"] = self.surprise.weights
        tensors |= {name: torch.tensor([value], dtype=torch.float64) for name, value in scalar.items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path))

    @classmethod
    def load(cls, path: Path) -> "SpectrumPrior":
        """Read what :meth:`save` wrote."""
        try:
            tensors = load_file(str(path))
            surprise = None
            if "surprise_share" in tensors:
                share = float(tensors["surprise_share"])
                roots, variances = tensors["surprise_roots"], tensors["surprise_variances"]
                weights = tensors.get("surprise_weights", Surprise.alike(roots, variances))  # older files have none
                surprise = Surprise(roots, variances, share, weights)
            mean, covariances, weights = (tensors[name] for name in ("mean", "covariances", "weights"))
            return cls(mean, covariances, weights, float(tensors["sigma_factor"]), surprise)
        except (SafetensorError, KeyError) as error:
            raise PriorError(f"{path}: expected a spectrum prior in safetensors, found {error}") from error


def _shrunk_covariance(centred: Tensor, n_folds: int = 4) -> Tensor:
    """Sample covariance shrunk to a smooth target, by the weight that predicts left-out spectra best."""
    fold = torch.arange(len(centred)) % n_folds
    candidates = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
    losses = torch.zeros(len(candidates), dtype=torch.float64)
    for held in range(n_folds):
        train, test = centred[fold != held], centred[fold == held]
        for index, weight in enumerate(candidates):
            factor = torch.linalg.cholesky(_shrink(train, weight))
            white = torch.linalg.solve_triangular(factor, test.T, upper=False)
            losses[index] += len(test) * factor.diagonal().log().sum() + 0.5 * (white**2).sum()
    return _shrink(centred, candidates[int(losses.argmin())])


def _shrink(centred: Tensor, weight: float) -> Tensor:
    channels = centred.shape[-1]
    sample = centred.T @ centred / max(len(centred) - 1, 1)
    level = centred.mean(-1)
    features = centred - level[:, None]
    size2 = (features**2).mean()
    apart = (torch.arange(channels)[:, None] - torch.arange(channels)).abs().double() / 10.0
    smooth = (level**2).mean() + size2 * torch.exp(-0.5 * apart**2)
    target = smooth + 0.01 * size2 * torch.eye(channels, dtype=torch.float64)
    return (1 - weight) * sample + weight * target + _NUGGET**2 * torch.eye(channels, dtype=torch.float64)


def _scaled(centred: Tensor, covariance: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Covariances (K, C, C) whose feature part is multiplied by each scale (its standard deviation), the level kept.

    Level and features are split by regression on the channel mean, so that they are uncorrelated in the prior.
    """
    channels = len(covariance)
    flat = torch.full((channels,), 1.0 / channels, dtype=torch.float64)
    variance = flat @ covariance @ flat
    profile = covariance @ flat / variance
    level = variance * profile[:, None] * profile
    nugget = _NUGGET**2 * torch.eye(channels, dtype=torch.float64)
    return torch.stack([level + scale**2 * (covariance - level) + nugget for scale in scales])


def _mixture_weights(centred: Tensor, covariances: Tensor, n_rounds: int = 50) -> Tensor:
    """Weights (K,) of the scales by expectation-maximisation on the training spectra."""
    log_likelihood = []
    for covariance in covariances:
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(factor, centred.T, upper=False)
        log_likelihood.append(-0.5 * (white**2).sum(0) - factor.diagonal().log().sum())
    stacked = torch.stack(log_likelihood)
    weights = torch.full((len(covariances),), 1.0 / len(covariances), dtype=torch.float64)
    for _ in range(n_rounds):
        weights = torch.softmax(stacked + weights.log()[:, None], 0).mean(1).clamp_min(1e-6)
    return weights / weights.sum()
