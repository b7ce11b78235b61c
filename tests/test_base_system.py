"""Default tests see no program that the base system lacks; marked ones do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = """
import shutil
import pytest

@pytest.fixture(scope="session")
def found():
    return shutil.which("sbatch")

def test_which_looks_without_saying_so(found):
    assert shutil.which("sbatch")

@pytest.mark.cluster
def test_which_is_marked():
    assert shutil.which("sbatch")

def test_after_it():
    assert shutil.which("sbatch") is None
    assert shutil.which("git")
"""


@pytest.fixture
def outcome(tmp_path: Path, repository: Path) -> str:
    """What pytest says of the planted tests where sbatch is installed."""
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text("#!/bin/sh\n")
    sbatch.chmod(0o755)
    (tmp_path / "test_planted.py").write_text(PLANTED)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "conftest", "-m", ""]
    done = subprocess.run(
        [*command, "-c", repository / "pyproject.toml", "--rootdir", tmp_path, tmp_path / "test_planted.py"],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(repository / "tests")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_a_default_test_that_looks_for_sbatch_fails_where_it_is_installed(outcome: str) -> None:
    assert "1 failed, 2 passed" in outcome, outcome
    assert "::test_which_looks_without_saying_so" in outcome


@pytest.mark.parametrize("name", ["sbatch", "chromium", "docker", "node", "gcc"])
def test_this_test_finds_no_such_program(name: str) -> None:
    assert shutil.which(name) is None
