"""A table's columns → light curves: a row a time (white), one a time and wavelength (long), a column a channel (wide).

Columns are found by name, with units in brackets or beside: docs of ``ReadOptions`` and the tuples below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.light_curves.clocks import clock_of, is_time
from ariel_scripts.light_curves.curves import SUFFIXES, Curves, ReadOptions, microns, simple
from hf_dataset.words import number_of
from modeling_ariel.any_telescope.observation import Array, Flags, ObservationError

FLUX = (
    "flux",
    "lcdata",
    "raw_flux",
    "rawflux",
    "norm_flux",
    "flux_norm",
    "normalized_flux",
    "normalised_flux",
    "relative_flux",
    "rel_flux",
    "pdcsap_flux",
    "kspsap_flux",
    "det_flux",
    "sap_flux",
)
ERROR = (
    "flux_err",
    "fluxerr",
    "flux_error",
    "flux_unc",
    "flux_uncertainty",
    "lcerr",
    "e_flux",
    "err_flux",
    "sigma_flux",
    "flux_sigma",
    "error",
    "err",
    "uncertainty",
    "unc",
    "sigma",
    "yerr",
)
WAVE = ("wavelength", "wavelengths", "wave", "wave_mid", "wave_1d", "wl", "lambda", "central_wavelength")
HALF = ("half_width", "wave_err", "wavelength_err")
WHOLE = ("bin_width", "width_wavelength", "wavelength_width", "bandwidth")
LOW = ("wave_low", "wavelength_lower", "wavelength_low", "start_wavelength")
HIGH = ("wave_hi", "wave_high", "wave_up", "wavelength_upper", "wavelength_high", "end_wavelength")
GOOD, BAD = ("valid", "ok", "good"), ("quality", "flag", "flags", "mask", "sap_quality")
EXPOSURE = {"h": 1.0, "hr": 1.0, "hour": 1.0, "hours": 1.0, "s": 1 / 3600, "sec": 1 / 3600, "seconds": 1 / 3600,
            "min": 1 / 60, "d": 24.0, "day": 24.0, "days": 24.0}  # fmt: skip
NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?)"
UNITS_OF_NAMES = r"(?:_?(um|micron|microns|nm|angstrom))?"
FEWEST_FILLED = 0.2  # of a long table's grid


@dataclass
class Columns:
    """Columns (n,) by name, numbers or text, ``units`` in words, ``meta`` of the file; ``where`` it is from."""

    where: str
    values: dict[str, NDArray[np.generic]]
    units: dict[str, str] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def find(self, words: tuple[str, ...]) -> str | None:
        """The first column that has one of these names, a unit after it or not."""
        names = {simple(name): name for name in self.values}
        for word in words:
            for name, own in names.items():
                if name == word or (name.startswith(f"{word}_") and name[len(word) + 1 :] in SUFFIXES):
                    return own
        return None

    def numbers(self, name: str) -> Array:
        """A column as numbers, NaN where empty; ObservationError with the row of any text."""
        column = self.values[name]
        if column.dtype.kind in "fiub":
            return np.asarray(column, np.float64)
        texts = [str(one).strip() for one in column]
        try:
            return np.array([np.nan if text.lower() in EMPTY else float(text) for text in texts])
        except ValueError:
            row = next(place for place, text in enumerate(texts) if text.lower() not in EMPTY and not _is_number(text))
            raise ObservationError(
                f"{self.where}: {name}: expected numbers, found {texts[row][:40]!r} in row {row + 1}"
            ) from None

    def listed(self) -> str:
        """Names for a message."""
        names = list(self.values)
        return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")

    def at(self, rows: Flags) -> Columns:
        """Some of the rows."""
        return replace(self, values={name: column[rows] for name, column in self.values.items()})


EMPTY = ("", "nan", "null", "none", "na", "n/a", "--", "masked")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def from_columns(name: str, columns: Columns, options: ReadOptions) -> list[Curves]:
    """Light curves of each visit and instrument of a table."""
    groups = [(name, "", columns)]
    for word, title in (("instrument", "{}"), ("visit", "visit {}")):
        column = columns.find((word,))
        if column is not None:
            groups = [part for group in groups for part in _split(column, title, word == "instrument", *group)]
    return [_curves(title, instrument, part, options) for title, instrument, part in groups]


def _split(column: str, title: str, named: bool, name: str, instrument: str, columns: Columns) -> list:
    texts = np.array([str(one).strip() for one in columns.values[column]])
    found = list(dict.fromkeys(texts))
    return [
        (
            name if len(found) == 1 else f"{name}, {title.format(text)}",
            text if named else instrument,
            columns.at(texts == text),
        )
        for text in found
    ]


def _curves(name: str, instrument: str, columns: Columns, options: ReadOptions) -> Curves:
    """Light curves of one visit."""
    time_name = _time(columns, options)
    eureka = {"lcdata", "lcerr"} <= {simple(one) for one in columns.values}
    times = columns.numbers(time_name)
    unit = columns.units.get(time_name, "")
    given = options.time_unit or columns.meta.get("time_unit") or ("bmjd" if eureka and not unit else None)
    clock = clock_of(columns.where, time_name, unit, times, given, eureka)
    made = Curves(
        columns.meta.get("name", name),
        times,
        clock,
        np.empty((0, 0)),
        instrument=instrument or columns.meta.get("instrument", ""),
        notes=list(columns.notes),
    )
    if clock.zero is None and "bjd0" in columns.meta:
        made.bjd0 = float(columns.meta["bjd0"])
    flux = _flux(columns, options)
    channels = _wide(columns, options) if flux is None or not options.flux else {}
    if flux is not None and channels:
        raise ObservationError(
            f"{columns.where}: expected one column of flux or one a channel, found {flux} and {next(iter(channels))}: "
            f"name one by --flux"
        )
    if flux is None and not channels:
        raise ObservationError(
            f"{columns.where}: expected a column of flux ({', '.join(FLUX[:4])}, or by --flux), found "
            f"{columns.listed()}"
        )
    if flux is not None and columns.units.get(flux, "").lower() in ("mag", "mmag"):
        raise ObservationError(f"{columns.where}: {flux}: expected flux, found magnitudes: 10**(-0.4 mag) is flux")
    wanted = {one: _wanted(columns, one) for one in options.regressors}
    if flux is None:
        _fill_wide(made, columns, channels)
    elif (wave := columns.find(WAVE)) is None or len(np.unique(columns.numbers(wave))) == 1:
        _fill_white(made, columns, flux, wave, eureka, options)
    else:
        _fill_long(made, columns, flux, wave, wanted, eureka, options)
        return made
    made.regressors = {one: columns.numbers(own) for one, own in wanted.items()}
    made.exposure = _exposure(made, columns)
    return made


def _time(columns: Columns, options: ReadOptions) -> str:
    """The column of times, the barycentric one of several."""
    found = [name for name in columns.values if is_time(name)]
    if not found:
        phase = " (phases are no times)" if columns.find(("phase",)) else ""
        raise ObservationError(
            f"{columns.where}: expected a column of times (time, time_h, bjd_tdb, btjd, mjd …){phase}, found "
            f"{columns.listed()}"
        )
    order = ("bjd", "bmjd", "mjd_tdb", "btjd", "bkjd")
    best = next((name for word in order for name in found if word in simple(name)), found[0])
    if len(found) > 1:
        columns.notes.append(f"times are those of {best}, not of {', '.join(one for one in found if one != best)}")
    return best


def _flux(columns: Columns, options: ReadOptions) -> str | None:
    if options.flux:
        return _wanted(columns, options.flux, "--flux")
    return columns.find(FLUX)


def _wanted(columns: Columns, name: str, option: str = "--regressor") -> str:
    """A column that a user named."""
    found = {simple(one): one for one in columns.values}.get(simple(name))
    if found is None:
        raise ObservationError(f"{columns.where}: {option} {name}: expected one of {columns.listed()}, found none")
    return found


def _error_of(columns: Columns, flux: str) -> str | None:
    """The column of a flux's errors: its own, else any."""
    stem = simple(flux)
    own = columns.find((f"{stem}_err", f"{stem}err", f"{stem}_error", f"{stem}_unc", f"{stem}_sigma", f"e_{stem}",
                        f"err_{stem}", f"sigma_{stem}"))  # fmt: skip
    return own or columns.find(ERROR)


