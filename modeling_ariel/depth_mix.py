"""A mix of three estimates of a spectrum from its measured depths: Gaussian process, autoencoder and NMF, 6 : 2 : 2.

After the best solutions of the Ariel Data Challenge 2024 (NeurIPS), which fitted depths first and then averaged a
Gaussian process over wavelength with spectra through a bottleneck and through non-negative components. Here all three
are trained with the spectrum's likelihood, and sigma is heteroscedastic.
"""

import math

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers import initialization as init

from .correction_head import ZeroLinear
from .depth_estimates import DepthAutoencoder, DepthFactors, WavelengthProcess, check_spectra
from .light_curve_depths import depths
from .planet_groups import planet_mean
from .spectrum_config import ArielSpectrumConfig
from .spectrum_model import FEATURE, Answer, ArielSpectrumModel, Correction
from .visit_batch import DEPTH, VisitBatch, repeated

_NAMES = ("gaussian_process", "autoencoder", "nmf")
_LEAST_ERROR, _MOST_ERROR = 0.01, 1000.0  # 100 ppm: 1 ppm, and what no depth is known with
_FAR = 5.0  # in ln: of sigmas that sigma follows
_FLOOR = 0.1  # 100 ppm: an estimate nearer than this needs no help


@strict
class DepthMixConfig(ArielSpectrumConfig):
    """Sizes of :class:`DepthMix`; what else there is see :class:`ArielSpectrumConfig`.

    Args:
        weights: of Gaussian process, autoencoder and NMF in the mix; their sum does not matter.
        learn_weights: whether they are trained too, from there.
        bottleneck, hidden: of the autoencoder.
        components, updates: of NMF: components, and multiplicative updates of a planet's coefficients.
        features: numbers by which planets are told apart.
        estimates_weight: of the loss that each estimate has for itself, so that each learns before it is believed.
    """

    model_type = "gp_autoencoder_nmf"

    weights: list[float] | None = None
    learn_weights: bool = False
    bottleneck: int = 8
    hidden: int = 128
    components: int = 8
    updates: int = 200
    features: int = 64
    estimates_weight: float = 0.1

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in the winners' weights."""
        self.weights = self.weights or [6.0, 2.0, 2.0]
        super().__post_init__(**kwargs)

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        return (*super().counts(), "bottleneck", "hidden", "components", "updates", "features")

    def validate_weights(self) -> None:
        """Reject weights that are not one above 0 for each estimate."""
        weights = self.weights or []
        if len(weights) != len(_NAMES) or not all(math.isfinite(w) and w > 0.0 for w in weights):
            raise ValueError(f"weights: expected {len(_NAMES)} numbers above 0, found {weights}")
        if not self.estimates_weight >= 0.0:
            raise ValueError(f"estimates_weight: expected 0 or more, found {self.estimates_weight}")


