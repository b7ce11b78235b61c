"""One visit on one page: raw images, white curves, residuals, pointing, noise, figures. Arrays in, a figure out."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from ariel_scripts.pages.plots import PPM
from ariel_scripts.palette import BLACK, BLUE, GREEN, ORANGE, RED, SKY

SIZE_IN, DPI = (16.0, 12.0), 100  # 1600 × 1200 px
PIXEL_KINDS = (
    (1, "dead", "x", ORANGE),
    (2, "hot", "^", RED),
    (4, "no calibration", "s", GREEN),
    (8, "saturated", "D", RED),
)
NOT_FOUND = "none found"
SMOOTH_BINS = 5  # time bins averaged in the image of residuals


@dataclass
class RawImage:
    """Mean exposure (row, column) [e-] of a detector and flags (row, column) of bad pixels, and what was summed.

    `centre`: (column,) row of the AIRS trace, or (row, column) of the FGS1 spot. `rings` [px]: edges of the aperture,
    and of the foreground.
    """

    mean: np.ndarray
    flags: np.ndarray
    centre: np.ndarray
    rings: Sequence[float]


@dataclass
class Band:
    """A white light curve (bin,) with its model, relative to the star; `good` marks those that were fitted."""

    name: str
    time: np.ndarray  # h
    flux: np.ndarray
    error: np.ndarray
    model: np.ndarray
    good: np.ndarray
    inside: np.ndarray  # the planet is before the star
    bins: np.ndarray  # their numbers in the visit


@dataclass
class Inspection:
    """Everything that is drawn of one visit.

    time (bin,) [h]; flux, flux_err, valid (bin, channel) [e-/exposure]; white (bin,) of AIRS-CH0; centroid (bin, 4)
    [px]; wavelengths (channel,) [µm]; noise_ratio (channel,) scatter over the stated error. `images`: a raw image, or
    the reason why there is none, by instrument. `table`: rows of cells, with those cells that stand out in `flagged`.
    """

    title: str
    subtitle: str
    parameters: Sequence[tuple[str, str]]
    time: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    valid: np.ndarray
    white: np.ndarray
    centroid: np.ndarray
    wavelengths: np.ndarray
    noise_ratio: np.ndarray
    images: dict[str, RawImage | str]
    bands: Sequence[Band] | str
    table: Sequence[Sequence[str]]
    flagged: set[tuple[int, int]] = field(default_factory=set)


def draw(what: Inspection, said: str = "") -> Figure:
    """The visit in one picture, under its verdict as it was ``said``."""
    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
    figure.suptitle("\n".join([what.title, *textwrap.wrap(said, 190)]), fontsize=11)
    body, foot = figure.subfigures(2, 1, height_ratios=(60, 1), squeeze=False)[:, 0]
    foot.text(0.5, 0.5, what.subtitle, ha="center", va="center", fontsize=9, color="0.35")
    left, right = body.subfigures(1, 2, width_ratios=(10, 6), squeeze=False)[0]
    reasons = [image for image in what.images.values() if isinstance(image, str)]
    bare = len(reasons) == len(what.images)  # no image: one line instead of two boxes
    heights: tuple[float, ...] = (0.4 if bare else 2.4, 3.6, 3.0, 2.2)
    image, curves, map_, pointing = left.subfigures(4, 1, height_ratios=heights, squeeze=False)[:, 0]
    white_curves(curves, what.bands)
    residual_map(map_.subplots(), what)
    centroids(pointing, what.time, what.centroid)
    heights = (3.2, 0.27 * max(len(what.table), 2), 4.0)
    star, table, channels = right.subfigures(3, 1, height_ratios=heights, squeeze=False)[:, 0]
    if bare:
        _write_reason(image.subplots(), " ".join(dict.fromkeys(reasons)))
        facts = star.subplots()
    else:
        spot, facts = star.subplots(1, 2, width_ratios=(5, 4))
        raw_image(image.subplots(), "AIRS-CH0", what.images["AIRS-CH0"], airs_image)
        raw_image(spot, "FGS1", what.images["FGS1"], fgs1_image)
    parameter_list(facts, what.parameters)
    figure_table(table.subplots(), what.table, what.flagged)
    noise(channels, what)
    return figure


# --- raw images ----------------------------------------------------------------------------------------------------


def raw_image(axis: Axes, name: str, image: RawImage | str, draw: Callable[[Axes, RawImage], None]) -> None:
    """An instrument's mean exposure, or why there is none."""
    axis.set_title(f"{name}: mean raw exposure [e⁻]", fontsize=10, loc="left")
    if isinstance(image, str):
        _write_reason(axis, image)
    else:
        draw(axis, image)


