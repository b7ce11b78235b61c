"""What `from hf_dataset import …` gives, and what importing the package costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hf_dataset


def checked_names() -> dict[str, str]:
    """Name → module of the imports that type checkers see."""
    tree = ast.parse(Path(str(hf_dataset.__file__)).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: str(node.module).removeprefix("hf_dataset.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_and_python_find_the_same_names_in_the_same_places() -> None:
    assert checked_names() == hf_dataset._HOMES
    assert hf_dataset.__all__ == sorted(hf_dataset._HOMES)


@pytest.mark.parametrize("name", hf_dataset.__all__)
def test_every_public_name_is_there_and_lives_where_it_says(name: str) -> None:
    found = getattr(hf_dataset, name)
    assert found.__name__ == name
    assert found.__module__ == f"hf_dataset.{hf_dataset._HOMES[name]}"
    assert name in dir(hf_dataset)


def test_a_name_that_is_not_there_is_told_with_the_module() -> None:
    with pytest.raises(AttributeError, match="module 'hf_dataset' has no attribute 'open_foldr'"):
        hf_dataset.open_foldr  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'open_foldr' from 'hf_dataset'"):
        exec("from hf_dataset import open_foldr")


def test_importing_the_package_imports_nothing_but_the_package() -> None:
    code = "import sys, hf_dataset; print(sorted({name.split('.')[0] for name in sys.modules} & {%r, %r, %r, %r}))"
    code %= ("numpy", "pyarrow", "datasets", "datatrove")
    code += "; print([name for name in sys.modules if name.startswith('hf_dataset.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n[]\n"
