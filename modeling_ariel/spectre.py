"""Spectre: light curves freed of jitter, then of noise, then read by a Bayesian network over wavelength.

The three stages of pipelines that were published for the Ariel Data Challenge, each in a file of its own: TCN-JNet
(:mod:`jitter_network`), PhySNet (:mod:`denoising_network`) and ResNet-1D (:mod:`spectrum_network`). The first two can
be switched off. They are trained without labels too: what is removed must be explained by the pointing, and what was
hidden must be rebuilt.
"""

from dataclasses import dataclass
from functools import partial

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining
from transformers import initialization as init

from .curve_reader import CurveReader
from .denoising_network import Denoised, DenoisingNetwork, bin_channels, bin_times, rebuilding_loss
from .image_layers import FourierConv2d, GlobalResponseNorm, TemplateAttention
from .jitter_network import Jitter, JitterNetwork, jitter_losses
from .masking import expand_mask, hidden_patches
from .outputs import ArielForPreTrainingOutput
from .psf_templates import PsfTemplates
from .rebuilt_transit import rebuilt_transit
from .spectrum_config import ArielSpectrumConfig
from .spectrum_model import Answer, ArielPreTrainedModel, ArielSpectrumModel, Correction
from .spectrum_network import MolecularAttention, SpectrumNetwork, band_members, band_templates, spectral_mask
from .visit_batch import VisitBatch, checked_visits

_DEPTH, _BRIGHTEST = 1e-3, 50.0  # the unit of responses to jitter; the most of it that a sigma is divided by
_LOSSES = ("scatter", "unexplained", "rebuilding")  # of the first two stages
_QUIET = 0.2  # of a visit, at either end, where light curves that no fit was taken from are judged


