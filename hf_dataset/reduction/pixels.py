"""Which pixels of a detector a reduction decodes: those near the light, and a sample of the foreground.

A row of the dataset needs the pixels in its apertures, and those that tell the foreground: of AIRS-CH0 a sample of
columns, because its level is smooth along them; of FGS1 the whole annulus, because the spot's wings have structure that
a sample does not average out (docs/performance.md). Where the light is, is not assumed: a sparse look over the whole
detector finds it, and what is read grows until it holds all that is needed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_dataset.raw.layouts import AIRS
from hf_dataset.reduction import extraction
from hf_dataset.reduction.calibration import fill_sources
from hf_dataset.reduction.options import ReductionOptions

Array = NDArray[Any]
Mask = NDArray[np.bool_]
EDGE = 25  # AIRS-CH0 columns at either end read whole: the foreground's running median has only half as many there
LATTICE = 3  # px between the FGS1 pixels of the first look, less than the width of its spot
MARGIN = 0.5  # px around the apertures: bad pixels, not filled yet, move the centre found here by less


class Wanted(NamedTuple):
    """Pixels (row, column) to read, and those of them near the light, where bad ones are to be filled."""

    read: Mask
    light: Mask


def first_look(instrument: str, shape: tuple[int, int], options: ReductionOptions) -> Mask:
    """(row, column) pixels spread over the detector: whole columns of AIRS-CH0, a lattice in FGS1."""
    if options.pixels == "all":
        return np.ones(shape, bool)
    look = np.zeros(shape, bool)
    if instrument == AIRS:
        look[:, options.foreground_stride // 2 :: options.foreground_stride] = True
        look[:, :EDGE] = look[:, -EDGE:] = True
    else:
        look[LATTICE // 2 :: LATTICE, LATTICE // 2 :: LATTICE] = True
    return look


def wanted(instrument: str, mean: Array, read: Mask, bad: Mask, options: ReductionOptions) -> Wanted:
    """What to read, given the mean exposure (row, column) [e-] of what is read; everything where it shows no light."""
    everything = np.ones(mean.shape, bool)
    if options.pixels == "all":
        return Wanted(everything, everything)
    light = np.where(read, mean, 0.0)  # what is not read is far from the light, or will be
    try:
        if instrument == AIRS:
            centre = extraction.trace_centre(light, ~bad | ~read)
            distance = extraction.distance_from_trace(centre, mean.shape[0])
            columns = first_look(AIRS, (mean.shape[0], mean.shape[1]), options)
            radius, foreground = options.airs_half_width, (distance >= options.foreground_inner) & columns
        else:
            point = extraction.centre_of_light(light, ~bad)
            distance = extraction.distance_from_point(point, (mean.shape[0], mean.shape[1]))
            inner, outer = options.fgs1_annulus
            radius, foreground = options.fgs1_radius, (distance >= inner) & (distance <= outer)
    except ValueError:
        return Wanted(everything, everything)
    near = distance < max(radius, extraction.CENTRE_HALF_WIDTH) + 0.5 + MARGIN
    needed = near | foreground
    for (row, _), sources in fill_sources(bad, options.fill_reach, near).items():
        needed[row, [column for column, _ in sources]] = True
    return Wanted(needed, near)