def _flags(columns: Columns) -> Flags | None:
    """Rows (n,) that the table calls bad."""
    bad: Flags | None = None
    for words, wrong in ((GOOD, False), (BAD, True)):
        column = columns.find(words)
        if column is not None:
            flags = _truths(columns, column) if wrong else ~_truths(columns, column)
            bad = flags if bad is None else bad | flags
    return bad


def _truths(columns: Columns, name: str) -> Flags:
    column = columns.values[name]
    if column.dtype.kind in "fiub":
        return np.nan_to_num(np.asarray(column, np.float64), nan=1.0) != 0
    words = {"true": True, "t": True, "yes": True, "false": False, "f": False, "no": False}
    texts = [str(one).strip().lower() for one in column]
    if all(text in words for text in texts):
        return np.array([words[text] for text in texts])
    return np.nan_to_num(columns.numbers(name), nan=1.0) != 0


def _exposure(made: Curves, columns: Columns) -> Array | None:
    """Exposures (n,) [h] of a column whose unit is known; EXPTIME is in seconds as in FITS."""
    for name in columns.values:
        bare, _, suffix = simple(name).partition("_time")[0].partition("_")
        if bare not in ("exposure", "exptime", "exp"):
            continue
        unit = columns.units.get(name) or suffix or ("s" if bare == "exptime" else "")
        unit = simple(unit)
        if unit in EXPOSURE:
            return columns.numbers(name) * EXPOSURE[unit]
        made.notes.append(f"{name} without a unit is not used: the median time step is taken (otherwise --exposure)")
    return None


