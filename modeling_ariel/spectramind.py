"""SpectraMind: a state space over time for FGS1, a graph of wavelengths for AIRS, spectra in coarse and fine scales.

After SpectraMind as plans for the Ariel Data Challenges describe it; the papers of its parts are cited where they are:
Mamba 2 in :mod:`spectramind_time`, GATv2 in :mod:`spectramind_layers`, quantiles and flow in :mod:`spectramind_sigma`.
Light curves are read once a visit; what is done for each row of the answer is small.
"""

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers import initialization as init

from .correction_head import ZeroLinear
from .losses import gaussian_nll
from .objective import Answered
from .spectramind_decoder import ConditionedChannels, PlanetPerceptron, SpectrumDecoder
from .spectramind_fusion import FUSIONS
from .spectramind_graph import SEAMS, WavelengthGraph
from .spectramind_nodes import ChannelEncoder
from .spectramind_sigma import SIGMAS
from .spectramind_time import StateSpace, StepEncoder, StepPool, StepTransformer, jittered
from .spectrum_config import ArielSpectrumConfig
from .spectrum_model import Answer, ArielSpectrumModel, Correction
from .visit_batch import VisitBatch


@strict
class SpectraMindConfig(ArielSpectrumConfig):
    """Sizes and parts of :class:`SpectraMind`; what else there is see :class:`ArielSpectrumConfig`.

    Args:
        hidden_size, num_attention_heads: of steps in time and of channels.
        fgs1_encoder: "mamba", a selective state space, or "transformer".
        fgs1_layers, state_size, bidirectional: its layers; numbers of a state, and whether time is also read backward,
            of "mamba" alone.
        jitter_augmentation: errors added to centroids in training [their scale], 0 for none.
        airs_encoder: layers over wavelengths: "gat", "nnconv", "rgcn", or "none" for channels each alone.
        airs_layers: how many.
        segments: parts of a visit whose mean light a channel starts from.
        neighbours, molecule_neighbours: channels that each looks at, nearest, and with a molecule in common.
        seams: where detectors meet [um].
        fusion: how channels learn what FGS1 saw: "concat", "cross_attention" or "gate".
        decoder_size: of what describes a planet.
        scales: channels a point of the coarser spectra, coarse first.
        scale_loss_weight: of their losses.
        sigma_head: "softplus", "quantiles", which cannot cross, "free_quantiles", which the rule `quantile_order` is to
            keep in order, or "flow".
        sigma_loss_weight: of the loss of its quantiles or its likelihood.
    """

    model_type = "spectramind"

    hidden_size: int = 32
    num_attention_heads: int = 4
    fgs1_encoder: str = "mamba"
    fgs1_layers: int = 2
    state_size: int = 16
    bidirectional: bool = False
    jitter_augmentation: float = 0.1
    airs_encoder: str = "gat"
    airs_layers: int = 2
    segments: int = 24
    neighbours: int = 8
    molecule_neighbours: int = 8
    seams: list[float] | None = None
    fusion: str = "concat"
    decoder_size: int = 128
    scales: list[int] | None = None
    scale_loss_weight: float = 0.1
    sigma_head: str = "softplus"
    sigma_loss_weight: float = 0.5
    hidden_dropout_prob: float = 0.1

    def __post_init__(self, **kwargs: object) -> None:
        """Fill in where detectors meet, and the scales."""
        self.seams = list(SEAMS) if self.seams is None else self.seams
        self.scales = [16, 4] if self.scales is None else self.scales
        super().__post_init__(**kwargs)

    def choices(self) -> dict[str, tuple[str, ...]]:
        """The values that each field of words may have."""
        return super().choices() | {
            "fgs1_encoder": ("mamba", "transformer"),
            "airs_encoder": ("gat", "nnconv", "rgcn", "none"),
            "fusion": tuple(FUSIONS),
            "sigma_head": tuple(SIGMAS),
        }

    def counts(self) -> tuple[str, ...]:
        """Fields that are whole numbers of 1 or more."""
        sizes = ("hidden_size", "num_attention_heads", "state_size", "segments", "neighbours", "decoder_size")
        return (*super().counts(), *sizes, "fgs1_layers", "airs_layers")

    def validate_sizes(self) -> None:
        """Reject sizes that do not go together, and weights below 0."""
        if self.hidden_size % max(self.num_attention_heads, 1):
            raise ValueError(
                f"hidden_size: expected a multiple of num_attention_heads = {self.num_attention_heads}, "
                f"found {self.hidden_size}"
            )
        scales, seams = self.scales or [], self.seams or []
        if scales != sorted(set(scales), reverse=True) or any(step < 2 for step in scales):
            raise ValueError(f"scales: expected 2 or more channels, coarse first, found {scales}")
        if seams != sorted(seams):
            raise ValueError(f"seams: expected um, ascending, found {seams}")
        for name in ("molecule_neighbours", "jitter_augmentation", "scale_loss_weight", "sigma_loss_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")


