"""Figures of a spectrum: bands of 1 and 2 sigma, truth, classical fit, molecules, residuals; and of two compared."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.spectrum import FGS1_BELOW_UM, Spectrum
from modeling_ariel.molecules import MOLECULES
from page.theme import MOLECULE_COLOURS, MOLECULE_NAMES, ORANGE, RED, Theme, dress, shade

UNIT_TITLES = {
    "ppm": "transit depth, ppm",
    "depth": "transit depth",
    "rp_rs": "R<sub>p</sub>/R<sub>★</sub>",
    "scale_heights": "scale heights above the mean",
}
HEIGHT, PHONE_HEIGHT = 490, 430  # [px] that a screen shows below the menu
FORMATS = {"ppm": ",.0f", "depth": ".6f", "rp_rs": ".5f", "scale_heights": ".2f"}


def spectrum_figure(found: Spectrum, unit: str, theme: Theme) -> go.Figure:
    """Model with bands, classical fit and truth over wavelength; residuals in sigma below; molecules on top.

    Where the truth is known residuals are (model - truth) / sigma, elsewhere the model against the classical fit.
    """
    figure = _panels(found, theme)
    for column, part in _parts(found.wavelength_um):
        _alone(figure, found, unit, column, part, theme)
        _classical(figure, found, unit, column, part, theme)
        _truth(figure, found, unit, column, part, theme)
        _band(figure, found, unit, column, part, "model", ORANGE, RED)
        _residuals(figure, found, column, part, theme)
    dress(figure, theme, PHONE_HEIGHT if theme.narrow else HEIGHT, hovermode="closest")
    _axes(figure, found, unit)
    _scale(figure, unit, [found])
    _mark_missing(figure, found, theme)
    label = "(μ − truth)/σ" if found.truth is not None else "(μ − fit)/σ"  # longer ones meet the title above
    figure.update_yaxes(title_text=label, row=3, col=1)
    return _spectrometer_alone(figure) if theme.narrow else figure


def comparison_figure(now: Spectrum, before: Spectrum | None, observed: Spectrum, unit: str, theme: Theme) -> go.Figure:
    """What-if: the band `now` over the observation, faint, and an outline of the one `before`; below all widths."""
    figure = _panels(now, theme)
    others = [(observed, "as it was", theme.text, "dot")]
    if before is not None:
        others.insert(0, (before, "before", theme.classical, "dash"))
    for column, part in _parts(now.wavelength_um):
        _faint(figure, observed, unit, column, part, theme)
        _band(figure, now, unit, column, part, "now", ORANGE, RED)
        for other, name, colour, dash in others:
            _outline(figure, other, unit, column, part, name, colour, dash)
        _truth(figure, now, unit, column, part, theme)
        for other, name, colour, dash in [(now, "now", RED, "solid"), *others]:
            _width(figure, other, column, part, name, colour, dash)
    dress(figure, theme, PHONE_HEIGHT if theme.narrow else HEIGHT, hovermode="closest")
    _axes(figure, now, unit)
    _scale(figure, unit, [found for found in (now, before, observed) if found is not None])
    _mark_missing(figure, now, theme)
    figure.update_yaxes(title_text="σ, ppm", row=3, col=1)
    widest = max(float(found.sigma.max()) for found in (now, before, observed) if found is not None)
    figure.update_yaxes(range=[0.0, 1.08e6 * widest], row=3)
    return _spectrometer_alone(figure) if theme.narrow else figure


# --- panels --------------------------------------------------------------------------------------------------------


def _parts(wavelength: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Panel column and mask (C,) of the photometer and of the spectrometer, where they have channels."""
    short = np.asarray(wavelength) < FGS1_BELOW_UM
    return [(column, part) for column, part in ((1, short), (2, ~short)) if part.any()]


