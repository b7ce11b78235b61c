"""A distribution as pip would install one, with a module and entry points of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, offers: Mapping[str, Mapping[str, str]]
) -> None:
    """Distribution ``name`` 0.1 with a module of ``source``; ``offers`` {group: {entry: attribute}}; undone after."""
    site, module = folder / f"site-{name}", name.replace("-", "_")
    about = site / f"{module}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"[{group}]\n" + "".join(f"{entry} = {module}:{attribute}\n" for entry, attribute in entries.items())
             for group, entries in offers.items()]  # fmt: skip
    (about / "entry_points.txt").write_text("\n".join(lines))
    (site / f"{module}.py").write_text(source)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(site)
