"""Light curves as arrays, (T,) times × (C,) wavelengths: checks of shapes, and NPZ files."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.rows import StarTable, VisitRow
from modeling_ariel.columns import STAR_COLUMNS
from uploads.limits import MAX_POINTS, UploadError, check_members, open_archive, refuse_damaged
from uploads.tables import precise, single_value, visit_row

ARRAYS = ("time", "flux", "flux_err", "wavelength")
WANTED = (*ARRAYS, "valid", "centroid", *STAR_COLUMNS)


def check_shapes(time: np.ndarray, flux: np.ndarray, error: np.ndarray, wavelength: Any) -> None:
    """Refuse shapes other than time (T,), flux and its error (T, C), wavelength (C,) or None."""
    channels = flux.shape[1:] if wavelength is None else np.shape(wavelength)
    if time.ndim != 1 or flux.ndim != 2 or flux.shape != (time.size, *channels) or error.shape != flux.shape:
        found = f"{time.shape}, {flux.shape}, {error.shape}, {'none' if wavelength is None else channels}"
        raise UploadError(f"expected time (T,), flux and flux_err (T, C), wavelength (C,), found shapes {found}.")


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuse an array larger than all light curves may be, by its header, before it is read."""
    if math.prod(shape) > MAX_POINTS:
        raise UploadError(f"expected at most {MAX_POINTS:,} points, found {name} of shape {shape}.")


def valid_points(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Which points are valid, of true and false or 1 and 0."""
    valid = np.asarray(value)
    if valid.shape != shape:
        raise UploadError(f"expected valid of shape {shape}, found {valid.shape}.")
    if not np.isin(valid, (0, 1)).all():
        raise UploadError(f"expected valid of true and false, found {valid[~np.isin(valid, (0, 1))][0]}.")
    return valid.astype(bool)


def from_arrays(arrays: Mapping[str, Any]) -> VisitRow:
    """A visit from ARRAYS, and from valid (T, C), centroid (T, 4) and the star's scalars if present."""
    time, flux, error, wavelength = (precise(name, arrays[name]) for name in ARRAYS)
    check_shapes(time, flux, error, wavelength)
    row = visit_row(time, flux, error, wavelength)
    if "valid" in arrays:
        row["valid"] &= valid_points(arrays["valid"], flux.shape)[:, np.argsort(wavelength, kind="stable")]
    if "centroid" in arrays:
        row["centroid"] = np.asarray(arrays["centroid"], np.float64)
    star = {
        name: single_value(name, np.atleast_1d(np.asarray(arrays[name], np.float64)).ravel())
        for name in STAR_COLUMNS
        if name in arrays
    }
    return {**row, **cast(StarTable, star)}


# --- NPZ -------------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> list[VisitRow]:
    """Arrays time (T,), flux and flux_err (T, C), wavelength (C,), optionally valid, centroid (T, 4), star scalars."""
    with refuse_damaged("a whole NPZ file"):
        with open_archive(path) as archive:
            for member in check_members(archive):
                check_array(archive, member)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in WANTED}
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise UploadError(
            f"expected arrays {', '.join(ARRAYS)}, missing {', '.join(missing)}, found {', '.join(arrays) or 'none'}."
        )
    return [from_arrays(arrays)]


def check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse anything but a plain array of numbers whose size agrees with its header."""
    name = member.filename.removesuffix(".npy")[:40]
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        except ValueError:
            raise UploadError(f"expected NumPy arrays, found {member.filename[:40]!r}, which is none.") from None
    if dtype.hasobject:
        raise UploadError(f"expected arrays of numbers, found {name} with Python objects (pickle), which is not read.")
    if dtype.kind not in "fiub":
        raise UploadError(f"expected arrays of numbers, found {name} of {dtype}.")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize > member.file_size:
        raise UploadError(f"expected {name} as large as its header says, {shape}, found {member.file_size:,} bytes.")
    if name in WANTED:
        check_size(name, shape)
