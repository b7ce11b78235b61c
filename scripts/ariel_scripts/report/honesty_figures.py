"""The report's figures of error bars by band: the factor that sigma lacks, coverage at all levels, and z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.prediction.reliability import molecular_bands
from ariel_scripts.report.figures import z_histograms
from ariel_scripts.report.honesty import FACTOR, GOOD, NARROW, WIDE, Judgement
from ariel_scripts.report.maps import Shade
from ariel_scripts.report.plots import Array, Figure, axis_of, band_name
from modeling_ariel.uncertainty import LEVELS, coverage_curve, z_histogram

ALL = "all channels"
_COLOUR = {GOOD: "§c2", NARROW: "§c1", WIDE: "§c0"}
_TICKS = (0.25, 0.5, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)

Arrays = tuple[Array, Array, Array]  # truth, mean, sigma


def factor_figure(judged: Mapping[str, Sequence[Judgement]]) -> Figure:
    """The factor that sigma lacks, by band, a variant for each entry."""
    variants = {}
    for entry, bands in judged.items():
        names = [band_name(one.name) if one.name else ALL for one in bands]
        factors = [one.factor for one in bands]
        point = {
            "x": [one.value for one in factors],
            "y": names,
            "mode": "markers",
            "marker": {"size": 11, "color": [_COLOUR.get(one.verdict, "§muted") for one in bands]},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.value for one in factors],
                "arrayminus": [one.value - one.low for one in factors],
                "thickness": 2,
                "width": 6,
                "color": "§muted",
            },
            "customdata": [one.verdict for one in bands],
            "hovertemplate": "%{y}: × %{x:.2f}, %{customdata}<extra></extra>",
        }
        zone = {"type": "rect", "xref": "x", "yref": "paper", "x0": 1 / FACTOR, "x1": FACTOR, "y0": 0, "y1": 1}
        honest = {"type": "line", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1}
        ends = [min(0.75, *(one.low for one in factors)) / 1.05, max(1.35, *(one.high for one in factors)) * 1.05]
        layout = {
            "xaxis": axis_of(
                "factor that σ lacks",
                type="log",
                range=np.log10(ends).tolist(),
                tickvals=list(_TICKS),
                ticktext=[f"{at:g}" for at in _TICKS],
            ),
            "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
            "shapes": [
                zone | {"layer": "below", "fillcolor": "§band", "line": {"width": 0}},
                honest | {"line": {"color": "§muted", "width": 1, "dash": "dot"}},
            ],
            "showlegend": False,
        }
        variants[entry] = {"data": [point], "layout": layout}
    caption = (
        "Points: what σ must be multiplied by for 90 % of truths to lie in 90 % intervals, bars its 90 % interval over "
        "planets; right of 1 σ is too small. Orange: proven too narrow, blue: too wide, green: good, grey: not proven."
    )
    return Figure("Error bars by band", caption, variants, 150 + 34 * max(map(len, judged.values())), "predictions")


def coverage_map(judged: Mapping[str, Arrays], wavelength: Array) -> Figure:
    """Coverage less what is stated, by band and level, a variant for each entry."""
    bands = _bands(wavelength)
    stated = [f"{100 * level:g} %" for level in LEVELS]
    variants = {}
    for entry, arrays in judged.items():
        truth, mu, sigma = arrays
        curves = [coverage_curve(truth[:, one], mu[:, one], sigma[:, one], LEVELS) for one in bands.values()]
        found = 100.0 * np.array([curve.coverage for curve in curves])
        trace = {
            "type": "heatmap",
            "z": (found - 100.0 * np.array(LEVELS)).round(2).tolist(),
            "x": stated,
            "y": list(bands),
            "text": [[f"{value:.0f}" for value in row] for row in found],
            "texttemplate": "%{text} %",
            "hovertemplate": "%{y}: %{x} intervals hold %{text} %<extra></extra>",
            **Shade("more or less than stated, %", 20.0, 0.1, signed=True).bar(),
        }
        layout = {
            "xaxis": axis_of("stated probability of the interval", type="category", showgrid=False),
            "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False},
        }
        variants[entry] = {"data": [trace], "layout": layout}
    caption = (
        "Numbers: truths inside; orange holds less than stated (σ too small), blue more; an orange row is a band whose "
        "error bars must not be believed."
    )
    return Figure("Coverage by band", caption, variants, 150 + 34 * len(bands), "predictions")


def z_by_band(judged: Mapping[str, Arrays], wavelength: Array) -> Figure:
    """Histograms of z, a variant for all channels with both axes, and one for each band."""
    variants: dict[str, Any] = {}
    for name, inside in _bands(wavelength).items():
        found = {
            entry: z_histogram(truth[:, inside], mu[:, inside], sigma[:, inside])
            for entry, (truth, mu, sigma) in judged.items()
        }
        figure = z_histograms(found)
        if name == ALL:
            variants |= {f"{name}, {axis} axis": variant for axis, variant in figure.variants.items()}
        else:
            variants[name] = figure.variants["linear"]
    caption = (
        "z = (μ − truth)/σ should follow the dotted normal: a wider histogram means σ too small, a shifted one a bias, "
        "and what towers at ±5 lost planets."
    )
    return Figure("z by band", caption, variants, choose="band")


def _bands(wavelength: Array) -> dict[str, NDArray[np.bool_]]:
    named = {band_name(name): inside for name, inside in molecular_bands(wavelength).items()}
    return {ALL: np.ones(len(wavelength), bool), **named}
