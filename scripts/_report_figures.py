"""The report's figures as Plotly's JSON: arrays in, plain dictionaries out.

A colour is a name that the page's style knows in light and dark, "§ink" or "§c0/0.2" with an opacity; long arrays are
packed, see `packed`. The page's script resolves both when a figure is drawn.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modeling_ariel.scoring_ariel import BANDS
from modeling_ariel.uncertainty_ariel import CoverageCurve, ZHistogram

Array = NDArray[np.float64]
Trace = dict[str, Any]

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # with the colour, so that grey print does
SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
PERIODS = [2, 5, 10, 20, 50, 100, 200]  # channels
FGS1_BEYOND = "A triangle: FGS1, one channel with the light of many, lies beyond the axis."
_FGS1_END, _AIRS_START = 0.06, 0.1  # of the width: FGS1 at 0.7 um would leave half of one axis empty


@dataclass
class Figure:
    """One place of the page with one or more ``variants`` {label: {"data": …, "layout": …}} to choose from."""

    title: str
    caption: str
    variants: dict[str, dict[str, Any]]
    height: int = 380
    choose: str = "show"


def packed(values: ArrayLike, scale: float | None = None) -> dict[str, Any]:
    """An array as base64 of float32, or of int16 in units of ``scale``, clipped, where that is precise enough."""
    array = np.asarray(values, np.float64)
    if scale is None:
        return {"f4": _base64(array.astype("<f4")), "shape": list(array.shape)}
    whole = np.clip(np.round(array / scale), -32767, 32767)
    counts = np.where(np.isfinite(whole), whole, -32768).astype("<i2")
    return {"i2": _base64(counts), "scale": scale, "shape": list(array.shape)}


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def label(text: str) -> str:
    """Text that comes from data, as Plotly shows it letter by letter."""
    return html.escape(str(text)).replace("§", "&#167;")


def band_name(name: str) -> str:
    """A name of BANDS as it is written: "CO2 2.0" is "CO₂ 2.0 µm"."""
    molecule, *where = name.split()
    return " ".join([molecule if molecule == "FGS1" else molecule.translate(SUBSCRIPT), *(f"{at} µm" for at in where)])


def _colour(place: int, opacity: float | None = None) -> str:
    return f"§c{place % 6}" + ("" if opacity is None else f"/{opacity}")


def _line(place: int, **style: Any) -> dict[str, Any]:
    return {"color": _colour(place), "dash": DASHES[place % len(DASHES)], "width": 2, **style}


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


# --- along wavelength ----------------------------------------------------------------------------------------------


def spectral_layout(wavelength: Array, titles: Sequence[str], heights: Sequence[float] | None = None) -> dict[str, Any]:
    """Rows of panels over wavelength, FGS1 in a narrow part on the left; bands of molecules shaded and named.

    Traces of row r are on x and y, y2, y3 … for FGS1, on x2 and the same for AIRS.
    """
    shares = np.asarray(heights or [1.0] * len(titles)) / sum(heights or [1.0] * len(titles))
    gap, top = 0.05, 1.0
    last = "y" if len(titles) == 1 else f"y{len(titles)}"
    layout: dict[str, Any] = {
        "xaxis": {"domain": [0, _FGS1_END], "anchor": last, "range": [wavelength[0] - 0.1, wavelength[0] + 0.1],
                  "tickvals": [float(wavelength[0])], "ticktext": ["FGS1"], "fixedrange": True, "showgrid": False},
        "xaxis2": _axis("wavelength, µm", domain=[_AIRS_START, 1], anchor=last,
                        range=[float(wavelength[1]) - 0.02, float(wavelength[-1]) + 0.02]),
        "shapes": [],
        "annotations": [],
    }  # fmt: skip
    for row, (title, share) in enumerate(zip(titles, shares, strict=True)):
        bottom = max(top - share * (1 - gap * (len(titles) - 1)), 0.0)
        axis = _axis(
            title, domain=[float(bottom), float(top)], anchor="x", exponentformat="none", separatethousands=True
        )
        layout[f"yaxis{row + 1 if row else ''}"] = axis
        top = bottom - gap
    for name, (low, high) in BANDS.items():
        if low < wavelength[1] - 0.1 or "continuum" in name:
            continue
        layout["shapes"].append(
            {"type": "rect", "xref": "x2", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1, "layer": "below",
             "fillcolor": "§band", "line": {"width": 0}}
        )  # fmt: skip
        layout["annotations"].append(
            {"xref": "x2", "yref": "paper", "x": (low + high) / 2, "y": 1, "yanchor": "bottom", "showarrow": False,
             "text": band_name(name).split()[0], "font": {"size": 11, "color": "§muted"}}
        )  # fmt: skip
    return layout


def along(
    wavelength: Array, values: Array, row: int, place: int, name: str, interval: tuple[Array, Array] | None = None,
    **more: Any,
) -> list[Trace]:  # fmt: skip
    """A line over AIRS and a point at FGS1 (C,) with its interval; ``more`` goes to both traces."""
    axis = f"y{row + 1 if row else ''}"
    shown = {"name": label(name), "legendgroup": label(name), "hovertemplate": "%{x:.3f} µm: %{y:.4g}", **more}
    line = more.get("line", _line(place))
    point: Trace = {**shown, "x": [float(wavelength[0])], "y": [float(values[0])], "xaxis": "x", "yaxis": axis,
                    "mode": "markers", "showlegend": False,
                    "marker": {"color": line["color"], "size": 7}}  # fmt: skip
    traces: list[Trace] = []
    if interval is not None:
        low, high = interval
        point["error_y"] = {"type": "data", "symmetric": False, "array": [float(high[0] - values[0])],
                            "arrayminus": [float(values[0] - low[0])], "width": 3}  # fmt: skip
        traces.append(
            {"x": packed(np.concatenate([wavelength[1:], wavelength[:0:-1]])),
             "y": packed(np.concatenate([low[1:], high[:0:-1]])), "xaxis": "x2", "yaxis": axis, "fill": "toself",
             "mode": "none", "fillcolor": _colour(place, 0.2), "hoverinfo": "skip", "showlegend": False,
             "legendgroup": label(name)}
        )  # fmt: skip
    traces.append(point)
    traces.append({**shown, "x": packed(wavelength[1:]), "y": packed(values[1:]), "xaxis": "x2", "yaxis": axis,
                   "mode": "lines", "line": line})  # fmt: skip
    return traces


def _level(row: int, value: float) -> dict[str, Any]:
    """A dotted line across a row of `spectral_layout`."""
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": f"y{row + 1 if row else ''}", "y0": value,
            "y1": value, "line": {"color": "§muted", "width": 1, "dash": "dot"}}  # fmt: skip


def errors_by_wavelength(wavelength: Array, kinds: Mapping[str, Mapping[str, Mapping[str, Array]]]) -> Figure:
    """A variant for each kind of average; of entries ``error``, ``bias``, ``z_spread`` (3, C), ``sigma`` (C,), ppm."""
    variants = {}
    for kind, curves in kinds.items():
        layout = spectral_layout(wavelength, ("error (—), σ (⋯), ppm", "bias, ppm", "spread of z"), (1.3, 1, 1))
        layout["shapes"] += [_level(1, 0.0), _level(2, 1.0)]
        layout["yaxis"]["rangemode"] = layout["yaxis3"]["rangemode"] = "tozero"
        data: list[Trace] = []
        for place, (name, found) in enumerate(curves.items()):
            dots = {"color": _colour(place), "dash": "dot", "width": 1.5}
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
    data = [trace for place, (name, sigma) in enumerate(curves.items())
            for trace in along(wavelength, sigma, 0, place, name)]  # fmt: skip
    layout = spectral_layout(wavelength, ("σ, ppm",))
    layout["yaxis"]["rangemode"] = "tozero"
    return Figure("σ along wavelength", "Median over planets.", {"": {"data": data, "layout": layout}})


# --- honesty -------------------------------------------------------------------------------------------------------


def coverage(curves: Mapping[str, CoverageCurve]) -> Figure:
    """Share of truths inside against the stated probability."""
    data: list[Trace] = [{"x": [0, 100], "y": [0, 100], "mode": "lines", "name": "honest", "hoverinfo": "skip",
                          "line": {"color": "§muted", "dash": "dot", "width": 1.5}}]  # fmt: skip
    for place, (name, curve) in enumerate(curves.items()):
        levels = 100 * curve.levels
        data.append(_area(levels, 100 * curve.low, 100 * curve.high, place))
        data.append({"x": packed(levels), "y": packed(100 * curve.coverage), "mode": "lines", "name": label(name),
                     "line": _line(place), "hovertemplate": "%{x:.0f} % interval holds %{y:.1f} %"})  # fmt: skip
    layout = {
        "xaxis": _axis("stated probability of the interval, %", range=[0, 100]),
        "yaxis": _axis("truths inside, %", range=[0, 100]),
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
        data.append({"x": packed(np.repeat(one.edges, 2)[1:-1]), "y": packed(np.repeat(one.density, 2)),
                     "mode": "lines", "name": label(name), "line": _line(place), "hoverinfo": "skip",
                     **({"fill": "tozeroy", "fillcolor": _colour(place, 0.15)} if place == 0 else {})})  # fmt: skip
    data.append({"x": packed(fine), "y": packed(normal), "mode": "lines", "name": "N(0, 1)", "hoverinfo": "skip",
                 "line": {"color": "§ink", "dash": "dot", "width": 1.5}})  # fmt: skip
    top = 1.15 * max(normal.max(), *(one.density[1:-1].max() for one in found.values()))  # what is beyond may tower
    linear = {"xaxis": _axis("z = (μ − truth)/σ", range=[-5, 5]), "yaxis": _axis("density", range=[0, float(top)])}
    logarithmic = {**linear, "yaxis": _axis("density", type="log", range=[-4, 0.3], dtick=1)}
    caption = "What lies beyond ±5 is counted in the outermost bins. The logarithmic axis shows the tails."
    variants = {"linear": {"data": data, "layout": linear}, "logarithmic": {"data": data, "layout": logarithmic}}
    return Figure("z-scores", caption, variants, choose="axis")


def _area(x: Array, low: Array, high: Array, place: int) -> Trace:
    return {"x": packed(np.concatenate([x, x[::-1]])), "y": packed(np.concatenate([low, high[::-1]])),
            "fill": "toself", "mode": "none", "fillcolor": _colour(place, 0.2), "hoverinfo": "skip",
            "showlegend": False}  # fmt: skip


def loss_map(wavelength: Array, planets: NDArray[np.int64], losses: Mapping[str, Array]) -> Figure:
    """Log-likelihood that each planet and channel lacks of the ideal (P, C) [nats]; planets in the order given."""
    names = ["FGS1", *(f"{value:.3f} µm" for value in wavelength[1:])]
    ticks = [0, *(int(np.abs(wavelength - at).argmin()) for at in (2.3, 2.6, 3.0, 3.4, wavelength[-1]))]
    layout = {
        "xaxis": _axis("wavelength, µm", type="category", tickvals=[names[t] for t in ticks], tickangle=0,
                       ticktext=["FGS1", *(f"{wavelength[t]:.1f}" for t in ticks[1:])], showgrid=False),
        "yaxis": _axis("planets, most lost first", type="category", tickvals=[], showgrid=False,
                       autorange="reversed"),
    }  # fmt: skip
    bar = {"title": {"text": "nats lost", "side": "right"}, "thickness": 12, "len": 0.9, "tickvals": [0, 2, 4, 6],
           "ticktext": ["0", "2", "4", "≥ 6"]}  # fmt: skip
    variants = {}
    for name, loss in losses.items():
        trace = {
            "type": "heatmap", "z": packed(loss, 0.01), "zmin": 0, "zmax": 6, "colorscale": "Cividis",
            "reversescale": True, "colorbar": bar, "x": names, "y": [f"planet {planet}" for planet in planets],
            "hovertemplate": "%{y}, %{x}: %{z:.2f} nats lost<extra></extra>",
        }  # fmt: skip
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
        {"x": packed(frequency), "y": packed(np.maximum(values, 1e-12)), "mode": "lines", "name": label(name),
         "line": {"color": "§ink", "width": 4} if place is None else _line(place, dash=dash),
         "hovertemplate": "%{x:.3f} per channel: %{y:.3g} ppm²"}
        for name, values, place, dash in curves
    ]  # fmt: skip
    layout = {
        "xaxis": _axis("period, channels", type="log", tickvals=[1 / period for period in PERIODS],
                       ticktext=[str(period) for period in PERIODS]),
        "yaxis": _axis("power, ppm²", type="log", exponentformat="power", dtick=1),
    }  # fmt: skip
    caption = (
        "White noise of 10 ppm is level at 100 ppm². Fine structure is on the right: a prediction above the truth "
        "there is noisy, one far below it is smoother than the spectra are. Residuals should lie below the truth."
    )
    return Figure("Power of AIRS spectra", caption, {"": {"data": data, "layout": layout}}, 420)


def scatter(
    title: str, caption: str, x: tuple[str, Array], y: tuple[str, Array], planets: NDArray[np.int64],
    colours: Mapping[str, Array], log: bool = False, diagonal: bool = False, choose: str = "colour",
) -> Figure:  # fmt: skip
    """Planets as points that lead to their spectra; a variant for each of ``colours`` {label: (P,)}."""
    variants = {}
    layout: dict[str, Any] = {"xaxis": _axis(x[0], zeroline=False), "yaxis": _axis(y[0], zeroline=False)}
    layout |= {"hovermode": "closest", "showlegend": False}
    for name, values in colours.items():
        known = np.isfinite(values)
        marker: dict[str, Any] = {"size": 8, "color": "§c0", "line": {"width": 0.5, "color": "§paper"}}
        if known.any():
            low, high = np.percentile(values[known], [2, 98])
            marker |= {"color": [float(f"{v:.5g}") if ok else None for v, ok in zip(values, known, strict=True)],
                       "cmin": float(low), "cmax": float(high) if high > low else float(low) + 1.0,
                       "colorscale": "Cividis", "showscale": True,
                       "colorbar": {"title": {"text": name, "side": "right"}, "thickness": 12}}  # fmt: skip
        data: list[Trace] = [
            {"x": packed(x[1]), "y": packed(y[1]), "mode": "markers", "marker": marker,
             "customdata": [int(planet) for planet in planets], "hovertemplate": "planet %{customdata}<extra></extra>"}
        ]  # fmt: skip
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
            {"x": list(range(len(planets))), "y": [None if not np.isfinite(v) else float(f"{v:.5g}") for v in values],
             "mode": "markers", "name": label(instrument),
             "marker": {"color": _colour(place), "size": 6, "symbol": ("circle", "diamond")[place % 2]},
             "customdata": [int(planet) for planet in planets],
             "hovertemplate": "planet %{customdata}: %{y:.4g}<extra></extra>"}
            for place, (instrument, values) in enumerate(found.items())
        ]  # fmt: skip
        layout = {"xaxis": _axis("planets, by number"), "yaxis": _axis(name, exponentformat="power"),
                  "hovermode": "closest"}  # fmt: skip
        variants[name] = {"data": data, "layout": layout}
    return Figure(title, caption, variants, 340, "quantity")


def intervals(title: str, caption: str, rows: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Estimates with intervals {what: {name: (value, low, high)}}, a variant for each what."""
    variants = {}
    for what, found in rows.items():
        data = [
            {"x": [value], "y": [label(name)], "mode": "markers", "marker": {"color": _colour(place), "size": 10},
             "error_x": {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low],
                         "thickness": 2, "width": 6},
             "hovertemplate": f"%{{x:.4f}} ({low:.4f} to {high:.4f})<extra></extra>", "showlegend": False}
            for place, (name, (value, low, high)) in enumerate(found.items())
        ]  # fmt: skip
        layout = {"xaxis": _axis(what), "yaxis": {"type": "category", "autorange": "reversed", "automargin": True}}
        variants[what] = {"data": data, "layout": layout}
    return Figure(title, caption, variants, 130 + 45 * max(map(len, rows.values())), "score")


