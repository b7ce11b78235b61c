"""The report's figures of attributions: over time with the white light, over wavelength with physics penalties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ariel_scripts.report.plots import (
    DASHES,
    Array,
    Figure,
    Trace,
    along,
    axis_of,
    colour,
    level,
    line_of,
    line_style,
    packed,
    spectral_layout,
)
from ariel_scripts.report.text import PENALTY_NAMES

FGS1_BEYOND = "A triangle: FGS1, one channel with the light of many, lies beyond the axis."


def attribution_figures(
    title: str,
    caption: str,
    wavelength: Array,
    time: Sequence[Array],
    by_time: Mapping[str, Sequence[Array]],
    curve: Sequence[Array],
    by_channel: Mapping[str, Array],
    penalties: Mapping[str, Array],
    limits: Mapping[str, float],
    units: Mapping[str, str],
) -> tuple[Figure, Figure]:
    """Two figures, a variant for each output: over time with white light, over wavelength with penalties."""
    over_time, over_channel = {}, {}
    beyond = any(_beyond(values) for values in by_channel.values())
    for name, parts in by_time.items():
        data: list[Trace] = []
        for place, (hours, part, white) in enumerate(zip(time, parts, curve, strict=True)):
            visit = f"visit {place + 1} of {len(time)}, " if len(time) > 1 else ""
            data.append(
                {
                    "x": packed(hours),
                    "y": packed(white),
                    "mode": "markers",
                    "name": f"{visit}white light",
                    "yaxis": "y2",
                    "marker": {"color": "§muted", "size": 3, "opacity": 0.7},
                    "hoverinfo": "skip",
                }
            )
            style = line_style(place, shape="hvh", width=1.5)
            fill = {"fill": "tozeroy", "fillcolor": colour(place, 0.25)}
            data.append(line_of(hours, part, name=f"{visit}attribution", line=style, **fill))
        layout = {
            "xaxis": axis_of("h from the first exposure"),
            "yaxis": axis_of(f"to {name}, {units[name]}", zeroline=True, exponentformat="power"),
            "yaxis2": {
                "overlaying": "y",
                "side": "right",
                "showgrid": False,
                "zeroline": False,
                "title": {"text": "white light, %"},
                "tickmode": "auto",
                "nticks": 5,
            },
        }
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
    layout["shapes"].append(level(1, 1.0))
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
        title = PENALTY_NAMES[penalty]
        style = {"color": colour(place), "dash": DASHES[place], "width": 1.5}
        data += along(wavelength, np.where(terms > 1e-5, terms, np.nan), 1, place, title, line=style)
        broken = np.flatnonzero(np.nan_to_num(terms) > limits[penalty])
        for axis, which in (("x", broken[broken == 0]), ("x2", broken[broken > 0])):
            if len(which):
                data.append(
                    {
                        "x": packed(wavelength[which]),
                        "y": packed(inside[which]),
                        "xaxis": axis,
                        "yaxis": "y",
                        "mode": "markers",
                        "legendgroup": title,
                        "showlegend": False,
                        "marker": {"color": colour(place), "size": 7, "symbol": "x"},
                        "hovertemplate": f"{title}, %{{x:.3f}} µm<extra></extra>",
                    }
                )
    return data