@strict
class SpectreConfig(ArielSpectrumConfig):
    """Sizes and weights of :class:`Spectre`; what else there is see :class:`ArielSpectrumConfig`.

    Args:
        jitter, denoise: whether the first and the second stage are there.
        psf_templates, psf_size: how many PSF templates, and how many pixels a side.
        pointing_scale: 1 sigma of FGS1's centroids [px], by which the feature extractor has scaled them.
        jitter_width, jitter_kernel, jitter_blocks, jitter_series: of the causal convolutions.
        patch_bins, patch_channels: bins and channels that are averaged to a pixel of the image.
        image_sizes: features of the U-Net at three scales.
        fourier_modes: along time and wavelength.
        image_heads: of the attention to templates.
        time_pools: weighted means over time that are taken of each channel.
        spectrum_width, spectrum_kernel, spectrum_dilations, spectrum_features: of the network over wavelength.
        spectral_dropout: share of bands that training hides.
        blind_share: share of the image's pixels that training hides.
        mask_ratio, mask_strategy: of pretraining, see `masking`.
        jitter_weight, unexplained_weight, denoising_weight, smoothness_weight: of the losses beside the likelihood.
    """

    model_type = "spectre"

    jitter: bool = True
    denoise: bool = True
    psf_templates: int = 9
    psf_size: int = 11
    pointing_scale: float = 9.5e-3
    jitter_width: int = 24
    jitter_kernel: int = 3
    jitter_blocks: int = 4
    jitter_series: int = 3
    patch_bins: int = 4
    patch_channels: int = 4
    image_sizes: list[int] | None = None
    fourier_modes: list[int] | None = None
    image_heads: int = 4
    time_pools: int = 6
    spectrum_width: int = 24
    spectrum_kernel: int = 5
    spectrum_dilations: list[int] | None = None
    spectrum_features: int = 96
    spectral_dropout: float = 0.1
    blind_share: float = 0.1
    mask_ratio: float = 0.5
    mask_strategy: str = "block"
    jitter_weight: float = 0.1
    unexplained_weight: float = 2.0
    denoising_weight: float = 0.1
    smoothness_weight: float = 1e-3
    hidden_dropout_prob: float = 0.1

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in the default sizes."""
        self.image_sizes = self.image_sizes or [8, 16, 32]
        self.fourier_modes = self.fourier_modes or [8, 6]
        self.spectrum_dilations = self.spectrum_dilations or [1, 2, 4]
        super().__post_init__(**kwargs)

    def choices(self) -> dict[str, tuple[str, ...]]:
        """The values that each field of words may have."""
        return super().choices() | {"mask_strategy": ("random", "block", "band", "snr")}

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        jitter = ("jitter_width", "jitter_kernel", "jitter_blocks", "jitter_series", "psf_templates", "psf_size")
        others = ("patch_bins", "patch_channels", "image_heads", "time_pools", "spectrum_width", "spectrum_features")
        return (*super().counts(), *jitter, *others)

    def validate_spectre(self) -> None:
        """Reject sizes that do not go together, and shares and weights outside their range."""
        sizes, modes, heads = self.image_sizes or [], self.fourier_modes or [], self.image_heads
        if len(sizes) != 3 or min(sizes) < 1 or sizes[-1] % heads:
            raise ValueError(f"image_sizes: expected three, the last a multiple of {heads}, found {sizes}")
        if len(modes) != 2 or min(modes) < 1:
            raise ValueError(f"fourier_modes: expected two of 1 or more, found {modes}")
        if self.spectrum_kernel % 2 == 0:
            raise ValueError(f"spectrum_kernel: expected an odd number, found {self.spectrum_kernel}")
        for name in ("spectral_dropout", "blind_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(f"mask_ratio: expected between 0 and 1, found {self.mask_ratio}")
        if not self.pointing_scale > 0.0:
            raise ValueError(f"pointing_scale: expected above 0, found {self.pointing_scale}")
        for name in ("jitter_weight", "unexplained_weight", "denoising_weight", "smoothness_weight"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")


@dataclass
class Curves:
    """Light curves of B visits after the first two stages.

    ``light`` and ``weight`` (B, N, C), binned in time, without jitter; ``hidden`` (B, N, D), weight of what was hidden
    from the denoising network, binned in wavelength too, and ``target`` (B, N, D) what it was; ``power`` (B,), mean
    square of all; ``correlation`` (B, T, K) with PSF templates.
    """

    light: Tensor
    weight: Tensor
    target: Tensor
    hidden: Tensor
    power: Tensor
    jitter: Jitter | None
    correlation: Tensor | None
    denoised: Denoised | None


class CurveEncoder(nn.Module):
    """The first two stages."""

    def __init__(self, config: SpectreConfig):
        super().__init__()
        self.config = config
        dropout, pixels = config.hidden_dropout_prob, config.psf_size**2
        self.psf = None
        if config.jitter or config.denoise:
            self.psf = PsfTemplates(config.psf_templates, config.psf_size, config.pointing_scale)
        self.jitter = None
        if config.jitter:
            sizes = config.jitter_width, config.jitter_kernel, config.jitter_blocks, config.jitter_series
            self.jitter = JitterNetwork(config.n_channels, config.psf_templates, *sizes, dropout)
        self.denoising = None
        if config.denoise:
            along, across = config.fourier_modes or [1, 1]
            sizes_of_image = config.image_sizes or []
            self.denoising = DenoisingNetwork(sizes_of_image, (along, across), config.image_heads, pixels, dropout)

    def forward(self, visits: VisitBatch, hidden: Tensor | None = None, blind: float = 0.0) -> Curves:
        """Light curves without jitter and noise.

        Args:
            visits: the light curves.
            hidden: (B, T, C) bool, what no stage may see.
            blind: share of the image's pixels that the denoising network may not see, drawn from torch's generator.
        """
        config = self.config
        measured, valid = visits.light, visits.valid
        known = valid if hidden is None else valid & ~hidden
        light = torch.where(known, measured, torch.zeros_like(measured))
        jitter = correlation = None
        if self.jitter is not None and self.psf is not None:
            correlation = self.psf(visits.centroid)
            jitter = self.jitter(light, known, visits.centroid, correlation, _unit(visits))
            light = torch.where(known, light - jitter.removed, torch.zeros_like(light))
        light, weight = bin_times(light, known.to(light), config.patch_bins)
        image, seen = bin_channels(light, weight, config.patch_channels)
        target, unseen = image, torch.zeros_like(seen)
        if hidden is not None:
            concealed = (valid & hidden).to(light)
            if jitter is not None:
                measured = measured - jitter.removed
            target, unseen = bin_channels(*bin_times(measured, concealed, config.patch_bins), config.patch_channels)
        elif blind:
            drawn = torch.rand(seen.shape, device=seen.device) < blind
            unseen, seen = seen * drawn, seen * ~drawn
            target, image = image.detach(), image * ~drawn
        total = (seen * image**2 + unseen * target**2).sum((1, 2)).detach()
        power = total / (seen + unseen).sum((1, 2)).clamp_min(1e-6)
        denoised = None
        if self.denoising is not None and self.psf is not None:
            denoised = self.denoising(image, seen, self.psf.tokens)
        return Curves(light, weight, target, unseen, power, jitter, correlation, denoised)

    def losses(self, visits: VisitBatch, curves: Curves) -> dict[str, Tensor]:
        """What is learned without labels: shares of scatter and of power, each by its name."""
        found = {}
        if curves.jitter is not None:
            bins = visits.valid.shape[1]
            quiet = torch.ones(bins, dtype=torch.bool, device=visits.valid.device)
            if visits.residual is None:
                edge = max(1, int(_QUIET * bins))
                quiet[edge:-edge] = False
            removed = curves.jitter.removed
            found = jitter_losses(visits.light, visits.valid, quiet, removed, visits.centroid, _unit(visits))
        if curves.denoised is not None:
            clean = curves.denoised.clean
            found["rebuilding"] = rebuilding_loss(clean, curves.target, curves.hidden, curves.power)
        return found

    def weighted(self, losses: dict[str, Tensor]) -> Tensor | None:
        """The sum of :meth:`losses` with the config's weights; None where there are none."""
        config = self.config
        weights = {
            "scatter": config.jitter_weight,
            "unexplained": config.jitter_weight * config.unexplained_weight,
            "rebuilding": config.denoising_weight,
        }
        terms = [weight * losses[name] for name, weight in weights.items() if name in losses]
        return torch.stack(terms).sum() if terms else None