def attributions(
    title: str, caption: str, wavelength: Array, time: Sequence[Array], by_time: Mapping[str, Sequence[Array]],
    curve: Sequence[Array], by_channel: Mapping[str, Array], penalties: Mapping[str, Array],
    limits: Mapping[str, float], units: Mapping[str, str],
) -> tuple[Figure, Figure]:  # fmt: skip
    """Two figures, a variant for each output: over time with white light, over wavelength with penalties."""
    over_time, over_channel = {}, {}
    beyond = any(_beyond(values) for values in by_channel.values())
    for name, parts in by_time.items():
        data: list[Trace] = []
        for place, (hours, part, white) in enumerate(zip(time, parts, curve, strict=True)):
            visit = f"visit {place}, " if len(time) > 1 else ""
            data.append({"x": packed(hours), "y": packed(white), "mode": "markers", "name": f"{visit}white light",
                         "yaxis": "y2", "marker": {"color": "§muted", "size": 3, "opacity": 0.7},
                         "hoverinfo": "skip"})  # fmt: skip
            data.append({"x": packed(hours), "y": packed(part), "mode": "lines", "name": f"{visit}attribution",
                         "line": _line(place, shape="hvh", width=1.5), "fill": "tozeroy",
                         "fillcolor": _colour(place, 0.25)})  # fmt: skip
        layout = {
            "xaxis": _axis("h from the first exposure"),
            "yaxis": _axis(f"to {name}, {units[name]}", zeroline=True, exponentformat="power"),
            "yaxis2": {"overlaying": "y", "side": "right", "showgrid": False, "zeroline": False,
                       "title": {"text": "white light, %"}, "tickmode": "auto", "nticks": 5},
        }  # fmt: skip
        over_time[name] = {"data": data, "layout": layout}
        over_channel[name] = {
            "data": _channel_attribution(wavelength, name, by_channel[name], penalties, limits),
            "layout": _attribution_layout(wavelength, f"to {name}, {units[name]}", by_channel[name]),
        }
    return (
        Figure(f"{title}: over time", caption, over_time, 320, "of"),
        Figure(f"{title}: over wavelength, with penalties", FGS1_BEYOND if beyond else "", over_channel, 460, "of"),
    )


