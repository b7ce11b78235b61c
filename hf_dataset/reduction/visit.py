"""One visit, from raw frames to a row of the dataset: calibrated exposures, extracted, binned.

Instruments come one after the other, so that only one cube of exposures is in memory.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dataset.raw.layouts import AIRS, FGS1, INSTRUMENTS, RawVisit
from hf_dataset.reduction import calibration, extraction, light_curves
from hf_dataset.reduction.calibration import Pixel, StepLog
from hf_dataset.reduction.exposures import Exposures, airs_columns, calibrate_visit
from hf_dataset.reduction.extraction import Sums
from hf_dataset.reduction.options import ReductionError, ReductionOptions
from hf_dataset.reduction.quality import exposure_figures, light_curve_figures
from hf_dataset.schema import STAR_COLUMNS

logger = logging.getLogger(__name__)

Array = NDArray[Any]
MIN_LIGHT_SIGMA = 10.0  # of the mean exposure, all channels together or one alone, below which there is no star
LIGHT_RANGE = (0.5, 1.5)  # of the median exposure's light: outside is no transit, but frames lost, swapped or garbage


@dataclass
class Series:
    """Extracted time series of one instrument: sums (exposure, channel), good alike, centroid (exposure, 2) [px]."""

    sums: Sums
    good: NDArray[np.bool_]
    centroid: NDArray[np.float64]
    quality: dict[str, Any] = field(default_factory=dict)


# --- extraction ----------------------------------------------------------------------------------------------------


def extract_airs(exposures: Exposures, channels: NDArray[np.intp], options: ReductionOptions) -> Series:
    """AIRS-CH0 fluxes of the detector columns `channels`, with centroids (row, dispersion shift)."""
    e, since = exposures, time.perf_counter()
    centre = extraction.trace_centre(e.mean, e.usable | ~e.read)
    distance = extraction.distance_from_trace(centre, e.mean.shape[0])
    inside = extraction.aperture(distance, options.airs_half_width)
    level = extraction.foreground(
        e.mean, e.usable & ~e.filled, distance, kind=options.foreground, inner=options.foreground_inner
    )
    profile = extraction.spatial_profile(e.mean, level, inside)
    weights = extraction.sum_weights(options.extraction, inside, e.usable, profile, e.variance)
    sums = extraction.extract(e.cube, weights, e.variance, level)
    row = extraction.centroids(e.cube, inside * e.usable, level, centre)
    shift = extraction.dispersion_shift(sums.flux, sums.variance)
    e.log.add_seconds("extraction", since)
    at = channels - e.columns[0]
    sums = Sums(sums.flux[:, at], sums.variance[at])
    quality = {
        "foreground_e_per_px": float(np.median(level)),
        "foreground_over_flux": _median_ratio(level[at] * weights[:, at].sum(axis=0), np.mean(sums.flux, axis=0)),
        "trace_row_px": [float(centre[0]), float(centre[-1])],
    }
    bad_share = (inside * profile * (e.filled | ~e.usable)).sum(axis=0)[at]
    return _series(e, sums, weights[:, at], at, bad_share, np.stack([row, shift], axis=1), quality, options)


def extract_fgs1(exposures: Exposures, options: ReductionOptions) -> Series:
    """FGS1 flux in a circular aperture, one channel, with centroids (row, column)."""
    e, since = exposures, time.perf_counter()
    centre = extraction.centre_of_light(e.mean, e.usable)
    distance = extraction.distance_from_point(centre, (e.mean.shape[0], e.mean.shape[1]))
    inside = extraction.aperture(distance, options.fgs1_radius)
    level = extraction.foreground_of_point(
        e.mean, e.usable & ~e.filled, distance, kind=options.foreground, annulus=options.fgs1_annulus
    )
    profile = extraction.spatial_profile(e.mean, level, inside, axis=None)
    weights = extraction.sum_weights(options.fgs1_extraction, inside, e.usable, profile, e.variance, axis=None)
    sums = extraction.extract_point(e.cube, weights, e.variance, level)
    plain = extraction.sum_weights("plain", inside, e.usable, profile, e.variance, axis=None)
    # refused here where there is no star: a profile of noise finds one in it
    _exposures_off(extraction.extract_point(e.cube, plain, e.variance, level).flux)
    # a pixel filled from others in the same sum has their noise, not its own
    measured = calibration.unfilled_weights(np.where(e.usable, weights, 0.0), e.fill_weights)
    sums = Sums(sums.flux, np.array([(measured**2 * np.where(measured != 0, e.variance, 0.0)).sum()]))
    centroid = extraction.centroid_of_point(e.cube, inside * e.usable, level, centre)
    e.log.add_seconds("extraction", since)
    quality = {
        "foreground_e_per_px": level,
        "foreground_over_flux": _median_ratio(np.array([level * weights.sum()]), np.mean(sums.flux, axis=0)),
        "centre_px": [centre[0], centre[1]],
    }
    bad_share = np.array([(inside * profile * (e.filled | ~e.usable)).sum()])
    return _series(e, sums, weights, None, bad_share, centroid, quality, options)


def _series(
    e: Exposures,
    sums: Sums,
    weights: Array,
    at: NDArray[np.intp] | None,
    bad_share: Array,
    centroid: NDArray[np.float64],
    quality: dict[str, Any],
    options: ReductionOptions,
) -> Series:
    """Flag the exposures of each channel that lost a sample of its sum, and channels made mostly of filled pixels.

    `weights` is (row, column) of the channels only; `at` their columns in the cube, None where one channel is the whole
    frame.
    """
    light, noise = sums.flux.mean(axis=0, dtype=np.float64), np.sqrt(sums.variance / sums.flux.shape[0])
    if not light.sum() > MIN_LIGHT_SIGMA * (error := float(np.sqrt((noise**2).sum()))):
        raise ValueError(f"expected a source in the aperture, found {light.sum():.3g} ± {error:.2g} e- per exposure")
    off = _exposures_off(sums.flux)
    good = np.isfinite(sums.flux) & (light > MIN_LIGHT_SIGMA * noise) & ~off[:, None]
    centroid = np.where(off[:, None], np.median(centroid[~off], axis=0), centroid)
    when, row, column = e.lost
    if at is None:
        inside = weights[row, column] > 0
        good[when[inside], 0] = False
    else:
        channel = np.full(e.mean.shape[1], -1)
        channel[at] = np.arange(at.size)
        channel = channel[column]
        inside = (channel >= 0) & (weights[row, np.maximum(channel, 0)] > 0)
        good[when[inside], channel[inside]] = False
    lost = 1.0 - good.mean()
    if at is None and options.fgs1_dejitter:
        flux, answer = extraction.remove_jitter(sums.flux[:, 0], centroid, good[:, 0])
        sums, quality["jitter_response_per_px"] = Sums(flux[:, None], sums.variance), answer[:2].tolist()
    if options.hit_threshold > 0:
        good &= ~light_curves.find_hits(sums.flux, options.hit_threshold, np.sqrt(sums.variance))
    good &= bad_share <= options.max_filled
    if options.last_exposure == "drop":
        good[-1] = False
    quality |= {
        "bad_pixel_fraction": float((e.flags != 0).mean()),
        "hit_samples": int(e.lost[0].size),
        "lost_to_pixel_hits": float(lost),
        "exposures_lost": float(1.0 - good.mean()),
        "channels_mostly_filled": int((bad_share > options.max_filled).sum()),
        "jitter_rms_px": [float(value) for value in centroid.std(axis=0)],
    }
    airs = {"extraction": options.extraction, "half_width_px": options.airs_half_width}
    fgs1 = {"extraction": options.fgs1_extraction, "radius_px": options.fgs1_radius}
    e.log.add("extraction", {"foreground": options.foreground, **(fgs1 if at is None else airs)}, None, quality)
    saturated = (e.flags & Pixel.SATURATED) != 0
    figures = exposure_figures(sums.flux, sums.variance, bad_share, e.lost[0].size, e.n_samples, saturated)
    return Series(sums, good, centroid, quality | figures)  # the figures are not logged: rows do not hang on them


def _exposures_off(flux: Array) -> NDArray[np.bool_]:
    """(exposure,) True where the light of all channels is not that of a star with a transit."""
    total = flux.sum(axis=1, dtype=np.float64)
    relative = total / np.median(total) if np.median(total) > 0 else np.zeros_like(total)
    off = ~((relative > LIGHT_RANGE[0]) & (relative < LIGHT_RANGE[1]))
    if 2 * off.sum() > off.size:
        raise ValueError(
            f"expected most exposures within {LIGHT_RANGE[0]:g} to {LIGHT_RANGE[1]:g} of their median light, found "
            f"{off.sum()} of {off.size} outside"
        )
    return off


def _median_ratio(part: Array, whole: Array) -> float:
    positive = whole > 0
    return float(np.median(part[positive] / whole[positive])) if positive.any() else 0.0


# --- the row -------------------------------------------------------------------------------------------------------


def reduce_visit(
    visit: RawVisit,
    options: ReductionOptions | None = None,
    threads: int = 1,
    keep: Callable[[Exposures, Series], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row of the dataset (hf_dataset/schema.py) and a report: seconds per step and quality figures, JSON-able.

    The row is the same for any number of `threads`; the seconds are added up over them. `keep` is shown the exposures
    of each instrument and what was extracted, while they are in memory.
    Raises RawDataError or ReductionError, naming file, planet and what was found, where the visit gives no sound row.
    """
    options = options or ReductionOptions()
    began = time.perf_counter()
    target = {
        **visit.folder.star(visit.split, visit.planet_id),
        "spectrum": visit.folder.truth(visit.split, visit.planet_id),
    }
    series: dict[str, Series] = {}
    logs: dict[str, StepLog] = {}
    try:
        times = {name: visit.times(name) for name in INSTRUMENTS}  # opens both files: a broken one fails at once
        for instrument in INSTRUMENTS:
            exposures = calibrate_visit(visit, instrument, options, threads)
            try:
                if instrument == AIRS:
                    series[instrument] = extract_airs(exposures, airs_columns(visit), options)
                else:
                    series[instrument] = extract_fgs1(exposures, options)
            except ValueError as error:
                raise ReductionError(f"{visit.name} {instrument}: {error}") from error
            logs[instrument] = exposures.log
            if keep is not None:
                keep(exposures, series[instrument])
            del exposures  # the cube
        row, noise = _row(visit, options, series, times, logs, target)
    finally:
        visit.close()
    report = {
        "planet_id": visit.planet_id,
        "visit": visit.visit,
        "split": visit.split,
        "seconds": {"total": time.perf_counter() - began, **{name: log.seconds for name, log in logs.items()}},
        "quality": {name: {**one.quality, **noise[name]} for name, one in series.items()},
        "valid_fraction": float(row["valid"].mean()),
    }
    logger.debug("%s: %s", visit.name, json.dumps(report))
    return row, report


