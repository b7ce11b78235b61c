"""The report's page: sections and figures in, one HTML file out that needs nothing else."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from ariel_scripts.report.plots import Figure
from ariel_scripts.report.script import SCRIPT
from ariel_scripts.report.style import STYLE
from ariel_scripts.report.text import Section

INNER_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/,'\"]+/)+([^\s/,'\"]+)")  # an absolute one in a longer text
PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>$style</style></head><body><div class="page">
<nav aria-label="Sections"><ol>$contents</ol></nav>
<main><header><h1>$title</h1><p class="about">$about</p></header>
<noscript><p class="warning">The figures need JavaScript; the tables do not.</p></noscript>
$body
<footer id="run"><h2>This run</h2>$footer</footer></main></div>
<script type="application/json" id="data">$data</script>
<script>$plotly</script>
<script>$script</script>
</body></html>
"""
)


def page(
    title: str, about: str, sections: Sequence[Section], planets: Mapping[str, Any], run: Mapping[str, Any]
) -> str:
    """The HTML of a report; ``run`` is what made it, shown at the end."""
    from plotly.offline import get_plotlyjs  # of the extra `report`: the command says what to install without it

    shown: list[Figure] = []
    body = "\n".join(_section(section, shown) for section in sections)
    entries = [*((section.key, section.title) for section in sections), ("run", "This run")]
    data = {
        "figures": [{"height": one.height, "variants": list(one.variants.values())} for one in shown],
        "planets": planets,
    }
    return PAGE.substitute(
        title=html.escape(title),
        style=STYLE,
        contents="".join(f'<li><a href="#{key}">{html.escape(name)}</a></li>' for key, name in entries),
        about=html.escape(about),
        body=body,
        footer=_footer(run),
        data=embedded(data),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        script=SCRIPT,
    )


def embedded(data: Any) -> str:
    """JSON that can stand in a <script> element whatever it holds; NaN and infinities are null."""
    text = json.dumps(_plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def without_folders(value: Any) -> Any:
    """Facts of a run with absolute paths cut to their last part: where they lie is nobody's business who gets the page.

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


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _section(section: Section, shown: list[Figure]) -> str:
    parts = []
    for part in section.parts:
        if isinstance(part, Figure):
            parts.append(_figure(part, len(shown)))
            shown.append(part)
        else:
            parts.append(part)
    said = "".join(f'<p class="warning">{html.escape(text)}</p>' for text in section.warnings)
    return (
        f'<section id="{section.key}"><h2>{html.escape(section.title)}</h2>'
        f'<p class="reading">{html.escape(section.intro)}</p>{said}{"".join(parts)}</section>'
    )


def _figure(figure: Figure, place: int) -> str:
    choice = ""
    if len(figure.variants) > 1:
        options = "".join(f'<option value="{i}">{html.escape(name)}</option>' for i, name in enumerate(figure.variants))
        choice = f'<label>{html.escape(figure.choose)} <select data-figure="{place}">{options}</select></label>'
    caption = f"<figcaption>{html.escape(figure.caption)}</figcaption>" if figure.caption else ""
    name = html.escape(figure.title, quote=True)
    return (
        f'<figure><div class="head"><strong>{html.escape(figure.title)}</strong>{choice}</div>'
        f'<div class="plot" role="img" aria-label="{name}" data-figure="{place}" style="height:{figure.height}px">'
        f"</div>{caption}</figure>"
    )


def _footer(run: Mapping[str, Any]) -> str:
    """The run's facts: what is plain as a list, the rest as JSON."""
    plain = {name: value for name, value in run.items() if not isinstance(value, (Mapping, list))}
    items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in plain.items())
    rest = "".join(
        f"<details><summary>{html.escape(name)}</summary>"
        f"<pre>{html.escape(json.dumps(value, indent=1, ensure_ascii=False, default=str))}</pre></details>"
        for name, value in run.items()
        if name not in plain
    )
    return f"<dl>{items}</dl>{rest}"
