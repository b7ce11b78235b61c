"""Fetch challenge data with the Kaggle CLI, whole or planet by planet: `ariel download OUT`.

Wraps https://github.com/Kaggle/kaggle-api (pip install kaggle): it needs an account, an API token and the competition's
rules accepted on its page. Files that exist are not fetched again.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import typer

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
    if not dry_run:
        check_kaggle(year)
    if plan is None:
        fetch_all(year, out, dry_run)
    else:
        fetch_files(year, plan, out, dry_run)


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


def check_kaggle(year: str) -> None:
    """Raise with what to do where the Kaggle CLI or its credentials are absent."""
    if shutil.which("kaggle") is None:
        raise RuntimeError("the Kaggle CLI: expected the command `kaggle`, found none; install it: pip install kaggle")
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle"))
    in_environment = {"KAGGLE_USERNAME", "KAGGLE_KEY"} <= set(os.environ) or "KAGGLE_API_TOKEN" in os.environ
    if not in_environment and not any((folder / name).exists() for name in ("kaggle.json", "access_token")):
        raise RuntimeError(
            f"Kaggle credentials: expected {folder}/kaggle.json, or KAGGLE_USERNAME and KAGGLE_KEY in the environment, "
            f"found neither; make a token at https://www.kaggle.com/settings, and accept the rules at {page(year)}"
        )


def page(year: str) -> str:
    """The competition's page."""
    return f"https://www.kaggle.com/competitions/{COMPETITIONS[year]}"


def fetch_all(year: str, out: Path, dry_run: bool) -> None:
    """The whole competition, one archive."""
    run_kaggle(year, ["-p", str(out)], dry_run)
    archive = out / f"{COMPETITIONS[year]}.zip"
    if dry_run:
        typer.echo(f"unpack {archive}")
        return
    unpack(archive, out)


def fetch_files(year: str, paths: list[str], out: Path, dry_run: bool) -> None:
    """Download file by file, skipping those that exist."""
    failed = []
    for path in paths:
        target = out / path
        if target.exists():
            logger.info("already there: %s", target)
            continue
        incoming = out / ".incoming"
        try:
            run_kaggle(year, ["-f", path, "-p", str(incoming)], dry_run)
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


def unpack(archive: Path, out: Path) -> None:
    """Unpack an archive into `out`, and remove it."""
    if not archive.exists():
        raise RuntimeError(f"{archive}: expected the archive that the Kaggle CLI was to fetch, found none")
    with zipfile.ZipFile(archive) as file:
        file.extractall(out)
    archive.unlink()


def run_kaggle(year: str, options: list[str], dry_run: bool) -> None:
    """Run (or print) `kaggle competitions download`."""
    command = ["kaggle", "competitions", "download", COMPETITIONS[year], *options]
    if dry_run:
        typer.echo(shlex.join(command))
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        forbidden = any("403" in line for line in said)
        hint = f"; accept the rules at {page(year)}" if forbidden else ""
        raise RuntimeError(
            f"{shlex.join(command)}: status {done.returncode}: {said[-1] if said else 'no message'}{hint}"
        )
