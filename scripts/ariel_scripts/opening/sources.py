"""Which source files of the model's package a result depends on, and their hash.

They are found by the rule by which transformers finds the code that travels with a checkpoint, so
that no list has to be kept by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

import modeling_ariel
from modeling_ariel.architectures import ARCHITECTURES

FOLDER = Path(str(modeling_ariel.__file__)).parent
FIT = ("retrieval.py",)  # the classical fit of a visit
MODEL = ("pipeline_ariel.py",)  # and so the transformer and the feature extractor: all that travels with it
NETWORKS = (*MODEL, *(f"{home}.py" for home, _ in ARCHITECTURES.values()))  # those of all architectures


def needed_files(names: Iterable[str], folder: Path = FOLDER) -> list[Path]:
    """These files of ``folder`` and all that they import from it, at any depth, sorted by name."""
    roots = [folder / name for name in names]
    imported = [Path(found) for root in roots for found in get_relative_import_files(root)]
    return sorted({*roots, *imported})


def digest(names: Iterable[str], beside: Iterable[bytes] = (), folder: Path = FOLDER) -> str:
    """Hash of :func:`needed_files`, and of what else a result depends on."""
    total = hashlib.sha256()
    for content in (*(path.read_bytes() for path in needed_files(names, folder)), *beside):
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]
