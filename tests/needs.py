"""Folders of site-packages that hold some libraries and what these need, nothing else."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement


def only_with_needs(folder: Path, names: tuple[str, ...]) -> Path:
    """A folder of links to these distributions and to all that they require."""
    waiting, known = list(names), set()
    folder.mkdir()
    while waiting:
        name = waiting.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if distribution.metadata["Name"] in known:
            continue
        known.add(distribution.metadata["Name"])
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder
