"""Transits of one light curve folded by their ephemeris into one, for those that are too faint one by one.

Only the deepest of faint transits would be found one by one, and their depths be too large. Each transit is divided by
a line through the points beside it, so that the folded curve tells the star's light as well as all of them do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modeling_ariel.any_telescope.observation import Array, Flags, Observation
from modeling_ariel.any_telescope.orbit import Orbit

_BESIDE = 1.1  # half durations from mid-transit
_FEWEST = 4  # points beside a transit
_SAME = 1e-3  # of a bin's length


def fold(transits: Sequence[Observation], orbit: Orbit, most: int, name: str) -> Observation:
    """One observation of at most ``most`` times about the middle one's mid-transit, from ``transits`` of one channel.

    Points are averaged, by their errors, within bins that are as long as makes so few; relative flux.
    """
    middle = transits[len(transits) // 2]
    due = orbit.due(middle)[0]
    pooled = [part for part in (_relative(one, orbit, due) for one in transits) if part is not None]
    time, flux, variance, exposure = (np.concatenate(column) for column in zip(*pooled, strict=True))
    order = np.argsort(time)
    time, flux, variance, exposure = time[order], flux[order], variance[order], exposure[order]
    count = min(most, len(time))
    length = (time[-1] - time[0]) / count
    number = np.minimum(((time - time[0]) / length).astype(int), count - 1)
    # cadences that fit into a period make the same phases again, which an edge must not part
    first = np.flatnonzero(np.r_[True, (np.diff(number) > 0) & (np.diff(time) > _SAME * length)])
    weight = 1.0 / variance
    total = np.add.reduceat(weight, first)
    size = np.diff(np.r_[first, len(time)])
    mean_exposure = np.add.reduceat(exposure, first) / size
    return replace(
        middle,
        name=name,
        time=np.add.reduceat(weight * time, first) / total,
        flux=(np.add.reduceat(weight * flux, first) / total)[:, None],
        flux_err=(total**-0.5)[:, None],
        valid=np.ones((len(first), 1), bool),
        exposure=np.where(size > 1, np.hypot(mean_exposure, length), mean_exposure),  # as much variance in time
        regressors={},
        notes=(*transits[0].notes, f"{len(pooled)} transits folded by the ephemeris: one by one some are too faint"),
    )


def _relative(part: Observation, orbit: Orbit, due: float) -> tuple[Array, Array, Array, Array] | None:
    """Times about the transit ``due``, flux relative to the star, its variance, exposures; None without points beside
    the transit.
    """
    own = orbit.due(part)[0]
    half = orbit.half_duration
    good: Flags = part.valid[:, 0]
    time, flux = part.time[good] - own, part.flux[good, 0]
    beside = np.abs(time) > _BESIDE * half
    if beside.sum() < _FEWEST:
        return None
    both = bool((time[beside] < 0).any() and (time[beside] > 0).any())
    star = np.polyval(np.polyfit(time[beside], flux[beside], int(both)), time)
    return time + due, flux / star, (part.flux_err[good, 0] / star) ** 2, part.exposure[good]
