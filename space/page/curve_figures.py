"""Figures of one visit: bands with their fits, time by wavelength before and after drift removal, the raw detector."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.air_map import AirMap
from engine.records import BandCurve, LightCurves, RawImage, RawView
from engine.spectrum import FGS1_BELOW_UM
from page.theme import ORANGE, RED, Theme, dress, shade

PPM = 1e6
IMAGE_BINS = (3, 3)  # time bins and channels averaged in the image: noise falls threefold, drift and transit stay
DETECTOR_COLOURS = "Cividis"


def band_figure(curves: LightCurves, names: list[str], theme: Theme) -> go.Figure:
    """The bands of those names, a panel each: relative flux with the fit, residuals [ppm] below it."""
    chosen = [band for band in curves.bands if band.name in names] or list(curves.bands[:1])
    rows = 2 * len(chosen)
    figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.2 / rows, row_heights=[0.7, 0.3] * len(chosen)
    )
    for number, band in enumerate(chosen):
        _band_panel(figure, curves.time_h, band, 2 * number + 1, theme)
    dress(figure, theme, 110 + 250 * len(chosen), hovermode="closest", showlegend=False)
    figure.update_xaxes(title_text="hours from the first exposure", row=rows, col=1)
    for number, band in enumerate(chosen):
        spread = np.nanstd(band.residual) * PPM
        axis = "" if number == 0 else str(2 * number + 1)
        figure.add_annotation(
            text=f"<b>{band.name}</b> ±{spread:,.0f} ppm",
            showarrow=False,
            x=0.01,
            y=1.0,
            xref="paper",
            yref=f"y{axis} domain",
            xanchor="left",
            yanchor="bottom",
            font={"color": theme.text, "size": 12},
        )
    return figure


def _band_panel(figure: go.Figure, time: np.ndarray, band: BandCurve, row: int, theme: Theme) -> None:
    figure.add_scatter(
        x=time,
        y=band.flux,
        mode="markers",
        marker={"color": theme.points, "size": 3.5},
        hovertemplate="%{x:.2f} h<br>flux %{y:.5f}<extra></extra>",
        row=row,
        col=1,
    )
    figure.add_scatter(
        x=time,
        y=band.model,
        mode="lines",
        line={"color": RED, "width": 2},
        hovertemplate="%{x:.2f} h<br>fit %{y:.5f}<extra></extra>",
        row=row,
        col=1,
    )
    figure.add_scatter(
        x=time,
        y=band.drift,
        mode="lines",
        line={"color": ORANGE, "width": 1.5, "dash": "dot"},
        hovertemplate="%{x:.2f} h<br>drift %{y:.5f}<extra></extra>",
        row=row,
        col=1,
    )
    figure.add_hline(0.0, line={"color": RED, "width": 1}, exclude_empty_subplots=False, row=row + 1, col=1)
    figure.add_scatter(
        x=time,
        y=band.residual * PPM,
        mode="markers",
        marker={"color": theme.points, "size": 3},
        hovertemplate="%{x:.2f} h<br>residual %{y:,.0f} ppm<extra></extra>",
        row=row + 1,
        col=1,
    )
    figure.update_yaxes(title_text="flux", row=row, col=1)
    figure.update_yaxes(title_text="ppm", row=row + 1, col=1)


# --- time by wavelength --------------------------------------------------------------------------------------------


def air_figure(found: AirMap, theme: Theme) -> go.Figure:
    """Light hidden beyond the white transit [ppm] over time and wavelength; what is left is the planet's air."""
    names = [f"{value:.3f}" for value in found.wavelength_um]
    image = found.excess * PPM
    limit = max(_limit(image), 2.0 * PPM * float(np.nanmedian(found.error)))
    figure = go.Figure()
    figure.add_heatmap(
        x=found.time_h.astype(np.float32),
        y=names,
        z=image.T.astype(np.float32),
        customdata=(found.error * PPM).T.astype(np.float32),
        zmin=-limit,
        zmax=limit,
        colorscale=theme.diverging,
        hovertemplate="%{x:.2f} h, %{y} µm<br>%{z:,.0f} ± %{customdata:.0f} ppm<extra></extra>",
        colorbar={"title": {"text": "ppm"}, "thickness": 10, "x": 1.01, "outlinewidth": 0, "nticks": 5},
    )
    dress(figure, theme, 380 if theme.narrow else 420)
    for contact, words in zip(found.contacts_h, ("transit begins", "ends"), strict=True):
        figure.add_vline(
            contact, line={"color": theme.ink, "width": 1, "dash": "dot"}, annotation_text=words,
            annotation_position="top", annotation_font={"color": theme.text, "size": 11},
        )  # fmt: skip
    ticks = _ticks(found.wavelength_um)
    figure.update_yaxes(
        title_text="µm",
        type="category",
        tickvals=[names[tick] for tick in ticks],
        ticktext=[f"{found.wavelength_um[tick]:.1f}" for tick in ticks],
        showgrid=False,
    )
    figure.update_xaxes(title_text="hours from the first exposure", showgrid=False)
    return figure


