"""Compiled steps for the millions of samples of a visit: counts → exposures with hits replaced, and weighted sums.

`calibrate_series` is `calibration.calibrate`, `light_curves.find_hits` and `light_curves.replace_hits` in one pass
over a pixel's time series, which stays in the processor's cache; the tests hold it to them, bit for bit (the mean to
rounding: it is summed in another order). Its operations are those of the plain steps in their order and precision:
nothing is reassociated or contracted (no fastmath), so that results don't depend on the processor.

Importing this module imports numba. Machine code is kept where numba can write it: NUMBA_CACHE_DIR, this folder's
__pycache__, or the user's cache folder; where it can't, each process compiles for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from hf_dataset.reduction.light_curves import MIN_EXPOSURES_FOR_HITS, SCATTER_SAMPLES

Array = NDArray[Any]
MAD_TO_SIGMA = 0.6744897501960817  # of a normal distribution's median absolute deviation
SCATTER = MAD_TO_SIGMA * np.sqrt(2.0)  # median absolute first difference over σ
SATURATED_OFTEN = 0.01  # fraction of a pixel's exposures from which it counts as bad, not its samples
CHUNK = 512  # samples searched for hits at a time
SUMMED = 2048  # exposures summed at a time: their sums stay in the processor's cache


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter's lock, and keep the machine code if there is a place for it."""
    try:
        return numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder that can be written
        return numba.njit(function, nogil=True, error_model="numpy")


@compiled
def expose(
    counts: Array, scale: Any, shift: Any, saturation: Any, c: Array, charge: Array, inverse: Any, out: Array
) -> int:
    """One pixel's counts (frame,) → out (exposure,) [e-]; the number of exposures with a saturated frame."""
    kind = type(scale)
    c0, c1, c2, c3, c4, c5 = c[0], c[1], c[2], c[3], c[4], c[5]
    saturated = 0
    for i in range(out.size):
        start = kind(counts[2 * i]) * scale + shift
        end = kind(counts[2 * i + 1]) * scale + shift
        saturated += (start >= saturation) | (end >= saturation)
        start = ((((start * c5 + c4) * start + c3) * start + c2) * start + c1) * start + c0
        end = ((((end * c5 + c4) * end + c3) * end + c2) * end + c1) * end + c0
        out[i] = ((end - charge[1]) - (start - charge[0])) * inverse
    return saturated