class DepthMix(ArielSpectrumModel):
    """Measured depths to spectra by three estimates.

    With ``physics="residual"`` the depths are those of the classical fit, and the answer goes from the classical
    posterior towards the mix by a gate for each channel, 0 at the start. With "none" they are read off the light
    curves, out of transit less in transit, and the answer starts at the mix.
    """

    config_class = DepthMixConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "depth_mix.DepthMixConfig",
        "AutoModel": "depth_mix.DepthMix",
        "AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor",
    }

    def __init__(self, config: DepthMixConfig):
        super().__init__(config, config.features)
        channels, dropout = config.n_channels, config.hidden_dropout_prob
        self.process = WavelengthProcess(config.depth_scale / FEATURE)
        self.autoencoder = DepthAutoencoder(channels, config.bottleneck, config.hidden, dropout)
        self.factors = DepthFactors(config.components, channels, config.updates)
        self.log_weights = nn.Parameter(torch.empty(len(_NAMES))) if config.learn_weights else None
        told = config.bottleneck + config.components + 2 * len(_NAMES) + config.n_context
        self.read = nn.Sequential(
            nn.Linear(told, config.features), nn.LayerNorm(config.features), nn.GELU(), nn.Dropout(dropout)
        )
        self.gate = ZeroLinear(config.features, channels)
        self.spread = nn.Sequential(nn.Linear(len(_NAMES), 16), nn.GELU(), ZeroLinear(16, 1))
        self.level = ZeroLinear(config.features, 2)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, WavelengthProcess | DepthFactors):
            module.reset()
        elif isinstance(module, DepthMix) and module.log_weights is not None:
            init.copy_(module.log_weights, torch.tensor(self.config.weights).log())

    def prepare(self, truths: Tensor) -> None:
        """Start from true spectra (N, C): sizes of the process, principal components, and non-negative ones."""
        spectra = check_spectra(truths, self.config.n_channels).to(self.factors.raw.device) / FEATURE
        self.process.start_from(spectra)
        self.autoencoder.start_from(spectra)
        self.factors.start_from(spectra)

    def measured(self, visits: VisitBatch) -> tuple[Tensor, Tensor]:
        """Depths and their errors (R, C) [100 ppm], float64: the fit's, or out of transit less in transit."""
        if visits.classical is not None:
            depth, error = visits.classical.depth.double(), visits.classical.depth_sigma.double()
            return depth / FEATURE, (error / FEATURE).clamp(_LEAST_ERROR, _MOST_ERROR)
        light = visits.light
        noise = torch.ones_like(light[:, 0]) if visits.noise is None else visits.noise / DEPTH
        depth, error = depths(light, visits.valid, visits.time, noise, DEPTH)
        depth, error = depth * DEPTH / FEATURE, (error * DEPTH / FEATURE).clamp(_LEAST_ERROR, _MOST_ERROR)
        if visits.planet is None:
            return repeated(depth, visits.rows), repeated(error, visits.rows)
        weight = error.square().reciprocal()
        mean_weight = planet_mean(weight, visits.planet)
        count = torch.bincount(visits.planet)[:, None]
        depth, error = planet_mean(depth * weight, visits.planet) / mean_weight, (count * mean_weight).rsqrt()
        return repeated(depth, visits.rows), repeated(error, visits.rows)

    def mixing_weights(self) -> Tensor:
        """(3,), their sum 1."""
        if self.log_weights is not None:
            return self.log_weights.double().softmax(-1)
        weights = torch.tensor(self.config.weights, dtype=torch.float64, device=self.factors.raw.device)
        return weights / weights.sum()

    def network(self, visits: VisitBatch, channels: Tensor, context: Tensor, **wanted: bool) -> Correction:
        """The three estimates, their mix, and how far it is believed."""
        depth, error = self.measured(visits)
        prior = self.config.depth_mean / FEATURE
        planets = len(visits.time) if visits.planet is None else int(visits.planet.max()) + 1
        wavelength = self.physics.wavelength.double()
        process, process_sigma = self.process(depth - prior, error, wavelength, len(depth) // planets)
        weight = error.square().reciprocal()
        level = (weight * depth).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
        shape, code = self.autoencoder(depth - level, error)
        factored, coefficients = self.factors(depth, error)
        estimates = torch.stack([process + prior, level + shape.double(), factored])  # (3, R, C)
        mixing = self.mixing_weights()[:, None, None]
        mix = (mixing * estimates).sum(0)
        apart = (mixing * (estimates - mix).square()).sum(0) + 1e-8
        if visits.classical is None:
            start, sigma, believed = torch.full_like(mix, prior), (process_sigma.square() + apart).sqrt(), 1.0
            unit, log_scale = torch.ones_like(sigma), (sigma * FEATURE / self.config.depth_scale).log()
        else:
            start, believed = visits.classical.mean.double() / FEATURE, 0.0
            sigma = visits.classical.sigma.double() / FEATURE
            unit, log_scale = sigma, torch.zeros_like(sigma)
        told = torch.stack([process_sigma / sigma, apart.sqrt() / sigma, error / sigma], -1).log().clamp(-_FAR, _FAR)
        shares = (coefficients / coefficients.sum(-1, keepdim=True).clamp_min(1e-12) + 1e-3).log()
        of_row = torch.cat([shares, told.mean(1), told.std(1), context.double()], -1).to(code)
        features = self.read(torch.cat([code, of_row], -1))
        shift = (believed + self.gate(features)) * (mix - start) / unit
        by_channel = torch.stack([shift, log_scale + self.spread(told.to(code))[..., 0]], -1)
        estimates = FEATURE * estimates
        maps = dict(zip(_NAMES, estimates, strict=True))
        return Correction(by_channel, self.level(features), features, {"estimates": estimates}, maps)

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The spread's last layer, and the level's of ln sigma."""
        last = [(layer, slice(None)) for layer in self.spread if isinstance(layer, ZeroLinear)]
        return [*last, (self.level, slice(1, None))]

    def auxiliary_loss(self, found: Correction, answer: Answer, labels: Tensor) -> Tensor | None:
        """Each estimate's own likelihood, under the sigma that suits a planet's errors best."""
        if not self.config.estimates_weight or found.parts is None:
            return None
        known = ~torch.isnan(labels)
        error = (found.parts["estimates"] - torch.where(known, labels, torch.zeros_like(labels))) / FEATURE
        square = (known * error.square()).sum(-1) / known.sum(-1).clamp_min(1)
        lost = 0.5 * (square + _FLOOR**2).log() * known.any(-1)
        return self.config.estimates_weight * (lost.sum(-1) / known.any(-1).sum().clamp_min(1)).mean().float()


AutoConfig.register("gp_autoencoder_nmf", DepthMixConfig, exist_ok=True)
AutoModel.register(DepthMixConfig, DepthMix, exist_ok=True)
DepthMixConfig.register_for_auto_class()
DepthMix.register_for_auto_class("AutoModel")
