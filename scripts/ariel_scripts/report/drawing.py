"""A variant of a report's figure as a picture, for where no browser is: Plotly's JSON drawn by Matplotlib.

It knows what the report's figures use: lines, points, areas, bars, histograms and heatmaps on axes side by side.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

WIDTH = 960  # pixels, as a desktop's page has
_DPI = 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 26, 62, 74  # pixels about the axes
_BAR = 70  # of a colour bar with its words
_DASHES = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}
_SYMBOLS = {
    "circle": "o", "diamond": "D", "diamond-open": "D", "square": "s", "cross": "P", "x": "X", "triangle-up": "^",
    "triangle-down": "v", "line-ew-open": "_",
}  # fmt: skip


def draw(variant: Mapping[str, Any], title: str, height: int, stamp: str) -> bytes:
    """PNG of ``{"data": …, "layout": …}``, unpacked, with its title and ``stamp`` below."""
    picture = _Picture(variant, height)
    for trace in variant["data"]:
        picture.add(trace)
    picture.finish()
    picture.figure.text(0.01, 0.985, html.unescape(title), va="top", fontsize=11, fontweight="bold")
    picture.figure.text(0.01, 0.012, stamp, fontsize=7, color=colour("§muted"))
    content = io.BytesIO()
    picture.figure.savefig(content, dpi=_DPI, format="png")
    return content.getvalue()


def _style() -> dict[str, str]:
    """The page's colours in the light."""
    text = (files("ariel_scripts.report") / "templates" / "style.css").read_text("utf-8")
    return dict(re.findall(r"--(\w+): (#[0-9a-fA-F]{6})", text[: text.index("@media")]))


_COLOURS = _style()


def colour(name: str) -> Any:
    """A colour of the page, "§c0/0.2" with an opacity, as Matplotlib has it."""
    key, _, opacity = name[1:].partition("/")
    return to_rgba(_COLOURS[key], float(opacity) if opacity else 1.0)