class SpectrePreTrainedModel(ArielPreTrainedModel):
    """What both models share: how their own parts are initialised."""

    config: SpectreConfig
    config_class = SpectreConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "spectre.SpectreConfig",
        "AutoModel": "spectre.Spectre",
        "AutoModelForPreTraining": "spectre.SpectreForPreTraining",
        "AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor",
    }
    encoder: CurveEncoder

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PsfTemplates):
            module.reset()
        elif isinstance(module, JitterNetwork):
            init.zeros_(module.response)
        elif isinstance(module, GlobalResponseNorm):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, FourierConv2d):
            init.normal_(module.weight, std=1.0 / module.weight.shape[1])
        elif isinstance(module, TemplateAttention):
            init.ones_(module.match)
        elif isinstance(module, MolecularAttention):
            init.ones_(module.inside)
        elif isinstance(module, SpectrumNetwork):
            init.trunc_normal_(module.place, std=self.config.initializer_range)

    def set_psf_templates(self, templates: Tensor, profile: Tensor | None = None) -> None:
        """Take PSF templates (K, h, w) of FGS1, the first that of the mean pointing, and AIRS' ``profile`` (h, w).

        They come from calibrated frames, in any unit, and are saved with the weights.

        Raises:
            ValueError: another shape, constant images, or a model without the stages that read them.
        """
        if self.encoder.psf is None:
            raise ValueError("PSF templates: expected a config with jitter or denoise, found neither")
        self.encoder.psf.set(templates, profile)


