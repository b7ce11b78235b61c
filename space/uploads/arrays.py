"""Light curves as arrays, (T,) times × (C,) wavelengths: what their shapes must be, and NPZ files of them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modeling_ariel.columns import STAR_COLUMNS
from uploads.limits import MAX_POINTS, UploadError, check_members, opened, whole
from uploads.tables import Row, constant, precise, visit_of

ARRAYS = ("time", "flux", "flux_err", "wavelength")
WANTED = (*ARRAYS, "valid", "centroid", *STAR_COLUMNS)


def check_shapes(time: np.ndarray, flux: np.ndarray, error: np.ndarray, wavelength: Any) -> None:
    """Refuse what is not time (T,), flux and its error (T, C), wavelength (C,) or None."""
    channels = flux.shape[1:] if wavelength is None else np.shape(wavelength)
    if time.ndim != 1 or flux.ndim != 2 or flux.shape != (time.size, *channels) or error.shape != flux.shape:
        found = f"{time.shape}, {flux.shape}, {error.shape}, {'none' if wavelength is None else channels}"
        raise UploadError(f"expected time (T,), flux and flux_err (T, C), wavelength (C,), found shapes {found}.")


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuse an array that a header says to be larger than all light curves may be, before it is read."""
    if math.prod(shape) > MAX_POINTS:
        raise UploadError(f"expected at most {MAX_POINTS:,} points, found {name} of shape {shape}.")


def valid_points(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Which points are valid, of true and false or 1 and 0."""
    valid = np.asarray(given)
    if valid.shape != shape:
        raise UploadError(f"expected valid of shape {shape}, found {valid.shape}.")
    if not np.isin(valid, (0, 1)).all():
        raise UploadError(f"expected valid of true and false, found {valid[~np.isin(valid, (0, 1))][0]}.")
    return valid.astype(bool)


def from_arrays(arrays: Mapping[str, Any]) -> Row:
    """A visit of ARRAYS, and of valid (T, C), centroid (T, 4) and the star's scalars where they are there."""
    time, flux, error, wavelength = (precise(name, arrays[name]) for name in ARRAYS)
    check_shapes(time, flux, error, wavelength)
    row = visit_of(time, flux, error, wavelength)
    if "valid" in arrays:
        row["valid"] &= valid_points(arrays["valid"], flux.shape)[:, np.argsort(wavelength, kind="stable")]
    if "centroid" in arrays:
        row["centroid"] = np.asarray(arrays["centroid"], np.float64)
    for name in STAR_COLUMNS:
        if name in arrays:
            row[name] = constant(name, np.atleast_1d(np.asarray(arrays[name], np.float64)).ravel())
    return row


# --- NPZ -------------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> list[Row]:
    """Arrays time (T,), flux and flux_err (T, C), wavelength (C,), optionally valid, centroid (T, 4), star scalars."""
    with whole("a whole NPZ file"):
        with opened(path) as archive:
            for member in check_members(archive):
                _check_array(archive, member)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in WANTED}
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise UploadError(
            f"expected arrays {', '.join(ARRAYS)}, missing {', '.join(missing)}, found {', '.join(arrays) or 'none'}."
        )
    return [from_arrays(arrays)]


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse what is not a plain array of numbers, or claims more values than its bytes hold."""
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