class _Picture:
    """Axes of a figure as its layout places them."""

    def __init__(self, variant: Mapping[str, Any], height: int) -> None:
        self.layout = variant["layout"]
        bars = [trace for trace in variant["data"] if "colorbar" in {**trace, **trace.get("marker", {})}]
        self.size = (WIDTH, height + 60)
        self.right = _RIGHT + (_BAR if bars or any("overlaying" in one for one in self._named("yaxis")) else 0)
        self.figure = Figure(figsize=(self.size[0] / 100, self.size[1] / 100), facecolor="white")
        self.axes: dict[tuple[str, str], Axes] = {}
        self.categories: dict[str, list[str]] = {}

    def _named(self, kind: str) -> list[Mapping[str, Any]]:
        return [axis for name, axis in self.layout.items() if name.startswith(kind)]

    def axis(self, name: str) -> Mapping[str, Any]:
        """The layout's axis of a trace's name: "x2" is xaxis2."""
        found: Mapping[str, Any] = self.layout.get(f"{name[0]}axis{name[1:]}", {})
        return found

    def place(self, x: str, y: str) -> Axes:
        """The axes of a pair of names, made when first asked for."""
        if (x, y) in self.axes:
            return self.axes[x, y]
        if "overlaying" in self.axis(y):
            self.axes[x, y] = self.place(x, "y").twinx()
            return self.axes[x, y]
        width, height = self.size
        wide, high = width - _LEFT - self.right, height - _TOP - _BOTTOM
        left, right = self.axis(x).get("domain", (0.0, 1.0))
        bottom, top = self.axis(y).get("domain", (0.0, 1.0))
        box = (
            (_LEFT + left * wide) / width,
            (_BOTTOM + bottom * high) / height,
            (right - left) * wide / width,
            (top - bottom) * high / height,
        )
        made = self.figure.add_axes(box)
        made.spines[["top", "right"]].set_visible(False)
        made.tick_params(labelsize=8)
        if left > 0.0:
            made.tick_params(labelleft=False)
        self.axes[x, y] = made
        return made

    def numbers(self, name: str, values: Any) -> Any:
        """Places on an axis: of names, their number in the order of appearance."""
        if not any(isinstance(value, str) for value in values):
            return np.array([math.nan if value is None else value for value in values], float)
        known = self.categories.setdefault(name, [])
        known += [value for value in dict.fromkeys(values) if value not in known]
        return np.array([known.index(value) for value in values], float)

    def add(self, trace: Mapping[str, Any]) -> None:
        """Draw one trace."""
        x, y = trace.get("xaxis", "x"), trace.get("yaxis", "y")
        axes = self.place(x, y)
        kind = trace.get("type", "scatter")
        if kind == "heatmap":
            self._heatmap(axes, trace, x, y)
        elif kind == "histogram":
            axes.hist(trace["x"], bins=trace.get("nbinsx", 10), color=colour(trace["marker"]["color"]), rwidth=0.94)
        elif kind == "bar":
            axes.bar(self.numbers(x, trace["x"]), trace["y"], color=colour(trace["marker"]["color"]),
                     label=_name(trace), yerr=trace.get("error_y", {}).get("array"))  # fmt: skip
        else:
            drawn = _scatter(axes, trace, self.numbers(x, trace["x"]), self.numbers(y, trace["y"]))
            if drawn is not None:
                self._bar(drawn, trace["marker"]["colorbar"])

    def _heatmap(self, axes: Axes, trace: Mapping[str, Any], x: str, y: str) -> None:
        values = np.array([[math.nan if one is None else one for one in row] for row in trace["z"]], float)
        columns, rows = self.numbers(x, trace["x"]), self.numbers(y, trace["y"])
        shades: Any = "cividis_r"
        if trace["colorscale"] != "Cividis":
            shades = LinearSegmentedColormap.from_list("", [(at, colour(one)) for at, one in trace["colorscale"]])
        drawn = axes.pcolormesh(columns, rows, values, cmap=shades, vmin=trace["zmin"], vmax=trace["zmax"])
        self._bar(drawn, trace["colorbar"])
        if "texttemplate" in trace:
            for row, texts in zip(rows, trace["text"], strict=True):
                for column, text in zip(columns, texts, strict=True):
                    axes.text(column, row, text, ha="center", va="center", fontsize=8)

    def _bar(self, drawn: Any, bar: Mapping[str, Any]) -> None:
        width, height = self.size
        box = ((width - self.right + 16) / width, _BOTTOM / height, 12 / width, 1.0 - (_TOP + _BOTTOM) / height)
        made = self.figure.colorbar(drawn, cax=self.figure.add_axes(box))
        made.set_label(html.unescape(bar["title"]["text"]), fontsize=8)
        made.ax.tick_params(labelsize=7)
        if "tickvals" in bar:
            made.set_ticks(bar["tickvals"], labels=bar["ticktext"])

    def finish(self) -> None:
        """What belongs to axes rather than to traces: scales, ticks, titles, shapes, bands' names, the legend."""
        for (x, y), axes in self.axes.items():
            for name, axis in ((x, axes.xaxis), (y, axes.yaxis)):
                _dress(axes, axis, name[0], self.axis(name), self.categories.get(name))
            shared = any(other != y and self.axis(x).get("anchor") not in (None, y) for _, other in self.axes)
            if shared:
                axes.tick_params(labelbottom=False)
                axes.set_xlabel("")
            if self.axis(x).get("domain", (0.0, 1.0))[0] > 0.0:
                axes.set_ylabel("")
            for shape in self.layout.get("shapes", ()):
                _shape(axes, shape, x, y)
        for note in self.layout.get("annotations", ()):
            tops = [axes for (x, _), axes in self.axes.items() if x == note["xref"]]
            if tops:
                tops[0].text(note["x"], 1.01, note["text"], transform=tops[0].get_xaxis_transform(), ha="center",
                             fontsize=8, color=colour("§muted"))  # fmt: skip
        self._legend()

    def _legend(self) -> None:
        if self.layout.get("showlegend") is False:
            return
        found: dict[Any, Any] = {}
        for axes in self.axes.values():
            handles, names = axes.get_legend_handles_labels()
            found |= dict(zip(names, handles, strict=True))
        if found:
            place = (_LEFT / self.size[0], 1.0 - 24 / self.size[1])
            style: dict[str, Any] = {"fontsize": 8, "ncols": 6, "frameon": False, "borderaxespad": 0.0}
            self.figure.legend(list(found.values()), list(found), loc="upper left", bbox_to_anchor=place, **style)


def _name(trace: Mapping[str, Any]) -> str:
    hidden = trace.get("showlegend") is False or "name" not in trace
    return "_hidden" if hidden else html.unescape(trace["name"])


