"""Figure of a transient: its light curve with the Gaussian process of each band, colours below."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.transients import TransientView
from page.theme import GREEN, ORANGE, PURPLE, RED, YELLOW, Theme, dress, shade

LOW, HIGH = 0.005, 0.995  # quantiles of the fluxes in sight; outliers are reached by zooming out
MARGIN = 0.12  # of their range


def transient_figure(found: TransientView, theme: Theme) -> go.Figure:
    """Flux [µJy] over days from the peak: measurements with 1σ, mean and 1σ band of the process; colours [mag]."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.72, 0.28])
    palette = (PURPLE, theme.classical, GREEN, ORANGE, RED, theme.ink, YELLOW)
    for place in range(len(found.bands)):
        _band(figure, found, place, palette[place % len(palette)])
    for place, (name, colour) in enumerate(found.colours.items()):
        figure.add_scatter(
            x=found.time,
            y=colour,
            name=name,
            mode="lines",
            line={"color": palette[(place + 1) % len(palette)], "width": 2},
            hovertemplate=f"{name} %{{y:.2f}} mag<br>%{{x:.0f}} d<extra></extra>",
            row=2,
            col=1,
        )
    dress(figure, theme, 620, hovermode="closest")
    figure.update_xaxes(range=list(found.window))
    figure.update_xaxes(title_text="days since the brightest", row=2, col=1)
    figure.update_yaxes(title_text="flux, µJy", range=_flux_range(found), row=1, col=1)
    figure.update_yaxes(title_text="colour, mag", row=2, col=1)
    figure.update_yaxes(title_standoff=6)
    return figure


def _band(figure: go.Figure, found: TransientView, place: int, colour: str) -> None:
    """One band's measurements and process, which its legend entry shows and hides together."""
    band, mean, sigma = found.bands[place], found.flux[:, place], found.error[:, place]
    time, flux, error = found.measured[band]
    group = {"legendgroup": band, "row": 1, "col": 1}
    figure.add_scatter(
        x=np.concatenate([found.time, found.time[::-1]]),
        y=np.concatenate([mean + sigma, (mean - sigma)[::-1]]),
        fill="toself",
        fillcolor=shade(colour, 0.15),
        mode="none",
        hoverinfo="skip",
        showlegend=False,
        **group,
    )
    figure.add_scatter(
        x=found.time,
        y=mean,
        name=f"{band} smooth",
        mode="lines",
        line={"color": colour, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
        **group,
    )
    figure.add_scatter(
        x=time,
        y=flux,
        error_y={"array": error, "width": 0, "thickness": 1},
        name=band,
        mode="markers",
        marker={"color": colour, "size": 5},
        hovertemplate=f"{band} %{{y:.2f}} µJy<br>%{{x:.1f}} d<extra></extra>",
        **group,
    )


def _flux_range(found: TransientView) -> list[float]:
    """Of the measurements and the smooth curves in the window of time."""
    low, high = found.window
    seen = np.concatenate([flux[(time >= low) & (time <= high)] for time, flux, _ in found.measured.values()])
    smooth = found.flux[(found.time >= low) & (found.time <= high)]
    ends = np.stack([np.quantile(one, (LOW, HIGH)) for one in (seen, smooth)])
    bottom, top = ends[:, 0].min(), ends[:, 1].max()
    margin = MARGIN * max(top - bottom, 1e-9)
    return [float(bottom - margin), float(top + margin)]
