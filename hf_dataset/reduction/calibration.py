"""Detector calibration of Ariel frames: one pure function a step, the variance carried along.

ADC → bad pixels → linearity → dark → correlated double sampling → flat → bad-pixel fill. The order and each step's
definition are the organisers' (the starter notebooks of the NeurIPS Ariel Data Challenges 2024 and 2025); the variance
follows the usual propagation for non-destructive reads, e.g. Robberto (2010), JWST-STScI-001853.

Every step takes and returns `Frames`: data (frame, row, column), variance of the same axes (or None where no noise
model is wanted; it broadcasts), and mask (bool, True = bad, broadcasts). Negative values are never clipped. Before the
double sampling the variance is that of the readout alone, independent from frame to frame; the charge's shot noise
joins there, because an exposure's start frame is contained in its end frame and only their difference's photons are
new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_dataset.raw.layouts import CalibrationFrames

AdcConvention = Literal["divide", "divide_minus_offset", "multiply"]
ADC_CONVENTIONS = ("divide", "divide_minus_offset", "multiply")

Array = NDArray[Any]


class Frames(NamedTuple):
    """Detector data between two steps; axes (frame, row, column), see the module."""

    data: Array
    variance: Array | None
    mask: NDArray[np.bool_]


MOST_FLAT, SLOPES = 2.0, (0.5, 2.0)  # beyond these a flat or the linearity's slope is no measurement; both are about 1
FillWeights = list[tuple[int, int, list[tuple[int, float]]]]  # row, column, [(source column, weight)]


class Pixel(IntFlag):
    """Why a pixel is bad in every frame."""

    DEAD = 1
    HOT = 2
    UNCALIBRATED = 4  # a calibration value that is not finite or cannot be, or a flat below the least usable response
    SATURATED = 8


# --- the steps -----------------------------------------------------------------------------------------------------


def adc_to_electrons(
    data: Array,
    variance: Array | None,
    mask: NDArray[np.bool_],
    *,
    gain: float,
    offset: float,
    read_noise: Array | None = None,
    convention: AdcConvention = "divide",
    dtype: Any = np.float32,
) -> Frames:
    """Counts → electrons, and the readout's variance: read noise [e-, 1σ of one read] and quantisation.

    `divide` is counts / gain + offset, the inverse of the organisers' simulator; `divide_minus_offset` flips the
    offset's sign, `multiply` is the 2024 data page's counts · gain + offset. A variance given is taken to be in
    counts².
    """
    scale, shift = adc_scale(gain, offset, convention)
    electrons = np.multiply(data, np.asarray(scale, dtype), dtype=dtype)
    electrons += np.asarray(shift, dtype)
    if variance is not None:
        variance = variance * scale**2
    if read_noise is not None:
        readout = np.asarray(read_noise, dtype)[None] ** 2 + np.asarray(scale**2 / 12, dtype)
        variance = readout if variance is None else variance + readout
    return Frames(electrons, variance, mask)


def adc_scale(gain: float, offset: float, convention: AdcConvention) -> tuple[float, float]:
    """(scale [e-/count], shift [e-]) of a convention: electrons = counts · scale + shift."""
    if convention not in ADC_CONVENTIONS:
        raise ValueError(f"ADC convention: expected one of {', '.join(ADC_CONVENTIONS)}, found {convention!r}")
    scale = gain if convention == "multiply" else 1.0 / gain
    return scale, -offset if convention == "divide_minus_offset" else offset


def mask_bad_pixels(
    data: Array, variance: Array | None, mask: NDArray[np.bool_], *, bad: NDArray[np.bool_], saturation: float = np.inf
) -> Frames:
    """Mask pixels bad in every frame, `bad` (row, column), and samples at or above `saturation`, or not finite."""
    mask = mask | bad[None]
    peak = data.max(initial=-np.inf)
    if not np.isfinite(peak) or peak >= saturation:  # rare: most blocks have no such sample
        mask = mask | (data >= saturation) | ~np.isfinite(data)
    return Frames(data, variance, mask)


def linearise(data: Array, variance: Array | None, mask: NDArray[np.bool_], *, coefficients: Array) -> Frames:
    """Σ_k c_k x^k a pixel, c (power, row, column) in ascending powers; the variance by the polynomial's Jacobian."""
    c = np.asarray(coefficients, data.dtype)
    value = np.multiply(data, c[-1])
    value += c[-2]
    for power in range(len(c) - 3, -1, -1):
        value *= data
        value += c[power]
    if variance is not None:
        slope = np.polynomial.polynomial.polyval(data, [k * c[k] for k in range(1, len(c))], tensor=False)
        variance = variance * slope**2
    return Frames(value, variance, mask)


