"""What the page of one visit shows, gathered from its row, the run's report and the raw frames, and fitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ariel_scripts.opening.datasets import wavelengths_of
from ariel_scripts.pages.inspection import NOT_FOUND, Band, Inspection, RawImage
from hf_dataset.folders import Folder
from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import AIRS, FGS1, INSTRUMENTS, RawVisit
from hf_dataset.reduction import calibration, extraction, quality
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.card import read_wavelengths
from hf_dataset.store.rows import DamagedDataset, find_row
from hf_dataset.store.verify import recorded_root
from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.visit_data import RetrievalError, band_curves, prepare_visit
from modeling_ariel.white_light import WhiteFit, baseline_polynomials, white_model
from modeling_ariel.white_stage import band_limb_darkening, fit_white

STAR = (
    ("Rs", "R☉"),
    ("Ms", "M☉"),
    ("Ts", "K"),
    ("Mp", "M_J"),
    ("P", "d"),
    ("sma", "R★"),
    ("i", "°"),
    ("e", ""),
)
Row = Mapping[str, Any]  # of the dataset


def gather(dataset: Folder, planet: int, visit: int, root: Path | None) -> Inspection:
    """The visit's `Inspection`; without its raw frames where they are not at hand."""
    entry, run = read_report(dataset, planet, visit)
    try:
        split, row = find_row(dataset, planet, visit)
    except DamagedDataset:
        raise
    except ValueError as absent:
        if "error" in entry:
            raise ValueError(f"{dataset}: planet {planet} visit {visit} was left out: {entry['error']}") from absent
        raise
    flux, error = (np.asarray(row[name], np.float64) for name in ("flux", "flux_err"))
    time, valid, centroid = (np.asarray(row[name]) for name in ("time", "valid", "centroid"))
    try:
        wavelengths = read_wavelengths(dataset)
    except (OSError, ValueError):  # no card
        wavelengths = wavelengths_of(str(dataset), row["layout"])
    white = quality.white_curve(flux[:, 1:], error[:, 1:], valid[:, 1:])
    bands, said = fit_white_curves(row, wavelengths)
    report = entry.get("report", {})
    if not report:  # rows that no build has reported: what the light curves themselves tell
        parts = {FGS1: slice(0, 1), AIRS: slice(1, None)}
        found = {
            name: quality.light_curve_figures(time, flux[:, at], error[:, at], valid[:, at])
            for name, at in parts.items()
        }
        report = {"quality": found}
    table, flagged = figure_rows(report, run)
    source = root or recorded_root(dataset)
    return Inspection(
        title=f"planet {planet}, visit {visit} ({split})",
        subtitle=f"{dataset}   {row['layout']} layout, {len(time)} bins   raw frames: {source or 'not at hand'}",
        parameters=[*star_lines(row), *said],
        time=time,
        flux=flux,
        flux_err=error,
        valid=valid,
        white=np.where(white.good & (white.flux > 0), white.flux, 1.0),
        centroid=centroid,
        wavelengths=wavelengths,
        noise_ratio=quality.scatter_over_error(flux, error, valid),
        images=raw_images(source, planet, visit, row),
        bands=bands,
        table=table,
        flagged=flagged,
    )


# --- raw frames ----------------------------------------------------------------------------------------------------


def raw_images(root: Path | None, planet: int, visit: int, row: Row) -> dict[str, RawImage | str]:
    """Mean exposures of both detectors, or why there are none."""
    if root is None:
        reason = "No raw images: the raw folder is not at hand; --root gives it, if there is one."
        return dict.fromkeys(INSTRUMENTS, reason)
    images: dict[str, RawImage | str] = {}
    try:
        folder = layouts.open_folder(root)
        splits = [split for split in folder.splits if planet in folder.planets(split)]
        if not splits:
            return dict.fromkeys(INSTRUMENTS, f"{root}: expected planet {planet}, found none.")
        one = folder.visit(splits[0], planet, visit)
    except (ValueError, OSError) as error:
        return dict.fromkeys(INSTRUMENTS, str(error))
    for instrument in INSTRUMENTS:
        try:
            images[instrument] = raw_image(one, instrument, options_of(row))
        except (ValueError, OSError) as error:
            images[instrument] = str(error)
    one.close()
    return images