def _attribution_layout(wavelength: Array, title: str, values: Array) -> dict[str, Any]:
    layout = spectral_layout(wavelength, (title, "penalty"), (1.4, 1))
    layout["yaxis"] |= {"exponentformat": "power", "range": _airs_range(values)}
    layout["yaxis2"] |= {"type": "log", "exponentformat": "power", "range": [-5, 2.5]}
    layout["shapes"].append({**_level(1, 1.0), "yref": "y2"})
    return layout


def _airs_range(values: Array) -> list[float]:
    """Ends of an axis that shows the AIRS channels of (C,): FGS1 is one channel, and often many times theirs."""
    low, high = min(float(values[1:].min()), 0.0), max(float(values[1:].max()), 0.0)
    margin = 0.15 * (high - low) or 1.0
    return [low - margin, high + margin]


def _beyond(values: Array) -> bool:
    """Whether FGS1 lies outside the axis of the AIRS channels."""
    low, high = _airs_range(values)
    return not low <= values[0] <= high


def _channel_attribution(
    wavelength: Array, name: str, values: Array, penalties: Mapping[str, Array], limits: Mapping[str, float]
) -> list[Trace]:
    low, high = _airs_range(values)
    inside = values.copy()
    inside[0] = np.clip(values[0], low + 0.05 * (high - low), high - 0.05 * (high - low))
    data = along(wavelength, inside, 0, 0, f"attribution to {name}", line={"color": "§c0", "width": 1.5})
    if _beyond(values):
        data[0]["marker"] |= {"symbol": "triangle-up" if values[0] > high else "triangle-down", "size": 10}
    data[0]["hovertemplate"] = f"FGS1: {values[0]:.4g}"
    for place, (penalty, terms) in enumerate(penalties.items(), start=1):
        title = penalty.replace("_", " ")
        style = {"color": _colour(place), "dash": DASHES[place], "width": 1.5}
        data += along(wavelength, np.where(terms > 1e-5, terms, np.nan), 1, place, title, line=style)
        broken = np.flatnonzero(np.nan_to_num(terms) > limits[penalty])
        for axis, which in (("x", broken[broken == 0]), ("x2", broken[broken > 0])):
            if len(which):
                data.append({"x": packed(wavelength[which]), "y": packed(inside[which]), "xaxis": axis, "yaxis": "y",
                             "mode": "markers", "legendgroup": title, "showlegend": False,
                             "marker": {"color": _colour(place), "size": 7, "symbol": "x"},
                             "hovertemplate": f"{title} violated at %{{x:.3f}} µm<extra></extra>"})  # fmt: skip
    return data
