"""What σ is made of: photon noise, jitter, drift, limb darkening and orbit, the prior, the network.

The errors of the light curves are split by what fixing a nuisance would save, exactly, as everything is Gaussian: the
covariance of depths given a group of parameters is the Schur complement of their joint covariance. What two groups
cause together is shared evenly between them (Shapley's value: the mean over the orders of fixing them). With all
parameters fixed, white noise is left, whose variance follows from the curve's weights, and noise with memory: the rest.

Each of these passes through the prior over spectra as the light curves do. For a Gaussian prior the posterior's
covariance is G C G' + (1 - G) P (1 - G)', of gain G, error C and prior P (Rodgers 2000, Inverse Methods for Atmospheric
Sounding, eq. 3.29): the first is what of the errors is left, the second what the light curves leave to the prior. The
prior is a mixture, so both are means over it; that its components disagree counts as the prior's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.network import Answer
from engine.spectrum import FGS1_BELOW_UM, Array
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.physics import ArielPhysics
from modeling_ariel.pipeline_ariel import to_numpy
from modeling_ariel.populations import planet_depths, visit_posteriors
from modeling_ariel.posterior import ScaleMixture
from modeling_ariel.retrieval import ClassicalFit
from modeling_ariel.shared_parameters import FAST, LIMB, ORBIT, OWN, SLOW, Shared, shared_groups
from modeling_ariel.status import FITTED, counted
from modeling_ariel.surprise import Surprise
from modeling_ariel.transit import binned_moments, intensity_coefficients

NUISANCES = {"drift": (SLOW, FAST), "limb darkening and orbit": (OWN, ORBIT, LIMB)}
NOISES = ("photon noise", "jitter", *NUISANCES)
PARTS = (*NOISES, "prior", "network")
LEARNED = "learned by the network"
_FIXED = 1e-6  # variance of a parameter that is held, in its prior's
_NEGLIGIBLE = 1e-4  # share of a component of the prior
_DAY_H = 24.0


@dataclass(frozen=True, eq=False)
class SigmaParts:
    """``variance`` (C,) [depth²] by part: PARTS and LEARNED, all together σ².

    The parts are not negative, but LEARNED, by which the network's own variance exceeds that of the classical answer:
    negative where the network saves. "network" is the spread over dropout. ``alone`` (C,) is σ before the prior.
    """

    name: str
    wavelength_um: Array
    sigma: Array
    alone: Array
    variance: Mapping[str, Array]
    fitted: bool

    @property
    def airs(self) -> np.ndarray:
        """(C,) true for the spectrometer's channels."""
        return np.asarray(self.wavelength_um >= FGS1_BELOW_UM)

    @property
    def shares(self) -> dict[str, float]:
        """Each part of the spectrometer's mean variance; together 1."""
        total = (self.sigma[self.airs] ** 2).sum()
        return {name: float(part[self.airs].sum() / total) for name, part in self.variance.items()}


def sigma_parts(
    name: str, features: Mapping[str, Tensor], fits: ClassicalFit, answer: Answer, physics: ArielPhysics
) -> SigmaParts:
    """The parts of one planet's σ, from the ``features`` and ``fits`` of its visits and the ``answer`` from them."""
    spectrum, classical = answer.spectrum, answer.classical
    errors = {part: torch.zeros_like(classical.mean[0]) for part in NOISES}
    if spectrum.status in FITTED and classical.covariance is not None:
        found = light_curve_errors(features, fits, physics)
        total = torch.stack(list(found.values())).sum(0)
        widened = classical.covariance[0].diagonal().sum() / total.diagonal().sum()  # as it is where channels scatter
        errors = through_prior(
            physics.spectrum_prior(),
            classical.depth[0],
            classical.covariance[0],
            {part: widened * matrix for part, matrix in found.items()},
        )
    variance = {part: to_numpy(error) for part, error in errors.items()}
    variance["prior"] = spectrum.classical_sigma**2 - np.sum(list(variance.values()), axis=0)
    variance["network"] = spectrum.sigma_epistemic**2
    variance[LEARNED] = spectrum.sigma_aleatoric**2 - spectrum.classical_sigma**2
    return SigmaParts(
        name=name,
        wavelength_um=spectrum.wavelength_um,
        sigma=spectrum.sigma,
        alone=spectrum.fit_sigma,
        variance=variance,
        fitted=spectrum.status in FITTED,
    )


# --- errors of the light curves --------------------------------------------------------------------------------------


def light_curve_errors(features: Mapping[str, Tensor], fits: ClassicalFit, physics: ArielPhysics) -> dict[str, Tensor]:
    """Covariances (C, C) of a planet's depths before the prior, by NOISES."""
    kept = torch.tensor(counted(fits.status))
    visits = fits.select(kept)
    given = _Given(visits, physics)
    both, drift, star, none = (given.fixed(held) for held in (tuple(NUISANCES), *((one,) for one in NUISANCES), ()))
    white = torch.diag(1.0 / (1.0 / torch.stack(
        [_white_variance(features, int(visit), fits) for visit in kept]
    )).sum(0))  # fmt: skip
    seen = white.diagonal() < both.diagonal()
    white = torch.diag(torch.where(seen, white.diagonal(), both.diagonal()))
    return {
        "photon noise": white,
        "jitter": both - white,
        "drift": 0.5 * ((none - drift) + (star - both)),
        "limb darkening and orbit": 0.5 * ((none - star) + (drift - both)),
    }


