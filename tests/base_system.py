"""The programs that default tests may find in PATH: those of any Linux or macOS, git, make, and the environment's own.

What somebody once installed by hand on the machine where a test was written (Slurm, a browser, Docker) is not among
them, so a test that needs it without saying so fails there, not first on somebody else's machine. Tests that need more
are marked (`cluster`, `browser`, `gpu`, `slow`) and see the whole PATH.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROGRAMS = (
    "awk", "basename", "bash", "cat", "chmod", "cp", "cut", "date", "dirname", "echo", "env", "expand", "expr", "false",
    "git", "grep", "gunzip", "gzip", "head", "hostname", "id", "kill", "ln", "ls", "make", "mkdir", "mktemp", "mount",
    "mv", "nproc", "printf", "ps", "pwd", "rm", "rmdir", "sed", "sh", "sha256sum", "sleep", "sort", "stat", "tail",
    "tar", "tee", "test", "touch", "tr", "true", "umount", "uname", "uniq", "wc", "which", "xargs",
)  # fmt: skip
BEYOND = ("cluster", "browser", "gpu", "slow")


def base_path(folder: Path, path: str) -> str:
    """A PATH of this interpreter's folder and of links, made in `folder`, to those of PROGRAMS that `path` has."""
    for name in PROGRAMS:
        if found := shutil.which(name, path=path):
            (folder / name).symlink_to(found)
    return os.pathsep.join((str(Path(sys.executable).parent), str(folder)))
