"""Raw frames of one instrument → a cube of calibrated exposures of the pixels that are needed.

Blocks of a few pixels' time series are decoded, calibrated while they are in the processor's cache (`kernel`, which is
held to the plain steps of `calibration` and `light_curves`) and forgotten; several threads may do so at a time. The
noise model is the plain steps run once on the mean start and end frames: weights and errors then don't follow the noise
of single exposures.
"""

from __future__ import annotations

import math
import mmap
import queue
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_dataset.raw.layouts import FGS1, CalibrationFrames, RawDataError, RawVisit
from hf_dataset.reduction import calibration, extraction, pixels
from hf_dataset.reduction.calibration import FillWeights, Pixel, Readout, StepLog
from hf_dataset.reduction.options import ReductionError, ReductionOptions

Array = NDArray[Any]
BLOCK_SAMPLES = 1_200_000  # raw samples decoded and calibrated at a time: few enough to stay in the processor's cache
NOISE_PAIRS = 256  # exposures averaged for the noise model: 6 % of one exposure's noise


@dataclass
class Exposures:
    """Calibrated exposures of one instrument: detector columns `columns`, and of these the pixels `read`.

    cube (exposure, row, column) [e-], 0 where not read; variance (row, column) of one exposure [e-²]; flags (row,
    column) of `Pixel`; read, usable and filled (row, column), and what was filled from what; lost, the (exposure, row,
    column) indices of samples hit or saturated; mean (row, column) [e-].
    """

    instrument: str
    columns: NDArray[np.intp]
    cube: Array
    variance: NDArray[np.float64]
    flags: NDArray[np.uint8]
    read: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    fill_weights: FillWeights
    lost: tuple[NDArray[np.intp], ...]
    mean: NDArray[np.float64]
    log: StepLog

    @property
    def n_samples(self) -> int:
        """Samples read: pixels × exposures."""
        return int(self.read.sum()) * self.cube.shape[0]


def airs_columns(visit: RawVisit) -> NDArray[np.intp]:
    """(282,) detector column of each AIRS channel, in ascending wavelength."""
    try:
        return extraction.match_channels(visit.folder.airs_wavelengths, visit.folder.wavelengths[1:])
    except ValueError as error:
        raise RawDataError(f"{visit.folder.root}: axis_info.parquet and wavelengths.csv: {error}") from error


def used_columns(visit: RawVisit, instrument: str, options: ReductionOptions) -> NDArray[np.intp]:
    """Detector columns of which pixels may be read: those of the channels, and the margin that bad-pixel fill needs."""
    n_columns = visit.shape(instrument)[1]
    if instrument == FGS1:
        return np.arange(n_columns)
    channels = airs_columns(visit)
    if n_columns != (expected := visit.folder.airs_wavelengths.size):
        raise RawDataError(
            f"{visit.calibration_file(instrument, 'dark')} of {visit.name}: expected the {expected} columns of "
            f"axis_info.parquet, found {n_columns}"
        )
    first = max(int(channels.min()) - options.fill_reach, 0)
    return np.arange(first, min(int(channels.max()) + options.fill_reach + 1, n_columns))


def calibrate_visit(visit: RawVisit, instrument: str, options: ReductionOptions, threads: int = 1) -> Exposures:
    """Decode and calibrate the pixels of one instrument that a row needs (`pixels`); the same for any `threads`."""
    log, began = StepLog(), time.perf_counter()
    columns = used_columns(visit, instrument, options)
    n_frames = _even_frames(visit, instrument, options)
    everything = visit.calibration(instrument)
    start_s, end_s = visit.integration(instrument)
    flags = calibration.find_bad_pixels(
        everything, options.hot_sigma, options.min_flat, options.hot_noise, end_s - start_s
    )[:, columns]
    _refuse_if_too_bad(flags, visit, instrument, options)
    gain, offset = visit.adc(instrument)
    readout = Readout(gain, offset, (start_s, end_s), options.adc, options.saturation)
    frames = everything.window(slice(None), slice(int(columns[0]), int(columns[-1]) + 1))
    stream = _Stream(visit, instrument, options, everything.shape[1], columns, frames, readout, flags, n_frames, log)
    log.add_seconds("calibration_frames", began)

    shape = (flags.shape[0], flags.shape[1])
    wanted = pixels.Wanted(pixels.first_look(instrument, shape, options), np.ones(shape, bool))
    while (new := wanted.read & ~stream.read).any():
        stream.add(new, threads)
        wanted = pixels.wanted(instrument, stream.mean, stream.read, bad_pixels(flags, options), options)
    _refuse_if_too_bad(flags, visit, instrument, options)
    return _finish(stream, wanted.light)