def airs_image(axis: Axes, image: RawImage) -> None:
    """AIRS-CH0's mean exposure with the trace, the aperture's edges and the bad pixels."""
    _draw_detector(axis, image, aspect="auto")
    columns = np.arange(image.mean.shape[1])
    aperture, foreground = image.rings
    rim = [withStroke(linewidth=2, foreground=BLACK)]  # white is seen on the dark rows, its rim on the bright ones
    axis.plot(columns, image.centre, color="white", ls="--", lw=1.0, path_effects=rim, label="trace")
    for sign in (-1, 1):
        label = "aperture" if sign > 0 else None
        axis.plot(columns, image.centre + sign * aperture, color="white", lw=1.0, label=label)
        label = "foreground beyond" if sign > 0 else None
        axis.plot(columns, image.centre + sign * foreground, color=SKY, lw=1.0, ls=":", label=label)
    axis.set(xlim=(-0.5, columns[-1] + 0.5), ylim=(-0.5, image.mean.shape[0] - 0.5))
    axis.set_xlabel("dispersion column [px], from the longest wavelength", fontsize=9)
    axis.set_ylabel("row [px]", fontsize=9)
    _legend(axis, ncols=7, dark=True, above=True)


def fgs1_image(axis: Axes, image: RawImage) -> None:
    """FGS1's mean exposure with aperture, annulus and bad pixels."""
    _draw_detector(axis, image, aspect="equal")
    y, x = image.centre
    for radius, colour, style, label in zip(
        image.rings, ("white", SKY, SKY), ("-", ":", ":"), ("aperture", "annulus", None), strict=True
    ):
        axis.add_patch(Circle((x, y), radius, fill=False, ec=colour, ls=style, lw=1.2, label=label))
    axis.plot(x, y, "+", color=BLACK, ms=8)
    axis.set(xlim=(-0.5, image.mean.shape[1] - 0.5), ylim=(-0.5, image.mean.shape[0] - 0.5))
    axis.set_xlabel("column [px]", fontsize=9)
    axis.set_ylabel("row [px]", fontsize=9)
    _legend(axis, ncols=2, dark=True)


def _draw_detector(axis: Axes, image: RawImage, aspect: Literal["auto", "equal"]) -> None:
    """The image on an asinh scale, which shows the wings, and its bad pixels."""
    fine = np.where(image.flags & 1, np.nan, image.mean)
    low, high = np.nanpercentile(fine, [1, 99.8])
    norm = AsinhNorm(max(0.02 * (high - low), 1.0), vmin=low, vmax=max(high, low + 1))
    shown = axis.imshow(image.mean, origin="lower", aspect=aspect, cmap="cividis", norm=norm, interpolation="nearest")
    bar = axis.figure.colorbar(shown, ax=axis, pad=0.01, fraction=0.05)
    bar.set_ticks([low, high], labels=[f"{value:,.0f}" for value in (low, high)])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    left = image.flags.copy()
    for bit, name, marker, colour in PIXEL_KINDS:
        rows, columns = np.nonzero(left & bit)
        left[rows, columns] = 0  # a dead pixel has no flat either: its first reason is enough
        if rows.size:
            filled: dict[str, Any] = {"facecolors": "none"} if marker != "x" else {}
            axis.scatter(
                columns, rows, marker=marker, s=22, color=colour, lw=1.2, label=f"{rows.size} {name}", **filled
            )
    axis.tick_params(labelsize=8)


# --- light curves --------------------------------------------------------------------------------------------------


def white_curves(place: SubFigure, bands: Sequence[Band] | str) -> None:
    """White curves with transit and drift, and what is left [ppm], also in means of a 25th of the visit."""
    if isinstance(bands, str):
        _write_reason(place.subplots(), bands)
        return
    axes = place.subplots(2, len(bands), sharex=True, height_ratios=(2.2, 1), squeeze=False)
    for band, (top, bottom) in zip(bands, axes.T, strict=True):
        time, good = band.time, band.good
        top.errorbar(time[good], band.flux[good], band.error[good], fmt=".", ms=3, lw=0.5, color=SKY, zorder=1)
        top.plot(time, band.model, color=RED, lw=1.6, label="transit × drift")
        top.set_title(band.name, fontsize=10, loc="left")
        residual = np.where(good, (band.flux - band.model) * PPM, np.nan)
        bottom.plot(time, residual, ".", ms=3, color=SKY)
        centre, mean, error = _means(time[good], residual[good], band.error[good] * PPM, 25)
        bottom.errorbar(centre, mean, error, fmt="o", ms=4, lw=1.2, color=BLUE)
        bottom.axhline(0, color=RED, lw=1.2)
        limit = 1.1 * max(np.nanpercentile(np.abs(residual), 99), 3 * np.median(band.error) * PPM)
        bottom.set_ylim(-limit, limit)
        bottom.set_xlabel("time from the first exposure [h]", fontsize=9)
        bottom.set_title(
            f"residual RMS {np.nanstd(residual):,.0f} ppm, errors {np.median(band.error) * PPM:,.0f} ppm",
            fontsize=9,
            loc="left",
        )
        for axis in (top, bottom):
            axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("relative flux", fontsize=9)
    axes[1, 0].set_ylabel("residual [ppm]", fontsize=9)


