"""The report's figures of predictions, of what `plots` has: arrays in, plain dictionaries out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.report.plots import (
    Array,
    Figure,
    Trace,
    along,
    area_of,
    axis_of,
    colour,
    label,
    level,
    line_of,
    line_style,
    packed,
    spectral_layout,
)
from modeling_ariel.uncertainty import CoverageCurve, ZHistogram

SYMBOLS = ("circle", "diamond", "square", "cross", "x", "triangle-up")  # with the colour, so that grey print does


def errors_by_wavelength(wavelength: Array, kinds: Mapping[str, Mapping[str, Mapping[str, Array]]]) -> Figure:
    """A variant for each kind of average; of entries ``error``, ``bias``, ``z_spread`` (3, C), ``sigma`` (C,), ppm."""
    variants = {}
    for kind, curves in kinds.items():
        layout = spectral_layout(wavelength, ("error (—), σ (⋯), ppm", "bias, ppm", "spread of z"), (1.3, 1, 1))
        layout["shapes"] += [level(1, 0.0), level(2, 1.0)]
        layout["yaxis"]["rangemode"] = layout["yaxis3"]["rangemode"] = "tozero"
        data: list[Trace] = []
        for place, (name, found) in enumerate(curves.items()):
            dots = {"color": colour(place), "dash": "dot", "width": 1.5}
            data += along(wavelength, found["sigma"], 0, place, name, showlegend=False, line=dots)
            for row, key in enumerate(("error", "bias", "z_spread")):
                value, low, high = found[key]
                data += along(wavelength, value, row, place, name, (low, high), showlegend=False)
            data[-1]["showlegend"] = len(curves) > 1
        variants[kind] = {"data": data, "layout": layout}
    caption = (
        "Shaded: 90 % interval over planets. Where the errors (line) lie above σ (dots), σ is too small; the lowest "
        "panel says by which factor."
    )
    return Figure("Errors along wavelength", caption, variants, 620, "average")


def sigma_by_wavelength(wavelength: Array, curves: Mapping[str, Array]) -> Figure:
    """Typical sigma (C,) of each model [ppm], where there is no truth to compare with."""
    data = [
        trace
        for place, (name, sigma) in enumerate(curves.items())
        for trace in along(wavelength, sigma, 0, place, name)
    ]
    layout = spectral_layout(wavelength, ("σ, ppm",))
    layout["yaxis"]["rangemode"] = "tozero"
    return Figure("σ along wavelength", "Median over planets.", {"": {"data": data, "layout": layout}})


# --- honesty -------------------------------------------------------------------------------------------------------


def coverage(curves: Mapping[str, CoverageCurve]) -> Figure:
    """Share of truths inside against the stated probability."""
    dotted = {"color": "§muted", "dash": "dot", "width": 1.5}
    honest = {"x": [0, 100], "y": [0, 100], "mode": "lines", "name": "honest"}
    data: list[Trace] = [{**honest, "hoverinfo": "skip", "line": dotted}]
    for place, (name, curve) in enumerate(curves.items()):
        levels = 100 * curve.levels
        data.append(area_of(levels, 100 * curve.low, 100 * curve.high, place))
        hover = "%{x:.0f} % interval holds %{y:.1f} %"
        shown = {"name": label(name), "line": line_style(place), "hovertemplate": hover}
        data.append(line_of(levels, 100 * curve.coverage, **shown))
    layout = {
        "xaxis": axis_of("stated probability of the interval, %", range=[0, 100]),
        "yaxis": axis_of("truths inside, %", range=[0, 100]),
    }
    caption = (
        "Below the dotted line σ is too small (overconfident), above it too large. Shaded: 90 % interval over planets."
    )
    return Figure("Coverage", caption, {"": {"data": data, "layout": layout}})


def z_histograms(found: Mapping[str, ZHistogram]) -> Figure:
    """Density of z beside the unit normal's; linear and logarithmic."""
    any_ = next(iter(found.values()))
    fine = np.linspace(any_.edges[0], any_.edges[-1], 201)
    normal = np.exp(-0.5 * fine**2) / np.sqrt(2 * np.pi)
    data: list[Trace] = []
    for place, (name, one) in enumerate(found.items()):
        shown = {"name": label(name), "line": line_style(place), "hoverinfo": "skip"}
        if place == 0:
            shown |= {"fill": "tozeroy", "fillcolor": colour(place, 0.15)}
        data.append(line_of(np.repeat(one.edges, 2)[1:-1], np.repeat(one.density, 2), **shown))
    dotted = {"color": "§ink", "dash": "dot", "width": 1.5}
    data.append(line_of(fine, normal, name="N(0, 1)", hoverinfo="skip", line=dotted))
    top = 1.15 * max(normal.max(), *(one.density[1:-1].max() for one in found.values()))  # what is beyond may tower
    linear = {"xaxis": axis_of("z = (μ − truth)/σ", range=[-5, 5]), "yaxis": axis_of("density", range=[0, float(top)])}
    logarithmic = {**linear, "yaxis": axis_of("density", type="log", range=[-4, 0.3], dtick=1)}
    caption = "What lies beyond ±5 is counted in the outermost bins. The logarithmic axis shows the tails."
    variants = {"linear": {"data": data, "layout": linear}, "logarithmic": {"data": data, "layout": logarithmic}}
    return Figure("z-scores", caption, variants, choose="axis")


