"""The report's figures of attributions: over time with the white light, over wavelength with physics penalties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ariel_scripts.prediction.reliability import molecular_bands
from ariel_scripts.report.attributions import Attribution
from ariel_scripts.report.plots import (
    DASHES,
    Array,
    Figure,
    Trace,
    along,
    axis_of,
    band_name,
    colour,
    level,
    line_of,
    line_style,
    packed,
    spectral_layout,
)
from ariel_scripts.report.text import PENALTY_NAMES

FGS1_BEYOND = " A triangle: FGS1, one channel with the light of many, lies beyond the axis."
CHANNEL_READING = (
    "Top: what each wavelength's light adds to the answer, crosses where the predicted spectrum breaks a rule; below, "
    "by how much, dotted at 1. Peaks at a molecule's band are expected; one tall channel is a bad detector column."
)
UNITS = {"depth": "ppm", "sigma": "%"}


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
        Figure(
            f"{title}: over wavelength, with penalties", CHANNEL_READING + FGS1_BEYOND * beyond, over_channel, 460, "of"
        ),
    )


def summary_figures(name: str, wavelength: Array, planets: Sequence[Attribution]) -> list[Figure]:
    """Of several planets: shares of the bands, along wavelength, and a histogram of the whole change."""
    bands = molecular_bands(wavelength)
    shares, along_, changes = {}, {}, {}
    for key, unit in UNITS.items():
        size = np.abs([one.by_channel[key] for one in planets])  # (P, C)
        of_all = 100.0 * size / np.maximum(size.sum(1, keepdims=True), 1e-300)
        share = np.array([of_all[:, inside].sum(1) for inside in bands.values()])  # (B, P)
        expected = [100.0 * float(inside.mean()) for inside in bands.values()]
        shares[key] = _bars([band_name(band) for band in bands], share, expected)
        low, middle, high = np.percentile(of_all, [16, 50, 84], 0)
        layout = spectral_layout(wavelength, ("share of all attribution, %",))
        layout["yaxis"] |= {"rangemode": "tozero", "range": [0.0, 1.15 * float(high[1:].max())]}
        along_[key] = {"data": along(wavelength, middle, 0, 0, f"to {key}", (low, high)), "layout": layout}
        total = [one.total[key] for one in planets]
        changes[key] = {
            "data": [{"type": "histogram", "x": packed(total), "nbinsx": 12, "marker": {"color": "§c0"}}],
            "layout": {
                "xaxis": axis_of(f"change of {key} by the network, {unit}", zeroline=True),
                "yaxis": axis_of("planets", dtick=max(1, len(total) // 8)),
                "bargap": 0.06,
            },
        }
    count = f"{len(planets)} planets, from the worst to the best"
    return [
        Figure(
            f"What the network looks at{name}",
            f"Bars: share of the attribution that falls to a band, mean of {count}, with their scatter; dashes: "
            "what it would be if all channels counted alike. A bar far above them in the continuum would be bad.",
            shares, 360, "of",
        ),
        Figure(
            f"Attribution along wavelength{name}",
            f"Median of {count}, shaded where two in three lie; the same few channels in all planets would be bad.",
            along_, 360, "of",
        ),
        Figure(
            f"How much the network changes{name}",
            f"Histogram over {count}: by how much the data move the answer, mean over channels. All on one side means "
            "a correction that every planet gets, which is a bias of the fit.",
            changes, 300, "of",
        ),
    ]  # fmt: skip


def _bars(names: Sequence[str], share: Array, expected: Sequence[float]) -> dict[str, Any]:
    """Mean and scatter over planets of each band's share (B, P), beside what is expected of its width."""
    mean, spread = share.mean(1), share.std(1)
    marks = {"symbol": "line-ew-open", "size": 22, "color": "§ink", "line": {"width": 2}}
    bars = {
        "type": "bar",
        "x": list(names),
        "y": packed(mean),
        "error_y": {"type": "data", "array": spread.round(3).tolist(), "color": "§muted"},
        "marker": {"color": "§c0"},
        "name": "attribution",
        "hovertemplate": "%{x}: %{y:.1f} %<extra></extra>",
    }
    even = {"x": list(names), "y": packed(expected), "mode": "markers", "name": "by channels alone", "marker": marks}
    return {"data": [bars, even], "layout": {"yaxis": axis_of("share, %", rangemode="tozero"), "xaxis": {}}}


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
