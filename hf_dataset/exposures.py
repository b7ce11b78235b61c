"""Raw frames of one instrument → a cube of calibrated exposures, streamed by blocks of detector rows.

Memory is bounded by the cube (about 280 MB for FGS1 at full size): a block of rows is decoded, calibrated a few pixels
at a time (so that it stays in the processor's cache) and forgotten. The noise model is the same chain of steps,
run once on the mean start and end frames: weights and errors then don't follow the noise of single exposures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dataset import calibration, extraction, light_curves
from hf_dataset.calibration import FillWeights, Pixel, Readout, StepLog
from hf_dataset.raw import FGS1, RawDataError, RawVisit
from hf_dataset.reduction_options import ReductionError, ReductionOptions

Array = NDArray[Any]
BLOCK_SAMPLES = 200_000  # raw samples calibrated at a time: under 1 MB as float32, so that all steps run in cache
NOISE_PAIRS = 256  # exposures averaged for the noise model: 6 % of one exposure's noise


@dataclass
class Exposures:
    """Calibrated exposures of one instrument: the pixels rows × columns of its detector that are used.

    cube (exposure, row, column) [e-]; variance (row, column) of one exposure [e-²]; flags (row, column) of `Pixel`;
    usable and filled (row, column), and what was filled from what; lost, the (exposure, row, column) indices of samples
    hit or saturated; mean (row, column) [e-].
    """

    instrument: str
    columns: NDArray[np.intp]
    cube: Array
    variance: NDArray[np.float64]
    flags: NDArray[np.uint8]
    usable: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    fill_weights: FillWeights
    lost: tuple[NDArray[np.intp], ...]
    mean: NDArray[np.float64]
    log: StepLog


def airs_columns(visit: RawVisit) -> NDArray[np.intp]:
    """(282,) detector column of each AIRS channel, in ascending wavelength."""
    try:
        return extraction.match_channels(visit.folder.airs_wavelengths, visit.folder.wavelengths[1:])
    except ValueError as error:
        raise RawDataError(f"{visit.folder.root}: axis_info.parquet and wavelengths.csv: {error}") from error


def used_columns(visit: RawVisit, instrument: str, options: ReductionOptions, n_columns: int) -> NDArray[np.intp]:
    """Detector columns to decode: those of the channels, and the margin that bad-pixel fill needs."""
    if instrument == FGS1:
        return np.arange(n_columns)
    channels = airs_columns(visit)
    if channels.max() >= n_columns:
        raise RawDataError(f"{visit.signal_file(instrument)} of {visit.name}: expected {channels.max() + 1} columns "
                           f"of axis_info.parquet, found {n_columns}")  # fmt: skip
    first = max(int(channels.min()) - options.fill_reach, 0)
    return np.arange(first, min(int(channels.max()) + options.fill_reach + 1, n_columns))


def pixels_used(
    visit: RawVisit, instrument: str, options: ReductionOptions
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(rows, columns) of each block that `reduce_visit` decodes, in order."""
    n_rows, n_columns = visit.shape(instrument)
    columns = used_columns(visit, instrument, options, n_columns)
    step = options.rows_per_block
    return [(np.arange(row, min(row + step, n_rows)), columns) for row in range(0, n_rows, step)]