def _means(time: np.ndarray, values: np.ndarray, error: np.ndarray, parts: int) -> tuple[np.ndarray, ...]:
    """Means of neighbouring points in `parts` groups: times, values, errors."""
    groups = [group for group in np.array_split(np.arange(time.size), parts) if group.size]
    columns = [(time[g].mean(), values[g].mean(), np.sqrt((error[g] ** 2).sum()) / g.size) for g in groups]
    return tuple(np.array(columns).T)


def standardised(what: Inspection) -> tuple[np.ndarray, np.ndarray]:
    """AIRS-CH0's channels over their white curve in units of their errors, means (group, channel) of neighbouring bins.

    And the first bin of each group; NaN: no valid data.
    """
    valid, step = what.valid[:, 1:], SMOOTH_BINS if len(what.time) >= 50 else 1
    relative = what.flux[:, 1:] / what.white[:, None]
    level = np.array([np.median(f[v]) if v.any() else 1.0 for f, v in zip(relative.T, valid.T, strict=True)])
    standard = np.where(valid, (relative - level) * what.white[:, None] / what.flux_err[:, 1:], 0.0)
    edges = np.arange(0, len(standard), step)
    count = np.add.reduceat(valid.astype(float), edges, axis=0)
    summed = np.add.reduceat(standard, edges, axis=0)
    return np.where(count > 0, summed / np.sqrt(np.maximum(count, 1)), np.nan), edges


def residual_map(axis: Axes, what: Inspection) -> None:
    """AIRS-CH0's channels over their white curve, time × wavelength, in units of their errors; grey: no valid data."""
    mean, edges = standardised(what)
    axis.set_facecolor("0.6")
    wavelengths = what.wavelengths[1:]
    half = np.diff(wavelengths) / 2
    rims = np.r_[wavelengths[0] - half[0], wavelengths[:-1] + half, wavelengths[-1] + half[-1]]
    times = np.append(what.time[edges], what.time[-1])
    mesh = axis.pcolormesh(times, rims, mean.T, cmap="PuOr", vmin=-5, vmax=5, rasterized=True)
    bar = axis.figure.colorbar(mesh, ax=axis, pad=0.01, extend="both", fraction=0.05)
    bar.ax.tick_params(labelsize=8)
    averaged = f"means of {SMOOTH_BINS} bins, " if len(edges) < len(what.time) else ""
    title = f"AIRS-CH0 channels over their white curve ({averaged}in units of their error; grey: not valid)"
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel("time from the first exposure [h]", fontsize=9)
    axis.set_ylabel("wavelength [µm]", fontsize=9)
    axis.tick_params(labelsize=8)


def centroids(place: SubFigure, time: np.ndarray, centroid: np.ndarray) -> None:
    """The pointing of both instruments, means of the bins [10⁻³ px]."""
    place.suptitle("centroid, bin means about their median", fontsize=10, x=0.05, ha="left")
    axes = place.subplots(1, 2)
    for axis, name, first in zip(axes, ("FGS1", "AIRS-CH0"), (0, 2), strict=True):
        along = ("rows (y)", "columns (x)") if first == 0 else ("rows (y)", "dispersion")
        for offset, (label, colour, marker) in enumerate(zip(along, (BLUE, ORANGE), (".", "+"), strict=True)):
            axis.plot(time, 1e3 * centroid[:, first + offset], marker, ms=3, color=colour, label=f"along {label}")
        axis.set_title(name, fontsize=10, loc="left")
        axis.set_xlabel("time from the first exposure [h]", fontsize=9)
        axis.tick_params(labelsize=8)
        _legend(axis, ncols=2, above=True)
    axes[0].set_ylabel("shift [10⁻³ px]", fontsize=9)


# --- channels and figures ------------------------------------------------------------------------------------------


