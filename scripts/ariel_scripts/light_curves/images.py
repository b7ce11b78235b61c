"""FITS: ExoTEDRF's spectra, chromatic's rainbows, light curves of TESS and Kepler, and any table or images by name."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.light_curves.arrays import from_arrays
from ariel_scripts.light_curves.clocks import MJD, Clock, clock_of
from ariel_scripts.light_curves.columns import Columns, from_columns
from ariel_scripts.light_curves.curves import Curves, ReadOptions, first_line, microns, missing_extra, simple
from ariel_scripts.light_curves.text import from_astropy
from modeling_ariel.any_telescope.observation import HOURS, Array, ObservationError

# cadences that lightkurve 2.6 leaves out by default: DEFAULT_BITMASK of its TessQualityFlags and KeplerQualityFlags
USELESS = {
    "TESS": 1 | 2 | 4 | 8 | 16 | 32 | 128 | 512 | 16384,
    "KEPLER": 1 | 2 | 4 | 8 | 32 | 256 | 16384 | 65536 | 1048576,
}
USELESS["K2"] = USELESS["KEPLER"]
# [um] effective wavelength and half width: Ricker et al. 2015 (JATIS 1, 014003); Kepler Instrument Handbook
BANDS = {"TESS": (0.7865, 0.2), "KEPLER": (0.6400, 0.2325), "K2": (0.6400, 0.2325)}
MISSION_FLUX = ("PDCSAP_FLUX", "KSPSAP_FLUX", "FLUX", "DET_FLUX", "SAP_FLUX")


def read_fits(path: Path, options: ReadOptions) -> list[Curves]:
    """Light curves of a FITS file."""
    try:
        from astropy.io import fits
    except ImportError:
        raise missing_extra(path.name, "astropy") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units that astropy has no name for
            warnings.filterwarnings("error", message=r"(?s).*(?:truncated|corrupted)")  # nothing is lost in silence
            with fits.open(path, memmap=False) as hdus:
                return _read(path, hdus, options)
    except ObservationError:
        raise
    # what astropy raises of damaged headers and data
    except (OSError, TypeError, ValueError, KeyError, AttributeError, IndexError, fits.VerifyError, Warning) as error:
        raise ObservationError(f"{path.name}: expected a FITS file, found a damaged one: {first_line(error)}") from None


def _read(path: Path, hdus: Any, options: ReadOptions) -> list[Curves]:
    named = {hdu.name.upper(): hdu for hdu in hdus if hdu.data is not None}
    if {"FLUXLIKE", "WAVELIKE", "TIMELIKE"} <= set(named):
        return [_rainbow(path, hdus[0].header, named, options)]
    if "TIME" in named and any(name.startswith("FLUX") for name in named):
        if orders := [name for name in named if re.fullmatch(r"WAVE(?: LOW)?(?: O\d)?", name)]:
            return [_order(path, hdus[0].header, named, order, options) for order in orders]
        arrays = {simple(name): np.asarray(hdu.data) for name, hdu in named.items()}
        return from_arrays(path.name, path.stem, arrays, options)
    tables = [hdu for hdu in hdus if hasattr(hdu, "columns") and hdu.data is not None]
    if not tables:
        found = ", ".join(f"{hdu.name or 'an image'} {np.shape(hdu.data)}" for hdu in hdus)
        raise ObservationError(f"{path.name}: expected a table or extensions FLUX and TIME, found {found}")
    table = next((one for one in tables if {"TIME", "T"} & {name.upper() for name in one.columns.names}), tables[0])
    return _table(path, hdus[0].header, table, options)


# --- ExoTEDRF: radicamc/exoTEDRF, utils.save_extracted_spectra --------------------------------------------------------


def _order(path: Path, header: Any, named: dict[str, Any], wave: str, options: ReadOptions) -> Curves:
    """One order: WAVE, WAVE ERR (or WAVE LOW, WAVE UP), FLUX, FLUX ERR, with O1, O2 after them for SOSS; TIME."""
    where, order = path.name, wave[-3:] if re.search(r" O\d$", wave) else ""
    tail = f"{order}" if order else ""

    def image(name: str) -> Array:
        if f"{name}{tail}" not in named:
            raise ObservationError(f"{where}: expected an extension {name}{tail}, found {', '.join(named)}")
        return np.asarray(named[f"{name}{tail}"].data, np.float64)

    def waves(name: str) -> Array:
        values = image(name)
        unit = str(named[f"{name}{tail}"].header.get("UNITS", ""))
        # edges of older versions are repeated for every integration
        return microns(where, name, values[0] if values.ndim == 2 else values, unit, options.wavelength_unit)

    if wave.startswith("WAVE LOW"):
        low, high = waves("WAVE LOW"), waves("WAVE UP")
        wavelength: Array = (low + high) / 2
        half: Array | None = np.abs(high - low) / 2
    else:
        wavelength, half = waves("WAVE"), np.abs(waves("WAVE ERR")) if f"WAVE ERR{tail}" in named else None
    times = np.asarray(named["TIME"].data, np.float64)
    flux = image("FLUX")
    if flux.shape != (len(times), len(wavelength)):
        raise ObservationError(f"{where}: FLUX{tail}: expected {(len(times), len(wavelength))}, found {flux.shape}")
    unit = str(named["TIME"].header.get("UNITS", ""))
    mode = str(header.get("OBSMODE", header.get("INST", "")))
    target = str(header.get("TARGET", path.stem))
    return Curves(
        f"{target}, order {order[-1]}" if order else target,
        times,
        clock_of(where, "TIME", unit, times, options.time_unit, modified=True),
        flux,
        image("FLUX ERR"),
        wavelength,
        half,
        instrument=f"{mode or 'NIRISS/SOSS'} order {order[-1]}" if order else mode,
        regressors={name: _regressor(where, name, named, times) for name in options.regressors},
    )


def _regressor(where: str, name: str, named: dict[str, Any], times: Array) -> Array:
    found = [one for one, hdu in named.items() if np.shape(hdu.data) == times.shape and one != "TIME"]
    if name.upper() not in found:
        raise ObservationError(f"{where}: --regressor {name}: expected one of {', '.join(found) or 'none'}, found none")
    return np.asarray(named[name.upper()].data, np.float64)


# --- chromatic: zkbt/chromatic, writers/rainbow_FITS.py ---------------------------------------------------------------


def _rainbow(path: Path, header: Any, named: dict[str, Any], options: ReadOptions) -> Curves:
    """A rainbow: tables FLUXLIKE (wavelength rows of T values), WAVELIKE, TIMELIKE."""
    where = path.name
    wave, times_of, flux_of = (_by_name(named[name]) for name in ("WAVELIKE", "TIMELIKE", "FLUXLIKE"))
    unit_of = {name: {column.name.lower(): column.unit or "" for column in named[name].columns}
               for name in ("WAVELIKE", "TIMELIKE")}  # fmt: skip
    flux_name = (options.flux or "flux").lower()
    for key, table, title in ((flux_name, flux_of, "FLUXLIKE"), ("wavelength", wave, "WAVELIKE"),
                              ("time", times_of, "TIMELIKE")):  # fmt: skip
        if key not in table:
            raise ObservationError(f"{where}: {title}: expected a column {key}, found {', '.join(table)}")
    times = times_of["time"]

    def wavelength(name: str) -> Array:
        return microns(where, name, wave[name], unit_of["WAVELIKE"][name], options.wavelength_unit)

    half = None
    if {"wavelength_lower", "wavelength_upper"} <= set(wave):
        half = np.abs(wavelength("wavelength_upper") - wavelength("wavelength_lower")) / 2
    bad = np.zeros(flux_of[flux_name].T.shape, bool)
    for table, turn in (
        (flux_of, lambda one: one.T),
        (wave, lambda one: one[None]),
        (times_of, lambda one: one[:, None]),
    ):
        if "ok" in table:
            bad |= turn(table["ok"]) <= 0
    asked = {}
    for name in options.regressors:
        if name.lower() not in times_of:
            raise ObservationError(f"{where}: --regressor {name}: expected one of {', '.join(times_of)}, found none")
        asked[name] = times_of[name.lower()]
    return Curves(
        str(header.get("NAME") or path.name.split(".")[0]),
        times,
        clock_of(where, "time", unit_of["TIMELIKE"]["time"], times, options.time_unit),
        flux_of[flux_name].T,
        flux_of["uncertainty"].T if "uncertainty" in flux_of else None,
        wavelength("wavelength"),
        half,
        bad,
        regressors=asked,
    )


def _by_name(hdu: Any) -> dict[str, Array]:
    """Columns of numbers in lower case."""
    return {
        name.lower(): np.asarray(hdu.data[name], np.float64)
        for name in hdu.columns.names
        if hdu.data[name].dtype.kind in "fiub"
    }


# --- tables of missions -----------------------------------------------------------------------------------------------


def _table(path: Path, header: Any, hdu: Any, options: ReadOptions) -> list[Curves]:
    """A table by its columns' names; BJDREFI, QUALITY, TIMEDEL as TESS and Kepler write them."""
    from astropy.table import Table

    columns = from_astropy(path.name, Table.read(hdu, format="fits"))
    columns.meta = {}
    own = hdu.header
    mission = str(header.get("MISSION") or header.get("TELESCOP") or own.get("TELESCOP") or "").strip().upper()
    time = next((name for name in columns.values if name.upper() in ("TIME", "T")), None)
    reference = own.get("BJDREFI", own.get("MJDREFI"))
    if time is None or reference is None:
        return from_columns(path.stem, columns, options)
    if not options.flux:
        upper = {name.upper(): name for name in columns.values}
        chosen = next((upper[name] for name in MISSION_FLUX if name in upper), None)
        others = [name for name in MISSION_FLUX if name in upper and upper[name] != chosen]
        columns = _only(columns, chosen, [upper[name] for name in others])
    quality = next((name for name in columns.values if name.upper() in ("QUALITY", "SAP_QUALITY")), None)
    if quality is not None and mission in USELESS:
        columns.values[quality] = columns.numbers(quality).astype(np.int64) & USELESS[mission]
    curves = from_columns(str(header.get("OBJECT") or path.stem), columns, _counted(options))
    return [_of_mission(path.name, mission, own, made, options) for made in curves]


