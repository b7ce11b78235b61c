"""What other installed packages add by entry points: sections of the report, conformal methods."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

REPORT_SECTIONS, CONFORMAL = "ariel.report_sections", "ariel.conformal"


class PluginError(ValueError):
    """What another package added can't be used; the message names the package."""


def plugins(group: str, own: Collection[str] = ()) -> dict[str, EntryPoint]:
    """The entry points of a group by name, in order; PluginError where two have one name, or one of our ``own``."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda one: one.name):
        if entry.name in own or entry.name in found:
            other = title(found[entry.name]) if entry.name in found else "ariel itself"
            raise PluginError(f"{title(entry)}: expected a name of its own, found that of {other}")
        found[entry.name] = entry
    return found


def distribution(entry: EntryPoint) -> str:
    """The distribution that an entry point comes from, with its version."""
    return "an unknown distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def title(entry: EntryPoint) -> str:
    """An entry point as messages call it: its group, name and distribution."""
    return f"{entry.group} {entry.name!r} of {distribution(entry)}"


def call(entry: EntryPoint, *arguments: Any) -> Any:
    """Import what an entry point names and call it; PluginError whatever goes wrong."""
    try:
        return entry.load()(*arguments)
    except Exception as error:
        raise PluginError(f"{title(entry)}: {type(error).__name__}: {error}") from error
