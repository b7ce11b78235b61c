"""Single objects on the page: measurements, the Gaussian process through them, colours, what weighed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ariel_scripts.report.plots import Array, Figure, Trace, axis_of, label, packed
from ariel_scripts.report.text import number
from modeling_ariel.transients.observed import BANDS, Observed
from modeling_ariel.transients.smooth import GRID, Smooth

WINDOW = (-100.0, 300.0)  # d since the peak
COLOURS = ((1, 2), (2, 3))  # g − r, r − i: the deep bands
REACH = 30.0  # d from a measurement, beyond which the process is the kernel's and is not drawn
SURE = 3.0  # σ of a band's flux, below which it has no colour
LIMIT = (-1.5, 2.5)  # mag
INKS = ("c3", "c2", "c1", "c4", "c0", "c5")  # of u … y
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x")
REASONS = 8  # features of one object


@dataclass(frozen=True, eq=False)
class Shown:
    """An object as it is drawn: its light, probability, spectral type ('' where not known) and why it is here."""

    observed: Observed
    smooth: Smooth
    probability: float
    kind: str
    why: str


def light_figure(shown: Shown) -> Figure:
    """Fluxes with the process's ±1σ, and colours below, over days since the peak."""
    observed, smooth = shown.observed, shown.smooth
    since = observed.time - smooth.peak
    inside = (WINDOW[0] <= GRID) & (WINDOW[1] >= GRID)
    near = np.abs(GRID[inside][:, None] - since).min(1) <= REACH
    data: list[Trace] = []
    for band, name in enumerate(BANDS):
        own = observed.band == band
        if own.any():
            mean = np.where(near, smooth.flux[inside, band], np.nan)
            data += _band(name, band, GRID[inside], mean, smooth.error[inside, band], "y")
            data.append(_points(name, band, since[own], observed.flux[own], observed.error[own]))
    colours = [_colour(smooth, inside, *pair) for pair in COLOURS]
    for (first, second), (value, error) in zip(COLOURS, colours, strict=True):
        name = f"{BANDS[first]}−{BANDS[second]}"
        value = np.where(near, value, np.nan)
        data += _band(name, first, GRID[inside], value, error, "y2", showlegend=bool(np.isfinite(value).any()))
    seen = (since >= WINDOW[0]) & (since <= WINDOW[1])
    layout = {
        "xaxis": axis_of("days since the peak", range=list(WINDOW), anchor="y2"),
        "yaxis": axis_of("flux, µJy", domain=[0.37, 1.0], range=_range(observed, seen, smooth.flux[inside][near])),
        "yaxis2": axis_of("colour, mag", domain=[0.0, 0.27], range=list(LIMIT)),
        "hovermode": "closest",
    }
    known = f"{shown.kind} · " if shown.kind else ""
    title = f"{observed.name} · {known}probability {shown.probability:.2f} · z {number(observed.redshift, 2)}"
    return Figure(title, _caption(shown, colours[0], inside), {"": {"data": data, "layout": layout}}, 440)


def _points(name: str, band: int, since: Array, flux: Array, error: Array) -> Trace:
    bars = {"type": "data", "array": packed(error), "width": 0, "thickness": 1, "color": f"§{INKS[band]}/0.5"}
    return {
        "x": packed(since),
        "y": packed(flux),
        "error_y": bars,
        "mode": "markers",
        "name": name,
        "legendgroup": name,
        "marker": {"color": f"§{INKS[band]}", "size": 5, "symbol": SYMBOLS[band]},
        "hovertemplate": f"{name}, day %{{x:.1f}}: %{{y:.3g}} µJy<extra></extra>",
    }


def _band(name: str, band: int, x: Array, mean: Array, error: Array, axis: str, **more: Any) -> list[Trace]:
    """A line and its ±1σ; gaps where it is NaN."""
    shared = {"legendgroup": name, "yaxis": axis, "hoverinfo": "skip", "showlegend": False}
    found: list[Trace] = []
    known = np.isfinite(mean)
    edges = np.flatnonzero(np.diff(np.r_[False, known, False].astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        own = slice(start, stop)
        low, high = mean[own] - error[own], mean[own] + error[own]
        corners = {"x": packed(np.r_[x[own], x[own][::-1]]), "y": packed(np.r_[low, high[::-1]])}
        found.append({**shared, **corners, "fill": "toself", "mode": "none", "fillcolor": f"§{INKS[band]}/0.18"})
    line = {"color": f"§{INKS[band]}", "width": 1.5}
    return [*found, {**shared, "x": packed(x), "y": packed(mean), "mode": "lines", "name": name, "line": line, **more}]


def _colour(smooth: Smooth, inside: Any, first: int, second: int) -> tuple[Array, Array]:
    """Magnitude differences of the process and their 1σ, bands as if independent; NaN where a band is not sure."""
    flux, error = smooth.flux[inside][:, [first, second]], smooth.error[inside][:, [first, second]]
    sure = (flux > SURE * error).all(1)
    safe = np.where(sure[:, None], flux, np.nan)
    value = -2.5 * np.log10(safe[:, 0] / safe[:, 1])
    return value, 2.5 / np.log(10) * np.hypot(*(error / safe).T)


def _range(observed: Observed, seen: Any, drawn: Array) -> list[float]:
    """Of the flux axis: the process as it is drawn and what was measured in the window, without the least sure tenth's
    outliers."""
    flux, error = (one[seen] if seen.any() else one for one in (observed.flux, observed.error))
    good = (error <= np.quantile(error, 0.9)) | (flux > 5 * error)  # bright ones have large errors too
    low, high = float((flux - error)[good].min()), float((flux + error)[good].max())
    low, high = min(low, float(drawn.min(initial=low))), max(high, float(drawn.max(initial=high)))
    room = 0.06 * (high - low)
    return [min(low, 0.0) - room, high + room]


def _caption(shown: Shown, colour: tuple[Array, Array], inside: Any) -> str:
    smooth = shown.smooth
    peak = int(np.abs(GRID[inside]).argmin())
    found = f"{shown.why} Peak on MJD {smooth.peak:.0f}"
    if np.isfinite(colour[0][peak]):
        found += f", g−r there {number(float(colour[0][peak]), 2)} ± {colour[1][peak]:.2f} mag"
    return found + f"; the process varies over {smooth.length_time:.0f} d."


# --- reasons -------------------------------------------------------------------------------------------------------


def reasons_figure(name: str, features: tuple[str, ...], values: Array, shares: Array, probability: float) -> Figure:
    """What the features of one object (feature,) add to its log odds, the greatest first; the others as one.

    probability: the explained model's, which need not be that of the predictions.
    """
    order = np.argsort(-np.abs(shares), kind="stable")
    top = order[:REASONS][::-1]
    texts = [f"{features[place]} = {number(float(values[place]), 2)}" for place in top]
    rest = float(shares[order[REASONS:]].sum())
    amounts = [rest, *shares[top].tolist()]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": amounts,
        "y": [label(one) for one in (f"{max(len(features) - REASONS, 0)} others", *texts)],
        "marker": {"color": ["§c1" if one > 0 else "§c0" for one in amounts]},
        "hovertemplate": "%{y}: %{x:+.2f}<extra></extra>",
    }
    layout = {
        "xaxis": axis_of("log odds, right: TDE"),
        "yaxis": {"type": "category", "ticksuffix": " "},
        "showlegend": False,
    }
    caption = f"The model explained here says {probability:.2f}; it may have learned from this object."
    return Figure(f"Why: {name}", caption, {"": {"data": [bars], "layout": layout}}, 300)
