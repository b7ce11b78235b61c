"""Figures that explain σ: its parts, the effect of hidden data, and how often it was right."""

from __future__ import annotations

import itertools

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.records import Attribution, Reliability
from engine.sigma_parts import LEARNED, SigmaParts
from engine.spectrum import FGS1_BELOW_UM, Spectrum
from page.theme import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, YELLOW, Theme, dress, shade

PPM = 1e6
PART_COLOURS = {  # and what tells neighbours apart without colour
    "photon noise": (ORANGE, ""),
    "jitter": (SKY, "/"),
    "drift": (BLUE, ""),
    "limb darkening and orbit": (GREEN, "x"),
    "prior": (PURPLE, ""),
    "network": (YELLOW, "."),
    LEARNED: (RED, "\\"),
}
NAMED = 0.06  # share from which a part's number stands in it


def stack_figure(found: SigmaParts, theme: Theme) -> go.Figure:
    """The parts of the variance [%] as one bar; what the network saves stands left of zero."""
    figure = go.Figure()
    for name, share in found.shares.items():
        colour, shape = PART_COLOURS[name]
        label = "saved by the network" if name == LEARNED and share < 0 else name
        figure.add_bar(
            x=[100 * share],
            y=[""],
            orientation="h",
            name=label,
            marker={
                "color": colour,
                "pattern": {"shape": shape, "fgcolor": "#000000", "fgopacity": 0.3, "size": 6, "fillmode": "overlay"},
            },
            text=[f"{abs(share):.0%}" if abs(share) >= NAMED else ""],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#ffffff" if colour == BLUE else "#000000", "size": 13},
            hovertemplate=f"{label}: %{{x:.1f}} % of σ²<extra></extra>",
        )
    dress(figure, theme, 215 if theme.narrow else 165, barmode="relative", bargap=0.1, hovermode="closest")
    figure.update_layout(legend={"traceorder": "normal"})
    figure.update_xaxes(title_text="% of σ², mean over 1.95–3.90 µm", zeroline=True, zerolinecolor=theme.text)
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False)
    return figure


def parts_figure(found: Spectrum, theme: Theme) -> go.Figure:
    """σ over wavelength [ppm]: whole, aleatoric, epistemic, and the classical one."""
    figure = go.Figure()
    airs = found.wavelength_um >= FGS1_BELOW_UM
    for name, values, colour, dash, width in (
        ("classical σ", found.classical_sigma, theme.classical, "dash", 1.5),
        ("aleatoric: noise in the data", found.sigma_aleatoric, ORANGE, "solid", 5),
        ("whole σ", found.sigma, theme.ink, "solid", 1.3),
        ("epistemic: what the network has not learned", found.sigma_epistemic, GREEN, "dot", 2),
    ):
        hover = f"%{{x:.3f}} µm<br>{name} %{{y:.1f}} ppm<extra></extra>"
        figure.add_scatter(
            x=found.wavelength_um[airs],
            y=values[airs] * PPM,
            mode="lines",
            name=name,
            legendgroup=name,
            line={"color": colour, "dash": dash, "width": width},
            hovertemplate=hover,
        )
        figure.add_scatter(
            x=found.wavelength_um[~airs],
            y=values[~airs] * PPM,
            mode="markers",
            marker={"color": colour, "size": 8},
            legendgroup=name,
            showlegend=False,
            hovertemplate=hover,
        )
    dress(figure, theme, 400)
    figure.update_yaxes(title_text="σ, ppm", rangemode="tozero")
    figure.update_xaxes(title_text="wavelength, µm (0.7: FGS1)", range=[0.5, 4.0])
    return figure


