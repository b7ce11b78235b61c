"""Conformal intervals learned over the spectrum's graph, whose nodes are channels and whose edges join neighbours.

A third of the validation planets teach how large errors are: by channel, smoothed over the graph (Smola & Kondor 2003,
COLT), and by how sigma and its neighbours differ from what is usual. The other two thirds make that honest: in units
of that size, one half-width for each neighbourhood holds the share of its channels that is asked for, planets being the
exchangeable units (conformal risk control: Angelopoulos et al. 2022, arXiv:2208.02814). Where a neighbourhood is one
channel this is split conformal prediction with scaled scores (Lei et al. 2018, arXiv:1604.04173).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from .uncertainty import (
    LEVELS,
    Array,
    conformal_quantiles,
    neighbours,
    planets_needed,
    sigma_features,
    z_scores,
)

_LEARN = 3  # one planet in so many teaches the sizes
_FEWEST = 5  # planets that sizes are learned from; with fewer all calibrate
_SMOOTH = 5.0  # channels over which the sizes of errors are smoothed
_INDEPENDENT = 8.0  # errors that those of one spectrum are worth, as its channels err together
_SLOPE = 0.5  # 1 sigma of slopes before anything is seen
_STEPS = 30


@dataclass(frozen=True)
class GraphIntervals:
    """Half-widths: ``quantiles`` (L, C) sigmas, times exp(features of sigma by ``slopes`` (F,)) about ``usual`` (C,).

    ``pooled`` (L,) as of `conformal_quantiles`, 0 where coverage is guaranteed; ``learned_from`` and ``calibrated_on``
    count planets.
    """

    quantiles: Array
    usual: Array
    slopes: Array
    pooled: NDArray[np.int64]
    learned_from: int
    calibrated_on: int

    @classmethod
    def fit(
        cls, truth: ArrayLike, mean: ArrayLike, sigma: ArrayLike, levels: Sequence[float] = LEVELS, seed: int = 0
    ) -> "GraphIntervals":
        """Learn on some of the planets of (P, C) and calibrate on the others, drawn by ``seed``."""
        score, size = np.abs(z_scores(truth, mean, sigma)), np.asarray(sigma, np.float64)
        count, channels = score.shape
        order = np.random.default_rng(seed).permutation(count)
        taught = count // _LEARN if count // _LEARN >= _FEWEST else 0
        learn, rest = order[:taught], order[taught:]
        usual, slopes, by_channel = np.median(np.log(size), 0), np.zeros(2), np.ones(channels)
        if taught:
            usual = np.median(np.log(size[learn]), 0)
            by_channel = _smoothed(score[learn].mean(0))
            slopes = _slopes(score[learn] / by_channel, _features(size[learn], usual))
        scaled = score[rest] / (by_channel * np.exp(_features(size[rest], usual) @ slopes))
        quantiles, pooled = _neighbourhood_quantiles(scaled, levels)
        return cls(quantiles * by_channel, usual, slopes, pooled, taught, len(rest))

    def half_widths(self, sigma: ArrayLike) -> Array:
        """Of planets with these sigmas (P, C): (L, P, C), in sigmas."""
        stretch = np.exp(_features(np.asarray(sigma, np.float64), self.usual) @ self.slopes)
        return self.quantiles[:, None] * stretch


def _features(sigma: Array, usual: Array) -> Array:
    """What half-widths depend on beside sigma (P, C, F)."""
    found: Array = sigma_features(torch.from_numpy(sigma), torch.from_numpy(usual)).numpy()
    return found


def _smoothed(size: Array) -> Array:
    """Sizes of errors (C,), smooth over the graph: (1 + l^2 L)^-1, L its Laplacian."""
    joined = neighbours(len(size), 1).numpy() - np.eye(len(size))
    laplacian = np.diag(joined.sum(1)) - joined
    return np.maximum(np.linalg.solve(np.eye(len(size)) + _SMOOTH**2 * laplacian, size), 1e-12)


def _slopes(score: Array, features: Array) -> Array:
    """Slopes (F,) by which ln of the size of ``score`` (P, C) follows ``features`` (P, C, F): Laplace's likelihood.

    It is convex, so Newton's steps from 0 end at its only minimum.
    """
    slopes = np.zeros(features.shape[-1])
    worth = _INDEPENDENT / score.shape[1]
    for _ in range(_STEPS):
        left = score * np.exp(-(features @ slopes))
        gradient = worth * np.einsum("pc,pcf->f", 1.0 - left, features) + slopes / _SLOPE**2
        curvature = worth * np.einsum("pc,pcf,pcg->fg", left, features, features) + np.eye(len(slopes)) / _SLOPE**2
        step = np.linalg.solve(curvature, gradient)
        step = step / max(1.0, 2.0 * float(np.abs(step).max()))
        slopes = slopes - step
        if np.abs(step).max() < 1e-8:
            break
    return slopes


def _neighbourhood_quantiles(score: Array, levels: Sequence[float]) -> tuple[Array, NDArray[np.int64]]:
    """Half-widths (L, C) for scores (P, C) of calibrating planets, and what was pooled without guarantee (L,).

    Of n planets' scores in a neighbourhood of m channels, the ceil((n + 1) level m)-th smallest: then a new planet's
    channels there are inside with probability ``level`` or more.
    """
    count, channels = score.shape
    near = neighbours(channels).numpy()
    quantiles, pooled = np.empty((len(levels), channels)), np.zeros(len(levels), np.int64)
    sorted_scores = [np.sort(score[:, near[c] > 0], axis=None) for c in range(channels)]
    for row, level in enumerate(levels):
        if count < planets_needed(level):
            zero = np.zeros_like(score)
            found, reach = conformal_quantiles(score, zero, np.ones_like(score), [level])
            quantiles[row], pooled[row] = found[0], reach[0]
            continue
        for c, values in enumerate(sorted_scores):
            rank = math.ceil((count + 1) * level * (len(values) / count) - 1e-9)
            quantiles[row, c] = values[rank - 1]
    order = np.argsort(levels)
    quantiles[order] = np.maximum.accumulate(quantiles[order], 0)
    return quantiles, pooled
