"""Figures of a run, arrays in, a Matplotlib figure out: calibration steps, light curves, spectra with their bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from ariel_scripts.palette import BLACK, BLUE, ORANGE, RED, SKY
from modeling_ariel.scoring import BANDS

PPM = 1e6


def calibration_steps(images: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """One detector image (row, dispersion column) a step, masked pixels red, on an asinh scale that shows the wings."""
    figure = Figure(figsize=(11, 1.35 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, image) in zip(axes, images, strict=True):
        finite = image[np.isfinite(image)]
        low, middle, high = np.percentile(finite, [0.5, 50, 99.5])
        norm = AsinhNorm(max(middle - low, 1e-3 * (high - low)), vmin=low, vmax=high)
        colours = colormaps["cividis"].with_extremes(bad=RED)
        shown = axis.imshow(image, aspect="auto", origin="lower", cmap=colours, norm=norm, interpolation="nearest")
        axis.set_title(title, fontsize=9, loc="left", pad=2)
        axis.set_ylabel("row", fontsize=8)
        bar = figure.colorbar(shown, ax=axis, pad=0.01)
        bar.set_ticks([low, high], labels=[f"{value:.0f}" for value in (low, high)], minor=False)
        bar.minorticks_off()
    axes[-1].set_xlabel("dispersion column, from the longest wavelength")
    return figure


def light_curves(
    time: np.ndarray, curves: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], title: str
) -> Figure:
    """Curves as (name, flux [T], model [T], error [T]) with residuals in ppm below; time in hours."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(2, len(curves), sharex=True, height_ratios=(3, 1), squeeze=False)
    for (name, flux, model, error), (top, bottom) in zip(curves, axes.T, strict=True):
        level = np.nanmax(model)  # out of transit
        top.errorbar(time, flux / level, error / level, fmt=".", ms=2, lw=0.4, color=SKY, zorder=1)
        top.plot(time, model / level, color=RED, lw=1.4, zorder=2)
        top.set_title(name, fontsize=9)
        residual = (flux - model) / level * PPM
        bottom.plot(time, residual, ".", ms=2, color=BLUE)
        bottom.axhline(0, color=RED, lw=1)
        bottom.set_xlabel("h from the first exposure")
        bottom.set_title(f"scatter {np.nanstd(residual):.0f} ppm", fontsize=8, pad=2)
    axes[0, 0].set_ylabel("relative flux")
    axes[1, 0].set_ylabel("residual, ppm")
    return figure


def residual_images(time: np.ndarray, wavelengths: np.ndarray, images: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Time × wavelength images in ppm (channel in rows), side by side on one scale."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    axes = figure.subplots(1, len(images), sharey=True, squeeze=False)[0]
    limit = float(np.nanpercentile(np.abs(images[0][1]), 98))
    for axis, (title, image) in zip(axes, images, strict=True):
        shown = axis.pcolormesh(time, wavelengths, image.T, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("h from the first exposure")
    axes[0].set_ylabel("wavelength, µm")
    figure.colorbar(shown, ax=list(axes), label="ppm", pad=0.01)
    return figure


def spectra(
    wavelengths: np.ndarray,
    fit: tuple[np.ndarray, np.ndarray],
    posteriors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    truth: np.ndarray | None,
    title: str,
) -> Figure:
    """Depth over wavelength, a panel for each named posterior: per-channel fit, 1σ and 2σ bands, truth, residuals."""
    figure = Figure(figsize=(3 + 8 * len(posteriors), 4.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    rows, columns = 1 if truth is None else 2, 2 * len(posteriors)
    axes = figure.subplots(
        rows, columns, sharex="col", width_ratios=(1, 14) * len(posteriors), height_ratios=(3, 1)[:rows], squeeze=False
    )
    for number, (name, posterior) in enumerate(posteriors.items()):
        pair = axes[:, 2 * number : 2 * number + 2]
        _posterior_panels(pair, wavelengths, fit, posterior, truth)
        pair[0, 1].set_title(name, fontsize=10)
        if number:
            pair[0, 0].tick_params(labelleft=False)
    axes[0, 0].set_ylabel("transit depth, ppm")
    axes[0, 1].legend(fontsize=8, ncols=4, loc="lower right")
    _same_scale(axes[0], list(posteriors.values()), truth)
    return figure


def _posterior_panels(
    axes: np.ndarray,
    wavelengths: np.ndarray,
    fit: tuple[np.ndarray, np.ndarray],
    posterior: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray | None,
) -> None:
    """FGS1 and AIRS of one posterior, with the residuals below where the truth is known."""
    (depth, depth_err), (mean, sigma) = fit, posterior
    for column, part in enumerate((slice(0, 1), slice(1, None))):
        _spectrum_panel(axes[0, column], wavelengths[part], (depth[part], depth_err[part]), (mean[part], sigma[part]))
        if truth is None:
            continue
        mark = "o" if part.stop else "-"
        axes[0, column].plot(wavelengths[part], truth[part] * PPM, mark, ms=4, lw=1.2, color=BLACK, label="truth")
        axes[1, column].axhspan(-2, 2, color=ORANGE, alpha=0.2, lw=0)
        axes[1, column].plot(wavelengths[part], (mean - truth)[part] / sigma[part], ".", ms=4, color=BLUE)
        axes[1, column].set_ylim(-4.5, 4.5)
    if truth is not None:
        axes[1, 0].set_ylabel("(μ − truth)/σ")
        axes[1, 1].tick_params(labelleft=False)
    axes[0, 0].set_title("FGS1", fontsize=9)
    axes[-1, 1].set_xlabel("wavelength, µm")
    axes[-1, 0].set_xticks([wavelengths[0]], [f"{wavelengths[0]:.2f}"])


def _spectrum_panel(
    axis: Axes, wavelengths: np.ndarray, fit: tuple[np.ndarray, np.ndarray], posterior: tuple[np.ndarray, np.ndarray]
) -> None:
    depth, depth_err = (values * PPM for values in fit)
    mean, sigma = (values * PPM for values in posterior)
    axis.errorbar(
        wavelengths, depth, depth_err, fmt=".", ms=2.5, lw=0.5, color="0.65", label="per-channel fit ± 1σ", zorder=1
    )
    if len(wavelengths) == 1:
        axis.errorbar(wavelengths, mean, 2 * sigma, fmt="s", ms=4, lw=2, color=ORANGE, zorder=2)
        axis.margins(x=1)
        return
    axis.fill_between(
        wavelengths, mean - 2 * sigma, mean + 2 * sigma, color=ORANGE, alpha=0.25, lw=0, label="posterior ± 2σ"
    )
    axis.fill_between(wavelengths, mean - sigma, mean + sigma, color=ORANGE, alpha=0.5, lw=0, label="posterior ± 1σ")
    axis.plot(wavelengths, mean, color=RED, lw=1.2, zorder=3)
    for name, (start, end) in BANDS.items():
        if end < wavelengths[0] or "continuum" in name:
            continue
        axis.axvspan(start, end, color="0.93", lw=0, zorder=0)
        axis.text(
            (start + end) / 2,
            0.98,
            name.split()[0],
            transform=axis.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=8,
        )
    axis.tick_params(labelleft=False)


def _same_scale(
    axes: np.ndarray, posteriors: Sequence[tuple[np.ndarray, np.ndarray]], truth: np.ndarray | None
) -> None:
    values = [truth] if truth is not None else []
    for mean, sigma in posteriors:
        values += [mean - 3 * sigma, mean + 3 * sigma]
    low, high = np.concatenate(values).min() * PPM, np.concatenate(values).max() * PPM
    for axis in axes:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