def _panels(found: Spectrum, theme: Theme) -> go.Figure:
    """Rows: lanes of molecules, spectrum, residuals. Columns: photometer, spectrometer."""
    figure = make_subplots(
        rows=3,
        cols=2,
        shared_xaxes="columns",
        shared_yaxes="rows",
        column_widths=[0.09, 0.91],
        row_heights=[0.16, 0.58, 0.26],
        horizontal_spacing=0.015,
        vertical_spacing=0.035,
        specs=[[None, {}], [{}, {}], [{}, {}]],
    )
    low, high = float(np.min(found.wavelength_um)), float(np.max(found.wavelength_um))
    for lane, (name, bands) in enumerate(MOLECULES.items()):
        colour = MOLECULE_COLOURS.get(name, theme.text)
        for start, end in bands:
            start, end = max(start, low), min(end, high)
            if end <= max(start, FGS1_BELOW_UM):
                continue
            figure.add_scatter(
                x=[start, end, end, start, start],
                y=[lane + 0.1, lane + 0.1, lane + 0.9, lane + 0.9, lane + 0.1],
                fill="toself",
                mode="lines",
                line={"width": 0},
                fillcolor=shade(colour, 0.55),
                hoveron="fills",
                hoverinfo="text",
                text=f"{MOLECULE_NAMES.get(name, name)}: {start:.2f}–{end:.2f} µm",
                showlegend=False,
                row=1,
                col=2,
            )
            figure.add_vrect(
                start,
                end,
                fillcolor=colour,
                opacity=0.06,
                line_width=0,
                layer="below",
                exclude_empty_subplots=False,
                row=2,
                col=2,
            )
    figure.update_yaxes(
        range=[len(MOLECULES), 0],
        tickvals=[lane + 0.5 for lane in range(len(MOLECULES))],
        ticktext=[MOLECULE_NAMES.get(name, name) for name in MOLECULES],
        tickfont={"size": 11},
        showgrid=False,
        row=1,
        col=2,
    )
    return figure


def _spectrometer_alone(figure: go.Figure) -> go.Figure:
    """The figure without the photometer's column, as a phone shows it."""
    rows = (2, 3)
    left = [figure.get_subplot(row, 1) for row in rows]
    gone = {axis.plotly_name.replace("axis", "") for one in left for axis in (one.xaxis, one.yaxis)}
    figure.data = [trace for trace in figure.data if trace.xaxis not in gone]
    figure.layout.shapes = [shape for shape in figure.layout.shapes if not {shape.xref, shape.yref} & gone]
    figure.update_xaxes(domain=[0.0, 1.0], col=2)
    for row, before in zip(rows, left, strict=True):
        title, form = before.yaxis.title.text, before.yaxis.tickformat
        figure.update_yaxes(matches=None, showticklabels=True, title_text=title, tickformat=form, row=row, col=2)
    return figure


def _mark_missing(figure: go.Figure, found: Spectrum, theme: Theme) -> None:
    """Grey where no visit has data: the spectrum there is the prior's."""
    missing = ~found.has_data & (found.wavelength_um >= FGS1_BELOW_UM)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(int), [0]])))
    for number, (start, end) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        low, high = float(found.wavelength_um[start]), float(found.wavelength_um[end - 1])
        words = {"annotation_text": "no data", "annotation_position": "bottom left"} if number == 0 else {}
        figure.add_vrect(
            low, high, fillcolor=theme.text, opacity=0.16, line_width=0, layer="below", row=2, col=2, **words
        )


def _scale(figure: go.Figure, unit: str, shown: list[Spectrum]) -> None:
    """Range of depths from the bands and truths; single channels of the fit may lie outside."""
    values = [found.unit(found.mean + sign * 2.6 * found.sigma, unit) for found in shown for sign in (-1, 1)]
    values += [found.unit(found.truth, unit) for found in shown if found.truth is not None]
    low, high = float(np.nanmin(np.concatenate(values))), float(np.nanmax(np.concatenate(values)))
    margin = 0.06 * (high - low)
    figure.update_yaxes(range=[low - margin, high + margin], row=2)


def _axes(figure: go.Figure, found: Spectrum, unit: str) -> None:
    wavelength = np.asarray(found.wavelength_um)
    figure.update_yaxes(title_text=UNIT_TITLES.get(unit, unit), tickformat=",.5~f" if unit != "ppm" else ",.0f", row=2)
    figure.update_yaxes(title_text="", row=2, col=2)
    figure.update_yaxes(title_standoff=6)
    figure.update_xaxes(title_text="wavelength, µm", title_standoff=4, row=3, col=2)
    figure.update_xaxes(ticks="", showticklabels=False, showgrid=False, row=1, col=2)
    figure.update_xaxes(showticklabels=False, ticks="", row=2)
    figure.update_yaxes(ticks="", showgrid=False, row=1, col=2)
    figure.update_yaxes(ticks="", showticklabels=False, col=2, row=2)
    figure.update_yaxes(ticks="", showticklabels=False, col=2, row=3)
    short = wavelength[wavelength < FGS1_BELOW_UM]
    if len(short):
        centre = float(short.mean())
        figure.update_xaxes(range=[centre - 0.05, centre + 0.05], showgrid=False, col=1)
        figure.update_xaxes(tickvals=[centre], ticktext=[f"{centre:.1f}"], row=3, col=1)
    long = wavelength[wavelength >= FGS1_BELOW_UM]
    if len(long):
        margin = 0.02 * (float(long.max() - long.min()) or 1.0)
        figure.update_xaxes(range=[float(long.min()) - margin, float(long.max()) + margin], col=2)


