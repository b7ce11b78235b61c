"""The limit of the score table: what no fit that knows less should beat."""

from __future__ import annotations

import numpy as np
import torch

from ariel_scripts.prediction.limit import LAYOUT, exact_depths, fit_row, simulate
from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel.joint_fit import FitSettings


def test_the_limit_knows_more_than_the_fit_and_is_honest() -> None:
    spectrum = 0.01 + 1e-4 * np.sin(np.arange(283) / 20)
    row, truth, system = simulate(7, spectrum, 150, 0)
    wavelength = torch.as_tensor(wavelengths_um(LAYOUT))
    with torch.no_grad():
        known, free = (exact_depths(row, truth, system, wavelength, drift_known=flag) for flag in (True, False))
        fitted = fit_row(row, wavelength, FitSettings())

    def white_error(covariance: object) -> float:
        return float(np.sqrt(np.asarray(covariance)[1:, 1:].mean()))

    assert white_error(known[1]) < white_error(free[1]) < white_error(fitted[1])
    for depth, covariance in (known, free):
        z = (np.asarray(depth) - spectrum) / np.sqrt(np.diag(np.asarray(covariance)))
        assert 0.8 < np.sqrt(np.mean(z**2)) < 1.2
