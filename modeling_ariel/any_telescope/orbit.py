"""An orbit as one knows it, and what it says of a visit: when the transit is due, and its shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from modeling_ariel.any_telescope.observation import HOURS, Observation, ObservationError

GUESS = 1.0  # h: how far a mid-time is trusted that is given without an error
_LONGEST = 0.6  # of a period in one visit: more is a phase curve
_MARGIN = 3.0  # half durations beside mid-transit that a cut keeps
_FEWEST = 20  # times about a transit
_FEWEST_TIMES = 25  # that a cut keeps, of exposures as long as they are
_NEAR = 1.0  # half durations from a window's edge
_DAYS = 1e6  # BJDs are larger; hours from a visit's beginning, TESS's and modified days are smaller


@dataclass(frozen=True)
class Orbit:
    """Period [d], ``a`` [stellar radii], inclination [deg] or impact parameter, ``e``, ``omega`` [deg] of periastron.

    ``t0`` [BJD_TDB, or hours where an observation's times have no zero] of a mid-transit; errors ``period_err`` [d],
    ``t0_err`` [d or h]. ``b_err`` and ``log_a_err``: how far impact parameter and a are trusted; ``teff`` [K] of the
    star. NaN is not known. ObservationError for what cannot be.
    """

    period: float = math.nan
    a: float = math.nan
    inclination: float = math.nan
    b: float = math.nan
    e: float = 0.0
    omega: float = 90.0
    t0: float = math.nan
    teff: float = math.nan
    period_err: float = 0.0
    t0_err: float = math.nan
    b_err: float = 0.03
    log_a_err: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0.0 <= self.e < 0.95:
            raise ObservationError(f"orbit: expected an eccentricity of 0 to 0.95, found {self.e}")
        for name in ("period", "a", "teff"):
            if getattr(self, name) <= 0:
                raise ObservationError(f"orbit: expected a positive {name}, found {getattr(self, name)}")
        if not math.isnan(self.b) and math.isnan(self.a):
            raise ObservationError("orbit: expected a beside b, found none")

    @property
    def star(self) -> dict[str, Tensor]:
        """The fit's star table: P [d], sma [stellar radii], i [deg], Ts [K], each (1,)."""
        inclination = self.inclination
        if not math.isnan(self.b):
            towards = 1.0 + self.e * math.sin(math.radians(self.omega))
            cosine = self.b / self.a * towards / (1.0 - self.e**2)
            if abs(cosine) > 1.0:
                raise ObservationError(f"orbit: expected b below a, found b {self.b} and a {self.a}")
            inclination = math.degrees(math.acos(cosine))
        values = {"P": self.period, "sma": self.a, "i": inclination, "Ts": self.teff}
        return {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}

    def due(self, observation: Observation) -> tuple[float, float, int]:
        """Mid-transit nearest the middle of a window [h, as its times count], its standard deviation, and its number.

        (0, 1000, 0) where the ephemeris says nothing. ObservationError where t0 and the times have different zeros.
        """
        if math.isnan(self.t0):
            return 0.0, 1e3, 0
        self._refuse_other_zero(observation)
        scale = HOURS if observation.bjd0 is not None else 1.0
        first = (self.t0 - (observation.bjd0 or 0.0)) * scale
        error = GUESS if math.isnan(self.t0_err) else self.t0_err * scale
        if math.isnan(self.period):
            return first, error, 0
        middle = 0.5 * (observation.time[0] + observation.time[-1])
        number = round((middle - first) / (HOURS * self.period))
        return first + number * HOURS * self.period, math.hypot(error, number * HOURS * self.period_err), number

    def _refuse_other_zero(self, observation: Observation) -> None:
        if observation.bjd0 is None and self.t0 > _DAYS:
            raise ObservationError(
                f"{observation.name}: expected t0 in hours as its times count, for their BJD is not known, found "
                f"{self.t0:.10g}: leave t0 out, or if they are barycentric say so by --time-unit (bjd, bmjd, btjd)"
            )
        if observation.bjd0 is not None and self.t0 < _DAYS < observation.bjd0:
            raise ObservationError(
                f"{observation.name}: expected t0 in BJD_TDB, about {observation.bjd0:.0f}, found {self.t0:.10g}: "
                "2400000.5 is added to modified days, 2457000 to TESS's, 2454833 to Kepler's"
            )

    @property
    def half_duration(self) -> float:
        """From mid-transit to the outer contact [h] of a small planet; a twentieth of the period where that is all."""
        star = {name: float(value) for name, value in self.star.items()}
        if not all(math.isfinite(star[name]) for name in ("P", "sma", "i")):
            return 0.05 * HOURS * self.period
        towards = 1.0 + self.e * math.sin(math.radians(self.omega))
        speed = 2.0 * math.pi * star["sma"] / (HOURS * star["P"]) * towards / math.sqrt(1.0 - self.e**2)
        b = star["sma"] * math.cos(math.radians(star["i"])) * (1.0 - self.e**2) / towards
        return math.sqrt(max(1.1**2 - b**2, 0.05)) / speed


def transits(observation: Observation, orbit: Orbit) -> list[Observation]:
    """The observation, or where it lasts longer than a visit its transits, each cut out with some baseline and named.

    ObservationError where no transit is in it: an eclipse, a phase curve, a window at another time.
    """
    if math.isnan(orbit.period):
        return [observation]
    period, span = HOURS * orbit.period, float(observation.time[-1] - observation.time[0])
    if math.isnan(orbit.t0):
        if span > _LONGEST * period:
            raise ObservationError(
                f"{observation.name}: expected one transit, found {span:.1f} h of a period of {period:.1f} h: phase "
                "curves are not modelled; give t0, so that the transits can be cut out"
            )
        return [observation]
    half = orbit.half_duration
    due, error, _ = orbit.due(observation)
    seen = due + period * np.arange(-math.ceil(span / period) - 1, math.ceil(span / period) + 2)
    reach = _NEAR * half + 3.0 * min(error, 0.25 * period)
    inside = seen[(seen > observation.time[0] - reach) & (seen < observation.time[-1] + reach)]
    if not inside.size:
        raise ObservationError(_without_transit(observation, orbit, due, period))
    if span <= _LONGEST * period:
        return [observation]
    if observation.shape[1] > 1:
        raise ObservationError(
            f"{observation.name}: expected a transit, found {span / period:.1f} orbits in {observation.shape[1]} "
            f"channels: phase curves are not modelled; cut it to the transit at {inside[0]:.2f} h, by --from and --to"
        )
    reach = max(_MARGIN * half, 0.5 * _FEWEST_TIMES * float(np.median(np.diff(observation.time))))
    reach = min(reach, 0.5 * _LONGEST * period)
    parts = [(observation.between(at - reach, at + reach), at) for at in inside]
    found = [part for part, at in parts if _covers(part, at, half)]
    if not found:
        raise ObservationError(
            f"{observation.name}: expected {_FEWEST} times about a transit, some beside it, found fewer at each of "
            f"{len(parts)}"
        )
    some = (f"of {len(parts)} transits {len(found)} have points enough",) if len(found) < len(parts) else ()
    return [
        replace(part, name=f"{part.name}, transit {place}", notes=() if place > 1 else (*part.notes, *some))
        for place, part in enumerate(found, 1)
    ]


def _covers(part: Observation, at: float, half: float) -> bool:
    """Whether a cut has enough of a transit at ``at`` [h], and of what is beside it."""
    inside = np.abs(part.time - at) < half
    return int(inside.sum()) > 2 and int((~inside).sum()) > 4 and len(part.time) >= _FEWEST


def _without_transit(observation: Observation, orbit: Orbit, due: float, period: float) -> str:
    middle = 0.5 * (observation.time[0] + observation.time[-1])
    phase = ((middle - due) / period) % 1.0
    what = "an eclipse" if abs(phase - 0.5) < 0.1 else "a part of its phase curve"
    return (
        f"{observation.name}: expected a transit, found phases around {phase:.2f}, {what}: only transits are modelled "
        f"(by the ephemeris the nearest is at {due:.2f} h)"
    )