# --- planets ------------------------------------------------------------------------------------------------------


def scatter(
    title: str,
    caption: str,
    x: tuple[str, Array],
    y: tuple[str, Array],
    planets: NDArray[np.int64],
    colours: Mapping[str, NDArray[Any]],
    diagonal: bool = False,
    choose: str = "colour",
) -> Figure:
    """Planets as points that lead to their spectra; a variant for each of ``colours`` (P,), numbers or kinds."""
    variants = {}
    layout: dict[str, Any] = {"xaxis": axis_of(x[0], zeroline=False), "yaxis": axis_of(y[0], zeroline=False)}
    layout |= {"hovermode": "closest", "showlegend": False}
    for name, values in colours.items():
        if values.dtype.kind == "U":
            data = []
            for place, kind in enumerate(np.unique(values)):
                of, marker = values == kind, {"color": colour(place), "symbol": SYMBOLS[place % len(SYMBOLS)]}
                data.append(_points(x[1][of], y[1][of], planets[of], marker) | {"name": label(kind)})
            variants[name] = {"data": data, "layout": layout | {"showlegend": True}}
            continue
        data = [_points(x[1], y[1], planets, _shades(name, values))]
        if diagonal:
            ends = [float(min(x[1].min(), y[1].min())), float(max(x[1].max(), y[1].max()))]
            line = {"color": "§muted", "dash": "dot", "width": 1.5}
            data.append({"x": ends, "y": ends, "mode": "lines", "hoverinfo": "skip", "line": line})
        variants[name] = {"data": data, "layout": layout}
    return Figure(title, caption, variants, 420, choose)


def _points(x: Array, y: Array, planets: NDArray[np.int64], marker: dict[str, Any]) -> Trace:
    return {
        "x": packed(x),
        "y": packed(y),
        "mode": "markers",
        "marker": {"size": 8, "color": "§c0", "line": {"width": 0.5, "color": "§paper"}} | marker,
        "customdata": [int(planet) for planet in planets],
        "hovertemplate": "planet %{customdata}<extra></extra>",
    }


def _shades(name: str, values: Array) -> dict[str, Any]:
    """Colours of points by numbers (P,), NaN where unknown."""
    known = np.isfinite(values)
    if not known.any():
        return {}
    low, high = np.percentile(values[known], [2, 98])
    return {
        "color": [float(f"{v:.5g}") if ok else None for v, ok in zip(values, known, strict=True)],
        "cmin": float(low),
        "cmax": float(high) if high > low else float(low) + 1.0,
        "colorscale": "Cividis",
        "showscale": True,
        "colorbar": {"title": {"text": name, "side": "right"}, "thickness": 12},
    }


def strip(title: str, caption: str, quantities: Mapping[str, Mapping[str, Array]], planets: NDArray[Any]) -> Figure:
    """A variant for each quantity {name: {instrument: (P,)}}: a point a planet, in the order given."""
    variants = {}
    for name, found in quantities.items():
        data = [
            {
                "x": list(range(len(planets))),
                "y": [None if not np.isfinite(v) else float(f"{v:.5g}") for v in values],
                "mode": "markers",
                "name": label(instrument),
                "marker": {"color": colour(place), "size": 6, "symbol": ("circle", "diamond")[place % 2]},
                "customdata": [int(planet) for planet in planets],
                "hovertemplate": "planet %{customdata}: %{y:.4g}<extra></extra>",
            }
            for place, (instrument, values) in enumerate(found.items())
        ]
        layout = {
            "xaxis": axis_of("planets, by number"),
            "yaxis": axis_of(name, exponentformat="power"),
            "hovermode": "closest",
        }
        variants[name] = {"data": data, "layout": layout}
    return Figure(title, caption, variants, 340, "quantity")


def intervals(title: str, caption: str, rows: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Estimates with intervals {what: {name: (value, low, high)}}, a variant for each what."""
    variants = {}
    for what, found in rows.items():
        data = [
            {
                "x": [value],
                "y": [label(name)],
                "mode": "markers",
                "marker": {"color": colour(place), "size": 10},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - value],
                    "arrayminus": [value - low],
                    "thickness": 2,
                    "width": 6,
                },
                "hovertemplate": f"%{{x:.4f}} ({low:.4f} to {high:.4f})<extra></extra>",
                "showlegend": False,
            }
            for place, (name, (value, low, high)) in enumerate(found.items())
        ]
        layout = {"xaxis": axis_of(what), "yaxis": {"type": "category", "autorange": "reversed", "automargin": True}}
        variants[what] = {"data": data, "layout": layout}
    return Figure(title, caption, variants, 130 + 45 * max(map(len, rows.values())), "score")