def noise(place: SubFigure, what: Inspection) -> None:
    """Scatter of every channel's bins beside its stated error, and the share of its bins that are valid."""
    top, bottom = place.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    level = np.array([np.median(f[v]) if v.any() else np.nan for f, v in zip(what.flux.T, what.valid.T, strict=True)])
    error = np.median(what.flux_err, axis=0) / np.where(level > 0, level, np.nan) * PPM
    measured = what.noise_ratio * error
    x, airs = what.wavelengths[1:], slice(1, None)
    top.plot(x, measured[airs], ".", ms=4, color=BLUE, label="measured scatter")
    top.plot(x, error[airs], color=RED, lw=1.5, label="photon and read noise")
    shown = np.r_[error[airs], measured[airs]]
    if (finite := np.isfinite(shown) & (shown > 0)).any():
        top.set_ylim(0.7 * shown[finite].min(), 1.3 * shown[finite].max())
    top.set_yscale("log")
    top.set_ylabel("noise of a bin [ppm]", fontsize=9)
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    top.yaxis.set_major_formatter("{x:,.0f}")
    top.yaxis.set_minor_formatter(NullFormatter())
    one = f"FGS1: {measured[0]:,.0f}, expected {error[0]:,.0f} ppm"
    top.set_title(f"AIRS-CH0 noise per channel ({one})", fontsize=10, loc="left")
    _legend(top, ncols=2)
    share = what.valid.mean(axis=0)
    bottom.plot(x, 100 * share[airs], drawstyle="steps-mid", color=BLUE, lw=1.2)
    bottom.set_ylim(-5, 105)
    bottom.set_ylabel("valid [%]", fontsize=9)
    bottom.set_xlabel("wavelength [µm]", fontsize=9)
    bottom.set_title(f"valid bins (FGS1: {100 * share[0]:.1f} %)", fontsize=9, loc="left")
    for axis in (top, bottom):
        axis.tick_params(labelsize=8, which="both")
        axis.grid(alpha=0.25)


def parameter_list(axis: Axes, parameters: Sequence[tuple[str, str]]) -> None:
    """What is known of star and planet, a line each."""
    axis.axis("off")
    axis.set_title("star, planet, fit", fontsize=10, loc="left")
    for i, (name, value) in enumerate(parameters):
        y = 0.98 - i * 0.98 / max(len(parameters), 14)
        axis.text(0.0, y, name, fontsize=9, va="top", color="0.35", transform=axis.transAxes)
        missing: dict[str, Any] = {"color": RED, "fontweight": "bold"} if value == NOT_FOUND else {}
        axis.text(0.5, y, value, fontsize=9, va="top", transform=axis.transAxes, **missing)


def figure_table(axis: Axes, rows: Sequence[Sequence[str]], flagged: set[tuple[int, int]]) -> None:
    """The quality figures, the header first; cells that stand out are orange and bold."""
    axis.axis("off")
    run = "run" in rows[0]
    beside = "beside the run's median; orange: stands out from the run" if run else "of the light curves alone"
    axis.set_title(f"quality figures, {beside}", fontsize=10, loc="left")
    widths = [0.44, *[0.56 / (len(rows[0]) - 1)] * (len(rows[0]) - 1)]
    table = axis.table(
        [list(row) for row in rows], colWidths=widths, bbox=Bbox.unit(), cellLoc="right", edges="horizontal"
    )
    table.auto_set_font_size(False)
    for (row, column), cell in table.get_celld().items():
        cell.set_fontsize(8.5)
        cell.set_edgecolor("0.85")
        cell.PAD = 0.02
        if column == 0:
            cell.get_text().set_horizontalalignment("left")
        if row == 0:
            cell.get_text().set_fontweight("bold")
        if rows[0][column] == "run":
            cell.get_text().set_color("0.4")
        if (row, column) in flagged:
            cell.get_text().set(fontweight="bold", color=BLACK)
            cell.get_text().set_bbox({"facecolor": ORANGE, "edgecolor": "none", "pad": 2.0})


def _legend(axis: Axes, ncols: int, dark: bool = False, above: bool = False) -> None:
    """A legend in the lower right corner, or on one line `above` the axes, beside a title on the left."""
    looks: dict[str, Any] = {"facecolor": "0.2", "labelcolor": "white", "edgecolor": "0.2"} if dark else {}
    if above:
        looks |= {"bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
    axis.legend(
        fontsize=7.5,
        ncols=ncols,
        loc="lower right",
        framealpha=0.8,
        borderpad=0.3,
        handlelength=1.4,
        columnspacing=1.0,
        **looks,
    )


def _write_reason(axis: Axes, text: str) -> None:
    """A panel that cannot be drawn says why."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="0.35", wrap=True, transform=axis.transAxes)