@compiled
def hit_limit(data: Array, threshold: float, noise: float) -> Any:
    """How far outside the range of its neighbours a sample of this series must be to be a hit; `find_hits`' limit."""
    stride = max(1, (data.size - 1) // SCATTER_SAMPLES)
    n = (data.size - 2) // stride + 1
    steps = np.empty(n, data.dtype)
    for i in range(n):
        steps[i] = abs(data[1 + i * stride] - data[i * stride])
    middle = np.partition(steps, n // 2)
    median = middle[n // 2]
    if n % 2 == 0:
        median = (middle[: n // 2].max() + median) / type(median)(2)
    return type(data[0])(threshold * max(median / SCATTER, noise))


@compiled
def is_hit(data: Array, t: int, limit: Any) -> bool:
    """Whether sample t lies outside the range of its neighbours in time by more than `limit`."""
    n = data.size
    first, last = (t - 2, t + 2) if 2 <= t < n - 2 else (t - 1, t + 1)
    if t == 0:
        first, last = 0, 4
    if t == n - 1:
        first, last = n - 5, n - 1
    lower, upper = np.inf, -np.inf
    for k in range(first, last + 1):
        if k != t:
            lower, upper = min(lower, data[k]), max(upper, data[k])
    return data[t] > type(limit)(upper) + limit or data[t] < type(limit)(lower) - limit


@compiled
def any_hit(data: Array, limit: Any) -> bool:
    """Whether any sample of a series is a hit, but for its first and last two, which only are neighbours."""
    found = 0
    for t in range(data.size - 4):  # from 0: an index that might be negative keeps the loop from being vectorised
        a, b, x, c, d = data[t], data[t + 1], data[t + 2], data[t + 3], data[t + 4]
        upper, lower = a if a > b else b, a if a < b else b
        upper, lower = c if c > upper else upper, c if c < lower else lower
        upper, lower = d if d > upper else upper, d if d < lower else lower
        found += (x > upper + limit) | (x < lower - limit)
    return found > 0


@compiled
def mark_hits(data: Array, limit: Any, lost: Array) -> None:
    """Set lost (exposure,) where a sample is a hit."""
    n = data.size
    for t in (0, 1, n - 2, n - 1):
        lost[t] |= is_hit(data, t, limit)
    for first in range(2, n - 2, CHUNK):
        last = min(first + CHUNK, n - 2)
        if any_hit(data[first - 2 : last + 2], limit):
            for t in range(first, last):
                lost[t] |= is_hit(data, t, limit)


@compiled
def mark_saturated(counts: Array, scale: Any, shift: Any, saturation: Any, lost: Array) -> None:
    """Set lost (exposure,) where one of the two frames of an exposure is saturated."""
    kind = type(scale)
    for t in range(lost.size):
        lost[t] |= kind(max(counts[2 * t], counts[2 * t + 1])) * scale + shift >= saturation


@compiled
def replace(data: Array, when: Array) -> None:
    """Replace samples `when` by the median of four neighbours in time, the other side's where there are none."""
    n, values = data.size, np.empty((when.size, 4), data.dtype)
    for i in range(when.size):
        for j, step in enumerate((-2, -1, 1, 2)):
            k = when[i] + step if 0 <= when[i] + step < n else when[i] - step
            value, place = data[min(max(k, 0), n - 1)], j
            while place > 0 and values[i, place - 1] > value:  # by insertion: np.sort takes seconds to compile
                values[i, place] = values[i, place - 1]
                place -= 1
            values[i, place] = value
    for i in range(when.size):
        data[when[i]] = (values[i, 1] + values[i, 2]) / type(values[i, 1])(2)


@compiled
def mean_of(data: Array) -> float:
    """Mean, summed in float64 in four parts whatever the processor."""
    a = b = c = d = 0.0
    whole = data.size - data.size % 4
    for i in range(0, whole, 4):
        a, b, c, d = a + data[i], b + data[i + 1], c + data[i + 2], d + data[i + 3]
    for i in range(whole, data.size):
        a += data[i]
    return ((a + b) + (c + d)) / data.size


@compiled
def calibrate_series(
    counts: Array,
    pixels: Array,
    scale: Any,
    shift: Any,
    saturation: Any,
    coefficients: Array,
    charge: Array,
    inverse: Array,
    noise: Array,
    bad: Array,
    threshold: float,
    series: Array,
    mean: Array,
) -> tuple[Array, Array]:
    """Counts (i, frame) → exposures, the rows `pixels` (i,) of series (pixel, exposure), and their mean (pixel,) [e-].

    Of each i: coefficients (i, power) of its linearity, charge (i, 2) of the dark in start and end frame, inverse of
    the flat, known noise [e-] of an exposure, bad or not. scale, shift and saturation [e-] are the readout's. Samples
    hit or saturated are replaced. Returns their (n, 2) pixel and exposure, and (i,) pixels saturated too often to use.
    """
    n = series.shape[1]
    lost = np.empty((0, 2), np.int64)
    often = np.zeros(counts.shape[0], np.bool_)
    for i in range(counts.shape[0]):
        at, data = pixels[i], series[pixels[i]]
        n_saturated = expose(counts[i], scale, shift, saturation, coefficients[i], charge[i], inverse[i], data)
        often[i] = not bad[i] and n_saturated / n > SATURATED_OFTEN
        if not bad[i]:
            marks = np.zeros(n, np.bool_)
            if n_saturated > 0 and not often[i]:
                mark_saturated(counts[i], scale, shift, saturation, marks)
            if threshold > 0 and n >= MIN_EXPOSURES_FOR_HITS:
                mark_hits(data, hit_limit(data, threshold, noise[i]), marks)
            when = np.flatnonzero(marks)
            replace(data, when)
            longer = np.empty((lost.shape[0] + when.size, 2), np.int64)
            longer[: lost.shape[0]] = lost
            longer[lost.shape[0] :, 0], longer[lost.shape[0] :, 1] = at, when
            lost = longer
        mean[at] = mean_of(data)
    return lost, often


@compiled
def weighted_sums(cube: Array, weights: Array) -> Array:
    """(set, exposure) float64 sums of cube (row, column, exposure) with weights (set, row, column), pixel by pixel."""
    n_sets, n_rows, n_columns = weights.shape
    total = np.zeros((n_sets, cube.shape[2]))
    for first in range(0, cube.shape[2], SUMMED):
        part = total[:, first : first + SUMMED]
        for row in range(n_rows):
            for column in range(n_columns):
                data = cube[row, column, first : first + SUMMED]
                for k in range(n_sets):
                    weight = weights[k, row, column]
                    if weight != 0:
                        for t in range(data.size):
                            part[k, t] += weight * data[t]
    return total
