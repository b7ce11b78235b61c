"""The report's page: sections and figures in, one HTML file out that needs nothing else."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from ariel_scripts._report_figures import Figure
from ariel_scripts._report_script import SCRIPT
from ariel_scripts._report_sections import Section

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --soft: #f3f5f7; --ink: #1b1f24; --muted: #5c6670; --grid: #dfe3e8;
  --band: #e9edf2; --link: #0b5fa5; --c0: #0072B2; --c1: #D55E00; --c2: #009E73; --c3: #CC79A7; --c4: #E69F00; --c5: #56B4E9; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --soft: #1d2126; --ink: #e8eaed; --muted: #a3acb6;
  --grid: #343a42; --band: #23292f; --link: #7cc0f0; --c0: #56B4E9; --c1: #E69F00; --c2: #1fbf93; --c3: #CC79A7; --c4: #E0703A;
  --c5: #F0E442; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
.page { display: grid; grid-template-columns: 13rem minmax(0, 1fr); gap: 2.5rem; max-width: 84rem; margin: 0 auto;
  padding: 2rem 1.5rem; }
nav { position: sticky; top: 1.5rem; align-self: start; font-size: .93rem; }
nav ol { list-style: none; margin: 0; padding: 0; } nav a { display: block; padding: .22rem 0; text-decoration: none; }
a { color: var(--link); } h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; overflow-wrap: anywhere; } p { max-width: 48rem; margin: .4rem 0 1rem; }
.about, figcaption, .reading { color: var(--muted); } .about { overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.6rem; } figcaption { font-size: .9rem; max-width: 48rem; margin-top: .3rem; }
.head { display: flex; flex-wrap: wrap; gap: .3rem 1rem; justify-content: space-between; align-items: baseline; }
.head strong { overflow-wrap: anywhere; } .plot { width: 100%; }
#planet-plot { height: 460px; }
.scroll { overflow: auto; max-width: 100%; margin: .5rem 0 1.2rem; border: 1px solid var(--grid); border-radius: 6px; }
.tall { max-height: 26rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; font-weight: 500; }
thead th { position: sticky; top: 0; background: var(--soft); font-weight: 600; z-index: 1; }
tbody th { position: sticky; left: 0; background: var(--paper); } tbody tr:last-child > * { border-bottom: 0; }
tr.chosen > * { background: var(--band); } .sortable tbody tr:hover > * { background: var(--soft); }
thead button { all: unset; cursor: pointer; } thead button:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .3rem 0; }
input, select, .tools button { font: inherit; font-size: .92rem; padding: .25rem .55rem; color: inherit;
  background: var(--soft); border: 1px solid var(--grid); border-radius: 5px; max-width: 100%; }
select { max-width: 15rem; } .tools button { cursor: pointer; }
.warning { border-left: 4px solid var(--c1); padding: .4rem .8rem; background: var(--soft); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 1.5rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--grid); padding-top: 1rem; font-size: .9rem; }
pre { overflow: auto; background: var(--soft); padding: .8rem; border-radius: 6px; font-size: .82rem; max-height: 30rem; }
summary { cursor: pointer; color: var(--link); padding: .2rem 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 62rem) { .page { display: block; padding: 1.2rem 1rem; } nav { position: static; margin-bottom: 1rem; }
  nav ol { display: flex; flex-wrap: wrap; gap: 0 1rem; } h1 { font-size: 1.4rem; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } #planet-plot { height: 420px; } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print { .page { display: block; padding: 0; } nav, .tools, select, .modebar { display: none !important; }
  .tall, pre { max-height: none; } figure, tr { break-inside: avoid; } body { font-size: 11pt; } h2 { break-after: avoid; } }
"""
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
    from plotly.offline import get_plotlyjs

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