def options_of(row: Row) -> ReductionOptions:
    """The settings that the row was made with, as far as this version knows them."""
    known = {one.name for one in fields(ReductionOptions)}
    try:
        logged = json.loads(row["calibration"])["options"]
        return ReductionOptions(**{name: value for name, value in logged.items() if name in known})
    except (ValueError, KeyError, TypeError, AttributeError):
        return ReductionOptions()


def raw_image(visit: RawVisit, instrument: str, options: ReductionOptions) -> RawImage:
    """Mean exposure [e-] of the whole detector, a few rows in memory at a time, with trace or spot and bad pixels."""
    n_rows, n_columns = visit.shape(instrument)
    n = visit.n_frames(instrument) // 2 * 2
    gain = visit.adc(instrument)[0]
    mean, often = np.empty((n_rows, n_columns)), np.empty((n_rows, n_columns))
    for first in range(0, n_rows, 4):
        rows = range(first, min(first + 4, n_rows))
        counts = visit.read(instrument, rows, range(n_columns))[:n]
        mean[rows] = counts[1::2].mean(axis=0) - counts[0::2].mean(axis=0)
        often[rows] = (counts >= options.saturation).mean(axis=0)
    mean *= gain if options.adc == "multiply" else 1 / gain
    frames, (start, end) = visit.calibration(instrument), visit.integration(instrument)
    flags = calibration.find_bad_pixels(frames, options.hot_sigma, options.min_flat, options.hot_noise, end - start)
    flags = flags | np.where(often > 0.005, np.uint8(calibration.Pixel.SATURATED), np.uint8(0))
    good = flags == 0
    if instrument == AIRS:
        centre = extraction.trace_centre(mean, good)
        return RawImage(mean, flags, centre, (options.airs_half_width, options.foreground_inner))
    spot = np.array(extraction.centre_of_light(mean, good))
    return RawImage(mean, flags, spot, (options.fgs1_radius, *options.fgs1_annulus))


# --- the fit -------------------------------------------------------------------------------------------------------


def fit_white_curves(row: Row, wavelengths: np.ndarray) -> tuple[list[Band] | str, list[tuple[str, str]]]:
    """White FGS1 and AIRS curves with a transit and a drift each, and the fit in words."""
    settings = FitSettings()
    try:
        time, flux, error, valid = (
            torch.as_tensor(np.array(row[name])) for name in ("time", "flux", "flux_err", "valid")
        )
        data = prepare_visit(time, flux, error, valid)
        star = {name: torch.tensor([float(row[name])], dtype=torch.float64) for name in STAR_IN_FIT}
        solutions, model = fit_white(data, star, torch.as_tensor(wavelengths), settings)
    except RetrievalError as refusal:
        return f"no white curve: {refusal}", []
    fit, prior, u = solutions.rows(torch.tensor([0])), model.prior, band_limb_darkening(data, model)
    y, sigma, good = band_curves(data)
    own = torch.cat([fit.depth[..., None], fit.limb, torch.zeros_like(fit.depth)[..., None], fit.baseline], -1)
    parameters = torch.cat([fit.shape, own.flatten(1)], -1)
    baseline = baseline_polynomials(data.time, len(settings.drift_sigma))
    curve = white_model(data.time, data.width, parameters, u, prior, baseline)[0]
    own[..., 3:] = 0.0  # neither level nor drift: the transit alone
    alone = white_model(
        data.time, data.width, torch.cat([fit.shape, own.flatten(1)], -1), u, prior, baseline
    )[0]  # fmt: skip
    inside = (alone[0] < 1.0 - 1e-9).numpy()
    kept = data.kept.numpy()
    bins = np.arange(len(time))[kept]
    bands, hours = [], time.double().numpy()[kept]
    for i, name in enumerate(("FGS1", "AIRS-CH0, all channels")):
        one, at = curve[0, i].numpy(), good[0, i].numpy()
        level = float(np.median(y[0, i].numpy()[at] / one[at])) if at.any() else 1.0
        bands.append(Band(name, hours, y[0, i].numpy() / level, sigma[0, i].numpy() / level, one, at, inside[i], bins))
    return bands, fit_lines(fit, data.origin)


