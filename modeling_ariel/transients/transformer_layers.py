"""Layers of the transformer over irregular series: tokens modulated by time, and pre-norm blocks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .classifier import MEASURED, CurveBatch
from .configuration_transient import TransientConfig

_WAVELENGTH_WAVES = 4  # harmonics over a factor e**2 in wavelength, which holds the optical
_MIDDLE = 6000.0  # A
_YEAR = 365.25


def waves(x: Tensor, rates: Tensor) -> Tensor:
    """Sines and cosines (..., 2 R) of angles (...) times ``rates`` (R,)."""
    angle = x.float()[..., None] * rates
    return torch.cat([angle.sin(), angle.cos()], -1)


def time_rates(config: TransientConfig, device: torch.device) -> Tensor:
    """(R,) angular rates [1/d], their periods spaced geometrically."""
    steps = torch.arange(config.num_harmonics, device=device, dtype=torch.float32) / max(config.num_harmonics - 1, 1)
    ratio = config.longest_period / config.shortest_period
    return 2.0 * math.pi / (config.shortest_period * ratio**steps)


class NumberTokens(nn.Module):
    """A token for each of ``count`` numbers, as in ATAT's tables: what it is, known or not, and how large."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.count = count
        self.kind, self.slope = nn.Embedding(2 * count, width), nn.Embedding(count, width)

    def forward(self, numbers: Tensor) -> Tensor:
        """Tokens (B, count, D) of numbers (B, count), NaN unknown."""
        known, place = torch.isfinite(numbers), torch.arange(self.count, device=numbers.device)
        slope = self.slope(place)
        sized = torch.nan_to_num(numbers).to(slope.dtype)[..., None] * slope
        return sized + self.kind(2 * place + known.long())


class TransientEmbedding(nn.Module):
    """Tokens of an object: one to answer with, one each of host and features, one a measurement.

    A measurement's numbers are modulated by time, W x * (1 + a(t)) + b(t), where a and b are linear in sines and
    cosines of time as in ATAT (Cabrera-Vives et al. 2024, A&A 689, A289) and in time itself (time2vec: Kazemi et al.
    2019, arXiv:1907.05321). Bands enter by wavelength, observed and at rest, so that any survey's can be read.
    """

    def __init__(self, config: TransientConfig):
        super().__init__()
        self.config = config
        width, clock = config.hidden_size, 2 * config.num_harmonics + 1
        self.measured = nn.Linear(MEASURED, width)
        self.scale, self.shift = nn.Linear(clock, width), nn.Linear(clock, width)
        self.band = None if config.within_band else nn.Linear(4 * _WAVELENGTH_WAVES, width)
        self.hidden_flux = nn.Embedding(1, width)
        self.object = nn.Embedding(1, width)
        n_features = 0 if config.within_band else len(config.feature_names or [])
        self.host = None if config.within_band else NumberTokens(config.n_host, width)
        self.features = NumberTokens(n_features, width) if n_features else None
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, batch: CurveBatch, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (B, 1 + G + N, D), and which of them hold data (B, 1 + G + N).

        ``hidden`` (B, N): measurements whose flux is not shown.
        """
        config = self.config
        dilation = batch.dilation if config.rest_frame else torch.ones_like(batch.dilation)
        time = batch.time / dilation
        clock = torch.cat([waves(time, time_rates(config, time.device)), torch.asinh(time / _YEAR)[..., None]], -1)
        clock = clock.to(self.measured.weight.dtype)
        values = batch.measured
        if hidden is not None:  # an error is known before the flux is
            values = values * torch.stack([~hidden, ~hidden, torch.ones_like(hidden)], -1).to(values)
        tokens = self.measured(values.to(clock)) * (1.0 + self.scale(clock)) + self.shift(clock)
        if self.band is not None:
            tokens = tokens + self.band(self._colours(batch, dilation).to(clock))
        if hidden is not None:
            tokens = torch.where(hidden[..., None], tokens + self.hidden_flux.weight, tokens)
        parts = [self.object.weight.expand(len(tokens), 1, -1)]
        for embed, numbers in ((self.host, batch.host), (self.features, batch.features)):
            if embed is not None:
                parts.append(embed(numbers))
        beside = torch.cat(parts, 1)
        used = torch.cat([torch.ones_like(beside[..., 0], dtype=torch.bool), batch.observed], 1)
        return self.dropout(torch.cat([beside, tokens], 1)), used

    def _colours(self, batch: CurveBatch, dilation: Tensor) -> Tensor:
        """(B, N, 4 waves) of ln wavelength, observed and at rest."""
        rates = 0.5 * math.pi * torch.arange(1, _WAVELENGTH_WAVES + 1, device=batch.time.device)
        observed = (batch.wavelength.clamp_min(1.0) / _MIDDLE).log()
        return torch.cat([waves(observed, rates), waves(observed - dilation.log(), rates)], -1)


def attention_bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, Q or 1, K) that keeps queries from keys that are not ``seen`` (B, K) or (B, Q, K)."""
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
    return bias[:, None] if seen.ndim == 3 else bias[:, None, None]


def same_band(band: Tensor, used: Tensor) -> Tensor:
    """(B, 1 + N, 1 + N) bool: what each token may look at, measurements at those of their ``band`` (B, N), the
    object's token at itself."""
    padded = torch.cat([torch.full_like(band[:, :1], -1), band], 1)
    itself = torch.eye(padded.shape[1], dtype=torch.bool, device=band.device)
    return (padded[:, :, None] == padded[:, None]) & (used[:, None] | itself)


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


class TransientAttention(nn.Module):
    """Multi-head self-attention by whichever implementation the config names."""

    def __init__(self, config: TransientConfig):
        super().__init__()
        self.config = config
        self.heads, self.is_causal = config.num_attention_heads, False
        self.scaling = (config.hidden_size // config.num_attention_heads) ** -0.5
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Attended (B, N, D) and, if eager, weights (B, heads, N, N)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        implementation: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        y, weights = implementation(self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling)
        return self.out(y.flatten(2)), weights


class TransientLayer(nn.Module):
    """Pre-norm block (B, N, D) -> (B, N, D)."""

    def __init__(self, config: TransientConfig):
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention = TransientAttention(config)
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


class TransientEncoder(nn.Module):
    """A stack of blocks with a final norm."""

    def __init__(self, config: TransientConfig):
        super().__init__()
        self.layers = nn.ModuleList(TransientLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, x: Tensor, seen: Tensor, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> Encoded:
        """Tokens (B, N, D), of which only the ``seen`` (B, N) or (B, N, N) are looked at."""
        bias, states, weights = attention_bias(seen, x.dtype), [x], []
        for layer in self.layers:
            x, attended = layer(x, bias)
            states.append(x)
            if output_attentions and attended is None:
                raise ValueError("output_attentions: expected attn_implementation='eager', which keeps the weights")
            weights.append(attended)
        return Encoded(
            self.norm(x), tuple(states) if output_hidden_states else None, tuple(weights) if output_attentions else None
        )
