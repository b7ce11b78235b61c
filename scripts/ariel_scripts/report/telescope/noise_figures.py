"""Figures of a fit's noise: Allan plots, and β of every channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ariel_scripts.report.plots import Array, Figure, Trace, axis_of, colour, label, line_of, packed, round_ticks
from ariel_scripts.report.telescope.figures import error_bars, marker_style, wavelength_axis
from ariel_scripts.telescope_fit.curves import Curve, VisitCurves
from ariel_scripts.telescope_fit.summary import PPM
from ariel_scripts.telescope_fit.time_averaging import averaged, beta

CHANNELS = 6  # of the Allan plots, evenly spaced
_MANY = 150  # channels without bars


def allan_figure(one: VisitCurves) -> Figure | None:
    """Scatter of binned residuals against the size of bins; None where there are too few for any."""
    size = len(one.wavelength)
    kept = sorted(set(np.linspace(0, size - 1, min(size, CHANNELS)).round().astype(int).tolist())) if size > 1 else []
    variants = {}
    for curve in (one.white, *(one.channel(number) for number in kept)):
        if drawn := _allan(one, curve):
            variants[curve.name] = drawn
    if not variants:
        return None
    return Figure(one.name, "", variants, 380, "curve")


def _allan(one: VisitCurves, curve: Curve) -> dict[str, Any] | None:
    found = averaged(curve.residual, one.time)
    if len(found.size) < 2:
        return None
    minutes = 60.0 * found.length
    band: Trace = {
        "x": packed(np.concatenate([minutes, minutes[::-1]])),
        "y": packed(PPM * np.concatenate([found.white_low, found.white_high[::-1]])),
        "fill": "toself",
        "mode": "none",
        "fillcolor": colour(1, 0.18),
        "hoverinfo": "skip",
        "showlegend": False,
    }
    bars = {"symmetric": False, "arrayminus": packed(PPM * (found.rms - found.low))}
    data = [
        band,
        line_of(
            minutes, PPM * found.white, name="white noise, 1/√N", hoverinfo="skip",
            line={"color": colour(1), "width": 1.5},
        ),
        {
            "x": packed(minutes), "y": packed(PPM * found.rms), "mode": "markers", "name": "residuals",
            "error_y": error_bars(PPM * (found.high - found.rms), **bars), "marker": marker_style(0, 5),
            "customdata": packed(found.bins), "hovertemplate": "%{x:.1f} min: %{y:.0f} ppm of %{customdata} bins",
        },
    ]  # fmt: skip
    if curve.has_memory:
        rest = averaged(curve.residual - curve.correlated, one.time)
        data.append(
            {
                "x": packed(60.0 * rest.length), "y": packed(PPM * rest.rms), "mode": "lines",
                "name": "without the noise with memory that the fit found",
                "line": {"color": colour(2), "dash": "dot", "width": 1.5}, "hoverinfo": "skip",
            }
        )  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": axis_of("size of a bin, minutes", type="log", **round_ticks()),
        "yaxis": axis_of("scatter, ppm", type="log", **round_ticks()),
    }
    if minutes[0] < 60.0 * one.ingress < minutes[-1]:
        across = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": "§muted", "dash": "dash"}}
        layout["shapes"] = [across | {"x0": 60.0 * one.ingress, "x1": 60.0 * one.ingress}]
    return {"data": data, "layout": layout}


def channel_betas(one: VisitCurves) -> tuple[Array, Array]:
    """β of each channel with its standard error (2, C), NaN where there are too few bins."""
    residual = one.flux - one.model
    found = np.array([beta(row, one.time, one.ingress) for row in residual])
    return found[:, 0], found[:, 1]


def beta_figure(curves: list[VisitCurves]) -> Figure | None:
    """β along wavelength, of each visit; None where nothing can be told."""
    data: list[Trace] = []
    every: list[tuple[Array, Array]] = []
    for place, one in enumerate(curves):
        if not np.isfinite(one.middle) or len(one.wavelength) < 2:
            continue
        value, error = channel_betas(one)
        every.append((value, error))
        if np.isfinite(value).any():
            data.append(
                {
                    "x": packed(one.wavelength), "y": packed(value), "mode": "markers", "name": label(one.name),
                    "marker": marker_style(place, 5 if len(value) <= _MANY else 3),
                    "hovertemplate": "%{x:.4g} µm: %{y:.2f}",
                    **({"error_y": error_bars(error)} if len(value) <= _MANY else {}),
                }
            )  # fmt: skip
    if not data:
        return None
    waves = np.concatenate([one.wavelength for one in curves])
    white = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1}
    layout = {
        "xaxis": wavelength_axis(waves),
        "yaxis": axis_of("β", rangemode="tozero"),
        "showlegend": len(data) > 1,
        "shapes": [white | {"line": {"color": "§muted", "width": 1, "dash": "dot"}}],
    }
    usual = float(np.nanmedian(np.concatenate([error for _, error in every])))
    caption = (
        "How many times the scatter of bins as long as ingress is that of white noise, by the residuals (time "
        f"averaging; Pont et al. 2006, Winn et al. 2008). White noise gives 1 ± {usual:.2f}, or "
        "less where the fit took up some. The depths' errors do not come from it: the fit marginalises noise "
        "with memory."
    )
    return Figure("β of the channels", caption, {"": {"data": data, "layout": layout}}, 340)
