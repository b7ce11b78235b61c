"""The spectrograph's channels as nodes of a graph: what their light curves are like over time, told to each other.

A node starts from statistics of its channel, which every gap and every length of a visit leaves defined.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from .spectramind_graph import POSITIONS, WavelengthGraph
from .spectramind_layers import EdgeMatrices, GraphAttention, RelationMatrices

BANDS = 6  # octaves of frequency, the highest up to half a cycle a bin
_MOMENTS = 4  # mean, ln of the scatter, skewness, share of valid bins
_FFT_BINS = 512  # bins that transforms are filled up to, so that the length of a visit changes nothing
_TINY = 1e-6


def statistics(light: Tensor, valid: Tensor, segments: int) -> Tensor:
    """Of light curves (B, T, C), 0 where not ``valid`` (B, T, C): (B, C, _MOMENTS + BANDS + segments), order one.

    Moments; ln of the mean power in each octave of frequency over that of white noise of unit scatter; and the mean
    light in ``segments`` equal parts of the visit, in which a transit shows.
    """
    light, seen = light.float(), valid.float()
    count = seen.sum(1)
    mean = light.sum(1) / count.clamp_min(1.0)
    away = (light - mean[:, None]) * seen
    variance = away.square().sum(1) / count.clamp_min(1.0)
    skew = away.pow(3).sum(1) / count.clamp_min(1.0) / (variance + _TINY).pow(1.5)
    moments = [mean, 0.5 * (variance + _TINY).log(), skew.asinh(), seen.mean(1) * light.shape[1] / _last(seen)]
    parts = _segments(light, seen, segments)
    return torch.cat([torch.stack(moments, -1), _octaves(away, count), parts], -1)


def _last(seen: Tensor) -> Tensor:
    """Length (B, 1) of visits of which (B, T, C) are seen, 1 at least: bins to the last that any channel has."""
    bins = torch.arange(1, seen.shape[1] + 1, device=seen.device, dtype=seen.dtype)
    return (seen.amax(2) * bins).amax(1, keepdim=True).clamp_min(1.0)


def _octaves(away: Tensor, count: Tensor) -> Tensor:
    """ln power (B, C, BANDS) of series (B, T, C) about their mean, of which ``count`` (B, C) bins are valid."""
    size = -(-away.shape[1] // _FFT_BINS) * _FFT_BINS
    power = torch.fft.rfft(away.mT, n=size).abs().square() / count.clamp_min(1.0)[..., None]
    edges = [0.5 * size * 2.0**-k for k in range(BANDS, -1, -1)]
    bands = [power[..., int(a) + 1 : int(b) + 1].mean(-1) for a, b in pairwise(edges)]
    return (torch.stack(bands, -1) + _TINY).log().clamp_min(-5.0)


def _segments(light: Tensor, seen: Tensor, segments: int) -> Tensor:
    """Mean light (B, C, segments), 0 where nothing is valid."""
    bins = torch.arange(light.shape[1], device=light.device, dtype=light.dtype)
    part = (bins * segments / _last(seen)).floor()  # (B, T)
    inside = (part[:, None] == torch.arange(segments, device=light.device)[:, None]).to(light)  # (B, segments, T)
    return (inside @ light / (inside @ seen).clamp_min(1.0)).mT


class ChannelEncoder(nn.Module):
    """Light curves (B, T, C) to nodes (B, C, W) by layers over the graph: "gat", "nnconv", "rgcn" or "none"."""

    def __init__(
        self,
        width: int,
        graph: WavelengthGraph,
        kind: str,
        layers: int,
        heads: int,
        segments: int,
        dropout: float,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.graph, self.segments = graph, segments
        self.read, self.place = nn.Linear(_MOMENTS + BANDS + segments, width), nn.Linear(POSITIONS, width)
        count = 0 if kind == "none" else layers
        makers = {
            "gat": lambda: GraphAttention(width, heads, attention_dropout),
            "nnconv": lambda: EdgeMatrices(width),
            "rgcn": lambda: RelationMatrices(width),
        }
        self.layers = nn.ModuleList(makers[kind]() for _ in range(count))
        self.before = nn.ModuleList(nn.LayerNorm(width) for _ in range(count))
        self.alone = nn.ModuleList(nn.Linear(width, width) for _ in range(max(count, 1)))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, light: Tensor, valid: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Nodes, and for each layer of attention its weights (C, K, B, heads)."""
        with torch.no_grad():
            seen = statistics(light, valid, self.segments)
        seen = seen.to(self.read.weight.dtype).transpose(0, 1)  # (C, B, F)
        nodes = nn.functional.gelu(self.read(seen) + self.place(self.graph.positions.to(seen))[:, None])
        weights = []
        for layer, before in zip(self.layers, self.before, strict=True):
            told, weight = layer(before(nodes), self.graph)
            nodes = nodes + self.dropout(nn.functional.gelu(told))
            if weight is not None:
                weights.append(weight)
        for alone in self.alone:
            nodes = nodes + self.dropout(nn.functional.gelu(alone(nodes)))
        return self.norm(nodes).transpose(0, 1), weights
