"""What the report's figures are made of, as Plotly's JSON: arrays in, plain dictionaries out.

A colour is a name in the page's style, for light and dark, "§ink" or "§c0/0.2" with an opacity; long arrays are
packed, see `packed`. The page's script resolves both when a figure is drawn.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modeling_ariel.scoring import BANDS

Array = NDArray[np.float64]
Trace = dict[str, Any]

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # with the colour, so that grey print does
SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_FGS1_END, _AIRS_START = 0.06, 0.1  # of the width: FGS1 at 0.7 um would leave half of one axis empty


@dataclass
class Figure:
    """One place of the page with one or more ``variants`` {label: {"data": …, "layout": …}} to choose from."""

    title: str
    caption: str
    variants: dict[str, dict[str, Any]]
    height: int = 380
    choose: str = "show"


def packed(values: ArrayLike, scale: float | None = None) -> dict[str, Any]:
    """An array as base64 of float32, or of int16 in units of ``scale``, clipped, where that is precise enough."""
    array = np.asarray(values, np.float64)
    if scale is None:
        return {"f4": _base64(array.astype("<f4")), "shape": list(array.shape)}
    whole = np.clip(np.round(array / scale), -32767, 32767)
    counts = np.where(np.isfinite(whole), whole, -32768).astype("<i2")
    return {"i2": _base64(counts), "scale": scale, "shape": list(array.shape)}


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def unpacked(value: Any) -> Any:
    """A copy with packed arrays as lists, NaN where there is no number."""
    if isinstance(value, dict):
        kind = next((kind for kind in ("f4", "i2") if kind in value and "shape" in value), None)
        if kind is None:
            return {key: unpacked(item) for key, item in value.items()}
        numbers = np.frombuffer(base64.b64decode(value[kind]), f"<{kind}").astype(np.float64)
        if kind == "i2":
            numbers = np.where(numbers == -32768, np.nan, numbers * value["scale"])
        return [
            [float(f"{number:.7g}") for number in row] if isinstance(row, np.ndarray) else float(f"{row:.7g}")
            for row in numbers.reshape(value["shape"])
        ]
    return [unpacked(item) for item in value] if isinstance(value, list) else value


def label(text: str) -> str:
    """Text that comes from data, as Plotly shows it letter by letter."""
    return html.escape(str(text), quote=False).replace("§", "&#167;")  # it decodes no &quot;


def band_name(name: str) -> str:
    """A name of BANDS as it is written: "CO2 2.0" is "CO₂ 2.0 µm"."""
    molecule, *where = name.split()
    return " ".join([molecule if molecule == "FGS1" else molecule.translate(SUBSCRIPT), *(f"{at} µm" for at in where)])


def colour(place: int, opacity: float | None = None) -> str:
    return f"§c{place % 6}" + ("" if opacity is None else f"/{opacity}")


def line_style(place: int, **style: Any) -> dict[str, Any]:
    return {"color": colour(place), "dash": DASHES[place % len(DASHES)], "width": 2, **style}


def line_of(x: ArrayLike, y: ArrayLike, **more: Any) -> Trace:
    return {"x": packed(x), "y": packed(y), "mode": "lines", **more}


def area_of(x: Array, low: Array, high: Array, place: int) -> Trace:
    """Shaded between two lines."""
    return {
        "x": packed(np.concatenate([x, x[::-1]])),
        "y": packed(np.concatenate([low, high[::-1]])),
        "fill": "toself",
        "mode": "none",
        "fillcolor": colour(place, 0.2),
        "hoverinfo": "skip",
        "showlegend": False,
    }


def axis_of(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


def round_ticks() -> dict[str, Any]:
    """1, 2 and 5 of every decade, for a logarithmic axis."""
    values = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)]
    return {"tickvals": values, "ticktext": [f"{one:g}" if one < 1e4 else f"{one:,.0f}" for one in values]}


# --- along wavelength ----------------------------------------------------------------------------------------------


def spectral_layout(wavelength: Array, titles: Sequence[str], heights: Sequence[float] | None = None) -> dict[str, Any]:
    """Rows of panels over wavelength, FGS1 in a narrow part on the left; bands of molecules shaded and named.

    Traces of row r are on x and y, y2, y3 … for FGS1, on x2 and the same for AIRS.
    """
    shares = np.asarray(heights or [1.0] * len(titles)) / sum(heights or [1.0] * len(titles))
    gap, top = 0.05, 1.0
    last = "y" if len(titles) == 1 else f"y{len(titles)}"
    layout: dict[str, Any] = {
        "xaxis": {
            "domain": [0, _FGS1_END],
            "anchor": last,
            "range": [wavelength[0] - 0.1, wavelength[0] + 0.1],
            "tickvals": [float(wavelength[0])],
            "ticktext": ["FGS1"],
            "fixedrange": True,
            "showgrid": False,
        },
        "xaxis2": axis_of(
            "wavelength, µm",
            domain=[_AIRS_START, 1],
            anchor=last,
            range=[float(wavelength[1]) - 0.02, float(wavelength[-1]) + 0.02],
        ),
        "shapes": [],
        "annotations": [],
    }
    for row, (title, share) in enumerate(zip(titles, shares, strict=True)):
        bottom = max(top - share * (1 - gap * (len(titles) - 1)), 0.0)
        axis = axis_of(
            title, domain=[float(bottom), float(top)], anchor="x", exponentformat="none", separatethousands=True
        )
        layout[f"yaxis{row + 1 if row else ''}"] = axis
        top = bottom - gap
    for name, (low, high) in BANDS.items():
        if low < wavelength[1] - 0.1 or "continuum" in name:
            continue
        box = {"type": "rect", "xref": "x2", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1}
        style = {"layer": "below", "fillcolor": "§band", "line": {"width": 0}}
        layout["shapes"].append(box | style)
        place = {"xref": "x2", "yref": "paper", "x": (low + high) / 2, "y": 1, "yanchor": "bottom"}
        font = {"size": 11, "color": "§muted"}
        text = {"text": band_name(name).split()[0], "font": font, "showarrow": False}
        layout["annotations"].append(place | text)
    return layout


def along(
    wavelength: Array,
    values: Array,
    row: int,
    place: int,
    name: str,
    interval: tuple[Array, Array] | None = None,
    **more: Any,
) -> list[Trace]:
    """A line over AIRS and a point at FGS1 (C,) with its interval; ``more`` goes to both traces."""
    axis = f"y{row + 1 if row else ''}"
    shown = {"name": label(name), "legendgroup": label(name), "hovertemplate": "%{x:.3f} µm: %{y:.4g}", **more}
    line = more.get("line", line_style(place))
    point: Trace = {
        **shown,
        "x": [float(wavelength[0])],
        "y": [float(values[0])],
        "xaxis": "x",
        "yaxis": axis,
        "mode": "markers",
        "showlegend": False,
        "marker": {"color": line["color"], "size": 7},
    }
    traces: list[Trace] = []
    if interval is not None:
        low, high = interval
        point["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [float(high[0] - values[0])],
            "arrayminus": [float(values[0] - low[0])],
            "width": 3,
        }
        traces.append(
            {
                "x": packed(np.concatenate([wavelength[1:], wavelength[:0:-1]])),
                "y": packed(np.concatenate([low[1:], high[:0:-1]])),
                "xaxis": "x2",
                "yaxis": axis,
                "fill": "toself",
                "mode": "none",
                "fillcolor": colour(place, 0.2),
                "hoverinfo": "skip",
                "showlegend": False,
                "legendgroup": label(name),
            }
        )
    traces.append(point)
    traces.append(
        {
            **shown,
            "x": packed(wavelength[1:]),
            "y": packed(values[1:]),
            "xaxis": "x2",
            "yaxis": axis,
            "mode": "lines",
            "line": line,
        }
    )
    return traces


def level(row: int, value: float) -> dict[str, Any]:
    """A dotted line across a row of `spectral_layout`."""
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": f"y{row + 1 if row else ''}",
        "y0": value,
        "y1": value,
        "line": {"color": "§muted", "width": 1, "dash": "dot"},
    }