def calibrate_visit(visit: RawVisit, instrument: str, options: ReductionOptions) -> Exposures:
    """Decode and calibrate one instrument of a visit, a block of detector rows at a time."""
    log, began = StepLog(), time.perf_counter()
    blocks = pixels_used(visit, instrument, options)
    columns, n_rows = blocks[0][1], sum(len(rows) for rows, _ in blocks)
    n_frames = _even_frames(visit, instrument, options)
    everything = visit.calibration(instrument)
    start_s, end_s = visit.integration(instrument)
    flags = calibration.find_bad_pixels(
        everything, options.hot_sigma, options.min_flat, options.hot_noise, end_s - start_s
    )[:, columns]
    frames = everything.window(slice(0, n_rows), slice(int(columns[0]), int(columns[-1]) + 1))
    _refuse_if_too_bad(bad_pixels(flags, options), visit, instrument, options)
    gain, offset = visit.adc(instrument)
    readout = Readout(gain, offset, (start_s, end_s), options.adc, options.saturation)
    steps = {"linearity": options.linearity, "dark": options.dark, "flat": options.flat}
    log.add_seconds("calibration_frames", began)

    cube = np.empty((n_rows, len(columns), n_frames // 2), options.dtype).transpose(2, 0, 1)
    pair, noise, lost = np.empty((2, n_rows, len(columns))), np.empty((n_rows, len(columns))), []
    width = max(1, BLOCK_SAMPLES // n_frames)
    for rows, _ in blocks:
        since = time.perf_counter()
        counts = visit.read(instrument, rows, columns)[:n_frames]
        log.add_seconds("decode", since)
        pair[:, rows] = _mean_pair(counts)
        noise[rows] = _least_noise(pair[:, rows], everything.read[rows][:, columns], readout)
        for row, first in ((int(row), first) for row in rows for first in range(0, len(columns), width)):
            at = (slice(row, row + 1), slice(first, first + width))
            state = calibration.calibrate(
                counts[:, row - rows[0] : row - rows[0] + 1, at[1]],
                frames.window(*at),
                bad_pixels(flags[at], options),
                readout,
                log=log,
                log_values=False,
                noise=False,
                dtype=np.dtype(options.dtype),
                **steps,
            )
            since = time.perf_counter()
            lost.append(_reject(state, flags[at], noise[at], options) + np.array([[0], [row], [first]]))
            cube[:, at[0], at[1]] = state.data
            log.add_seconds("hits", since)
    bad = bad_pixels(flags, options)
    _refuse_if_too_bad(bad, visit, instrument, options)
    model = calibration.calibrate(pair, frames, bad, readout, log=log, dtype=np.dtype(np.float64), **steps)
    return _finish(instrument, columns, cube, model, flags, np.concatenate(lost, axis=1), options, log)


def bad_pixels(flags: NDArray[np.uint8], options: ReductionOptions) -> NDArray[np.bool_]:
    """True for the pixels that are not used as measured."""
    return (flags & ~np.uint8(Pixel.HOT) if options.hot_pixels == "use" else flags) != 0


def _refuse_if_too_bad(bad: NDArray[np.bool_], visit: RawVisit, instrument: str, options: ReductionOptions) -> None:
    if (fraction := float(bad.mean())) > options.max_bad_pixels:
        raise ReductionError(
            f"{visit.name} {instrument}: expected at most {options.max_bad_pixels:.1%} of the pixels to be dead, hot, "
            f"saturated or without finite calibration, found {fraction:.1%}"
        )


def _even_frames(visit: RawVisit, instrument: str, options: ReductionOptions) -> int:
    """Frames to use: whole exposures."""
    n = visit.n_frames(instrument)
    if n % 2 and options.last_exposure != "drop":
        raise ReductionError(
            f"{visit.signal_file(instrument)} of {visit.name}: expected an even number of frames (start, end of each "
            f"exposure), found {n}; last_exposure=drop leaves the last one out"
        )
    if n // 2 < options.n_bins:
        raise ReductionError(
            f"{visit.signal_file(instrument)} of {visit.name}: expected at least {options.n_bins} exposures for as "
            f"many bins, found {n // 2}"
        )
    return n - n % 2


def _mean_pair(counts: Array) -> NDArray[np.float64]:
    """(2, row, column) mean start and end frame [counts], of a subsample of the exposures spread over the visit."""
    stride = 2 * max(1, counts.shape[0] // 2 // NOISE_PAIRS)
    return np.stack([counts[k::stride].mean(axis=0, dtype=np.float64) for k in (0, 1)])


def _least_noise(pair: Array, read: Array, readout: Readout) -> NDArray[np.float64]:
    """(row, column) [e-] photon and read noise of an exposure, from the mean start and end frame [counts]; rough."""
    photons = (pair[1] - pair[0]) * (readout.gain if readout.adc == "multiply" else 1.0 / readout.gain)
    return np.sqrt(2.0 * np.nan_to_num(read) ** 2 + np.maximum(photons, 0.0))


def _reject(
    state: calibration.Frames, flags: NDArray[np.uint8], noise: Array, options: ReductionOptions
) -> NDArray[np.intp]:
    """(3, n) indices of samples hit or saturated; replaces them in `state`, flags pixels that saturate often."""
    bad = bad_pixels(flags, options)
    samples = np.zeros_like(state.data, dtype=bool) if state.mask.shape[0] == 1 else state.mask & ~bad
    if state.mask.shape[0] > 1:
        often = samples.mean(axis=0) > 0.01
        flags[often] |= np.uint8(Pixel.SATURATED)
        samples &= ~often
    if options.hit_threshold > 0:
        samples |= light_curves.find_hits(state.data, options.hit_threshold, noise) & ~bad
    lost = np.nonzero(samples)
    light_curves.replace_hits(state.data, lost)
    return np.stack(lost)


def _finish(
    instrument: str,
    columns: NDArray[np.intp],
    cube: Array,
    model: calibration.Frames,
    flags: NDArray[np.uint8],
    lost: NDArray[np.intp],
    options: ReductionOptions,
    log: StepLog,
) -> Exposures:
    """Fill the bad pixels of the cube, and put the parts together."""
    since = time.perf_counter()
    bad = bad_pixels(flags, options)
    to_fill = bad & ((flags & np.uint8(Pixel.HOT)) == 0) if options.hot_pixels == "mask" else bad
    mean = cube.mean(axis=0, dtype=cube.dtype).astype(np.float64)
    log.add(
        "hits",
        {"threshold": options.hit_threshold},
        None,
        {"samples": int(lost.shape[1]), "fraction": lost.shape[1] / cube.size},
    )
    before = {
        "bad_pixels": int(bad.sum()),
        **{str(kind.name).lower(): int(((flags & kind) != 0).sum()) for kind in Pixel},
    }
    # every bad pixel is filled, so that none is another's source; those to be left out are masked again below
    weights = calibration.fill_weights(mean, bad, options.fill_reach)
    _, variance, mask = calibration.fill_bad_pixels(
        cube,
        np.asarray(model.variance),
        np.zeros((1, *bad.shape), bool),
        bad=bad,
        weights=weights,
        out=cube,
    )
    usable = ~(mask[0] | (bad & ~to_fill))
    filled = bad & usable
    mean[bad] = cube[:, bad].mean(axis=0)
    log.add("fill", {"reach": options.fill_reach, "hot_pixels": options.hot_pixels}, before,
            {"filled": int(filled.sum()), "left_masked": int((~usable).sum())})  # fmt: skip
    log.add_seconds("fill", since)
    return Exposures(
        instrument=instrument,
        columns=columns,
        cube=cube,
        variance=np.asarray(variance)[0],
        flags=flags,
        usable=usable,
        filled=filled,
        fill_weights=weights,
        lost=tuple(lost),
        mean=mean,
        log=log,
    )
