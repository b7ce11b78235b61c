"""A transformer over irregular series of measurements in several bands: masked pretraining, and classification."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
from transformers import AutoModelForSequenceClassification as AutoClassifier

from .classifier import (
    CurveBatch,
    TransientClassifier,
    TransientPreTrainedModel,
    check_shape,
    checked_batch,
    masked_mean,
)
from .configuration_transient import TransientConfig
from .feature_extraction_transient import TransientFeatureExtractor
from .outputs import TransientForPreTrainingOutput, TransientModelOutput
from .transformer_layers import TransientEmbedding, TransientEncoder, same_band

AUTO_MAP = {
    "AutoConfig": "configuration_transient.TransientConfig",
    "AutoModel": "modeling_transient.TransientForClassification",
    "AutoModelForPreTraining": "modeling_transient.TransientForPreTraining",
    "AutoModelForSequenceClassification": "modeling_transient.TransientForClassification",
    "AutoFeatureExtractor": "feature_extraction_transient.TransientFeatureExtractor",
}


class TransientModel(TransientPreTrainedModel):
    """The backbone: an object's measurements, host and features to tokens and an embedding of E numbers.

    E is ``hidden_size`` for each of the object's token and the mean of its measurements; where bands are read apart,
    for the mean of each band.
    """

    config: TransientConfig
    config_class = TransientConfig
    auto_map = AUTO_MAP
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: TransientConfig):
        super().__init__(config)
        self.embeddings = TransientEmbedding(config)
        self.encoder = TransientEncoder(config)
        self.post_init()

    @staticmethod
    def width(config: TransientConfig) -> int:
        """E of a config."""
        return config.hidden_size * (len(config.band_wavelength or []) if config.within_band else 2)

    def forward(
        self,
        time: Tensor,
        wavelength: Tensor,
        flux: Tensor,
        flux_err: Tensor,
        observed: Tensor,
        redshift: Tensor | None = None,
        host: Tensor | None = None,
        features: Tensor | None = None,
        hidden: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TransientModelOutput:
        """Encode objects, given as to :meth:`TransientClassifier.forward`.

        ``hidden`` (B, N) bool: measurements whose flux is not shown.
        """
        batch = checked_batch(self.config, time, wavelength, flux, flux_err, observed, redshift, host, features)
        return self.encode(batch, hidden, output_hidden_states, output_attentions)

    def encode(
        self,
        batch: CurveBatch,
        hidden: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TransientModelOutput:
        """The same of a checked batch."""
        tokens, used = self.embeddings(batch, hidden)
        band = batch.bands(batch.time.new_tensor(self.config.band_wavelength))
        seen = same_band(band, used) if self.config.within_band else used
        encoded = self.encoder(tokens, seen, output_hidden_states, output_attentions)
        x = encoded.tokens
        measured = x[:, -batch.time.shape[1] :]
        if self.config.within_band:
            bands = range(len(self.config.band_wavelength or []))
            pooled = torch.cat([masked_mean(measured, batch.observed & (band == k)) for k in bands], 1)
        else:
            pooled = torch.cat([x[:, 0], masked_mean(measured, batch.observed)], 1)
        return TransientModelOutput(x, used, pooled, encoded.hidden_states, encoded.attentions)


class TransientForPreTraining(TransientPreTrainedModel):
    """Hides the fluxes of some measurements, and rebuilds them from what is left; no label is needed."""

    config: TransientConfig
    config_class = TransientConfig
    auto_map = AUTO_MAP
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: TransientConfig):
        super().__init__(config)
        self.transient = TransientModel(config)
        self.rebuild = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        time: Tensor,
        wavelength: Tensor,
        flux: Tensor,
        flux_err: Tensor,
        observed: Tensor,
        redshift: Tensor | None = None,
        host: Tensor | None = None,
        features: Tensor | None = None,
        mask: Tensor | None = None,
        noise: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> TransientForPreTrainingOutput:
        """Hide, encode, rebuild; the loss is on what was hidden, in its own errors.

        Args:
            mask: (B, N) bool, what to hide; else it is drawn, with the config's ratio.
            noise: (B, N) uniform numbers that decide the draw.
        """
        config = self.config
        batch = checked_batch(config, time, wavelength, flux, flux_err, observed, redshift, host, features)
        if mask is None:
            noise = torch.rand_like(time) if noise is None else noise
            check_shape("noise", noise, tuple(time.shape))
            mask = noise < config.mask_ratio
        check_shape("mask", mask, tuple(time.shape))
        mask = mask & batch.observed
        encoded = self.transient.encode(batch.without(mask), mask, output_hidden_states, output_attentions)
        tokens: Any = encoded.last_hidden_state
        rebuilt = self.rebuild(tokens[:, -time.shape[1] :])[..., 0].float()
        loss = masked_flux_loss(rebuilt, flux, flux_err, mask, config.error_floor)
        return TransientForPreTrainingOutput(loss, rebuilt, mask, encoded.hidden_states, encoded.attentions)


def masked_flux_loss(rebuilt: Tensor, flux: Tensor, flux_err: Tensor, mask: Tensor, floor: float) -> Tensor:
    """Mean over measurements (B, N) in ``mask`` of ln(1 + r^2 / 2), r the deviation in errors of at least ``floor``.

    Outliers of a bright curve would rule a squared loss.
    """
    deviation = (rebuilt - flux) / (flux_err.square() + floor**2).sqrt()
    each = torch.log1p(0.5 * torch.where(mask, deviation, torch.zeros_like(deviation)).square())
    return each.sum() / mask.sum().clamp_min(1)


class TransientForClassification(TransientClassifier):
    """Light curves to classes by the transformer."""

    config: TransientConfig
    config_class = TransientConfig
    auto_map = AUTO_MAP
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: TransientConfig):
        super().__init__(config, TransientModel.width(config))
        self.transient = TransientModel(config)
        self.post_init()

    def embed(
        self, batch: CurveBatch, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> TransientModelOutput:
        """The backbone's embedding."""
        return self.transient.encode(batch, None, output_hidden_states, output_attentions)


AutoConfig.register("transient", TransientConfig, exist_ok=True)
AutoModel.register(TransientConfig, TransientForClassification, exist_ok=True)
AutoModelForPreTraining.register(TransientConfig, TransientForPreTraining, exist_ok=True)
AutoClassifier.register(TransientConfig, TransientForClassification, exist_ok=True)
AutoFeatureExtractor.register(TransientConfig, TransientFeatureExtractor, exist_ok=True)

TransientConfig.register_for_auto_class()
TransientModel.register_for_auto_class("AutoModel")
TransientForPreTraining.register_for_auto_class("AutoModelForPreTraining")
TransientForClassification.register_for_auto_class("AutoModel")
