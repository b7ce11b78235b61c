"""TransitCNN: convolutions over time, AIRS channels as input channels, FGS1 beside, fused with what else is known.

After TransitCNN as published pipelines of the Ariel Data Challenges describe it; convolutions over light curves follow
Shallue & Vanderburg 2018 (AJ 155, 94, arXiv:1712.05044).
"""

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from .correction_head import CorrectionHead
from .spectrum_config import ArielSpectrumConfig
from .spectrum_model import ArielSpectrumModel, Correction
from .visit_batch import VisitBatch


@strict
class TransitCnnConfig(ArielSpectrumConfig):
    """Sizes of :class:`TransitCnn`; what else there is see :class:`ArielSpectrumConfig`.

    Args:
        encoders: "both", or one instrument's light curves alone: "airs" or "fgs1".
        convolution: "time", over time with AIRS channels as input channels, or "image", over time and wavelength.
        conv_sizes, conv_kernels: channels and kernels of AIRS's convolutions; FGS1's are a quarter as wide, an
            image's an eighth.
        temporal_attention: whether times are weighed by what both instruments show, instead of averaged.
        fusion_sizes: of the perceptron on both encoders and what else is known.
    """

    model_type = "transit_cnn"

    encoders: str = "both"
    convolution: str = "time"
    conv_sizes: list[int] | None = None
    conv_kernels: list[int] | None = None
    temporal_attention: bool = False
    fusion_sizes: list[int] | None = None
    hidden_dropout_prob: float = 0.1

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in the published sizes."""
        self.conv_sizes = self.conv_sizes or [64, 128, 128]
        self.conv_kernels = self.conv_kernels or [5, 5, 3]
        self.fusion_sizes = self.fusion_sizes or [512, 512, 256]
        super().__post_init__(**kwargs)

    def choices(self) -> dict[str, tuple[str, ...]]:
        """The values that each field of words may have."""
        return super().choices() | {"convolution": ("time", "image"), "encoders": ("both", "airs", "fgs1")}

    def validate_sizes(self) -> None:
        """Reject sizes that do not go together."""
        sizes, kernels = self.conv_sizes or [], self.conv_kernels or []
        if len(sizes) != len(kernels) or min(sizes) < 8 or any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"conv_sizes, conv_kernels: expected as many odd kernels, found {sizes} and {kernels}")


class TimeEncoder(nn.Module):
    """Convolutions over time (B, channels, T) to features (B, sizes[-1], T')."""

    def __init__(self, channels: int, sizes: list[int], kernels: list[int], dropout: float):
        super().__init__()
        steps: list[nn.Module] = []
        for before, after, kernel in zip([channels, *sizes], sizes, kernels, strict=False):
            steps += [nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.GELU(), nn.Dropout(dropout)]
            steps.append(nn.AvgPool1d(2, ceil_mode=True))
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """Features of each time."""
        found: Tensor = self.steps(x)
        return found


class ImageEncoder(nn.Module):
    """Convolutions over time and wavelength (B, C, T) to features (B, sizes[-1] * 8, T')."""

    def __init__(self, sizes: list[int], kernels: list[int], dropout: float):
        super().__init__()
        steps: list[nn.Module] = []
        for before, after, kernel in zip([1, *sizes], sizes, kernels, strict=False):
            steps += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.GELU(), nn.Dropout(dropout)]
            steps.append(nn.AvgPool2d(2, ceil_mode=True))
        self.steps = nn.Sequential(*steps)
        self.bands = nn.AdaptiveAvgPool2d((8, None))

    def forward(self, x: Tensor) -> Tensor:
        """Features of each time: those of eight bands in wavelength."""
        return self.bands(self.steps(x[:, None])).flatten(1, 2)


class TransitCnn(ArielSpectrumModel):
    """Light curves to spectra by convolutions."""

    config_class = TransitCnnConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "transit_cnn.TransitCnnConfig",
        "AutoModel": "transit_cnn.TransitCnn",
        "AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor",
    }

    def __init__(self, config: TransitCnnConfig):
        sizes, kernels, fusion = config.conv_sizes or [], config.conv_kernels or [], config.fusion_sizes or []
        super().__init__(config, fusion[-1])
        dropout, channels = config.hidden_dropout_prob, config.n_channels
        self.fgs1: nn.Module | None = None
        self.airs: nn.Module | None = None
        width = 0
        if config.encoders != "airs":
            self.fgs1 = TimeEncoder(1, [size // 4 for size in sizes], kernels, dropout)
            width += sizes[-1] // 4
        if config.encoders != "fgs1" and config.convolution == "image":
            self.airs = ImageEncoder([size // 8 for size in sizes], kernels, dropout)
            width += 8 * (sizes[-1] // 8)
        elif config.encoders != "fgs1":
            self.airs = TimeEncoder(channels - 1, sizes, kernels, dropout)
            width += sizes[-1]
        self.attention = nn.Linear(width, 1) if config.temporal_attention else None
        steps: list[nn.Module] = []
        for before, after in zip([width + 3 * channels + config.n_context, *fusion], fusion, strict=False):
            steps += [nn.Linear(before, after), nn.GELU(), nn.Dropout(dropout)]
        self.fusion = nn.Sequential(*steps)
        self.head = CorrectionHead(fusion[-1], channels)
        self.post_init()

    def network(self, visits: VisitBatch, channels: Tensor, context: Tensor, **wanted: bool) -> Correction:
        """The encoders, times averaged or weighed, then the perceptron."""
        maps = visits.read(self._encoded)
        pooled = visits.by_row(maps.pop("pooled"))
        features = self.fusion(torch.cat([pooled, channels.flatten(1), context], -1))
        by_channel, level = self.head(features)
        return Correction(by_channel, level, features, maps=maps or None)

    def _encoded(self, visits: VisitBatch) -> dict[str, Tensor]:
        """What both encoders saw, "pooled" (b, W), and "temporal_attention" (b, T') where times are weighed."""
        light = visits.light.transpose(1, 2)
        read = ((self.airs, light[:, 1:]), (self.fgs1, light[:, :1]))
        seen = torch.cat([encoder(part) for encoder, part in read if encoder is not None], 1)  # (b, W, T')
        if self.attention is None:
            return {"pooled": seen.mean(-1)}
        weights = self.attention(seen.transpose(1, 2)).softmax(1)
        return {"pooled": (seen @ weights)[..., 0], "temporal_attention": weights[..., 0]}

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """Every second output of the head."""
        return self.head.sigma_layers()


AutoConfig.register("transit_cnn", TransitCnnConfig, exist_ok=True)
AutoModel.register(TransitCnnConfig, TransitCnn, exist_ok=True)
TransitCnnConfig.register_for_auto_class()
TransitCnn.register_for_auto_class("AutoModel")
