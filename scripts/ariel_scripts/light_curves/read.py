"""A file of light curves, whatever wrote it → observations.

    read_observations("S4_wasp39b_ap4_bg8_LCData.h5")
    read_observations("mine.csv", ReadOptions(time_unit="bmjd", regressors=("x", "y")))

What a file is, is told by its first bytes and its names inside, not by its suffix. Nothing in it is executed.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ariel_scripts.light_curves.arrays import read_npz
from ariel_scripts.light_curves.columns import from_columns
from ariel_scripts.light_curves.curves import Curves, ReadOptions, to_observation
from ariel_scripts.light_curves.hdf5 import read_hdf5
from ariel_scripts.light_curves.images import read_fits
from ariel_scripts.light_curves.rows import read_parquet
from ariel_scripts.light_curves.text import read_text
from modeling_ariel.any_telescope.observation import Observation, ObservationError

__all__ = ["ReadOptions", "read_observations"]

Reader = Callable[[Path, ReadOptions], list[Curves]]

READERS: tuple[tuple[bytes, Reader], ...] = (
    (b"SIMPLE  =", read_fits),
    (b"\x89HDF\r\n\x1a\n", read_hdf5),
    (b"PK\x03\x04", read_npz),
    (b"PAR1", read_parquet),
)
REFUSED = {
    b"\x93NUMPY": "one array without names (a rainbow.npy is a pickle, never loaded): save arrays as .npz, or "
    "chromatic's rainbow as .rainbow.fits",
    b"\x80": "a pickle, which is never loaded",
    b"CDF\x01": "netCDF3: save it as netCDF4",
    b"CDF\x02": "netCDF3: save it as netCDF4",
    b"<?xml": "XML: save a VOTable as ECSV or FITS",
    b"<VOTABLE": "a VOTable: save it as ECSV or FITS",
    b"BZh": "a file packed by bzip2: unpack it",
    b"\xfd7zXZ": "a file packed by xz: unpack it",
}


def read_observations(path: str | Path, options: ReadOptions | None = None) -> list[Observation]:
    """Observations of a file, one for each visit and instrument in it, or of a folder of Eureka!'s stage-5 tables.

    Raises:
        ObservationError: it can't be read or leaves open what its numbers mean; says which option tells it.
    """
    path, options = Path(path), options or ReadOptions()
    if path.is_dir():
        curves = [_one_of(path, options)]
    elif not path.is_file():
        raise ObservationError(f"{path}: expected a file of light curves, found none")
    else:
        curves = _reader(path)(path, options)
    return [to_observation(path.name, one, options) for one in curves]


def _reader(path: Path) -> Reader:
    """What reads a file of these first bytes."""
    with path.open("rb") as file:
        begin = file.read(1024)
    if begin.startswith(b"\x1f\x8b"):
        with gzip.open(path) as packed:
            begin = packed.read(9)
        if not begin.startswith(b"SIMPLE  ="):
            raise ObservationError(f"{path.name}: expected FITS in a file packed by gzip, found another: unpack it")
    for magic, reader in READERS:
        if begin.startswith(magic):
            return reader
    for magic, found in REFUSED.items():
        if begin.startswith(magic):
            raise ObservationError(f"{path.name}: expected a table or arrays of light curves, found {found}")
    if b"\0" in begin:
        raise ObservationError(
            f"{path.name}: expected CSV, ECSV, FITS, HDF5, NPZ or Parquet, found bytes of none of these"
        )
    return lambda file, asked: from_columns(file.stem, read_text(file, asked), asked)


def _one_of(folder: Path, options: ReadOptions) -> Curves:
    """Channels of a folder of Eureka!'s stage-5 tables (S5_*_Table_Save_ch*.txt) at the same times."""
    files = sorted(folder.glob("S5_*_Table_Save*.txt"))
    if not files:
        raise ObservationError(f"{folder}: expected a file, or a folder with S5_*_Table_Save_*.txt, found neither")
    parts = [one for path in files for one in from_columns(path.stem, read_text(path, options), options)]
    first = parts[0]
    for path, part in zip(files, parts, strict=True):
        if not np.array_equal(part.time, first.time):
            raise ObservationError(f"{path.name}: expected the times of {files[0].name}, found others")
    if any(part.flux_err is None or part.wavelength is None or part.half_width is None for part in parts):
        raise ObservationError(f"{folder}: expected wavelength, bin_width, lcdata, lcerr in every table, found less")
    return Curves(
        folder.name,
        first.time,
        first.clock,
        np.concatenate([part.flux for part in parts], 1),
        np.concatenate([part.flux_err for part in parts if part.flux_err is not None], 1),
        np.concatenate([part.wavelength for part in parts if part.wavelength is not None]),
        np.concatenate([part.half_width for part in parts if part.half_width is not None]),
        regressors=first.regressors,
        notes=[f"{len(files)} tables of Eureka!'s stage 5", *first.notes],
    )