def image_figure(curves: LightCurves, theme: Theme) -> go.Figure:
    """AIRS-CH0's relative flux less 1 [ppm] over time and wavelength: as measured, less drift, less transit too."""
    panels = [
        ("as measured", curves.before - 1.0),
        ("drift removed", curves.after - 1.0),
        ("drift and transit removed", curves.residual),
    ]
    airs = curves.wavelength_um >= FGS1_BELOW_UM
    images = [(title, averaged(image[:, airs], *IMAGE_BINS) * PPM) for title, image in panels]
    time = averaged(curves.time_h[:, None], IMAGE_BINS[0], 1)[:, 0].astype(np.float32)
    wavelength = averaged(curves.wavelength_um[None, airs], 1, IMAGE_BINS[1])[0]
    names = [f"{value:.3f}" for value in wavelength]
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.07, subplot_titles=[title for title, _ in images]
    )
    limits = [_limit(np.concatenate([images[0][1].ravel(), images[1][1].ravel()])), _limit(images[2][1])]
    for row, (_, image) in enumerate(images, 1):
        limit = limits[row == 3]
        figure.add_heatmap(
            x=time,
            y=names,
            z=image.T.astype(np.float32),
            zmin=-limit,
            zmax=limit,
            colorscale=theme.diverging,
            hovertemplate="%{x:.2f} h, %{y} µm<br>%{z:,.0f} ppm<extra></extra>",
            showscale=row != 2,
            colorbar={
                "title": {"text": "ppm"},
                "len": 0.62 if row == 1 else 0.3,
                "y": 0.69 if row == 1 else 0.14,
                "thickness": 10,
                "x": 1.01,
                "outlinewidth": 0,
                "nticks": 5,
            },
            row=row,
            col=1,
        )
    dress(figure, theme, 720)
    ticks = _ticks(wavelength)
    figure.update_yaxes(
        title_text="µm",
        type="category",
        tickvals=[names[tick] for tick in ticks],
        ticktext=[f"{wavelength[tick]:.1f}" for tick in ticks],
        showgrid=False,
    )
    figure.update_xaxes(showgrid=False)
    figure.update_xaxes(title_text="hours from the first exposure", row=3, col=1)
    return figure


