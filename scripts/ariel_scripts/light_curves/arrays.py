"""NPZ files: an observation's own names, the sets of other instruments, flat tables. Pickles are never loaded."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.light_curves.clocks import CLOCKS, JULIAN, MJD, MODIFIED, clock_of
from ariel_scripts.light_curves.columns import BAD, ERROR, FLUX, GOOD, HALF, WAVE, Columns, from_columns
from ariel_scripts.light_curves.curves import Curves, ReadOptions, first_line, microns, simple
from modeling_ariel.any_telescope.observation import Array, Flags, ObservationError

# Ariel's bands at the resolution of its second tier [um]: what the 55 channels of the challenge of 2021 are
ADC_2021 = np.concatenate(
    [[0.55, 0.7, 0.95], np.geomspace(1.15, 1.87, 6), np.geomspace(1.97, 3.86, 35), np.geomspace(4.03, 7.55, 11)]
)
REGRESSORS = "regressors/"  # before the names of an observation's own


def read_npz(path: Path, options: ReadOptions) -> list[Curves]:
    """Light curves of an NPZ file."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                if isinstance(one := file[key], np.ndarray):  # a zip may have other files
                    arrays[key] = one
    except (ValueError, OSError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
        what = (
            "objects, which are pickles and never loaded"
            if "pickle" in str(error)
            else f"another file ({first_line(error)})"
        )
        raise ObservationError(f"{path.name}: expected arrays of numbers, found {what}") from None
    return from_arrays(path.name, path.stem, arrays, options)


def from_arrays(where: str, name: str, arrays: Mapping[str, NDArray[Any]], options: ReadOptions) -> list[Curves]:
    """Light curves of named arrays: (T, C) flux with times and wavelengths, or a flat table of (T,) columns."""
    if {"flux", "rp", "header"} <= set(arrays):
        return [_challenge_2021(where, name, arrays)]
    flux = _find(arrays, (options.flux,) if options.flux else FLUX)
    if flux is None:
        listed = ", ".join(f"{key} {value.shape}" for key, value in list(arrays.items())[:8])
        raise ObservationError(f"{where}: expected an array flux, found {listed or 'no arrays'}")
    own = any(key in arrays for key in ("time_h", "bjd0")) or arrays[flux].ndim == 2
    if not own:
        table = {key: value for key, value in arrays.items() if value.ndim == 1 and len(value) == len(arrays[flux])}
        return from_columns(name, Columns(where, table), options)
    return [_own(where, name, arrays, flux, options)]


def _find(arrays: Mapping[str, Any], words: tuple[str, ...]) -> str | None:
    names = {simple(key): key for key in arrays}
    return next((names[simple(word)] for word in words if simple(word) in names), None)


def _text(arrays: Mapping[str, Any], key: str, default: str = "") -> str:
    return str(arrays[key]) if key in arrays else default


def _own(where: str, name: str, arrays: Mapping[str, NDArray[Any]], flux: str, options: ReadOptions) -> Curves:
    """An observation's own names; a time of hours from ``bjd0``, or of the clock that it looks like."""
    time_name = _find(
        arrays, ("time_h", "time", "bjd_tdb", "bjdtdb", "bjd", "bmjd_tdb", "bmjd", "btjd", "mjd", "jd", "t")
    )
    if time_name is None:
        raise ObservationError(f"{where}: expected an array time, time_h or bjd_tdb, found {', '.join(arrays)}")
    times = np.asarray(arrays[time_name], np.float64)
    # an observation's own hours
    counted = "bjd0" in arrays and simple(time_name) in ("time", "time_h") and not options.time_unit
    clock = CLOCKS["h"] if counted else clock_of(where, time_name, "", times, options.time_unit)
    values = np.asarray(arrays[flux], np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if times.ndim != 1 or values.ndim != 2 or len(values) != len(times):
        raise ObservationError(f"{where}: {flux}: expected (T, C) of {times.size} times, found {values.shape}")
    notes: list[str] = []
    made = Curves(_text(arrays, "name", name), times, clock, values, notes=notes)
    made.instrument = _text(arrays, "instrument")
    made.bjd0 = full_days(float(arrays["bjd0"]), notes) if counted else None
    if error := _find(arrays, (f"{flux}_err", *ERROR)):
        made.flux_err = _like(where, error, arrays[error], values)
    if wave := _find(arrays, (*WAVE, "wavelength_um")):
        made.wavelength = microns(where, wave, _channels(where, wave, arrays, values), "", options.wavelength_unit)
    if half := _find(arrays, HALF):
        made.half_width = microns(where, half, _channels(where, half, arrays, values), "", options.wavelength_unit)
    made.flagged = _flagged(where, arrays, values)
    if "exposure" in arrays:
        made.exposure = np.asarray(arrays["exposure"], np.float64)
    made.regressors = {key.removeprefix(REGRESSORS): np.asarray(one, np.float64) for key, one in arrays.items()
                       if key.startswith(REGRESSORS)}  # fmt: skip
    for one in options.regressors:
        made.regressors[one] = _regressor(where, one, arrays, made)
    if note := _text(arrays, "note"):
        notes.append(f"the file says: {note}")
    return made


def _regressor(where: str, name: str, arrays: Mapping[str, NDArray[Any]], made: Curves) -> Array:
    if name in made.regressors:
        return made.regressors[name]
    found = [key for key, one in arrays.items() if np.shape(one) == made.time.shape]
    if name not in found:
        raise ObservationError(
            f"{where}: --regressor {name}: expected one of {', '.join([*made.regressors, *found])}, found none"
        )
    return np.asarray(arrays[name], np.float64)


def _like(where: str, key: str, values: NDArray[Any], flux: Array) -> Array:
    array = np.asarray(values, np.float64)
    array = array[:, None] if array.shape == flux.shape[:1] else array
    if array.shape not in (flux.shape, (len(flux), 1), (1, flux.shape[1]), ()):
        raise ObservationError(f"{where}: {key}: expected {flux.shape} as flux has, found {array.shape}")
    return np.broadcast_to(array, flux.shape)


def _channels(where: str, key: str, arrays: Mapping[str, NDArray[Any]], flux: Array) -> Array:
    array = np.atleast_1d(np.asarray(arrays[key], np.float64))
    if array.shape != flux.shape[1:]:
        raise ObservationError(f"{where}: {key}: expected {flux.shape[1]} as flux has channels, found {array.shape}")
    return array


def _flagged(where: str, arrays: Mapping[str, NDArray[Any]], flux: Array) -> Flags | None:
    bad: Flags | None = None
    for words, wrong in ((GOOD, False), (BAD, True)):
        if key := _find(arrays, words):
            one = (_like(where, key, arrays[key], flux) != 0) == wrong
            bad = one if bad is None else bad | one
    return bad


def full_days(bjd0: float, notes: list[str]) -> float | None:
    """A zero [BJD_TDB], also where it was given modified; None of NaN."""
    if not np.isfinite(bjd0):
        return None
    if MODIFIED[0] < bjd0 < MODIFIED[1]:
        notes.append("bjd0 is modified (BMJD): 2,400,000.5 added")
        return bjd0 + MJD
    if not JULIAN[0] < bjd0 < JULIAN[1]:
        notes.append(f"bjd0 of {bjd0:g} is no BJD and not used")
        return None
    return bjd0


def _challenge_2021(where: str, name: str, arrays: Mapping[str, NDArray[Any]]) -> Curves:
    """A light curve of the Ariel challenge of 2021, which has neither times nor wavelengths."""
    flux = np.asarray(arrays["flux"], np.float64)
    if flux.ndim != 2 or flux.shape[1] != len(ADC_2021):
        raise ObservationError(
            f"{where}: flux: expected (T, {len(ADC_2021)}) of the challenge of 2021, found {flux.shape}"
        )
    time = (np.arange(len(flux)) + 0.5) / 60
    assumed = "challenge of 2021: exposures of a minute and the wavelengths of Ariel's second tier are assumed"
    return Curves(name, time, CLOCKS["h"], flux, None, ADC_2021, instrument="Ariel", exposure=1 / 60, notes=[assumed])