# --- traces --------------------------------------------------------------------------------------------------------


def _edges(found: Spectrum, unit: str, part: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of the band of `width` sigma in the unit: nonlinear units have skewed bands."""
    low, high = (found.unit(found.mean + sign * width * found.sigma, unit)[part] for sign in (-1.0, 1.0))
    return low, high


def _band(
    figure: go.Figure, found: Spectrum, unit: str, column: int, part: np.ndarray, name: str, colour: str, line: str
) -> None:
    """Mean, 1 sigma and 2 sigma; error bars where there is one channel."""
    x, mean = found.wavelength_um[part], found.unit(found.mean, unit)[part]
    hover = f"%{{x:.3f}} µm<br>{name} %{{y:{FORMATS.get(unit, '.4g')}}}%{{customdata}}<extra></extra>"
    text = _hover(found, unit, part)
    if column == 1:
        for width, thickness in ((2.0, 3), (1.0, 8)):
            low, high = _edges(found, unit, part, width)
            figure.add_scatter(
                x=x,
                y=mean,
                mode="markers",
                marker={"color": line, "size": 7},
                legendgroup=name,
                showlegend=False,
                error_y={
                    "type": "data",
                    "array": high - mean,
                    "arrayminus": mean - low,
                    "width": 0,
                    "thickness": thickness,
                    "color": shade(colour, 0.75),
                },
                customdata=text,
                hovertemplate=hover,
                row=2,
                col=1,
            )
        return
    for width, alpha in ((2.0, 0.22), (1.0, 0.38)):
        low, high = _edges(found, unit, part, width)
        figure.add_scatter(
            x=np.concatenate([x, x[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=shade(colour, alpha),
            name=f"{name} ± {width:.0f}σ",
            hoverinfo="skip",
            row=2,
            col=2,
        )
    figure.add_scatter(
        x=x,
        y=mean,
        mode="lines",
        line={"color": line, "width": 2},
        name=f"{name} μ",
        legendgroup=name,
        customdata=text,
        hovertemplate=hover,
        row=2,
        col=2,
    )


def _hover(found: Spectrum, unit: str, part: np.ndarray) -> list[str]:
    """The rest of a channel's hover text: sigma, classical fit, truth."""
    form = FORMATS.get(unit, ".4g")
    low, high = _edges(found, unit, part, 1.0)
    lines = [f" ± {value:{form}}" for value in (high - low) / 2]
    others = [("classical", found.classical_mean), ("truth", found.truth)]
    for name, values in others:
        if values is not None:
            shown = found.unit(values, unit)[part]
            lines = [f"{line}<br>{name} {value:{form}}" for line, value in zip(lines, shown, strict=True)]
    return lines


def _faint(figure: go.Figure, found: Spectrum, unit: str, column: int, part: np.ndarray, theme: Theme) -> None:
    """What was before, grey under the new: mean and 1 sigma band."""
    x = found.wavelength_um[part]
    low, high = _edges(found, unit, part, 1.0)
    shared = {"mode": "lines", "legendgroup": "as it was", "showlegend": False, "hoverinfo": "skip"}
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself", line={"width": 0},
        fillcolor=shade(theme.text, 0.2), row=2, col=column, **shared,
    )  # fmt: skip
    line = {"color": shade(theme.text, 0.6), "width": 1.5}
    figure.add_scatter(x=x, y=found.unit(found.mean, unit)[part], line=line, row=2, col=column, **shared)


def _outline(
    figure: go.Figure, found: Spectrum, unit: str, column: int, part: np.ndarray, name: str, colour: str, dash: str
) -> None:
    """Edges of a 1 sigma band, nothing inside."""
    x = found.wavelength_um[part]
    low, high = _edges(found, unit, part, 1.0)
    gap = [np.nan]
    figure.add_scatter(
        x=np.concatenate([x, gap, x]),
        y=np.concatenate([high, gap, low]),
        mode="markers" if column == 1 else "lines",
        line={"color": colour, "width": 1.5, "dash": dash},
        marker={"color": colour, "symbol": "line-ew-open", "size": 9},
        name=f"{name} ± 1σ",
        legendgroup=name,
        showlegend=column == 2,
        hoverinfo="skip",
        row=2,
        col=column,
    )


