"""Light curves in FITS: a table of the long format's columns, or images of the arrays."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.rows import VisitRow
from modeling_ariel.arrays import FeatureError, error_factor, unit_factor
from modeling_ariel.columns import STAR_COLUMNS
from uploads.arrays import check_size, from_arrays
from uploads.limits import MAX_HDUS, MAX_POINTS, MAX_UNPACKED_BYTES, MB, UploadError, refuse_damaged
from uploads.tables import OPTIONAL, REQUIRED, check_columns, from_table

_FIELDS = {"time_h": "time", "wavelength_um": "wavelength"}  # columns by what the model calls them


def read_fits(path: Path) -> list[VisitRow]:
    """A table of the long format's columns, or images FLUX, FLUX_ERR (T rows, C columns), TIME and WAVELENGTH."""
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyError, VerifyWarning
    from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning

    with refuse_damaged("a whole FITS file", VerifyError, AstropyUserWarning), warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.simplefilter("ignore", VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
            _check_hdus(hdus)
            return _from_hdus(hdus)


def _check_hdus(hdus: Any) -> None:
    """Refuse, by the headers alone, data that are too large, compressed or in a heap."""
    total = 0
    for number, hdu in enumerate(hdus):  # reads one header at a time
        if number == MAX_HDUS:
            raise UploadError(f"expected at most {MAX_HDUS} HDUs, found more.")
        header = hdu.header
        if header.get("ZIMAGE") or header.get("ZTABLE"):
            raise UploadError("expected images and tables that are not compressed, found compressed ones.")
        if header.get("XTENSION", "").strip() == "BINTABLE" and header.get("PCOUNT", 0):
            raise UploadError("expected columns of numbers, found columns of arrays of varying length.")
        sizes = [int(header.get(f"NAXIS{axis + 1}", 0)) for axis in range(int(header.get("NAXIS", 0)))]
        if sizes:
            total += abs(int(header.get("BITPIX", 8))) // 8 * math.prod(sizes)
    if total > MAX_UNPACKED_BYTES:
        raise UploadError(f"expected at most {MAX_UNPACKED_BYTES // MB} MB of data, found {total / MB:.0f} MB.")


def _from_hdus(hdus: Any) -> list[VisitRow]:
    images = {hdu.name.upper(): hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0)}
    tables = [hdu for hdu in hdus if not hdu.is_image and getattr(hdu, "columns", None) is not None]
    known = {name.lower(): name for name in (*REQUIRED, *OPTIONAL)}
    for hdu in tables:
        names = {known[str(column).lower()]: column for column in hdu.columns.names if str(column).lower() in known}
        if set(REQUIRED) <= set(names):
            if (rows := int(hdu.header["NAXIS2"])) > MAX_POINTS:
                raise UploadError(f"expected at most {MAX_POINTS:,} rows, found {rows:,}.")
            columns = {name: _column(name, hdu, column) for name, column in names.items()}
            return from_table(_converted(columns, {name: hdu.columns[one].unit for name, one in names.items()}))
    wanted = {"TIME": "time", "FLUX": "flux", "FLUX_ERR": "flux_err", "WAVELENGTH": "wavelength"}
    if set(wanted) <= set(images):
        for name in wanted:
            check_size(name, images[name].shape)
        arrays = {name: _native(images[hdu].data) for hdu, name in wanted.items()}
        arrays = _converted(arrays, {name: images[hdu].header.get("BUNIT") for hdu, name in wanted.items()})
        header = images["FLUX"].header
        star = {
            name: header[name.upper()] for name in STAR_COLUMNS if isinstance(header.get(name.upper()), int | float)
        }
        return [from_arrays({**arrays, **star})]
    if tables:
        check_columns([name for hdu in tables for name in hdu.columns.names])
    found = ", ".join(f"{hdu.name or 'unnamed'} of shape {getattr(hdu, 'shape', ())}" for hdu in hdus)
    raise UploadError(
        f"expected a table with columns {', '.join(REQUIRED)}, or images {', '.join(wanted)}, found {found[:160]}."
    )


def _column(name: str, hdu: Any, column: str) -> np.ndarray:
    values = np.asarray(hdu.data[column])
    if values.ndim != 1:
        raise UploadError(f"expected one number a row in {name}, found arrays of shape {values.shape[1:]}.")
    if values.dtype.kind not in "fiu":
        return values
    null = hdu.columns[column].null
    return _native(values) if null is None else np.where(values == null, np.nan, values)


def _converted(arrays: dict[str, np.ndarray], names: Mapping[str, str | None]) -> dict[str, np.ndarray]:
    """Hours, µm and the star table's units, where the file names others; errors in the unit of flux."""
    units = {name: _unit(text) for name, text in names.items() if text}
    try:
        factors = {name: unit_factor(name, _FIELDS.get(name, name), unit) for name, unit in units.items()}
        if {"flux", "flux_err"} <= set(units):
            factors["flux_err"] = error_factor("file", units["flux"], units["flux_err"])
    except FeatureError as error:
        raise UploadError(f"{str(error).removeprefix('file: ')}.") from None
    return arrays | {name: arrays[name] * factor for name, factor in factors.items() if factor != 1.0}


def _unit(text: str) -> Any:
    """astropy's unit of a name in singular or plural, which converts to nothing where it knows none."""
    from astropy.units import Unit

    with contextlib.suppress(ValueError):
        return Unit(text.strip())
    return Unit(text.strip().removesuffix("s"), parse_strict="silent")


def _native(values: Any) -> np.ndarray:
    """In this machine's byte order."""
    values = np.asarray(values)
    return values.astype(values.dtype.newbyteorder("=")) if values.dtype.kind in "fiu" else values