def subtract_dark(
    data: Array, variance: Array | None, mask: NDArray[np.bool_], *, dark: Array, integration: Array
) -> Frames:
    """Subtract dark [e-/s] · integration (frame,) [s]. The dark's shot noise joins in the double sampling."""
    return Frames(data - dark_charge(dark, integration, data.dtype), variance, mask)


def dark_charge(dark: Array, integration: Array, dtype: Any) -> Array:
    """(frame, row, column) [e-]: dark [e-/s] · integration (frame,) [s]."""
    return np.asarray(integration, dtype)[:, None, None] * np.asarray(dark, dtype)[None]


def correlated_double_sample(
    data: Array, variance: Array | None, mask: NDArray[np.bool_], *, dark_charge: Array | float = 0.0
) -> Frames:
    """End − start of each exposure: frames in pairs (start, end) → exposures.

    The variance is the two reads' plus the shot noise of the charge collected between them: the difference itself and
    `dark_charge` (row, column) [e-], the dark already subtracted from it.
    """
    if data.shape[0] % 2:
        raise ValueError(f"correlated double sampling: expected an even number of frames, found {data.shape[0]}")
    difference = data[1::2] - data[0::2]
    if variance is not None:
        reads = variance[1::2] + variance[0::2] if variance.shape[0] > 1 else 2 * variance
        variance = reads + np.maximum(difference + dark_charge, 0)
    if mask.shape[0] > 1:
        mask = mask[1::2] | mask[0::2]
    return Frames(difference, variance, mask)


def divide_flat(data: Array, variance: Array | None, mask: NDArray[np.bool_], *, flat: Array) -> Frames:
    """Divide by the relative response; where it isn't positive and finite, leave the value and mask the pixel."""
    usable = np.isfinite(flat) & (flat > 0)
    inverse = inverse_flat(flat, data.dtype)[None]
    return Frames(data * inverse, None if variance is None else variance * inverse**2, mask | ~usable[None])


def inverse_flat(flat: Array, dtype: Any) -> Array:
    """1 / the relative response, 1 where it isn't positive and finite."""
    return np.asarray(1.0 / np.where(np.isfinite(flat) & (flat > 0), flat, 1.0), dtype)


def fill_bad_pixels(
    data: Array,
    variance: Array | None,
    mask: NDArray[np.bool_],
    *,
    bad: NDArray[np.bool_],
    reach: int = 3,
    weights: FillWeights | None = None,
    out: Array | None = None,
) -> Frames:
    """Fill pixels `bad` (row, column) from the nearest good ones of their row, scaled by spectrum and spatial profile.

    Jitter moves flux across rows, so only the wavelength direction is used: each exposure's value is a fixed
    combination of the same exposure's neighbours, hence carries their transit. A pixel without a good one within
    `reach` stays masked. `weights` are those of `fill_weights` where they are known already; `out` may be `data`.
    """
    filled = data.copy() if out is None else out
    if out is not None and out is not data:
        np.copyto(out, data)
    if not bad.any():
        return Frames(filled, variance, mask | bad[None])
    if weights is None:
        weights = fill_weights(data.mean(axis=0, dtype=np.float64), bad, reach)
    mask = (mask | bad[None]).copy()
    variance = None if variance is None else variance.copy()
    for row, column, sources in weights:
        neighbours = [source for source, _ in sources]
        share = np.array([weight for _, weight in sources], data.dtype)
        filled[:, row, column] = (data[:, row, neighbours] * share).sum(axis=-1)
        if variance is not None:
            variance[:, row, column] = (variance[:, row, neighbours] * share**2).sum(axis=-1)
        mask[:, row, column] = mask[:, row, neighbours].any(axis=-1)
    return Frames(filled, variance, mask)


def fill_weights(
    mean: NDArray[np.float64], bad: NDArray[np.bool_], reach: int, where: NDArray[np.bool_] | None = None
) -> FillWeights:
    """For each bad pixel that can be filled, the pixels of its row to fill it from, given the mean frame.

    The spatial profile (mean / spectrum) is interpolated along the row; the spectrum at the bad column is what the good
    rows hold there over their share of the profile. What is not `where` (row, column) is no part of it, and not filled.
    """
    sources = fill_sources(bad, reach, where)
    good = np.where(bad, 0.0, mean)
    known = (good if where is None else good * where).sum(axis=0)  # the light of the good pixels of each column

    def missing(spectrum: Array) -> Array:
        """(column,) what the bad pixels of each column hold, in units of `spectrum`."""
        total = np.zeros(mean.shape[1])
        for (row, column), found in sources.items():
            total[column] += sum(weight * good[row, c] / spectrum[c] for c, weight in found)
        return total

    spectrum = known + missing(np.ones(mean.shape[1]))  # plain interpolation to begin with
    floor = 0.01 * float(np.median(np.maximum(spectrum, 0))) or 1.0  # columns without light give no ratio
    for _ in range(3):
        spectrum = np.maximum(spectrum, floor)
        share = missing(spectrum)
        spectrum = np.where(share < 0.95, known / np.maximum(1 - share, 0.05), spectrum)  # else: no good pixel to go by
    spectrum = np.maximum(spectrum, floor)
    return [
        (*at, [(c, w * float(spectrum[at[1]] / spectrum[c])) for c, w in found])
        for at, found in sorted(sources.items())
    ]


