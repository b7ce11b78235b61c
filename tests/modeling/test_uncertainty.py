"""Calibrated sigmas against closed forms and simulated coverage."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_model, save_model

from modeling_ariel.uncertainty import (
    LEVELS,
    SigmaCalibration,
    UncertaintyError,
    band_groups,
    bootstrap_means,
    bounds,
    conformal_quantiles,
    coverage_curve,
    equal_groups,
    gaussian_half_width,
    mixture_moments,
    planets_needed,
    temperature,
    z_histogram,
)


def planets(
    n: int, channels: int, spread: float | np.ndarray = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, mean and sigma (n, channels) of independent normals; z has the given spread."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(2e-5, 2e-4, (n, channels))
    mean = rng.uniform(1e-3, 1e-2, (n, channels))
    return mean + spread * sigma * rng.normal(size=(n, channels)), mean, sigma


# --- the module ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_an_uncalibrated_module_leaves_sigma_bit_equal(dtype: torch.dtype) -> None:
    sigma = torch.rand(5, 7, dtype=torch.float64).to(dtype)
    calibrated = SigmaCalibration(7)(sigma)
    assert calibrated.dtype == dtype
    assert torch.equal(calibrated, sigma)


def test_intervals_start_as_the_gaussian_ones() -> None:
    mean, sigma = torch.full((2, 3), 0.01), torch.full((2, 3), 1e-4)
    low, high = SigmaCalibration(3).interval(mean, sigma, 0.95)
    torch.testing.assert_close((high - low) / 2 / sigma, torch.full((2, 3), 1.959964), rtol=1e-4, atol=0)
    torch.testing.assert_close((high + low) / 2, mean)
    with pytest.raises(UncertaintyError, match=r"expected one of 0\.5, 0\.68, 0\.9, 0\.95, found 0\.8"):
        SigmaCalibration(3).interval(mean, sigma, 0.8)


def test_calibration_survives_saving_and_loading(tmp_path: Path) -> None:
    module, other = SigmaCalibration(4), SigmaCalibration(4)
    module.scale.mul_(torch.tensor([1.0, 2.0, 0.5, 3.0]))
    module.quantiles.mul_(1.1)
    assert set(module.state_dict()) == {"scale", "levels", "quantiles", "usual", "slopes"}
    save_model(module, str(tmp_path / "calibration.safetensors"))
    load_model(other, str(tmp_path / "calibration.safetensors"))
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_reset_fills_a_module_that_was_built_on_the_meta_device_and_spares_what_was_loaded() -> None:
    with torch.device("meta"):
        module = SigmaCalibration(4)
    module = module.to_empty(device="cpu")
    module.scale.fill_(7.0)
    module.scale._is_hf_initialized = True  # type: ignore[attr-defined]
    module.reset()
    assert torch.equal(module.scale, torch.full((4,), 7.0))
    assert torch.equal(module.quantiles, SigmaCalibration(4).quantiles)
    module.reset(torch.Tensor.copy_)
    assert torch.equal(module.scale, torch.ones(4))


def test_calibration_stays_float32_whatever_the_model_becomes() -> None:
    module = SigmaCalibration(4).to(torch.bfloat16)
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32}


# --- temperature ---------------------------------------------------------------------------------------------------


def test_a_known_temperature_is_recovered_overall_and_in_each_group() -> None:
    spread = np.where(np.arange(40) < 10, 0.5, 2.0)
    truth, mean, sigma = planets(2000, 40, spread)
    np.testing.assert_allclose(temperature(truth, mean, sigma)[0], np.sqrt((spread**2).mean()), rtol=0.01)
    labels = (np.arange(40) >= 10).astype(int)
    factors = temperature(truth, mean, sigma, labels)
    np.testing.assert_allclose(factors, spread, rtol=0.01)
    scaled = (truth - mean) / (factors * sigma)
    np.testing.assert_allclose([(scaled[:, labels == g] ** 2).mean() for g in (0, 1)], 1.0, rtol=1e-12)


def test_the_temperature_has_the_highest_likelihood() -> None:
    truth, mean, sigma = planets(30, 8, 1.7)
    best = temperature(truth, mean, sigma)[0]

    def log_likelihood(factor: float) -> float:
        return float((-0.5 * ((truth - mean) / (factor * sigma)) ** 2 - np.log(factor * sigma)).sum())

    assert log_likelihood(best) > max(log_likelihood(0.99 * best), log_likelihood(1.01 * best))


def test_a_lost_planet_counts_for_no_more_than_the_cap_and_honest_ones_not_less() -> None:
    truth, mean, sigma = planets(60, 40, 1.3)
    assert (temperature(truth, mean, sigma, cap=3.0) == temperature(truth, mean, sigma)).all()
    truth[7] += 50 * sigma[7]
    found = temperature(truth, mean, sigma, cap=3.0)[0]
    z2 = (((truth - mean) / sigma) ** 2).mean(1)
    assert found**2 == pytest.approx(np.minimum(z2, 9 * found**2).mean())
    assert found == pytest.approx(1.3 * np.sqrt(59 / (60 - 9)), rel=0.02)
    assert temperature(truth, mean, sigma)[0] > 6
    one_channel = temperature(*planets(100_000, 1), cap=3.0)[0]  # normal tails beyond 3 sigma
    assert one_channel == pytest.approx(1.0, abs=0.006)
    with pytest.raises(UncertaintyError, match=r"cap: expected above 1, found 0\.5"):
        temperature(truth, mean, sigma, cap=0.5)


def test_groups_are_the_bands_and_the_rest_or_runs_of_neighbours() -> None:
    wavelength = np.array([0.7, 2.0, 2.05, 2.5, 3.0])
    labels, names = band_groups(wavelength, {"FGS1": (0, 1), "CO2": (1.95, 2.1), "none": (5, 6), "NH3": (2.9, 3.1)})
    assert (labels.tolist(), names) == ([0, 1, 1, 3, 2], ["FGS1", "CO2", "NH3", "elsewhere"])
    labels, names = equal_groups(283, 4)
    assert labels[0] == 0
    assert len(names) == 5
    assert np.ptp(np.bincount(labels[1:])[1:]) <= 1
    with pytest.raises(UncertaintyError, match="expected 1 to 282, found 283"):
        equal_groups(283, 283)


# --- conformal -----------------------------------------------------------------------------------------------------


def test_conformal_half_widths_are_the_stated_order_statistics() -> None:
    score = np.arange(1.0, 20.0)  # of 19 planets: the 19th of 19 at 95 %, as (19 + 1) 0.95 = 19
    truth, mean, sigma = score[:, None], np.zeros((19, 1)), np.ones((19, 1))
    quantiles, pooled = conformal_quantiles(truth, mean, sigma)
    assert quantiles[:, 0].tolist() == [10.0, 14.0, 18.0, 19.0]
    assert pooled.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("n", [19, 20, 47])
def test_conformal_half_widths_are_order_statistics_of_each_channel(n: int) -> None:
    truth, mean, sigma = planets(n, 6, 1.3)
    quantiles, _ = conformal_quantiles(truth, mean, sigma)
    score = np.sort(np.abs((mean - truth) / sigma), axis=0)
    for row, level in enumerate(("0.5", "0.68", "0.9", "0.95")):
        rank = math.ceil(Fraction(level) * (n + 1))  # exact
        np.testing.assert_array_equal(quantiles[row], score[rank - 1])


def test_conformal_half_widths_are_mapies() -> None:
    regression = pytest.importorskip("mapie.regression")
    from sklearn.dummy import DummyRegressor

    truth, mean, sigma = planets(40, 5, 1.3)
    quantiles, _ = conformal_quantiles(truth, mean, sigma)
    rows = np.arange(40.0)[:, None]
    for channel, z in enumerate(((truth - mean) / sigma).T):
        nothing = DummyRegressor(strategy="constant", constant=0.0).fit(rows, z)
        split = regression.SplitConformalRegressor(nothing, confidence_level=list(LEVELS), prefit=True)
        _, ends = split.conformalize(rows, z).predict_interval(rows[:1])  # (1, 2, L)
        np.testing.assert_allclose(ends[0, 1], quantiles[:, channel], rtol=1e-9)


def test_conformal_intervals_cover_new_planets_as_promised_whatever_the_error_is_like() -> None:
    n, channels, trials = 25, 8, 800
    rng = np.random.default_rng(3)
    inside = np.zeros((trials, len(LEVELS)))
    for trial in range(trials):
        error = rng.standard_t(2, (n + 1, channels)) + rng.exponential(1.0, (n + 1, 1))  # heavy, skew, correlated
        truth, mean = error, np.zeros_like(error)
        sigma = np.ones_like(error)
        quantiles, _ = conformal_quantiles(truth[:-1], mean[:-1], sigma[:-1])
        inside[trial] = (np.abs(error[-1]) <= quantiles).mean(1)
    noise = inside.std(0) / np.sqrt(trials)
    exact = np.ceil((n + 1) * np.array(LEVELS) - 1e-9) / (n + 1)
    assert (inside.mean(0) > np.array(LEVELS) - 3 * noise).all()
    assert (np.abs(inside.mean(0) - exact) < 4 * noise).all()  # and no wider than the rank makes it


def test_the_order_of_planets_does_not_matter() -> None:
    truth, mean, sigma = planets(30, 5)
    shuffled = np.random.default_rng(1).permutation(30)
    for fitted in (conformal_quantiles, temperature):
        np.testing.assert_allclose(
            fitted(truth, mean, sigma)[0], fitted(truth[shuffled], mean[shuffled], sigma[shuffled])[0], rtol=1e-13
        )


def test_too_few_planets_for_a_level_pool_neighbouring_channels_and_say_so() -> None:
    assert [planets_needed(level) for level in LEVELS] == [1, 3, 9, 19]
    quantiles, pooled = conformal_quantiles(*planets(7, 50))
    assert np.isfinite(quantiles).all()
    assert pooled.tolist() == [0, 0, 1, 1]
    assert (np.diff(quantiles, axis=0) >= 0).all()
    with pytest.raises(UncertaintyError, match=r"level 0\.9: expected 9 planets, or 9 values .* found 3 planets of 2"):
        conformal_quantiles(*planets(3, 2))


# --- parts ---------------------------------------------------------------------------------------------------------


def test_parts_of_a_known_mixture() -> None:
    moments = mixture_moments(np.array([[1.0], [3.0]]), np.array([[3.0], [4.0]]))
    np.testing.assert_allclose(
        [moments.mean[0], moments.aleatoric[0] ** 2, moments.epistemic[0] ** 2, moments.sigma[0] ** 2],
        [2.0, 12.5, 1.0, 13.5],
    )


def test_moments_are_those_of_draws_from_the_mixture() -> None:
    rng = np.random.default_rng(0)
    means, sigmas = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, (5, 3))
    draws = (means + sigmas * rng.normal(size=(200_000, 5, 3))).reshape(-1, 3)
    moments = mixture_moments(means, sigmas)
    np.testing.assert_allclose(draws.mean(0), moments.mean, atol=0.01)
    np.testing.assert_allclose(draws.std(0), moments.sigma, rtol=0.01)


def test_one_sample_is_all_aleatoric_and_bit_equal() -> None:
    mean, sigma = np.random.default_rng(0).uniform(size=(2, 1, 4, 3))
    moments = mixture_moments(mean, sigma)
    assert (moments.sigma == sigma[0]).all()
    assert (moments.mean == mean[0]).all()
    assert not moments.epistemic.any()


# --- judging -------------------------------------------------------------------------------------------------------


def test_the_coverage_curve_of_honest_sigmas_is_the_diagonal_and_of_half_sigmas_known() -> None:
    truth, mean, sigma = planets(500, 40)
    curve = coverage_curve(truth, mean, sigma)
    np.testing.assert_allclose(curve.coverage, curve.levels, atol=0.01)
    half = coverage_curve(truth, mean, sigma / 2, LEVELS)
    expected = [2 * torch.special.ndtr(torch.tensor(gaussian_half_width(p) / 2)).item() - 1 for p in LEVELS]
    np.testing.assert_allclose(half.coverage, expected, atol=0.01)


def test_half_widths_may_be_given_a_channel_or_a_planet() -> None:
    truth, mean, sigma = planets(40, 6, 1.5)
    quantiles, _ = conformal_quantiles(truth, mean, sigma)
    curve = coverage_curve(truth, mean, sigma, LEVELS, quantiles)
    repeated = coverage_curve(truth, mean, sigma, LEVELS, np.repeat(quantiles[:, None], 40, 1))
    assert (curve.coverage >= LEVELS).all()
    np.testing.assert_array_equal(curve.coverage, repeated.coverage)


def test_the_bootstrap_counts_planets_and_not_their_channels() -> None:
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=(100, 1)), 50, 1)  # the channels of a planet err as one
    low, high = bounds(bootstrap_means(shared.mean(1)))
    assert (high - low) / 2 == pytest.approx(1.645 * shared[:, 0].std() / 10, rel=0.1)
    curve = coverage_curve(shared, np.zeros_like(shared), np.ones_like(shared), [0.68])
    assert curve.high[0] - curve.low[0] == pytest.approx(2 * 1.645 * np.sqrt(0.68 * 0.32 / 100), rel=0.25)


def test_the_z_histogram_of_honest_sigmas_is_the_unit_normal() -> None:
    found = z_histogram(*planets(500, 100))
    np.testing.assert_allclose(found.density, found.normal, atol=0.01)
    assert (found.density * np.diff(found.edges)).sum() == pytest.approx(1.0)
    assert found.spread[1] < 1.0 < found.spread[2]
    assert found.mean[1] < 0.0 < found.mean[2]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sigma", 0.0, "sigma: expected finite values above 0, found 0.0 at row 1, channel 2"),
        ("truth", np.nan, "truth: expected finite values, found nan at row 1, channel 2"),
    ],
)
def test_values_that_nothing_can_be_fitted_to_are_named(name: str, value: float, message: str) -> None:
    arrays = dict(zip(("truth", "mean", "sigma"), planets(4, 3), strict=True))
    arrays[name][1, 2] = value
    with pytest.raises(UncertaintyError, match=message):
        temperature(**arrays)
    with pytest.raises(UncertaintyError, match=r"expected one shape"):
        temperature(arrays["truth"], arrays["mean"][:2], arrays["sigma"])
