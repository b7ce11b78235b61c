"""What the photometer saw, told to the spectrograph's channels: joined, attended to, or let in by a gate.

Nodes (B, C, W) are channels, steps (B, T, W) latents of the photometer over time, and pooled (B, W) their sum.
"""

import torch
from torch import Tensor, nn

from .spectramind_time import or_all


class JoinedFusion(nn.Module):
    """ "concat": a perceptron on both."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.read = nn.Linear(2 * width, width)
        self.join = nn.Linear(width, width)

    def forward(self, nodes: Tensor, steps: Tensor, used: Tensor, pooled: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Nodes (B, C, W)."""
        both = torch.cat([nodes, pooled[:, None].expand_as(nodes)], -1)
        return nodes + self.join(nn.functional.gelu(self.read(both))), {}


class AttendedFusion(nn.Module):
    """ "cross_attention": each channel looks for times."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, nodes: Tensor, steps: Tensor, used: Tensor, pooled: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Nodes (B, C, W); of "fusion_attention" (B, C, T), how much each counts to each channel."""
        found, weights = self.attention(self.norm(nodes), steps, steps, key_padding_mask=~or_all(used))
        return nodes + found + pooled[:, None], {"fusion_attention": weights}


class GatedFusion(nn.Module):
    """ "gate": each channel keeps a share of its own, and takes the rest."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.gate, self.value = nn.Linear(2 * width, width), nn.Linear(width, width)

    def forward(self, nodes: Tensor, steps: Tensor, used: Tensor, pooled: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Nodes (B, C, W); of "fusion_gate" (B, C), the mean share that is a channel's own."""
        both = torch.cat([nodes, pooled[:, None].expand_as(nodes)], -1)
        own = self.gate(both).sigmoid()
        return own * nodes + (1.0 - own) * self.value(pooled)[:, None], {"fusion_gate": own.mean(-1)}


FUSIONS: dict[str, type[nn.Module]] = {"concat": JoinedFusion, "cross_attention": AttendedFusion, "gate": GatedFusion}