def _of_mission(where: str, mission: str, own: Any, made: Curves, options: ReadOptions) -> Curves:
    """Light curves with the clock, band and exposure of a header."""
    if not options.time_unit:
        made.clock = _reference(where, own)
    made.instrument = mission.title() if mission != "TESS" else mission
    if mission in BANDS and made.wavelength is None:
        middle, half = BANDS[mission]
        made.wavelength, made.half_width = np.array([middle]), np.array([half])
    if own.get("TIMEDEL"):  # [d]
        made.exposure = float(own["TIMEDEL"]) * HOURS
    return made


def _only(columns: Columns, chosen: str | None, others: list[str]) -> Columns:
    """Without the other fluxes, said in a note."""
    if chosen is not None and others:
        columns.notes.append(f"flux is {chosen}, not {', '.join(others)} (otherwise --flux)")
        columns.values = {name: one for name, one in columns.values.items() if name not in others}
    return columns


def _counted(options: ReadOptions) -> ReadOptions:
    """Days, of which the header says where they count from."""
    return options if options.time_unit else replace(options, time_unit="d")


def _reference(where: str, header: Any) -> Clock:
    """The clock of a header with BJDREFI and BJDREFF, or MJDREFI of times at the barycentre."""
    unit = str(header.get("TIMEUNIT", "d")).strip().lower()
    if unit not in ("d", "day", "days"):
        raise ObservationError(f"{where}: TIMEUNIT: expected d, found {unit}")
    prefix, shift = ("BJD", 0.0) if "BJDREFI" in header else ("MJD", MJD)
    zero = float(header[f"{prefix}REFI"]) + float(header.get(f"{prefix}REFF", 0.0)) + shift
    where_to = str(header.get("TIMEREF", "SOLARSYSTEM" if prefix == "BJD" else "LOCAL")).strip().upper()
    barycentric = where_to in ("SOLARSYSTEM", "BARYCENTER", "BARYCENTRIC")
    scale = str(header.get("TIMESYS", "TDB")).strip().upper()
    note = "" if barycentric and scale == "TDB" else f"times are {scale} at {where_to}, up to minutes off BJD_TDB"
    return Clock(f"{prefix} - {zero:.1f}", HOURS, zero, barycentric, note)
