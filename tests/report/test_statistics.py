"""The report's numbers against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from ariel_scripts.prediction.predictor import _part
from ariel_scripts.report import statistics
from ariel_scripts.report.data import Entry, Study
from ariel_scripts.report.rules import broken_by
from ariel_scripts.report.sections import shapes
from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel import scoring
from modeling_ariel.uncertainty import Moments

CHANNELS = 283


def draws(n: int, seed: int = 0, channels: int = CHANNELS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truths, and means that err exactly as sigma says, each channel by itself (n, channels)."""
    rng = np.random.default_rng(seed)
    truth = 0.003 + 0.001 * rng.random((n, channels))
    sigma = 1e-5 * (1 + 4 * rng.random((n, channels)))
    return truth, truth + sigma * rng.standard_normal((n, channels)), sigma


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_the_sums_of_planets_give_the_official_score(year: str) -> None:
    truth, mu, sigma = draws(12)
    terms = statistics.score_terms(truth, mu, sigma, year)
    assert statistics.score(terms.mean(0)) == pytest.approx(scoring.SCORES[year](truth, mu, sigma), rel=1e-12)
    one = slice(3, 4)
    alone = scoring.SCORES[year](truth[one], mu[one], sigma[one])
    assert statistics.planet_scores(terms)[3] == pytest.approx(alone, rel=1e-9)
    summary = statistics.summary(truth, mu, sigma)
    assert summary[f"score_{year}"].value == pytest.approx(scoring.SCORES[year](truth, mu, sigma))


def test_errors_agree_with_those_of_evaluate() -> None:
    truth, mu, sigma = draws(12)
    found, known = statistics.errors(truth, mu, sigma), scoring.summary(truth, mu, sigma)
    for name in ("rmse_ppm", "coverage_50", "coverage_90", "z_mean", "z_spread"):
        assert found[name].value == pytest.approx(known[name], rel=1e-9)
        assert found[name].low <= found[name].value <= found[name].high


def test_exact_gaussian_draws_are_covered_as_stated() -> None:
    found = statistics.errors(*draws(400))
    assert found["coverage_50"].value == pytest.approx(0.5, abs=0.005)
    assert found["coverage_90"].value == pytest.approx(0.9, abs=0.005)
    assert found["z_spread"].value == pytest.approx(1.0, abs=0.01)
    assert found["z_mean"].value == pytest.approx(0.0, abs=0.01)


def test_the_bootstrap_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, (400, 1))
    found = statistics.estimate(values, lambda means: means[..., 0])
    half = 1.6449 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.08)
    assert found.value - found.low == pytest.approx(half, rel=0.08)


def test_the_interval_of_a_median_holds_it_as_often_as_stated() -> None:
    rng = np.random.default_rng(2)
    found = statistics.median(rng.standard_cauchy((101, 2000)))
    inside = (found[1] <= 0) & (found[2] >= 0)
    assert inside.mean() == pytest.approx(statistics.LEVEL, abs=0.03)


def test_a_score_difference_in_pairs_is_surer_than_its_parts() -> None:
    truth, mu, sigma = draws(60)
    hard = np.linspace(1, 30, 60)[:, None]  # planets that are hard for both
    first = statistics.score_terms(truth, truth + hard * (mu - truth), hard * sigma, "2024")
    second = statistics.score_terms(truth, truth + 1.05 * hard * (mu - truth), 1.05 * hard * sigma, "2024")
    gap, better = statistics.score_difference(first, second)
    alone = statistics.estimate(first, statistics.score)
    assert gap.value == pytest.approx(statistics.score(second.mean(0)) - statistics.score(first.mean(0)))
    assert gap.high < 0
    assert better == 0.0
    assert gap.high - gap.low < 0.1 * (alone.high - alone.low)


def test_white_noise_has_level_power_and_a_wave_its_frequency() -> None:
    rng = np.random.default_rng(3)
    slope = np.linspace(-500, 900, 282)
    frequency, found = statistics.power(5.0 * rng.standard_normal((4000, 282)) + slope)
    assert found.mean() == pytest.approx(25.0, rel=0.02)
    np.testing.assert_allclose(found[3:], 25.0, rtol=0.15)  # the first ones lose the slope that was taken out
    assert frequency[-1] == 0.5
    wave = np.sin(2 * np.pi * 0.2 * np.arange(282))[None]
    at, power = statistics.power(wave)
    assert at[power.argmax()] == pytest.approx(0.2, abs=1 / 282)


def test_roughness_is_the_sigma_of_white_noise_and_nothing_of_a_line() -> None:
    noise = 7.0 * np.random.default_rng(4).standard_normal((50, 5000))
    np.testing.assert_allclose(statistics.roughness(noise), 7.0, rtol=0.1)
    assert statistics.roughness(np.linspace(0, 100, 282)[None])[0] == pytest.approx(0.0, abs=1e-9)


