"""The lock: exact public versions of all dependencies, which the Space shares."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXACT = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; .+)?")


@pytest.fixture
def locked(repository: Path) -> dict[str, str]:
    """Name → version."""
    lines = (repository / "requirements.lock").read_text().splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    assert len({one.name for one in found}) == len(found)
    return {one.name: str(one.specifier).removeprefix("==") for one in found}


def declared(repository: Path) -> Iterator[Requirement]:
    """The project's own dependencies and those of every extra."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        if not line.startswith(project["name"]):
            yield Requirement(line)


def test_every_line_is_one_exact_public_version(repository: Path) -> None:
    for line in (repository / "requirements.lock").read_text().splitlines():
        if not line.startswith("#"):
            assert EXACT.fullmatch(line), line
        assert "://" not in line


def test_it_has_every_dependency_of_the_project_and_its_extras(repository: Path, locked: dict[str, str]) -> None:
    for one in declared(repository):
        assert one.specifier.contains(locked[canonicalize_name(one.name)]), one


def test_torch_is_the_one_whose_cpu_build_is_installed(repository: Path, locked: dict[str, str]) -> None:
    assert f"torch=={locked['torch']}" in (repository / "constraints-cpu.txt").read_text().splitlines()


def test_the_space_has_the_locked_versions(repository: Path, locked: dict[str, str]) -> None:
    header = yaml.safe_load((repository / "space" / "README.md").read_text().split("---")[1])
    assert header["sdk_version"] == locked["gradio"]
    for line in (repository / "space" / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            one = Requirement(line)
            assert str(one.specifier) == f"=={locked[canonicalize_name(one.name)]}", line
