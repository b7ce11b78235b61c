"""Which code is running: versions of what decides a result, and the commit of a checkout."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

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
    """Commit of the checkout this file is in, with `+changes` where it differs; None outside
    one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "-uno")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
