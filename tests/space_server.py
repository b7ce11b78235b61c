"""The Space served for tests: in this process for its answers, or in one of its own, started from a folder."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from engine.inference import Engine

START_S = 120.0  # importing torch and opening everything, on a busy machine


@contextlib.contextmanager
def serving(engine: Engine) -> Iterator[str]:
    """The address of the app over an engine of this process."""
    from app import build_app, launch

    app = build_app(engine)
    _, address, _ = launch(app, engine, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        yield address
    finally:
        app.close(verbose=False)


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """The address of an app that a command starts in a folder; what it prints is kept in `log`."""
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if found := re.search(r"running on local URL:\s+(http://\S+)", log.read_text(), re.IGNORECASE):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the app did not start:\n{log.read_text()[-4000:]}")


def checkout_command(repository: Path) -> tuple[list[str], dict[str, str]]:
    """What `make space` runs, on a free port."""
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_SERVER_PORT"}
    environment |= {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    return [sys.executable, str(repository / "space" / "app.py")], environment
