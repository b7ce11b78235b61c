"""The sections of a fit's page."""

from __future__ import annotations

import math

import numpy as np

from ariel_scripts.report.page import Section, Table
from ariel_scripts.report.plots import Figure
from ariel_scripts.report.telescope import figures, noise_figures, orbit_figures
from ariel_scripts.report.text import number
from ariel_scripts.telescope_fit.curves import VisitCurves
from ariel_scripts.telescope_fit.geometry import Geometry, geometry, speed_of_a
from ariel_scripts.telescope_fit.summary import PPM, systematics_text, white_depth, white_depths
from ariel_scripts.telescope_fit.time_averaging import beta
from modeling_ariel.any_telescope.fitting import FitChoices
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.together import TelescopeFit
from modeling_ariel.status import FITTED

MOST_FIGURES = 6  # of visits, one below the other
MOST_ROWS = 60  # of the table of depths
_DAY = 1440.0  # minutes


def make_sections(found: TelescopeFit, orbit: Orbit, choices: FitChoices, curves: list[VisitCurves]) -> list[Section]:
    """All that a fit has something for; light curves and visits also where there is none."""
    sections = [visits(found, curves)]
    if found.status not in FITTED:
        return [*sections, light_curves(curves)]
    sections = [spectrum(found), light_curves(curves), noise(found, curves), orbit_section(found, orbit)]
    sections += [mid_times(found, orbit), systematics(found), limb(found, orbit, choices), visits(found, curves)]
    return sections