def _row(
    visit: RawVisit,
    options: ReductionOptions,
    series: dict[str, Series],
    stamps: dict[str, NDArray[np.float64]],
    logs: dict[str, StepLog],
    target: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, dict[str, float | None]]]:
    """Bin both instruments to the same time bins; the row, and each instrument's quality figures."""
    binned, times, centroids, noise = {}, {}, {}, {}
    for name, one in series.items():
        edges = light_curves.bin_edges(one.good.shape[0], options.n_bins)
        binned[name] = light_curves.bin_flux(
            one.sums.flux, one.sums.variance, one.good, edges, options.min_good_fraction
        )
        exposure = stamps[name][: 2 * one.good.shape[0]].reshape(-1, 2).mean(axis=1)
        times[name] = light_curves.bin_mean(exposure, edges)
        centroids[name] = light_curves.bin_mean(one.centroid, edges)
        noise[name] = light_curve_figures(times[name], *binned[name])
    start = float(stamps[AIRS][:2].mean())
    width = float(np.median(np.diff(times[AIRS]))) if options.n_bins > 1 else np.inf
    if (apart := float(np.abs(times[AIRS] - times[FGS1]).max())) > 0.5 * width:
        raise ReductionError(
            f"{visit.name}: expected AIRS-CH0 and FGS1 bins at the same times, found them {apart:.4f} h apart with "
            f"bins of {width:.4f} h"
        )
    parts = [binned[FGS1], binned[AIRS]]
    centroid = np.concatenate([centroids[FGS1], centroids[AIRS]], axis=1)
    valid = np.concatenate([part.valid for part in parts], axis=1)
    if not valid.any():
        raise ReductionError(f"{visit.name}: expected valid bins, found none with enough good data")
    story = {"options": options.to_dict(), "instruments": {name: log.entries for name, log in logs.items()}}
    row = {
        "planet_id": visit.planet_id,
        "visit": visit.visit,
        "layout": visit.folder.origin(visit.split, visit.planet_id),
        "time": (times[AIRS] - start).astype(np.float32),
        "flux": np.concatenate([part.flux for part in parts], axis=1).astype(np.float32),
        "flux_err": np.concatenate([part.flux_err for part in parts], axis=1).astype(np.float32),
        "valid": valid,
        "centroid": (centroid - np.median(centroid, axis=0)).astype(np.float32),
        "star": target["star"],
        **{name: target[name] for name in STAR_COLUMNS},
        "spectrum": None if target["spectrum"] is None else target["spectrum"].astype(np.float32),
        "calibration": json.dumps(story, separators=(",", ":")),
    }
    return row, noise
