"""Figures of one visit in the pages' style: a spectrum with its band, light curves, channels over time, detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ariel_scripts.report.plots import Array, Figure, Trace, along, axis_of, colour, level, line_of, packed
from ariel_scripts.report.plots import spectral_layout as over_wavelength

PPM = 1e6
HOURS = "hours from the first exposure"
DIVERGING = [[0, "#0072B2"], [0.5, "§paper"], [1, "#D55E00"]]
BRIGHT = [[0, "#00224e"], [0.25, "#35456c"], [0.5, "#7c7b78"], [0.75, "#bbaf71"], [1, "#fee838"]]  # cividis
_MOST_TIMES, _MOST_CHANNELS = 125, 94  # of a map


class Spectrum(NamedTuple):
    """Depths (C,) and their 1σ errors (C,)."""

    depth: Array
    error: Array


def spectrum_figure(
    title: str,
    wavelengths: Array,
    fit: Spectrum,
    answers: Mapping[str, Spectrum],
    truth: Array | None,
    caption: str = "",
    height: int = 440,
) -> Figure:
    """Depth over wavelength (C,) [µm]: an answer to choose with its 1σ and 2σ bands, each channel's own fit, truth."""
    scale = _depth_range([*answers.values()], truth)
    variants = {name: _spectrum(wavelengths, fit, answer, name, truth, scale) for name, answer in answers.items()}
    return Figure(title, caption, variants, height, "answer of")


def _depth_range(answers: Sequence[Spectrum], truth: Array | None) -> list[float]:
    """Limits [ppm] that hold every answer with 3σ and the truth; single channels' fits may lie outside."""
    ends = [one.depth + sign * 3 * one.error for one in answers for sign in (-1, 1)]
    all_values = PPM * np.concatenate([*ends, *([] if truth is None else [truth])])
    low, high = float(all_values.min()), float(all_values.max())
    return [low - 0.05 * (high - low), high + 0.05 * (high - low)]


def _spectrum(
    wavelengths: Array, fit: Spectrum, answer: Spectrum, name: str, truth: Array | None, scale: list[float]
) -> dict[str, Any]:
    depth, error = PPM * answer.depth, PPM * answer.error
    titles = ["transit depth, ppm"] if truth is None else ["transit depth, ppm", "off by, σ"]
    layout = over_wavelength(wavelengths, titles, [1] if truth is None else [3.4, 1])
    layout["yaxis"]["range"] = scale
    data = _channels(wavelengths, fit)
    hover = "%{x:.3f} µm: %{y:,.0f} ppm"
    shown = f"{name}, ±1σ, ±2σ"
    (wide, *_), close = (
        along(wavelengths, depth, 0, 0, shown, (depth - n * error, depth + n * error), hovertemplate=hover)
        for n in (2, 1)
    )
    data += [wide, *close]
    if truth is None:
        return {"data": data, "layout": layout}
    thin = {"color": "§ink", "width": 1.4}
    data += along(wavelengths, PPM * truth, 0, 0, "truth", line=thin, hovertemplate="truth: %{y:,.0f} ppm")
    off = (answer.depth - truth) / answer.error
    for axis, part in (("x", slice(0, 1)), ("x2", slice(1, None))):
        data.append(
            {
                "x": packed(wavelengths[part]), "y": packed(off[part]), "xaxis": axis, "yaxis": "y2",
                "mode": "markers", "marker": {"color": colour(0), "size": 4}, "showlegend": False,
                "hovertemplate": "%{x:.3f} µm: %{y:.1f} σ<extra></extra>",
            }
        )  # fmt: skip
    layout["yaxis2"] |= {"range": [-4.5, 4.5], "tickvals": [-2, 0, 2]}
    layout["shapes"] += [level(1, -2), level(1, 2)]
    return {"data": data, "layout": layout}


def _channels(wavelengths: Array, fit: Spectrum) -> list[Trace]:
    """The fit of each channel on its own, faint, behind the answer."""
    own: Trace = {"mode": "markers", "name": "single channels, ±1σ", "legendgroup": "alone", "hoverinfo": "skip"}
    own["marker"] = {"color": "§muted/0.5", "size": 3}
    return [
        {
            **own, "x": packed(wavelengths[part]), "y": packed(PPM * fit.depth[part]), "xaxis": axis,
            "showlegend": axis == "x2",
            "error_y": {
                "type": "data", "array": packed(PPM * fit.error[part]), "width": 0, "thickness": 1,
                "color": "§muted/0.16",
            },
        }
        for axis, part in (("x", slice(0, 1)), ("x2", slice(1, None)))
    ]  # fmt: skip


# --- over time -----------------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """A light curve (T,) with its model and 1σ error, over the star's level."""

    time: Array  # h
    flux: Array
    model: Array
    error: Array


def curve_figure(title: str, curves: Mapping[str, Curve], caption: str) -> Figure:
    """Light curves to choose, with the fit, and what it leaves with means of a 25th of the visit."""
    return Figure(title, caption, {name: _curve(one) for name, one in curves.items()}, 440, "light of")


