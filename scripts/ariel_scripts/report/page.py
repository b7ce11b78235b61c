"""The report's page: sections in, one HTML file out that needs nothing else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ariel_scripts.report.plots import Figure
from ariel_scripts.templates import page_templates
from ariel_scripts.versions import DISTRIBUTION

INNER_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/,'\"]+/)+([^\s/,'\"]+)")  # an absolute one in a text


NO_PLANETS: Mapping[str, Any] = {"ids": [], "entries": []}  # of a page without a table of them


class Table(NamedTuple):
    """Texts of a table; the first of a row names it."""

    head: list[str]
    rows: list[list[str]]


@dataclass
class Section:
    """What ``templates/sections/KEY.html.j2`` arranges; without ``data`` only warnings are shown.

    ``template`` names another one; a section of another package has a ``title`` too.
    """

    key: str
    data: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    title: str = ""
    template: str = ""


def page(
    title: str,
    about: str,
    sections: Sequence[Section],
    planets: Mapping[str, Any],
    run: Mapping[str, Any],
    links: Sequence[tuple[str, str]] = (),
) -> str:
    """The HTML of a report; ``run`` is what made it, shown at the end, with ``links`` (what, address)."""
    shown: list[Figure] = []

    def place(figure: Figure) -> int:
        """The figure's number in the data at the page's end."""
        shown.append(figure)
        return len(shown) - 1

    def drawn() -> Any:
        variants = [{"variants": list(figure.variants.values())} for figure in shown]
        return without_nan({"figures": variants, "planets": planets})

    templates = page_templates("ariel_scripts.report")
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    templates.filters["pretty"] = partial(json.dumps, indent=1, ensure_ascii=False, default=str)
    return templates.get_template("page.html.j2").render(
        title=title,
        about=about,
        sections=sections,
        run=run,
        links=links,
        stamp=stamp_of(run),
        place=place,
        drawn=drawn,
        plotly=_plotly(),
    )


def stamp_of(run: Mapping[str, Any]) -> str:
    """What stands under every figure: version, commit, seed and config hash, as far as they are known."""
    release = (run.get("versions") or {}).get(DISTRIBUTION)
    known = {
        DISTRIBUTION: release,
        "commit": str(run.get("git commit", ""))[:8] if " " not in str(run.get("git commit", " ")) else None,
        "seed": run.get("seed"),
        "config": run.get("config hash"),
    }
    return " · ".join(f"{name} {value}" for name, value in known.items() if value not in (None, ""))


def framed(html: str, address: str) -> str:
    """A page for a frame's srcdoc: Plotly comes from an address, and links to sections work before it has come."""
    own = page_templates("ariel_scripts.report").from_string('{{ source("frame.js") }}').render()
    scripts = f'<script>\n{own}</script>\n<script src="{escape(address)}"></script>'
    return html.replace(f"<script>{_plotly()}</script>", scripts)


def _plotly() -> str:
    """Plotly's script, to stand in a page."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs().replace("</script", "<\\/script"))


def without_nan(value: Any) -> Any:
    """What JSON can hold: NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def without_folders(value: Any) -> Any:
    """Facts of a run with absolute paths cut to their last part, for a page to pass on.

    The record beside the page keeps them.
    """
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(item) for item in value]
    if isinstance(value, (str, Path)):
        text = str(value)
        return f"…/{Path(text).name}" if Path(text).is_absolute() else INNER_PATH.sub(r"…/\1", text)
    return value
