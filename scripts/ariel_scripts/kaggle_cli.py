"""Competitions through the Kaggle CLI (https://github.com/Kaggle/kaggle-api, pip install kaggle).

It needs an account, an API token and the competition's rules accepted on its page.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import typer


def check_kaggle(competition: str) -> None:
    """Raise with what to do where the Kaggle CLI or its credentials are absent."""
    if shutil.which("kaggle") is None:
        raise RuntimeError("the Kaggle CLI: expected the command `kaggle`, found none; install it: pip install kaggle")
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle"))
    in_environment = {"KAGGLE_USERNAME", "KAGGLE_KEY"} <= set(os.environ) or "KAGGLE_API_TOKEN" in os.environ
    if not in_environment and not any((folder / name).exists() for name in ("kaggle.json", "access_token")):
        raise RuntimeError(
            f"Kaggle credentials: expected {folder}/kaggle.json, or KAGGLE_USERNAME and KAGGLE_KEY in the environment, "
            "found neither; make a token at https://www.kaggle.com/settings, and accept the rules at "
            f"{page(competition)}"
        )


def page(competition: str) -> str:
    """The competition's page."""
    return f"https://www.kaggle.com/competitions/{competition}"


def fetch_all(competition: str, out: Path, dry_run: bool) -> None:
    """The whole competition, one archive."""
    run_kaggle(competition, ["-p", str(out)], dry_run)
    archive = out / f"{competition}.zip"
    if dry_run:
        typer.echo(f"unpack {archive}")
        return
    unpack(archive, out)


def unpack(archive: Path, out: Path) -> None:
    """Unpack an archive into `out`, and remove it."""
    if not archive.exists():
        raise RuntimeError(f"{archive}: expected the archive that the Kaggle CLI was to fetch, found none")
    with zipfile.ZipFile(archive) as file:
        file.extractall(out)
    archive.unlink()


def run_kaggle(competition: str, options: list[str], dry_run: bool) -> None:
    """Run (or print) `kaggle competitions download`."""
    command = ["kaggle", "competitions", "download", competition, *options]
    if dry_run:
        typer.echo(shlex.join(command))
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        forbidden = any("403" in line for line in said)
        hint = f"; accept the rules at {page(competition)}" if forbidden else ""
        raise RuntimeError(
            f"{shlex.join(command)}: status {done.returncode}: {said[-1] if said else 'no message'}{hint}"
        )
