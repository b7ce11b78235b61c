"""Figures of a fit's spectrum and light curves, of what `plots` has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ariel_scripts.report.plots import Array, Figure, Trace, axis_of, colour, label, line_of, line_style, packed
from ariel_scripts.telescope_fit.curves import Curve, VisitCurves, channel_name
from ariel_scripts.telescope_fit.summary import PPM, labels, parts, shares
from ariel_scripts.telescope_fit.tables import COVARIANCE, CURVES
from modeling_ariel.any_telescope.together import TelescopeFit

WIDE = 4.0  # longest over shortest wavelength, from which the axis is logarithmic
MOST_CHANNELS = 60  # whose light curves are drawn, of all visits together
MOST_POINTS = 150_000  # times channels
_MANY, _JOINED = 150, 60  # channels from which means of neighbours are shown too, and how many means
_MOST_CORRELATED = 200  # channels of the map
_TICKS = [0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20]
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_GAP = 5.0  # usual steps, over which no line is drawn


def wavelength_axis(wavelength: Array) -> dict[str, Any]:
    """Linear, or logarithmic over wide ranges."""
    known = wavelength[np.isfinite(wavelength)]
    axis = axis_of("wavelength, µm")
    if known.size and known.max() > WIDE * known.min():
        axis |= {"type": "log", "tickvals": _TICKS, "ticktext": [f"{one:g}" for one in _TICKS]}
    return axis


def error_bars(values: Array, **more: Any) -> dict[str, Any]:
    """Symmetric ones (N,), thin."""
    return {"type": "data", "array": packed(values), "width": 0, "thickness": 1, **more}


def marker_style(place: int, size: int = 6) -> dict[str, Any]:
    """Colour and symbol, so that grey print tells entries apart."""
    return {"color": colour(place), "symbol": _SYMBOLS[place % len(_SYMBOLS)], "size": size}


# --- spectrum ------------------------------------------------------------------------------------------------------


def spectrum_figure(found: TelescopeFit) -> Figure:
    """Depths with errors; about each spectrum's mean with the errors that are left without its own."""
    whole: list[Trace] = []
    about: list[Trace] = []
    for place, (part, name) in enumerate(zip(parts(found), labels(found), strict=True)):
        spectrum = found.spectrum
        one = _One(name, place, spectrum.wavelength[part], spectrum.half_width[part])
        depth, own = spectrum.depth[part], spectrum.covariance[part, part]
        whole += one.traces(depth, own)
        if len(depth) > 1:
            from_mean = np.eye(len(depth)) - shares(own)
            about += one.traces(from_mean @ depth, from_mean @ own @ from_mean.T)
    axes = {"xaxis": wavelength_axis(found.spectrum.wavelength)}
    several = {"showlegend": len(whole) > 1}  # also where the many channels of one are joined
    numbers = {"exponentformat": "none", "separatethousands": True}
    layout = {**axes, **several, "yaxis": axis_of("transit depth, ppm", **numbers)}
    variants = {"transit depth": {"data": whole, "layout": layout}}
    if about:
        layout = {**axes, **several, "yaxis": axis_of("depth − white depth, ppm", zeroline=True, **numbers)}
        variants["about the white depth"] = {"data": about, "layout": layout}
    caption = (
        "Bars: 1 σ, with all that is marginalised; across, a channel's width. Channels share errors of orbit, limb "
        "darkening and noise: about the white depth they are gone, and bars are smaller."
    )
    return Figure("Transit depth along wavelength", caption, variants, 420)


@dataclass(frozen=True, eq=False)
class _One:
    """A spectrum of C channels as the figure shows it: points, and where they are many also means of neighbours."""

    name: str
    place: int
    wavelength: Array
    half_width: Array

    def traces(self, depth: Array, covariance: Array) -> list[Trace]:
        """Of depths (C,) with their covariance (C, C)."""
        error = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
        points = self._points(self.wavelength, depth, error, self.name)
        if len(depth) <= _MANY:
            if np.isfinite(self.half_width).all():
                points["error_x"] = error_bars(self.half_width)
            return [points]
        faint = colour(self.place, 0.3)
        points["marker"] |= {"color": faint, "size": 3}
        points["error_y"] |= {"color": colour(self.place, 0.12)}
        groups = np.array_split(np.arange(len(depth)), _JOINED)
        mean = np.zeros((_JOINED, len(depth)))
        for row, group in enumerate(groups):
            told = 1.0 / np.diagonal(covariance)[group]
            mean[row, group] = told / told.sum()
        joined = np.sqrt(np.diagonal(mean @ covariance @ mean.T))
        what = f"{self.name}, means of {len(groups[0])} channels" if self.name else f"means of {len(groups[0])}"
        return [points, self._points(mean @ self.wavelength, mean @ depth, joined, what)]

    def _points(self, wavelength: Array, depth: Array, error: Array, name: str) -> Trace:
        return {
            "x": packed(np.nan_to_num(wavelength, nan=0.7)),
            "y": packed(PPM * depth),
            "error_y": error_bars(PPM * error),
            "customdata": packed(PPM * error),
            "mode": "markers",
            "name": label(name),
            "marker": marker_style(self.place),
            "hovertemplate": "%{x:.4g} µm: %{y:,.0f} ± %{customdata:,.0f} ppm",
        }


