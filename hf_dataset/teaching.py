"""Transit photometry in small steps, for notebooks: each a pure function of arrays, time first.

A depth from these is 1 minus the mean light in transit. It is not (Rp/Rs)²: limb darkening makes the middle of a
transit deeper and ingress shallower, the median baseline knows no drift, and errors are those of independent noise. The
fit (`modeling_ariel.fit`) models all of it; what each costs is shown in notebooks/02_preprocessing.ipynb.
"""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]

MAD_TO_SIGMA = 1.4826  # of a normal distribution


# --- where the transit is ------------------------------------------------------------------------------------------


def out_of_transit_mask(n_time: int, ingress: float = 0.2, egress: float = 0.8) -> Mask:
    """(T,) True outside the transit, which lasts from `ingress` to `egress`, fractions of the visit.

    Point n stands for the fractions n/T to (n + 1)/T and is outside where its middle is.
    """
    if not 0 <= ingress < egress <= 1:
        raise ValueError(f"transit: expected 0 ≤ ingress < egress ≤ 1, found {ingress:g} and {egress:g}")
    middle = (np.arange(n_time) + 0.5) / n_time
    return (middle < ingress) | (middle > egress)


def contact_mask(time: Array, first: float, fourth: float) -> Mask:
    """(T,) True at times (T,) before the first contact or after the fourth, in the unit of `time`."""
    if not first < fourth:
        raise ValueError(f"contacts: expected the first before the fourth, found {first:g} and {fourth:g}")
    return np.asarray((time < first) | (time > fourth))


def contacts(t0: float, b_squared: float, log_speed: float, k: float) -> tuple[float, float]:
    """First and fourth contact [h] of a fitted shape: t0 [h], b², ln speed [R*/h] (`ClassicalFit.shape`), k = Rp/Rs.

    With −k for k, second and third. The planet crosses the star on a straight line; ValueError where there are none.
    """
    if (chord := (1 + k) ** 2 - b_squared) <= 0:
        raise ValueError(f"contacts: expected b² below (1 + k)², found b² = {b_squared:g} and k = {k:g}")
    half = float(np.sqrt(chord) / np.exp(log_speed))
    return t0 - half, t0 + half


# --- the steps -----------------------------------------------------------------------------------------------------


def baseline_normalize(flux: Array, mask: Mask) -> Array:
    """(T, C) → (T, C): each channel divided by its median where `mask` (T,) is True.

    ValueError names the first channel whose baseline is not above 0.
    """
    baseline = np.median(_outside(flux, mask), axis=0)
    if (bad := ~(baseline > 0)).any():
        channel = int(np.argmax(bad))
        raise ValueError(f"channel {channel}: expected a baseline above 0, found {baseline[channel]:g}")
    return np.asarray(flux / baseline)


@overload
def bin_time(flux: Array, bin_size: int) -> Array: ...
@overload
def bin_time(flux: Array, bin_size: int, error: Array) -> tuple[Array, Array]: ...
def bin_time(flux: Array, bin_size: int, error: Array | None = None) -> Array | tuple[Array, Array]:
    """(T, …) → (T // bin_size, …): means of `bin_size` points in a row; what is left at the end is dropped.

    With `error`, shaped as `flux`, also the errors of the means, of independent noise.
    """
    if not 1 <= bin_size <= len(flux):
        raise ValueError(f"bin_size: expected 1 to {len(flux)}, the number of points, found {bin_size}")
    if error is not None and np.shape(error) != np.shape(flux):
        raise ValueError(f"error: expected the shape of the flux, {np.shape(flux)}, found {np.shape(error)}")
    n_bins = len(flux) // bin_size

    def grouped(values: Array) -> Array:
        return np.asarray(values)[: n_bins * bin_size].reshape(n_bins, bin_size, *np.shape(values)[1:])

    mean = grouped(flux).mean(axis=1)
    return mean if error is None else (mean, np.sqrt(((1.0 * grouped(error)) ** 2).sum(axis=1)) / bin_size)


def common_mode_correction(flux: Array, mask: Mask, transit: Array | None = None) -> Array:
    """(T, C) → (T, C): each channel, normalised, divided by the mean of all channels.

    What all channels share goes: drift, jitter, and the transit too. What is left are differences of depth, (1 − δ_c) /
    (1 − mean δ), and no depth. With `transit` (T,), the white light curve's fitted model (1 outside), only the rest of
    the common trend is divided out, and depths stay: their mean is that of the model.
    """
    normalised = baseline_normalize(flux, mask)
    trend = normalised.mean(axis=1)
    return normalised / (trend if transit is None else trend / transit)[:, None]


def robust_zscore(values: Array, axis: int = 0) -> Array:
    """Distances from the median in standard deviations, told from the median absolute deviation, along `axis`.

    Nothing is masked or clipped. ValueError where half of the values are the same, which leaves no scale.
    """
    away = values - np.median(values, axis=axis, keepdims=True)
    scale = MAD_TO_SIGMA * np.median(np.abs(away), axis=axis, keepdims=True)
    if (scale == 0).any():
        raise ValueError("robust z-score: expected values that differ, found half of them or more the same")
    return np.asarray(away / scale)


