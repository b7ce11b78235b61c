"""The Ariel models: a temporal transformer over light curves, masked pretraining, and spectra with uncertainties.

Pretraining is a masked autoencoder over patches in time (Ti-MAE: Li et al. 2023, arXiv:2301.08871; He et al. 2022,
CVPR, 16000). The spectrum head starts from the classical posterior of :class:`ArielPhysics` and moves it: a correction
of the mean in units of its sigma, and a factor on that sigma; both are zero and one until something is learned.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
    PreTrainedModel,
)
from transformers import initialization as init

from .columns import STAR_COLUMNS
from .configuration_ariel import ArielConfig
from .familiarity import Familiarity, kept_share, with_distance_notes
from .feature_extraction_ariel import ArielFeatureExtractor
from .heads import ArielDecoder, ArielSpectrumHead
from .layers import ArielEncoder, ArielPatchEmbedding
from .losses import gaussian_nll, masked_patch_loss, score_loss
from .masking import channel_snr, expand_mask, make_mask, noise_shape, patch_valid
from .outputs import ArielForPreTrainingOutput, ArielModelOutput, ArielSpectrumOutput
from .physics import ArielPhysics, ClassicalPosterior
from .planet_groups import by_planet, check_planet, check_stars, planet_mean
from .uncertainty import SigmaCalibration

AUTO_MAP = {
    "AutoConfig": "configuration_ariel.ArielConfig",
    "AutoModel": "modeling_ariel.ArielForSpectrumPrediction",
    "AutoModelForPreTraining": "modeling_ariel.ArielForPreTraining",
    "AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor",
}

_FEATURE = 1e-4  # depth: the size of spectral features, in which physics="none" counts them
_LOST = 0.1  # depth: only where no visit could be fitted are all errors so wide; the prior's answer is kept
_WIDEST_LOG_SCALE = 8.0  # of physics="none", which starts from the spread of all depths


class ArielPreTrainedModel(PreTrainedModel):
    """What the models share: how they are initialised and which attention they can run."""

    config_class = ArielConfig
    base_model_prefix = "ariel"
    main_input_name = "light_curve"
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules = ["ArielLayer"]  # noqa: RUF012, the library wants a list
    _keep_in_fp32_modules_strict = {"physics", "calibration", "familiarity"}  # noqa: RUF012, or a set

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, ArielPhysics):
            module.reset()
        elif isinstance(module, SigmaCalibration):
            module.reset(init.copy_)
        elif isinstance(module, Familiarity):
            module.reset()
        elif isinstance(module, ArielDecoder):
            init.normal_(module.mask_token, std=self.config.initializer_range)
        elif isinstance(module, ArielSpectrumHead):
            init.normal_(module.queries, std=1.0)
            for last in (module.level, module.channel):  # nothing is corrected until something is learned
                init.zeros_(last.weight)
                init.zeros_(last.bias)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """With the code, and every auto class named: what was loaded may name one, or another repository."""
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(*args, **kwargs)


class ArielModel(ArielPreTrainedModel):
    """The backbone: light curves to a token for the star and one for each patch in time."""

    def __init__(self, config: ArielConfig):
        super().__init__(config)
        self.embeddings = ArielPatchEmbedding(config)
        self.encoder = ArielEncoder(config, config.num_hidden_layers, config.hidden_size, config.intermediate_size)
        self.post_init()

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        centroid: Tensor | None = None,
        star_features: Tensor | None = None,
        residual: Tensor | None = None,
        hidden: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> ArielModelOutput:
        """Encode visits.

        Args:
            light_curve: (B, T, C) relative flux in sigma, as ArielFeatureExtractor gives it.
            valid: (B, T, C) bool.
            time: (B, T) [h].
            centroid: (B, T, 4), scaled; star_features: (B, 16); zeros where absent.
            residual: (B, T, C) of the classical fit [sigma].
            hidden: (B, N, C) bool, entries of the N patches that masking hides.
        """
        _check_light_curve(light_curve, valid, time, self.config.n_channels)
        if centroid is None:
            centroid = light_curve.new_zeros(*light_curve.shape[:2], 4)
        if star_features is None:
            star_features = light_curve.new_zeros(len(light_curve), self.config.n_star_features)
        _check_shape("centroid", centroid, (*light_curve.shape[:2], 4))
        _check_shape("star_features", star_features, (len(light_curve), self.config.n_star_features))
        if residual is not None:
            _check_shape("residual", residual, light_curve.shape)
        tokens, used = self.embeddings(light_curve, valid, time, centroid, star_features, residual, hidden)
        encoded = self.encoder(tokens, used, output_hidden_states, output_attentions)
        return ArielModelOutput(encoded.tokens, used, encoded.hidden_states, encoded.attentions)


def _check_light_curve(light_curve: Tensor, valid: Tensor, time: Tensor, channels: int) -> None:
    if light_curve.ndim != 3 or light_curve.shape[-1] != channels:
        raise ValueError(f"light_curve: expected (B, T, {channels}), found {tuple(light_curve.shape)}")
    _check_shape("valid", valid, light_curve.shape)
    _check_shape("time", time, light_curve.shape[:2])


def _check_shape(name: str, tensor: Tensor, expected: Sequence[int]) -> None:
    if tensor.shape != tuple(expected):
        raise ValueError(f"{name}: expected {tuple(expected)}, found {tuple(tensor.shape)}")


class ArielForPreTraining(ArielPreTrainedModel):
    """Masked autoencoder over patches in time (or over channels)."""

    def __init__(self, config: ArielConfig):
        super().__init__(config)
        self.ariel = ArielModel(config)
        self.decoder = ArielDecoder(config)
        self.post_init()

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        centroid: Tensor | None = None,
        star_features: Tensor | None = None,
        mask: Tensor | None = None,
        noise: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> ArielForPreTrainingOutput:
        """Hide, encode, rebuild; the loss is on what was hidden, in sigma.

        Args:
            mask: (B, N) or (B, N, C) bool, what to hide; else it is drawn by the config's strategy.
            noise: uniform numbers that decide the draw, of shape `noise_shape`: (B, N) for patches in time.
        """
        _check_light_curve(light_curve, valid, time, self.config.n_channels)
        seen = patch_valid(valid, self.config.patch_bins)
        if mask is None:
            mask = self._draw_mask(seen, light_curve, valid, noise)
        if mask.shape not in (seen.shape, seen.shape[:2]):
            raise ValueError(
                f"mask: expected {tuple(seen.shape[:2])} or {tuple(seen.shape)}, found {tuple(mask.shape)}"
            )
        hidden = mask if mask.ndim == 3 else mask[..., None].expand_as(seen)
        wanted = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        encoded = self.ariel(light_curve, valid, time, centroid, star_features, hidden=hidden, **wanted)
        rebuilt = self.decoder(encoded.last_hidden_state, encoded.used, time)[:, : light_curve.shape[1]]
        by_bin = expand_mask(hidden, self.config.patch_bins, light_curve.shape[1])
        loss = masked_patch_loss(rebuilt, light_curve, valid, by_bin)
        return ArielForPreTrainingOutput(loss, rebuilt, hidden, encoded.hidden_states, encoded.attentions)

    def _draw_mask(self, seen: Tensor, light_curve: Tensor, valid: Tensor, noise: Tensor | None) -> Tensor:
        """Mask (B, N, C) by the config's strategy; without ``noise`` from torch's global generator."""
        strategy = self.config.mask_strategy
        if noise is None:
            noise = torch.rand(noise_shape(strategy, *seen.shape), device=seen.device)
        wavelength = torch.tensor(self.config.wavelength, device=seen.device) if strategy == "band" else None
        snr = channel_snr(light_curve, valid, self.config.patch_bins) if strategy == "snr" else None
        return make_mask(strategy, seen, self.config.mask_ratio, noise=noise, wavelength=wavelength, snr=snr)


class ArielForSpectrumPrediction(ArielPreTrainedModel):
    """Light curves to transmission spectra with uncertainties.

    With ``physics="residual"`` the classical posterior is computed (or given) and corrected, the less, the farther a
    planet is from training (:class:`Familiarity`); with "none" a plain transformer predicts spectra from the tokens of
    the light curve alone.
    """

    # newer than some checkpoints
    _keys_to_ignore_on_load_missing = [r"familiarity\.", "population_shares"]  # noqa: RUF012, or a list

    def __init__(self, config: ArielConfig):
        super().__init__(config)
        self.ariel = ArielModel(config)
        self.physics = ArielPhysics(config)
        self.head = ArielSpectrumHead(config)
        self.familiarity = Familiarity(config.spectral_hidden_size)
        self.calibration = SigmaCalibration(config.n_channels)
        self.post_init()

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        flux: Tensor | None = None,
        flux_err: Tensor | None = None,
        centroid: Tensor | None = None,
        star: Tensor | None = None,
        star_features: Tensor | None = None,
        planet: Tensor | None = None,
        labels: Tensor | None = None,
        classical_mean: Tensor | None = None,
        classical_sigma: Tensor | None = None,
        classical_depth: Tensor | None = None,
        classical_depth_sigma: Tensor | None = None,
        classical_share: Tensor | None = None,
        classical_shared: Tensor | None = None,
        classical_shared_sigma: Tensor | None = None,
        residual: Tensor | None = None,
        output_covariance_factor: int = 0,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> ArielSpectrumOutput:
        """Predict spectra.

        Args:
            light_curve, valid, time, centroid, star_features: see :class:`ArielModel`.
            flux, flux_err: (B, T, C), any one unit; star: (B, 8) star table, NaN where unknown. For the fit.
            planet: (B,) 0 ... P - 1, the planet of each visit; each visit its own where not given.
            labels: (P, C) true depths, NaN where unknown.
            classical_mean ... residual: a :class:`ClassicalPosterior` computed before; then no fit is run. Its tensors
                and the labels may have D rows for each planet, one after the other: as many draws of its errors.
            output_covariance_factor: rank R of the covariance factor to return, 0 for none.
        """
        if star is not None:
            _check_shape("star", star, (len(light_curve), len(STAR_COLUMNS)))
        if planet is not None:
            _check_shape("planet", planet, (len(light_curve),))
            check_planet(planet)
            if star is not None:
                check_stars(star, planet)
        if star_features is None:
            star_features = light_curve.new_zeros(len(light_curve), self.config.n_star_features)
        classical = None
        if self.config.physics == "residual":
            given = {"mean": classical_mean, "sigma": classical_sigma, "depth": classical_depth,
                     "depth_sigma": classical_depth_sigma, "share": classical_share, "shared": classical_shared,
                     "shared_sigma": classical_shared_sigma}  # fmt: skip
            classical = self._classical(given, residual, time, flux, flux_err, valid, star, planet)
            residual = classical.residual
        wanted = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        encoded = self.ariel(light_curve, valid, time, centroid, star_features, residual, **wanted)
        visits, used, about_star = encoded.last_hidden_state, encoded.used, star_features
        if planet is not None:
            visits, used = by_planet(visits, used, planet)
            about_star = planet_mean(star_features, planet)
        if classical is not None:
            visits, used, about_star = (_repeated(x, len(classical.mean)) for x in (visits, used, about_star))
        channels, context = self._spectral_features(classical, about_star)
        corrections, level, features = self.head(channels, context, visits, used)
        distance = self.familiarity(features)
        mean, sigma = self._spectrum(classical, corrections.float(), level.float(), distance)
        loss = self._loss(mean, sigma, labels)
        sigma = self.calibration(sigma)
        return ArielSpectrumOutput(
            loss=loss,
            mean=mean,
            sigma=sigma,
            log_likelihood=_log_likelihood(mean, sigma, labels),
            covariance_factor=self._factor(classical, sigma, output_covariance_factor),
            classical_mean=None if classical is None else classical.mean,
            classical_sigma=None if classical is None else classical.sigma,
            distance=None if classical is None else distance,
            status=None if classical is None else classical.status,
            notes=None
            if classical is None or classical.notes is None
            else with_distance_notes(classical.notes, distance),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def _classical(
        self,
        given: dict[str, Tensor | None],
        residual: Tensor | None,
        time: Tensor,
        flux: Tensor | None,
        flux_err: Tensor | None,
        valid: Tensor,
        star: Tensor | None,
        planet: Tensor | None,
    ) -> ClassicalPosterior:
        """The posterior as given, checked, or by a fit."""
        present = {name: tensor for name, tensor in given.items() if tensor is not None}
        if len(present) == len(given):
            rows = len(present["mean"])
            config = self.config
            width = {"share": config.prior_components, "shared": config.n_shared, "shared_sigma": config.n_shared}
            for name, tensor in present.items():
                _check_shape(f"classical_{name}", tensor, (rows, width.get(name, config.n_channels)))
            posterior: dict[str, Any] = {**present, "residual": residual}
            return ClassicalPosterior(**posterior)
        if present:
            missing = ", ".join(f"classical_{name}" for name in given if name not in present)
            raise ValueError(f"classical posterior: expected all of it or nothing, missing {missing}")
        if flux is None or flux_err is None:
            raise ValueError("physics='residual': expected flux and flux_err, or a classical posterior, found neither")
        if star is None:
            star = flux.new_full((len(flux), len(STAR_COLUMNS)), float("nan"))
        if planet is None:
            planet = torch.arange(len(flux), device=flux.device)
        return self.physics(time, flux, flux_err, valid, star, planet)

    def _spectral_features(self, classical: ClassicalPosterior | None, star: Tensor) -> tuple[Tensor, Tensor]:
        """Channels (P, C, 3) and context (P, G), numbers of order one."""
        config = self.config
        if classical is None:
            empty = star.new_zeros(len(star), 2 * config.n_shared + config.prior_components + 2)
            return star.new_zeros(len(star), config.n_channels, 3), torch.cat([empty, star], -1)
        level = classical.mean.mean(-1, keepdim=True)
        size = (classical.mean - level).std(-1, keepdim=True) + 0.1 * _FEATURE
        channels = torch.stack(
            [
                (classical.mean - level) / size,
                ((classical.depth - classical.mean) / classical.depth_sigma).clamp(-5.0, 5.0),
                (classical.sigma / _FEATURE).log(),
            ],
            -1,
        )
        context = torch.cat(
            [
                classical.shared.clamp(-4.0, 4.0),
                classical.shared_sigma.clamp_min(1e-4).log().clamp(-6.0, 2.0),
                classical.share,
                (level - config.depth_mean) / config.depth_scale,
                (size / _FEATURE).log(),
                star.to(classical.mean),
            ],
            -1,
        )
        return channels.float(), context.float()

    def _spectrum(
        self, classical: ClassicalPosterior | None, by_channel: Tensor, level: Tensor, distance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and sigma (P, C) from corrections (P, C, 2) and those of the level (P, 2), by ``distance`` (P,)."""
        config = self.config
        floor = 1e-6 * config.sigma_floor_ppm
        shift, log_scale = by_channel[..., 0] + level[:, :1], by_channel[..., 1] + level[:, 1:]
        if classical is None:
            mean = config.depth_mean + config.depth_scale * level[:, :1] + _FEATURE * by_channel[..., 0]
            limit = _WIDEST_LOG_SCALE
            return mean, (config.depth_scale * torch.exp(limit * torch.tanh(log_scale / limit))).clamp_min(floor)
        lost = classical.depth_sigma.amin(-1, keepdim=True) > _LOST  # training shows no such planet
        shift, log_scale = shift.masked_fill(lost, 0.0), log_scale.masked_fill(lost, 0.0)
        usual = (classical.share.sum(-1, keepdim=True) / (1.0 - config.prior_surprise)).clamp_max(1.0)
        kept = kept_share(distance)[:, None] * usual  # less where evidence makes surprise likelier than it was
        shift, log_scale = shift * kept, log_scale * kept
        limit = config.max_log_scale
        sigma = classical.sigma * torch.exp(limit * torch.tanh(log_scale / limit))
        return classical.mean + shift * classical.sigma, sigma.clamp_min(floor)

    def _loss(self, mean: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor | None:
        """Training's loss, of the sigma before calibration."""
        if labels is None:
            return None
        _check_shape("labels", labels, mean.shape)
        if self.config.loss == "gaussian":
            known = (~torch.isnan(labels)).any(-1)
            return gaussian_nll(mean, sigma, labels).sum() / known.sum().clamp_min(1)
        return score_loss(mean, sigma, labels, self.config.loss.removeprefix("score_"))

    def _factor(self, classical: ClassicalPosterior | None, sigma: Tensor, rank: int) -> Tensor | None:
        """Low-rank factor (P, C, R) of the classical posterior's correlations, with this sigma."""
        if not rank:
            return None
        if classical is None or classical.covariance is None:
            raise ValueError("output_covariance_factor: expected physics='residual' and light curves to fit")
        _, spread = self.physics.spectrum_prior().prior().posterior(classical.depth, classical.covariance)
        size = spread.diagonal(dim1=1, dim2=2).sqrt()
        values, vectors = torch.linalg.eigh(spread / (size[:, :, None] * size[:, None, :]))
        return sigma[..., None] * vectors[..., -rank:] * values[:, None, -rank:].clamp_min(0.0).sqrt()


def _log_likelihood(mean: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor | None:
    """Of each planet's known labels (P,), under what is answered."""
    if labels is None:
        return None
    return -gaussian_nll(mean, sigma, labels) * (~torch.isnan(labels)).sum(-1)


def _noted(classical: ClassicalPosterior | None, distance: Tensor) -> list[str] | None:
    """What the fits note, where they were made here, and that a planet is far from training."""
    if classical is None or classical.notes is None:
        return None
    return with_distance_notes(classical.notes, distance)


def _repeated(x: Tensor, rows: int) -> Tensor:
    """(P, ...) with each planet repeated until there are ``rows``."""
    draws, rest = divmod(rows, len(x))
    if rest or not draws:
        raise ValueError(f"classical posterior: expected a multiple of {len(x)} planets in rows, found {rows}")
    return x if draws == 1 else x.repeat_interleave(draws, 0)


AutoConfig.register("ariel", ArielConfig, exist_ok=True)
AutoModel.register(ArielConfig, ArielForSpectrumPrediction, exist_ok=True)
AutoModelForPreTraining.register(ArielConfig, ArielForPreTraining, exist_ok=True)
AutoFeatureExtractor.register(ArielConfig, ArielFeatureExtractor, exist_ok=True)

ArielConfig.register_for_auto_class()
ArielModel.register_for_auto_class("AutoModel")
ArielForPreTraining.register_for_auto_class("AutoModelForPreTraining")
ArielForSpectrumPrediction.register_for_auto_class("AutoModel")
