"""The fit on real light curves of the challenge (skipped where they are absent)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from modeling_ariel.joint_fit import FitSettings


@pytest.fixture(scope="module")
def real_curves(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_curves", repository / "bench" / "real_curves.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_curves"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("with_bounds", "every"),
    [
        (False, 9),
        pytest.param(False, 1, marks=pytest.mark.slow),
        pytest.param(True, 1, marks=pytest.mark.slow),
    ],
)
def test_mean_depths_of_466_real_white_curves_are_within_20_ppm_median_and_45_ppm_rms_of_their_labels(
    real: Path, real_curves: ModuleType, with_bounds: bool, every: int
) -> None:
    """Of every ninth curve by default, as a curve is fitted by itself; bounds hardly move one."""
    error, fitted = real_curves.white_depths(real, with_bounds, FitSettings().drift_sigma, every)
    assert len(error) == len(range(0, 466, every))
    assert np.median(np.abs(error)) < 20e-6
    assert np.sqrt((error**2).mean()) < 45e-6
    assert float(fitted.snr.min()) > 20


def test_real_planet_1103775_leaves_white_residuals_at_the_stated_noise(real: Path, real_curves: ModuleType) -> None:
    result, _, flux, flux_err, _ = real_curves.real_planet(real)
    statistics, white = real_curves.planet_statistics(result, flux_err, flux)
    assert statistics["status"] == "ok"
    assert statistics["white"]["ljung_box_p"] > 0.01
    assert max(statistics["white"]["binned_rms_over_white"].values()) < 1.4
    assert abs(statistics["white"]["acf"][0]) < 3 / np.sqrt(len(white))
    assert statistics["white_rms_ppm"] < 1.15 * statistics["white_photon_and_read_ppm"]
    assert 0.9 < statistics["channel_noise_over_stated"][1] < 1.1
    assert abs(statistics["channel_acf1"]["mean"]) < 0.015
    assert statistics["channel_acf1"]["spread"] < 1.2 * statistics["channel_acf1"]["expected_spread"]
