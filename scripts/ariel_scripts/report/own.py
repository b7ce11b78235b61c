"""Sections that other packages add to the report, by entry points of the group `ariel.report_sections`.

An entry point's name is what `--skip` takes. It names a function of a copy of the study and the report's seed, which
returns an `OwnSection`, or None where it has nothing to show. What it raises is said in its place.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

from ariel_scripts.plugins import PluginError, call, title
from ariel_scripts.report.data import Study
from ariel_scripts.report.export import file_name
from ariel_scripts.report.page import NO_PLANETS, Section, Table, page
from ariel_scripts.report.plots import Figure


@dataclass
class OwnSection:
    """What another package shows: a ``title``, a ``text`` of how to read it, figures of Plotly's JSON, and tables."""

    title: str
    text: str = ""
    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)


def own_key(name: str) -> str:
    """The key, on the page and in files, of the section of an entry point."""
    return f"own-{file_name(name)}"


def own_section(entry: EntryPoint, study: Study, seed: int) -> Section | None:
    """The section of an entry point, None where it has nothing to show; with a warning alone where it fails."""
    key = own_key(entry.name)
    try:
        answer = call(entry, copy.deepcopy(study), seed)
        if answer is None:
            return None
        if not isinstance(answer, OwnSection):
            raise PluginError(f"{title(entry)}: expected an OwnSection or None, found {type(answer).__name__}")
        section = Section(key, {**vars(answer)}, title=answer.title, template="own")
        _try(entry, section)
    except PluginError as error:
        return Section(key, warnings=[f"This part could not be made: {error}"], title=entry.name)
    return section


def _try(entry: EntryPoint, section: Section) -> None:
    """PluginError where no page can be made of the section, such as of arrays that JSON does not hold."""
    for figure in section.data["figures"]:
        if not isinstance(figure, Figure) or any({"data", "layout"} - one.keys() for one in figure.variants.values()):
            raise PluginError(f"{title(entry)}: expected figures with data and layout, found {str(figure)[:80]}")
    try:
        page("", "", [section], NO_PLANETS, {})
    except Exception as error:
        raise PluginError(f"{title(entry)}: {type(error).__name__}: {error}") from error
