"""Light curves of any telescope in the process that reads users' files: the readers of `ariel fit`, and limits.

`read_curves` gives rows, as other readers do, and `observation_of` makes an observation of a row again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ariel_scripts.light_curves.read import ReadOptions, read_observations
from modeling_ariel.any_telescope.observation import Observation, ObservationError
from uploads.arrays import check_array
from uploads.limits import (
    CURVE_TIMES,
    MAX_CHANNELS,
    MAX_POINTS,
    MAX_UNPACKED_BYTES,
    MAX_VISITS,
    MB,
    UploadError,
    check_members,
    open_archive,
    refuse_damaged,
)
from uploads.parquet import THRIFT, check_footer

REGRESSOR = "regressor "  # before the names of an observation's own


def read_curves(path: Path, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Observations of a file, read with ``options`` of :class:`ReadOptions`; UploadError."""
    with _refused():
        with path.open("rb") as file:
            begin = file.read(8)
        for magic, check in _CHECKS.items():
            if begin.startswith(magic):
                check(path)
        found = read_observations(path, ReadOptions(**options))
    points = sum(one.flux.size for one in found)
    times, channels = (max(one.shape[axis] for one in found) for axis in (0, 1))
    for what, most, number in (
        ("visits", MAX_VISITS, len(found)),
        ("points", MAX_POINTS, points),
        ("times", CURVE_TIMES, times),
        ("wavelengths", MAX_CHANNELS, channels),
    ):
        if number > most:
            raise UploadError(f"expected at most {most:,} {what}, found {number:,}.")
    return [_row_of(one) for one in found]


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """Readers' own sentences as they are, others' errors as of damaged files."""
    with refuse_damaged("light curves"):
        try:
            yield
        except ObservationError as error:
            raise UploadError(f"{error}.") from None


def _row_of(one: Observation) -> dict[str, Any]:
    columns = {f"{REGRESSOR}{place}": column for place, column in enumerate(one.regressors.values())}
    return {**vars(one), **columns, "regressors": list(one.regressors), "notes": list(one.notes)}


def observation_of(row: Mapping[str, Any]) -> Observation:
    """The observation of a row that `read_curves` made."""
    regressors = {name: row[f"{REGRESSOR}{place}"] for place, name in enumerate(row["regressors"])}
    own = {name: value for name, value in row.items() if not name.startswith(REGRESSOR)}
    return Observation(**{**own, "regressors": regressors, "notes": tuple(row["notes"])})


# --- sizes, before anything is unpacked ------------------------------------------------------------------------------


def _check_npz(path: Path) -> None:
    with open_archive(path) as archive:
        for member in check_members(archive):
            check_array(archive, member)


def _check_parquet(path: Path) -> None:
    with pq.ParquetFile(path, **THRIFT) as file:
        check_footer(file.metadata)


def _check_hdf5(path: Path) -> None:
    """Refuse arrays that are larger than the file can be unpacked to; those with links elsewhere are not opened."""
    import h5py

    total = 0

    def add(_: str, item: Any) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            total += int(np.prod(item.shape or (0,), dtype=np.float64)) * item.dtype.itemsize

    with h5py.File(path, "r") as file:
        file.visititems(add)
    if total > MAX_UNPACKED_BYTES:
        raise UploadError(f"expected at most {MAX_UNPACKED_BYTES // MB} MB unpacked, found {total / MB:.0f} MB.")


_CHECKS = {b"PK\x03\x04": _check_npz, b"PAR1": _check_parquet, b"\x89HDF": _check_hdf5}