def _curve(one: Curve) -> dict[str, Any]:
    residual = PPM * (one.flux - one.model)
    error = float(PPM * np.nanmedian(one.error))
    dots: Trace = {"mode": "markers", "marker": {"color": colour(0, 0.45), "size": 4}, "x": packed(one.time)}
    above = {"hovertemplate": "%{x:.2f} h: %{y:.5f}", "name": "measured, one bin", "y": packed(one.flux)}
    below = {"hovertemplate": "%{x:.2f} h: %{y:,.0f} ppm", "name": "measured − fit", "y": packed(residual)}
    groups = [group for group in np.array_split(np.arange(one.time.size), 25) if group.size]
    means = {
        "x": packed([one.time[group].mean() for group in groups]),
        "y": packed([residual[group].mean() for group in groups]),
        "error_y": {
            "type": "data", "width": 0,
            "array": packed([PPM * np.sqrt((one.error[group] ** 2).sum()) / group.size for group in groups]),
        },
        "mode": "markers", "marker": {"color": colour(0), "size": 6}, "name": "means of neighbours ±1σ", "yaxis": "y2",
        "hovertemplate": "%{y:,.0f} ppm",
    }  # fmt: skip
    line = {"color": colour(1), "width": 2}
    data = [
        dots | above,
        line_of(one.time, one.model, name="fit: transit × drift", line=line, hoverinfo="skip"),
        dots | below | {"yaxis": "y2", "showlegend": False},
        means,
    ]
    limit = 1.1 * max(float(np.nanpercentile(np.abs(residual), 99)), 3 * error)
    edge = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y2", "y0": -error, "y1": error}
    layout = {
        "xaxis": axis_of(HOURS, anchor="y2"),
        "yaxis": axis_of("light of the star", domain=[0.4, 1], anchor="x", tickformat=".4~f"),
        "yaxis2": axis_of("left, ppm", domain=[0, 0.34], anchor="x", range=[-limit, limit], exponentformat="none"),
        "shapes": [edge | {"layer": "below", "fillcolor": "§band", "line": {"width": 0}}],
    }
    return {"data": data, "layout": layout}


def map_figure(
    title: str, time: Array, wavelengths: Array, images: Mapping[str, Array], unit: str, limit: float, caption: str
) -> Figure:
    """Images (T, C) over time and wavelength to choose, coloured up to ±``limit``; every Nth point of large ones."""
    rows, columns = (slice(None, None, -(-n // most)) for n, most in
                     ((len(time), _MOST_TIMES), (len(wavelengths), _MOST_CHANNELS)))  # fmt: skip
    layout = {"xaxis": axis_of(HOURS), "yaxis": axis_of("wavelength, µm")}
    shared = {
        "type": "heatmap", "x": packed(time[rows]), "y": packed(wavelengths[columns]), "zmin": -limit, "zmax": limit,
        "colorscale": DIVERGING, "hovertemplate": f"%{{x:.2f}} h, %{{y:.2f}} µm: %{{z:,.1f}} {unit}<extra></extra>",
        "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": unit}},
    }  # fmt: skip
    variants = {
        name: {"data": [shared | {"z": packed(image[rows, columns].T, limit / 3000)}], "layout": layout}
        for name, image in images.items()
    }
    return Figure(title, caption, variants, 380)


# --- detectors -----------------------------------------------------------------------------------------------------


def stretched(image: Array) -> Array:
    """A detector image (row, column) from 0 to 1 on an asinh scale that shows the wings; NaN stays."""
    low, middle, high = np.nanpercentile(image, [0.5, 50, 99.5])
    soft = max(middle - low, 1e-3 * (high - low))
    top = np.arcsinh((high - low) / soft)
    return np.asarray(np.clip(np.arcsinh((image - low) / soft) / top, 0, 1))


def detector_figure(title: str, images: Sequence[tuple[str, Array]], caption: str) -> Figure:
    """Detector images (row, column) below one another, each on its own scale; masked pixels in the warning's colour."""
    share = 1 / len(images)
    layout: dict[str, Any] = {
        "xaxis": axis_of("detector column, from the longest wavelength", anchor=_axis("y", len(images) - 1)),
        "shapes": [], "annotations": [], "margin": {"l": 46, "r": 8, "t": 8, "b": 40},
    }  # fmt: skip
    data = []
    for place, (name, image) in enumerate(images):
        top = 1 - place * share
        inner = [top - 0.98 * share, top - min(0.28 * share, 0.5)]
        layout[_axis("yaxis", place)] = axis_of("row", domain=inner, anchor="x", nticks=3, showgrid=False)
        box = {"type": "rect", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": inner[0], "y1": inner[1]}
        layout["shapes"].append(box | {"layer": "below", "fillcolor": "§c1", "line": {"width": 0}})
        low, high = np.nanpercentile(image, [0.5, 99.5])
        text = f"{place + 1}. {name}: {low:,.0f} … {high:,.0f}"
        place_of = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": inner[1], "yanchor": "bottom"}
        layout["annotations"].append(place_of | {"text": text, "showarrow": False, "font": {"size": 11}})
        data.append(
            {
                "type": "heatmap", "z": packed(stretched(image), 1e-4), "yaxis": _axis("y", place), "zmin": 0,
                "zmax": 1, "colorscale": BRIGHT, "showscale": False, "hoverinfo": "skip",
            }
        )  # fmt: skip
    return Figure(title, caption, {"": {"data": data, "layout": layout}}, 112 * len(images) + 50)


def _axis(name: str, place: int) -> str:
    return f"{name}{place + 1}" if place else name
