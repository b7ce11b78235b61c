"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from base_system import BEYOND, base_path

if TYPE_CHECKING:
    from local_hub import LocalHub

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's job in the background, and all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)

PATH = os.environ["PATH"]
BASE_PATH = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Default tests, and what they are collected with, see the programs of the base system alone."""
    folder = Path(tempfile.mkdtemp(prefix="ariel-programs-"))
    config.add_cleanup(lambda: shutil.rmtree(folder))
    os.environ["PATH"] = config.stash[BASE_PATH] = base_path(folder, PATH)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collection of garbage with which commands end need not look through it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that is marked as needing more sees all programs of this machine, its fixtures too."""
    beyond = any(item.get_closest_marker(name) for name in BEYOND)
    os.environ["PATH"] = PATH if beyond else item.config.stash[BASE_PATH]
    return (yield)


REPOSITORY = Path(__file__).resolve().parents[1]
REAL = REPOSITORY.parent / "shared" / "real"


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real() -> Path:
    """Folder of real challenge samples, which the project may not ship."""
    if not REAL.is_dir():
        pytest.skip(f"the real challenge samples (CC BY-NC, not shipped) are not at {REAL}")
    return REAL


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A stand-in for a raw folder: eight planets with one or two visits."""
    from fake_folder import TEST, TRAIN, write_folder  # after the environment above, which libraries read when imported

    return write_folder(tmp_path / "raw", TRAIN, TEST)


@pytest.fixture
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources may be edited while builds are tested."""
    from fake_folder import CODE

    from hf_dataset.build import plan

    monkeypatch.setattr(plan, "code_version", lambda: CODE)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins of sbatch, which notes its scripts, and of squeue, which shows the file returned."""
    folder = tmp_path / "bin"
    folder.mkdir()
    queue = tmp_path / "queue"
    queue.write_text("")
    scripts = {
        "sbatch": f'for last; do :; done; echo "$@" >> {tmp_path}/sbatch; cat "$last" >> {tmp_path}/sbatch; '
        f"echo '7_0 PENDING' > {queue}; echo Submitted batch job 7",
        "squeue": f'echo "$@" > {tmp_path}/asked; cat {queue}',
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return queue


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """An empty Hugging Face Hub on this machine."""
    from local_hub import LocalHub

    with LocalHub() as running:
        yield running


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clients of this process may send requests (to the local Hub), by LFS as it asks."""
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield
    close_session()
