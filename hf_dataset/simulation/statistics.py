"""The numbers by which simulated spectra and light curves are compared with real ones (docs/simulation.md)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class SpectrumSummary:
    """Of (planet, channel) depths; quantiles over planets at 5, 25, 50, 75, 95 %."""

    depth: Array  # mean depth
    feature_ppm: Array  # peak-to-peak over AIRS
    fgs1_offset_ppm: Array  # FGS1 less the AIRS mean
    variance: Array  # share of variance of each principal component
    components: Array  # (component, channel), unit vectors
    mean: Array  # (channel,) mean shape


def summarise_spectra(depth: Array, n_components: int = 12) -> SpectrumSummary:
    """Depth, feature size and principal components of spectra less their mean and over their scatter, per planet."""
    shape = depth - depth.mean(axis=1, keepdims=True)
    shape /= shape.std(axis=1, keepdims=True)
    mean = shape.mean(axis=0)
    _, s, vt = np.linalg.svd(shape - mean, full_matrices=False)
    return SpectrumSummary(
        depth=np.quantile(depth.mean(axis=1), QUANTILES),
        feature_ppm=np.quantile(np.ptp(depth[:, 1:], axis=1) * 1e6, QUANTILES),
        fgs1_offset_ppm=np.quantile((depth[:, 0] - depth[:, 1:].mean(axis=1)) * 1e6, QUANTILES),
        variance=(s**2 / (s**2).sum())[:n_components],
        components=vt[:n_components],
        mean=mean,
    )


def explained(components: Array, depth: Array) -> Array:
    """Share of the spectra's normalised variance that the leading 1, 2, … `components` and a mean explain."""
    shape = depth - depth.mean(axis=1, keepdims=True)
    shape /= shape.std(axis=1, keepdims=True)
    shape -= shape.mean(axis=0)
    return np.cumsum(((shape @ components.T) ** 2).sum(axis=0)) / (shape**2).sum()


def scatter(flux: Array) -> Array:
    """White noise of series along axis 0, robustly, from second differences (blind to drift and slow transits)."""
    second = (flux[2:] - 2 * flux[1:-1] + flux[:-2]) / np.sqrt(6)
    return 1.4826 * np.median(np.abs(second), axis=0)


def _clipped_fit(design: Array, y: Array, rounds: int = 4) -> tuple[Array, Array, Mask]:
    keep: Mask = np.ones(y.size, dtype=np.bool_)
    for _ in range(rounds):
        solution = np.asarray(np.linalg.lstsq(design[keep], y[keep], rcond=None)[0], dtype=float)
        residual = y - design @ solution
        keep = np.abs(residual) < 5 * 1.4826 * np.median(np.abs(residual[keep]))
    return solution, residual, keep


def white_drift(white: Array, contacts: tuple[float, float, float, float], pad: int = 2) -> tuple[Array, float]:
    """Legendre orders 1, 2, 3 of a white curve's drift and the scatter about it, relative to its level.

    contacts: bins of first to fourth contact. The transit's floor enters as an even quartic about mid-transit; bins
    within `pad` of ingress and egress are left out.
    """
    i = np.arange(white.size)
    out = (i < contacts[0] - pad) | (i > contacts[3] + pad)
    floor = (i > contacts[1] + pad) & (i < contacts[2] - pad)
    x = 2 * i / (white.size - 1) - 1
    phase = (i - (contacts[0] + contacts[3]) / 2) / max(1.0, (contacts[2] - contacts[1]) / 2)
    transit = floor[:, None] * np.stack([np.ones_like(phase), phase**2, phase**4], axis=1)
    design = np.concatenate([np.polynomial.legendre.legvander(x, 3), transit], axis=1)
    use = out | floor
    solution, residual, keep = _clipped_fit(design[use], white[use])
    free = max(1, int(keep.sum()) - design.shape[1])
    return solution[1:4] / solution[0], float(np.sqrt((residual[keep] ** 2).sum() / free) / solution[0])


def common_noise(flux: Array, out: Mask, rng: np.random.Generator, splits: int = 100) -> tuple[float, float]:
    """Noise that channels share, from the covariance of random halves, and the white curve's noise [relative].

    flux: (time, channel); `out` marks bins outside transit. Slow drift (a cubic a channel) is taken out first.
    """
    design = np.vander(np.linspace(-1, 1, flux.shape[0]), 4)[out]
    parts = [_clipped_fit(design, y) for y in flux[out].T]
    residual = np.stack([np.where(keep, r, 0.0) for _, r, keep in parts], axis=1)
    level = np.median(flux[out], axis=0)
    covariance = []
    for _ in range(splits):
        order = rng.permutation(flux.shape[1])
        a, b = order[: order.size // 2], order[order.size // 2 :]
        covariance.append(np.mean(residual[:, a].sum(1) / level[a].sum() * residual[:, b].sum(1) / level[b].sum()))
    common = float(np.mean(covariance))
    return float(np.sign(common) * np.sqrt(abs(common))), float((residual.sum(1) / level.sum()).std())
