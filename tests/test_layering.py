"""The two packages meet at the dataset's columns and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ariel_scripts.opening.sources import MODEL, needed_files

FORBIDDEN = {
    "hf_dataset": {"modeling_ariel", "ariel_scripts", "space", "gradio", "transformers"},
    "modeling_ariel": {"hf_dataset", "ariel_scripts", "space", "gradio", "modeling_ariel", "batman"},
}


def imported(source: str) -> set[str]:
    """Top-level names of everything a source file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_nothing_of_the_layers_above_or_beside_it(package: str, repository: Path) -> None:
    files = sorted((repository / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = imported(path.read_text()) & FORBIDDEN[package]
        assert not wrong, f"{path.relative_to(repository)} imports {wrong}"


def test_model_files_are_flat_and_import_siblings_by_name_as_the_hub_needs(repository: Path) -> None:
    folder = repository / "modeling_ariel"
    assert not [path for path in folder.rglob("*.py") if path.parent != folder]
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                sibling = node.level == 1 and node.module and "." not in node.module
                assert sibling, f"{path.name}: {ast.unparse(node)}"


def test_scores_are_imported_by_no_model_file(repository: Path) -> None:
    for path in needed_files(MODEL, repository / "modeling_ariel"):
        assert "scoring" not in {
            node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        }, path.name


def test_package_code_raises_errors_instead_of_asserting(repository: Path) -> None:
    for folder in ("hf_dataset", "modeling_ariel", "scripts"):
        for path in (repository / folder).rglob("*.py"):
            wrong = [
                node.lineno
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Assert) or (isinstance(node, ast.ExceptHandler) and node.type is None)
            ]
            assert not wrong, f"{path.relative_to(repository)}: assert or bare except at lines {wrong}"