def bad_pixels(flags: NDArray[np.uint8], options: ReductionOptions) -> NDArray[np.bool_]:
    """True for the pixels that are not used as measured."""
    return (flags & ~np.uint8(Pixel.HOT) if options.hot_pixels == "use" else flags) != 0


def steps_of(options: ReductionOptions) -> dict[str, bool]:
    """The optional steps of `calibration.chain`."""
    return {"linearity": options.linearity, "dark": options.dark, "flat": options.flat}


def _refuse_if_too_bad(flags: NDArray[np.uint8], visit: RawVisit, instrument: str, options: ReductionOptions) -> None:
    if (fraction := float(bad_pixels(flags, options).mean())) > options.max_bad_pixels:
        kinds = ", ".join(f"{kind.name} {((flags & kind) != 0).mean():.1%}".lower() for kind in Pixel)
        raise ReductionError(
            f"{visit.calibration_file(instrument, 'dead').parent} of {visit.name} {instrument}: expected at most "
            f"{options.max_bad_pixels:.1%} of the pixels to be dead, hot, saturated or without usable calibration, "
            f"found {fraction:.1%} ({kinds})"
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


# --- streaming -----------------------------------------------------------------------------------------------------


class _Block(NamedTuple):
    """What a block gives besides its exposures: lost samples (n, 2), often saturated pixels, seconds of two steps."""

    lost: NDArray[np.intp]
    saturated: NDArray[np.intp]
    seconds: tuple[float, float]


@dataclass
class _Stream:
    """The pixels of one instrument as they are read: (row, column) of the columns `columns` of a detector of `width`.

    series (pixel, exposure) [e-], pixels row by row; mean [e-] and pair (2, row, column), the mean start and end frame
    [counts], of the pixels `read`; lost, (n, 2) pixel and exposure of samples hit or saturated, a block of them each.
    """

    visit: RawVisit
    instrument: str
    options: ReductionOptions
    width: int
    columns: NDArray[np.intp]
    frames: CalibrationFrames
    readout: Readout
    flags: NDArray[np.uint8]
    n_frames: int
    log: StepLog
    lost: list[NDArray[np.intp]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.flags.shape
        self.series = zero_pages((self.flags.size, self.n_frames // 2), np.dtype(self.options.dtype))
        self.read, self.mean, self.pair = np.zeros(shape, bool), np.zeros(shape), np.zeros((2, *shape))
        self.constants = kernel_constants(self.frames, bad_pixels(self.flags, self.options), self.readout, self.options)

    def add(self, new: NDArray[np.bool_], threads: int) -> None:
        """Read and calibrate the pixels `new` (row, column), a block a thread at a time."""
        chosen = np.flatnonzero(new)
        size = max(1, BLOCK_SAMPLES // self.n_frames)
        blocks = [chosen[first : first + size] for first in range(0, chosen.size, size)]
        for block in self._work(blocks, threads):
            self.lost.append(block.lost)
            self.flags.flat[block.saturated] |= np.uint8(Pixel.SATURATED)
            for step, seconds in zip(("decode", "calibrate"), block.seconds, strict=True):
                self.log.seconds[step] = self.log.seconds.get(step, 0.0) + seconds
        self.read |= new

    def _work(self, blocks: list[NDArray[np.intp]], threads: int) -> Iterable[_Block]:
        """Results of the blocks, in order; every thread has files of its own."""
        if threads == 1:
            return [self._calibrate(self.visit, block) for block in blocks]
        visits: queue.SimpleQueue[RawVisit] = queue.SimpleQueue()
        copies = [self.visit, *(self.visit.reopened() for _ in range(threads - 1))]
        for copy in copies:
            visits.put(copy)

        def work(block: NDArray[np.intp]) -> _Block:
            visit = visits.get()
            try:
                return self._calibrate(visit, block)
            finally:
                visits.put(visit)

        try:
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(work, blocks))
        finally:
            for copy in copies[1:]:
                copy.close()

    def _calibrate(self, visit: RawVisit, block: NDArray[np.intp]) -> _Block:
        """Decode the pixels `block` and fill in their series, mean and pair."""
        from hf_dataset.reduction import kernel  # imported here: numba takes 60 MB that only a reduction needs

        began = time.perf_counter()
        rows, columns = np.unravel_index(block, self.flags.shape)
        counts = visit.read_series(self.instrument, rows * self.width + self.columns[columns])
        counts = np.ascontiguousarray(counts[:, : self.n_frames])
        decoded = time.perf_counter()
        pair = mean_pair(counts)
        self.pair.reshape(2, -1)[:, block] = pair
        noise = least_noise(pair, self.frames.read[rows, columns], self.readout)
        bad = bad_pixels(self.flags.flat[block], self.options)
        lost, often = kernel.calibrate_series(
            counts,
            block,
            *self.constants.readout,
            *(values[block] for values in self.constants.pixels),
            noise,
            bad,
            self.options.hit_threshold,
            self.series,
            self.mean.reshape(-1),
        )
        return _Block(lost, block[often], (decoded - began, time.perf_counter() - decoded))


def zero_pages(shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Zeros that take memory only once written; `np.zeros` uses huge pages, few of which stay untouched."""
    return np.frombuffer(mmap.mmap(-1, math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


class KernelConstants(NamedTuple):
    """The kernel's calibration arguments: scale, shift, saturation; (pixel, …) linearity, dark charge, 1 / flat."""

    readout: tuple[Any, Any, Any]
    pixels: tuple[Array, Array, Array]


def kernel_constants(
    frames: CalibrationFrames, bad: NDArray[np.bool_], readout: Readout, options: ReductionOptions
) -> KernelConstants:
    """Arguments of the steps of `calibration.chain`; those of a step left out are neutral and change no bit."""
    dtype, size = np.dtype(options.dtype), bad.size
    steps = {name: given for name, _, given, _ in calibration.chain(frames, bad, readout, 2, **steps_of(options))}
    scale, shift = calibration.adc_scale(readout.gain, readout.offset, readout.adc)
    linearity, charge, inverse = np.zeros((size, 6), dtype), np.zeros((size, 2), dtype), np.ones(size, dtype)
    linearity[:, 1] = 1.0
    if options.linearity:
        linearity[:] = steps["linearity"]["coefficients"].reshape(6, size).T
    if options.dark:
        charge[:] = calibration.dark_charge(**steps["dark"], dtype=dtype).reshape(2, size).T
    if options.flat:
        inverse[:] = calibration.inverse_flat(steps["flat"]["flat"], dtype).ravel()
    scalars = (dtype.type(scale), dtype.type(shift), dtype.type(readout.saturation_electrons))
    return KernelConstants(scalars, (linearity, charge, inverse))


def mean_pair(counts: Array) -> NDArray[np.float64]:
    """(2, pixel) mean start and end frame [counts] of counts (pixel, frame), from exposures spread over the visit."""
    stride = 2 * max(1, counts.shape[1] // 2 // NOISE_PAIRS)
    return np.stack([counts[:, k::stride].mean(axis=1, dtype=np.float64) for k in (0, 1)])


def least_noise(pair: Array, read: Array, readout: Readout) -> NDArray[np.float64]:
    """(pixel,) [e-] photon and read noise of an exposure, from the mean start and end frame [counts]; rough."""
    photons = (pair[1] - pair[0]) * calibration.adc_scale(readout.gain, readout.offset, readout.adc)[0]
    return np.sqrt(2.0 * np.where(np.isfinite(read), read, 0.0) ** 2 + np.maximum(photons, 0.0))


# --- noise and bad pixels ------------------------------------------------------------------------------------------


def _variance(stream: _Stream) -> NDArray[np.float64]:
    """(row, column) [e-²] of one exposure of the pixels read: the plain steps on the mean start and end frame."""
    at, all_frames = stream.read, stream.frames
    frames = CalibrationFrames(
        dark=all_frames.dark[at][None],
        dead=all_frames.dead[at][None],
        flat=all_frames.flat[at][None],
        read=all_frames.read[at][None],
        linear_corr=all_frames.linear_corr[:, at][:, None],
    )
    model = calibration.calibrate(
        stream.pair[:, at][:, None],
        frames,
        bad_pixels(stream.flags, stream.options)[at][None],
        stream.readout,
        log=stream.log,
        dtype=np.dtype(np.float64),
        **steps_of(stream.options),
    )
    variance = np.zeros(at.shape)
    variance[at] = np.asarray(model.variance)[0, 0]
    return variance


def _finish(stream: _Stream, light: NDArray[np.bool_]) -> Exposures:
    """Fill the bad pixels near the light, (row, column) `light`, and put the parts together."""
    options, flags, shape, log = stream.options, stream.flags, stream.flags.shape, stream.log
    variance, bad, mean = _variance(stream), bad_pixels(flags, options), stream.mean
    since = time.perf_counter()
    lost = np.concatenate(stream.lost)
    lost = lost[np.lexsort(lost.T)]  # by exposure, whatever was read first
    cube = stream.series.reshape(*shape, -1).transpose(2, 0, 1)
    n_samples = int(stream.read.sum()) * cube.shape[0]
    found = {"samples": len(lost), "fraction": len(lost) / n_samples}
    log.add("hits", {"threshold": options.hit_threshold}, None, found)
    # every bad pixel is filled, so that none is another's source; those to be left out are masked again below
    weights = calibration.fill_weights(mean, bad, options.fill_reach, light)
    _, filled_variance, mask = calibration.fill_bad_pixels(
        cube, variance[None], np.zeros((1, *shape), bool), bad=bad, weights=weights, out=cube
    )
    to_fill = bad & ((flags & np.uint8(Pixel.HOT)) == 0) if options.hot_pixels == "mask" else bad
    usable = stream.read & ~(mask[0] | (bad & ~to_fill))
    for row, column, _ in weights:
        mean[row, column] = cube[:, row, column].mean(dtype=np.float64)
    kinds = {str(kind.name).lower(): int(((flags & kind) != 0).sum()) for kind in Pixel}
    after = {"filled": int((bad & usable).sum()), "left_masked": int((stream.read & light & ~usable).sum())}
    params = {"reach": options.fill_reach, "hot_pixels": options.hot_pixels}
    log.add("fill", params, {"pixels_read": int(stream.read.sum()), "bad_pixels": int(bad.sum()), **kinds}, after)
    log.add_seconds("fill", since)
    return Exposures(
        instrument=stream.instrument,
        columns=stream.columns,
        cube=cube,
        variance=np.asarray(filled_variance)[0],
        flags=flags,
        read=stream.read,
        usable=usable,
        filled=bad & usable,
        fill_weights=weights,
        lost=(lost[:, 1], *np.unravel_index(lost[:, 0], shape)),
        mean=mean,
        log=log,
    )
