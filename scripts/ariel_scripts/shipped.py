"""Files that are no modules: the Space and the configurations, in a checkout or in an installed wheel."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from ariel_scripts.versions import DISTRIBUTION

IN_WHEEL = Path(__file__).resolve().parent / "shipped_files"  # pyproject.toml puts them there
CHECKOUT = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """The file or folder of that name that came with this package: `space` or `configs`."""
    return (IN_WHEEL if IN_WHEEL.is_dir() else CHECKOUT) / name


def config_file(path: Path) -> Path:
    """A configuration by its path, or, where there is no such file, the shipped one that `configs/NAME.yaml` names."""
    if path.parts[:1] == ("configs",) and not path.exists() and shipped(str(path)).is_file():
        return shipped(str(path))
    return path


def licence_text() -> str:
    """The licence of this package; ValueError where an installation lost it."""
    text = importlib.metadata.distribution(DISTRIBUTION).read_text("licenses/LICENSE")
    if text is None:
        raise ValueError(f"{DISTRIBUTION}: expected licenses/LICENSE in its metadata, found none: install it again")
    return text
