"""What the quickstart's page is made of: calibration steps of a raw planet, and fitted planets of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from ariel_scripts.opening.datasets import open_split, wavelengths_of
from ariel_scripts.pages.plots import PPM, Curve, Spectrum, curve_figure, map_figure
from ariel_scripts.report.plots import Array, Figure
from hf_dataset.raw.layouts import AIRS, RawVisit
from hf_dataset.reduction import calibration
from hf_dataset.reduction.exposures import used_columns
from hf_dataset.reduction.options import ReductionOptions
from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.predictions import read_predictions
from modeling_ariel.retrieval import ClassicalFit, fit

EXPOSURES_SHOWN = 30  # averaged for the images of the calibration steps
STEP_TITLES = {
    "adc": "in electrons (counts / gain + offset)",
    "bad_pixels": "dead, hot, uncalibrated pixels masked",
    "linearity": "linearised",
    "dark": "dark current subtracted",
    "cds": "end − start of each exposure",
    "flat": "divided by the flat",
    "fill": "bad pixels filled along wavelength",
}


@dataclass(frozen=True, eq=False)
class FittedPlanet:
    """A row of the dataset with its fit, what was answered by each of `answers`, and the truth (C,)."""

    row: Mapping[str, Any]
    wavelengths: Array  # µm
    fitted: ClassicalFit
    answers: dict[str, Spectrum]
    truth: Array

    @property
    def planet(self) -> int:
        """Its id."""
        return int(self.row["planet_id"])

    @property
    def alone(self) -> Spectrum:
        """Each channel's own fit."""
        return Spectrum(self.fitted.depth[0].numpy(), self.fitted.depth_err[0].numpy())


def fitted_planets(dataset: Path, predictions: Mapping[str, Path], number: int) -> list[FittedPlanet]:
    """The first labelled planets of a dataset; ``predictions``: files by the name of what made them."""
    found = {name: read_predictions(path) for name, path in predictions.items()}
    planets = []
    for row in open_split(str(dataset), "train").with_format("numpy").take(number):
        wavelengths = wavelengths_of(str(dataset), str(row["layout"]))
        answers = {}
        for name, one in found.items():
            place = one.planet_id.tolist().index(int(row["planet_id"]))
            answers[name] = Spectrum(one.mu[place].astype(float), one.sigma[place].astype(float))
        planets.append(FittedPlanet(row, wavelengths, _fit(row, wavelengths), answers, np.asarray(row["spectrum"])))
    return planets


def _fit(row: Mapping[str, Any], wavelengths: Array) -> ClassicalFit:
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in ("time", "flux", "flux_err", "valid")}
    batch |= {name: torch.tensor([float(row[name])], dtype=torch.float64) for name in STAR_IN_FIT}
    with torch.no_grad():
        return fit(batch, torch.as_tensor(wavelengths))


# --- light curves --------------------------------------------------------------------------------------------------


def fit_figures(one: FittedPlanet) -> list[Figure]:
    """White and band light curves with the fit, and the time × wavelength residuals before and after the drift."""
    time, weight = np.asarray(one.row["time"]), one.fitted.weight[0].numpy()
    model, residual = one.fitted.model[0].numpy(), one.fitted.residual[0].numpy()
    bands = {
        "AIRS, all channels": one.wavelengths > 1,
        "FGS1, 0.7 µm": one.wavelengths < 1,
        "2.6–2.85 µm (H₂O, CO₂)": (one.wavelengths > 2.6) & (one.wavelengths < 2.85),
    }
    curves = {name: Curve(time, *_band_curve(model, residual, weight, which)) for name, which in bands.items()}
    airs, drift = one.wavelengths > 1, one.fitted.drift[0].numpy()
    images = {
        "before: the transit alone taken out": _smooth((residual + drift)[airs].T),
        "the drift that the fit finds": drift[airs].T,
        "after: drift and transit taken out": _smooth(residual[airs].T),
    }
    limit = PPM * float(np.percentile(np.abs(next(iter(images.values()))), 98))
    return [
        curve_figure(
            f"Light of planet {one.planet}'s star while it crosses",
            curves,
            "1 is the star out of transit. Each point is a bin of the dataset; the line is the limb-darkened transit "
            "with a slow drift that was fitted. Below: what is left, in millionths of the star's light; shaded: 1 σ "
            "of a point.",
        ),
        map_figure(
            "Every AIRS channel over time",
            time,
            one.wavelengths[airs],
            {name: PPM * image for name, image in images.items()},
            "ppm",
            limit,
            "What is left should be noise: patches of one colour would be an instrument, or an atmosphere, that the "
            "fit does not know. Smoothed over 5 bins and 5 channels.",
        ),
    ]


def _band_curve(model: Array, residual: Array, weight: Array, which: np.ndarray) -> tuple[Array, Array, Array]:
    """Flux, model and error (T,) of a band's weighted mean, over the star's level."""
    channel = weight[which].mean(axis=1, keepdims=True)
    used = np.where(weight[which] > 0, channel, 0.0)
    total = np.maximum(used.sum(axis=0), 1e-300)
    variance = np.where(used > 0, used**2 / np.maximum(weight[which], 1e-300), 0.0).sum(axis=0)
    curve, left = ((used * values[which]).sum(axis=0) / total for values in (model, residual))
    level = np.nanmax(curve)  # out of transit
    return (curve + left) / level, curve / level, np.sqrt(variance) / total / level


def _smooth(image: Array, size: int = 5) -> Array:
    return np.asarray(uniform_filter(image, size, mode="nearest"))


# --- calibration ---------------------------------------------------------------------------------------------------


def calibration_images(visit: RawVisit) -> list[tuple[str, np.ndarray]]:
    """(title, image (row, column) [e-]) of AIRS-CH0 after each step, mean of the first exposures; NaN where masked."""
    options = ReductionOptions()
    rows, columns = np.arange(visit.shape(AIRS)[0]), used_columns(visit, AIRS, options)
    counts = visit.read(AIRS, rows, columns)[: 2 * EXPOSURES_SHOWN]
    bad = calibration.find_bad_pixels(visit.calibration(AIRS), options.hot_sigma, options.min_flat)[:, columns] != 0
    frames = visit.calibration(AIRS).window(slice(0, len(rows)), slice(int(columns[0]), int(columns[-1]) + 1))
    readout = calibration.Readout(*visit.adc(AIRS), visit.integration(AIRS))
    state = calibration.Frames(counts, None, np.zeros((1, 1, 1), bool))
    images = [("raw end frames", counts[1::2].mean(axis=0))]
    for name, step, arguments, _ in calibration.chain(frames, bad, readout, len(counts), dtype=np.dtype(float)):
        state = step(*state, **arguments)
        images.append((STEP_TITLES[name], _mean_image(state)))
    cube, variance = state.data, np.ones((1, *bad.shape))
    filled = calibration.fill_bad_pixels(
        cube, variance, np.zeros((1, *bad.shape), bool), bad=bad, reach=options.fill_reach
    )
    images.append((STEP_TITLES["fill"], _mean_image(filled)))
    return images


def _mean_image(state: calibration.Frames) -> np.ndarray:
    """Mean of the frames, of the end frames where they are still in pairs; NaN where masked."""
    data = state.data[1::2] if state.data.shape[0] == 2 * EXPOSURES_SHOWN else state.data
    return np.where(np.asarray(state.mask).any(axis=0), np.nan, data.mean(axis=0))
