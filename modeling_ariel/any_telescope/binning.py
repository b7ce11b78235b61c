"""Native pixels to channels, and many short exposures to fewer long ones: errors kept, nothing mixed over a gap.

A channel is the mean of its pixels' relative flux, weighted by (level / error)². For photon noise this is the sum of
their counts; where background or read noise rules, it leaves faint pixels out as it should; and it is the same for
counts and for relative flux. Weights are constant in time, and a pixel's level is measured against the others, so that
a pixel that is missing for a while changes neither level nor depth. A pixel belongs to the channel that its centre is
in: no pixel is in two channels, whose noise stays independent.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .observation import Array, Flags, Observation, ObservationError

Places = NDArray[np.int64]  # of pixels or times

FEWEST_TIMES = 0.8  # of the times in which a pixel must be good to be used
FEWEST_WEIGHT = 0.75  # of a channel's weight that must be good at a time
FEWEST_EXPOSURES = 0.75  # of a bin's exposures that must be good
LEVEL_ROUNDS = 3  # of pixels' levels against their mean; two are enough for 1e-9
GAP = 1.5  # time steps of the neighbours
NEIGHBOURS = 5  # steps to either side that a step is compared with


def bin_channels(
    observation: Observation,
    edges: ArrayLike | None = None,
    count: int | None = None,
    resolution: float | None = None,
) -> Observation:
    """Channels of ``edges`` (K+1,) or (K, 2) [um], of ``count`` groups of as many pixels, or of λ/Δλ = ``resolution``.

    The flux is that of a mean pixel, in the unit given; ``wavelength`` the weighted mean of the pixels', ``half_width``
    half of what they cover. Channels without a good pixel are left out, with a note. ObservationError for no or several
    of the three, wavelengths unknown, no channel left.
    """
    if sum(one is not None for one in (edges, count, resolution)) != 1:
        raise ObservationError(f"{observation.name}: expected one of edges, count, resolution, found none or several")
    if not np.isfinite(observation.wavelength).all():
        raise ObservationError(f"{observation.name}: wavelength: expected numbers to bin channels by, found NaN")
    level, weight = _pixels(observation)
    used = np.flatnonzero(weight > 0)
    groups = _groups(observation, used, edges, count, resolution)
    filled = [group for group in groups if len(group)]
    if not filled:
        raise ObservationError(f"{observation.name}: expected pixels in the channels asked for, found none")
    half = _half_widths(observation)
    parts = [_channel(observation, group, level, weight) for group in filled]
    wavelength = np.array([np.average(observation.wavelength[one], weights=weight[one]) for one in filled])
    low = np.array([np.min(observation.wavelength[one] - half[one]) for one in filled])
    high = np.array([np.max(observation.wavelength[one] + half[one]) for one in filled])
    notes = [f"{len(observation.wavelength):,} pixels binned to {len(filled):,} channels"]
    if len(used) < len(weight):
        notes.append(
            f"{len(weight) - len(used):,} pixels left out: no light, or good in under {FEWEST_TIMES:.0%} of times"
        )
    if len(filled) < len(groups):
        notes.append(f"{len(groups) - len(filled):,} channels without a good pixel left out")
    return replace(
        observation,
        flux=np.stack([part[0] for part in parts], 1),
        flux_err=np.stack([part[1] for part in parts], 1),
        valid=np.stack([part[2] for part in parts], 1),
        wavelength=wavelength,
        half_width=(high - low) / 2,
        notes=(*observation.notes, *notes),
    )


def _pixels(observation: Observation) -> tuple[Array, Array]:
    """Level and weight (C,) of every pixel, its weight 0 where it has no light or too few good times."""
    flux = np.where(observation.valid, observation.flux, np.nan)
    error = np.where(observation.valid, observation.flux_err, np.nan)
    some: Flags = np.asarray(observation.valid.any(0))
    level, noise = np.zeros(len(some)), np.ones(len(some))
    level[some], noise[some] = np.nanmedian(flux[:, some], axis=0), np.nanmedian(error[:, some], axis=0)
    alive = observation.valid.any(1)
    good = (level > 0) & (observation.valid[alive].mean(0) >= FEWEST_TIMES)
    return level, np.where(good, (level / noise) ** 2, 0.0)


def _groups(
    observation: Observation, used: Places, edges: ArrayLike | None, count: int | None, resolution: float | None
) -> list[Places]:
    """Places of the used pixels of each channel, in ascending wavelength."""
    name, waves = observation.name, observation.wavelength
    if count is not None:
        if not 1 <= count <= len(used):
            raise ObservationError(
                f"{name}: count: expected 1 to {len(used)} channels of as many pixels, found {count}"
            )
        return list(np.array_split(used, count))
    if resolution is not None:
        if not (np.isfinite(resolution) and resolution > 0):
            raise ObservationError(f"{name}: resolution: expected a positive number, found {resolution}")
        low, high = waves.min(), waves.max()
        bins = max(1, int(np.ceil(np.log(high / low) / np.log1p(1 / resolution))))
        ends = low * (1 + 1 / resolution) ** np.arange(bins + 1)
        ends[-1] = max(ends[-1], np.nextafter(high, np.inf))
        found = [used[(waves[used] >= a) & (waves[used] < b)] for a, b in pairwise(ends)]
        return [one for one in found if len(one)]  # gaps of a detector are no lost channels
    ends = np.asarray(edges, np.float64)
    pairs = np.stack([ends[:-1], ends[1:]], 1) if ends.ndim == 1 and len(ends) > 1 else ends
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not (np.diff(pairs, axis=1) > 0).all():
        raise ObservationError(f"{name}: edges: expected (K+1,) ascending or (K, 2) [um], found {pairs.shape}")
    pairs = pairs[np.argsort(pairs[:, 0])]
    if (pairs[1:, 0] < pairs[:-1, 1] - 1e-9).any():
        raise ObservationError(f"{name}: edges: expected channels that do not overlap, found some that do")
    return [used[(waves[used] >= low) & (waves[used] < high)] for low, high in pairs]


def _half_widths(observation: Observation) -> Array:
    """Half widths (C,) of pixels, half the distance of neighbours where unknown."""
    half, waves = observation.half_width, observation.wavelength
    between = np.abs(np.gradient(waves)) / 2 if len(waves) > 1 else np.zeros(1)
    return np.where(np.isfinite(half), half, between)


def _channel(observation: Observation, pixels: Places, level: Array, weight: Array) -> tuple[Array, Array, Flags]:
    """Flux, error and validity (T,) of one channel."""
    good = observation.valid[:, pixels]
    share = weight[pixels] / weight[pixels].sum()
    flux, own = np.where(good, observation.flux[:, pixels], 0.0), level[pixels].copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        present = good @ share
        for _ in range(LEVEL_ROUNDS):
            mean = (flux / own) @ share / present
            # as often in as out of transit or not: a level is what a pixel has of the others' light
            own = np.nanmedian(np.where(good, observation.flux[:, pixels], np.nan) / mean[:, None], axis=0)
        mean = (flux / own) @ share / present
        error = np.where(good, observation.flux_err[:, pixels], 0.0) / own
        error = np.sqrt(error**2 @ share**2) / present
    unit = float(own @ share)
    valid = present >= FEWEST_WEIGHT
    return np.where(valid, mean * unit, np.nan), np.where(valid, error * unit, np.nan), valid


def bin_times(observation: Observation, most: int = 800) -> Observation:
    """At most ``most`` times, each the mean of neighbouring exposures; the same observation where it has no more.

    A bin's ``exposure`` is the span of its exposures, its time the mean of theirs. Stretches are binned by themselves:
    between gaps (a step of over GAP of its neighbours', a time without any good point) and of exposures of one length.
    Where there are more than ``most`` of these, there are as many bins. A point is valid where FEWEST_EXPOSURES of its
    exposures are.
    """
    if most < 1:
        raise ObservationError(f"{observation.name}: most: expected at least 1 time, found {most}")
    if len(observation.time) <= most:
        return observation
    dark: Flags = ~np.asarray(observation.valid.any(1))
    light = observation.at(~dark)
    starts = _stretches(light, np.flatnonzero(~dark))
    first = _starts(starts, len(light.time), most)
    size = np.diff(np.r_[first, len(light.time)])
    if (size == 1).all() and not dark.any():
        return observation
    binned = _binned(light, first, size)
    notes = [
        f"{len(observation.time):,} times binned to {len(first):,} of {size.min()} to {size.max()} exposures in "
        f"{len(starts):,} {'stretch' if len(starts) == 1 else 'stretches'} between gaps"
    ]
    if dark.any():
        notes.append(f"{int(dark.sum()):,} times without a good point left out")
    return replace(binned, notes=(*observation.notes, *notes))


def _stretches(light: Observation, place: Places) -> Places:
    """First places of stretches without a gap or another cadence; ``place`` (T,) of the times among dark ones too."""
    step, exposure = np.diff(light.time), light.exposure
    usual = np.full(len(step), np.median(step))
    if len(step) > NEIGHBOURS:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(step, NEIGHBOURS, mode="reflect"), 2 * NEIGHBOURS + 1)
        usual = np.median(windows, axis=1)
    other = np.maximum(exposure[1:], exposure[:-1]) > GAP * np.minimum(exposure[1:], exposure[:-1])
    return np.r_[0, np.flatnonzero((step > GAP * usual) | (np.diff(place) > 1) | other) + 1]


def _starts(starts: Places, size: int, most: int) -> Places:
    """First places of bins: the fewest exposures a bin that make at most ``most``, as even as a stretch allows."""
    lengths = np.diff(np.r_[starts, size])
    most = max(most, len(lengths))
    low, high = 1, int(lengths.max())
    while low < high:
        middle = (low + high) // 2
        if np.ceil(lengths / middle).sum() <= most:
            high = middle
        else:
            low = middle + 1
    bins = np.ceil(lengths / low).astype(int)
    parts = [start + np.arange(n) * length // n for start, length, n in zip(starts, lengths, bins, strict=True)]
    return np.concatenate(parts)


def _binned(observation: Observation, first: Places, size: Places) -> Observation:
    """Means over the bins that begin at ``first`` (B,)."""
    valid = observation.valid

    def total(values: Array) -> Array:
        return np.add.reduceat(values, first, axis=0)

    good = total(valid.astype(np.float64))
    enough = good >= FEWEST_EXPOSURES * size[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        flux = total(np.where(valid, observation.flux, 0.0)) / good
        error = np.sqrt(total(np.where(valid, observation.flux_err, 0.0) ** 2)) / good
    last = first + size - 1
    end = observation.time[last] + observation.exposure[last] / 2
    begin = observation.time[first] - observation.exposure[first] / 2
    return replace(
        observation,
        time=total(observation.time) / size,
        flux=np.where(enough, flux, np.nan),
        flux_err=np.where(enough, error, np.nan),
        valid=enough,
        exposure=end - begin,
        regressors={name: total(column) / size for name, column in observation.regressors.items()},
    )
