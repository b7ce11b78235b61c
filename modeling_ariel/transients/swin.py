"""SwinV2 (transformers' class, random weights) on images of light curves, a channel a band.

Light curves as images for vision transformers: Moreno-Cartagena et al. 2025 (arXiv:2502.20479); SwinV2: Liu et al. 2022
(arXiv:2111.09883). Their ImageNet weights need a download: load them into ``swin`` if you have them.
"""

import torch
from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, Swinv2Config, Swinv2Model
from transformers import AutoModelForSequenceClassification as AutoClassifier

from .classifier import CurveBatch, TransientClassifier
from .configuration_transient import TransientSwinConfig
from .feature_extraction_transient import TransientFeatureExtractor
from .outputs import TransientModelOutput

_LOWEST, _HIGHEST = -0.5, 1.25  # flux in peaks at an image's edges


def light_curve_images(batch: CurveBatch, band: Tensor, bands: int, size: int, days: float) -> Tensor:
    """Images (B, bands, size, size) of objects: time to the right, flux upward.

    A measurement is a pixel as bright as it is sure, 1 / (1 + error in peaks); of several the brightest. Time 0 is at a
    quarter of the width; measurements outside the window are not shown, fluxes outside lie at its edge. band: (B, N).
    """
    column = ((batch.time / days + 0.25) * size).floor()
    row = ((_HIGHEST - batch.flux) / (_HIGHEST - _LOWEST) * size).floor().clamp(0, size - 1)
    shown = batch.observed & (column >= 0) & (column < size)
    place = (band * size + row.long()) * size + column.clamp(0, size - 1).long()
    light = torch.where(shown, 1.0 / (1.0 + batch.flux_err), torch.zeros_like(batch.flux))
    images = light.new_zeros(len(light), bands * size * size)
    return images.scatter_reduce(1, place, light, "amax").unflatten(1, (bands, size, size))


class TransientSwin(TransientClassifier):
    """Classes from images of light curves."""

    config: TransientSwinConfig
    config_class = TransientSwinConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_transient.TransientSwinConfig",
        "AutoModel": "swin.TransientSwin",
        "AutoModelForSequenceClassification": "swin.TransientSwin",
        "AutoFeatureExtractor": "feature_extraction_transient.TransientFeatureExtractor",
    }

    def __init__(self, config: TransientSwinConfig):
        depths, heads = config.depths or [], config.num_heads or []
        n_scalars = 2 * (config.n_host + len(config.feature_names or []))
        super().__init__(config, config.embed_dim * 2 ** (len(depths) - 1) + n_scalars)
        self.swin = Swinv2Model(
            Swinv2Config(
                image_size=config.image_size,
                patch_size=config.patch_size,
                num_channels=len(config.band_wavelength or []),
                embed_dim=config.embed_dim,
                depths=depths,
                num_heads=heads,
                window_size=config.window_size,
                hidden_dropout_prob=config.hidden_dropout_prob,
                drop_path_rate=0.0,  # drawn for each example: dropout is enough
            )
        )
        self.post_init()

    def embed(
        self, batch: CurveBatch, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> TransientModelOutput:
        """The mean of SwinV2's patches, beside host and features."""
        config, bands = self.config, batch.time.new_tensor(self.config.band_wavelength)
        images = light_curve_images(batch, batch.bands(bands), len(bands), config.image_size, config.window_days)
        found = self.swin(
            images.to(self.classify.weight.dtype),
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        pooled = found.pooler_output
        embeddings = torch.cat([pooled, batch.scalars().to(pooled)], 1)
        return TransientModelOutput(found.last_hidden_state, None, embeddings, found.hidden_states, found.attentions)


AutoConfig.register("transient_swin", TransientSwinConfig, exist_ok=True)
AutoModel.register(TransientSwinConfig, TransientSwin, exist_ok=True)
AutoClassifier.register(TransientSwinConfig, TransientSwin, exist_ok=True)
AutoFeatureExtractor.register(TransientSwinConfig, TransientFeatureExtractor, exist_ok=True)
TransientSwinConfig.register_for_auto_class()
TransientSwin.register_for_auto_class("AutoModel")
