"""Calibrated exposures of one instrument as arrays to keep, for those who start from frames instead of light curves.

Exposures are kept as float16 about their mean in time: a pixel of 30,000 e- moves by some hundred, which float16 rounds
by 0.1 e- where the noise is 170; as it is, it would be rounded by 5 e-, and none above 65,504 could be kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_dataset.raw.layouts import AIRS, RawVisit
from hf_dataset.reduction import extraction
from hf_dataset.reduction.calibration import Pixel
from hf_dataset.reduction.exposures import Exposures, airs_columns
from hf_dataset.reduction.options import ReductionOptions

Array = NDArray[Any]
FILLED, UNUSABLE, UNREAD = 16, 32, 64  # flags beside those of `Pixel`
SEAMS = (1,)  # channels of the dataset with which another detector begins
_CHUNK = 64  # exposures rounded at a time


def frames_to_keep(
    visit: RawVisit, exposures: Exposures, centroid: NDArray[np.float64], options: ReductionOptions
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays of `exposures`, and what they are: docs/dataset.md names them all.

    `centroid` (exposure, 2) [px] is what the extraction made of them. A pixel that was not read is 0 and masked.
    """
    e, flags = exposures, exposures.flags.copy()
    for kind, where in ((FILLED, e.filled), (UNUSABLE, e.read & ~e.usable), (UNREAD, ~e.read)):
        flags[where] |= np.uint8(kind)
    stamps = visit.times(e.instrument)[: 2 * len(e.cube)]
    mean = np.where(e.read, e.mean, 0.0).astype(np.float32)
    arrays: dict[str, Array] = {
        "deviation": _deviation(e.cube, mean),
        "mean": mean,
        "variance": e.variance.astype(np.float32),
        "mask": ~e.usable,
        "flags": flags,
        "lost": np.stack(e.lost, axis=1).astype(np.int32),
        "time": stamps.reshape(-1, 2).mean(axis=1),
        "centroid": centroid.astype(np.float32),
        "column": e.columns.astype(np.int32),
    }
    facts: dict[str, Any] = {
        "planet_id": visit.planet_id,
        "visit": visit.visit,
        "split": visit.split,
        "layout": visit.folder.origin(visit.split, visit.planet_id),
        "instrument": e.instrument,
        "seams": list(SEAMS),
        "flags": {str(kind.name).lower(): int(kind) for kind in Pixel}
        | {"filled": FILLED, "unusable": UNUSABLE, "unread": UNREAD},
        "options": options.to_dict(),
        "steps": e.log.entries,
    }
    return (arrays | _trace(visit, e, options, facts)), facts


def _deviation(cube: Array, mean: Array) -> Array:
    """Exposures (exposure, row, column) about their mean as float16; what is off by more than it holds was hit."""
    limit = float(np.finfo(np.float16).max)
    found = np.empty(cube.shape, np.float16)
    for first in range(0, len(cube), _CHUNK):
        part = slice(first, first + _CHUNK)
        found[part] = np.clip(cube[part] - mean, -limit, limit)
    return found


def _trace(visit: RawVisit, e: Exposures, options: ReductionOptions, facts: dict[str, Any]) -> dict[str, Array]:
    """Where the light is and what is under it; the scalars of it are added to `facts`."""
    rows, columns = e.mean.shape
    plain = e.usable & ~e.filled
    if e.instrument != AIRS:
        centre = extraction.centre_of_light(e.mean, e.usable)
        distance = extraction.distance_from_point(centre, (rows, columns))
        under = extraction.foreground_of_point(
            e.mean, plain, distance, kind=options.foreground, annulus=options.fgs1_annulus
        )
        facts |= {"centre_px": list(centre), "aperture_px": options.fgs1_radius}
        return {"foreground": np.full(columns, under, np.float32)}
    trace = extraction.trace_centre(e.mean, e.usable | ~e.read)
    distance = extraction.distance_from_trace(trace, rows)
    level = extraction.foreground(e.mean, plain, distance, kind=options.foreground, inner=options.foreground_inner)
    channel = np.full(columns, -1, np.int32)
    at = airs_columns(visit) - e.columns[0]
    channel[at] = np.arange(1, len(at) + 1)
    wavelength = visit.folder.airs_wavelengths[e.columns]
    slit = np.flatnonzero((distance <= options.airs_half_width).any(axis=1))
    facts |= {
        "slit_px": [int(slit[0]), int(slit[-1])],
        "aperture_px": options.airs_half_width,
        "dispersion_um_per_px": float(np.median(np.gradient(wavelength))),
    }
    return {
        "foreground": level.astype(np.float32),
        "trace": trace.astype(np.float32),
        "wavelength": wavelength.astype(np.float32),
        "channel": channel,
    }
