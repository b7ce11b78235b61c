"""Figures of a fit's orbit, systematics and limb darkening."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ariel_scripts.report.plots import Array, Figure, Trace, axis_of, colour, label, line_of, packed
from ariel_scripts.report.telescope.figures import error_bars, marker_style, wavelength_axis
from ariel_scripts.telescope_fit.geometry import Geometry
from modeling_ariel.any_telescope.fitting import FitChoices, VisitFit
from modeling_ariel.any_telescope.limb_darkening import FREE, LimbDarkening
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.together import TelescopeFit
from modeling_ariel.limb_darkening import limb_darkening_prior

_DOTS = 500  # of a panel
_BINS = 40
_BARS = 10  # models of systematics
_MAP = 24  # cells of a panel's density
_INSIDE = (0.39347, 0.86466)  # of a Gaussian in two dimensions, within 1 and 2 sigma


def corner_figure(found: dict[str, Geometry]) -> Figure:
    """Each pair of geometry's parameters, a variant for each visit."""
    caption = (
        "Dots: samples of the posterior; lines: within 1 σ and 2 σ of a Gaussian's probability (39 % and 86 %). "
        "b ends at 0, where a Gaussian of b² is cut. Orbit and limb darkening are marginalised in the depth; it is the "
        "mean of the visit's channels."
    )
    return Figure("Orbit and depth", caption, {name: _corner(one) for name, one in found.items()}, 620, "visit")


def _corner(one: Geometry) -> dict[str, Any]:
    size = len(one.names)
    data: list[Trace] = []
    layout: dict[str, Any] = {"showlegend": False, "bargap": 0}
    width, gap = 1.0 / size, 0.04
    low, high = np.quantile(one.samples, [0.001, 0.999], axis=0)
    for row in range(size):
        for column in range(row + 1):
            number = row * size + column + 1
            x, y = f"x{number}", f"y{number}"
            across = [column * width + gap / 2, (column + 1) * width - gap / 2]
            up = [1.0 - (row + 1) * width + gap / 2, 1.0 - row * width - gap / 2]
            bottom, left = row == size - 1, column == 0
            corner = bottom and column == row  # where the labels of a narrow page meet
            extent = [float(low[column]), float(high[column])]
            layout[f"xaxis{number}"] = axis_of(
                one.names[column] if bottom else "", domain=across, anchor=y, range=extent, nticks=2 + (not corner),
                tickangle=0,
                showticklabels=bottom, exponentformat="none", separatethousands=True,
            )  # fmt: skip
            layout[f"yaxis{number}"] = axis_of(
                one.names[row] if left and row else "", domain=up, anchor=x, nticks=4,
                showticklabels=left and row > 0, exponentformat="none", separatethousands=True,
            )  # fmt: skip
            axes = {"xaxis": x, "yaxis": y}
            if row == column:
                data.append(_histogram(one.samples[:, row], extent) | axes)
                continue
            layout[f"yaxis{number}"]["range"] = [float(low[row]), float(high[row])]
            pair = one.samples[:, [column, row]]
            dots = {"x": packed(pair[:_DOTS, 0]), "y": packed(pair[:_DOTS, 1]), "mode": "markers", "hoverinfo": "skip"}
            data.append(dots | {"marker": {"color": colour(0, 0.3), "size": 3}} | axes)
            data += [trace | axes for trace in _contours(pair, low[[column, row]], high[[column, row]])]
    return {"data": data, "layout": layout}


def _histogram(values: Array, extent: list[float]) -> Trace:
    counts, edges = np.histogram(values, _BINS, (extent[0], extent[1]))
    middle = 0.5 * (edges[1:] + edges[:-1])
    style = {"type": "bar", "marker": {"color": colour(0, 0.6), "line": {"width": 0}}, "width": edges[1] - edges[0]}
    return {"x": packed(middle), "y": packed(counts), "hoverinfo": "skip", **style}


def _contours(pair: Array, low: Array, high: Array) -> list[Trace]:
    """Lines that hold the shares of samples that 1 and 2 sigma of a Gaussian do."""
    counts, x, y = np.histogram2d(pair[:, 0], pair[:, 1], _MAP, [(low[0], high[0]), (low[1], high[1])])
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in (0, 1):
        for _ in range(2):
            counts = np.apply_along_axis(np.convolve, axis, counts, kernel, "same")
    ordered = np.sort(counts.ravel())[::-1]
    summed = np.cumsum(ordered) / ordered.sum()
    found = []
    for share in _INSIDE:
        level = float(ordered[np.searchsorted(summed, share)])
        found.append(
            {
                "type": "contour", "x": packed(0.5 * (x[1:] + x[:-1])), "y": packed(0.5 * (y[1:] + y[:-1])),
                "z": packed(counts.T), "contours": {"type": "constraint", "operation": "=", "value": level},
                "showscale": False, "hoverinfo": "skip", "line": {"color": colour(1), "width": 1.5},
            }
        )  # fmt: skip
    return found


