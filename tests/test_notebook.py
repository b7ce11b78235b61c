"""The notebooks run here, without network, and the outputs committed in them are what they give.

`python tests/test_notebook.py [NAME]` runs one, quickstart by default or as transients/01_exploring, and writes its
outputs anew.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from local_hub import USER, LocalHub
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SILENT = {"PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
ROUNDING = {"rtol": 0.01, "atol": 0.005}, {"rtol": 0.0, "atol": 1.0}  # of numbers with decimals, of whole ones


@dataclass(frozen=True)
class Facts:
    """Numbers of code cells, plots and tables that are compared; cells that show nothing; most bytes with outputs."""

    cells: int
    plots: int
    tables: int
    silent: tuple[str, ...] = ("settings", "simulate")
    largest: int = 400_000


NOTEBOOKS = {
    "quickstart": Facts(10, 3, 2, largest=500_000),
    "01_exploring": Facts(10, 7, 1, ("settings", "data"), largest=900_000),
    "02_preprocessing": Facts(11, 5, 3, ("settings", "simulate", "steps"), largest=500_000),
    "03_baseline": Facts(9, 3, 1, ("settings", "data", "depths")),
    "04_training": Facts(9, 2, 1, ("settings", "data", "pretrain", "finetune")),
    "05_publishing": Facts(8, 1, 0, ("settings",)),
    "06_own_light_curves": Facts(7, 2, 1),
    "transients/01_exploring": Facts(9, 5, 2),
    "transients/02_features": Facts(10, 5, 1, ("settings", "weight")),
    "transients/03_training": Facts(9, 3, 1, ("settings", "data", "pretrain", "finetune")),
    "transients/04_ensemble": Facts(11, 3, 1, ("settings", "simulate", "members", "network")),
}


NUMBERED = [name for name in NOTEBOOKS if name[:2].isdigit()]


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.ipynb"


def execute(notebook: Any, folder: Path, **variables: str) -> Any:
    """Run all cells with this very interpreter in an empty ``folder``; the notebook with its outputs.

    ``variables`` join its environment.
    """
    environment = {
        **os.environ,
        **SILENT,
        "HF_HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    for name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE"):  # they would win over HF_HOME
        environment.pop(name, None)
    environment |= variables
    specs = KernelSpecManager(kernel_dirs=[])  # no kernel installed elsewhere, only that of sys.executable
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    client = NotebookClient(notebook, km=kernel, timeout=600, record_timing=False, coalesce_streams=True)
    return client.execute(cwd=str(folder), env=environment)


def outputs(cell: Any) -> Iterator[tuple[str, str]]:
    """(kind, text or base64) of what a cell shows."""
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type == "error":
            yield "error", "\n".join(output.traceback)
        else:
            yield from output.data.items()


def numbers(cell: Any) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with decimals and whole ones (ppm, planets) of the table that a cell shows as text."""
    (text,) = [text for kind, text in outputs(cell) if kind == "text/plain"]
    found = re.findall(r"(?<![\w.])-?\d+\.?\d*", text)
    return tuple(np.array([float(word) for word in found if ("." in word) is real]) for real in (True, False))