# --- numbers -------------------------------------------------------------------------------------------------------


class Depth(NamedTuple):
    """Depth and its 1σ error of each channel: (C,) each."""

    depth: Array
    error: Array


def extract_transit_depth(flux: Array, mask: Mask, weights: Array | None = None) -> Depth:
    """Depth (C,) of normalised light curves (T, C): 1 − the mean where `mask` (T,) is False, by `weights` (T,).

    The error is the scatter outside the transit over √N, N the points in transit (with weights, (Σw)²/Σw²): that of
    independent noise about a baseline that is known.
    """
    outside, inside = _outside(flux, mask), flux[~mask]
    if weights is not None and np.shape(weights) != mask.shape:
        raise ValueError(f"weights: expected one for each of {len(flux)} times, found shape {np.shape(weights)}")
    if not len(inside):
        raise ValueError("transit: expected points in transit, found none")
    share = np.ones(len(inside)) if weights is None else np.asarray(weights, float)[~mask]
    if not share.sum() > 0 or (share < 0).any():
        raise ValueError("weights: expected none below 0 and a sum above 0 in transit, found others")
    share = share / share.sum()
    return Depth(1 - share @ inside, outside.std(axis=0, ddof=1) * np.sqrt((share**2).sum()))


def estimate_transit_snr(airs: Array, mask: Mask) -> Array:
    """(T, C) → (C,): depth over the scatter of one point. Times √N it is that of the whole transit."""
    normalised = baseline_normalize(airs, mask)
    return np.asarray(extract_transit_depth(normalised, mask).depth / normalised[mask].std(axis=0, ddof=1))


class TimeStatistics(NamedTuple):
    """Of each channel: mean, variance, skewness (C,), and power (C, bands), which adds up to the variance."""

    mean: Array
    variance: Array
    skew: Array
    power: Array


def time_statistics(flux: Array, bands: int = 4) -> TimeStatistics:
    """Mean, variance, skewness and FFT power of each channel of (T, C), in `bands` of equal width up to half a cycle a
    point, slow ones first.
    """
    n_time = len(flux)
    if not 1 <= bands <= n_time // 2:
        raise ValueError(f"bands: expected 1 to {n_time // 2}, half of the points, found {bands}")
    mean, variance = flux.mean(axis=0), flux.var(axis=0)
    away = flux - mean
    skew = (away**3).mean(axis=0) / np.where(variance > 0, variance, 1) ** 1.5
    power = np.abs(np.fft.rfft(away, axis=0)) ** 2 / n_time**2
    power[1 : (n_time + 1) // 2] *= 2  # the negative frequencies; half a cycle a point has none of its own
    parts = np.array_split(power[1:], bands)
    return TimeStatistics(mean, variance, skew, np.stack([part.sum(axis=0) for part in parts], axis=1))


# --- all at once ---------------------------------------------------------------------------------------------------


class PreprocessedPlanet(NamedTuple):
    """airs_norm (T', C), fgs1_norm (T',), transit_depth and transit_depth_err (1 + C,) FGS1 first, mask_oot (T',)."""

    airs_norm: Array
    fgs1_norm: Array
    transit_depth: Array
    transit_depth_err: Array
    mask_oot: Mask


def preprocess_planet(
    airs: Array, fgs1: Array, ingress: float = 0.2, egress: float = 0.8, bin_size: int = 1
) -> PreprocessedPlanet:
    """From fluxes (T, C) and (T,) at the same times to a depth per channel: bins, baseline, mean in transit."""
    if len(airs) != len(fgs1):
        raise ValueError(
            f"FGS1: expected the {len(airs)} times of AIRS-CH0, found {len(fgs1)}; bin the faster one first"
        )
    binned = bin_time(np.column_stack([fgs1, airs]), bin_size)
    mask = out_of_transit_mask(len(binned), ingress, egress)
    normalised = baseline_normalize(binned, mask)
    depth, error = extract_transit_depth(normalised, mask)
    return PreprocessedPlanet(normalised[:, 1:], normalised[:, 0], depth, error, mask)


def _outside(flux: Array, mask: Mask) -> Array:
    """The points (N, C) outside the transit; ValueError where they are too few or the mask does not fit."""
    if mask.dtype != np.bool_:  # 0 and 1 would be taken for places
        raise ValueError(f"mask: expected True and False, found {mask.dtype}")
    if mask.shape != flux.shape[:1]:
        raise ValueError(f"mask: expected one value for each of {len(flux)} times, found shape {mask.shape}")
    if mask.sum() < 2:
        raise ValueError(f"transit: expected at least 2 points outside, found {int(mask.sum())}")
    return np.asarray(flux[mask])
