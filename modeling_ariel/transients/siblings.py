"""Objects that may be one observed event at several distances: their light curves have one shape in the source's frame.

Curves are compared as fluxes over time and wavelength of the source, up to a factor and some days; MALLORN made
10,178 objects of far fewer events (arXiv:2512.04946).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .observed import WAVELENGTHS, Array
from .shape_features import sampled
from .smooth import Smooth

SINCE = np.arange(-30.0, 101.0, 5.0)  # d, source's frame, since the peak
COLOURS = np.array([2800.0, 3500.0, 4400.0, 5500.0, 7000.0])  # Å, source's frame
SHIFTS = (-2, -1, 0, 1, 2)  # steps of `SINCE`: how far apart two peaks may be found
FLOOR = 0.05  # of the greatest flux: how well a smooth curve is one
LEAST = 20  # places of time and wavelength that two curves share


def rest_curve(smooth: Smooth, redshift: float) -> tuple[Array, Array]:
    """(time of `SINCE`, wavelength of `COLOURS`) flux and 1σ, in units of the greatest; NaN where not observed."""
    flux, error = sampled(smooth, SINCE * (1 + redshift))
    at = COLOURS * (1 + redshift)
    both = [
        np.stack([np.interp(at, WAVELENGTHS, row, left=np.nan, right=np.nan) for row in values])
        for values in (flux, error)
    ]
    top = np.nanmax(both[0]) if np.isfinite(both[0]).any() else np.nan
    return both[0] / top, np.hypot(both[1] / top, FLOOR)


def distances(curves: Sequence[tuple[Array, Array]]) -> Array:
    """(object, object) reduced χ² between shapes, the least over shifts in time; infinite where little is shared."""
    found = np.full((len(curves), len(curves)), np.inf)
    np.fill_diagonal(found, 0.0)
    flux, error = (np.stack([one[part] for one in curves]) for part in (0, 1))
    for place in range(len(curves) - 1):
        others = slice(place + 1, None)
        best = np.full(len(curves) - place - 1, np.inf)
        for shift in SHIFTS:
            mine = slice(max(shift, 0), len(SINCE) + min(shift, 0))
            theirs = slice(max(-shift, 0), len(SINCE) + min(-shift, 0))
            own = (flux[place, mine], error[place, mine], flux[others, theirs], error[others, theirs])
            best = np.minimum(best, _chi2(*own))
        found[place, others] = found[others, place] = best
    return found


def _chi2(flux: Array, error: Array, others: Array, their_errors: Array) -> Array:
    """(object,) reduced χ² of curves (object, time, wavelength) and one, with the best factor."""
    known = np.isfinite(flux) & np.isfinite(others)
    weight = np.where(known, 1 / (error**2 + their_errors**2), 0.0)
    one, other = np.where(known, flux, 0.0), np.where(known, others, 0.0)
    product, square = ((weight * other * each).sum((-2, -1)) for each in (one, other))
    factor = np.clip(product / np.maximum(square, 1e-300), 0.5, 2.0)[:, None, None]
    chi2 = np.where(known, (one - factor * other) ** 2 / (error**2 + (factor * their_errors) ** 2), 0.0).sum((-2, -1))
    count = known.sum((-2, -1))
    return np.where(count >= LEAST, chi2 / np.maximum(count, 1), np.inf)


def groups(distance: Array, count: int) -> NDArray[np.int64]:
    """(object,) the group of each: the nearest groups are joined, by their mean distance, until `count` are left.

    Objects that share too little with all others stay alone.
    """
    far = np.where(np.isfinite(distance), distance, 1e6)
    members = [[place] for place in range(len(far))]
    between = far + np.diag(np.full(len(far), np.inf))
    while len(members) > max(count, 1):
        first, second = sorted(np.unravel_index(between.argmin(), between.shape))
        if not between[first, second] < 1e6:
            break
        sizes = len(members[first]), len(members[second])
        mean = (sizes[0] * between[first] + sizes[1] * between[second]) / sum(sizes)
        between[first], between[:, first], between[first, first] = mean, mean, np.inf
        between = np.delete(np.delete(between, second, 0), second, 1)
        members[first] += members.pop(second)
    found = np.empty(len(far), np.int64)
    for group, own in enumerate(members):
        found[own] = group
    return found
