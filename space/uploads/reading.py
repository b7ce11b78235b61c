"""Users' light curves: CSV, Parquet, FITS, NPZ, or one planet's raw folder as a zip; checked, never trusted.

    rows = read_upload("mine.csv")      # for the engine
    example("fits")                     # a file of each kind to start from

The minimal format is a table with a row for each time and wavelength: `time_h, wavelength_um, flux, flux_err`, and
optionally `visit` and the star table's columns (space/README.md, "Your own light curves"). Nothing is executed: no
pickle, no remote code. Sizes in a file's header are checked before it is read, and it is read by another process with
limits on memory and time (process.py).
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine import sample
from engine.rebin import rebinned
from engine.rows import VisitRow
from modeling_ariel.arrays import FeatureError
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor, Visit, check_once
from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.surveys import SURVEYS
from modeling_ariel.visits import match_channels
from uploads import transients
from uploads.examples import write_example
from uploads.limits import (
    FITTED_BINS,
    MAX_BINS,
    MAX_CHANNELS,
    MAX_POINTS,
    MAX_TABLE_BYTES,
    MAX_UNPACKED_BYTES,
    MAX_UPLOAD_BYTES,
    MAX_VISITS,
    MB,
    MIN_BINS,
    MIN_SHARE,
    RAW_SECONDS,
    READ_SECONDS,
    TRANSIENT,
    UploadError,
    size_of,
)
from uploads.process import read_in_process
from uploads.raw_frames import write_raw_example

__all__ = [
    "EXTENSIONS",
    "LIMITS_TEXT",
    "MAX_UPLOAD_BYTES",
    "UploadError",
    "example",
    "example_csv",
    "read_transient",
    "read_upload",
]

KINDS: Mapping[str, tuple[tuple[str, ...], bytes]] = {  # endings of names, first bytes
    "CSV": ((".csv", ".txt"), b""),
    "Parquet": ((".parquet", ".pq"), b"PAR1"),
    "FITS": ((".fits", ".fit", ".fts"), b"SIMPLE  ="),
    "NPZ": ((".npz",), b"PK"),
    "zip": ((".zip",), b"PK"),
}
EXTENSIONS = tuple(suffix for suffixes, _ in KINDS.values() for suffix in suffixes)
EXAMPLE_BINS = 125  # of the examples: a CSV of 2 MB
LIMITS_TEXT = (
    "CSV, Parquet or FITS table with `time_h`, `wavelength_um`, `flux`, `flux_err` (optionally `visit`, `Rs`, …); "
    "NPZ with `time`, `flux`, `flux_err`, `wavelength`; FITS images of the same names; a row of the dataset; or one "
    f"planet's raw folder as zip. Up to {MAX_TABLE_BYTES // MB} MB (zip {MAX_UPLOAD_BYTES // MB} MB, "
    f"{MAX_UNPACKED_BYTES // MB} MB unpacked), {MIN_BINS} to {MAX_BINS:,} time bins, {MAX_CHANNELS:,} channels, "
    f"{MAX_VISITS} visits of one planet, read within {READ_SECONDS:.0f} s (zip {RAW_SECONDS:.0f} s). Files are deleted "
    "within one and a half hours."
)


def read_upload(path: str | Path) -> list[VisitRow]:
    """Rows of one planet's visits, each with `time` [h], `flux`, `flux_err`, `valid` (T, C) and `wavelength` [um].

    `name` is the file's; `notes` list what was left out; raw folders have a `raw_view`. UploadError says what was
    expected and what was found.
    """
    path = Path(path)
    size = size_of(path)
    kind = _kind(path)
    _, magic = KINDS[kind]
    with path.open("rb") as file:
        begin = file.read(512)
    if not begin.startswith(magic) or (kind == "CSV" and _is_no_text(begin)):
        raise UploadError(f"{path.name}: expected a {kind} file, as its name says, found {_looks_like(begin)}.")
    if kind != "zip" and size > MAX_TABLE_BYTES:
        raise UploadError(
            f"{path.name}: expected at most {MAX_TABLE_BYTES // MB} MB of light curves, found {size / MB:.0f} MB."
        )
    try:
        rows = read_in_process(kind, path)
    except UploadError as error:
        raise UploadError(f"{path.name}: {error}") from None
    return rows if kind == "zip" else _checked(path.name, rows)


def read_transient(path: str | Path, survey: str) -> Curve:
    """The transient of a CSV (:mod:`uploads.transients`) in the bands of a survey, "lsst" or "ztf"; UploadError."""
    path = Path(path)
    if survey not in SURVEYS:
        raise UploadError(f"survey: expected one of {', '.join(SURVEYS)}, found {survey!r}.")
    if path.suffix.lower() not in KINDS["CSV"][0]:
        raise UploadError(f"{path.name}: expected the ending .csv, found {path.suffix or 'none'}.")
    if (size := size_of(path)) > transients.MAX_BYTES:
        most = transients.MAX_BYTES // MB
        raise UploadError(f"{path.name}: expected at most {most} MB of a light curve, found {size / MB:.0f} MB.")
    with path.open("rb") as file:
        begin = file.read(512)
    if _is_no_text(begin):
        raise UploadError(f"{path.name}: expected a CSV file, as its name says, found {_looks_like(begin)}.")
    try:
        (row,) = read_in_process(survey.upper() + TRANSIENT, path)
    except UploadError as error:
        raise UploadError(f"{path.name}: {error}") from None
    return Curve(**cast(dict[str, Any], row))


def _kind(path: Path) -> str:
    for kind, (suffixes, _) in KINDS.items():
        if path.suffix.lower() in suffixes:
            return kind
    found = f"{path.suffix!r}" if path.suffix else "a name without one"
    raise UploadError(f"{path.name}: expected one of the endings {', '.join(EXTENSIONS)}, found {found}.")


def _is_no_text(begin: bytes) -> bool:
    return b"\0" in begin or begin.lstrip()[:1] == b"<" or begin.startswith((b"PAR1", b"PK\3\4", b"SIMPLE  ="))


def _looks_like(begin: bytes) -> str:
    """The format that a file's first bytes suggest."""
    known = {
        b"PAR1": "Parquet",
        b"PK": "a zip archive",
        b"SIMPLE  =": "FITS",
        b"\x89PNG": "a PNG image",
        b"\xff\xd8": "a JPEG image",
        b"%PDF": "PDF",
        b"\x1f\x8b": "a gzip file",
        b"\x89HDF": "HDF5",
        b"\x93NUMPY": "one NumPy array",
    }
    for magic, words in known.items():
        if begin.startswith(magic):
            return words
    if begin.lstrip()[:1] == b"<":
        return "a web page (HTML or XML)"
    return "binary data of another kind" if b"\0" in begin else "text or data of another kind"