def fill_sources(
    bad: NDArray[np.bool_], reach: int, where: NDArray[np.bool_] | None = None
) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """(row, column) of each bad pixel (of those `where`) that can be filled → [(source column, weight)] of its row."""
    chosen = bad if where is None else bad & where
    return {
        (int(row), int(column)): found
        for row, column in zip(*np.nonzero(chosen), strict=True)
        if (found := _neighbours(bad[row], int(column), reach))
    }


def unfilled_weights(weights: Array, filled_from: FillWeights) -> NDArray[np.float64]:
    """(row, column) weights that give the same sum with nothing filled: those of filled pixels go to their sources."""
    measured = np.array(weights, np.float64)
    for row, column, sources in filled_from:
        for source, share in sources:
            measured[row, source] += weights[row, column] * share
        measured[row, column] = 0.0
    return measured


def _neighbours(bad_row: NDArray[np.bool_], column: int, reach: int) -> list[tuple[int, float]]:
    """Nearest good columns either side within `reach`, with interpolation weights; one side alone has weight 1."""
    left = next((c for c in range(column - 1, max(column - reach, 0) - 1, -1) if not bad_row[c]), None)
    right = next((c for c in range(column + 1, min(column + reach, bad_row.size - 1) + 1) if not bad_row[c]), None)
    if left is None or right is None:
        return [(only, 1.0) for only in (left, right) if only is not None]
    weight = (column - left) / (right - left)
    return [(left, 1.0 - weight), (right, weight)]


# --- bad pixels ----------------------------------------------------------------------------------------------------


def sigma_clip(values: Array, sigma: float = 5.0, iterations: int = 5) -> NDArray[np.bool_]:
    """True where a value is over `sigma` standard deviations from the median, iterated; as astropy's sigma_clip."""
    kept = np.isfinite(values)
    for _ in range(iterations):
        if not kept.any():
            break
        centre, spread = np.median(values[kept]), np.std(values[kept])
        keep = kept & (np.abs(np.where(kept, values, centre) - centre) <= sigma * spread)
        if keep.sum() == kept.sum():
            break
        kept = keep
    return ~kept


def find_bad_pixels(
    frames: CalibrationFrames,
    hot_sigma: float = 5.0,
    min_flat: float = 0.5,
    hot_noise: float = 0.0,
    exposure_s: float = 1.0,
) -> NDArray[np.uint8]:
    """(row, column) `Pixel` flags from the calibration frames: dead, hot, uncalibrated.

    Hot is what a sigma clip of the dark frame leaves out and whose dark current adds, in shot noise over an exposure,
    at least `hot_noise` of the two reads' variance: below that, its dark is subtracted as well as any other's.
    """
    values = (frames.dark, frames.flat, frames.read, *frames.linear_corr)
    finite = np.all([np.isfinite(value) for value in values], axis=0)
    dark, read = (np.where(finite, frame, 0.0) for frame in (frames.dark, frames.read))
    hot = sigma_clip(frames.dark, hot_sigma) & np.isfinite(frames.dark)
    hot &= (hot_noise == 0) | (dark * exposure_s >= hot_noise * 2 * read**2)
    flags = np.where(frames.dead, np.uint8(Pixel.DEAD), np.uint8(0))
    flags |= np.where(hot, np.uint8(Pixel.HOT), np.uint8(0))
    usable = finite & (frames.flat >= min_flat) & (frames.flat <= MOST_FLAT) & (frames.read > 0)
    usable &= (frames.linear_corr[1] >= SLOPES[0]) & (frames.linear_corr[1] <= SLOPES[1])
    flags |= np.where(usable, np.uint8(0), np.uint8(Pixel.UNCALIBRATED))
    return flags.astype(np.uint8)


# --- the chain -----------------------------------------------------------------------------------------------------


