"""Write requirements.lock anew from the newest releases, and the versions of the Space from it (`make lock`).

uv resolves for every platform and every Python that the project supports, so the lock names packages of other systems
too, the CUDA ones of PyPI's torch among them. torch stays as constraints-cpu.txt has it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = """\
# Made by `make lock`: all that the project and its extras can install, at the versions that were tested together.
# The CUDA packages (cuda-*, nvidia-*, triton) are what PyPI's torch for Linux asks for: locked, but not tested here.
"""
RESOLVE = (
    "pip",
    "compile",
    "pyproject.toml",
    "--all-extras",
    "--universal",
    "--python-version",
    "3.11",
    "--fork-strategy",
    "fewest",
    "--no-annotate",
    "--no-header",
    "--quiet",
    "--constraint",
    "constraints-cpu.txt",
)


def main() -> None:
    """Resolve, write the lock, then the Space's requirements and the Gradio of its header."""
    resolved = subprocess.run(
        [sys.executable, "-m", "uv", *RESOLVE], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE
    ).stdout
    LOCK.write_text(HEADER + resolved, encoding="utf-8")
    versions = read_versions(LOCK)
    rewrite(ROOT / "space/requirements.txt", r"^([\w.-]+)==(\S+)", versions)
    rewrite(ROOT / "space/README.md", r"^(sdk_version: )(\S+)", {"sdk-version": versions["gradio"]})


def read_versions(lock: Path) -> dict[str, str]:
    """Canonical name of each package in a lock → its version."""
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


def rewrite(path: Path, pattern: str, versions: dict[str, str]) -> None:
    """Replace the second group of each match, a version, by that of the package that the first group names."""

    def replaced(match: re.Match[str]) -> str:
        version = versions[canonicalize_name(match[1].strip(": "))]
        return match[0][: match.start(2) - match.start()] + version

    text = re.sub(pattern, replaced, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
