"""Hashes: which settings are the same, and which sources decide a row."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from hf_dataset import digests
from hf_dataset.digests import config_hash, source_hash

PACKAGE = Path(digests.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def decides_rows(file: str) -> bool:
    return file == "schema.py" or file.startswith(("raw/", "reduction/"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's sources."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "hf_dataset", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_same_settings_have_the_same_hash_in_any_order() -> None:
    assert config_hash({"a": 1, "b": Path("x")}) == config_hash({"b": Path("x"), "a": 1}) == "ecf9e98ec064"
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_a_copy_of_the_sources_has_their_hash(package: Path) -> None:
    assert source_hash(package) == source_hash()
    assert len(source_hash()) == 12


@pytest.mark.parametrize("file", FILES)
def test_the_hash_of_the_sources_changes_with_those_that_decide_a_row_and_no_other(package: Path, file: str) -> None:
    with (package / file).open("a") as opened:
        opened.write("# changed\n")
    assert (source_hash(package) != source_hash()) == decides_rows(file)


def test_a_file_that_comes_goes_or_changes_its_name_changes_the_hash(package: Path) -> None:
    new = package / "reduction" / "other.py"
    new.write_text("")
    hashes = {source_hash(), source_hash(package)}
    new.rename(package / "reduction" / "another.py")
    hashes.add(source_hash(package))
    (package / "reduction" / "another.py").unlink()
    (package / "reduction" / "pixels.py").unlink()
    assert len(hashes | {source_hash(package)}) == 4


def test_a_package_that_lacks_a_room_has_no_hash(package: Path) -> None:
    shutil.rmtree(package / "raw")
    with pytest.raises(ValueError, match="hf_dataset/raw: expected sources of this package, found none"):
        source_hash(package)


def test_the_hash_forgets_nothing_that_a_row_depends_on() -> None:
    """All that `reduction.visit` imports of this package is in it, but for the opening of files."""
    found, waiting = set[str](), ["reduction/visit.py"]
    while waiting:
        found.add(file := waiting.pop())
        for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hf_dataset"):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files = {"/".join(str(name).split(".")[1:]) + ".py" for name in names}
                waiting += sorted(files.intersection(FILES) - found)
    assert {"raw/layouts.py", "raw/files.py", "raw/tables.py", "schema.py"} <= found
    assert {"reduction/calibration.py", "reduction/kernel.py", "reduction/options.py"} <= found
    assert {file for file in found if not decides_rows(file)} == {"folders.py"}
