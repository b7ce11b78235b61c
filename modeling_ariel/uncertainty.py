"""Sigma made honest on validation planets: scaled by maximum likelihood, intervals by split conformal prediction.

Scaling: Guo et al. 2017 (arXiv:1706.04599), for regression Kuleshov et al. 2018 (arXiv:1807.00263). Conformal: Vovk et
al. 2005; Lei et al. 2018 (arXiv:1604.04173). Parts of a mixture's variance: Lakshminarayanan et al. 2017
(arXiv:1612.01474). The channels of a planet err together, so every error of a coverage is a bootstrap over planets.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from transformers import initialization as init

Array = NDArray[np.float64]

LEVELS = (0.5, 0.68, 0.9, 0.95)
REACH = 4  # channels on each side that a channel's neighbourhood in the spectrum's graph has
_FARTHEST = 2.0  # in ln: how far from usual a sigma is believed to be for its interval
ELSEWHERE = "elsewhere"  # the group of channels that no band holds


class UncertaintyError(ValueError):
    """Arrays or levels that nothing can be calibrated with."""


def gaussian_half_width(level: float) -> float:
    """Half-width of the central interval of a normal [sigma]."""
    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def neighbours(channels: int, reach: int = REACH) -> Tensor:
    """Which channels (C, C) are neighbours in the spectrum's graph, each its own too: 1 or 0, float64.

    FGS1, the first, is far from the others in wavelength: it has none.
    """
    at = torch.arange(channels)
    near = (at[:, None] - at).abs() <= reach
    near[0, 1:], near[1:, 0] = False, False
    return near.double()


def sigma_features(sigma: Tensor, usual: Tensor) -> Tensor:
    """What is learned to stretch intervals by (P, C, 2): ln of how much wider than ``usual`` (C,), ln of sigma, the
    neighbours' sigma (P, C) is, and how much wider than that the channel's own.
    """
    near = neighbours(len(usual)).to(sigma)
    own = sigma.log() - usual
    around = own @ (near / near.sum(-1, keepdim=True)).mT
    return torch.stack([around, own - around], -1).clamp(-_FARTHEST, _FARTHEST)


class SigmaCalibration(nn.Module):
    """What calibration adds to a model: ``scale`` (C,) multiplies sigma; ``quantiles`` (L, C) are the half-widths of
    intervals of probability ``levels`` (L,), in calibrated sigmas. They are stretched where sigma is not as ``usual``
    (C,), ln of it, by ``slopes`` (2,). At the start nothing changes: 1, the Gaussian's, and no slope.
    """

    scale: Tensor
    levels: Tensor
    quantiles: Tensor
    usual: Tensor
    slopes: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.empty(channels))
        self.register_buffer("levels", torch.empty(len(LEVELS)))
        self.register_buffer("quantiles", torch.empty(len(LEVELS), channels))
        self.register_buffer("usual", torch.empty(channels))
        self.register_buffer("slopes", torch.empty(2))
        self.reset()

    @torch.no_grad()
    def reset(self, copy: Callable[[Tensor, Tensor], Any] = init.copy_) -> None:
        """Back to the start. The default spares buffers just loaded, as a model needs; `Tensor.copy_` doesn't."""
        start = torch.tensor([[level, gaussian_half_width(level)] for level in LEVELS], device=self.scale.device)
        copy(self.scale, torch.ones_like(self.scale))
        copy(self.levels, start[:, 0])
        copy(self.quantiles, start[:, 1:].expand_as(self.quantiles))
        for name in ("usual", "slopes"):
            copy(getattr(self, name), torch.zeros_like(getattr(self, name)))

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "SigmaCalibration":
        """Move, but keep float32: bfloat16 would round a level of 0.95 and a factor on sigma."""
        return super()._apply(lambda t: function(t) if t.is_meta else t.to(function(t).device), recurse)

    def forward(self, sigma: Tensor) -> Tensor:
        """Calibrated sigma (..., C) of the network's own, in its unit and dtype."""
        return sigma * self.scale.to(sigma.dtype)

    def interval(self, mean: Tensor, sigma: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Lower and upper end (..., C) of the interval about ``mean`` that holds the truth with probability ``level``.

        ``sigma`` is calibrated already, as the model returns it; ``level`` one of ``levels``.
        """
        known = self.levels.tolist()
        place = min(range(len(known)), key=lambda i: abs(known[i] - level))
        if abs(known[place] - level) > 1e-3:
            raise UncertaintyError(f"level: expected one of {', '.join(f'{x:.3g}' for x in known)}, found {level}")
        stretch = (sigma_features(sigma.float(), self.usual) @ self.slopes).exp()
        half = sigma * (self.quantiles[place] * stretch).to(sigma.dtype)
        return mean - half, mean + half


# --- fitting, float64 ----------------------------------------------------------------------------------------------


def z_scores(truth: ArrayLike, mean: ArrayLike, sigma: ArrayLike) -> Array:
    """(mean - truth) / sigma (P, C) in float64; UncertaintyError names what can't be used."""
    y, m, s = (np.asarray(a, np.float64) for a in (truth, mean, sigma))
    if y.ndim != 2 or not len(y) or m.shape != y.shape or s.shape != y.shape:
        raise UncertaintyError(
            f"truth, mean, sigma: expected one shape (planets, channels), found {y.shape}, {m.shape}, {s.shape}"
        )
    for name, values in (("truth", y), ("mean", m), ("sigma", s)):
        wrong = ~np.isfinite(values) if name != "sigma" else ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            row, channel = np.argwhere(wrong)[0]
            expected = "finite values" if name != "sigma" else "finite values above 0"
            raise UncertaintyError(
                f"{name}: expected {expected}, found {values[row, channel]} at row {row}, channel {channel}"
            )
    return (m - y) / s


def temperature(
    truth: ArrayLike, mean: ArrayLike, sigma: ArrayLike, groups: ArrayLike | None = None, cap: float = math.inf
) -> Array:
    """Factor on sigma (C,) of the highest Gaussian likelihood: one for all, or one a group of channels.

    ``groups`` (C,) labels the channels, see `band_groups` and `equal_groups`. Closed form: root mean square of z. A
    planet counts for no more than ``cap`` calibrated sigmas (root mean square over its channels), so that lost planets,
    if fewer than one in cap^2, don't widen all others'; 3 changes the factor of honest errors by 0.3 % at most.
    """
    z2 = z_scores(truth, mean, sigma) ** 2
    labels = np.zeros(z2.shape[1], int) if groups is None else np.asarray(groups)
    if labels.shape != z2.shape[1:]:
        raise UncertaintyError(f"groups: expected {z2.shape[1]} labels, found shape {labels.shape}")
    if cap <= 1.0:
        raise UncertaintyError(f"cap: expected above 1, found {cap}")
    factors = np.empty(z2.shape[1])
    for label in np.unique(labels):
        factors[labels == label] = math.sqrt(max(_capped_mean(z2[:, labels == label].mean(1), cap**2), 1e-12))
    return factors


def _capped_mean(values: Array, cap: float) -> float:
    """The one m > 0 that is the mean of min(values, cap m): exact, as the sorted values say how many are capped."""
    ordered = np.sort(values)
    if ordered[-1] <= cap * values.mean():
        return float(values.mean())
    for capped in range(1, len(values)):
        kept = ordered[: len(values) - capped]
        if len(values) > cap * capped:
            m = kept.sum() / (len(values) - cap * capped)
            if kept[-1] <= cap * m <= ordered[-capped]:
                return float(m)
    return float(values.mean())  # values of 0


def band_groups(wavelength: ArrayLike, bands: Mapping[str, tuple[float, float]]) -> tuple[NDArray[np.int64], list[str]]:
    """Labels (C,) of the channels by ``bands`` {name: (from, to) [um]}, and the names; the others are a group too."""
    lam = np.asarray(wavelength, np.float64)
    labels = np.full(len(lam), -1)
    names: list[str] = []
    for name, (low, high) in bands.items():
        inside = (lam >= low) & (lam < high) & (labels < 0)
        if inside.any():
            labels[inside] = len(names)
            names.append(name)
    if (labels < 0).any():
        labels[labels < 0] = len(names)
        names.append(ELSEWHERE)
    return labels, names


def equal_groups(channels: int, n_groups: int) -> tuple[NDArray[np.int64], list[str]]:
    """Labels (C,) and names: FGS1 alone, then AIRS in ``n_groups`` runs of neighbouring channels."""
    if not 1 <= n_groups < channels:
        raise UncertaintyError(f"n_groups: expected 1 to {channels - 1}, found {n_groups}")
    labels = np.concatenate([[0], 1 + np.arange(channels - 1) * n_groups // (channels - 1)]).astype(np.int64)
    return labels, ["FGS1", *(f"AIRS {i + 1} of {n_groups}" for i in range(n_groups))]


def planets_needed(level: float) -> int:
    """Fewest validation planets whose split-conformal interval of ``level`` is finite."""
    return next(n for n in range(1, 100_000) if _rank(n, level) <= n)


def conformal_quantiles(
    truth: ArrayLike, mean: ArrayLike, sigma: ArrayLike, levels: Sequence[float] = LEVELS
) -> tuple[Array, NDArray[np.int64]]:
    """Half-widths (L, C) in sigmas that cover a new, exchangeable planet with probability ``level`` or more.

    Per channel, of n planets' |z| the ceil((n + 1) level)-th smallest. Where n is less than `planets_needed` that rank
    doesn't exist: then the |z| of the neighbouring channels are pooled, of as few on each side as suffice. The second
    result (L,) says how many; 0 where the finite-sample guarantee holds. A wider level is never narrower.
    """
    score = np.abs(z_scores(truth, mean, sigma))
    n, channels = score.shape
    quantiles, pooled = np.empty((len(levels), channels)), np.zeros(len(levels), np.int64)
    for row, level in enumerate(levels):
        if not 0.0 < level < 1.0:
            raise UncertaintyError(f"level: expected between 0 and 1, found {level}")
        need = planets_needed(level)
        reach = 0 if n >= need else max(1, math.ceil((math.ceil(need / n) - 1) / 2))
        if n * min(2 * reach + 1, channels) < need:
            raise UncertaintyError(
                f"level {level}: expected {need} planets, or {need} values of neighbouring channels, found {n} "
                f"planets of {channels} channels"
            )
        pooled[row] = reach
        width = min(2 * reach + 1, channels)
        for c in range(channels):
            start = min(max(c - reach, 0), channels - width)  # at the ends the window is one-sided, not narrower
            values = np.sort(score[:, start : start + width], axis=None)
            quantiles[row, c] = values[_rank(len(values), level) - 1]
    order = np.argsort(levels)
    quantiles[order] = np.maximum.accumulate(quantiles[order], 0)
    return quantiles, pooled


def _rank(n: int, level: float) -> int:
    return math.ceil((n + 1) * level - 1e-9)  # 20 planets at 0.95 are not (20 + 1e-15) of them


# --- parts ---------------------------------------------------------------------------------------------------------


@dataclass
class Moments:
    """Of an equal mixture of normals: ``mean``, ``sigma`` and its parts, sigma^2 = aleatoric^2 + epistemic^2."""

    mean: Array
    sigma: Array
    aleatoric: Array
    epistemic: Array


def mixture_moments(means: ArrayLike, sigmas: ArrayLike) -> Moments:
    """Moments (...) of S samples' means and sigmas (S, ...): Monte Carlo dropout or the members of an ensemble.

    Aleatoric: root of the mean variance, each member's own. Epistemic: spread of the means, their disagreement.
    """
    m, s = np.asarray(means, np.float64), np.asarray(sigmas, np.float64)
    if m.shape != s.shape or m.ndim < 1 or not len(m):
        raise UncertaintyError(f"means and sigmas: expected one shape (samples, ...), found {m.shape} and {s.shape}")
    if len(m) == 1:
        return Moments(m[0], s[0], s[0], np.zeros_like(m[0]))
    aleatoric, epistemic = np.sqrt((s**2).mean(0)), m.std(0)
    return Moments(m.mean(0), np.hypot(aleatoric, epistemic), aleatoric, epistemic)


# --- judging -------------------------------------------------------------------------------------------------------


def bootstrap_means(values: ArrayLike, n_draws: int = 1000, seed: int = 0) -> Array:
    """Means (n_draws, ...) of ``values`` (P, ...) over planets drawn with replacement."""
    v = np.asarray(values, np.float64)
    counts = np.random.default_rng(seed).multinomial(len(v), np.full(len(v), 1.0 / len(v)), n_draws)
    return np.tensordot(counts / len(v), v, 1)


def bounds(draws: ArrayLike, level: float = 0.9) -> tuple[Any, Any]:
    """Central interval of bootstrap draws (n_draws, ...)."""
    low, high = np.quantile(np.asarray(draws), [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return low, high


@dataclass
class CoverageCurve:
    """Share of truths inside the intervals of each of ``levels`` (L,), with its 90 % ``low`` and ``high``."""

    levels: Array
    coverage: Array
    low: Array
    high: Array


def coverage_curve(
    truth: ArrayLike,
    mean: ArrayLike,
    sigma: ArrayLike,
    levels: ArrayLike | None = None,
    half_widths: ArrayLike | None = None,
    seed: int = 0,
) -> CoverageCurve:
    """Coverage of the central intervals: Gaussian ones, or of ``half_widths`` (L, C) or (L, P, C) in sigmas."""
    at = np.linspace(0.02, 0.98, 49) if levels is None else np.asarray(levels, np.float64)
    score = np.abs(z_scores(truth, mean, sigma))
    if half_widths is None:
        half = np.array([gaussian_half_width(level) for level in at])[:, None, None]
    else:
        half = np.asarray(half_widths, np.float64)
        half = half[:, None] if half.ndim == 2 else half
    inside = np.stack([(score <= width).mean(1) for width in half], -1)  # (P, L)
    low, high = bounds(bootstrap_means(inside, seed=seed))
    return CoverageCurve(at, inside.mean(0), low, high)


@dataclass
class ZHistogram:
    """Density of z in bins of ``edges`` and the unit normal's; mean and spread of z, each (value, low, high)."""

    edges: Array
    density: Array
    normal: Array
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]


def z_histogram(
    truth: ArrayLike, mean: ArrayLike, sigma: ArrayLike, edges: ArrayLike | None = None, seed: int = 0
) -> ZHistogram:
    """How z = (mean - truth) / sigma is distributed; what lies outside counts in the outermost bins."""
    z = z_scores(truth, mean, sigma)
    at = np.linspace(-5.0, 5.0, 51) if edges is None else np.asarray(edges, np.float64)
    counts, _ = np.histogram(np.clip(z, at[0], at[-1]), at)
    cumulative = np.array([NormalDist().cdf(edge) for edge in at])
    means = bootstrap_means(np.stack([z.mean(1), (z**2).mean(1)], -1), seed=seed)
    first, second = bounds(means[:, 0]), bounds(np.sqrt(means[:, 1]))
    return ZHistogram(
        at,
        counts / (z.size * np.diff(at)),
        np.diff(cumulative) / np.diff(at),
        (float(z.mean()), float(first[0]), float(first[1])),
        (float(np.sqrt((z**2).mean())), float(second[0]), float(second[1])),
    )
