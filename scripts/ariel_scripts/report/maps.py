"""The report's figures of planet by wavelength, and of one spectrum with what is wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.report.plots import (
    Array,
    Figure,
    Trace,
    along,
    axis_of,
    colour,
    label,
    packed,
    spectral_layout,
)


@dataclass(frozen=True)
class Shade:
    """What a map's colour means: its ``name``, the value of the darkest, ``top``, and the ``step`` it is kept in;
    ``signed``: white is 0, and colours go to both sides.
    """

    name: str
    top: float
    step: float
    signed: bool = False

    def bar(self) -> dict[str, Any]:
        """The colours of a heatmap."""
        ends = [-self.top, 0.0, self.top] if self.signed else [0.0, 0.5 * self.top, self.top]
        texts = [f"{at:.3g}".replace("-", "−") for at in ends]
        texts[-1] = f"≥ {texts[-1]}"
        texts[0] = f"≤ {texts[0]}" if self.signed else texts[0]
        return {
            "zmin": ends[0],
            "zmax": self.top,
            "colorscale": [[0, "§c1"], [0.5, "§paper"], [1, "§c0"]] if self.signed else "Cividis",
            "reversescale": not self.signed,
            "colorbar": {
                "title": {"text": self.name, "side": "right"},
                "thickness": 12,
                "len": 0.9,
                "tickvals": ends,
                "ticktext": texts,
            },
        }


def planet_map(
    title: str,
    caption: str,
    wavelength: Array,
    planets: NDArray[np.int64],
    values: Mapping[str, Array],
    shade: Shade,
    order: str = "planets, worst first",
) -> Figure:
    """A variant for each of ``values`` (P, C), rows in the order given; a click leads to the planet."""
    names = ["FGS1", *(f"{value:.3f} µm" for value in wavelength[1:])]
    ticks = [0, *(int(np.abs(wavelength - at).argmin()) for at in (2.3, 2.6, 3.0, 3.4, wavelength[-1]))]
    layout = {
        "xaxis": axis_of(
            "wavelength, µm",
            type="category",
            tickvals=[names[t] for t in ticks],
            tickangle=0,
            ticktext=["FGS1", *(f"{wavelength[t]:.1f}" for t in ticks[1:])],
            showgrid=False,
        ),
        "yaxis": axis_of(order, type="category", tickvals=[], showgrid=False, autorange="reversed"),
    }
    variants = {}
    for name, found in values.items():
        trace = {
            "type": "heatmap",
            "z": packed(found, shade.step),
            **shade.bar(),
            "x": names,
            "y": [f"planet {planet}" for planet in planets],
            "hovertemplate": f"%{{y}}, %{{x}}: %{{z:.2f}} {shade.name}<extra></extra>",
        }
        variants[name] = {"data": [trace], "layout": layout}
    height = int(np.clip(160 + 3 * len(planets), 320, 700))
    return Figure(title, caption, variants, height, "predictions")


def broken_spectrum(
    wavelength: Array, mu: Array, sigma: Array, truth: Array | None, marks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    """A variant of a figure: a spectrum (C,) [depth] with 1 sigma, and crosses where rules {name: (C,)} are broken."""
    ppm, wide = 1e6 * mu, 1e6 * sigma
    data = along(wavelength, ppm, 0, 0, "μ ± σ", (ppm - wide, ppm + wide))
    if truth is not None:
        data += along(wavelength, 1e6 * truth, 0, 0, "truth", line={"color": "§ink", "width": 1.5})
    for place, (name, broken) in enumerate(marks.items(), start=1):
        for axis, which in (("x", np.arange(len(mu)) == 0), ("x2", np.arange(len(mu)) > 0)):
            if len(rows := np.flatnonzero(broken & which)):
                data.append(_crosses(name, wavelength[rows], ppm[rows], axis, place))
    return {"data": data, "layout": spectral_layout(wavelength, ("transit depth, ppm",))}


def _crosses(name: str, x: Array, y: Array, axis: str, place: int) -> Trace:
    return {
        "x": packed(x),
        "y": packed(y),
        "xaxis": axis,
        "mode": "markers",
        "name": label(name),
        "legendgroup": label(name),
        "showlegend": axis == "x2",
        "marker": {"color": colour(place), "size": 8, "symbol": ("x", "cross", "diamond-open")[place % 3]},
        "hovertemplate": f"{label(name)}, %{{x:.3f}} µm<extra></extra>",
    }
