"""Small releases and clients of the local Hub, for the tests of `ariel push`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from local_hub import WRITE_TOKEN, LocalHub

from ariel_scripts.commands.push import push
from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.publishing.release import Release

REPO = "observer/curves"
ALLOWED = ("README.md", "data/*.parquet")
FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Curves\n",
    "data/train-0.parquet": b"PAR1" + b"a" * 3000,
    "data/train-1.parquet": b"PAR1" + b"b" * 4000,
}
# a push in a process of its own, with errors reported as the command does
PUSH = """
from huggingface_hub import HfApi
from push_scenes import release, FILES
from ariel_scripts.command_line import run_script
from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.commands.push import push
def main():
    '''Push.'''
    push(HfApi(), release(FILES), PushOptions(Kind.dataset, ""))
run_script(main)
"""
WITH_SCENES = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}

# code: a model is pushed without asking it alone (publishing/test_model_release.py), with an answer for its picture
UNCHECKED = """
import numpy as np
model_release.check_alone = lambda *_: dict.fromkeys(("mean", "sigma"), np.full((2, 283), 1e-3))
"""


def release(files: Mapping[str, bytes] = FILES, repo_id: str = REPO, kind: str = "dataset") -> Release:
    """A release of these files."""
    return Release(kind, repo_id, files, ALLOWED)


def client(hub: LocalHub, token: str | bool = WRITE_TOKEN) -> HfApi:
    """A client of this process."""
    return HfApi(endpoint=hub.endpoint, token=token)


def pushed(
    hub: LocalHub,
    files: Mapping[str, bytes] = FILES,
    token: str | bool = WRITE_TOKEN,
    repo_id: str = REPO,
    **options: Any,
) -> str:
    """The last line that a push of these files prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        push(client(hub, token), release(files, repo_id), PushOptions(Kind.dataset, repo_id, **options))
    print(printed.getvalue(), end="")
    return printed.getvalue().splitlines()[-1]


def sent_line(hub: LocalHub, tag: str = "", what: str = "published", branch: str = "main") -> str:
    """How a push ends that left a branch of the repository as it is."""
    commit = hub.repo("dataset", REPO).branches[branch]
    return f"{what}: {hub.endpoint}/datasets/{REPO} commit {commit}" + (f" tag {tag}" if tag else "")


def traffic(hub: LocalHub, repo_id: str = REPO) -> tuple[int, int]:
    """How many large files of a repository arrived and commits were made so far."""
    inside = f"/{repo_id}/"
    return sum(inside in call.path for call in hub.uploads()), sum(inside in call.path for call in hub.commits())
