"""The classical posterior as a layer: light curves to spectra with errors, by the fit, the populations and the prior.

What it knows is kept in buffers that travel with the checkpoint: a scale-mixture prior over spectra, and populations of
the parameters that channels share, for visits without a star table and with one. All of it runs in float64. The prior's
room for surprise needs no buffer: it follows from wavelengths and config.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .columns import STAR_COLUMNS, STAR_IN_FIT
from .joint_fit import FitSettings
from .populations import DOUBT, Population, doubted, planet_depths, unlike_note, visit_posteriors
from .posterior import ScaleMixture, VisitPosterior
from .retrieval import ClassicalFit, fit
from .shared_parameters import GROUPS, Shared, shared_groups
from .spectrum_config import ArielSpectrumConfig
from .status import DOUBTFUL, OK, best_status, counted, planet_note
from .surprise import Surprise
from .telescope import Telescope

_SCATTER = 0.85  # chi^2 a channel about the nearest spectrum, the median of 350 visits of all kinds
_SIGNIFICANT = 5.0  # sigma of it, above all of them
_DOUBTED = 4.0  # times by which a covariance is too small that is not believed any more

_SMOOTH, _FEATURES, _NUGGET = 20.0, 1.5e-4, 2e-6  # prior before any is learned: channels, depth, depth


@dataclass
class ClassicalPosterior:
    """What the network starts from, P planets of B visits.

    ``mean``, ``sigma`` (P, C) posterior [depth]; ``depth``, ``depth_sigma`` (P, C) before the prior over spectra;
    ``share`` (P, K) of the prior's scales, what they lack of 1 being surprise; ``shared``, ``shared_sigma`` (P, S)
    parameters common to channels, in sigmas of their population; ``residual`` (B, T, C) of the fit [sigma]; ``status``
    of each planet, and ``notes`` that say why, empty where there is nothing to say; ``covariance`` (P, C, C) of
    ``depth``.
    """

    mean: Tensor
    sigma: Tensor
    depth: Tensor
    depth_sigma: Tensor
    share: Tensor
    shared: Tensor
    shared_sigma: Tensor
    residual: Tensor | None = None
    status: list[str] | None = None
    notes: list[str] | None = None
    covariance: Tensor | None = None


@dataclass
class PopulatedPlanet:
    """A planet before the prior over spectra, of B visits.

    ``depth`` (C,), ``covariance`` (C, C) of all visits; ``visits``, each by itself; ``unlike`` (B, 4) how much of each
    of GROUPS its population does not explain.
    """

    depth: Tensor
    covariance: Tensor
    visits: Shared
    unlike: Tensor


def fit_inputs(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the classical fit takes of the feature extractor's tensors."""
    batch = {name: features[name] for name in ("time", "flux", "flux_err", "valid")}
    return batch | {name: features["star"][:, STAR_COLUMNS.index(name)] for name in STAR_IN_FIT}


