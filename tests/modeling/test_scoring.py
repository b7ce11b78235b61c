"""The scores on cases computed by hand, and the diagnostics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modeling_ariel import scoring


def spectra(n: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.002 + 0.001 * rng.random((n, 1)) + 1e-4 * rng.random((n, 283))


def test_the_2024_score_of_one_planet_and_two_channels_is_the_ratio_worked_out_by_hand() -> None:
    truth, mu, sigma = np.array([[0.002, 0.003]]), np.array([[0.0021, 0.0029]]), np.array([[2e-4, 1e-4]])
    reference = (0.0025, 0.001)
    # ln N without the constant, which cancels: -z^2/2 - ln sigma
    found = (-0.125 - math.log(2e-4)) + (-0.5 - math.log(1e-4))
    naive = 2 * (-0.125 - math.log(1e-3))
    ideal = 2 * -math.log(1e-5)
    assert scoring.score_2024(truth, mu, sigma, reference) == pytest.approx(
        (found - naive) / (ideal - naive), rel=1e-12
    )


def test_the_2025_score_weighs_fgs1_and_averages_ratios_of_elements() -> None:
    truth, mu, sigma = np.array([[0.002, 0.003]]), np.array([[0.0021, 0.0029]]), np.array([[2e-4, 1e-4]])
    reference = (0.0025, 0.001)
    naive = -0.125 - math.log(1e-3)
    fgs1 = (-0.125 - math.log(2e-4) - naive) / (-math.log(1e-6) - naive)
    airs = (-0.5 - math.log(1e-4) - naive) / (-math.log(1e-5) - naive)
    expected = (57.846 * fgs1 + airs) / 58.846
    assert scoring.score_2025(truth, mu, sigma, reference) == pytest.approx(expected, rel=1e-12)


def test_the_truth_with_ideal_sigma_scores_one_and_the_reference_zero_in_2024() -> None:
    y = spectra()
    assert scoring.score_2024(y, y, np.full_like(y, 1e-5)) == pytest.approx(1.0, abs=1e-12)
    mean, sigma = scoring.REFERENCE_2024
    assert scoring.score_2024(y, np.full_like(y, mean), np.full_like(y, sigma)) == pytest.approx(0.0, abs=1e-12)


def test_the_truth_with_ideal_sigmas_scores_one_and_the_reference_zero_in_2025() -> None:
    y = spectra()
    ideal = np.full_like(y, 1e-5)
    ideal[:, 0] = 1e-6
    assert scoring.score_2025(y, y, ideal) == pytest.approx(1.0, abs=1e-12)
    mean, sigma = scoring.REFERENCE_2024
    assert scoring.score_2025(y, np.full_like(y, mean), np.full_like(y, sigma)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("score", scoring.SCORES.values())
def test_scores_are_clipped_to_zero_and_one(score) -> None:  # type: ignore[no-untyped-def]
    y = spectra()
    assert score(y, y + 0.01, np.full_like(y, 1e-6)) == 0.0
    assert score(y, y, np.zeros_like(y)) == 1.0  # the floor of 1e-15 keeps it finite


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, s: (m * -1, s), "mu: expected no negatives"),
        (lambda m, s: (m, s * -1), "sigma: expected no negatives"),
        (lambda m, s: (np.where(m > m.max() - 1e-12, np.nan, m), s), "mu: expected finite"),
        (lambda m, s: (m[:, :282], s), "shape"),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused_with_the_reason(change, message: str) -> None:  # type: ignore[no-untyped-def]
    y = spectra()
    mu, sigma = change(y.copy(), np.full_like(y, 1e-4))
    for score in scoring.SCORES.values():
        with pytest.raises(scoring.ScoreError, match=message):
            score(y, mu, sigma)


def test_missing_and_duplicate_planets_are_refused_by_name() -> None:
    y = spectra(3)
    truth = dict(zip((11, 22, 33), y, strict=True))
    with pytest.raises(scoring.ScoreError, match=r"missing 1: \[33\]"):
        scoring.align(truth, [11, 22], y[:2], y[:2])
    with pytest.raises(scoring.ScoreError, match=r"planets \[22\] more than once"):
        scoring.align(truth, [11, 22, 22], y, y)
    order, found, mu, _ = scoring.align(truth, [33, 11, 22], y[[2, 0, 1]], y)
    assert order == [11, 22, 33]
    np.testing.assert_array_equal(mu, found)


def test_coverage_and_z_of_gaussian_errors_are_nominal() -> None:
    rng = np.random.default_rng(0)
    y = spectra(400)
    sigma = np.full_like(y, 1e-4)
    mu = y + sigma * rng.standard_normal(y.shape)
    assert scoring.coverage(y, mu, sigma, 0.9) == pytest.approx(0.9, abs=0.005)
    assert scoring.z_scores(y, mu, sigma).std() == pytest.approx(1.0, abs=0.01)
    assert scoring.coverage(y, mu, sigma / 2, 0.9) < 0.7
    assert scoring.rmse(y, mu) == pytest.approx(1e-4, rel=0.01)


def test_band_errors_are_those_of_the_bands_channels() -> None:
    y = spectra(10)
    wavelength = np.concatenate([[0.7], np.linspace(1.95, 3.895, 282)])
    inside = (wavelength >= 3.15) & (wavelength < 3.5)
    table = scoring.band_table(y, y + np.where(inside, 5e-5, 0.0), np.full_like(y, 1e-5), wavelength)
    assert table["CH4 3.3"]["bias_ppm"] == pytest.approx(50.0)
    assert table["H2O 2.7"]["rmse_ppm"] == 0.0
    assert sum(row["channels"] for row in table.values()) <= 283
    with pytest.raises(scoring.ScoreError, match="283 channels"):
        scoring.band_table(y, y, y, wavelength[:-1])
