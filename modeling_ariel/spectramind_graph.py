"""Wavelengths as a graph: neighbours, channels in which the same molecule absorbs, and those across a detector's seam.

Each channel looks at a fixed number of others, listed beside it, of which some are left empty: 283 channels have some
20 neighbours each, so that lists cost a fourteenth of a whole matrix with a mask.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from .molecules import MOLECULES

SEAMS = (1.0, 3.95)  # um: from FGS1 to AIRS-CH0, and from there to AIRS-CH1
RELATIONS = ("near", "molecule", "seam")
EDGE_FEATURES = 2 + len(MOLECULES) + len(RELATIONS)
POSITIONS = 16
_SHORTEST, _LONGEST = 0.05, 10.0  # um: periods of the positional encoding, from a few channels to all of them
_DISTANCE = 0.1  # um: in which distances between channels are counted


def absorbing(wavelength: np.ndarray) -> np.ndarray:
    """Whether each molecule absorbs at each wavelength (C,) [um]: (C, molecules)."""
    inside = [
        np.any([(low <= wavelength) & (wavelength < high) for low, high in bands], 0) for bands in MOLECULES.values()
    ]
    return np.stack(inside, -1)


def listed_edges(
    wavelength: np.ndarray, neighbours: int, molecule_neighbours: int, seams: list[float]
) -> list[dict[int, str]]:
    """What each channel looks at, and as what of RELATIONS: itself, the nearest on its detector, others in which one
    of its molecules absorbs, spread evenly, and the nearest across a seam, half as many as on its own side.
    """
    detector, molecules = np.searchsorted(seams, wavelength), absorbing(wavelength)
    found = []
    for i, here in enumerate(wavelength):
        by_distance = np.argsort(np.abs(wavelength - here), kind="stable")
        edges = dict.fromkeys(by_distance[detector[by_distance] == detector[i]][: neighbours + 1].tolist(), "near")
        alike = [j for j in np.flatnonzero((molecules & molecules[i]).any(-1)).tolist() if j not in edges]
        few = min(molecule_neighbours, len(alike))
        edges |= {alike[(i + k * len(alike) // few) % len(alike)]: "molecule" for k in range(few)}
        for side in (-1, 1):
            across = by_distance[detector[by_distance] == detector[i] + side][: max(neighbours // 2, 1)]
            back = np.argsort(np.abs(wavelength - wavelength[across[0]]), kind="stable") if len(across) else across
            if i in back[detector[back] == detector[i]][: max(neighbours // 2, 1)]:
                edges |= dict.fromkeys(across.tolist(), "seam")
        found.append(edges)
    return found


def wavelength_encoding(wavelength: np.ndarray) -> np.ndarray:
    """Sines and cosines (C, POSITIONS) of wavelengths (C,) [um]."""
    periods = _SHORTEST * (_LONGEST / _SHORTEST) ** np.linspace(0.0, 1.0, POSITIONS // 2)
    angle = 2.0 * math.pi * wavelength[:, None] / periods
    return np.concatenate([np.sin(angle), np.cos(angle)], -1)


class WavelengthGraph(nn.Module):
    """C channels with K places for neighbours each.

    ``neighbours`` (C, K) and which of them are there, ``kept`` (C, K); ``edges`` (C, K, EDGE_FEATURES): the neighbour's
    wavelength minus one's own and its size [0.1 um, softened], for each of MOLECULES whether both absorb it, and which
    of RELATIONS they have; ``positions`` (C, POSITIONS).
    """

    neighbours: Tensor
    kept: Tensor
    edges: Tensor
    positions: Tensor

    def __init__(self, wavelength: list[float], neighbours: int, molecule_neighbours: int, seams: list[float]):
        super().__init__()
        where = np.asarray(wavelength)
        listed = listed_edges(where, neighbours, molecule_neighbours, seams)
        channels, places = len(where), max(len(edges) for edges in listed)
        index = np.zeros((channels, places), np.int64)
        kept = np.zeros((channels, places), bool)
        relation = np.zeros((channels, places, len(RELATIONS)))
        for i, edges in enumerate(listed):
            index[i, : len(edges)], kept[i, : len(edges)] = list(edges), True
            relation[i, np.arange(len(edges)), [RELATIONS.index(name) for name in edges.values()]] = 1.0
        molecules = absorbing(where)
        away = np.arcsinh((where[index] - where[:, None]) / _DISTANCE)[..., None]
        features = [away, np.abs(away), molecules[index] & molecules[:, None], relation]
        self.register_buffer("neighbours", torch.tensor(index))
        self.register_buffer("kept", torch.tensor(kept))
        self.register_buffer("edges", torch.tensor(np.concatenate(features, -1) * kept[..., None]).float())
        self.register_buffer("positions", torch.tensor(wavelength_encoding(where)).float())

    def of_neighbours(self, nodes: Tensor) -> Tensor:
        """What the neighbours have of ``nodes`` (C, ...): (C, K, ...)."""
        return nodes.index_select(0, self.neighbours.flatten()).unflatten(0, self.neighbours.shape)

    def matrix(self, weights: Tensor) -> Tensor:
        """Weights (C, K, ...) of neighbours as a matrix (C, C, ...): who looks at whom."""
        shape = [-1] * 2 + [1] * (weights.ndim - 2)
        index = self.neighbours.view(*self.neighbours.shape, *shape[2:]).expand_as(weights)
        empty = weights.new_zeros(len(weights), len(weights), *weights.shape[2:])
        return empty.scatter_add(1, index, weights)