class ArielPhysics(nn.Module):
    """Fit, populations, prior. Its buffers stay float32 whatever the model becomes."""

    wavelength: Tensor
    prior_mean: Tensor
    prior_common: Tensor
    prior_features: Tensor
    prior_common_rest: Tensor
    prior_features_rest: Tensor
    prior_scales: Tensor
    prior_weights: Tensor
    population_mean: Tensor
    population_covariance: Tensor
    population_used: Tensor
    population_b_sigma: Tensor
    population_shares: Tensor

    def __init__(self, config: ArielSpectrumConfig):
        super().__init__()
        channels, shared, components = config.n_channels, config.n_shared, config.prior_components
        shapes = {
            "wavelength": (channels,),
            "prior_mean": (channels,),
            "prior_common": (channels, channels),
            "prior_features": (channels, channels),
            "prior_common_rest": (channels, channels),  # what float32 loses: the quietest spectra depend on it
            "prior_features_rest": (channels, channels),
            "prior_scales": (components,),
            "prior_weights": (components,),
            "population_mean": (2, shared),
            "population_covariance": (2, shared, shared),
            "population_used": (2, shared),
            "population_b_sigma": (2,),
            "population_shares": (2, len(GROUPS), len(DOUBT)),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.config = config
        telescope = Telescope() if config.telescope is None else Telescope.from_dict(config.telescope)
        self.fit_settings = FitSettings(telescope=telescope)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "ArielPhysics":
        """Move, but keep float32: in bfloat16 a prior over spectra is no longer positive definite."""
        return super()._apply(lambda t: function(t) if t.is_meta else t.to(function(t).device), recurse)

    def reset(self) -> None:
        """A wide prior over spectra, and no populations."""
        with torch.no_grad():
            init.copy_(self.wavelength, torch.tensor(self.config.wavelength))
            init.constant_(self.prior_mean, self.config.depth_mean)
            channel = torch.arange(len(self.wavelength), dtype=torch.float64)
            smooth = torch.exp(-0.5 * ((channel[:, None] - channel) / _SMOOTH) ** 2)
            nugget = _NUGGET**2 * torch.eye(len(channel), dtype=torch.float64)
            init.copy_(self.prior_common, (self.config.depth_scale**2 + nugget).float())
            init.copy_(self.prior_features, (_FEATURES**2 * (smooth + 1e-2 * torch.eye(len(channel)))).float())
            init.zeros_(self.prior_common_rest)
            init.zeros_(self.prior_features_rest)
            init.ones_(self.prior_scales)
            init.constant_(self.prior_weights, 1.0 / len(self.prior_weights))
            init.zeros_(self.population_mean)
            init.copy_(self.population_covariance, torch.eye(self.config.n_shared).expand(2, -1, -1))
            init.zeros_(self.population_used)
            init.constant_(self.population_b_sigma, math.inf)
            init.copy_(self.population_shares, doubted().expand(2, -1, -1).float())

    def spectrum_prior(self) -> ScaleMixture:
        """The prior over spectra, float64, with as much room for surprise as the config says."""
        share, weights = self.config.prior_surprise, self.config.prior_surprise_weights
        return ScaleMixture(
            self.prior_mean.double(),
            self.prior_common.double() + self.prior_common_rest.double(),
            self.prior_features.double() + self.prior_features_rest.double(),
            self.prior_scales.double(),
            self.prior_weights.double(),
            Surprise.of(self.wavelength, share, weights) if share else None,
        )

    @torch.no_grad()
    def set_spectrum_prior(self, prior: ScaleMixture) -> None:
        """Take another prior with as many components, its surprise apart; ValueError where it has other components."""
        if prior.common.shape != self.prior_common.shape or len(prior.scales) != len(self.prior_scales):
            raise ValueError(
                f"prior: expected {len(self.prior_scales)} scales over {len(self.prior_mean)} channels, found "
                f"{len(prior.scales)} over {len(prior.mean)}"
            )
        for name in ("mean", "common", "features", "scales", "weights"):
            getattr(self, f"prior_{name}").copy_(getattr(prior, name))
        for name in ("common", "features"):
            exact = getattr(prior, name).double()
            getattr(self, f"prior_{name}_rest").copy_(exact - exact.float().double())

    def population(self, with_table: bool) -> Population | None:
        """Population of visits with or without a star table; None where none was learned."""
        row = int(with_table)
        index = torch.nonzero(self.population_used[row] > 0).squeeze(-1)
        if not len(index):
            return None
        covariance = self.population_covariance[row].double()[index][:, index]
        mean = self.population_mean[row].double()[index]
        groups = shared_groups(self.config.n_shared).to(index.device)
        shares = self.population_shares[row].double()
        return Population(index, mean, covariance, float(self.population_b_sigma[row]), groups, shares)

    @torch.no_grad()
    def set_population(self, population: Population, with_table: bool) -> None:
        """Take a population learned by :meth:`Population.fit`."""
        row, index = int(with_table), population.index
        self.population_used[row] = 0.0
        self.population_used[row, index] = 1.0
        self.population_mean[row, index] = population.mean.to(self.population_mean)
        covariance = torch.eye(self.config.n_shared).to(self.population_covariance)
        covariance[index[:, None], index[None, :]] = population.covariance.to(covariance)
        self.population_covariance[row] = covariance
        self.population_b_sigma[row] = population.b_sigma
        self.population_shares[row] = population.shares.to(self.population_shares)

    def populations(self) -> dict[bool, Population]:
        """Those that were learned: of visits without a star table (False) and with one (True)."""
        found = {with_table: self.population(with_table) for with_table in (False, True)}
        return {with_table: population for with_table, population in found.items() if population is not None}

    def of_planet(self, fits: ClassicalFit, populations: Mapping[bool, Population]) -> PopulatedPlanet:
        """Visits of one planet under their ``populations``, and its depths, of all of them together."""
        visits, unlike = visit_posteriors(fits, populations)
        if len(fits.depth) == 1:
            return PopulatedPlanet(visits.depth[0], visits.covariance[0], visits, unlike)
        groups = shared_groups(self.config.n_shared)
        return PopulatedPlanet(*planet_depths(Shared.free(fits), populations, groups), visits, unlike)

    def standardised(self, shared: Shared) -> tuple[Tensor, Tensor]:
        """Shared parameters (B, S) and their errors in sigmas of their population."""
        row = shared.with_table.long()
        size = self.population_covariance.diagonal(dim1=1, dim2=2).double().sqrt()[row]
        error = shared.shared_covariance.diagonal(dim1=1, dim2=2).clamp_min(0.0).sqrt()
        return (shared.shared - self.population_mean.double()[row]) / size, error / size

    def posterior(self, covariance: Tensor) -> VisitPosterior:
        """Posteriors for depths of this covariance (P, C, C)."""
        return VisitPosterior.prepare(self.spectrum_prior(), covariance)

    def believed(self, depth: Tensor, covariance: Tensor) -> tuple[VisitPosterior, Tensor, Tensor]:
        """Posteriors for depths (P, C), the covariances (P, C, C) they take, and by how much these were widened (P,).

        Where channels scatter about every spectrum that the prior and its surprise allow by more than their errors,
        these are too small, and made as large as the scatter (Birge 1932, Phys. Rev. 40, 207). A prior that cannot be
        surprised does not tell: the spectrum may be another one.
        """
        posterior = self.posterior(covariance)
        if not self.config.prior_surprise:
            return posterior, covariance, torch.ones_like(depth[:, 0])
        misfit = posterior.misfit(depth).to(depth)
        most = 1.0 + _SIGNIFICANT * math.sqrt(2.0 / depth.shape[-1])
        factor = misfit / _SCATTER
        factor = torch.where(factor > most, factor, torch.ones_like(factor))
        if bool((factor == 1.0).all()):
            return posterior, covariance, factor
        covariance = covariance * factor[:, None, None]
        return self.posterior(covariance), covariance, factor

    @torch.compiler.disable  # what the fit does next depends on what it finds
    def forward(
        self, time: Tensor, flux: Tensor, flux_err: Tensor, valid: Tensor, star: Tensor, planet: Tensor
    ) -> ClassicalPosterior:
        """Light curves (B, T, C) to the posterior of P planets; ``planet`` (B,) numbers each visit's planet.

        ``star`` (B, 8): the star table, NaN where unknown.
        """
        with torch.autocast(flux.device.type, enabled=False):
            visits = {"time": time, "flux": flux, "flux_err": flux_err, "valid": valid, "star": star}
            fits = fit(fit_inputs(visits), self.wavelength.double(), self.fit_settings)
            return self.summarise(fits, planet)

    def summarise(self, fits: ClassicalFit, planet: Tensor) -> ClassicalPosterior:
        """Fits of visits to the posterior of their planets; which visits count is ``counted``'s rule."""
        own = [torch.nonzero(planet == p).squeeze(-1).tolist() for p in range(int(planet.max()) + 1)]
        states = [[fits.status[visit] for visit in of_planet] for of_planet in own]
        members = [[own[p][place] for place in counted(one)] for p, one in enumerate(states)]
        populations = self.populations()
        found = [self.of_planet(fits.select(torch.tensor(m, device=planet.device)), populations) for m in members]
        notes = list(fits.notes)
        for m, one in zip(members, found, strict=True):
            for visit, unlike in zip(m, one.unlike.tolist(), strict=True):
                notes[visit] = "; ".join(filter(None, (notes[visit], unlike_note(unlike))))
        noted = [[notes[visit] for visit in of_planet] for of_planet in own]
        depth, covariance = torch.stack([one.depth for one in found]), torch.stack([one.covariance for one in found])
        shared, error = zip(*(self.standardised(one.visits) for one in found), strict=True)
        posterior, covariance, factor = self.believed(depth, covariance)
        mean, sigma, share = posterior(depth)
        verdicts = [
            _verdict(best_status(one), planet_note(one, texts), times)
            for one, texts, times in zip(states, noted, factor.tolist(), strict=True)
        ]
        return ClassicalPosterior(
            mean=mean,
            sigma=sigma,
            depth=depth,
            depth_sigma=covariance.diagonal(dim1=1, dim2=2).sqrt(),
            share=share,
            shared=torch.stack([visits.mean(0) for visits in shared]),
            shared_sigma=torch.stack([visits.mean(0) for visits in error]),
            residual=(fits.residual * fits.weight.sqrt()).transpose(1, 2),
            status=[status for status, _ in verdicts],
            notes=[note for _, note in verdicts],
            covariance=covariance,
        )


def _verdict(status: str, note: str, factor: float) -> tuple[str, str]:
    """Status and note of a planet whose covariance was made so many times larger."""
    if factor == 1.0:
        return status, note
    said = f"channels scatter {math.sqrt(factor):.1f} times their errors about any smooth spectrum: errors made larger"
    return DOUBTFUL if status == OK and factor > _DOUBTED else status, "; ".join(filter(None, (note, said)))
