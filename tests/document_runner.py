"""Runs documents' code blocks in a folder that is the reader's machine, with a Hub and a `kaggle` of its own."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import warm_python
from code_blocks import Block
from local_hub import WRITE_TOKEN, Account, LocalHub

from hf_dataset.simulation.planets import sample_planets
from hf_dataset.simulation.raw_folder import write_folder

BIN = Path(sysconfig.get_path("scripts"))
REAL_PLANET = 1103775  # a number that the documents name; its frames here are simulated
LINKED = ("configs", "modeling_ariel", "scripts", "space")  # what a checkout has and the documents name
MODULES = {"ariel": "ariel_scripts.cli", "accelerate": "accelerate.commands.accelerate_cli"}  # run without a shell
OWNER = '"you/'  # how an id of the documents' own repositories begins in Python

KAGGLE = """#!{python}
import pathlib, sys, zipfile
raw, arguments = pathlib.Path({raw!r}), sys.argv[1:]
assert arguments[:2] == ["competitions", "download"], arguments
out = pathlib.Path(arguments[arguments.index("-p") + 1])
out.mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(out / (arguments[2] + ".zip"), "w") as archive:
    for path in sorted(raw.rglob("*")):
        archive.write(path, path.relative_to(raw))
"""


def simulated_raw(root: Path) -> Path:
    """A 2025 folder of two labelled planets and one without label, 750 AIRS frames each: 375 bins of one exposure."""
    first, second, test = sample_planets(3, seed=11, layout="2025")
    return write_folder(root, [replace(first, planet_id=REAL_PLANET), second], "2025", 750, 11, test_planets=[test])


@dataclass(frozen=True)
class Machine:
    """A reader's working directory with a checkout's folders in it; `ariel` and `kaggle` first on PATH; caches apart.

    ``hub`` is where Hub ids lead, to repositories of the user `you`. ``appended``: words that a command gets more, by
    the words that it begins with; the last of an option on the command line wins.
    """

    folder: Path
    hub: LocalHub
    appended: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """HF_HOME."""
        return self.folder.parent / "home"

    def shell(self, line: str) -> str:
        """Run one line in a shell, `MODULES` without one; its output. AssertionError with all it said if it fails."""
        tools = self.folder.parent / "bin"
        environment = {
            **self.hub.environment(self.home),
            "PATH": os.pathsep.join([str(tools), str(BIN), os.environ["PATH"]]),
            "KAGGLE_USERNAME": "somebody",
            "KAGGLE_KEY": "anything",
        }
        extra = " ".join(words for start, words in self.appended.items() if line.startswith(start))
        words = shlex.split(f"{line} {extra}", comments=True)
        while "=" in words[0]:
            name, environment[name] = words.pop(0).split("=", 1)
        if words[0] in MODULES:
            done = warm_python.run(["-m", MODULES[words[0]], *words[1:]], self.folder, environment)
        else:
            command = ["bash", "-c", f"{line} {extra}"]
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"$ {line} {extra}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, block: Block, names: dict[str, Any], document: Path) -> None:
        """Run a block: commands line by line, but for `make`; Python in ``names``, see the text of test_readme.py."""
        if block.language == "bash":
            for line in block.lines:
                if not line.startswith("make "):
                    self.shell(line)
        elif block.language == "python" and OWNER in block.code:
            own = re.search(r"^(import|from) (modeling_ariel|hf_dataset)", block.code, re.MULTILINE) is not None
            self.hub.run(block.code, self.home, package=own, cwd=self.folder)
        elif block.language == "python":
            block.run(names, document)


def make_machine(folder: Path, repository: Path, hub: LocalHub, appended: Mapping[str, str]) -> Machine:
    """A machine whose working directory is ``folder`` / "work"; `kaggle` there fetches ``folder`` / "served"."""
    hub.accounts[WRITE_TOKEN] = Account(OWNER.strip('"/'), "write")
    work, program = folder / "work", folder / "bin" / "kaggle"
    work.mkdir()
    for name in LINKED:
        (work / name).symlink_to(repository / name)
    program.parent.mkdir()
    program.write_text(KAGGLE.format(python=sys.executable, raw=str(folder / "served")))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Machine(work, hub, appended)
