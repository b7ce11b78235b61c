"""The photometer's light curve, step by step, to latents of each step: a selective state space, or a transformer.

The state space is Mamba 2 (Dao & Gu 2024, ICML, arXiv:2405.21060), of :class:`transformers.Mamba2Model`. It reads the
light beside where the star is on the detector and how fast that moves, for pointing jitter shows in the light.
"""

import torch
from torch import Tensor, nn
from transformers import Mamba2Config, Mamba2Model

from .layers import time_embedding

STEP_CHANNELS = 10  # light, whether it is valid, centroid (4), its differences (4)
_CHUNK = 32  # steps: the fastest for some hundred of them on a CPU


def jittered(centroid: Tensor, size: float) -> Tensor:
    """Centroids (B, T, 4) as measured with errors of ``size`` [their scale]; what is unknown stays 0."""
    return torch.where(centroid == 0.0, centroid, centroid + size * torch.randn_like(centroid))


def step_channels(light: Tensor, valid: Tensor, centroid: Tensor) -> Tensor:
    """What each step shows (B, T, STEP_CHANNELS), from ``light`` and ``valid`` (B, T) and ``centroid`` (B, T, 4)."""
    jitter = nn.functional.pad(centroid.diff(dim=1), (0, 0, 1, 0))
    return torch.cat([light[..., None], valid.to(light)[..., None], centroid.to(light), jitter.to(light)], -1)


class StateSpace(nn.Module):
    """Mamba 2 over steps (B, T, W), forward in time, and backward beside it where ``bidirectional``."""

    def __init__(self, width: int, layers: int, heads: int, state: int, bidirectional: bool):
        super().__init__()
        config = Mamba2Config(
            hidden_size=width, num_heads=heads, head_dim=2 * width // heads, state_size=state, n_groups=1,
            num_hidden_layers=layers, chunk_size=_CHUNK, residual_in_fp32=False, vocab_size=1, pad_token_id=None,
            bos_token_id=None, eos_token_id=None, use_cache=False,
        )  # fmt: skip
        self.ways = nn.ModuleList(Mamba2Model(config) for _ in range(2 if bidirectional else 1))
        for way in self.ways:
            way.embeddings = nn.Identity()  # of words, of which there are none
        self.join = nn.Linear(2 * width, width) if bidirectional else nn.Identity()

    def forward(self, steps: Tensor, used: Tensor, time: Tensor) -> Tensor:
        """Latents (B, T, W); steps that are not ``used`` (B, T) leave the state alone."""
        found = []
        for way, turned in zip(self.ways, (False, True), strict=False):
            x, mask = (steps.flip(1), used.flip(1)) if turned else (steps, used)
            latents = way(inputs_embeds=x, attention_mask=mask.to(x), use_cache=False).last_hidden_state
            found.append(latents.flip(1) if turned else latents)
        joined: Tensor = self.join(torch.cat(found, -1))
        return joined


class StepTransformer(nn.Module):
    """Attention over steps (B, T, W), which know their time."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, steps: Tensor, used: Tensor, time: Tensor) -> Tensor:
        """Latents (B, T, W) of steps at ``time`` (B, T) [h]; those not ``used`` (B, T) are not looked at."""
        placed = steps + time_embedding(time - time[:, :1], steps.shape[-1]).to(steps)
        latents: Tensor = self.layers(placed, src_key_padding_mask=~or_all(used))
        return latents


class StepPool(nn.Module):
    """Steps (B, T, W) weighed by several learned attentions: (B, W)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.weigh, self.join = nn.Linear(width, heads, bias=False), nn.Linear(heads * width, width)

    def forward(self, steps: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept (B, W), and how much each step counts (B, T), the mean of all attentions."""
        scores = self.weigh(steps).masked_fill(~or_all(used)[..., None], float("-inf"))
        weights = scores.softmax(1)  # (B, T, heads)
        return self.join((weights.mT @ steps).flatten(1)), weights.mean(-1)


class StepEncoder(nn.Module):
    """Light, validity (B, T) and centroid (B, T, 4) of the photometer to latents (B, T, W) by ``sequence``."""

    def __init__(self, width: int, sequence: nn.Module, dropout: float):
        super().__init__()
        self.read, self.sequence = nn.Linear(STEP_CHANNELS, width), sequence
        self.dropout = nn.Dropout(dropout)

    def forward(self, light: Tensor, valid: Tensor, centroid: Tensor, time: Tensor, used: Tensor) -> Tensor:
        """Latents, 0 where a step is not ``used`` (B, T)."""
        seen = step_channels(light, valid, centroid).to(self.read.weight.dtype)
        steps = self.dropout(self.read(seen)) * used[..., None]
        latents: Tensor = self.sequence(steps, used, time) * used[..., None]
        return latents


def or_all(used: Tensor) -> Tensor:
    """``used`` (B, T), or all steps of visits without any: an attention has to look somewhere."""
    return used | ~used.any(1, keepdim=True)
