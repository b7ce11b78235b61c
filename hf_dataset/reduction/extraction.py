"""Calibrated exposures → fluxes: channels, trace, apertures, foreground, plain and optimal sums, centroids.

Optimal extraction is Horne (1986, PASP 98, 609) with a profile fixed in time, so that the weights are too: a sum is
linear in the data and cannot follow its noise. Such a sum answers the pointing, as the image's shape does; centroids
tell that answer, which is taken off (compare Bocchieri et al. 2025, arXiv:2504.12907). Arrays: frames (row, column),
cubes (exposure, row, column), fluxes (exposure, channel).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Array = NDArray[Any]
ForegroundKind = Literal["wings", "edge", "none"]
ExtractionKind = Literal["plain", "optimal"]
FOREGROUND_KINDS, EXTRACTION_KINDS = ("wings", "edge", "none"), ("plain", "optimal")

# Diffraction wings fall as r⁻³ from a point (FGS1) and, summed along the dispersion, as r⁻² from a line (AIRS-CH0).
# Both fit planet 342072318's mean frames with a foreground near zero, where an edge mean finds 0.1 % of the flux a row.
WING_POWER_LINE, WING_POWER_POINT = 2.0, 3.0
FOREGROUND_SMOOTH = 41  # AIRS-CH0 columns of the running median of its foreground, which is smooth along wavelength
CENTRE_HALF_WIDTH = 4  # px around the light's centre within which its first moment is taken
MIN_PAIRS = 200  # of exposures, from which the flux's answer to the pointing is told: 40 for each of its terms


def match_channels(axis_um: Array, wavelengths_um: Array) -> NDArray[np.intp]:
    """(channel,) detector column of each wavelength, matched by value; ValueError where a match is bad or shared."""
    columns = np.abs(axis_um[None, :] - wavelengths_um[:, None]).argmin(axis=1)
    spacing = np.abs(np.gradient(axis_um))[columns]
    off = np.abs(axis_um[columns] - wavelengths_um)
    if (off > spacing / 2).any():
        worst = int(np.argmax(off / spacing))
        raise ValueError(
            f"wavelength matching: expected a detector column within half a pixel of {wavelengths_um[worst]:.4f} µm, "
            f"found the nearest at {axis_um[columns[worst]]:.4f} µm"
        )
    if np.unique(columns).size != columns.size:
        raise ValueError("wavelength matching: expected a column of its own for each channel, found one shared by two")
    return columns


# --- where the light is --------------------------------------------------------------------------------------------


def centre_of_light(mean: Array, good: NDArray[np.bool_], half_width: int = CENTRE_HALF_WIDTH) -> tuple[float, float]:
    """(row, column) [px] of a point source: the first moment within `half_width` of the brightest place, iterated."""
    light = np.where(good, mean, 0.0)
    smooth = sum(np.roll(light, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    y, x = (float(v) for v in np.unravel_index(np.argmax(smooth), light.shape))
    rows, columns = np.indices(light.shape)
    for _ in range(10):
        weight = np.clip(half_width + 0.5 - np.hypot(rows - y, columns - x), 0, 1) * light
        total = weight.sum()
        if not total > 0:
            raise ValueError("centre of light: expected a source, found no positive flux around the brightest pixel")
        y, x = float((weight * rows).sum() / total), float((weight * columns).sum() / total)
    return y, x


def trace_centre(
    mean: Array, good: NDArray[np.bool_], half_width: int = CENTRE_HALF_WIDTH, degree: int = 2
) -> NDArray[np.float64]:
    """(column,) row [px] of the spectrum: first moments a column, smoothed by a flux-weighted polynomial."""
    light = np.where(good, mean, 0.0)
    profile = light.sum(axis=1)
    if not profile.max() > 0:
        raise ValueError("trace: expected a spectrum, found no row with positive flux")
    rows = np.arange(mean.shape[0])[:, None]
    centre = np.full(mean.shape[1], float(np.argmax(profile)))
    position = np.linspace(-1.0, 1.0, mean.shape[1])
    whole = good.all(axis=0)  # a hole in the profile moves its moment
    for _ in range(5):
        weight = np.clip(half_width + 0.5 - np.abs(rows - centre), 0, 1) * light
        total = weight.sum(axis=0)
        usable = (total > 0) & (whole if whole.sum() > 2 * degree + 2 else np.ones_like(whole))
        if usable.sum() <= degree:
            raise ValueError(f"trace: expected more than {degree} columns with light, found {int(usable.sum())}")
        moment = (weight * rows).sum(axis=0)[usable] / total[usable]
        fit = np.polynomial.polynomial.polyfit(position[usable], moment, degree, w=np.sqrt(total[usable]))
        centre = np.clip(np.polynomial.polynomial.polyval(position, fit), 0, mean.shape[0] - 1)
    return np.round(centre, 6)  # the last digits of a least-squares fit depend on the processor


def distance_from_trace(centre: Array, n_rows: int) -> NDArray[np.float64]:
    """(row, column) [px]: distance across the dispersion."""
    return np.abs(np.arange(n_rows)[:, None] - centre[None, :])


def distance_from_point(centre: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float64]:
    """(row, column) [px]: distance from a point source."""
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1])


def aperture(distance: Array, radius: float) -> NDArray[np.float64]:
    """(row, column) in [0, 1]: the pixels within `radius`, those on its edge in part (linear over one pixel)."""
    return np.clip(radius + 0.5 - distance, 0.0, 1.0)


# --- foreground ----------------------------------------------------------------------------------------------------


def foreground(
    mean: Array,
    good: NDArray[np.bool_],
    distance: Array,
    *,
    kind: ForegroundKind = "wings",
    inner: float = 9.0,
    wing_power: float = WING_POWER_LINE,
    smooth: int = FOREGROUND_SMOOTH,
) -> NDArray[np.float64]:
    """(column,) [e-/px/exposure] level under the source, from the good pixels of the mean frame beyond `inner`.

    `edge` is their mean, which takes the source's own diffraction wings for foreground. `wings` fits level + amplitude
    · distance^−wing_power a column, and takes the running median of the levels over `smooth` columns. `none` is zero.
    """
    n_columns = mean.shape[1]
    if kind == "none":
        return np.zeros(n_columns)
    if kind not in FOREGROUND_KINDS:
        raise ValueError(f"foreground: expected one of {', '.join(FOREGROUND_KINDS)}, found {kind!r}")
    used = good & (distance >= inner)
    if (few := used.sum(axis=0) < 4).all():
        raise ValueError(f"foreground: expected pixels further than {inner} px from the source, found none")
    weight = used.astype(np.float64)
    wing = np.maximum(distance, inner) ** -wing_power if kind == "wings" else np.zeros(mean.shape)
    level = _level(weight, wing, np.where(used, mean, 0.0))
    level = np.interp(np.arange(n_columns), np.flatnonzero(~few), level[~few])
    return median_filter(level, size=min(smooth, n_columns), mode="nearest") if smooth > 1 else level


def foreground_of_point(
    mean: Array,
    good: NDArray[np.bool_],
    distance: Array,
    *,
    kind: ForegroundKind = "wings",
    annulus: tuple[float, float],
) -> float:
    """[e-/px/exposure] level in an annulus around a point source; the kinds are those of `foreground`."""
    if kind == "none":
        return 0.0
    used = good & (distance >= annulus[0]) & (distance <= annulus[1])
    if used.sum() < 12:
        raise ValueError(f"foreground: expected 12 good pixels in the annulus {annulus} px, found {int(used.sum())}")
    level = foreground(
        mean[used][:, None],
        np.ones((int(used.sum()), 1), bool),
        distance[used][:, None],
        kind=kind,
        inner=annulus[0],
        wing_power=WING_POWER_POINT,
        smooth=1,
    )
    return float(level[0])


def _level(weight: Array, wing: Array, mean: Array) -> NDArray[np.float64]:
    """Weighted least squares of level + amplitude · wing for each column; the level."""
    s, g, gg = weight.sum(axis=0), (weight * wing).sum(axis=0), (weight * wing**2).sum(axis=0)
    v, gv = (weight * mean).sum(axis=0), (weight * wing * mean).sum(axis=0)
    determinant = s * gg - g**2
    plain = v / np.maximum(s, 1)
    solvable = determinant > 1e-9 * np.maximum(s * gg, 1e-300)
    return np.where(solvable, (gg * v - g * gv) / np.where(solvable, determinant, 1.0), plain)


# --- sums ----------------------------------------------------------------------------------------------------------


def spatial_profile(mean: Array, level: Array | float, inside: Array, axis: int | None = 0) -> NDArray[np.float64]:
    """(row, column) share of each pixel in the aperture's light of its column (axis 0), or of the frame (None)."""
    light = np.maximum(mean - level, 0.0) * (inside > 0)
    total = (light * inside).sum(axis=axis)
    return np.where(total > 0, light / np.where(total > 0, total, 1.0), 0.0)


