"""Fetch challenge data with the Kaggle CLI, whole or planet by planet: `ariel download OUT`.

Files that exist are not fetched again.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ariel_scripts.kaggle_cli import check_kaggle, fetch_all, run_kaggle, unpack
from ariel_scripts.options.download import COMPETITIONS, DownloadOptions
from hf_dataset.raw.layouts import CALIBRATION_FILES, INSTRUMENTS

logger = logging.getLogger(__name__)

SHARED_TABLES = ("wavelengths.csv", "axis_info.parquet", "sample_submission.csv")
TABLES = {
    "2024": (*SHARED_TABLES, "train_labels.csv", "train_adc_info.csv", "test_adc_info.csv"),
    "2025": (
        *SHARED_TABLES,
        "train.csv",
        "adc_info.csv",
        "train_star_info.csv",
        "test_star_info.csv",
    ),
}


def main(options: DownloadOptions) -> None:
    """Fetch everything, or the tables and the files of chosen planets."""
    year, out, dry_run = options.year, options.out, options.dry_run
    plan = None
    if options.planet:
        plan = file_plan(year, options.split, options.planet, options.visits)
    competition = COMPETITIONS[year]
    if not dry_run:
        check_kaggle(competition)
    if plan is None:
        fetch_all(competition, out, dry_run)
    else:
        fetch_files(competition, plan, out, dry_run)


def file_plan(year: str, split: str, planets: list[int], visits: int) -> list[str]:
    """Paths inside the competition: its tables, and every file of the planets."""
    numbers = [""] if year == "2024" else [f"_{visit}" for visit in range(visits)]
    paths = list(TABLES[year])
    for planet in planets:
        for number in numbers:
            for instrument in INSTRUMENTS:
                folder = f"{split}/{planet}/{instrument}"
                paths.append(f"{folder}_signal{number}.parquet")
                paths += [f"{folder}_calibration{number}/{kind}.parquet" for kind in CALIBRATION_FILES]
    return paths


def fetch_files(competition: str, paths: list[str], out: Path, dry_run: bool) -> None:
    """Download file by file, skipping those that exist."""
    failed = []
    for path in paths:
        target = out / path
        if target.exists():
            logger.info("already there: %s", target)
            continue
        incoming = out / ".incoming"
        try:
            run_kaggle(competition, ["-f", path, "-p", str(incoming)], dry_run)
        except RuntimeError as error:
            logger.warning("%s", error)
            failed.append(path)
            continue
        if not dry_run:
            place(incoming, target)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(paths)} files could not be fetched, the first: {failed[0]}")


def place(incoming: Path, target: Path) -> None:
    """Move a file that the CLI fetched (it drops the folders, and zips large ones) to its place, whole."""
    archive = incoming / f"{target.name}.zip"
    if archive.exists():
        unpack(archive, incoming)
    found = incoming / target.name
    if not found.exists():
        names = ", ".join(sorted(path.name for path in incoming.glob("*"))) if incoming.is_dir() else "no folder"
        raise RuntimeError(f"{target}: expected {found} from the Kaggle CLI, found {names or 'nothing'}")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(found, target)