def _widths(columns: Columns, eureka: bool, options: ReadOptions, made: Curves) -> Array | None:
    """Half widths (n,) [um] of channels."""

    def read(name: str) -> Array:
        return _micron_column(columns, name, options)

    low, high = columns.find(LOW), columns.find(HIGH)
    if low and high:
        return np.abs(read(high) - read(low)) / 2
    if (half := columns.find(HALF)) is not None:
        return read(half)
    if (whole := columns.find(WHOLE)) is None:
        return None
    if eureka:  # its bin_width is (wave_hi - wave_low) / 2
        return read(whole)
    made.notes.append(f"{whole} is taken as the whole width of a channel")
    return read(whole) / 2


def _micron_column(columns: Columns, name: str, options: ReadOptions) -> Array:
    """A column in um, by its unit; widths without one are in that of the wavelengths."""

    def unit_of(one: str) -> str:
        _, _, tail = simple(one).rpartition("_")
        return columns.units.get(one, "") or (tail if tail in SUFFIXES else "")

    unit = unit_of(name) or unit_of(columns.find(WAVE) or "")
    given = options.wavelength_unit or columns.meta.get("wavelength_unit")
    return microns(columns.where, name, columns.numbers(name), unit, given)


def _fill_white(
    made: Curves, columns: Columns, flux: str, wave: str | None, eureka: bool, options: ReadOptions
) -> None:
    made.flux = columns.numbers(flux)[:, None]
    if (error := _error_of(columns, flux)) is not None:
        made.flux_err = columns.numbers(error)[:, None]
    flags = _flags(columns)
    made.flagged = None if flags is None else flags[:, None]
    if wave is not None:
        made.wavelength = _micron_column(columns, wave, options)[:1]
        widths = _widths(columns, eureka, options, made)
        made.half_width = None if widths is None else widths[:1]


def _fill_wide(made: Curves, columns: Columns, channels: dict[str, float]) -> None:
    """A column a channel, its errors beside it."""
    made.wavelength = np.array(list(channels.values()))
    made.flux = np.stack([columns.numbers(name) for name in channels], 1)
    errors = [_wide_error(columns, name) for name in channels]
    if any(errors):
        if not all(errors):
            lonely = next(name for name, error in zip(channels, errors, strict=True) if error is None)
            raise ObservationError(f"{columns.where}: expected errors of every channel, found none of {lonely}")
        made.flux_err = np.stack([columns.numbers(str(name)) for name in errors], 1)
    flags = _flags(columns)
    made.flagged = None if flags is None else flags[:, None]