def sum_weights(
    kind: ExtractionKind,
    inside: Array,
    usable: NDArray[np.bool_],
    profile: Array,
    variance: Array,
    axis: int | None = 0,
) -> NDArray[np.float64]:
    """(row, column) weights of the sum over each column (axis 0) or the frame (None); unusable pixels weigh nothing.

    `plain` is the aperture itself; `optimal` is p/V over Σ p²/V, which gives the light within the aperture.
    """
    if kind == "plain":
        return inside * usable
    if kind != "optimal":
        raise ValueError(f"extraction: expected one of {', '.join(EXTRACTION_KINDS)}, found {kind!r}")
    inverse = np.where(usable & (variance > 0), inside / np.where(variance > 0, variance, 1.0), 0.0)
    norm = (profile**2 * inverse).sum(axis=axis)
    return np.where(norm > 0, profile * inverse / np.where(norm > 0, norm, 1.0), 0.0)


class Sums(NamedTuple):
    """Fluxes (exposure, channel) [e-] and the variance (channel,) [e-²] of one exposure."""

    flux: Array
    variance: NDArray[np.float64]


def extract(cube: Array, weights: Array, variance: Array, level: Array) -> Sums:
    """Weighted sums over the rows of each column of cube (exposure, row, column), the foreground level taken off."""
    flux = np.zeros((cube.shape[2], cube.shape[0]), cube.dtype)
    for row in np.flatnonzero(weights.any(axis=1)):
        flux += cube[:, row, :].T * weights[row, :, None].astype(cube.dtype)
    flux -= (level * weights.sum(axis=0))[:, None].astype(cube.dtype)
    return Sums(flux.T, (weights**2 * np.where(weights > 0, variance, 0.0)).sum(axis=0))


