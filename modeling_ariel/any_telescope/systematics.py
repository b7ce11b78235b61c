"""Systematics that one chooses: terms of a baseline, linear in their coefficients, each with a named normal prior.

The light of every channel is F (1 - transit) (1 + sum of a_j z_j(t)). A term gives columns z_j and the standard
deviation of its coefficients a_j [relative flux]; all of them are marginalised exactly, in each channel by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import legendre

from modeling_ariel.any_telescope.observation import Array, Observation, ObservationError

AUTO, LINE, SCAN = "auto", "polynomial(1)", "scan"
SIZES = {"polynomial": 1e-2, "ramp": 5e-3, "hook": 1e-2, "orbit": 5e-3, "regressor": 5e-3}  # of coefficients
RAMP_HOURS = (0.1, 0.4, 1.6)  # of exponentials: from minutes (JWST's persistence) to hours (its slow charge trapping)
HOOK_HOURS = (0.05, 0.2)  # within an orbit of HST (Zhou et al. 2017, AJ 153, 243: fast and slow traps)
ORBIT_ORDER = 2  # of polynomials in the phase of an orbit: the telescope breathes
_BY_ORDER = (1.0, 0.2, 0.05)  # of a polynomial's size: real curves bend less than they slope
_GAP = 0.3  # h without data, and times the usual step, that end an orbit
_GAP_STEPS = 5.0
_ORBITS = (0.4, 1.5)  # h: the data of one orbit, of the 1.6 that HST takes


@dataclass(frozen=True)
class Term:
    """A term of the baseline: its ``kind``, of SIZES, its ``order`` or the column that it follows, and its prior."""

    kind: str
    sigma: float
    order: int = 0
    column: str = ""

    @property
    def name(self) -> str:
        """As it is written in a model."""
        return self.column or (f"{self.kind}({self.order})" if self.order else self.kind)

    @property
    def sizes(self) -> tuple[float, ...]:
        """Standard deviations of the coefficients, of a polynomial by order, others all alike."""
        if self.kind == "polynomial":
            return tuple(self.sigma * _BY_ORDER[min(order, len(_BY_ORDER) - 1)] for order in range(self.order))
        return (self.sigma,)

    def columns(self, observation: Observation) -> Array:
        """(P, T) columns of unit size; ObservationError where the observation has not what the term needs."""
        time = observation.time
        if self.kind == "polynomial":
            x = 2.0 * (time - time[0]) / (time[-1] - time[0]) - 1.0
            return legendre.legvander(x, self.order)[:, 1:].T
        if self.kind == "ramp":
            return np.exp(-(time - time[0]) / np.array(RAMP_HOURS)[:, None])
        if self.kind == "hook":
            number, since = orbits(observation)
            each = np.exp(-since / np.array(HOOK_HOURS)[:, None])
            return np.concatenate([each, each * (number == 0)])
        if self.kind == "orbit":
            _, since = orbits(observation)
            x = 2.0 * since / since.max() - 1.0
            return legendre.legvander(x, self.order)[:, 1:].T
        return _standardised(observation, self.column)[None]


@dataclass(frozen=True)
class Systematics:
    """Terms together."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str, sizes: Mapping[str, float] | None = None) -> Systematics:
        """From ``polynomial(2) + ramp + x``: kinds of term, or names of regressors; ``sizes`` of their priors by name.

        ObservationError for an empty term, one that is given twice, or a size that is not positive.
        """
        terms = []
        for part in (one.strip() for one in text.split("+")):
            match = re.fullmatch(r"([A-Za-z_]\w*)\s*(?:\((\d+)\))?", part)
            if match is None:
                raise ObservationError(f"systematics: expected terms such as polynomial(2) + ramp + x, found {text!r}")
            kind, order = match[1], int(match[2] or 0)
            if kind in ("polynomial", "orbit"):
                term = Term(kind, SIZES[kind], order or (1 if kind == "polynomial" else ORBIT_ORDER))
            else:
                known = kind in SIZES and kind != "regressor"
                term = Term(kind, SIZES[kind]) if known else Term("regressor", SIZES["regressor"], 0, kind)
            size = (sizes or {}).get(term.name, (sizes or {}).get(kind, term.sigma))
            if not size > 0:
                raise ObservationError(f"systematics: {term.name}: expected a positive size, found {size}")
            terms.append(replace(term, sigma=float(size)))
        if len({term.name for term in terms}) != len(terms):
            raise ObservationError(f"systematics: expected every term once, found {text!r}")
        return cls(tuple(terms))

    @property
    def name(self) -> str:
        """As it is written."""
        return " + ".join(term.name for term in self.terms)

    def design(self, observation: Observation) -> tuple[Array, Array, tuple[str, ...]]:
        """Columns (P, T), standard deviations (P,) of their coefficients, and the terms' names (P,)."""
        parts = [(term.columns(observation), term) for term in self.terms]
        sizes = np.concatenate([np.broadcast_to(term.sizes, len(columns)) for columns, term in parts])
        names = tuple(term.name for columns, term in parts for _ in columns)
        return np.concatenate([columns for columns, _ in parts]), sizes, names


def candidates(observation: Observation, sizes: Mapping[str, float] | None = None) -> list[Systematics]:
    """What ``auto`` compares: lines and curves, a ramp, or where there are orbits a hook, each with regressors or not.

    Of regressors none, each alone and all of them are tried; scan directions are always taken.
    """
    trends = [LINE, "polynomial(2)", "polynomial(3)"]
    if has_orbits(observation):
        trends += [f"{trend} + hook" for trend in trends[:2]] + [f"{LINE} + hook + orbit({ORBIT_ORDER})"]
    else:
        trends += [f"{trend} + ramp" for trend in trends[:2]]
    always = [SCAN] if SCAN in observation.regressors else []
    columns = sorted(set(observation.regressors) - {SCAN})
    chosen = [(), *((column,) for column in columns), tuple(columns)] if len(columns) > 1 else [(), *map(_one, columns)]
    return [Systematics.parse(" + ".join([trend, *always, *some]), sizes) for trend in trends for some in chosen]


def _one(column: str) -> tuple[str]:
    return (column,)


# --- orbits --------------------------------------------------------------------------------------------------------


def orbits(observation: Observation) -> tuple[np.ndarray, Array]:
    """Number of each time's orbit (T,), from 0, and hours (T,) since its first exposure; gaps part them."""
    steps = np.diff(observation.time)
    starts = np.r_[True, steps > max(_GAP, _GAP_STEPS * float(np.median(steps)))]
    number = np.cumsum(starts) - 1
    return number, observation.time - observation.time[starts][number]


def has_orbits(observation: Observation) -> bool:
    """Whether gaps part the visit as HST's orbits do."""
    number, since = orbits(observation)
    lengths = [float(since[number == one].max()) for one in range(number[-1] + 1)]
    return len(lengths) > 1 and _ORBITS[0] < float(np.median(lengths)) < _ORBITS[1]


def _standardised(observation: Observation, column: str) -> Array:
    """A regressor, less its median, in its standard deviations."""
    if column not in observation.regressors:
        known = ", ".join([*(kind for kind in SIZES if kind != "regressor"), *observation.regressors])
        raise ObservationError(f"{observation.name}: systematics: expected one of {known}, found {column!r}")
    values = observation.regressors[column]
    spread = float(values.std())
    if not spread > 0:
        raise ObservationError(f"{observation.name}: regressor {column}: expected values that vary, found a constant")
    return np.asarray((values - np.median(values)) / spread)