def times_figure(found: TelescopeFit, orbit: Orbit) -> Figure | None:
    """How late transits are; None without an ephemeris."""
    known = [one for one in found.times if math.isfinite(one.late)]
    if not known or not math.isfinite(orbit.period):
        return None
    zeros = {visit.observation.name: visit.observation.bjd0 for visit in found.visits}
    unit = [1440.0 if zeros.get(one.visit) is not None else 60.0 for one in known]
    late = np.array([scale * one.late for scale, one in zip(unit, known, strict=True)])
    error = np.array([scale * one.error for scale, one in zip(unit, known, strict=True)])
    number = np.array([one.number for one in known])
    line = np.arange(min(number.min(), 0), max(number.max(), 0) + 1)
    wide = unit[0] * np.hypot(np.nan_to_num(orbit.t0_err), line * orbit.period_err)
    band: Trace = {
        "x": packed(np.concatenate([line, line[::-1]])), "y": packed(np.concatenate([wide, -wide[::-1]])),
        "fill": "toself", "mode": "none", "fillcolor": colour(1, 0.18), "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    points: Trace = {
        "x": packed(number), "y": packed(late), "error_y": error_bars(error), "mode": "markers",
        "marker": marker_style(0, 7), "text": [label(one.visit) for one in known], "showlegend": False,
        "hovertemplate": "%{text}: %{y:.2f} min<extra></extra>",
    }  # fmt: skip
    zero = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0}
    whole = {"tickformat": "d", "nticks": 8, "range": [float(line[0]) - 0.5, float(line[-1]) + 0.5]}
    layout = {
        "xaxis": axis_of("epoch since t0", **whole),
        "yaxis": axis_of("observed − calculated, min"),
        "shapes": [zero | {"line": {"color": "§muted", "width": 1}}],
    }
    caption = "Bars: 1 σ of the mid-times. Shaded: 1 σ of the ephemeris as given." if wide.max() > 0 else "Bars: 1 σ."
    return Figure("Mid-times against the ephemeris", caption, {"": {"data": [band, points], "layout": layout}}, 320)


def systematics_figure(found: TelescopeFit) -> Figure | None:
    """Shares of the evidence, a variant for each visit; None where nothing was compared."""
    compared = [visit for visit in found.visits if len(visit.tried) > 1]
    if not compared:
        return None
    variants = {}
    for visit in compared:
        best = [one for one in visit.tried[:_BARS] if math.isfinite(one.evidence)][::-1]
        top = max((one.evidence for one in best), default=0.0)
        data = [
            {
                "type": "bar", "orientation": "h", "x": [100.0 * one.share for one in best],
                "y": [label(one.systematics.name) for one in best],
                "text": [f"{100 * one.share:.1f} %, ln Z {one.evidence - top:+.1f}".replace("-", "−") for one in best],
                "textposition": "outside", "cliponaxis": False, "marker": {"color": colour(0)}, "hoverinfo": "skip",
            }
        ]  # fmt: skip
        layout = {
            "xaxis": axis_of("share of the evidence, %", range=[0, 130], tickvals=[0, 20, 40, 60, 80, 100]),
            "yaxis": {"automargin": True},
        }
        variants[visit.observation.name] = {"data": data, "layout": layout}
    most = max(min(len(visit.tried), _BARS) for visit in compared)
    caption = "By the evidence of the white light curve, noise with memory allowed. ln Z counts from the best."
    return Figure("Systematics that were tried", caption, variants, 120 + 32 * most, "visit")


# --- limb darkening ------------------------------------------------------------------------------------------------


def limb_figure(visits: list[VisitFit], orbit: Orbit, choices: FitChoices) -> Figure:
    """u1 and u2 along wavelength beside their prior, a variant for each visit."""
    variants = {visit.observation.name: _limb(visit, orbit, choices) for visit in visits}
    given = isinstance(choices.limb, LimbDarkening)
    what = "the table's" if given else "wide, as the light curves are to tell it" if choices.limb else "the fit's own"
    caption = f"Points: quadratic coefficients as fitted. Band: the prior, 1 σ: {what}. The depths marginalise them."
    return Figure("Limb darkening against its prior", caption, variants, 420, "visit")


def limb_prior(visit: VisitFit, orbit: Orbit, choices: FitChoices) -> tuple[Array, Array]:
    """Mean and standard deviation (2, C) of u1, u2 before the light curves."""
    observation = visit.observation
    if isinstance(choices.limb, LimbDarkening):
        return choices.limb.of(observation)
    wavelength = torch.as_tensor(observation.wavelength).nan_to_num(0.7)
    mean, basis, sigma = limb_darkening_prior(wavelength, orbit.star["Ts"], photometer=False)
    wide = torch.einsum("lac,l->ac", basis**2, sigma**2).sqrt()
    return mean[0].numpy(), np.full_like(mean[0].numpy(), FREE) if choices.limb else wide.numpy()


def _limb(visit: VisitFit, orbit: Orbit, choices: FitChoices) -> dict[str, Any]:
    wavelength = np.nan_to_num(visit.observation.wavelength, nan=0.7)
    mean, sigma = limb_prior(visit, orbit, choices)
    found = visit.fit.limb_darkening[0].numpy()
    data: list[Trace] = []
    layout: dict[str, Any] = {"xaxis": wavelength_axis(wavelength) | {"anchor": "y2"}, "showlegend": False}
    for row, name in enumerate(("u₁", "u₂")):
        axis = f"y{row + 1 if row else ''}"
        domain = [0.54, 1.0] if row == 0 else [0.0, 0.46]
        layout[f"yaxis{row + 1 if row else ''}"] = axis_of(name, domain=domain, anchor="x")
        low, high = mean[row] - sigma[row], mean[row] + sigma[row]
        data += [
            {
                "x": packed(np.concatenate([wavelength, wavelength[::-1]])),
                "y": packed(np.concatenate([low, high[::-1]])), "fill": "toself", "mode": "none",
                "fillcolor": colour(1, 0.2), "hoverinfo": "skip", "yaxis": axis,
            },
            line_of(wavelength, mean[row], yaxis=axis, hoverinfo="skip", line={"color": colour(1), "width": 1.5}),
        ]  # fmt: skip
        data.append(
            {
                "x": packed(wavelength), "y": packed(found[row]), "yaxis": axis, "mode": "markers",
                "marker": marker_style(0, 5), "hovertemplate": f"%{{x:.4g}} µm: {name} %{{y:.3f}}<extra></extra>",
            }
        )  # fmt: skip
    return {"data": data, "layout": layout}
