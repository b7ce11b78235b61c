"""Time series of exposures → light curves: hits rejected, exposures binned, bins with too little good data flagged.

All functions take arrays whose first axis is time (exposures) and know nothing of files or instruments.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MIN_EXPOSURES_FOR_HITS = 7  # fewer give neither a scatter nor four neighbours each
SCATTER_SAMPLES = 1024  # first differences of a series that tell its scatter to 3 %


class BinnedFlux(NamedTuple):
    """Light curves: flux and its 1σ error (bin, channel) [e-/exposure], valid (bin, channel)."""

    flux: NDArray[np.float64]
    flux_err: NDArray[np.float64]
    valid: NDArray[np.bool_]


def find_hits(
    data: Array, threshold: float = 5.0, minimum: Array | float = 0.0, samples: int = SCATTER_SAMPLES
) -> NDArray[np.bool_]:
    """True where a sample lies more than `threshold` σ outside the range of its four neighbours in time.

    σ is each series' own, from the median absolute first difference (so that jitter counts as noise) of at most about
    `samples` differences, and no less than `minimum`, its known noise: short series tell their scatter badly. A
    transit's ingress, even one as short as an exposure, has neighbours at its own level on one side.
    """
    n = data.shape[0]
    if n < MIN_EXPOSURES_FOR_HITS:
        return np.zeros(data.shape, bool)
    limit = np.asarray(threshold * np.maximum(difference_scatter(data, samples), minimum), data.dtype)
    upper, lower = np.maximum(data[:-2], data[2:]), np.minimum(data[:-2], data[2:])  # t−1, t+1 of t = 1 … n−2
    upper[1:-1] = np.maximum(upper[1:-1], np.maximum(data[:-4], data[4:]))
    lower[1:-1] = np.minimum(lower[1:-1], np.minimum(data[:-4], data[4:]))
    hits = np.zeros_like(data, dtype=bool)
    hits[1:-1] = (data[1:-1] > upper + limit) | (data[1:-1] < lower - limit)
    for at, others in ((0, slice(1, 5)), (n - 1, slice(n - 5, n - 1))):
        hits[at] = (data[at] > data[others].max(axis=0) + limit) | (data[at] < data[others].min(axis=0) - limit)
    return hits


def difference_scatter(data: Array, samples: int = SCATTER_SAMPLES) -> Array:
    """1σ of white noise in each series (time first), robust, from first differences; a subsample of about `samples`."""
    stride = max(1, (data.shape[0] - 1) // samples)
    differences = data[1::stride] - data[:-1:stride][: data[1::stride].shape[0]]
    return np.median(np.abs(differences), axis=0) / (0.6744897501960817 * np.sqrt(2.0))


def replace_hits(data: Array, hits: tuple[Array, ...]) -> None:
    """Replace, in place, the samples at the indices `hits` (time first) by the median of four neighbours in time."""
    if hits[0].size == 0:
        return
    n, (time, *pixel) = data.shape[0], hits
    steps = np.array([-2, -1, 1, 2])[:, None]
    neighbours = time[None] + steps
    neighbours = np.where((neighbours < 0) | (neighbours >= n), time[None] - steps, neighbours)
    neighbours = np.clip(neighbours, 0, n - 1)
    data[hits] = np.median(data[(neighbours, *pixel)], axis=0)


def bin_edges(n_exposures: int, n_bins: int) -> NDArray[np.intp]:
    """(n_bins + 1,) integer edges of groups of exposures, equal to within one."""
    if not 1 <= n_bins <= n_exposures:
        raise ValueError(f"bins: expected 1 to {n_exposures} (the exposures of the visit), found {n_bins}")
    return np.arange(n_bins + 1, dtype=np.intp) * n_exposures // n_bins


def bin_mean(values: Array, edges: NDArray[np.intp], good: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Mean over each bin along the first axis, of the good samples where given; NaN in a bin without any."""
    ones = np.ones(values.shape) if good is None else np.broadcast_to(good, values.shape).astype(np.float64)
    total = np.add.reduceat(np.where(ones > 0, values, 0.0).astype(np.float64), edges[:-1], axis=0)
    count = np.add.reduceat(ones, edges[:-1], axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def bin_flux(
    flux: Array,
    variance: Array,
    good: NDArray[np.bool_],
    edges: NDArray[np.intp],
    min_good_fraction: float = 0.5,
) -> BinnedFlux:
    """Mean of the good exposures of each bin, its error, and whether enough of them are good.

    flux (exposure, channel) [e-], variance (channel,) [e-²] of one exposure, good (exposure, channel). An invalid bin
    has flux 0 and the error of one exposure: finite, and not to be used.
    """
    if flux.shape != good.shape or variance.shape != flux.shape[1:]:
        raise ValueError(
            f"binning: expected flux and good alike and a variance a channel, "
            f"found {flux.shape}, {good.shape}, {variance.shape}"
        )
    good = good & np.isfinite(flux) & np.isfinite(variance) & (variance > 0)
    count = np.add.reduceat(good.astype(np.float64), edges[:-1], axis=0)
    valid = (count >= min_good_fraction * np.diff(edges)[:, None]) & (count > 0)
    single = np.sqrt(np.where(np.isfinite(variance) & (variance > 0), variance, 1.0))
    error = single / np.sqrt(np.where(valid, count, 1.0))
    return BinnedFlux(np.where(valid, bin_mean(flux, edges, good), 0.0), error, valid)
