"""The Ariel models: a temporal transformer over light curves, masked pretraining, and spectra with uncertainties.

Pretraining is a masked autoencoder over patches in time (Ti-MAE: Li et al. 2023, arXiv:2301.08871; He et al. 2022,
CVPR, 16000). The spectrum head starts from the classical posterior of :class:`ArielPhysics` and moves it: a correction
of the mean in units of its sigma, and a factor on that sigma; both are zero and one until something is learned.
"""

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
)
from transformers import initialization as init

from .configuration_ariel import ArielConfig
from .feature_extraction_ariel import ArielFeatureExtractor
from .heads import ArielDecoder, ArielSpectrumHead
from .layers import ArielEncoder, ArielPatchEmbedding
from .losses import masked_patch_loss
from .masking import expand_mask, hidden_patches
from .outputs import ArielForPreTrainingOutput, ArielModelOutput
from .planet_groups import by_planet
from .spectrum_model import ArielPreTrainedModel, ArielSpectrumModel, Correction
from .visit_batch import VisitBatch, check_shape, checked_visits, repeated

AUTO_MAP = {
    "AutoConfig": "configuration_ariel.ArielConfig",
    "AutoModel": "modeling_ariel.ArielForSpectrumPrediction",
    "AutoModelForPreTraining": "modeling_ariel.ArielForPreTraining",
    "AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor",
}


class ArielTransformer(ArielPreTrainedModel):
    """What the transformers share: which attention they can run, and how their own parts are initialised."""

    config_class = ArielConfig
    base_model_prefix = "ariel"
    auto_map = AUTO_MAP
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules = ["ArielLayer"]  # noqa: RUF012, the library wants a list

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ArielDecoder):
            init.normal_(module.mask_token, std=self.config.initializer_range)
        elif isinstance(module, ArielSpectrumHead):
            init.normal_(module.queries, std=1.0)
            for last in (module.level, module.channel):  # nothing is corrected until something is learned
                init.zeros_(last.weight)
                init.zeros_(last.bias)


class ArielModel(ArielTransformer):
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
        visits = checked_visits(self.config, light_curve, valid, time, centroid, star_features)
        if residual is not None:
            check_shape("residual", residual, light_curve.shape)
        tokens, used = self.embeddings(
            light_curve, valid, time, visits.centroid, visits.star_features, residual, hidden
        )
        encoded = self.encoder(tokens, used, output_hidden_states, output_attentions)
        return ArielModelOutput(encoded.tokens, used, encoded.hidden_states, encoded.attentions)


class ArielForPreTraining(ArielTransformer):
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
        checked_visits(self.config, light_curve, valid, time, centroid, star_features)
        hidden = hidden_patches(self.config, light_curve, valid, mask, noise)
        wanted = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        encoded = self.ariel(light_curve, valid, time, centroid, star_features, hidden=hidden, **wanted)
        rebuilt = self.decoder(encoded.last_hidden_state, encoded.used, time)[:, : light_curve.shape[1]]
        by_bin = expand_mask(hidden, self.config.patch_bins, light_curve.shape[1])
        loss = masked_patch_loss(rebuilt, light_curve, valid, by_bin)
        return ArielForPreTrainingOutput(loss, rebuilt, hidden, encoded.hidden_states, encoded.attentions)


class ArielForSpectrumPrediction(ArielTransformer, ArielSpectrumModel):
    """Light curves to transmission spectra with uncertainties, by the transformer; see :class:`ArielSpectrumModel`."""

    def __init__(self, config: ArielConfig):
        super().__init__(config, config.spectral_hidden_size)
        self.ariel = ArielModel(config)
        self.head = ArielSpectrumHead(config)
        self.post_init()

    def network(self, visits: VisitBatch, channels: Tensor, context: Tensor, **wanted: bool) -> Correction:
        """The tokens of all of a planet's visits, and the head that reads them beside its posterior."""
        encoded = self.ariel(
            visits.light_curve,
            visits.valid,
            visits.time,
            visits.centroid,
            visits.star_features,
            visits.residual,
            **wanted,
        )
        tokens, used = encoded.last_hidden_state, encoded.used
        if visits.planet is not None:
            tokens, used = by_planet(tokens, used, visits.planet)
        tokens, used = repeated(tokens, visits.rows), repeated(used, visits.rows)
        corrections, level, features = self.head(channels, context, tokens, used)
        states = encoded.hidden_states, encoded.attentions
        return Correction(corrections, level, features, None, None, *states)

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Every second output of the head."""
        return [(layer, slice(1, None, 2)) for layer in (self.head.level, self.head.channel)]


AutoConfig.register("ariel", ArielConfig, exist_ok=True)
AutoModel.register(ArielConfig, ArielForSpectrumPrediction, exist_ok=True)
AutoModelForPreTraining.register(ArielConfig, ArielForPreTraining, exist_ok=True)
AutoFeatureExtractor.register(ArielConfig, ArielFeatureExtractor, exist_ok=True)

ArielConfig.register_for_auto_class()
ArielModel.register_for_auto_class("AutoModel")
ArielForPreTraining.register_for_auto_class("AutoModelForPreTraining")
ArielForSpectrumPrediction.register_for_auto_class("AutoModel")
