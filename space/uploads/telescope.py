"""Light curves of any telescope, from a user's file to the files of a fit: read, then fitted, each by another process.

    fit_upload(Path("mine.csv"), Known(period=3.2), folder, time_unit="bmjd")  # its verdict

The reader sees the file and knows no torch; the fitter sees the arrays that were read and no file.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.light_curves.read import ReadOptions
from engine.rows import VisitRow
from engine.telescope import Known
from modeling_ariel.arrays import FeatureError
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.visits import match_channels
from uploads.limits import (
    CURVES,
    MAX_CHANNELS,
    MAX_POINTS,
    MAX_TABLE_BYTES,
    MAX_VISITS,
    MB,
    MIN_SHARE,
    UploadError,
    size_of,
)
from uploads.process import fit_in_process, read_in_process

ENDINGS = (".csv", ".txt", ".tsv", ".dat", ".ecsv", ".fits", ".fit", ".gz", ".h5", ".hdf5", ".nc", ".npz", ".parquet")
LIMITS_TEXT = (
    "CSV, ECSV, FITS, HDF5, NPZ or Parquet of any instrument: a table with times, fluxes, their errors and wavelengths "
    "(`bjd_tdb`, `wavelength_um`, `flux`, `flux_err`), or what Eureka!, chromatic, ExoTEDRF or lightkurve write. At "
    f"most {MAX_TABLE_BYTES // MB} MB, {MAX_POINTS // MB} million points, {MAX_CHANNELS:,} wavelengths, {MAX_VISITS} "
    "visits. It is seen by you alone."
)


def fit_upload(path: Path, known: Known, folder: Path, **options: Any) -> str:
    """The verdict of a fit of a file's light curves, whose files are in the folder; UploadError with a sentence.

    ``options`` of :class:`ReadOptions` say how the file is read.
    """
    return fit_in_process(_read(path, ReadOptions(**options)), asdict(known), path.name, folder)


def is_of_another_telescope(path: Path) -> bool:
    """Whether a file can be read here, and its wavelengths are not the model's."""
    try:
        rows = _read(path, ReadOptions())
    except UploadError:
        return False
    return not any(_has_our_channels(np.asarray(row["wavelength"])) for row in rows)


def _read(path: Path, options: ReadOptions) -> list[VisitRow]:
    """Observations as rows; an error begins with the file's name."""
    if (size := size_of(path)) > MAX_TABLE_BYTES:
        most = MAX_TABLE_BYTES // MB
        raise UploadError(f"{path.name}: expected at most {most} MB of light curves, found {size / MB:.0f} MB.")
    try:
        return read_in_process(CURVES, path, asdict(options))
    except UploadError as error:
        text = str(error)
        raise UploadError(text if text.startswith(path.stem) else f"{path.name}: {text}") from None


def _has_our_channels(wavelength: np.ndarray) -> bool:
    extractor = ArielFeatureExtractor()
    own, tolerance = np.asarray(extractor.wavelength), (extractor.fgs1_tolerance, extractor.wavelength_tolerance)
    try:
        _, used, _ = match_channels("upload", wavelength, own, tolerance)
    except FeatureError:
        return False
    return used.size >= MIN_SHARE * own.size