def fit_lines(fit: WhiteFit, origin: float) -> list[tuple[str, str]]:
    """The white-light fit in words, whose times are from ``origin`` [h]."""
    depth, error = float(fit.depth[0, -1]), float(fit.depth_err[0, -1])
    chi2 = float(fit.chi2 / fit.points)
    lines = [
        ("depth, AIRS", f"{1e6 * depth:,.0f} ± {1e6 * error:,.0f} ppm"),
        ("χ² a point", f"{chi2:.2f}"),
    ]
    if not (depth > 5 * error and float(fit.snr) > 5):
        return [*lines, ("transit", NOT_FOUND)]
    mid, impact = origin + float(fit.shape[0, 0]), float(fit.shape[0, 1]) ** 0.5
    return [*lines, ("mid-transit", f"{mid:.3f} h"), ("impact b", f"{impact:.2f}")]


def star_lines(row: Row) -> list[tuple[str, str]]:
    """The star table's values, those that are known."""
    lines = [(name, f"{row[name]:.4g} {unit}") for name, unit in STAR if np.isfinite(row[name])]
    if row["spectrum"] is not None and len(row["spectrum"]):
        lines.append(("true depth", f"{1e6 * float(np.mean(row['spectrum'][1:])):,.0f} ppm"))
    return lines or [("star table", "none")]


# --- figures -------------------------------------------------------------------------------------------------------


def read_report(dataset: Folder, planet: int, visit: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the visit's entry, the whole) of report.json; empty where there is none."""
    try:
        run = json.loads((dataset / "report.json").read_bytes())
        return next(e for e in run["visits"] if (e["planet_id"], e["visit"]) == (planet, visit)), run
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return {}, {}


def figure_rows(report: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[list[list[str]], set[tuple[int, int]]]:
    """Cells (figure, AIRS-CH0, its median, FGS1, its median), the header first, and (row, column) of those flagged.

    Without a report of the run there are no medians.
    """
    rows, flagged = [["", AIRS, "run", FGS1, "run"] if run else ["", AIRS, FGS1]], set()
    stand_out = {
        (flag["instrument"], flag["figure"])
        for flag in run.get("stand_out", [])
        if (flag["planet_id"], flag["visit"]) == (report.get("planet_id"), report.get("visit"))
    }
    for figure in quality.FIGURES:
        cells = [f"{figure.header} [{figure.unit}]" if figure.unit else figure.header]
        values = [quality.value(report, instrument, figure) for instrument in (AIRS, FGS1)]
        for instrument, value in zip((AIRS, FGS1), values, strict=True):
            median = run.get("distribution", {}).get(instrument, {}).get(figure.key, {}).get("median")
            if (instrument, figure.key) in stand_out:
                flagged.add((len(rows), len(cells)))
            cells += [short(number, figure.unit == "pixel samples") for number in (value, median)[: 1 + bool(run)]]
        if any(value is not None for value in values):
            rows.append(cells)
    return rows, flagged


def short(number: float | None, whole: bool = False) -> str:
    """Three digits, a dash where there is no number."""
    if number is None:
        return "–"
    return f"{number:,.0f}" if whole or number == 0 or abs(number) >= 1000 else f"{number:#.3g}".rstrip(".")
