"""Python processes that need not import the large libraries: forks of one that has, `run`.

What torch, and transformers of torch, take to be imported is most of the time of a short command. No library that is
imported here reads the variables of a client of the Hub; huggingface_hub, datasets and transformers do, so that each
process imports them itself, and the project's own packages.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch._dynamo.aot_compile",
    "scipy.signal",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "matplotlib.pyplot",
)
SECONDS = 500  # after which a process is ended
LOCK = threading.Lock()


@cache
def _server(site: str | None) -> subprocess.Popen[str]:
    """The process that forks, one a process of pytest; it ends with it, as its input does."""
    options = [] if site is None else ["-I", "-S"]
    return subprocess.Popen(
        [sys.executable, *options, __file__, *([] if site is None else [site])],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def run(
    argv: list[str], cwd: Path, env: Mapping[str, str], site: str | None = None
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives of Python with these arguments: `-c CODE`, `-m MODULE …` or `SCRIPT …`.

    site: a site-packages folder; Python then is `python -I -S`, with this folder at the end of its path.
    """
    with tempfile.TemporaryDirectory() as folder, LOCK:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        request = {"argv": argv, "cwd": str(cwd), "env": dict(env), "outputs": [str(path) for path in outputs]}
        server = _server(site)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(argv, code, *(path.read_text() for path in outputs))


def serve() -> dict[str, Any]:
    """Fork for every request and answer with exit codes; in the fork, return the request."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def become(argv: list[str], cwd: str, env: dict[str, str], outputs: list[str]) -> None:
    """Be the process that Python with these arguments would be."""
    signal.alarm(SECONDS)
    for number, path in enumerate([os.devnull, *outputs]):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    first, *sys.argv = argv if argv[0] in ("-c", "-m") else ["", *argv]
    if not sys.flags.isolated:
        sys.path[0] = "" if first else str(Path(argv[0]).resolve().parent)
        sys.path[1:1] = env.get("PYTHONPATH", "").split(os.pathsep) if env.get("PYTHONPATH") else []
    if first == "-c":
        code, sys.argv[0] = argv[1], "-c"
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif first == "-m":
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    sys.path += sys.argv[1:]
    for _name in LIBRARIES:
        __import__(_name)
    gc.freeze()  # forks share what is there already, and need not look through it when they end
    become(**serve())