class _Given:
    """Covariances of a planet's depths were some of NUISANCES known."""

    def __init__(self, visits: ClassicalFit, physics: ArielPhysics) -> None:
        self.visits, self.populations = visits, physics.populations()
        self.groups = shared_groups(visits.shared.shape[-1])
        alone = len(visits.depth) == 1
        self.shared = visit_posteriors(visits, self.populations)[0] if alone else Shared.free(visits)

    def fixed(self, held: Sequence[str]) -> Tensor:
        """(C, C) with the groups ``held`` fixed."""
        groups = [group for name in held for group in NUISANCES[name]]
        places = torch.nonzero(torch.isin(self.groups, torch.tensor(groups))).squeeze(-1)
        shared = _held(self.shared, places) if len(places) else self.shared
        if len(shared.depth) == 1:
            return shared.covariance[0]
        if len(places) == len(self.groups):  # visits have nothing in common any more
            return torch.linalg.inv(torch.linalg.inv(shared.covariance).sum(0))
        return planet_depths(shared, self.populations, self.groups)[1]


def _held(shared: Shared, places: Tensor) -> Shared:
    """Visits with the parameters at ``places`` known, where they are found: Schur complements."""
    own = shared.shared_covariance[:, places[:, None], places]
    values, axes = torch.linalg.eigh(own)
    root = axes * values.clamp_min(1e-12).rsqrt()[:, None]  # (B, J, J), root root' is the inverse
    cross = shared.cross_covariance[..., places] @ root
    within = shared.shared_covariance[..., places] @ root
    left = shared.shared_covariance - within @ within.mT
    left[:, places], left[:, :, places] = 0.0, 0.0
    left[:, places, places] = _FIXED
    between = shared.cross_covariance - cross @ within.mT
    between[..., places] = 0.0
    parts = vars(shared) | {
        "covariance": shared.covariance - cross @ cross.mT, "shared_covariance": left, "cross_covariance": between,
    }  # fmt: skip
    return Shared(**parts)


def _white_variance(features: Mapping[str, Tensor], visit: int, fits: ClassicalFit) -> Tensor:
    """Variance (C,) of one visit's depths by white noise alone: level and depth of each channel, the rest known."""
    weight, drift, model = fits.weight[visit], fits.drift[visit], fits.model[visit]  # (C, T)
    slope = (1.0 + drift) * _transit_slope(features, visit, fits)
    level = (weight * slope * model).sum(-1), (weight * model**2).sum(-1)
    told = (weight * slope**2).sum(-1) - level[0] ** 2 / level[1].clamp_min(1e-30)
    return 1.0 / told.clamp_min(1e-30)


def _transit_slope(features: Mapping[str, Tensor], visit: int, fits: ClassicalFit) -> Tensor:
    """Light (C, T) that a transit of the white depth hides, by depth."""
    time = features["time"][visit].double()
    period = float(features["star"][visit, STAR_COLUMNS.index("P")])
    rate = 2.0 * math.pi / (_DAY_H * period) if math.isfinite(period) else 0.0
    k = fits.white_depth[visit].clamp_min(1e-6).sqrt()
    width = time.diff().median()[None]
    shape = fits.shape[visit][None]
    *_, by_k = binned_moments(time[None], width, shape, time.new_tensor([rate]), k.reshape(1, 1))
    law = intensity_coefficients(*fits.limb_darkening[visit])  # (C, 3)
    return law @ by_k[0, 0].mT / (2.0 * k)


# --- the prior -------------------------------------------------------------------------------------------------------


def through_prior(
    prior: ScaleMixture, depth: Tensor, covariance: Tensor, errors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Variances (C,) that parts of the ``covariance`` (C, C) of measured depths (C,) leave in the posterior."""
    gains, shares = _gains(prior, depth, covariance)
    return {
        name: sum(
            (share * ((gain @ error) * gain).sum(-1) for gain, share in zip(gains, shares, strict=True)),
            start=torch.zeros_like(depth),
        )
        for name, error in errors.items()
    }


def _gains(prior: ScaleMixture, depth: Tensor, covariance: Tensor) -> tuple[list[Tensor], list[float]]:
    """Gains P (P + C)^-1 of the prior's likely components, and their shares."""
    surprise = prior.surprise or Surprise.none(prior.mean)
    usual = (prior.weights * (1.0 - surprise.share)).log()
    priors, weights = [], []
    for own, log_weight, (roots, beside) in zip(
        prior.prior().covariances, usual, surprise.beside(prior.weights), strict=True
    ):
        priors.append(own)
        weights.append(log_weight)
        for place, size in itertools.product(range(beside.shape[0]), range(beside.shape[-1] if beside.ndim > 1 else 0)):
            priors.append(own + surprise.variances[size] * roots[place] @ roots[place].mT)
            weights.append(beside[place, size])
    factors = torch.linalg.cholesky(torch.stack(priors) + covariance)
    white = torch.linalg.solve_triangular(factors, (depth - prior.mean).expand(len(priors), -1)[..., None], upper=False)
    evidence = torch.stack(weights) - 0.5 * (white**2).sum((1, 2)) - factors.diagonal(dim1=1, dim2=2).log().sum(1)
    share = torch.softmax(evidence, 0)
    likely = torch.nonzero(share > _NEGLIGIBLE).squeeze(-1).tolist()
    gains = [torch.cholesky_solve(priors[one], factors[one]).mT for one in likely]
    total = float(share[likely].sum())
    return gains, [float(share[one]) / total for one in likely]
