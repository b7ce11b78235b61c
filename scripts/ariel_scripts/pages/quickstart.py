"""The quickstart's page: one HTML file with its figures inside, from a raw planet, a dataset and predictions."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter

from ariel_scripts.opening.datasets import open_split, wavelengths_of
from ariel_scripts.pages import figures
from ariel_scripts.templates import page_templates
from hf_dataset.raw.layouts import AIRS, RawVisit
from hf_dataset.reduction import calibration
from hf_dataset.reduction.exposures import used_columns
from hf_dataset.reduction.options import ReductionOptions
from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.predictions import Predictions, read_predictions
from modeling_ariel.retrieval import ClassicalFit, fit

EXPOSURES_SHOWN = 30  # averaged for the images of the calibration steps
STEP_TITLES = {
    "adc": "end frames in electrons (counts / gain + offset)",
    "bad_pixels": "dead, hot and uncalibrated pixels masked (red)",
    "linearity": "linearised",
    "dark": "dark current subtracted",
    "cds": "end − start of each exposure",
    "flat": "divided by the flat",
    "fill": "bad pixels filled along wavelength",
}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with its caption."""

    figure: Figure
    caption: str

    def png(self) -> str:
        """The drawn figure, in base64."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=110)
        return base64.b64encode(buffer.getvalue()).decode()


def calibration_images(visit: RawVisit) -> list[tuple[str, np.ndarray]]:
    """(title, image (row, column) [e-]) of AIRS-CH0 after each step, mean of the first exposures; NaN where masked."""
    options = ReductionOptions()
    rows, columns = np.arange(visit.shape(AIRS)[0]), used_columns(visit, AIRS, options)
    counts = visit.read(AIRS, rows, columns)[: 2 * EXPOSURES_SHOWN]
    bad = calibration.find_bad_pixels(visit.calibration(AIRS), options.hot_sigma, options.min_flat)[:, columns] != 0
    frames = visit.calibration(AIRS).window(slice(0, len(rows)), slice(int(columns[0]), int(columns[-1]) + 1))
    readout = calibration.Readout(*visit.adc(AIRS), visit.integration(AIRS))
    state = calibration.Frames(counts, None, np.zeros((1, 1, 1), bool))
    images = [("raw end frames [counts]", counts[1::2].mean(axis=0))]
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


def fit_figures(row: Mapping[str, Any], fitted: ClassicalFit, wavelengths: np.ndarray) -> list[CaptionedFigure]:
    """White and band light curves with the fit, and the time × wavelength residuals before and after the drift."""
    time, weight = np.asarray(row["time"]), fitted.weight[0].numpy()
    model, residual = fitted.model[0].numpy(), fitted.residual[0].numpy()
    bands = {
        "FGS1, 0.7 µm": wavelengths < 1,
        "AIRS white light": wavelengths > 1,
        "2.6–2.85 µm (H2O, CO2)": (wavelengths > 2.6) & (wavelengths < 2.85),
    }
    curves = [(name, *_band_curve(model, residual, weight, which)) for name, which in bands.items()]
    title = f"planet {row['planet_id']}, visit {row['visit']}"
    airs = wavelengths > 1
    drift = fitted.drift[0].numpy()
    images = [
        ("flux − transit: drift, jitter, noise", _smooth((residual + drift)[airs].T)),
        ("drift of the fit", drift[airs].T),
        ("residuals of the fit", _smooth(residual[airs].T)),
    ]
    return [
        CaptionedFigure(
            figures.light_curves(time, curves, title),
            "Light curves (points), the limb-darkened transit with drift "
            "that was fitted to them (line), and what is left. Each point is a bin of the dataset.",
        ),
        CaptionedFigure(
            figures.residual_images(time, wavelengths[airs], [(t, i * figures.PPM) for t, i in images]),
            "Every AIRS channel over time: what is left when the transit is taken out, the slow gain drift that the "
            "fit finds in it, and the rest, which should be noise. Smoothed over 5 bins and 5 channels.",
        ),
    ]


def dataset_figures(dataset: Path, predictions: Mapping[str, Path], n_spectra: int) -> list[CaptionedFigure]:
    """Light curves of the dataset's first planet with their fit, and spectra of its first `n_spectra` planets.

    ``predictions``: files by the name of what made them.
    """
    found = {name: read_predictions(path) for name, path in predictions.items()}
    shown: list[CaptionedFigure] = []
    spectra: list[CaptionedFigure] = []
    for row in open_split(str(dataset), "train").with_format("numpy").take(n_spectra):
        wavelengths = wavelengths_of(str(dataset), str(row["layout"]))
        result = _fit(row, wavelengths)
        if not shown:
            shown = fit_figures(row, result, wavelengths)
        truth = None if row["spectrum"] is None else np.asarray(row["spectrum"])
        fitted = (result.depth[0].numpy(), result.depth_err[0].numpy())
        posteriors = {name: _of_planet(predicted, int(row["planet_id"])) for name, predicted in found.items()}
        spectra.append(
            CaptionedFigure(
                figures.spectra(wavelengths, fitted, posteriors, truth, f"planet {row['planet_id']}"),
                "Transit depth over wavelength: what the fit finds channel by channel (grey), the spectra that were "
                "made of it (lines and bands), and the simulation's truth (black). Below, the error in σ: 95 % of the "
                "points belong inside the shaded ±2.",
            )
        )
    return shown + spectra


def _of_planet(predicted: Predictions, planet: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sigma (C,) of one planet."""
    index = predicted.planet_id.tolist().index(planet)
    return predicted.mu[index], predicted.sigma[index]


def _fit(row: Mapping[str, Any], wavelengths: np.ndarray) -> ClassicalFit:
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in ("time", "flux", "flux_err", "valid")}
    batch |= {name: torch.tensor([float(row[name])], dtype=torch.float64) for name in STAR_IN_FIT}
    with torch.no_grad():
        return fit(batch, torch.as_tensor(wavelengths))


def _band_curve(
    model: np.ndarray, residual: np.ndarray, weight: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, model and error (T,) of a band's weighted mean."""
    channel = weight[which].mean(axis=1, keepdims=True)
    used = np.where(weight[which] > 0, channel, 0.0)
    total = np.maximum(used.sum(axis=0), 1e-300)
    variance = np.where(used > 0, used**2 / np.maximum(weight[which], 1e-300), 0.0).sum(axis=0)
    curve, left = ((used * values[which]).sum(axis=0) / total for values in (model, residual))
    return curve + left, curve, np.sqrt(variance) / total


def _smooth(image: np.ndarray, size: int = 5) -> np.ndarray:
    return uniform_filter(image, size, mode="nearest")


def write_page(
    path: Path, title: str, intro: str, numbers: Sequence[tuple[str, str, str]], shown: Sequence[CaptionedFigure]
) -> None:
    """One HTML file: the introduction, a table of (name, value, meaning), the figures."""
    template = page_templates("ariel_scripts.pages").get_template("quickstart.html.j2")
    text = template.render(title=title, intro=intro, numbers=numbers, figures=shown)
    path.write_text(text, encoding="utf-8")
