"""The wheel: built, installed by itself and used outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Ariel = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the files that git would commit, in a folder without git."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repository / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `ariel` of an environment that holds the wheel, and sees the libraries of this one but not its checkout."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--prefix", home, wheel],
        check=True,
        env={**os.environ, "PIP_IGNORE_INSTALLED": "1"},
    )
    # a path named in a .pth file is searched, but its own .pth files, the editable checkout's among them, are not read
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = home / "bin" / "ariel"
    script.write_text("#!" + str(home / "bin" / "python") + "\n" + script.read_text().split("\n", 1)[1])
    return script


@pytest.fixture
def ariel(installed: Path, tmp_path: Path) -> Ariel:
    """Runs `ariel ARGUMENTS` in an empty folder."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(installed), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=_environment())

    return run


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_it_holds_the_packages_what_they_read_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {one for one in tops if not one.endswith(".dist-info")} == {"hf_dataset", "modeling_ariel", "ariel_scripts"}
    for needed in (
        "modeling_ariel/released/model.safetensors",
        "modeling_ariel/transients/released/model.safetensors",
        "ariel_scripts/report/templates/style.css",
        "ariel_scripts/shipped_files/configs/labelled.yaml",
        "ariel_scripts/shipped_files/space/app.py",
        "hf_dataset/py.typed",
    ):
        assert needed in names
    assert not [name for name in names if name.endswith((".pyc", ".log")) or "sample_data" in name]
    assert wheel.stat().st_size < 12e6


def test_a_command_runs_outside_the_checkout_by_a_shipped_configuration(ariel: Ariel, installed: Path) -> None:
    where = subprocess.run(
        [installed.parent / "python", "-c", "import ariel_scripts; print(ariel_scripts.__file__)"],
        capture_output=True,
        text=True,
        env=_environment(),
        cwd=installed.parent,
    )
    assert where.stdout.startswith(str(installed.parents[1])), where
    done = ariel("finetune", "curves", "--config", "configs/labelled.yaml", "--print-config")
    assert done.returncode == 0, done.stderr
    assert "init_from" in done.stdout or "model" in done.stdout
    missing = ariel("finetune", "curves", "--config", "configs/none.yaml", "--print-config")
    assert "configs/none.yaml" in missing.stderr
    assert missing.returncode == 2


def test_it_knows_its_version_and_no_commit(ariel: Ariel) -> None:
    text = ariel("--version").stdout
    assert text.startswith("ariel ")
    assert "commit unknown" in text


def test_the_space_is_found_and_its_licence(ariel: Ariel, installed: Path) -> None:
    code = (
        "from ariel_scripts.shipped import shipped, licence_text\n"
        "print((shipped('space') / 'app.py').is_file(), 'Apache License' in licence_text())"
    )
    done = subprocess.run(
        [installed.parent / "python", "-c", code],
        capture_output=True,
        text=True,
        env=_environment(),
        cwd=installed.parent,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr


@pytest.mark.slow
def test_the_selftest_passes(ariel: Ariel) -> None:
    done = ariel("selftest", "--deep")
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serving(installed: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`ariel space` on a port, until the block ends."""
    command = [installed, "space", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env=_environment(), start_new_session=True) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, 15)


@pytest.mark.slow
def test_the_space_starts_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    port, limit = 7911, time.monotonic() + 300
    with serving(installed, tmp_path, port) as process:
        while time.monotonic() < limit:
            assert process.poll() is None
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
                break
            except OSError:
                time.sleep(2)
    assert "Ariel" in page


@pytest.mark.slow
def test_the_quickstart_runs_from_the_wheel(ariel: Ariel, tmp_path: Path) -> None:
    done = ariel("quickstart", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out/index.html").is_file()