class SpectraMind(ArielSpectrumModel):
    """Light curves to spectra by a state space over time and a graph over wavelengths."""

    config: SpectraMindConfig
    config_class = SpectraMindConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "spectramind.SpectraMindConfig",
        "AutoModel": "spectramind.SpectraMind",
        "AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor",
    }

    def __init__(self, config: SpectraMindConfig):
        super().__init__(config, config.decoder_size)
        width, heads, channels = config.hidden_size, config.num_attention_heads, config.n_channels
        dropout, attention_dropout = config.hidden_dropout_prob, config.attention_probs_dropout_prob
        sequence: nn.Module = StepTransformer(width, config.fgs1_layers, heads, dropout)
        if config.fgs1_encoder == "mamba":
            sequence = StateSpace(width, config.fgs1_layers, heads, config.state_size, config.bidirectional)
        self.fgs1, self.pool = StepEncoder(width, sequence, dropout), StepPool(width, heads)
        graph = WavelengthGraph(
            config.wavelength or [], config.neighbours, config.molecule_neighbours, config.seams or []
        )
        self.airs = ChannelEncoder(
            width, graph, config.airs_encoder, config.airs_layers, heads, config.segments, dropout, attention_dropout
        )
        self.fusion = FUSIONS[config.fusion](width, heads, attention_dropout)
        self.planet = PlanetPerceptron(2 * width + 3 * channels + config.n_context, config.decoder_size, dropout)
        self.channels = ConditionedChannels(width, config.decoder_size)
        self.sigma_head = SIGMAS[config.sigma_head]()
        numbers = self.sigma_head.numbers
        self.decoder = SpectrumDecoder(channels, config.scales or [], width, config.decoder_size, numbers)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear) and not isinstance(module, ZeroLinear):  # so narrow, 0.02 is too small
            init.normal_(module.weight, std=module.in_features**-0.5)

    def network(self, visits: VisitBatch, channels: Tensor, context: Tensor, **wanted: bool) -> Correction:
        """Both encoders and their fusion for each visit, then the decoder for each row."""
        light, centroid, used = visits.light, visits.centroid, visits.valid.any(-1)
        if self.training and self.config.jitter_augmentation:
            centroid = jittered(centroid, self.config.jitter_augmentation)
        steps = self.fgs1(light[..., 0], visits.valid[..., 0], centroid, visits.time, used)
        pooled, kept = self.pool(steps, used)
        own, weights = self.airs(light, visits.valid)
        nodes, maps = self.fusion(own, steps, used, pooled)
        read = torch.cat([nodes.flatten(1), pooled, nodes.mean(1)], -1)  # all that rows need of visits
        by_row, whole = visits.by_row(read).split([nodes[0].numel(), 2 * nodes.shape[-1]], -1)
        channels, context = channels.to(whole), context.to(whole)
        features = self.planet(torch.cat([whole, channels.flatten(1), context], -1))
        rows = self.channels(by_row.unflatten(-1, nodes.shape[1:]), channels, features)
        means, raw, level = self.decoder(rows, features)
        log_factor, parts = self.sigma_head(raw)
        maps = {name: value.detach() for name, value in maps.items()}
        maps |= {"fgs1_latents": steps.detach(), "fgs1_attention": kept.detach()}
        maps |= {f"sigma_{name}": value.detach() for name, value in parts.items()}
        if weights and not self.training:
            maps["wavelength_attention"] = self._over_wavelengths(weights[-1].mean(-1))
        attentions = tuple(self._over_wavelengths(one) for one in weights)
        return Correction(
            torch.stack([means[:, -1], log_factor], -1),
            level,
            features,
            parts=parts | {"means": means},
            maps=maps,
            hidden_states=(steps, own, nodes) if wanted.get("output_hidden_states") else None,
            attentions=attentions if wanted.get("output_attentions") else None,
        )

    def answered(self, found: Correction, mean: Tensor, sigma: Tensor) -> Answered:
        """Mean and sigma, and the quantiles of a head that has some."""
        return Answered(mean, sigma, self.sigma_head.quantiles(found.parts or {}, mean, sigma))

    def sigma_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The decoder's scale of sigma, and the level of ln sigma."""
        scale = self.decoder.sigma
        return [(scale.local, slice(None)), (scale.whole, slice(None)), (self.decoder.level, slice(1, None))]

    def auxiliary_loss(self, found: Correction, answer: Answer, labels: Tensor) -> Tensor | None:
        """Losses of the coarser spectra, at the answer's sigma, and of what the sigma head knows beside sigma."""
        parts = found.parts or {}
        mean, sigma = answer(found.channels, found.level)
        total = mean.new_zeros(())
        known = (~torch.isnan(labels)).any(-1).sum().clamp_min(1)
        for coarse in parts["means"].unbind(1)[:-1]:
            by_channel = torch.stack([coarse, found.channels[..., 1]], -1)
            nll = gaussian_nll(answer(by_channel, found.level)[0], sigma.detach(), labels)
            total = total + self.config.scale_loss_weight * nll.sum() / known
        if (beside := self.sigma_head.loss(parts, mean, sigma, labels)) is not None:
            total = total + self.config.sigma_loss_weight * beside
        return total

    def _over_wavelengths(self, weights: Tensor) -> Tensor:
        """Attention (C, K, B, ...) to neighbours as matrices (B, ..., C, C): row i is what channel i looks at."""
        return self.airs.graph.matrix(weights.detach()).movedim((0, 1), (-2, -1))


AutoConfig.register("spectramind", SpectraMindConfig, exist_ok=True)
AutoModel.register(SpectraMindConfig, SpectraMind, exist_ok=True)
SpectraMindConfig.register_for_auto_class()
SpectraMind.register_for_auto_class("AutoModel")