def correlation_figure(found: TelescopeFit) -> Figure | None:
    """Correlation of depths as a map, of at most so many channels; None of one channel."""
    size = len(found.spectrum.depth)
    if size < 3:
        return None
    step = -(-size // _MOST_CORRELATED)
    kept = slice(None, None, step)
    error = found.spectrum.depth_err
    correlation = (found.spectrum.covariance / error / error[:, None])[kept, kept]
    names = [f"{number + 1}" for number in range(size)][kept]
    ticks = {"type": "category", "nticks": 7, "tickangle": 0}
    largest = float(np.abs(correlation - np.eye(len(correlation))).max())
    data = [
        {
            "type": "heatmap",
            "z": packed(correlation, 1e-4),
            "x": names,
            "y": names,
            "zmin": -max(largest, 0.1),
            "zmax": max(largest, 0.1),
            "colorscale": [[0, "#0072B2"], [0.5, "#f3f5f7"], [1, "#D55E00"]],
            "colorbar": {"thickness": 12, "outlinewidth": 0},
            "hovertemplate": "%{x}, %{y}: %{z:.2f}<extra></extra>",
        }
    ]
    layout = {"xaxis": axis_of("row of spectrum.ecsv", **ticks), "yaxis": axis_of("row", autorange="reversed", **ticks)}
    some = f" Every {step}th channel is shown." if step > 1 else ""
    caption = f"What {COVARIANCE} holds, over the errors; 1 on the diagonal.{some}"
    return Figure("Correlation of the depths", caption, {"": {"data": data, "layout": layout}}, 420)


# --- light curves --------------------------------------------------------------------------------------------------


def shown_channels(curves: list[VisitCurves]) -> list[list[int]]:
    """Channels whose light curves are drawn, of each visit: all, or evenly spaced ones."""
    found = []
    for one in curves:
        channels = len(one.wavelength)
        most = min(MOST_CHANNELS, MOST_POINTS // len(one.time)) // len(curves)
        kept = np.linspace(0, channels - 1, min(channels, max(most, 3)))
        found.append(sorted(set(kept.round().astype(int).tolist())) if channels > 1 else [])
    return found


def curve_figure(one: VisitCurves, channels: list[int]) -> Figure:
    """The white light curve and some channels of a visit: raw, corrected, residuals."""
    variants = {"white": _panels(one, one.white)}
    for number in channels:
        name = channel_name(one.wavelength[number])
        variants[name if name not in variants else f"{name} ({number})"] = _panels(one, one.channel(number))
    left_out = len(one.wavelength) - len(channels)
    some = f"{len(channels)} of {len(one.wavelength):,} channels can be chosen, evenly spaced; all are in " + CURVES
    some = f"{some}." if channels and left_out else ""
    return Figure(one.name, some, variants, 640, "curve")


def _panels(one: VisitCurves, curve: Curve) -> dict[str, Any]:
    fitted = bool(np.isfinite(curve.model).any())
    hours = one.time - one.middle if np.isfinite(one.middle) else one.time
    axis = "hours from mid-transit" if np.isfinite(one.middle) else "hours, as the light curve's times count"
    breaks = np.flatnonzero(np.diff(hours) > _GAP * np.median(np.diff(hours))) + 1
    small = 4 if len(hours) < 400 else 3

    def dots(values: Array, panel: int, name: str) -> Trace:
        hover = "%{x:.3f} h: %{y:.6f}" if panel < 3 else "%{x:.3f} h: %{y:,.0f} ppm"
        return {
            "x": packed(hours), "y": packed(values), "yaxis": f"y{panel}" if panel > 1 else "y", "mode": "markers",
            "name": name, "marker": {"color": colour(0, 0.65), "size": small}, "hovertemplate": hover,
            "showlegend": False,
        }  # fmt: skip

    def line(values: Array, panel: int, name: str, place: int = 1, **style: Any) -> Trace:
        return line_of(
            np.insert(hours, breaks, np.nan), np.insert(values, breaks, np.nan), name=name, hoverinfo="skip",
            yaxis=f"y{panel}" if panel > 1 else "y", line=line_style(place, dash="solid", **style),
        )  # fmt: skip

    data = [dots(curve.flux, 1, "light curve")]
    layout = {
        "xaxis": axis_of(axis, anchor="y3" if fitted else "y"),
        "yaxis": axis_of("flux", domain=[0.68, 1] if fitted else [0, 1], anchor="x", tickformat=".4f"),
        "showlegend": fitted,
    }
    if not fitted:
        return {"data": data, "layout": layout}
    data.append(line(curve.model, 1, "fit"))
    error = float(PPM * np.nanmedian(curve.error))
    data += [
        dots(curve.corrected, 2, "without systematics"),
        {**line(curve.transit, 2, "fit"), "showlegend": False},
        dots(PPM * curve.residual, 3, "residual"),
    ]
    if curve.has_memory:
        data.append(line(PPM * curve.correlated, 3, "noise with memory that the fit found", 2))
    layout["yaxis2"] = axis_of("corrected", domain=[0.33, 0.64], anchor="x", tickformat=".4f")
    layout["yaxis3"] = axis_of("residual, ppm", domain=[0, 0.29], anchor="x", exponentformat="none")
    edge = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y3", "y0": -error, "y1": error}
    layout["shapes"] = [edge | {"layer": "below", "fillcolor": "§band", "line": {"width": 0}}]
    return {"data": data, "layout": layout}
