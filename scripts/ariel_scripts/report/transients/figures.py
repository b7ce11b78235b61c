"""Figures of all objects: precision and recall, calibration, spectral types, what weighs most."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta

from ariel_scripts.report.plots import Array, Figure, Trace, axis_of, label, line_of, packed
from modeling_ariel.transients.detection_scores import average_precision, calibration_curve, precision_recall

FEATURES = 15  # of all objects
MOST = 600  # objects drawn


def precision_recall_figure(target: Any, probability: Array, at: tuple[float, float], f1: float) -> Figure:
    """The curve, the (recall, precision) `at` the threshold, and the line of that F1."""
    recall, precision, threshold = precision_recall(target, probability)
    area = average_precision(target, probability)
    name = f"average precision {area:.2f}"
    curve = line_of(recall, precision, name=name, line={"color": "§c0", "width": 2, "shape": "vh"})
    curve |= {
        "customdata": packed(threshold),
        "hovertemplate": "at %{customdata:.3f}: recall %{x:.2f}, precision %{y:.2f}<extra></extra>",
    }
    share = float(np.mean(target))
    dotted = {"color": "§muted", "width": 1, "dash": "dot"}
    data: list[Trace] = [line_of([0, 1], [share, share], name="chance", line=dotted, hoverinfo="skip"), curve]
    if f1 > 0:
        along = np.linspace(f1 / (2 - f1) + 1e-6, 1, 60)
        data.append(line_of(along, f1 * along / (2 * along - f1), name=f"F1 {f1:.2f}", line=dotted | {"dash": "dash"}))
        data[-1]["hoverinfo"] = "skip"
    marker = {"color": "§c1", "size": 11, "symbol": "diamond"}
    data.append({"x": [at[0]], "y": [at[1]], "mode": "markers", "name": "at the threshold", "marker": marker})
    layout = {
        "xaxis": axis_of("recall: share of TDEs that are chosen", range=[0, 1.02]),
        "yaxis": axis_of("precision", range=[0, 1.05]),
    }
    return Figure(
        "Precision and recall",
        "Upwards: fewer false positives. Right: fewer misses. With a threshold a fold the diamond may lie "
        "off the curve.",
        {"": {"data": data, "layout": layout}},
    )


def calibration_figure(target: Any, probability: Array) -> Figure:
    """Share of TDEs among objects of a probability, with its binomial 90 % interval, beside the honest line."""
    curve = calibration_curve(target, probability)
    hits = curve.share * curve.count
    low, high = (beta.ppf(one, hits + 0.5, curve.count - hits + 0.5) for one in (0.05, 0.95))  # Jeffreys
    bars = {"type": "data", "symmetric": False, "array": packed(np.maximum(high - curve.share, 0)),
            "arrayminus": packed(np.maximum(curve.share - low, 0)), "width": 3}  # fmt: skip
    points = {
        "x": packed(curve.mean),
        "y": packed(curve.share),
        "error_y": bars,
        "mode": "lines+markers",
        "name": "objects",
        "line": {"color": "§c0", "width": 1.5},
        "marker": {"size": 7},
        "text": [f"{count} objects" for count in curve.count.tolist()],
        "hovertemplate": "%{text}: said %{x:.2f}, are %{y:.2f}<extra></extra>",
    }
    dotted = {"color": "§muted", "width": 1.5, "dash": "dot"}
    layout = {
        "xaxis": axis_of("probability", range=[0, 1]),
        "yaxis": axis_of("share of TDEs", range=[-0.03, 1.03]),
    }
    caption = (
        f"Below the dotted line probabilities are too high, above it too low. Mean distance {curve.error:.3f}, Brier "
        f"score {curve.brier:.3f}. Bars: 90 % intervals."
    )
    data = [line_of([0, 1], [0, 1], name="honest", line=dotted, hoverinfo="skip"), points]
    return Figure("Calibration", caption, {"": {"data": data, "layout": layout}})


def types_figure(types: dict[str, dict[str, float]]) -> Figure:
    """Share of each spectral type that is chosen, with the number of objects."""
    names = list(types)[::-1]
    share = [types[name]["chosen_share"] for name in names]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": share,
        "y": [label(name) for name in names],
        "text": [f"{types[name]['chosen']} of {types[name]['objects']}" for name in names],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": ["§c1" if name == "TDE" else "§c0" for name in names]},
        "hoverinfo": "skip",
    }
    layout = {
        "xaxis": axis_of("share chosen as TDE", range=[0, 1.15], tickvals=[0, 0.25, 0.5, 0.75, 1]),
        "yaxis": {"type": "category", "ticksuffix": " "},
        "showlegend": False,
    }
    return Figure("Chosen, by spectral type", "", {"": {"data": [bars], "layout": layout}}, 110 + 28 * len(names))


def features_figure(features: tuple[str, ...], values: Array, shares: Array) -> Figure:
    """What features add to the log odds of all objects: values, shares (object, feature); the weightiest on top."""
    order = np.argsort(-np.abs(shares).mean(0), kind="stable")[:FEATURES][::-1]
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(shares), min(MOST, len(shares)), replace=False))
    x, y, shade, text = [], [], [], []
    for row, place in enumerate(order):
        own = values[rows, place].astype(np.float64)
        rank = np.searchsorted(np.sort(own[np.isfinite(own)]), own) / max(np.isfinite(own).sum(), 1)
        x.append(np.where(np.isfinite(own), shares[rows, place], np.nan))
        y.append(row + rng.uniform(-0.3, 0.3, rows.size))
        shade.append(np.where(np.isfinite(own), rank, np.nan))
        text += [f"{features[place]} {one:.3g}" for one in own]
    names = [label(features[place]) for place in order]
    marker = {
        "size": 4,
        "opacity": 0.7,
        "color": packed(np.concatenate(shade)),
        "cmin": 0,
        "cmax": 1,
        "colorscale": [[0, "§c0"], [0.5, "§grid"], [1, "§c1"]],
    }
    points = {
        "x": packed(np.concatenate(x)),
        "y": packed(np.concatenate(y)),
        "text": text,
        "mode": "markers",
        "marker": marker,
        "hovertemplate": "%{text}: %{x:+.2f}<extra></extra>",
    }
    layout = {
        "xaxis": axis_of("log odds, right: TDE"),
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": names, "ticksuffix": " ", "showgrid": False},
        "showlegend": False,
        "hovermode": "closest",
    }
    caption = "A point an object; blue: a low value of the feature, orange: a high one. Unknown ones are not drawn."
    return Figure("What weighs most", caption, {"": {"data": [points], "layout": layout}}, 90 + 26 * len(names))
