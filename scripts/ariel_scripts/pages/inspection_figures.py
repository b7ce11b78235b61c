"""Figures of an inspected visit's page: detectors with what was summed, pointing, noise of the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ariel_scripts.pages.inspection import PIXEL_KINDS, Inspection, RawImage
from ariel_scripts.pages.plots import BRIGHT, HOURS, PPM, stretched
from ariel_scripts.report.plots import (
    Array,
    Figure,
    Trace,
    along,
    axis_of,
    colour,
    line_of,
    packed,
    round_ticks,
    spectral_layout,
)

_SYMBOLS = {"x": "x-thin-open", "^": "triangle-up-open", "s": "square-open", "D": "diamond-open"}


def raw_figure(name: str, image: RawImage) -> Figure:
    """An instrument's mean exposure (row, column) with trace or spot, aperture, foreground and bad pixels."""
    low, high = np.nanpercentile(image.mean, [0.5, 99.5])
    data: list[Trace] = [
        {
            "type": "heatmap", "z": packed(stretched(image.mean), 1e-4), "zmin": 0, "zmax": 1, "colorscale": BRIGHT,
            "showscale": False, "hoverinfo": "skip",
        }
    ]  # fmt: skip
    spot = image.centre.size == 2
    data += _spot(image) if spot else _trace(image)
    left = image.flags.copy()
    for bit, kind, marker, ink in PIXEL_KINDS:
        rows, columns = np.nonzero(left & bit)
        left[rows, columns] = 0  # a dead pixel has no flat either: its first reason is enough
        if rows.size:
            style = {"color": ink, "size": 7, "line": {"width": 1.5}}
            data.append(
                {
                    "x": packed(columns), "y": packed(rows), "mode": "markers", "name": f"{rows.size} {kind}",
                    "marker": style | {"symbol": _SYMBOLS[marker]}, "hovertemplate": "row %{y}, column %{x}",
                }
            )  # fmt: skip
    size_y, size_x = image.mean.shape
    layout: dict[str, Any] = {
        "xaxis": axis_of("column" if spot else "column, from the longest wavelength", range=[-0.5, size_x - 0.5]),
        "yaxis": axis_of("row", range=[-0.5, size_y - 0.5]),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    if spot:
        layout["xaxis"] |= {"constrain": "domain"}
        layout["yaxis"] |= {"scaleanchor": "x", "constrain": "domain"}
    caption = (
        f"Mean exposure, from {low:,.0f} (dark) to {high:,.0f} electrons (bright), on a scale that shows the wings. "
        "Light is summed within the aperture; the foreground is measured beyond the dotted line. Bad pixels are filled "
        "from their neighbours."
    )
    return Figure(name, caption, {"": {"data": data, "layout": layout}}, 430 if spot else 330)


def _trace(image: RawImage) -> list[Trace]:
    columns = np.arange(image.mean.shape[1])
    aperture, foreground = image.rings
    shared = {"hoverinfo": "skip"}
    lines = [line_of(columns, image.centre, name="trace", line={"color": "#CC79A7", "dash": "dash", "width": 1.5})]
    for offset, name, dash in ((aperture, "aperture", "solid"), (foreground, "foreground beyond", "dot")):
        style = {"color": "#56B4E9", "dash": dash, "width": 1.3}
        for sign in (-1, 1):
            edge = line_of(columns, image.centre + sign * offset, name=name, legendgroup=name, line=style)
            lines.append(edge | {"showlegend": sign > 0})
    return [one | shared for one in lines]


def _spot(image: RawImage) -> list[Trace]:
    y, x = image.centre
    angle = np.linspace(0, 2 * np.pi, 73)
    names = ("aperture", "foreground annulus", "foreground annulus")
    return [
        line_of(
            x + radius * np.cos(angle), y + radius * np.sin(angle), name=name, legendgroup=name, hoverinfo="skip",
            showlegend=place < 2, line={"color": "#56B4E9", "dash": "dot" if place else "solid", "width": 1.3},
        )
        for place, (radius, name) in enumerate(zip(image.rings, names, strict=True))
    ]  # fmt: skip


def pointing_figure(time: Array, centroid: Array) -> Figure:
    """Where the light falls on both detectors (bin, 4) [px], about the median, in thousandths of a pixel."""
    variants = {}
    for name, first in (("FGS1", 0), ("AIRS-CH0", 2)):
        along_text = ("along rows", "along columns") if first == 0 else ("along rows", "along the dispersion")
        data = [
            {
                "x": packed(time), "y": packed(1e3 * centroid[:, first + place]), "mode": "markers", "name": text,
                "marker": {"color": colour(place, 0.7), "size": 4, "symbol": ("circle", "cross")[place]},
                "hovertemplate": "%{x:.2f} h: %{y:.1f}",
            }
            for place, text in enumerate(along_text)
        ]  # fmt: skip
        layout = {"xaxis": axis_of(HOURS), "yaxis": axis_of("shift, 10⁻³ px")}
        variants[name] = {"data": data, "layout": layout}
    caption = "Means of each bin about their median. A jump, or a slope, moves light over the pixels."
    return Figure("Pointing", caption, variants, 300)


def noise_figure(what: Inspection) -> Figure:
    """Scatter of every channel's bins beside its stated error [ppm], and the share of its bins that are valid [%]."""
    level = np.array([np.median(f[v]) if v.any() else np.nan for f, v in zip(what.flux.T, what.valid.T, strict=True)])
    error = np.median(what.flux_err, axis=0) / np.where(level > 0, level, np.nan) * PPM
    layout = spectral_layout(what.wavelengths, ["noise of a bin, ppm", "valid, %"], [3, 1])
    layout["yaxis"] |= {"type": "log", **round_ticks()}
    layout["yaxis2"] |= {"range": [-5, 105], "tickvals": [0, 50, 100]}
    hover = "%{x:.3f} µm: %{y:,.0f} ppm"
    measured = along(what.wavelengths, what.noise_ratio * error, 0, 0, "measured scatter", hovertemplate=hover)
    measured[-1] |= {"mode": "markers", "marker": {"color": colour(0), "size": 4}}
    share = along(what.wavelengths, 100 * what.valid.mean(axis=0), 1, 2, "valid bins", hovertemplate="%{y:.1f} %")
    expected = along(what.wavelengths, error, 0, 1, "photon and read noise", hovertemplate=hover)
    caption = (
        "Points on the line: the errors in the dataset are honest. Above it: noise that they do not know. Scatter "
        "between neighbouring bins; neither transit nor drift counts."
    )
    data = [*measured, *expected, *(one | {"showlegend": False} for one in share)]
    return Figure("Noise of each channel", caption, {"": {"data": data, "layout": layout}}, 380)