def _scatter(axes: Axes, trace: Mapping[str, Any], x: Any, y: Any) -> Any:
    """Lines, points and areas; the points that are drawn in shades of numbers, if any."""
    mode, line, marker = trace.get("mode", "lines"), trace.get("line", {}), trace.get("marker", {})
    if trace.get("fill") == "toself":
        axes.fill(x, y, color=colour(trace["fillcolor"]), lw=0)
    elif trace.get("fill") == "tozeroy":
        stepped: dict[str, Any] = {"step": "mid"} if line.get("shape") == "hvh" else {}
        axes.fill_between(x, y, 0.0, color=colour(trace["fillcolor"]), lw=0, **stepped)
    name = _name(trace)
    for key, reach in (("x", trace.get("error_x")), ("y", trace.get("error_y"))):
        if reach is not None:
            both = [reach.get("arrayminus", reach["array"]), reach["array"]]
            ends: dict[str, Any] = {f"{key}err": np.array(both, float).clip(0.0)}
            ink = colour(reach.get("color") or (marker["color"] if isinstance(marker.get("color"), str) else "§muted"))
            axes.errorbar(x, y, **ends, fmt="none", ecolor=ink, elinewidth=1.2, capsize=2)
    if "lines" in mode:
        style = {"ls": _DASHES[line.get("dash", "solid")], "lw": 0.8 * line.get("width", 2)}
        style |= {"drawstyle": "steps-mid"} if line.get("shape") == "hvh" else {}
        axes.plot(x, y, color=colour(line.get("color", "§c0")), label=name, **style)
    if "markers" in mode:
        return _markers(axes, x, y, marker, name if "lines" not in mode else "_hidden")
    return None


def _markers(axes: Axes, x: Any, y: Any, marker: Mapping[str, Any], name: str) -> Any:
    size, inks = (0.7 * marker.get("size", 6)) ** 2, marker.get("color", "§c0")
    shape: dict[str, Any] = {"s": size, "marker": _SYMBOLS[marker.get("symbol", "circle")], "label": name, "zorder": 3}
    shape["alpha"] = marker.get("opacity")
    if isinstance(inks, str) or any(isinstance(one, str) for one in inks):
        drawn = colour(inks) if isinstance(inks, str) else [colour(one) for one in inks]
        if marker.get("symbol", "").endswith("-open") and shape["marker"] != "_":
            axes.scatter(x, y, edgecolors=drawn, facecolors="none", **shape)
        else:
            axes.scatter(x, y, color=drawn, linewidths=1.5 if shape["marker"] == "_" else 0, **shape)
        return None
    values = np.array([math.nan if one is None else one for one in inks], float)
    return axes.scatter(x, y, c=values, cmap="cividis", vmin=marker["cmin"], vmax=marker["cmax"], **shape)


def _dress(axes: Axes, axis: Any, side: str, given: Mapping[str, Any], categories: list[str] | None) -> None:
    """Scale, range, ticks and title of an axis."""
    put = {name: getattr(axes, f"set_{side}{name}") for name in ("scale", "lim", "label")}
    if given.get("type") == "log":
        put["scale"]("log")
    if (ends := given.get("range")) is not None:
        put["lim"](*(np.power(10.0, ends) if given.get("type") == "log" else ends))
    if given.get("autorange") == "reversed":
        axis.set_inverted(True)
    put["label"](html.unescape(given.get("title", {}).get("text", "")), fontsize=9)
    if categories is not None and "tickvals" in given:
        texts = given.get("ticktext") or given["tickvals"]
        axis.set_ticks([categories.index(one) for one in given["tickvals"]], labels=texts)
    elif categories is not None:
        axis.set_ticks(range(len(categories)), labels=categories)
    elif "tickvals" in given:
        axis.set_minor_locator(NullLocator())
        texts = given.get("ticktext") or [f"{at:g}" for at in given["tickvals"]]
        low, high = sorted(getattr(axes, f"get_{side}lim")())
        inside = [(at, text) for at, text in zip(given["tickvals"], texts, strict=True) if low <= at <= high]
        axis.set_ticks([at for at, _ in inside], labels=[text for _, text in inside])


def _shape(axes: Axes, shape: Mapping[str, Any], x: str, y: str) -> None:
    """A band across the axes, or a line."""
    if shape["xref"] not in (x, "paper") or shape["yref"] not in (y, "paper"):
        return
    if shape["type"] == "rect":
        axes.axvspan(shape["x0"], shape["x1"], color=colour(shape["fillcolor"]), lw=0, zorder=0)
        return
    style = {"color": colour(shape["line"]["color"]), "lw": 0.8, "ls": _DASHES[shape["line"].get("dash", "solid")]}
    if shape["yref"] == "paper":
        axes.axvline(shape["x0"], **style)
    else:
        axes.axhline(shape["y0"], **style)