def _wide(columns: Columns, options: ReadOptions) -> dict[str, float]:
    """Columns that are channels and their wavelengths [um]: ``flux_1.40``, ``1.40``, ``flux_1400nm``."""
    found: dict[str, tuple[float, str]] = {}
    for name in columns.values:
        match = re.fullmatch(rf"(?:flux_|f_|flux|wave_|wavelength_)?{NUMBER}{UNITS_OF_NAMES}", simple(name))
        if match and not is_time(name):
            found[name] = (float(match[1]), match[2] or columns.meta.get("wavelength_unit", ""))
    return {
        name: float(microns(columns.where, name, np.array([number]), unit, options.wavelength_unit)[0])
        for name, (number, unit) in found.items()
    }


def _wide_error(columns: Columns, channel: str) -> str | None:
    label = re.sub(r"^(?:flux_|f_|flux|wave_|wavelength_)", "", simple(channel))
    words = (f"flux_err_{label}", f"fluxerr_{label}", f"flux_error_{label}", f"err_{label}", f"error_{label}",
             f"e_{label}", f"sigma_{label}", f"{simple(channel)}_err", f"{simple(channel)}_error",
             f"{label}_err", f"{label}_error")  # fmt: skip
    return columns.find(words)


def _fill_long(
    made: Curves, columns: Columns, flux: str, wave: str, wanted: dict[str, str], eureka: bool, options: ReadOptions
) -> None:
    """A row a time and wavelength → (T, C); combinations that are missing are NaN."""
    waves, times = _micron_column(columns, wave, options), made.time
    whole = np.isfinite(times) & np.isfinite(waves)
    if not whole.all():
        made.notes.append(
            f"{number_of(int((~whole).sum()), 'row')} of {len(whole):,} without time or wavelength left out"
        )
    time, at_time = np.unique(times[whole], return_inverse=True)
    wavelength, at_wave = np.unique(waves[whole], return_inverse=True)
    shape = (len(time), len(wavelength))
    flat, first = np.unique(at_time * shape[1] + at_wave, return_index=True)
    again = int(whole.sum()) - len(flat)
    if again > max(1, 0.01 * len(flat)):
        raise ObservationError(
            f"{columns.where}: expected each time and wavelength once, found {again:,} of {int(whole.sum()):,} rows "
            "repeated: several visits need a column visit or a file each"
        )
    if again:
        made.notes.append(f"{number_of(again, 'row')} with a repeated time and wavelength left out, the first kept")
    if len(flat) < FEWEST_FILLED * shape[0] * shape[1]:
        raise ObservationError(
            f"{columns.where}: expected the same times for all wavelengths, found {shape[0]:,} times and {shape[1]:,} "
            f"wavelengths with {len(flat) / (shape[0] * shape[1]):.0%} of their combinations"
        )

    def grid(values: NDArray, fill: float | bool) -> NDArray:
        full = np.full(shape, fill)
        full.flat[flat] = values[whole][first]
        return full

    def one_a_time(name: str, values: Array) -> Array:
        full = np.full(shape, np.nan)
        full.flat[flat] = values[whole][first]
        low, high = np.nanmin(full, 1), np.nanmax(full, 1)
        if not (high - low <= 1e-9 * np.abs(high)).all():
            row = int(np.argmax(high - low))
            raise ObservationError(
                f"{columns.where}: {name}: expected one value a time, found {low[row]:g} to {high[row]:g} "
                f"at {time[row]:g}"
            )
        return low

    made.time, made.wavelength = time, wavelength
    made.flux = grid(columns.numbers(flux), np.nan)
    if (error := _error_of(columns, flux)) is not None:
        made.flux_err = grid(columns.numbers(error), np.nan)
    if (flags := _flags(columns)) is not None:
        made.flagged = grid(flags, False)
    if (widths := _widths(columns, eureka, options, made)) is not None:
        place = np.unique(at_wave, return_index=True)[1]
        made.half_width = widths[whole][place]
    made.regressors = {one: one_a_time(one, columns.numbers(own)) for one, own in wanted.items()}
    if (exposure := _exposure(made, columns)) is not None:
        made.exposure = one_a_time("exposure", exposure)
