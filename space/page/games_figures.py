"""Figures of the games: σ against the number of transits; what each molecule adds to a spectrum that was guessed."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from engine.forecast import FLOOR, MOST, Forecast
from engine.guess import Reveal
from engine.spectrum import FGS1_BELOW_UM
from engine.verdict import HINTED, STANDS_OUT
from page.theme import MOLECULE_COLOURS, MOLECULE_NAMES, ORANGE, RED, Theme, dress, shade

PPM = 1e6
THRESHOLDS = ((HINTED, "perhaps"), (STANDS_OUT, "stands out"))
PATTERNS = {"H2O": "", "CO2": "/", "CH4": "x", "CO": ".", "NH3": "-"}


def forecast_figure(found: Forecast, transits: int, theme: Theme) -> go.Figure:
    """Expected σ with its scatter against transits, the thresholds, what was observed and what is asked for."""
    numbers = list(range(1, MOST + 1))
    expected = np.array([found.at(number) for number in numbers])
    floored = np.array([found.at(number, floored=True) for number in numbers])
    high, low = expected + found.spread, np.maximum(expected - found.spread, 0.0)
    figure = go.Figure()
    figure.add_scatter(
        x=numbers + numbers[::-1], y=np.concatenate([high, low[::-1]]), fill="toself", mode="lines",
        line={"width": 0}, fillcolor=shade(ORANGE, 0.35), name="two of three observations", hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=numbers, y=expected, mode="lines+markers", name="expected σ", line={"color": RED, "width": 2},
        marker={"size": 5}, hovertemplate="%{x} transits<br>%{y:.1f} σ expected<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=numbers, y=floored, mode="lines", name=f"with a floor of {FLOOR * PPM:.0f} ppm",
        line={"color": theme.classical, "width": 1.5, "dash": "dash"},
        hovertemplate="%{x} transits<br>%{y:.1f} σ with a floor<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[found.n_observed], y=[found.observed], mode="markers", name="found now",
        marker={"color": theme.ink, "symbol": "diamond", "size": 11},
        hovertemplate="%{x} observed<br>%{y:.1f} σ found<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[transits], y=[found.at(transits)], mode="markers", name="asked for",
        marker={"color": "rgba(0,0,0,0)", "size": 16, "line": {"color": theme.ink, "width": 2}}, hoverinfo="skip",
    )  # fmt: skip
    dress(figure, theme, 400 if theme.narrow else 430, hovermode="closest")
    for size, words in THRESHOLDS:
        figure.add_hline(
            size, line={"color": theme.text, "width": 1, "dash": "dot"}, annotation_text=f"{size:g} σ: {words}",
            annotation_position="top right", annotation_font={"color": theme.text, "size": 11},
        )  # fmt: skip
    top = 1.1 * max(float(high.max()), found.observed, STANDS_OUT + 1.0)
    figure.update_yaxes(title_text=f"{MOLECULE_NAMES[found.molecule]} stands out by, σ", range=[0.0, top])
    figure.update_xaxes(title_text="transits in all", range=[0.5, MOST + 0.5], dtick=2 if theme.narrow else 1)
    return figure


def reveal_figure(found: Reveal, theme: Theme) -> go.Figure:
    """The true spectrum, what each molecule in the air adds to it, and the model's band [ppm]."""
    spectrum, planet = found.spectrum, found.round.planet
    airs = spectrum.wavelength_um >= FGS1_BELOW_UM
    x, truth = spectrum.wavelength_um[airs], planet.spectrum[airs] * PPM
    mean, sigma = spectrum.mean[airs] * PPM, spectrum.sigma[airs] * PPM
    figure = go.Figure()
    for name, without in found.round.without.items():
        if found.shows[name] < HINTED:
            continue
        colour = MOLECULE_COLOURS[name]
        figure.add_scatter(
            x=np.concatenate([x, x[::-1]]), y=np.concatenate([truth, without[airs][::-1] * PPM]), fill="toself",
            mode="lines", line={"width": 1, "color": colour}, name=f"{MOLECULE_NAMES[name]} adds", hoverinfo="skip",
            fillpattern={"shape": PATTERNS[name], "fgcolor": colour, "bgcolor": shade(colour, 0.3), "size": 7},
        )  # fmt: skip
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([mean + sigma, (mean - sigma)[::-1]]), fill="toself",
        mode="lines", line={"width": 0}, fillcolor=shade(ORANGE, 0.4), name="model ± 1σ", hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(x=x, y=mean, mode="lines", line={"color": RED, "width": 1.5}, name="model μ", hoverinfo="skip")
    figure.add_scatter(
        x=x, y=truth, mode="lines", line={"color": theme.ink, "width": 1.8}, name="truth",
        hovertemplate="%{x:.3f} µm<br>truth %{y:,.0f} ppm<extra></extra>",
    )  # fmt: skip
    dress(figure, theme, 430 if theme.narrow else 490, hovermode="closest")
    figure.update_yaxes(title_text="transit depth, ppm", tickformat=",.0f")
    figure.update_xaxes(title_text="wavelength, µm")
    return figure