def _width(
    figure: go.Figure, found: Spectrum, column: int, part: np.ndarray, name: str, colour: str, dash: str
) -> None:
    """Sigma over wavelength [ppm]."""
    figure.add_scatter(
        x=found.wavelength_um[part],
        y=found.sigma[part] * 1e6,
        mode="markers" if column == 1 else "lines",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"color": colour, "size": 7},
        name=f"σ {name}",
        legendgroup=name,
        showlegend=False,
        hovertemplate=f"%{{x:.3f}} µm<br>σ {name} %{{y:.0f}} ppm<extra></extra>",
        row=3,
        col=column,
    )


def _alone(figure: go.Figure, found: Spectrum, unit: str, column: int, part: np.ndarray, theme: Theme) -> None:
    """The fit of each channel, before any prior."""
    part = part & found.has_data
    depth = found.unit(found.fit_depth, unit)[part]
    high = found.unit(found.fit_depth + found.fit_sigma, unit)[part]
    low = found.unit(found.fit_depth - found.fit_sigma, unit)[part]
    colour = shade(theme.text, 0.35)
    figure.add_scatter(
        x=found.wavelength_um[part],
        y=depth,
        mode="markers",
        marker={"color": colour, "size": 3},
        error_y={
            "type": "data",
            "array": high - depth,
            "arrayminus": depth - low,
            "width": 0,
            "thickness": 0.7,
            "color": shade(theme.text, 0.14),
        },
        name="light curves alone ± 1σ",
        legendgroup="alone",
        showlegend=column == 2,
        hoverinfo="skip",
        row=2,
        col=column,
    )


def _classical(figure: go.Figure, found: Spectrum, unit: str, column: int, part: np.ndarray, theme: Theme) -> None:
    mean = found.unit(found.classical_mean, unit)[part]
    high = found.unit(found.classical_mean + found.classical_sigma, unit)[part]
    low = found.unit(found.classical_mean - found.classical_sigma, unit)[part]
    x = found.wavelength_um[part]
    shared = {"legendgroup": "classical", "hoverinfo": "skip", "row": 2, "col": column}
    if column == 1:
        figure.add_scatter(
            x=x - 0.02,
            y=mean,
            mode="markers",
            marker={"color": theme.classical, "size": 6},
            showlegend=False,
            error_y={
                "type": "data",
                "array": high - mean,
                "arrayminus": mean - low,
                "width": 0,
                "color": theme.classical,
            },
            **shared,
        )
        return
    gap = [np.nan]
    figure.add_scatter(
        x=np.concatenate([x, gap, x]),
        y=np.concatenate([high, gap, low]),
        mode="lines",
        line={"color": shade(theme.classical, 0.55), "width": 1},
        showlegend=False,
        **shared,
    )
    figure.add_scatter(
        x=x,
        y=mean,
        mode="lines",
        line={"color": theme.classical, "width": 1.5, "dash": "dash"},
        name="classical fit ± 1σ",
        **shared,
    )


def _truth(figure: go.Figure, found: Spectrum, unit: str, column: int, part: np.ndarray, theme: Theme) -> None:
    if found.truth is None:
        return
    figure.add_scatter(
        x=found.wavelength_um[part],
        y=found.unit(found.truth, unit)[part],
        mode="markers" if column == 1 else "lines",
        line={"color": theme.ink, "width": 1},
        marker={"color": theme.ink, "symbol": "diamond", "size": 7},
        name="truth",
        legendgroup="truth",
        showlegend=column == 2,
        hoverinfo="skip",
        row=2,
        col=column,
    )


def _residuals(figure: go.Figure, found: Spectrum, column: int, part: np.ndarray, theme: Theme) -> None:
    if found.truth is not None:
        z, name = (found.mean - found.truth) / found.sigma, "(μ − truth)/σ"
    else:
        z, name = (found.mean - found.classical_mean) / found.classical_sigma, "(μ − classical)/σ<sub>c</sub>"
    for width, alpha in ((2, 0.18), (1, 0.3)):
        figure.add_hrect(
            -width,
            width,
            fillcolor=shade(ORANGE, alpha),
            line_width=0,
            layer="below",
            exclude_empty_subplots=False,
            row=3,
            col=column,
        )
    figure.add_scatter(
        x=found.wavelength_um[part],
        y=z[part],
        mode="markers",
        showlegend=False,
        marker={"color": theme.classical, "size": 6 if column == 1 else 4},
        hovertemplate=f"%{{x:.3f}} µm<br>{name} = %{{y:.2f}}<extra></extra>",
        row=3,
        col=column,
    )
    limit = max(3.2, 1.1 * float(np.nanmax(np.abs(z))))
    figure.update_yaxes(range=[-limit, limit], row=3)