# --- what every format must hold -----------------------------------------------------------------------------------


def _checked(name: str, rows: list[VisitRow]) -> list[VisitRow]:
    """The rows with `visit` and `name`; UploadError if the engine cannot use them."""
    if not 1 <= len(rows) <= MAX_VISITS:
        raise UploadError(f"{name}: expected 1 to {MAX_VISITS} visits of one planet, found {len(rows)}.")
    points = sum(int(np.size(row["flux"])) for row in rows)
    if points > MAX_POINTS:
        raise UploadError(f"{name}: expected at most {MAX_POINTS:,} points, found {points:,}.")
    visits = [
        _check_visit(f"{name}" + (f", visit {place}" if len(rows) > 1 else ""), row) for place, row in enumerate(rows)
    ]
    try:
        check_once(visits)
    except FeatureError as error:
        raise UploadError(_sentence(name, str(error))) from None
    for place, row in enumerate(rows):
        row.setdefault("visit", place)
        row["name"] = Path(name).stem[:60]
    return rows


def _check_visit(name: str, row: VisitRow) -> Visit:
    """The visit as the extractor reads it; the row gets its wavelengths and notes, and fewer times."""
    bins = len(row["time"])
    if not MIN_BINS <= bins <= MAX_BINS:
        raise UploadError(f"{name}: expected {MIN_BINS} to {MAX_BINS:,} times, found {bins:,}.")
    extractor = _extractor()
    own = np.asarray(extractor.wavelength)
    if row.get("wavelength") is None and np.shape(row["flux"])[1:] == own.shape:
        row["wavelength"] = own
    wavelength = row.get("wavelength")
    if wavelength is None:
        raise UploadError(f"{name}: expected wavelengths, or the model's {own.size} channels, found neither.")
    if np.size(wavelength) > MAX_CHANNELS:
        raise UploadError(f"{name}: expected at most {MAX_CHANNELS:,} wavelengths, found {np.size(wavelength):,}.")
    try:
        given, used, _ = match_channels(
            name, wavelength, own, (extractor.fgs1_tolerance, extractor.wavelength_tolerance)
        )
        visit = extractor.visit({**row, "planet_id": 0})
    except FeatureError as error:
        raise UploadError(_sentence(name, str(error))) from None
    seen = int(visit.valid.any(0).sum())
    if seen < MIN_SHARE * own.size:
        raise UploadError(
            f"{name}: expected data in {int(np.ceil(MIN_SHARE * own.size))} or more of the model's {own.size} channels "
            f"(FGS1, and {own[1]:.2f} to {own[-1]:.2f} µm matched within {extractor.wavelength_tolerance:g} µm), "
            f"found it in {seen}."
        )
    notes = list(row.get("notes", ()))
    if fewer := rebinned(row, FITTED_BINS):
        if len(fewer["time"]) > FITTED_BINS:
            raise UploadError(
                f"{name}: expected at most {FITTED_BINS} stretches of time between gaps, found {len(fewer['time']):,}."
            )
        row.update(fewer)
        notes.append(f"{bins:,} times were averaged to {len(row['time'])}.")
    if used.size < given or seen < own.size:
        notes.append(
            f"{used.size} of your {given} wavelengths lie on the model's {own.size} channels; {seen} have data, and "
            "for the others the prior answers."
        )
    row["notes"] = tuple(notes)
    return visit


@functools.cache
def _extractor() -> ArielFeatureExtractor:
    """The extractor of the challenge's channels."""
    return ArielFeatureExtractor()


def _sentence(name: str, message: str) -> str:
    """An extractor's error as a sentence that begins with the file's name."""
    text = (
        message.split(": ", 1)[-1] if message.startswith(("visit ", "planet ")) else message.removeprefix(f"{name}: ")
    )
    return f"{name}: {text.rstrip('.')}."


# --- examples ------------------------------------------------------------------------------------------------------


def example_csv(path: str | Path | None = None) -> Path:
    """An example CSV file: a simulated planet's light curves."""
    return example("csv", path)


def example(kind: str, path: str | Path | None = None) -> Path:
    """An example file: "csv", "parquet", "fits", "npz", all of one simulated planet, or "zip", a small raw folder.

    Without ``path`` it is made once, in the machine's temporary folder.
    """
    if path is None:
        folder = Path(tempfile.gettempdir()) / f"ariel-space-examples-{sample.code_hash()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"example.{kind}"
        if path.exists():
            return path
    path = Path(path)
    if kind == "zip":
        return write_raw_example(path)
    case = next(case for case in sample.cases().values() if not case.note)
    rows = [{**row, **rebinned(row, EXAMPLE_BINS)} for row in sample.observe(case)]
    return write_example(kind, rows, np.asarray(_extractor().wavelength), path)