def spectrum(found: TelescopeFit) -> Section:
    """Depths as a figure and a table."""
    own = found.spectrum
    whites = [
        [one.instrument, f"{PPM * one.depth:,.0f}", f"{PPM * one.error:,.0f}", f"{one.channels:,}", str(one.visits)]
        for one in white_depths(found)
    ]
    rows = [
        [f"{wave:.4f}" if math.isfinite(wave) else "–", name, number(half, 4), f"{PPM * d:,.1f}", f"{PPM * e:,.1f}"]
        for wave, name, half, d, e in zip(
            own.wavelength, own.instrument, own.half_width, own.depth, own.depth_err, strict=True
        )
    ]
    several = len(rows) > 1  # a single depth is in the table
    shown = [figures.spectrum_figure(found), figures.correlation_figure(found)] if several else []
    step = -(-len(rows) // MOST_ROWS)
    return Section(
        "spectrum",
        {
            "white": Table(["", "white depth, ppm", "±", "channels", "visits"], whites),
            "depths": Table(["wavelength, µm", "instrument", "half width, µm", "depth, ppm", "±"], rows[::step]),
            "step": step,
            "figures": [one for one in shown if one is not None],
        },
    )


def light_curves(curves: list[VisitCurves]) -> Section:
    """A figure of each visit."""
    channels = figures.shown_channels(curves)
    drawn = [figures.curve_figure(one, some) for one, some in zip(curves, channels, strict=True)]
    return Section("curves", {"figures": _few(drawn, "Light curves")})


def _few(drawn: list[Figure], title: str) -> list[Figure]:
    """Figures of visits, or where they are many one to choose from."""
    if len(drawn) <= MOST_FIGURES:
        return drawn
    variants = {
        one.title if name == "white" else f"{one.title}, {name}": variant
        for one in drawn
        for name, variant in one.variants.items()
    }
    return [Figure(title, drawn[0].caption, variants, drawn[0].height, "visit")]


def noise(found: TelescopeFit, curves: list[VisitCurves]) -> Section:
    """Allan plots, β, and a table of both."""
    allan = [noise_figures.allan_figure(one) for one in curves if np.isfinite(one.middle)]
    drawn = [*_few([one for one in allan if one is not None], "Allan plots"), noise_figures.beta_figure(curves)]
    rows = []
    for visit, one in zip(found.visits, curves, strict=True):
        if not np.isfinite(one.middle):
            continue
        white = one.white
        value, error = beta(white.residual, one.time, one.ingress)
        rows.append(
            [
                one.name,
                f"{PPM * float(np.nanstd(white.residual)):,.0f}",
                f"{PPM * float(np.nanmedian(white.error)):,.0f}",
                "–" if math.isnan(value) else f"{value:.2f} ± {error:.2f}",
                f"{PPM * float(visit.fit.jitter_rms[0]):,.0f}",
                f"{float(visit.fit.beta[0]):.2f}",
            ]
        )
    head = ["visit", "white residuals, ppm", "expected, ppm", "β", "with memory, ppm", "error wider by"]
    return Section("noise", {"noise": Table(head, rows), "figures": [one for one in drawn if one is not None]})


def orbit_section(found: TelescopeFit, orbit: Orbit) -> Section:
    """Geometry of each visit, and of all together."""
    every = {visit.observation.name: geometry(visit, orbit) for visit in found.visits}
    known: dict[str, Geometry] = {name: one for name, one in every.items() if one is not None}
    rows = [[name, *(_interval(one, place) for place in (1, 2, 3))] for name, one in known.items()]
    if len(known) > 1:
        b2, log_speed = found.shape
        b2_err, log_err = np.sqrt(np.diagonal(found.shape_covariance))
        unit = speed_of_a(orbit)
        speed = math.exp(log_speed) / (unit if math.isfinite(unit) else 1.0)
        b = math.sqrt(max(float(b2), 0.0))
        b_text = f"{b:.3f} ± {b2_err / (2 * b):.3f}" if b2 > 2 * b2_err else f"b² {b2:.4f} ± {b2_err:.4f}"
        rows.append(["all together", b_text, f"{speed:.3f} ± {speed * log_err:.3f}", "–"])
    names = next(iter(known.values())).names
    head = ["visit", *names[1:]]
    return Section(
        "orbit",
        {"geometry": Table(head, rows), "several": len(known) > 1, "figures": [orbit_figures.corner_figure(known)]},
    )


def _interval(one: Geometry, place: int) -> str:
    middle, down, up = one.interval(place)
    digits = 0 if place == 3 else 3
    value, low, high = f"{middle:,.{digits}f}", f"{down:,.{digits}f}", f"{up:,.{digits}f}"
    return f"{value} ± {high}" if abs(up - down) < 0.2 * max(up, down) else f"{value} +{high} −{low}"


def mid_times(found: TelescopeFit, orbit: Orbit) -> Section:
    """Mid-transits as a table, and against an ephemeris."""
    zeros = {visit.observation.name: visit.observation.bjd0 for visit in found.visits}
    rows = []
    for one in found.times:
        unit = _DAY if zeros.get(one.visit) is not None else 60.0
        when = f"{one.time:.6f}" if unit == _DAY else f"{one.time:.4f} h"
        rows.append([one.visit, str(one.number), when, number(unit * one.error, 2), number(unit * one.late, 2)])
    unit_text = ", BJD_TDB" if all(zeros.get(one.visit) is not None for one in found.times) else ""
    head = ["visit", "epoch", f"mid-transit{unit_text}", "±, min", "observed − calculated, min"]
    drawn = orbit_figures.times_figure(found, orbit)
    return Section("times", {"times": Table(head, rows), "figures": [] if drawn is None else [drawn]})


def systematics(found: TelescopeFit) -> Section:
    """What was tried, and what was taken."""
    taken = {visit.observation.name: systematics_text(visit) for visit in found.visits if visit.fit.status[0] in FITTED}
    drawn = orbit_figures.systematics_figure(found)
    return Section("systematics", {"taken": taken, "figures": [] if drawn is None else [drawn]})


def limb(found: TelescopeFit, orbit: Orbit, choices: FitChoices) -> Section:
    """Coefficients of each visit that has a fit."""
    fitted = [visit for visit in found.visits if visit.fit.status[0] in FITTED]
    white = [visit for visit in fitted if visit.observation.shape[1] == 1]
    others = [visit for visit in fitted if visit.observation.shape[1] > 1]
    rows = []
    for visit in white:
        mean, sigma = orbit_figures.limb_prior(visit, orbit, choices)
        both = zip(visit.fit.limb_darkening[0, :, 0].tolist(), mean[:, 0], sigma[:, 0], strict=True)
        rows.append(
            [visit.observation.name, *(text for u, m, s in both for text in (f"{u:.3f}", f"{m:.3f} ± {s:.3f}"))]
        )
    data = {
        "white": Table(["visit", "u₁", "prior", "u₂", "prior"], rows) if rows else None,
        "figures": [orbit_figures.limb_figure(others, orbit, choices)] if others else [],
    }
    return Section("limb", data)


def visits(found: TelescopeFit, curves: list[VisitCurves]) -> Section:
    """Each visit with its status and notes."""
    rows = []
    for visit, one in zip(found.visits, curves, strict=True):
        observation, fit = visit.observation, visit.fit
        times, channels = observation.shape
        fitted = fit.status[0] in FITTED
        depth, error = white_depth(fit.depth[0].numpy(), fit.covariance[0].numpy())
        text = f"{PPM * depth:,.0f} ± {PPM * error:,.0f}" if fitted else "–"
        span = float(one.time[-1] - one.time[0])
        size = [f"{times:,} × {channels:,}", f"{span:.2f}"]
        rows.append([one.name, observation.instrument or "–", fit.status[0], *size, text])
    head = ["visit", "instrument", "fit", "times × channels", "hours", "white depth, ppm"]
    notes = {visit.observation.name: visit.fit.notes[0].split("; ") for visit in found.visits if visit.fit.notes[0]}
    return Section("visits", {"visits": Table(head, rows), "notes": notes})
