"""Layers of the Ariel transformers: patches in time, attention with an eager twin, pre-norm blocks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_ariel import ArielConfig

_SHORTEST_H, _LONGEST_H = 0.1, 60.0  # periods of the time embedding: an ingress, and far more than a visit


def time_embedding(hours: Tensor, size: int) -> Tensor:
    """Sines and cosines (..., size) of times (...) [h], periods spaced geometrically."""
    count = (size + 1) // 2
    steps = torch.arange(count, device=hours.device, dtype=torch.float32) / max(count - 1, 1)
    rate = 2.0 * math.pi / (_SHORTEST_H * (_LONGEST_H / _SHORTEST_H) ** steps)
    angle = hours.float()[..., None] * rate
    return torch.cat([angle.sin(), angle.cos()], -1)[..., :size]


def pad_bins(x: Tensor, multiple: int) -> Tensor:
    """(B, T, ...) with zeros added in time up to a multiple of ``multiple``."""
    missing = -x.shape[1] % multiple
    return torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], 1) if missing else x


def patches(x: Tensor, bins: int) -> Tensor:
    """(B, T, F), T a multiple of ``bins``, as (B, N, bins, F)."""
    return x.unflatten(1, (-1, bins))


def patch_centres(time: Tensor, bins: int) -> Tensor:
    """Middle of each patch (B, N) [h] after the first bin of (B, T).

    A short last patch repeats its last step, as padded visits do, so that padding changes nothing.
    """
    since = time - time[:, :1]
    step = since[:, -1:] - since[:, -2:-1] if time.shape[1] > 1 else torch.zeros_like(since)
    beyond = torch.arange(1, -time.shape[1] % bins + 1, device=time.device)
    return torch.cat([since, since[:, -1:] + step * beyond], 1).unflatten(1, (-1, bins)).mean(-1)


class ArielPatchEmbedding(nn.Module):
    """A token for the star and one for each patch in time, over all channels."""

    def __init__(self, config: ArielConfig):
        super().__init__()
        self.bins = config.patch_bins
        width = config.patch_bins * config.n_channels
        self.light_curve = nn.Linear(width, config.hidden_size)
        self.residual = nn.Linear(width, config.hidden_size, bias=False)
        self.missing = nn.Linear(config.n_channels, config.hidden_size, bias=False)
        self.centroid = nn.Linear(config.patch_bins * 4, config.hidden_size, bias=False)
        self.star = nn.Linear(config.n_star_features, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        light_curve: Tensor,
        valid: Tensor,
        time: Tensor,
        centroid: Tensor,
        star_features: Tensor,
        residual: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, 1 + N, D), the star's first, and which of them hold data that may be seen (B, 1 + N).

        ``hidden`` (B, N, C): entries that masking hides.
        """
        dtype = self.light_curve.weight.dtype
        seen = patches(pad_bins(valid, self.bins), self.bins)  # (B, N, L, C)
        if hidden is not None:
            seen = seen & ~hidden[:, :, None]
        curve = patches(pad_bins(light_curve, self.bins), self.bins)
        curve = torch.where(seen, curve, torch.zeros_like(curve))
        tokens = self.light_curve(curve.flatten(2).to(dtype))
        tokens = tokens + self.missing(1.0 - seen.to(dtype).mean(2))
        pointing = patches(pad_bins(centroid, self.bins), self.bins).flatten(2).to(dtype)
        tokens = tokens + self.centroid(pointing)
        if residual is not None:
            left = patches(pad_bins(residual, self.bins), self.bins)
            tokens = tokens + self.residual(torch.where(seen, left, torch.zeros_like(left)).flatten(2).to(dtype))
        centres = patch_centres(time, self.bins)
        tokens = tokens + time_embedding(centres, tokens.shape[-1]).to(dtype)
        star = self.star(star_features.to(dtype))[:, None]
        used = torch.cat([torch.ones_like(seen[:, :1, 0, 0]), seen.flatten(2).any(-1)], 1)
        return self.dropout(torch.cat([star, tokens], 1)), used


def attention_bias(used: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, 1, K) that keeps queries from keys that are not ``used`` (B, K)."""
    bias = torch.zeros(used.shape, dtype=dtype, device=used.device)
    return bias.masked_fill(~used, torch.finfo(dtype).min)[:, None, None]


def eager_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention (B, Q, heads, d) and its weights (B, heads, Q, K), written out."""
    scores = (query @ key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, dropout, module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class ArielAttention(nn.Module):
    """Multi-head self-attention by whichever implementation the config names."""

    def __init__(self, config: ArielConfig, width: int):
        super().__init__()
        self.config = config
        self.heads, self.is_causal = config.num_attention_heads, False
        self.scaling = (width // config.num_attention_heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """Attended (B, N, D) and, if eager, weights (B, heads, N, N)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        implementation: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        y, weights = implementation(
            self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.out(y.flatten(2)), weights


class ArielLayer(GradientCheckpointingLayer):
    """Pre-norm block (B, N, D) -> (B, N, D)."""

    def __init__(self, config: ArielConfig, width: int, inner: int):
        super().__init__()
        self.attention = ArielAttention(config, width)
        self.before = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.after = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Attention, then a perceptron, each added to its input; and the attention's weights, if eager."""
        attended, weights = self.attention(self.before(x), attention_mask)
        x = x + self.dropout(attended)
        return x + self.dropout(self.narrow(self.activation(self.widen(self.after(x))))), weights


@dataclass
class Encoded:
    """``tokens`` (B, N, D) after the last norm; ``hidden_states``, before it, and ``attentions`` on request."""

    tokens: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class ArielEncoder(nn.Module):
    """A stack of blocks with a final norm."""

    def __init__(self, config: ArielConfig, layers: int, width: int, inner: int):
        super().__init__()
        self.layers = nn.ModuleList(ArielLayer(config, width, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(
        self, x: Tensor, used: Tensor, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> Encoded:
        """Tokens (B, N, D), of which only the ``used`` (B, N) are looked at."""
        bias, states, weights = attention_bias(used, x.dtype), [x], []
        for layer in self.layers:
            x, attended = layer(x, bias)
            states.append(x)
            if output_attentions and attended is None:
                raise ValueError("output_attentions: expected attn_implementation='eager', which keeps the weights")
            weights.append(attended)
        return Encoded(
            self.norm(x), tuple(states) if output_hidden_states else None, tuple(weights) if output_attentions else None
        )
