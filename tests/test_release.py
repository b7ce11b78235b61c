"""What a release is checked by: licences, the study's gate, one version everywhere."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml


def tool(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 AND LGPL-2.1", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True),
        ("GPL-3.0-or-later OR MIT", True),
        ("GPL-3.0-or-later", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("AGPL-3.0", False),
        ("UNKNOWN", False),
    ],
)
def test_only_permissive_licences_pass(repository: Path, licence: str, accepted: bool) -> None:
    assert (tool(repository, "audit").refused({"one": licence}) == {}) is accepted


def test_what_is_needed_at_run_time_has_no_judge_of_tests(repository: Path) -> None:
    audit = tool(repository, "audit")
    needed = audit.closure(audit.PROJECT, tuple({*audit.EXTRAS} - {"kaggle"}))  # which tests do without
    assert {"torch", "gradio", "lightgbm", "plotly", "huggingface-hub"} <= needed
    assert not {"batman-package", "pytest", "ruff"} & needed


def test_the_gate_sees_what_became_worse_and_nothing_else(repository: Path) -> None:
    gate = tool(repository, "gate")
    expected = {"score_2024": 0.8, "score_2025": 0.7, "log_likelihood": 8.0, "rmse_ppm": 30.0, "coverage_90": 0.9}
    better = {"score_2024": 0.9, "score_2025": 0.8, "log_likelihood": 9.0, "rmse_ppm": 20.0, "coverage_90": 0.9}
    worse = {"score_2024": 0.79, "score_2025": 0.65, "log_likelihood": 7.9, "rmse_ppm": 32.0, "coverage_90": 0.95}
    assert gate.fallen(expected, expected) == gate.fallen(better, expected) == []
    assert [line.split(":")[0] for line in gate.fallen(worse, expected)] == list(expected)
    assert gate.fallen({**expected, "coverage_90": 0.85}, expected)


def test_a_release_has_one_version(repository: Path) -> None:
    version = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert str(citation["version"]) == version
    assert f"version = {{{version}}}" in (repository / "README.md").read_text()
    assert f"\n## {version} ({citation['date-released']})\n" in (repository / "CHANGELOG.md").read_text()
