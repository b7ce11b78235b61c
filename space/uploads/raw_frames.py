"""One planet's raw folder as a zip: unpacked to a private folder and reduced like any other planet.

The archive holds a folder in the challenge's layout with one planet of one split (2025's; 2024's is similar):

    axis_info.parquet  wavelengths.csv  adc_info.csv  train_star_info.csv
    train/PLANET/AIRS-CH0_signal_0.parquet   train/PLANET/FGS1_signal_0.parquet
    train/PLANET/AIRS-CH0_calibration_0/     {dark,dead,flat,linear_corr,read}.parquet
    train/PLANET/FGS1_calibration_0/         the same

or PLANET's folder alone, as in train/ of 2025: tables that all planets share are added.
"""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq

from engine import sample
from engine.raw_view import make_view
from engine.rows import VisitRow
from hf_dataset.raw import layouts
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.schema import STAR_COLUMNS
from hf_dataset.simulation import raw_folder
from hf_dataset.simulation.telescope import wavelengths_um
from uploads.limits import (
    DAMAGED,
    MAX_FRAMES,
    MAX_UNPACKED_BYTES,
    MB,
    UploadError,
    check_members,
    copy_member,
    open_archive,
    refuse_damaged,
)

MOST_VISITS = 4
N_BINS = 375
MAX_CSV_BYTES = 5 * MB  # the star table of all planets has 0.1 MB
MAX_ROWS, MAX_VALUES = 200_000, 160_000_000  # of a Parquet file; FGS1's signal has 135,000 × 1,024
_OTHER_TABLES = ("sample_submission.csv", "simulation_truth.parquet")  # files of the challenge that are not needed


def read_raw_zip(path: Path, private: Path) -> list[VisitRow]:
    """Rows of the planet's visits, the first with a `raw_view`; unpacked to the folder ``private``.

    Their `name` is the planet and the file. UploadError where the folder cannot be reduced.
    """
    try:
        return _reduced(path, _unpack(path, private))
    except (UploadError, MemoryError):
        raise
    except DAMAGED as error:
        raise UploadError(_plain(str(error), str(private))) from None


def _plain(message: str, private: str) -> str:
    """An error's text without the private folder's path, as one sentence."""
    for folder in (private, os.path.realpath(private)):
        message = re.sub(re.escape(folder) + r"/*", "", message)
    return message.strip().rstrip(".") + "."


def _unpack(path: Path, private: Path) -> Path:
    """The unpacked raw folder; the archive may wrap it in another folder."""
    with refuse_damaged("a whole zip archive"), open_archive(path) as archive:
        left = MAX_UNPACKED_BYTES
        for member in check_members(archive, _OTHER_TABLES):
            target = private / member.filename
            if target.suffix == ".csv" and member.file_size > MAX_CSV_BYTES:
                raise UploadError(f"expected at most {MAX_CSV_BYTES // MB} MB in {target.name}, found more.")
            left -= copy_member(archive, member, target, left)
            if target.suffix == ".parquet":
                _check_values(target)
    places = [private, *(one for one in private.iterdir() if one.is_dir() and one.name not in layouts.SPLITS)]
    roots = [place for place in places if any((place / split).is_dir() for split in layouts.SPLITS)]
    if not roots and len(alone := [place for place in places[1:] if any(place.glob("AIRS-CH0_signal_*.parquet"))]) == 1:
        roots = [_around(alone[0], private)]
    if len(roots) != 1:
        names = ", ".join(sorted(one.name for one in private.iterdir())[:6])
        raise UploadError(f"expected a raw folder with train/PLANET or test/PLANET, found {names or 'nothing'}.")
    return roots[0]


def _around(planet: Path, private: Path) -> Path:
    """The folder of 2025 around one planet's; tables that it lacks are those that all its planets share."""
    (private / "train").mkdir()
    planet = planet.rename(private / "train" / planet.name)
    frames = pq.read_metadata(next(planet.glob(f"{layouts.AIRS}_signal_*.parquet"))).num_rows
    gain, offset = raw_folder.ADC_2025
    names = [f"{one}_adc_{kind}" for one in layouts.INSTRUMENTS for kind in ("gain", "offset")]
    wavelengths = [repr(float(one)) for one in wavelengths_um("2025")]
    for name, header, values in (
        ("adc_info.csv", names, [gain, offset] * len(layouts.INSTRUMENTS)),
        ("wavelengths.csv", [f"wl_{place + 1}" for place in range(len(wavelengths))], wavelengths),
        ("train_star_info.csv", ["planet_id", *STAR_COLUMNS], [planet.name, *([""] * len(STAR_COLUMNS))]),
    ):
        if not (private / name).exists():
            (private / name).write_text(f"{','.join(header)}\n{','.join(map(str, values))}\n", encoding="utf-8")
    if not (private / "axis_info.parquet").exists():
        raw_folder.write_axis_info(private / "axis_info.parquet", raw_folder.Cadence(frames))
    return private


def _check_values(path: Path) -> None:
    """Refuse a table with more values than a raw signal has, however well it is compressed."""
    with refuse_damaged(f"a whole Parquet file {path.name}"):
        footer = pq.read_metadata(path)
    values = footer.num_rows * footer.num_columns
    if footer.num_rows > MAX_ROWS or values > MAX_VALUES:
        raise UploadError(
            f"expected at most {MAX_ROWS:,} rows and {MAX_VALUES:,} values in {path.name}, found "
            f"{footer.num_rows:,} and {values:,}."
        )


def _reduced(path: Path, root: Path) -> list[VisitRow]:
    folder = layouts.open_folder(root)
    planets = [(split, planet) for split in folder.splits for planet in folder.planets(split)]
    if len(planets) != 1:
        raise UploadError(f"expected one planet, found {len(planets)}.")
    split, planet = planets[0]
    visits = folder.visits(split, planet)
    if not 1 <= len(visits) <= MOST_VISITS:
        raise UploadError(f"expected 1 to {MOST_VISITS} visits of planet {planet}, found {len(visits)}.")
    rows: list[VisitRow] = []
    for number in visits:
        visit = folder.visit(split, planet, number)
        frames = visit.n_frames(layouts.AIRS)
        if frames > MAX_FRAMES:
            raise UploadError(f"expected at most {MAX_FRAMES:,} AIRS-CH0 frames, found {frames:,}.")
        bins = min(N_BINS, frames // 2)
        row, _ = reduce_visit(visit, ReductionOptions(n_bins=bins))
        row |= {"wavelength": np.asarray(folder.wavelengths), "name": f"planet {planet} of {path.stem[:40]}"}
        if frames < 11_250:
            note = f"Visit {number}: {frames:,} of the usual 11,250 AIRS-CH0 frames, {bins} time bins."
            row["notes"] = (note,)
        if not rows:
            row["raw_view"] = make_view(visit)
        visit.close()
        rows.append(cast(VisitRow, row))
    return rows


def write_raw_example(path: Path, frames: int = 750) -> Path:
    """A small simulated raw folder of one planet as a zip, 15 MB; made in seconds."""
    case = next(case for case in sample.cases().values() if not case.note)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ariel-example-", dir=path.parent) as private:
        root = raw_folder.write_folder(Path(private) / "raw", [case.planet], "2025", frames, sample.SEED)
        unfinished = Path(private) / "example.zip"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:  # Parquet is compressed already
            for file in sorted(root.rglob("*")):
                if file.is_file() and file.name not in _OTHER_TABLES and not file.name.startswith("train.csv"):
                    archive.write(file, f"raw/{file.relative_to(root).as_posix()}")
        os.replace(unfinished, path)
    return path
