"""Posteriors of spectra under a scale-mixture prior, quick for many measured depths that share a covariance.

The prior's components differ in the size s of the spectra's features alone: covariance A + s^2 F. One generalised
eigenvalue problem, F w = lambda (A + Sigma) w, then serves every component and every depth measured with covariance
Sigma (simultaneous diagonalisation: Golub & Van Loan, Matrix Computations, section 8.7). Residuals beside the
components are of low rank, and added to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from .spectrum_prior import PriorError, SpectrumPrior
from .surprise import Residuals, Surprise

_UNIT = 1e-4  # depths are counted in 100 ppm, so that float32 holds their squares


@dataclass
class ScaleMixture:
    """``mean`` (C,), ``common`` A and ``features`` F (C, C), ``scales`` and ``weights`` (K,): N(mean, A + s^2 F).

    ``surprise`` gives a share of the weights to residuals beside them.
    """

    mean: Tensor
    common: Tensor
    features: Tensor
    scales: Tensor
    weights: Tensor
    surprise: Surprise | None = None

    @classmethod
    def of(cls, prior: SpectrumPrior, scales: tuple[float, ...]) -> "ScaleMixture":
        """The same prior as learned with these ``scales``; PriorError where its covariances are of another family."""
        covariances = prior.covariances.double()
        if len(scales) != len(covariances):
            raise PriorError(f"scales: expected {len(covariances)}, one for each covariance, found {len(scales)}")
        s = torch.tensor(scales, dtype=torch.float64, device=covariances.device)
        if len(scales) == 1:
            common, features = torch.zeros_like(covariances[0]), covariances[0] / s[0] ** 2
        else:
            low, high = int(s.argmin()), int(s.argmax())
            features = (covariances[high] - covariances[low]) / (s[high] ** 2 - s[low] ** 2)
            common = covariances[low] - s[low] ** 2 * features
        mixture = cls(prior.mean.double(), common, features, s, prior.weights.double(), prior.surprise)
        if not torch.allclose(mixture.prior().covariances, covariances, rtol=1e-6, atol=1e-15):
            raise PriorError("prior: expected covariances A + s^2 F, found components that differ in more than scale")
        return mixture

    def prior(self) -> SpectrumPrior:
        """As a general mixture."""
        covariances = self.common + self.scales[:, None, None] ** 2 * self.features
        return SpectrumPrior(self.mean, covariances, self.weights, surprise=self.surprise)


@dataclass
class VisitPosterior:
    """Everything about P planets' covariances that their posteriors need; depths in units of 100 ppm within.

    ``basis`` (P, C, C) the eigenvectors w, ``common``, ``features`` (P, C, C) A w and F w, ``eigenvalues`` (P, C),
    ``variance`` (P, K, C) of each component, ``mean`` (P, C), ``scales2``, ``log_weights`` (P, K); ``residuals`` beside
    the scales that ``Surprise.scales`` names, one scale's after the other's.
    """

    basis: Tensor
    common: Tensor
    features: Tensor
    eigenvalues: Tensor
    variance: Tensor
    mean: Tensor
    scales2: Tensor
    log_weights: Tensor
    residuals: Residuals

    @classmethod
    def prepare(cls, prior: ScaleMixture, covariance: Tensor) -> "VisitPosterior":
        """For depths measured with ``covariance`` (P, C, C); float64."""
        common, features = prior.common / _UNIT**2, prior.features / _UNIT**2
        factor = torch.linalg.cholesky(covariance.double() / _UNIT**2 + common)
        half = torch.linalg.solve_triangular(factor, features.expand_as(factor), upper=False)
        symmetric = torch.linalg.solve_triangular(factor, half.transpose(-1, -2), upper=False)
        eigenvalues, vectors = torch.linalg.eigh(0.5 * (symmetric + symmetric.transpose(-1, -2)))
        eigenvalues = eigenvalues.clamp_min(0.0)
        basis = torch.linalg.solve_triangular(factor.transpose(-1, -2), vectors, upper=True)
        with_common, with_features = common @ basis, features @ basis
        surprise = prior.surprise or Surprise.none(prior.mean)
        sizes2 = surprise.variances / _UNIT**2
        variance, residuals = [], []
        for scale2, (roots, log_weights) in zip(prior.scales**2, surprise.beside(prior.weights), strict=True):
            spread = 1.0 + scale2 * eigenvalues[:, None]  # (P, 1, C)
            seen = (with_common + scale2 * with_features) ** 2 / spread
            variance.append((common + scale2 * features).diagonal() - seen.sum(-1))
            along = basis.transpose(-1, -2)[:, None] @ roots
            solved = basis[:, None] @ (along / spread[..., None])
            residuals.append(Residuals.of(roots, sizes2, log_weights, common + scale2 * features, solved))
        planets = len(covariance)
        return cls(
            basis,
            with_common,
            with_features,
            eigenvalues,
            torch.stack(variance, 1),
            prior.mean.expand(planets, -1),
            (prior.scales**2).expand(planets, -1),
            (prior.weights * (1.0 - surprise.share)).log().expand(planets, -1),
            Residuals.join(residuals, 1),
        )

    @classmethod
    def join(cls, parts: Sequence["VisitPosterior"]) -> "VisitPosterior":
        """The planets of all parts, whose priors may differ but for the number of components."""
        tensors = {one.name: torch.cat([getattr(part, one.name) for part in parts]) for one in fields(cls)[:-1]}
        return cls(**tensors, residuals=Residuals.join([part.residuals for part in parts]))

    def to(self, dtype: torch.dtype) -> "VisitPosterior":
        """The same in another precision; the mean spectrum stays float64."""
        names = [one.name for one in fields(self) if one.name != "mean"]
        return replace(self, **{name: getattr(self, name).to(dtype) for name in names})

    def select(self, planets: Tensor) -> "VisitPosterior":
        """Of these planets, given by their numbers."""
        tensors = {one.name: getattr(self, one.name)[planets] for one in fields(self)[:-1]}
        return VisitPosterior(**tensors, residuals=self.residuals.select(planets))

    def __call__(self, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and sigma, as ``depth``, float64, given measured depths (P, C), and the components' shares (P, K).

        Depths (P, D, C) are D of each planet, which costs little more than one; the results have that axis too. What
        shares lack of 1 is the residuals', so how far a spectrum surprises the prior.
        """
        if depth.ndim == 2:
            mean, sigma, share = self(depth[:, None])
            return mean[:, 0], sigma[:, 0], share[:, 0]
        scaled, shift, share = self._weigh(depth)
        means = scaled @ self.common.transpose(-1, -2)[:, None]
        means = means + self.scales2[:, None, :, None] * (scaled @ self.features.transpose(-1, -2)[:, None])
        components = means.shape[2]
        beside = self._beside(components)
        means = torch.cat([means, (means[:, :, beside, None] + shift).flatten(2, 3)], 2)
        variance = torch.cat(
            [self.variance, (self.variance[:, beside, None] + self.residuals.variance).flatten(1, 2)], 1
        )
        mean = (share[:, :, None] @ means)[:, :, 0]
        variance = share @ variance + (share[:, :, None] @ (means - mean[:, :, None]) ** 2)[:, :, 0]
        sigma = _UNIT * variance.double().clamp_min(1e-12).sqrt()
        return self.mean[:, None] + _UNIT * mean.double(), sigma, share[..., :components].double()

    def shares(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Share (P, K) of each component given measured depths (P, C), and (P, L, J) of residuals beside any of them.

        L lengths and J sizes of :class:`Surprise`; together they are 1.
        """
        share = self._weigh(depth[:, None])[2][:, 0].double()
        components, sizes = self.scales2.shape[1], self.residuals.log_weight.shape[-1]
        own, others = share[:, :components], share[:, components:]
        beside = len(Surprise.scales(components))
        return own, others.reshape(len(share), beside, -1, sizes).sum(1)

    def _weigh(self, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of depths (P, D, C): what makes components' means (P, D, K, C), residuals' part of them, shares (P, D, N)."""
        innovation = ((depth.double() - self.mean[:, None]) / _UNIT).to(self.basis)
        along = innovation @ self.basis  # (P, D, C)
        spread = (1.0 + self.scales2[..., None] * self.eigenvalues[:, None])[:, None]  # (P, 1, K, C)
        scaled = along[:, :, None] / spread
        evidence = -0.5 * spread.log().sum(-1) - 0.5 * (along[:, :, None] * scaled).sum(-1)
        shift, extra = self.residuals(innovation)
        beside = evidence[:, :, self._beside(evidence.shape[-1]), None] + extra
        log_weight = torch.cat([self.log_weights[:, None] + evidence, beside.flatten(2)], 2)
        return scaled, shift, torch.softmax(log_weight, -1)

    def misfit(self, depth: Tensor) -> Tensor:
        """Chi^2 a channel (P,) of measured depths (P, C) under the component, or residual beside it, nearest to them.

        About 1 where their covariance is right, whatever the spectrum: residuals leave room for any that is smooth over
        a few channels. More says that errors are too small.
        """
        innovation = ((depth.double() - self.mean) / _UNIT).to(self.basis)[:, None]
        along = innovation @ self.basis  # (P, 1, C)
        chi2 = (along**2 / (1.0 + self.scales2[..., None] * self.eigenvalues[:, None])).sum(-1)  # (P, K)
        modes = (innovation[:, None] @ self.residuals.pull)[:, :, 0, None]  # (P, N, 1, R)
        taken = (modes**2 * self.residuals.gain).sum(-1)  # (P, N, J)
        left = chi2[:, self._beside(chi2.shape[1]), None] - taken
        return torch.cat([chi2, left.flatten(1)], 1).amin(1) / depth.shape[-1]

    def _beside(self, components: int) -> Tensor:
        """The component that each residual is beside (S L,)."""
        scales = torch.tensor(Surprise.scales(components), device=self.basis.device)
        return scales.repeat_interleave(self.residuals.pull.shape[1] // len(scales))
