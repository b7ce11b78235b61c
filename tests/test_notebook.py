"""notebooks/quickstart.ipynb runs here, without network, and the outputs committed in it are what it gives.

`python tests/test_notebook.py` runs it and writes its outputs anew.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks/quickstart.ipynb"
SILENT = {"PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
LARGEST = 500_000  # bytes, outputs included
ROUNDING = {"rtol": 0.01, "atol": 0.005}, {"rtol": 0.0, "atol": 1.0}  # of numbers with decimals, of whole ones


def execute(notebook: Any, folder: Path) -> Any:
    """Run all cells with this very interpreter in an empty ``folder``; the notebook with its outputs."""
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
    specs = KernelSpecManager(kernel_dirs=[])  # no kernel installed elsewhere, only that of sys.executable
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    client = NotebookClient(notebook, km=kernel, timeout=300, record_timing=False)
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


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return execute(nbformat.read(NOTEBOOK, as_version=4), tmp_path_factory.mktemp("notebook"))


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_has_ten_short_code_cells_each_introduced(committed: Any) -> None:
    assert len(code(committed)) == 10
    assert max(len(cell.source.splitlines()) for cell in code(committed)) <= 20
    kinds = [cell.cell_type for cell in committed.cells]
    assert all(kinds[place - 1] == "markdown" for place, kind in enumerate(kinds) if kind == "code")
    assert [cell.execution_count for cell in code(committed)] == list(range(1, 11))
    nbformat.validate(committed)


def test_its_outputs_are_committed_small_and_of_no_machine(committed: Any) -> None:
    for cell in code(committed):
        shown = list(outputs(cell))
        silent = cell.id in ("settings", "simulate")  # assignments alone
        assert bool(shown) is not silent, cell.id
        assert not {"stderr", "error"} & {kind for kind, _ in shown}, cell.id
        for kind, text in shown:
            if kind == "image/png":
                assert base64.b64decode(text).startswith(b"\x89PNG"), cell.id
            else:
                assert not re.search(r"/(home|tmp|root|work|Users|usr)/|\d\d:\d\d", text), f"{cell.id}: {text}"
    assert sum(kind == "image/png" for cell in code(committed) for kind, _ in outputs(cell)) == 3
    assert NOTEBOOK.stat().st_size < LARGEST
    assert committed.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def test_run_again_it_shows_the_committed_tables_and_as_many_plots(committed: Any, executed: Any) -> None:
    tables = 0
    for before, now in zip(code(committed), code(executed), strict=True):
        assert sorted(kind for kind, _ in outputs(now)) == sorted(kind for kind, _ in outputs(before)), before.id
        if "numbers" in before.metadata.get("tags", ()):
            for found, expected, tolerance in zip(numbers(now), numbers(before), ROUNDING, strict=True):
                np.testing.assert_allclose(found, expected, **tolerance, err_msg=before.id)
            tables += 1
    assert tables == 2


def write() -> None:
    """Run the notebook and write its outputs into it."""
    import tempfile

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    metadata = notebook.metadata.copy()
    with tempfile.TemporaryDirectory() as folder:
        done = execute(notebook, Path(folder))
    done.metadata = metadata
    nbformat.write(done, NOTEBOOK)


if __name__ == "__main__":
    write()