class Spectre(SpectrePreTrainedModel, ArielSpectrumModel):
    """Light curves to spectra in three stages."""

    def __init__(self, config: SpectreConfig):
        super().__init__(config, config.spectrum_features)
        self.encoder = CurveEncoder(config)
        self.reader = CurveReader(
            config.n_channels,
            config.patch_channels,
            config.time_pools,
            config.spectrum_width,
            (config.image_sizes or [0])[0] if config.denoise else 0,
        )
        self.spectrum = SpectrumNetwork(
            config.n_channels,
            config.n_context,
            config.spectrum_width,
            config.spectrum_kernel,
            config.spectrum_dilations or [],
            config.spectrum_features,
            config.hidden_dropout_prob,
        )
        self.post_init()

    def network(self, visits: VisitBatch, channels: Tensor, context: Tensor, **wanted: bool) -> Correction:
        """The first two stages once for each visit, the third for each row."""
        config = self.config
        learning = self.training and torch.is_grad_enabled()  # samples with dropout hide nothing
        maps = visits.read(partial(self._curves, learning=learning))
        rows = visits.by_row(maps.pop("read").flatten(1)).unflatten(-1, (-1, config.n_channels))
        wavelength = torch.tensor(config.wavelength, device=rows.device)
        hidden = None
        if learning and config.spectral_dropout:
            hidden = spectral_mask(band_members(wavelength), len(rows), config.spectral_dropout)
        templates = band_templates(wavelength).to(rows)
        by_channel, level, features, maps["molecule_attention"] = self.spectrum(
            rows, channels, context, templates, hidden
        )
        parts = {name: maps.pop(name).mean() for name in _LOSSES if name in maps}
        if learning:
            parts["roughness"] = by_channel[:, 1:, 0].float().diff(n=2, dim=1).square().mean()
        if "transit" in maps:
            parts["transit"] = visits.by_row(maps.pop("transit").flatten(1)).unflatten(-1, (-1, config.n_channels))
        return Correction(by_channel, level, features, parts, maps)

    def _curves(self, visits: VisitBatch, learning: bool) -> dict[str, Tensor]:
        """What the first two stages "read" (b, W, C), where a rule looks at it the "transit", in training their losses
        as one number a visit, and maps.
        """
        config = self.config
        curves = self.encoder(visits, blind=config.blind_share if learning and config.denoise else 0.0)
        read, weights = self.reader(curves.light, curves.weight, curves.denoised)
        found = {"read": read, "time_weights": weights}
        if curves.jitter is not None and curves.correlation is not None:
            found |= {"jitter": curves.jitter.removed, "psf_correlation": curves.correlation}
        if curves.denoised is not None:
            found |= {"denoised": curves.denoised.clean, "template_attention": curves.denoised.attention}
        if learning:
            losses = self.encoder.losses(visits, curves)
            found |= {name: loss.expand(visits.rows) for name, loss in losses.items()}
        if self.objective is not None and self.objective.looks_at_transits and curves.denoised is not None:
            transit = rebuilt_transit(visits, curves.denoised.clean, config.patch_bins, config.patch_channels)
            found |= {} if transit is None else {"transit": transit}
        return found

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Of the network over wavelength."""
        return self.spectrum.sigma_layers()

    def auxiliary_loss(self, found: Correction, answer: Answer, labels: Tensor) -> Tensor | None:
        """In training, the first stages' own losses, and roughness of the mean's correction along wavelength."""
        parts = found.parts or {}
        if "roughness" not in parts:
            return None
        loss = self.config.smoothness_weight * parts["roughness"]
        beside = self.encoder.weighted(parts)
        return loss if beside is None else loss + beside


class SpectreForPreTraining(SpectrePreTrainedModel):
    """The first two stages, trained on what is hidden from them; its checkpoint opens as a :class:`Spectre`."""

    def __init__(self, config: SpectreConfig):
        super().__init__(config)
        if not config.denoise:
            raise ValueError("pretraining: expected a config with denoise, which rebuilds what is hidden, found none")
        self.encoder = CurveEncoder(config)
        self.post_init()

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        centroid: Tensor | None = None,
        star_features: Tensor | None = None,
        residual: Tensor | None = None,
        mask: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> ArielForPreTrainingOutput:
        """Hide, rebuild; the loss is the share of power that was not rebuilt, beside that of the jitter.

        Args:
            light_curve: (B, T, C) [sigma]; valid: (B, T, C) bool; time: (B, T) [h].
            centroid: (B, T, 4), scaled; star_features: (B, 16); zeros where absent.
            residual: (B, T, C) of the classical fit [sigma], which is read instead of the light curve.
            mask: (B, N) or (B, N, C) bool, which patches in time to hide; else drawn by the config's strategy.
            noise: uniform numbers that decide the draw, of shape `noise_shape`.

        Returns:
            ``reconstruction`` (B, N, D) of the image, and ``mask`` (B, N, C).
        """
        config = self.config
        visits = checked_visits(config, light_curve, valid, time, centroid, star_features)
        visits.residual = residual
        hidden = hidden_patches(config, visits.light, valid, mask, noise)
        curves = self.encoder(visits, expand_mask(hidden, config.patch_bins, valid.shape[1]))
        losses = self.encoder.losses(visits, curves)
        loss = losses.pop("rebuilding")
        beside = self.encoder.weighted(losses)
        clean = None if curves.denoised is None else curves.denoised.clean
        return ArielForPreTrainingOutput(loss if beside is None else loss + beside, clean, hidden)


def _unit(visits: VisitBatch) -> Tensor:
    """What a thousandth of the flux is in the unit of the light (B, 1, C); 1 where that is not known."""
    if visits.residual is None or visits.noise is None:
        return torch.ones(1, 1, 1).to(visits.light_curve)
    return (_DEPTH / visits.noise.clamp_min(_DEPTH / _BRIGHTEST))[:, None].to(visits.light_curve)


AutoConfig.register("spectre", SpectreConfig, exist_ok=True)
AutoModel.register(SpectreConfig, Spectre, exist_ok=True)
AutoModelForPreTraining.register(SpectreConfig, SpectreForPreTraining, exist_ok=True)
SpectreConfig.register_for_auto_class()
Spectre.register_for_auto_class("AutoModel")
SpectreForPreTraining.register_for_auto_class("AutoModelForPreTraining")
