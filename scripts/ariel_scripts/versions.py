"""Which code is running: versions of what decides a result, the commit of a checkout and its lock file."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from hf_dataset.digests import file_hash

DISTRIBUTION = "ariel-hf"
KEY_LIBRARIES = (
    "numpy",
    "scipy",
    "pyarrow",
    "datasets",
    "datatrove",
    "torch",
    "transformers",
    "accelerate",
    "exoplanet-core",
    "huggingface_hub",
)


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that decide a result."""
    found = {"python": platform.python_version()}
    for name in (DISTRIBUTION, *KEY_LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Commit of the checkout this file is in, with `+changes` where it differs; None outside one.

    An installed copy may lie in somebody else's checkout, whose commit says nothing of it.
    """
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        changed = git("status", "--porcelain", "-uno")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def lock_hash() -> str | None:
    """SHA-256 of requirements.lock in the checkout this file is in; None outside one, as in a wheel."""
    lock = Path(__file__).resolve().parents[2] / "requirements.lock"
    return file_hash(lock) if lock.is_file() else None
