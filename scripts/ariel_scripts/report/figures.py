"""The report's figures of predictions, of what `plots` has: arrays in, plain dictionaries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.report.plots import (
    Array,
    Figure,
    Trace,
    along,
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

PERIODS = [2, 5, 10, 20, 50, 100, 200]  # channels


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
        data.append(_area(levels, 100 * curve.low, 100 * curve.high, place))
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


def _area(x: Array, low: Array, high: Array, place: int) -> Trace:
    return {
        "x": packed(np.concatenate([x, x[::-1]])),
        "y": packed(np.concatenate([low, high[::-1]])),
        "fill": "toself",
        "mode": "none",
        "fillcolor": colour(place, 0.2),
        "hoverinfo": "skip",
        "showlegend": False,
    }


def loss_map(wavelength: Array, planets: NDArray[np.int64], losses: Mapping[str, Array]) -> Figure:
    """Log-likelihood that each planet and channel lacks of the ideal (P, C) [nats]; planets in the order given."""
    names = ["FGS1", *(f"{value:.3f} µm" for value in wavelength[1:])]
    ticks = [0, *(int(np.abs(wavelength - at).argmin()) for at in (2.3, 2.6, 3.0, 3.4, wavelength[-1]))]
    layout = {
        "xaxis": axis_of(
            "wavelength, µm",
            type="category",
            tickvals=[names[t] for t in ticks],
            tickangle=0,
            ticktext=["FGS1", *(f"{wavelength[t]:.1f}" for t in ticks[1:])],
            showgrid=False,
        ),
        "yaxis": axis_of(
            "planets, most lost first", type="category", tickvals=[], showgrid=False, autorange="reversed"
        ),
    }
    bar = {
        "title": {"text": "nats lost", "side": "right"},
        "thickness": 12,
        "len": 0.9,
        "tickvals": [0, 2, 4, 6],
        "ticktext": ["0", "2", "4", "≥ 6"],
    }
    variants = {}
    for name, loss in losses.items():
        trace = {
            "type": "heatmap",
            "z": packed(loss, 0.01),
            "zmin": 0,
            "zmax": 6,
            "colorscale": "Cividis",
            "reversescale": True,
            "colorbar": bar,
            "x": names,
            "y": [f"planet {planet}" for planet in planets],
            "hovertemplate": "%{y}, %{x}: %{z:.2f} nats lost<extra></extra>",
        }
        variants[name] = {"data": [trace], "layout": layout}
    caption = (
        "A right depth with σ of 27 ppm loses 1 nat, with 74 ppm 2; an error of 3 σ loses 4.5 more. A dark row is a "
        "lost planet, a dark column a wavelength that the model gets wrong."
    )
    height = int(np.clip(160 + 3 * len(planets), 320, 700))
    return Figure("Log-likelihood lost by planet and wavelength", caption, variants, height, "predictions")


# --- shapes and planets --------------------------------------------------------------------------------------------


def power_spectra(frequency: Array, curves: Sequence[tuple[str, Array, int | None, str]]) -> Figure:
    """Power (K,) [ppm^2] over frequency (K,) [1/channel]: (name, power, place of its colour or None, dash)."""
    data = [
        line_of(
            frequency,
            np.maximum(values, 1e-12),
            name=label(name),
            line={"color": "§ink", "width": 4} if place is None else line_style(place, dash=dash),
            hovertemplate="%{x:.3f} per channel: %{y:.3g} ppm²",
        )
        for name, values, place, dash in curves
    ]
    layout = {
        "xaxis": axis_of(
            "period, channels",
            type="log",
            tickvals=[1 / period for period in PERIODS],
            ticktext=[str(period) for period in PERIODS],
        ),
        "yaxis": axis_of("power, ppm²", type="log", exponentformat="power", dtick=1),
    }
    caption = (
        "White noise of 10 ppm is level at 100 ppm². Fine structure is on the right: a prediction above the truth "
        "there is noisy, one far below it is smoother than the spectra are. Residuals should lie below the truth."
    )
    return Figure("Power of AIRS spectra", caption, {"": {"data": data, "layout": layout}}, 420)


def scatter(
    title: str,
    caption: str,
    x: tuple[str, Array],
    y: tuple[str, Array],
    planets: NDArray[np.int64],
    colours: Mapping[str, Array],
    log: bool = False,
    diagonal: bool = False,
    choose: str = "colour",
) -> Figure:
    """Planets as points that lead to their spectra; a variant for each of ``colours`` {label: (P,)}."""
    variants = {}
    layout: dict[str, Any] = {"xaxis": axis_of(x[0], zeroline=False), "yaxis": axis_of(y[0], zeroline=False)}
    layout |= {"hovermode": "closest", "showlegend": False}
    for name, values in colours.items():
        known = np.isfinite(values)
        marker: dict[str, Any] = {"size": 8, "color": "§c0", "line": {"width": 0.5, "color": "§paper"}}
        if known.any():
            low, high = np.percentile(values[known], [2, 98])
            marker |= {
                "color": [float(f"{v:.5g}") if ok else None for v, ok in zip(values, known, strict=True)],
                "cmin": float(low),
                "cmax": float(high) if high > low else float(low) + 1.0,
                "colorscale": "Cividis",
                "showscale": True,
                "colorbar": {"title": {"text": name, "side": "right"}, "thickness": 12},
            }
        data: list[Trace] = [
            {
                "x": packed(x[1]),
                "y": packed(y[1]),
                "mode": "markers",
                "marker": marker,
                "customdata": [int(planet) for planet in planets],
                "hovertemplate": "planet %{customdata}<extra></extra>",
            }
        ]
        if diagonal:
            ends = [float(min(x[1].min(), y[1].min())), float(max(x[1].max(), y[1].max()))]
            line = {"color": "§muted", "dash": "dot", "width": 1.5}
            data.append({"x": ends, "y": ends, "mode": "lines", "hoverinfo": "skip", "line": line})
        variants[name] = {"data": data, "layout": layout}
    return Figure(title, caption, variants, 420, choose)


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