def test_penalties_are_zero_for_a_straight_spectrum_with_honest_errors() -> None:
    mu = np.tile(1e-3 + 1e-6 * np.arange(20.0), (3, 1))
    found = statistics.penalty_terms(mu, np.full_like(mu, 2e-5))
    assert set(found) == set(statistics.PENALTIES)
    assert max(np.nanmean(term) for term in found.values()) < 1e-20


def test_roughness_of_channels_scattered_by_their_sigma_is_one_and_a_half() -> None:
    sigma = np.full((400, CHANNELS), 3e-5)
    mu = 0.01 + sigma * np.random.default_rng(0).standard_normal(sigma.shape)
    mu[:, 0] = 0.5  # FGS1 is no neighbour
    found = statistics.penalty_terms(mu, sigma)["roughness"]
    assert np.nanmean(found) == pytest.approx(1.5, rel=0.02)
    assert np.isnan(found[:, [0, 1, -1]]).all()
    assert np.isfinite(found[:, 2:-1]).all()


def test_penalties_measure_cut_depths_and_sigmas_below_the_floor() -> None:
    found = statistics.penalty_terms(np.array([[2e-5, 0.0]]), np.array([[2e-5, 4e-5]]), floor_ppm=40.0)
    np.testing.assert_array_equal(found["cut_at_0"], [[0.0, 1.0]])
    np.testing.assert_allclose(found["sigma_below_floor"], [[0.25, 0.0]])


def test_every_penalty_can_be_violated_by_predictions_as_they_are_written() -> None:
    mu, sigma = np.full((1, CHANNELS), 1e-3), np.full((1, CHANNELS), 1e-5)
    good = statistics.penalty_terms(mu, sigma)
    assert not any(np.nanmean(good[name]) > limit for name, limit in statistics.PENALTIES.items())
    mu[0, 100:120:2] -= 5e-3
    sigma[0, 50:60] = 1e-7
    planets, moments = [1], Moments(mu, sigma, sigma, np.zeros_like(sigma))
    written = _part(planets, moments, ["ok"], [""], {}).arrays
    found = statistics.penalty_terms(written["mu"].astype(float), written["sigma"].astype(float))
    assert all(np.nanmean(found[name]) > limit for name, limit in statistics.PENALTIES.items())
    np.testing.assert_array_equal(np.flatnonzero(found["cut_at_0"][0]), np.arange(100, 120, 2))


def test_principal_components_hold_the_variance_of_the_covariance_and_do_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(6)
    values = rng.standard_normal((40, 5)) @ rng.standard_normal((5, 5))
    place, share = statistics.principal_components(values)
    known = np.linalg.eigvalsh(np.cov(values.T))[::-1]
    np.testing.assert_allclose(share, known[:2] / known.sum(), rtol=1e-9)
    np.testing.assert_allclose(place.var(0, ddof=1), known[:2], rtol=1e-9)
    order = rng.permutation(40)
    np.testing.assert_allclose(statistics.principal_components(values[order])[0], place[order], atol=1e-9)


def test_what_is_lost_against_the_ideal_is_what_the_score_lacks() -> None:
    truth, mu, sigma = draws(5)
    lost = statistics.lost(truth, mu, sigma)
    terms = statistics.score_terms(truth, mu, sigma, "2024")
    np.testing.assert_allclose(lost.sum(1), terms[:, 1] - terms[:, 0], rtol=1e-9)
    exact = statistics.lost(truth, truth, np.full_like(truth, 1e-5))
    np.testing.assert_allclose(exact, 0.0, atol=1e-9)


def test_the_power_of_predictions_is_that_of_the_planets_whose_truth_it_is_drawn_with() -> None:
    truth, mu, sigma = draws(4)
    truth[2:] = np.nan

    def drawn(mu: np.ndarray) -> list[object]:
        star, entry = np.full((4, 7), np.nan), Entry("a", "a", mu, sigma)
        study = Study("d", "train", wavelengths_um("2025"), np.arange(4), np.ones(4, int), truth, star,
                      {i: [] for i in range(4)}, [entry])  # fmt: skip
        data = shapes(study, broken_by(study, None)).data
        return [data["figures"][0].variants, data["roughness"]]

    noisy = mu.copy()
    noisy[2:] *= np.random.default_rng(1).random((2, CHANNELS))
    assert drawn(noisy) == drawn(mu)
    noisy[0] = noisy[0, ::-1] ** 2
    assert drawn(noisy) != drawn(mu)
