"""Colours and layout of all figures: safe for colour-blind readers, legible on white and dark grey."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito's palette
ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
MOLECULE_COLOURS = {"H2O": SKY, "CO2": GREEN, "CH4": PURPLE, "CO": ORANGE, "NH3": RED}
MOLECULE_NAMES = {
    "H2O": "H<sub>2</sub>O",
    "CO2": "CO<sub>2</sub>",
    "CH4": "CH<sub>4</sub>",
    "CO": "CO",
    "NH3": "NH<sub>3</sub>",
}


@dataclass(frozen=True)
class Theme:
    """text: axes and words; grid: lines behind the data; ink: truth and other lines that must stand out;
    classical: the fit without a network; points: measured data behind a fit; page: background of a saved picture;
    diverging: colour scale of residuals, whose middle is the background; narrow: for a phone.
    """

    name: str
    text: str
    grid: str
    ink: str
    classical: str
    points: str
    page: str
    diverging: list[list[Any]]
    narrow: bool = False


LIGHT = Theme(
    "light",
    "#374151",
    "#e5e7eb",
    "#000000",
    BLUE,
    SKY,
    "#ffffff",
    [[0.0, "#0b3c5d"], [0.25, BLUE], [0.5, "#f7f7f7"], [0.75, RED], [1.0, "#6b2500"]],
)
DARK = Theme(
    "dark",
    "#d1d5db",
    "#3f3f46",
    "#ffffff",
    SKY,
    "#3b82b0",
    "#18181b",
    [[0.0, "#b8e0fa"], [0.25, SKY], [0.5, "#27272a"], [0.75, RED], [1.0, "#ffd9c2"]],
)


def theme_of(look: str) -> Theme:
    """The theme of a page that says of itself "dark", "narrow", both or nothing."""
    return replace(DARK if "dark" in look else LIGHT, narrow="narrow" in look)


def shade(colour: str, alpha: float) -> str:
    """`#rrggbb` with an opacity."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def dress(figure: go.Figure, theme: Theme, height: int, **layout: Any) -> go.Figure:
    """The figure in the theme's colours, without Plotly's template: transparent, so that the page shows through."""
    figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 11 if theme.narrow else 13, "color": theme.text},
        hoverlabel={"bgcolor": theme.page, "bordercolor": theme.grid, "font": {"color": theme.text}},
        margin={"l": 2, "r": 2, "t": 22, "b": 2} if theme.narrow else {"l": 12, "r": 12, "t": 26, "b": 12},
        legend={
            "orientation": "h",
            "yref": "container",
            "yanchor": "bottom",
            "y": 0.0,
            "x": 0.5,
            "xanchor": "center",
            "font": {"size": 10 if theme.narrow else 12},
        },
        dragmode="zoom",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": theme.text, "activecolor": RED},
    )
    axis = {
        "gridcolor": theme.grid,
        "linecolor": theme.grid,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": theme.grid,
        "automargin": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_annotations(font={"color": theme.text, "size": 13})
    figure.update_layout(**layout)
    return figure
