"""White light curves and geometry of a fit, against what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from ariel_scripts.telescope_fit.curves import VisitCurves
from ariel_scripts.telescope_fit.geometry import _sampled

TIME = np.linspace(-3, 3, 200)


def curves(flux: np.ndarray, model: np.ndarray, systematics: np.ndarray) -> VisitCurves:
    ones = np.ones_like(flux)
    return VisitCurves(
        "v", TIME, None, 0.0, 0.3, np.array([1.0, 2.0]), flux, 1e-3 * ones, model, systematics, 0 * ones,
        np.array([0.7, 0.3]),
    )  # fmt: skip


def test_a_channel_that_is_missing_for_a_while_makes_no_step_in_the_white_curve() -> None:
    inside = np.abs(TIME) < 1
    transit = 1 - np.array([[0.01], [0.03]]) * inside
    systematics = 1 + np.array([[1e-3], [-2e-3]]) * TIME
    flux = transit * systematics
    flux[1, 120:150] = np.nan
    flux[:, 160] = np.nan
    white = curves(flux, transit * systematics, systematics).white
    seen = np.isfinite(white.flux)
    assert (~seen).sum() == 1
    np.testing.assert_allclose(white.residual[seen], 0.0, atol=1e-12)
    np.testing.assert_allclose(white.transit, 1 - 0.016 * inside, atol=1e-12)
    np.testing.assert_allclose(white.error[0], 1e-3 * np.hypot(0.7, 0.3))
    np.testing.assert_allclose(white.error[130], 1e-3)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("mean", [-0.05, 0.0, 0.3])
def test_samples_of_b_follow_the_density_of_its_prior_at_the_bound(told: bool, mean: float) -> None:
    covariance = np.diag([1e-4, 0.1**2, 1e-4, 1e-4])
    covariance[1, 3] = covariance[3, 1] = 0.8 * 0.1 * 1e-2
    drawn = _sampled(np.array([0.0, mean, 0.5, 0.01]), covariance, told, seed=1)
    assert drawn[:, 1].min() >= 0
    b = np.linspace(0, 1.5, 20_000)
    density = np.exp(-0.5 * ((b**2 - mean) / 0.1) ** 2) * (b if told else 1)
    expected = (density * b).sum() / density.sum()
    spread = np.sqrt((density * b**2).sum() / density.sum() - expected**2)
    found = np.sqrt(drawn[:, 1])
    assert abs(found.mean() - expected) < 4 * spread / np.sqrt(len(found))
    assert found.std() == pytest.approx(spread, rel=0.06)
    slope = covariance[1, 3] / covariance[1, 1]
    left = drawn[:, 3] - 0.01 - slope * (drawn[:, 1] - mean)
    assert left.std() == pytest.approx(1e-2 * 0.6, rel=0.06)
    assert abs(np.corrcoef(left, drawn[:, 1])[0, 1]) < 0.06
