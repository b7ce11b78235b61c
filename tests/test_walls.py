"""Folders are rooms: imports go one way, without circles, and the type checker sees through every room."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import Module, circle, edges, modules

# room → rooms whose modules it may import; its own always. A room not named here may not exist.
DATASET, SCRIPTS = "hf_dataset", "ariel_scripts"
ROOMS = {
    DATASET: set(),
    f"{DATASET}.raw": {DATASET},
    f"{DATASET}.reduction": {DATASET, f"{DATASET}.raw"},
    f"{DATASET}.store": {DATASET, f"{DATASET}.raw"},
    f"{DATASET}.build": {DATASET, f"{DATASET}.raw", f"{DATASET}.reduction", f"{DATASET}.store"},
    f"{DATASET}.simulation": {DATASET, f"{DATASET}.store"},
    f"{DATASET}.transients": {DATASET, f"{DATASET}.raw", f"{DATASET}.store"},
    f"{DATASET}.transients.simulation": {DATASET, f"{DATASET}.transients"},
    "modeling_ariel": set(),
    "modeling_ariel.any_telescope": {"modeling_ariel"},
    "modeling_ariel.transients": set(),
    "engine": {f"{SCRIPTS}.{room}" for room in ("options", "telescope_fit", "report", "report.telescope")},
    "uploads": {"engine", f"{SCRIPTS}.light_curves"},
    "page": {"engine", "uploads"},
    "": {"engine", "uploads", "page"},  # space/app.py
    SCRIPTS: {DATASET, f"{SCRIPTS}.options", f"{SCRIPTS}.options.transients"},
    **{
        f"{SCRIPTS}.{room}": {SCRIPTS, *(f"{SCRIPTS}.{other}" for other in others)}
        for room, others in {
            "options": [],
            "options.transients": ["options"],
            "opening": ["options"],
            "prediction": ["options", "opening"],
            "training": ["options", "opening", "prediction"],
            "training.transients": ["options", "options.transients", "opening", "training"],
            "publishing": ["options", "opening", "transients"],
            "pages": ["options", "opening", "report"],
            "selftest": ["options", "training"],
            "report": ["options", "opening", "prediction"],
            "submission": [],
            "reproduction": ["options", "opening"],
            "challenge": ["options", "opening", "prediction", "submission"],
            "light_curves": [],
            "transients": ["opening", "submission"],
            "telescope_fit": ["options", "light_curves"],
            "report.telescope": ["options", "report", "telescope_fit"],
            "report.transients": ["options", "options.transients", "opening", "report", "transients"],
            "commands": [
                "options",
                "opening",
                "challenge",
                "prediction",
                "training",
                "publishing",
                "pages",
                "report",
                "report.telescope",
                "reproduction",
                "selftest",
                "submission",
                "telescope_fit",
            ],
            "commands.transients": [
                "options",
                "options.transients",
                "opening",
                "commands",
                "publishing",
                "report.transients",
                "submission",
                "training.transients",
                "transients",
            ],
        }.items()
    },
}


@pytest.fixture(scope="module")
def found(repository: Path) -> dict[str, Module]:
    return modules(repository)


def allowed(name: str) -> set[str]:
    """Rooms that a room may import; those of the scripts and of the Space may use both packages."""
    packages = {one for one in ROOMS if one.startswith((DATASET, "modeling_ariel"))}
    on_top = name.startswith(f"{SCRIPTS}.") or name in ("engine", "uploads", "page")
    return ROOMS[name] | (packages if on_top else set())


def test_every_folder_of_sources_is_a_known_room(found: dict[str, Module]) -> None:
    assert {module.package for module in found.values()} == set(ROOMS)


def test_imports_between_rooms_go_one_way(found: dict[str, Module]) -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in edges(found).items()
        for other in sorted(others)
        if found[other].package not in {found[name].package, *allowed(found[name].package)}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_one_another_in_a_circle(found: dict[str, Module]) -> None:
    assert not circle(edges(found))


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize(
    ("package", "library"),
    [
        ("hf_dataset", "torch"),
        ("hf_dataset", "transformers"),
        ("hf_dataset", "gradio"),
        ("modeling_ariel", "datasets"),
        ("modeling_ariel", "batman"),
        ("modeling_ariel", "gradio"),
        ("engine", "gradio"),
        ("uploads", "gradio"),
    ],
)
def test_a_package_does_without_a_library(found: dict[str, Module], package: str, library: str) -> None:
    for module in found.values():
        if module.name.split(".")[0] == package:
            assert library not in {name.split(".")[0] for name in module.imports}, module.name


def test_model_files_are_flat_and_import_siblings_by_name_as_the_hub_needs(found: dict[str, Module]) -> None:
    for module in found.values():
        if module.name.startswith("modeling_ariel.") and module.package != "modeling_ariel.any_telescope":  # not pushed
            assert module.package in ("modeling_ariel", "modeling_ariel.transients"), module.name
            for node in ast.walk(ast.parse(module.path.read_text())):
                if isinstance(node, ast.Import):
                    assert not any(alias.name.startswith("modeling_ariel") for alias in node.names), module.name
                elif isinstance(node, ast.ImportFrom):
                    assert not (node.module or "").startswith("modeling_ariel."), module.name
                    sibling = node.level == 1 and node.module and "." not in node.module
                    assert sibling or not node.level, f"{module.name}: {ast.unparse(node)}"


def test_scores_are_imported_by_no_model_file(found: dict[str, Module]) -> None:
    users = {name for name, others in edges(found).items() if "modeling_ariel.scoring" in others}
    assert not {name for name in users if name.startswith("modeling_ariel")}


def test_package_code_raises_errors_instead_of_asserting(found: dict[str, Module]) -> None:
    for module in found.values():
        wrong = [
            node.lineno
            for node in ast.walk(ast.parse(module.path.read_text()))
            if isinstance(node, ast.Assert) or (isinstance(node, ast.ExceptHandler) and node.type is None)
        ]
        assert not wrong, f"{module.name}: assert or bare except at lines {wrong}"


# --- the type checker ----------------------------------------------------------------------------------------------

PLANTED = """

def _planted() -> None:
    import {package}.no_such_module
    from {module} import NoSuchName

    _takes_one(1, 2)


def _takes_one(number: int) -> int:
    return number
"""


def test_names_and_calls_that_do_not_exist_are_errors_in_every_room(
    repository: Path, found: dict[str, Module], tmp_path: Path
) -> None:
    """What `make check` runs, with two wrong imports and a wrong call planted in one module of every room."""
    for folder in ("hf_dataset", "modeling_ariel", "scripts", "space"):
        shutil.copytree(repository / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.safetensors", "*.png"))
    shutil.copyfile(repository / "pyproject.toml", tmp_path / "pyproject.toml")
    last = {module.package: module for module in found.values() if module.path.name != "__init__.py"}
    assert set(last) == set(ROOMS)
    for package, module in last.items():
        planted = tmp_path / module.path.relative_to(repository)
        whose = package or "engine"  # app.py is in no package
        planted.write_text(planted.read_text() + PLANTED.format(package=whose, module=module.name))
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--no-error-summary"]
    command += ["--follow-imports", "skip"]  # of libraries: reading them takes most of the time, and matters not here
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300).stdout
    for module in last.values():
        mine = "\n".join(
            line for line in said.splitlines() if line.startswith(f"{module.path.relative_to(repository)}:")
        )
        assert ".no_such_module" in mine, said
        assert '"NoSuchName"' in mine, said
        assert 'Too many arguments for "_takes_one"' in mine, said