def committed(name: str) -> Any:
    return nbformat.read(path_of(name), as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_few_short_code_cells_each_introduced(name: str) -> None:
    notebook, cells = committed(name), NOTEBOOKS[name].cells
    assert len(code(notebook)) == cells
    assert len(notebook.cells) < 25
    assert max(len(cell.source.splitlines()) for cell in code(notebook)) <= 20
    kinds = [cell.cell_type for cell in notebook.cells]
    assert all(kinds[place - 1] == "markdown" for place, kind in enumerate(kinds) if kind == "code")
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, cells + 1))
    nbformat.validate(notebook)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_outputs_are_committed_small_and_of_no_machine(name: str) -> None:
    notebook, facts = committed(name), NOTEBOOKS[name]
    for cell in code(notebook):
        shown = list(outputs(cell))
        silent = cell.id in facts.silent  # assignments alone
        assert bool(shown) is not silent, cell.id
        assert not {"stderr", "error"} & {kind for kind, _ in shown}, cell.id
        for kind, text in shown:
            if kind == "image/png":
                assert base64.b64decode(text).startswith(b"\x89PNG"), cell.id
            else:
                assert not re.search(r"/(home|tmp|root|work|Users|usr)/|\d\d:\d\d", text), f"{cell.id}: {text}"
    assert sum(kind == "image/png" for cell in code(notebook) for kind, _ in outputs(cell)) == facts.plots
    assert path_of(name).stat().st_size < facts.largest
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@pytest.mark.parametrize(
    "name", [name if name == "quickstart" else pytest.param(name, marks=pytest.mark.slow) for name in NOTEBOOKS]
)
def test_run_again_it_shows_the_committed_tables_and_as_many_plots(name: str, tmp_path: Path) -> None:
    tables = 0
    for before, now in zip(code(committed(name)), code(execute(committed(name), tmp_path)), strict=True):
        assert sorted(kind for kind, _ in outputs(now)) == sorted(kind for kind, _ in outputs(before)), before.id
        if "numbers" in before.metadata.get("tags", ()):
            for found, expected, tolerance in zip(numbers(now), numbers(before), ROUNDING, strict=True):
                np.testing.assert_allclose(found, expected, **tolerance, err_msg=before.id)
            tables += 1
    assert tables == NOTEBOOKS[name].tables


@pytest.mark.parametrize("name", NUMBERED)
def test_a_numbered_one_installs_what_is_missing_first_and_opens_in_colab_and_kaggle(name: str) -> None:
    notebook = committed(name)
    assert notebook.cells[0].source.count(f"/blob/main/notebooks/{name}.ipynb)") == 2
    first = code(notebook)[0].source
    guard, install = 'if importlib.util.find_spec("hf_dataset") is None:\n', "    %pip install -q {WHEEL}\n"
    before, found, _ = first.partition(guard + install)
    assert found
    assert before.startswith("import importlib.util\n\nWHEEL = ")
    assert "import" not in before.removeprefix("import importlib.util")
    assert re.findall(r"\]\(((?!http)[^)#]+)", "".join(cell.source for cell in notebook.cells[1:])), "links onwards"
    for link in re.findall(r"\]\(((?!http)[^)#]+)", "".join(cell.source for cell in notebook.cells)):
        assert (FOLDER / link).is_file(), link


@pytest.mark.slow
def test_the_one_about_publishing_publishes_for_who_has_a_login_and_loads_from_there(
    hub: LocalHub, tmp_path: Path
) -> None:
    notebook = committed("05_publishing")
    settings = code(notebook)[0]
    settings.source = settings.source.replace('OWNER = ""', f'OWNER = "{USER}"')
    (tmp_path / "cwd").mkdir()
    theirs = {name: value for name, value in hub.environment(tmp_path / "home").items() if name.startswith("HF_")}
    done = execute(notebook, tmp_path / "cwd", **theirs, HF_HUB_OFFLINE="0", HF_DATASETS_OFFLINE="0")
    assert {repo for _, repo in hub.repos} == {f"{USER}/ariel-demo-curves", f"{USER}/ariel-demo-model"}
    shown = {cell.id: dict(outputs(cell)) for cell in code(done)}
    assert "rows the same: True" in shown["same"]["text/plain"]
    assert "below 0.1 ppm: True" in shown["same"]["text/plain"]
    assert any("/resolve/" in call.path and call.path.endswith(".parquet") for call in hub.requests)


def write(name: str = "quickstart") -> None:
    """Run a notebook and write its outputs into it."""
    import tempfile

    notebook = committed(name)
    metadata = notebook.metadata.copy()
    with tempfile.TemporaryDirectory() as folder:
        done = execute(notebook, Path(folder))
    done.metadata = metadata
    nbformat.write(done, path_of(name))


if __name__ == "__main__":
    write(*sys.argv[1:])