def extract_point(cube: Array, weights: Array, variance: Array, level: float) -> Sums:
    """Weighted sum over the whole frame, the foreground level taken off; one channel."""
    flux = weighted_sums(cube, weights[None])[0] - level * weights.sum()
    return Sums(flux[:, None], np.array([(weights**2 * np.where(weights > 0, variance, 0.0)).sum()]))


def weighted_sums(cube: Array, weights: Array) -> NDArray[np.float64]:
    """(set, exposure) sums of cube (exposure, row, column) with each frame of weights (set, row, column).

    Not by BLAS: its results depend on the processor and on its number of threads.
    """
    from hf_dataset.reduction import kernel  # imported here: numba takes 60 MB that only a reduction needs

    return kernel.weighted_sums(np.ascontiguousarray(cube.transpose(1, 2, 0)), np.asarray(weights, np.float64))


# --- jitter --------------------------------------------------------------------------------------------------------


def centroids(cube: Array, inside: Array, level: Array, centre: Array) -> NDArray[np.float64]:
    """(exposure,) [px] mean row of the light in the aperture less the foreground, relative to `centre` (column,)."""
    offset = np.arange(cube.shape[1])[:, None] - np.asarray(centre)
    weights = np.stack([inside * offset, inside])
    sums = weighted_sums(cube, weights)
    removed = (weights * level).sum(axis=(1, 2))
    return _ratio(sums[0] - removed[0], sums[1] - removed[1])