def occlusion_figure(why: Attribution, theme: Theme) -> go.Figure:
    """How much wider σ is without each stretch of time and without each band, and how far μ moves without it."""
    figure = make_subplots(
        rows=3,
        cols=1,
        vertical_spacing=0.13,
        row_heights=[0.22, 0.4, 0.38],
        subplot_titles=["white light curve", "hidden in time", "hidden in wavelength"],
    )
    edges = np.asarray(why.time_edges_h)
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    figure.add_scatter(
        x=middle,
        y=why.white_flux,
        mode="lines+markers",
        line={"color": theme.text},
        marker={"size": 4},
        showlegend=False,
        hovertemplate="%{x:.2f} h<br>flux %{y:.5f}<extra></extra>",
        row=1,
        col=1,
    )
    span = [f"{low:.2f}–{high:.2f} h" for low, high in itertools.pairwise(edges)]
    places = [f"{low:.2f}–{high:.2f} µm" for low, high in why.band_edges_um]
    for row, x, sizes, sigma, shift, words in (
        (2, middle, width * 0.92, why.time_sigma, why.time_shift, span),
        (3, list(why.band_names), None, why.band_sigma, why.band_shift, places),
    ):
        figure.add_bar(
            x=x,
            y=np.expm1(sigma) * 100,
            width=sizes,
            marker={"color": ORANGE},
            name="σ grows by",
            legendgroup="sigma",
            showlegend=row == 2,
            customdata=words,
            hovertemplate="without %{customdata}<br>σ is %{y:+.1f} % wider<extra></extra>",
            row=row,
            col=1,
        )
        figure.add_scatter(
            x=x,
            y=shift * 100,
            mode="lines+markers" if row == 2 else "markers",
            name="μ moves by, % of σ",
            line={"color": theme.classical, "width": 1.5},
            marker={"color": theme.classical, "size": 7, "symbol": "diamond"},
            legendgroup="shift",
            showlegend=row == 2,
            customdata=words,
            hovertemplate="without %{customdata}<br>μ moves by %{y:.0f} % of σ<extra></extra>",
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text="%", row=row, col=1)
    figure.add_bar(
        x=list(why.band_names),
        y=np.expm1(why.band_rest_sigma) * 100,
        marker={"color": GREEN},
        name="σ elsewhere grows by",
        customdata=places,
        row=3,
        col=1,
        hovertemplate="without %{customdata}<br>σ elsewhere is %{y:+.1f} % wider<extra></extra>",
    )
    dress(figure, theme, 720)
    figure.update_xaxes(range=[float(edges[0]), float(edges[-1])], row=1, col=1, showticklabels=False)
    figure.update_xaxes(range=[float(edges[0]), float(edges[-1])], title_text="hours", title_standoff=2, row=2, col=1)
    figure.update_yaxes(title_text="flux", row=1, col=1)
    return figure


def reliability_figure(found: Reliability, theme: Theme) -> go.Figure:
    """Stated against found coverage; on the diagonal the error bars are honest, above it too wide."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": theme.text, "dash": "dot", "width": 1},
        name="honest σ",
        hoverinfo="skip",
    )
    stated = np.asarray(found.stated)
    figure.add_scatter(
        x=np.concatenate([stated, stated[::-1]]),
        y=np.concatenate([found.high, np.asarray(found.low)[::-1]]),
        fill="toself",
        mode="lines",
        line={"width": 0},
        fillcolor=shade(ORANGE, 0.3),
        name="90 % bounds",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=stated,
        y=found.covered,
        mode="lines",
        line={"color": RED, "width": 2.5},
        name="all channels",
        hovertemplate="stated %{x:.0%}<br>found %{y:.0%}<extra></extra>",
    )
    colours = (theme.classical, GREEN, PURPLE, theme.ink, RED, theme.points, theme.text)
    dashes = ("dash", "dot", "dashdot", "longdash", "longdashdot", "dash", "dot")
    for number, (name, covered) in enumerate(found.by_band.items()):
        figure.add_scatter(
            x=stated,
            y=covered,
            mode="lines",
            name=name,
            visible="legendonly" if number > 6 else True,
            line={"color": colours[number % 7], "dash": dashes[number % 7], "width": 1.8},
            hovertemplate=f"{name}: stated %{{x:.0%}}<br>found %{{y:.0%}}<extra></extra>",
        )
    dress(figure, theme, 480)
    start = max(0.0, float(stated.min()) - 0.1) if len(stated) else 0.0
    figure.update_xaxes(title_text="stated probability", range=[start, 1.0], tickformat=".0%")
    figure.update_yaxes(title_text="truths inside", range=[start, 1.01], tickformat=".0%")
    return figure