def averaged(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means of blocks of an image, NaN left out; the last blocks may be smaller."""
    for axis, size in ((0, rows), (1, columns)):
        starts = np.arange(0, image.shape[axis], size)
        total = np.add.reduceat(np.nan_to_num(image), starts, axis=axis)
        count = np.add.reduceat(np.isfinite(image).astype(np.float64), starts, axis=axis)
        with np.errstate(invalid="ignore", divide="ignore"):
            image = np.where(count > 0, total / count, np.nan)
    return image


def _limit(image: np.ndarray) -> float:
    finite = np.abs(image[np.isfinite(image)])
    return float(np.percentile(finite, 97)) if finite.size else 1.0


def _ticks(wavelength: np.ndarray) -> list[int]:
    """Rows of the image nearest to round wavelengths [um]."""
    wanted = [value for value in (2.0, 2.5, 3.0, 3.5, 3.9) if wavelength[0] - 0.1 <= value <= wavelength[-1] + 0.1]
    return sorted({int(np.abs(wavelength - value).argmin()) for value in wanted})


# --- the detector --------------------------------------------------------------------------------------------------


def step_figure(view: RawView, step: int, theme: Theme) -> go.Figure:
    """AIRS-CH0 before and after a calibration step, each on its own scale, with trace and aperture."""
    _, before, after = view.pairs[step]
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.14,
        subplot_titles=[f"before [{before.unit}]", f"after [{after.unit}]"],
    )
    for row, image in enumerate((before, after), 1):
        columns = view.first_column + np.arange(image.image.shape[1])
        _detector(figure, image, columns, row, 0.79 if row == 1 else 0.21)
        _trace(figure, view, columns, image.image.shape[0], row)
    dress(figure, theme, 460, showlegend=False)
    figure.update_yaxes(title_text="row", showgrid=False)
    figure.update_xaxes(showgrid=False)
    figure.update_xaxes(title_text="detector column", row=2, col=1)
    return figure


def spot_figure(view: RawView, theme: Theme) -> go.Figure:
    """FGS1's mean exposure with the aperture and the annulus of the background."""
    image = next(image for name, image in view.images.items() if name.startswith("FGS1"))
    figure = make_subplots(rows=1, cols=1)
    _detector(figure, image, np.arange(image.image.shape[1]), 1, None)
    row, column = view.spot
    for radius, dash in zip(view.fgs1_radii, ("solid", "dot", "dot"), strict=True):
        figure.add_shape(
            type="circle",
            x0=column - radius,
            x1=column + radius,
            y0=row - radius,
            y1=row + radius,
            line={"color": RED, "width": 2, "dash": dash},
        )
    dress(figure, theme, 380, showlegend=False)
    figure.update_yaxes(title_text="row", showgrid=False, scaleanchor="x", constrain="domain")
    figure.update_xaxes(title_text="column", showgrid=False, constrain="domain")
    return figure


def _detector(figure: go.Figure, image: RawImage, columns: np.ndarray, row: int, bar: float | None) -> None:
    """A detector image on an asinh scale, which shows the wings; hover gives the value. bar: height of its scale."""
    values = np.asarray(image.image, np.float64)
    finite = values[np.isfinite(values)]
    low, centre, high = np.percentile(finite, [0.5, 50, 99.5]) if finite.size else (0.0, 0.5, 1.0)
    width = max(centre - low, 1e-3 * (high - low), 1e-12)
    ticks = np.array([low, high])
    figure.add_heatmap(
        x=columns,
        z=np.arcsinh((values - low) / width).astype(np.float32),
        customdata=values.astype(np.float32),
        zmin=0.0,
        zmax=float(np.arcsinh((high - low) / width)),
        colorscale=DETECTOR_COLOURS,
        hovertemplate=f"column %{{x}}, row %{{y}}<br>%{{customdata:,.1f}} {image.unit}<extra></extra>",
        showscale=bar is not None,
        colorbar={
            "len": 0.42,
            "y": bar,
            "thickness": 10,
            "x": 1.01,
            "outlinewidth": 0,
            "tickvals": np.arcsinh((ticks - low) / width),
            "ticktext": [f"{tick:,.0f}" for tick in ticks],
        },
        row=row,
        col=1,
    )


def _trace(figure: go.Figure, view: RawView, columns: np.ndarray, rows: int, row: int) -> None:
    centre = view.trace[columns]
    for offset, dash, words in (
        (0.0, "solid", "trace"),
        (view.aperture, "dash", "aperture"),
        (-view.aperture, "dash", "aperture"),
        (view.foreground, "dot", "foreground from here"),
        (-view.foreground, "dot", "foreground from here"),
    ):
        line = np.where((centre + offset >= -0.5) & (centre + offset <= rows - 0.5), centre + offset, np.nan)
        figure.add_scatter(
            x=columns,
            y=line,
            mode="lines",
            line={"color": shade(RED, 0.9), "width": 1.3, "dash": dash},
            hovertemplate=f"{words}: row %{{y:.1f}}<extra></extra>",
            row=row,
            col=1,
        )
