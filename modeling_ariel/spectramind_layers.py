"""Layers over the graph of wavelengths: attention, matrices by edge, and matrices by relation.

GATv2 (Brody, Alon & Yahav 2022, ICLR, arXiv:2105.14491) weighs neighbours by what both sides and their edge show;
NNConv (Gilmer et al. 2017, ICML, arXiv:1704.01212) makes a matrix of each edge's features; R-GCN (Schlichtkrull et al.
2018, ESWC, arXiv:1703.06103) has one for each relation. All take nodes (C, B, W), channels first.
"""

import torch
from torch import Tensor, nn

from .spectramind_graph import EDGE_FEATURES, RELATIONS, WavelengthGraph

_SLOPE = 0.2  # of the leaky rectifier, as in the paper
_BASES = 4  # matrices of which an edge's is mixed


class GraphAttention(nn.Module):
    """GATv2: a neighbour j of i counts as softmax_j a . LeakyReLU(source x_j + target x_i + edge e_ij)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.heads = heads
        self.source, self.target = nn.Linear(width, width), nn.Linear(width, width)
        self.edge = nn.Linear(EDGE_FEATURES, width, bias=False)
        self.attention = nn.Parameter(torch.randn(heads, width // heads) * (width // heads) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, graph: WavelengthGraph) -> tuple[Tensor, Tensor]:
        """Nodes (C, B, W), and how much each neighbour counts (C, K, B, heads)."""
        split = (self.heads, -1)
        source = graph.of_neighbours(self.source(nodes)).unflatten(-1, split)  # (C, K, B, heads, d)
        both = source + self.target(nodes).unflatten(-1, split)[:, None]
        both = both + self.edge(graph.edges.to(nodes)).unflatten(-1, split)[:, :, None]
        scores = (nn.functional.leaky_relu(both, _SLOPE) * self.attention).sum(-1)
        weights = scores.masked_fill(~graph.kept[:, :, None, None], float("-inf")).softmax(1)
        found = (self.dropout(weights)[..., None] * source).sum(1).flatten(2)
        return found + self.bias, weights


class EdgeMatrices(nn.Module):
    """NNConv with few bases: the mean over neighbours of a matrix, mixed by their edge, times what they are."""

    def __init__(self, width: int):
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(EDGE_FEATURES, 16), nn.GELU(), nn.Linear(16, _BASES))
        self.bases, self.root = nn.Linear(_BASES * width, width, bias=False), nn.Linear(width, width)

    def forward(self, nodes: Tensor, graph: WavelengthGraph) -> tuple[Tensor, None]:
        """Nodes (C, B, W)."""
        share = graph.kept / graph.kept.sum(1, keepdim=True)
        mixed = self.mix(graph.edges.to(nodes)) * share[..., None].to(nodes)  # (C, K, bases)
        around = torch.einsum("ckm,ckbw->cbmw", mixed, graph.of_neighbours(nodes))
        return self.root(nodes) + self.bases(around.flatten(2)), None


class RelationMatrices(nn.Module):
    """R-GCN: for each relation, the mean over its neighbours times a matrix of its own."""

    def __init__(self, width: int):
        super().__init__()
        self.relations = nn.Linear(len(RELATIONS) * width, width, bias=False)
        self.root = nn.Linear(width, width)

    def forward(self, nodes: Tensor, graph: WavelengthGraph) -> tuple[Tensor, None]:
        """Nodes (C, B, W)."""
        relation = graph.edges[..., -len(RELATIONS) :]
        share = relation / relation.sum(1, keepdim=True).clamp_min(1.0)
        around = torch.einsum("ckr,ckbw->cbrw", share.to(nodes), graph.of_neighbours(nodes))
        return self.root(nodes) + self.relations(around.flatten(2)), None