@dataclass
class StepLog:
    """What each step did: parameters, before and after in `entries`; seconds, added up over blocks, apart from them."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add_seconds(self, step: str, since: float) -> float:
        """Add the time since `since` to a step; returns now."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - since
        return now

    def add(self, step: str, params: Mapping[str, Any], before: Any = None, after: Any = None) -> None:
        """Add an entry; numbers are kept to six digits."""
        entry = {"step": step, "params": dict(params), "before": before, "after": after}
        self.entries.append({key: _rounded(value) for key, value in entry.items() if value is not None})


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.6g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def summary(frames: Frames) -> dict[str, float]:
    """Median value and noise of the good samples, and the fraction that is masked."""
    good = np.broadcast_to(~frames.mask, frames.data.shape)
    if not good.any():
        return {"masked_fraction": 1.0}
    result = {"median": float(np.median(frames.data[good])), "masked_fraction": float(1.0 - good.mean())}
    if frames.variance is not None:
        variance = np.broadcast_to(frames.variance, frames.data.shape)[good]
        result["median_noise"] = float(np.sqrt(np.median(variance)))
    return result


@dataclass(frozen=True)
class Readout:
    """How an instrument's counts were made: ADC (gain, offset), integrations (start, end) [s], saturation [counts]."""

    gain: float
    offset: float
    integration: tuple[float, float]
    adc: AdcConvention = "divide"
    saturation: float = 65535.0

    @property
    def saturation_electrons(self) -> float:
        """The saturation level after the ADC step [e-]; rounding of float32 is left out by half a count."""
        level, good = np.array(self.saturation - 0.5), np.array(False)
        convert = partial(adc_to_electrons, gain=self.gain, offset=self.offset, convention=self.adc)
        return float(convert(level, None, good, dtype=float).data)


def chain(
    frames: CalibrationFrames,
    bad: NDArray[np.bool_],
    readout: Readout,
    n_frames: int,
    *,
    linearity: bool = True,
    dark: bool = True,
    flat: bool = True,
    noise: bool = True,
    dtype: Any = np.float32,
) -> list[tuple[str, Callable[..., Frames], dict[str, Any], dict[str, Any]]]:
    """Steps from counts to flat-fielded exposures: (name, function, its arguments, parameters for the log)."""
    start, end = readout.integration
    integration = np.where(np.arange(n_frames) % 2, end, start)
    usable = ~bad  # a bad pixel's calibration values may be anything: neutral ones keep its arithmetic finite
    coefficients = np.where(usable, frames.linear_corr, np.array([0.0, 1, 0, 0, 0, 0])[:, None, None])
    current = np.where(usable, frames.dark, 0.0)
    read = np.where(np.isfinite(frames.read), frames.read, 0.0)
    collected = current * (end - start) if dark else np.zeros_like(current)
    adc = {"gain": readout.gain, "offset": readout.offset, "convention": readout.adc}
    saturation = readout.saturation_electrons
    steps: list[tuple[str, Callable[..., Frames], dict[str, Any], dict[str, Any]]] = [
        ("adc", adc_to_electrons, {**adc, "read_noise": read if noise else None, "dtype": dtype}, adc),
        ("bad_pixels", mask_bad_pixels, {"bad": bad, "saturation": saturation}, {"saturation_electrons": saturation}),
    ]
    if linearity:
        order = {"order": len(coefficients) - 1}
        steps.append(("linearity", linearise, {"coefficients": coefficients}, order))
    if dark:
        params = {"integration_s": [start, end]}
        steps.append(("dark", subtract_dark, {"dark": current, "integration": integration}, params))
    steps.append(("cds", correlated_double_sample, {"dark_charge": np.asarray(collected, dtype)}, {}))
    if flat:
        steps.append(("flat", divide_flat, {"flat": np.where(usable, frames.flat, 1.0)}, {}))
    return steps


def calibrate(
    counts: Array,
    frames: CalibrationFrames,
    bad: NDArray[np.bool_],
    readout: Readout,
    *,
    log: StepLog | None = None,
    log_values: bool = True,
    **options: Any,
) -> Frames:
    """Counts (frame, row, column) of any pixels → flat-fielded exposures [e-] with variance and mask.

    `frames` and `bad` are of the same pixels; `options` are those of `chain`. `log_values=False` logs the seconds only.
    """
    log = log or StepLog()
    state = Frames(counts, None, np.zeros((1, 1, 1), bool))
    for name, step, arguments, params in chain(frames, bad, readout, counts.shape[0], **options):
        before = summary(state) if log_values else None
        start = time.perf_counter()
        state = step(*state, **arguments)
        log.add_seconds(name, start)
        if log_values:
            log.add(name, params, before, summary(state))
    return state