def centroid_of_point(cube: Array, inside: Array, level: float, centre: tuple[float, float]) -> NDArray[np.float64]:
    """(exposure, 2) [px] row and column of a point source's light within the aperture, relative to `centre`."""
    rows, columns = np.indices(inside.shape)
    weights = np.stack([inside * (rows - centre[0]), inside * (columns - centre[1]), inside])
    sums = weighted_sums(cube, weights).T - level * weights.sum(axis=(1, 2))
    return np.stack([_ratio(sums[:, 0], sums[:, 2]), _ratio(sums[:, 1], sums[:, 2])], axis=1)


def dispersion_shift(flux: Array, variance: Array) -> NDArray[np.float64]:
    """(exposure,) [px] shift of the spectrum along the columns.

    Least squares of each exposure's spectrum on the mean spectrum and its derivative, weighted by the variance: a
    transit changes the first coefficient, a shift the second.
    """
    mean = flux.mean(axis=0, dtype=np.float64)
    slope = -np.gradient(mean)
    weight = 1.0 / np.where(variance > 0, variance, np.inf)
    a, b, c = (weight * mean**2).sum(), (weight * mean * slope).sum(), (weight * slope**2).sum()
    determinant = a * c - b**2
    if not determinant > 0:
        return np.zeros(flux.shape[0])
    u, v = ((flux.T * given[:, None]).sum(axis=0) for given in (weight * mean, weight * slope))  # not by BLAS, as above
    return np.asarray((a * v - b * u) / np.maximum(np.abs(c * u - b * v), 1e-300), np.float64)


def remove_jitter(
    flux: Array, centroid: Array, good: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """flux (exposure,) without what of it answers the pointing, and the answer (5,) over the mean flux.

    The answer is to y, x [1/px], y², yx, x² [1/px²] of centroid (exposure, 2) [px], as an image answers a shift to
    second order. It is the least-squares one of differences between neighbouring exposures, both good (exposure,): a
    transit and a drift are not in them, and jitter is. Fewer than `MIN_PAIRS` of them tell no answer.
    """
    pairs = good[1:] & good[:-1]
    if pairs.sum() < MIN_PAIRS:
        return np.asarray(flux, np.float64), np.zeros(5)
    y, x = (centroid - centroid[good].mean(axis=0)).T
    terms = np.stack([y, x, y**2, y * x, x**2], axis=1)
    terms -= terms[good].mean(axis=0)
    steps, answers = np.diff(terms, axis=0)[pairs], np.diff(flux)[pairs]
    size = np.sqrt((steps**2).mean(axis=0))
    steps /= np.where(size > 0, size, 1.0)
    gram = (steps[:, :, None] * steps[:, None, :]).mean(axis=0)  # not by BLAS, as above
    gram += 1e-9 * np.eye(5)  # a term that never changes has no answer
    slopes = np.linalg.solve(gram, (steps * answers[:, None]).mean(axis=0)) / np.where(size > 0, size, 1.0)
    level = flux[good].mean()
    answer = np.round(slopes / level, 9)  # the last digits of a least-squares fit depend on the processor
    return np.asarray(flux - level * (terms * answer).sum(axis=1)), answer


def _ratio(moment: Array, total: Array) -> NDArray[np.float64]:
    return np.where(total > 0, moment / np.where(total > 0, total, 1.0), 0.0)
