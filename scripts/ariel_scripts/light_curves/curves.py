"""What all readers share: options, light curves as a file has them, and the observation they become."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ariel_scripts.light_curves.clocks import Clock
from hf_dataset.words import number_of
from modeling_ariel.any_telescope.observation import HOURS, Array, Flags, Observation, ObservationError

MOST_REPEATED = 0.01  # of the times: more is not a slip but another axis
EXTRA = "pip install 'ariel-hf[fit]'"
MICRONS = {  # of a unit of wavelength
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometers": 1e-3,
    "angstrom": 1e-4,
    "angstroms": 1e-4,
    "a": 1e-4,
    "m": 1e6,
    "cm": 1e4,
}
SUFFIXES = ("um", "micron", "microns", "nm", "angstrom", "angstroms")  # units in a column's name
WAVELENGTHS = (0.05, 50.0)  # [um] what bare numbers may be


@dataclass(frozen=True)
class ReadOptions:
    """What a file may leave open; the names of ``ariel fit``'s options.

    ``time_unit``: h, min, s, d, bjd, bmjd, btjd, bkjd, jd, mjd, hjd, bjd-2450000; ``wavelength_unit``: um, nm,
    angstrom; ``wavelength`` [um] of a white light curve; ``exposure`` [s]; ``flux``: which column or array;
    ``regressors``: columns that systematics may follow; ``columns``: names for a table without a header;
    ``quality="none"`` keeps what the file flags.
    """

    time_unit: str | None = None
    wavelength_unit: str | None = None
    wavelength: float | None = None
    exposure: float | None = None
    flux: str | None = None
    regressors: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    quality: str = "default"


@dataclass
class Curves:
    """Light curves as a file has them: ``time`` (T,) by ``clock``, ``flux``, ``flux_err`` (T, C), None where there is
    none; ``wavelength``, ``half_width`` (C,) [um]; ``flagged`` (T, C), what the file calls bad; ``exposure`` (T,) [h];
    ``bjd0`` of times that count from it.
    """

    name: str
    time: Array
    clock: Clock
    flux: Array
    flux_err: Array | None = None
    wavelength: Array | None = None
    half_width: Array | None = None
    flagged: Flags | None = None
    exposure: Array | float | None = None
    instrument: str = ""
    bjd0: float | None = None
    regressors: dict[str, Array] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def simple(name: str) -> str:
    """A name in lower case, with _ for all that is between words and u for µ."""
    return re.sub(r"[^a-z0-9.]+", "_", re.sub("[µμ]", "u", name.strip().lower())).strip("_")


def first_line(error: Exception) -> str:
    """An error of a library in a line."""
    return (str(error).splitlines() or [type(error).__name__])[0].strip()


def missing_extra(where: str, library: str) -> ObservationError:
    """What to install where a library of the extra is absent."""
    return ObservationError(f"{where}: expected {library} to read it, found none: {EXTRA}")


def microns(where: str, column: str, values: Array, unit: str, given: str | None = None) -> Array:
    """Wavelengths or widths (n,) in um; bare numbers are um where they can be."""
    word = (given or unit).strip().lower()
    if word:
        if word not in MICRONS:
            raise ObservationError(f"{where}: {column}: expected a unit of um, nm, angstrom, found {word}")
        return np.asarray(values, np.float64) * MICRONS[word]
    finite = values[np.isfinite(values)]
    if finite.size and not (WAVELENGTHS[0] <= finite.min() and finite.max() <= WAVELENGTHS[1]):
        raise ObservationError(
            f"{where}: {column}: expected um, or a unit in the header or by --wavelength-unit (um, nm, angstrom), "
            f"found numbers of {finite.min():g} to {finite.max():g}"
        )
    return np.asarray(values, np.float64)


def to_observation(where: str, curves: Curves, options: ReadOptions) -> Observation:
    """Hours from the first day; what is missing or repeated is counted in notes. ObservationError as in ``of``."""
    notes = [*curves.notes, *([curves.clock.note] if curves.clock.note else [])]
    keep = _rows(where, curves, notes)
    flux, flux_err = curves.flux[keep], None if curves.flux_err is None else curves.flux_err[keep]
    if flux_err is None:
        notes.append("no errors in the file: the scatter between neighbours is taken")
    valid = _valid(curves, flux, flux_err, keep, options, notes)
    time, bjd0 = _hours(curves, keep)
    wavelength = curves.wavelength
    if flux.shape[1] == 1 and options.wavelength is not None:
        wavelength = np.array([options.wavelength])
    channels: Flags = np.asarray(valid.any(0))
    if wavelength is not None and flux.shape[1] > 1:
        channels &= np.isfinite(wavelength)
    if not channels.any():
        counts = "; ".join(notes)
        raise ObservationError(f"{where}: flux: expected points to fit, found none of {flux.size:,}: {counts}")
    if not channels.all():
        notes.append(f"{number_of(int((~channels).sum()), 'channel')} of {len(channels)} without data left out")
    exposure: Any = curves.exposure
    if options.exposure is not None:
        exposure = options.exposure / 3600
    elif exposure is not None:
        exposure = np.broadcast_to(np.asarray(exposure, np.float64), curves.time.shape)[keep]
    made = Observation.of(
        curves.name,
        time,
        flux[:, channels],
        None if flux_err is None else flux_err[:, channels],
        None if wavelength is None else wavelength[channels],
        valid=valid[:, channels],
        half_width=None if curves.half_width is None else curves.half_width[channels],
        exposure=exposure,
        instrument=curves.instrument,
        bjd0=bjd0,
        regressors={name: column[keep] for name, column in curves.regressors.items()},
        notes=tuple(notes),
    )
    if not made.valid.any():  # constant flux has no scatter
        raise ObservationError(f"{where}: flux_err: expected errors, or flux with scatter, found neither")
    return made


def _rows(where: str, curves: Curves, notes: list[str]) -> Array:
    """Which rows (n,) to keep, in ascending time: finite times and regressors, of a repeated time the first."""
    finite = np.isfinite(curves.time)
    if not finite.all():
        notes.append(f"{number_of(int((~finite).sum()), 'row')} of {len(finite):,} without a time left out")
    for name, column in curves.regressors.items():
        bad = finite & ~np.isfinite(column)
        if bad.any():
            notes.append(f"{number_of(int(bad.sum()), 'row')} of {len(finite):,} without {name} left out")
            finite &= ~bad
    rows = np.flatnonzero(finite)
    rows = rows[np.argsort(curves.time[rows], kind="stable")]
    again = np.r_[False, np.diff(curves.time[rows]) == 0]
    if again.sum() > max(1, MOST_REPEATED * len(rows)):
        raise ObservationError(
            f"{where}: time: expected each time once, found {int(again.sum()):,} of {len(rows):,} repeated: several "
            "channels need a column wavelength, several visits a column visit or a file each"
        )
    if again.any():
        notes.append(
            f"{number_of(int(again.sum()), 'row')} of {len(rows):,} with a repeated time left out, the first kept"
        )
    if len(rows) - again.sum() < 2:
        raise ObservationError(f"{where}: time: expected at least 2 times, found {len(rows) - int(again.sum())}")
    return rows[~again]


def _valid(
    curves: Curves, flux: Array, flux_err: Array | None, keep: Array, options: ReadOptions, notes: list[str]
) -> Flags:
    """Points (T, C) that count, with notes on those that do not."""
    finite = np.isfinite(flux)
    if not finite.all():
        notes.append(f"{number_of(int((~finite).sum()), 'point')} of {finite.size:,} without flux")
    good = finite
    if flux_err is not None:
        with np.errstate(invalid="ignore"):
            positive = np.isfinite(flux_err) & (flux_err > 0)
        if bad := int((finite & ~positive).sum()):
            notes.append(f"{number_of(bad, 'point')} of {finite.size:,} without a positive error")
        good = good & positive
    if curves.flagged is not None:
        flagged = np.broadcast_to(curves.flagged[keep], flux.shape)
        bad = int((good & flagged).sum())
        if bad and options.quality == "none":
            notes.append(f"{number_of(bad, 'point')} of {finite.size:,} flagged by the file and kept")
        elif bad:
            notes.append(
                f"{number_of(bad, 'point')} of {finite.size:,} flagged by the file (--quality none keeps them)"
            )
            good = good & ~flagged
    return good


def _hours(curves: Curves, keep: Array) -> tuple[Array, float | None]:
    """Times [h] and their zero [BJD_TDB]."""
    time, clock = np.asarray(curves.time, np.float64)[keep], curves.clock
    if clock.zero is None:
        return time * clock.hours, curves.bjd0
    start = np.floor(time[0])
    return (time - start) * HOURS, float(start + clock.zero) if clock.barycentric else None
