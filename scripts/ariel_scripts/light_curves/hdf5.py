"""HDF5 and netCDF4: Eureka!'s stages 3 and 4, chromatic's xarray of raw light curves, an observation's own names.

Eureka! writes xarray datasets by astraeus (kevin218/Eureka s4_genLC.py, kevin218/Astraeus xarrayIO.py): ``data``,
``err``, ``mask`` (wavelength, time), where the mask is true for bad points, and ``time`` with ``time_units``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.light_curves.arrays import REGRESSORS, from_arrays
from ariel_scripts.light_curves.clocks import clock_of
from ariel_scripts.light_curves.curves import Curves, ReadOptions, first_line, microns, missing_extra
from modeling_ariel.any_telescope.observation import Array, ObservationError


@dataclass(frozen=True)
class Layout:
    """Names of the arrays that a pipeline writes; ``by_wave`` where they are (wavelength, time)."""

    flux: str
    err: str
    mask: str
    wave: tuple[str, ...]
    by_wave: bool
    half: str = "wave_err"
    edges: tuple[str, str] = ("wave_low", "wave_hi")


LAYOUTS = {
    "Eureka! stage 4": Layout("data", "err", "mask", ("wave_mid", "wavelength"), True),
    "Eureka! stage 3": Layout("optspec", "opterr", "optmask", ("wave_1d",), False),
    "chromatic": Layout(
        "raw_flux", "raw_flux_error", "", ("wavelength",), True, edges=("start_wavelength", "end_wavelength")
    ),
}


def read_hdf5(path: Path, options: ReadOptions) -> list[Curves]:
    """Light curves of an HDF5 file."""
    try:
        import h5py
    except ImportError:
        raise missing_extra(path.name, "h5py") from None
    arrays: dict[str, NDArray[Any]] = {}
    units: dict[str, str] = {}

    def keep(key: str, item: Any) -> None:
        if not isinstance(key, str):  # a name in other bytes than UTF-8
            return
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise ObservationError(f"{path.name}: {key}: expected its numbers in this file, found a link to another")
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
            arrays[key], units[key] = item[()], _unit(item.attrs)
        elif isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype) and item.shape == ():
            arrays[key] = np.array(item.asstr()[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(keep)
            arrays |= {key: np.array(_plain(file.attrs[key])) for key in ("name", "instrument") if key in file.attrs}
    except ObservationError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # what h5py raises of damaged bytes
        raise ObservationError(
            f"{path.name}: expected an HDF5 file, found a damaged one: {first_line(error)}"
        ) from None
    for pipeline, layout in LAYOUTS.items():
        if layout.flux in arrays and "time" in arrays:
            return [_pipeline(path, pipeline, layout, arrays, units, options)]
    groups = {key.rpartition("/")[0] for key in arrays if key.rpartition("/")[2] == "flux"}
    made = []
    for group in sorted(groups):  # one observation a group
        prefix = f"{group}/" if group else ""
        inside = {key.removeprefix(prefix): one for key, one in arrays.items() if key.startswith(prefix)}
        made += from_arrays(path.name, group or path.stem, inside, options)
    if not made:
        raise ObservationError(
            f"{path.name}: expected flux and time, or data (Eureka! stage 4), optspec (stage 3), raw_flux (chromatic), "
            f"found {', '.join(list(arrays)[:12]) or 'no arrays'}"
        )
    return made


def _plain(value: Any) -> Any:
    """An attribute as text or number."""
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode() if isinstance(value, bytes) else value


def _unit(attributes: Any) -> str:
    """The unit of a variable, as astraeus or chromatic name it."""
    for key in ("time_units", "wave_units", "units"):
        if key in attributes:
            return str(_plain(attributes[key]))
    return ""


def _pipeline(
    path: Path,
    pipeline: str,
    layout: Layout,
    arrays: dict[str, NDArray[Any]],
    units: dict[str, str],
    options: ReadOptions,
) -> Curves:
    """Light curves of one of LAYOUTS, or the one (T,) that ``options.flux`` names, such as flux_white."""
    where = path.name
    times = np.asarray(arrays["time"], np.float64)
    eureka = pipeline.startswith("Eureka")
    unit = units.get("time", "")
    clock = clock_of(where, "time", "" if unit == "None" else unit, times, options.time_unit, eureka)
    notes = []
    if options.flux and options.flux != layout.flux:
        made = _white(where, options.flux, arrays, times)
        return Curves(
            path.stem, times, clock, **made, instrument=pipeline, regressors=_asked(where, arrays, times, options)
        )
    wave = next((one for one in layout.wave if one in arrays), None)
    if wave is None:
        raise ObservationError(f"{where}: expected {' or '.join(layout.wave)}, found {', '.join(list(arrays)[:12])}")
    wave_unit = next((units[one] for one in (*layout.wave, layout.flux) if units.get(one)), "")
    waves = microns(where, wave, np.atleast_1d(arrays[wave]).astype(np.float64), wave_unit, options.wavelength_unit)
    shape = (len(waves), len(times)) if layout.by_wave else (len(times), len(waves))

    def turned(key: str) -> Array:
        if arrays[key].shape != shape:
            raise ObservationError(f"{where}: {key}: expected {shape}, found {arrays[key].shape}")
        array = np.asarray(arrays[key], np.float64)
        return array.T if layout.by_wave else array

    half: Array | None = None
    if layout.half in arrays:
        half = np.atleast_1d(np.asarray(arrays[layout.half], np.float64))
    elif all(one in arrays for one in layout.edges):
        half = np.abs(np.atleast_1d(arrays[layout.edges[1]] - arrays[layout.edges[0]])).astype(np.float64) / 2
    if half is not None:
        half = microns(where, layout.half, half, wave_unit, options.wavelength_unit)
    if "flux_white" in arrays:
        notes.append("flux_white is not read (otherwise --flux flux_white)")
    if "quality_flag" in arrays:
        notes.append("quality_flag is not used, as pipelines mean different things by it")
    return Curves(
        path.stem,
        times,
        clock,
        turned(layout.flux),
        turned(layout.err) if layout.err in arrays else None,
        waves,
        half,
        turned(layout.mask) != 0 if layout.mask in arrays else None,
        instrument=pipeline if not eureka else "",
        regressors=_asked(where, arrays, times, options),
        notes=notes,
    )


def _white(where: str, flux: str, arrays: dict[str, NDArray[Any]], times: Array) -> dict[str, Any]:
    if flux not in arrays or arrays[flux].shape != times.shape:
        listed = ", ".join(key for key, one in arrays.items() if one.shape == times.shape)
        raise ObservationError(f"{where}: --flux {flux}: expected one of {listed}, found none")
    tail = flux.removeprefix("flux")
    error, mask = arrays.get(f"err{tail}"), arrays.get(f"mask{tail}")
    return {
        "flux": np.asarray(arrays[flux], np.float64)[:, None],
        "flux_err": None if error is None else np.asarray(error, np.float64)[:, None],
        "flagged": None if mask is None else np.asarray(mask)[:, None] != 0,
    }


def _asked(where: str, arrays: dict[str, NDArray[Any]], times: Array, options: ReadOptions) -> dict[str, Array]:
    """Columns (T,) that a user asked for, such as centroid_x."""
    found = {
        key.removeprefix(REGRESSORS): one for key, one in arrays.items() if one.shape == times.shape and key != "time"
    }
    for name in options.regressors:
        if name not in found:
            raise ObservationError(
                f"{where}: --regressor {name}: expected one of {', '.join(found) or 'none'}, found none"
            )
    return {name: np.asarray(found[name], np.float64) for name in options.regressors}
