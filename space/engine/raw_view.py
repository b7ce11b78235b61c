"""The raw detector of a visit: images of each calibration step, trace and apertures; stored as a small NPZ file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.records import RawImage, RawView
from hf_dataset.raw.layouts import AIRS, FGS1, INSTRUMENTS, RawVisit
from hf_dataset.reduction import calibration, extraction
from hf_dataset.reduction.exposures import used_columns
from hf_dataset.reduction.options import ReductionOptions

EXPOSURES_SHOWN = 30  # averaged for the images of the calibration steps
ROWS_AT_ONCE = 4  # detector rows decoded together for the mean exposure
STEP_TITLES = {
    "adc": "counts to electrons (ADC gain and offset)",
    "bad_pixels": "dead, hot and uncalibrated pixels masked",
    "linearity": "linearised",
    "dark": "dark current subtracted",
    "cds": "end − start of each exposure (CDS)",
    "flat": "divided by the flat",
    "fill": "bad pixels filled along wavelength",
}


def make_view(visit: RawVisit, options: ReductionOptions | None = None) -> RawView:
    """The view of one visit; RawDataError or ReductionError where its files cannot be read."""
    options = options or ReductionOptions()
    steps, first = calibration_steps(visit, options)
    images, flags, centres = {}, {}, {}
    for instrument in INSTRUMENTS:
        mean, flags[instrument] = mean_exposure(visit, instrument, options)
        good = flags[instrument] == 0
        centres[instrument] = (
            extraction.trace_centre(mean, good) if instrument == AIRS else extraction.centre_of_light(mean, good)
        )
        images[instrument] = RawImage(f"{instrument}: mean exposure", "e⁻", mean.astype(np.float32))
    spot = centres[FGS1]
    return RawView(
        name=visit.name,
        steps=tuple(steps),
        images=images,
        flags=flags,
        columns_um=np.asarray(visit.folder.airs_wavelengths, np.float64),
        first_column=first,
        trace=np.asarray(centres[AIRS], np.float64),
        aperture=options.airs_half_width,
        foreground=options.foreground_inner,
        spot=(float(spot[0]), float(spot[1])),
        fgs1_radii=(options.fgs1_radius, *options.fgs1_annulus),
    )


def calibration_steps(visit: RawVisit, options: ReductionOptions) -> tuple[list[RawImage], int]:
    """AIRS-CH0 (row, column) before and after each step, mean of the first exposures; and its first column."""
    rows, columns = np.arange(visit.shape(AIRS)[0]), used_columns(visit, AIRS, options)
    counts = visit.read(AIRS, rows, columns)[: 2 * EXPOSURES_SHOWN]
    counts = counts[: len(counts) // 2 * 2]
    everything = visit.calibration(AIRS)
    bad = calibration.find_bad_pixels(everything, options.hot_sigma, options.min_flat)[:, columns] != 0
    frames = everything.window(slice(0, len(rows)), slice(int(columns[0]), int(columns[-1]) + 1))
    readout = calibration.Readout(*visit.adc(AIRS), visit.integration(AIRS))
    state = calibration.Frames(counts, None, np.zeros((1, 1, 1), bool))
    images = [RawImage("raw end frames", "counts", counts[1::2].mean(axis=0).astype(np.float32))]
    for name, step, arguments, _ in calibration.chain(frames, bad, readout, len(counts), dtype=np.dtype(float)):
        state = step(*state, **arguments)
        images.append(_image(name, state, len(counts)))
    nothing = np.zeros((1, *bad.shape), bool)
    filled = calibration.fill_bad_pixels(
        state.data, np.ones((1, *bad.shape)), nothing, bad=bad, reach=options.fill_reach
    )
    images.append(_image("fill", filled, len(counts)))
    return images, int(columns[0])


def _image(name: str, state: Any, n_frames: int) -> RawImage:
    """Mean of the exposures, of the end frames where they are still in pairs; NaN where masked."""
    data = state.data[1::2] if len(state.data) == n_frames else state.data
    image = np.where(np.asarray(state.mask).any(axis=0), np.nan, data.mean(axis=0))
    return RawImage(STEP_TITLES[name], "e⁻", image.astype(np.float32))


def mean_exposure(visit: RawVisit, instrument: str, options: ReductionOptions) -> tuple[np.ndarray, np.ndarray]:
    """Mean exposure [e-] and flags of bad pixels, (row, column) of the whole detector; few rows in memory at a time."""
    n_rows, n_columns = visit.shape(instrument)
    n = visit.n_frames(instrument) // 2 * 2
    scale = calibration.adc_scale(*visit.adc(instrument), options.adc)[0]
    mean, often = np.empty((n_rows, n_columns)), np.empty((n_rows, n_columns))
    for first in range(0, n_rows, ROWS_AT_ONCE):
        rows = range(first, min(first + ROWS_AT_ONCE, n_rows))
        counts = visit.read(instrument, rows, range(n_columns))[:n]
        mean[rows] = (counts[1::2].mean(axis=0) - counts[0::2].mean(axis=0)) * scale
        often[rows] = (counts >= options.saturation).mean(axis=0)
    start, end = visit.integration(instrument)
    flags = calibration.find_bad_pixels(
        visit.calibration(instrument), options.hot_sigma, options.min_flat, options.hot_noise, end - start
    )
    return mean, flags | np.where(often > 0.005, np.uint8(calibration.Pixel.SATURATED), np.uint8(0))


# --- files ---------------------------------------------------------------------------------------------------------


def write_view(path: Path, view: RawView) -> None:
    """Keep a view as an NPZ file of plain arrays; no pickle."""
    about = {
        "name": view.name,
        "first_column": view.first_column,
        "aperture": view.aperture,
        "spot": view.spot,
        "foreground": view.foreground,
        "fgs1_radii": view.fgs1_radii,
        "steps": [[image.title, image.unit] for image in view.steps],
        "images": {name: [image.title, image.unit] for name, image in view.images.items()},
    }
    arrays: dict[str, np.ndarray] = {"trace": view.trace, "columns_um": view.columns_um}
    for place, image in enumerate(view.steps):
        arrays[f"step_{place}"] = image.image
    for name, image in view.images.items():
        arrays[f"image_{name}"], arrays[f"flags_{name}"] = image.image, view.flags[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def read_view(path: Path) -> RawView:
    """A view as `write_view` kept it."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        steps = tuple(RawImage(title, unit, file[f"step_{n}"]) for n, (title, unit) in enumerate(about["steps"]))
        images = {name: RawImage(title, unit, file[f"image_{name}"]) for name, (title, unit) in about["images"].items()}
        flags = {name: file[f"flags_{name}"] for name in images}
        spot, radii = about["spot"], about["fgs1_radii"]
        return RawView(
            about["name"],
            steps,
            images,
            flags,
            file["columns_um"],
            about["first_column"],
            file["trace"],
            about["aperture"],
            about["foreground"],
            (spot[0], spot[1]),
            (radii[0], radii[1], radii[2]),
        )
