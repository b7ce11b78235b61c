"""The notebooks' small functions against closed forms, other libraries and the fit."""

from __future__ import annotations

from collections.abc import Callable

import exoplanet_core
import numpy as np
import pytest
import scipy.stats
import torch
from transit_scenes import Scene

from hf_dataset import teaching
from modeling_ariel import ClassicalFit, fit

DEPTHS = np.array([0.01, 0.012, 0.009])


def box(n_time: int = 100, depths: np.ndarray = DEPTHS) -> tuple[np.ndarray, np.ndarray]:
    """Normalised transits without ingress, from 0.2 to 0.8 of the visit, and their mask."""
    mask = teaching.out_of_transit_mask(n_time)
    return np.where(mask[:, None], 1.0, 1.0 - depths), mask


# --- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_time", [5, 10, 187, 1000])
def test_a_mask_holds_its_share_of_the_visit(n_time: int) -> None:
    mask = teaching.out_of_transit_mask(n_time, 0.2, 0.8)
    assert mask.shape == (n_time,)
    assert abs(mask.mean() - 0.4) <= 1 / n_time
    np.testing.assert_array_equal(mask, mask[::-1])


def test_contacts_are_those_where_the_discs_touch() -> None:
    b, k, speed = 0.4, 0.1, 1.5
    first, fourth = teaching.contacts(3.0, b**2, np.log(speed), k)
    second, third = teaching.contacts(3.0, b**2, np.log(speed), -k)
    z = np.hypot(speed * (np.array([first, second, third, fourth]) - 3.0), b)
    np.testing.assert_allclose(z, [1 + k, 1 - k, 1 - k, 1 + k], rtol=1e-12)
    light = exoplanet_core.quad_limbdark_light_curve(0.0, 0.0, z[:2] * [1 + 1e-9, 1 - 1e-9], np.full(2, k))
    np.testing.assert_allclose(light, [0, -(k**2)], atol=1e-12)
    time = np.linspace(0, 6, 601)
    mask = teaching.contact_mask(time, first, fourth)
    assert time[~mask].min() == pytest.approx(first, abs=0.01)
    assert time[~mask].max() == pytest.approx(fourth, abs=0.01)


# --- steps ---------------------------------------------------------------------------------------------------------


def test_a_baseline_becomes_1_whatever_the_channels_unit() -> None:
    flux, mask = box()
    found = teaching.baseline_normalize(flux * [1e5, 3.0, 0.02], mask)
    np.testing.assert_allclose(found, flux, rtol=1e-14)


def test_bins_are_means_with_errors_that_fall_as_the_root_of_their_size() -> None:
    flux = np.arange(22.0).reshape(11, 2)
    mean, error = teaching.bin_time(flux, 4, np.full((11, 2), 0.3))
    np.testing.assert_array_equal(mean, [flux[:4].mean(0), flux[4:8].mean(0)])
    np.testing.assert_allclose(error, 0.15, rtol=1e-14)
    counts = np.full((4, 2), 200, np.uint8)  # whose squares have no room
    np.testing.assert_allclose(teaching.bin_time(counts, 2, counts)[1], 200 / np.sqrt(2))
    cube = np.ones((9, 2, 5))
    assert teaching.bin_time(cube, 3).shape == (3, 2, 5)


def test_common_mode_takes_the_common_drift_and_the_common_transit() -> None:
    flux, mask = box()
    drift = 1 + 0.002 * np.sin(np.arange(100) / 9)
    drift /= np.median(drift[mask])
    found = teaching.common_mode_correction(flux * drift[:, None], mask)
    np.testing.assert_allclose(found.mean(1), 1, rtol=1e-12)
    depth = teaching.extract_transit_depth(found, mask).depth
    np.testing.assert_allclose(depth, 1 - (1 - DEPTHS) / (1 - DEPTHS.mean()), atol=1e-12)


def test_common_mode_with_the_white_transit_takes_the_drift_alone() -> None:
    flux, mask = box()
    drift = 1 + 0.002 * np.sin(np.arange(100) / 9)
    drift /= np.median(drift[mask])
    found = teaching.common_mode_correction(flux * drift[:, None], mask, transit=flux.mean(1))
    np.testing.assert_allclose(found, flux, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_robust_zscore_is_that_of_a_normal_distribution_and_unmoved_by_outliers(axis: int) -> None:
    values = np.random.default_rng(0).normal(5, 2, (4000, 3))
    values[:40] = 1e6
    found = teaching.robust_zscore(values if axis == 0 else values.T, axis)
    expected = (values - 5) / 2
    np.testing.assert_allclose(found if axis == 0 else found.T, expected, rtol=0.06, atol=0.1)
    one = values[:, 0]
    away = (one - np.median(one)) / scipy.stats.median_abs_deviation(one, scale="normal")
    np.testing.assert_allclose(teaching.robust_zscore(one), away, rtol=1e-4)


# --- depths --------------------------------------------------------------------------------------------------------


def test_the_depth_of_a_box_is_exact_and_its_error_that_of_a_mean() -> None:
    flux, mask = box(200)
    noisy = flux + np.random.default_rng(1).normal(0, 1e-3, (4000, *flux.shape))
    found = [teaching.extract_transit_depth(one, mask) for one in noisy]
    depths, errors = np.stack([one.depth for one in found]), np.stack([one.error for one in found])
    np.testing.assert_allclose(depths.mean(0), DEPTHS, atol=5e-6)
    np.testing.assert_allclose(errors.mean(0), 1e-3 / np.sqrt((~mask).sum()), rtol=0.01)
    np.testing.assert_allclose(depths.std(0), errors.mean(0), rtol=0.05)  # the baseline is known here


def test_weights_leave_ingress_out() -> None:
    flux, mask = box()
    weights = np.ones(100)
    weights[20:30] = 0
    flux[20:30] = 0.5
    found = teaching.extract_transit_depth(flux, mask, weights)
    np.testing.assert_allclose(found.depth, DEPTHS, rtol=1e-12)
    flux[mask] += np.resize([1e-3, -1e-3], (mask.sum(), 1))
    scatter = flux[mask].std(0, ddof=1)
    np.testing.assert_allclose(teaching.extract_transit_depth(flux, mask, weights).error, scatter / np.sqrt(50))


def test_a_signal_to_noise_is_depth_over_scatter() -> None:
    flux, mask = box(6000)
    noise = np.random.default_rng(2).normal(0, 5e-3, flux.shape)
    np.testing.assert_allclose(teaching.estimate_transit_snr(7e4 * (flux + noise), mask), DEPTHS / 5e-3, rtol=0.1)


@pytest.mark.parametrize("n_time", [64, 65])
def test_statistics_over_time_are_scipys_and_powers_add_up_to_the_variance(n_time: int) -> None:
    flux = np.random.default_rng(3).gamma(2.0, size=(n_time, 4))
    found = teaching.time_statistics(flux, bands=5)
    np.testing.assert_allclose(found.mean, flux.mean(0))
    np.testing.assert_allclose(found.skew, scipy.stats.skew(flux))
    np.testing.assert_allclose(found.power.sum(1), found.variance, rtol=1e-12)
    wave = np.sin(2 * np.pi * np.arange(64) * np.array([[2], [30]]) / 64).T
    power = teaching.time_statistics(wave, bands=4).power
    np.testing.assert_allclose(power, [[0.5, 0, 0, 0], [0, 0, 0, 0.5]], atol=1e-12)


def test_all_steps_at_once_are_the_steps_one_after_another() -> None:
    rng = np.random.default_rng(4)
    airs, fgs1 = 1e3 * rng.normal(1, 0.01, (103, 6)), 1e5 * rng.normal(1, 0.01, 103)
    found = teaching.preprocess_planet(airs, fgs1, 0.3, 0.7, 4)
    mask = teaching.out_of_transit_mask(25, 0.3, 0.7)
    normalised = teaching.baseline_normalize(teaching.bin_time(airs, 4), mask)
    np.testing.assert_array_equal(found.mask_oot, mask)
    np.testing.assert_allclose(found.airs_norm, normalised)
    depth = teaching.extract_transit_depth(normalised, mask)
    np.testing.assert_allclose(found.transit_depth[1:], depth.depth)
    np.testing.assert_allclose(found.transit_depth_err[1:], depth.error)
    assert found.fgs1_norm.shape == (25,)
    assert found.transit_depth[0] == pytest.approx(1 - found.fgs1_norm[~mask].mean())


# --- beside the fit ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> tuple[Scene, dict[str, torch.Tensor], ClassicalFit]:
    """A transit with limb darkening and no drift, and its fit."""
    scene = Scene(drift=(), noise=2e-4, seed=5)
    batch = scene.batch()
    return scene, batch, fit(batch, scene.wavelength)


def test_contacts_of_the_fit_are_those_of_the_orbit(fitted: tuple[Scene, dict, ClassicalFit]) -> None:
    scene, _, found = fitted
    k = float(np.sqrt(scene.depth.mean()))
    half = np.sqrt((1 + k) ** 2 - scene.b**2) / (scene.a * 2 * np.pi / (24 * scene.period))
    t0, b_squared, log_speed = found.shape[0].tolist()
    first, fourth = teaching.contacts(t0, b_squared, log_speed, k)
    np.testing.assert_allclose([first, fourth], [scene.t0 - half, scene.t0 + half], atol=0.02)


def test_a_mean_in_transit_is_the_fits_depth_times_its_limb_darkened_shape(
    fitted: tuple[Scene, dict, ClassicalFit],
) -> None:
    """Alone it is off by more than the fit's errors; the fit's own curve, treated alike, says by how much."""
    scene, batch, found = fitted
    t0, b_squared, log_speed = found.shape[0].tolist()
    mask = teaching.contact_mask(scene.time, *teaching.contacts(t0, b_squared, log_speed, 0.1))
    flux = teaching.baseline_normalize(batch["flux"][0].numpy(), mask)
    raw, error = teaching.extract_transit_depth(flux, mask)
    model = teaching.baseline_normalize(found.model[0].numpy().T, mask)
    shape = teaching.extract_transit_depth(model, mask).depth / found.depth[0].numpy()
    assert np.all(np.abs(raw[1:] / shape[1:] / scene.depth[1:] - 1) < 5 * error[1:] / scene.depth[1:])
    apart = (raw / shape - found.depth[0].numpy()) / error
    assert np.abs(apart).max() < 3
    assert np.abs((raw - scene.depth) / error).max() > 5
    assert np.all(error < found.depth_err[0].numpy())  # it knows nothing of baseline, timing and limb darkening


# --- what cannot be meant ------------------------------------------------------------------------------------------

FLUX, MASK = box()
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "ingress after egress": (lambda: teaching.out_of_transit_mask(9, 0.8, 0.2), "expected 0 ≤ ingress < egress ≤ 1"),
    "contacts the wrong way": (lambda: teaching.contact_mask(FLUX[:, 0], 2.0, 1.0), "first before the fourth"),
    "a planet that misses": (lambda: teaching.contacts(3.0, 2.0, 0.0, 0.1), r"b² below \(1 \+ k\)², found b² = 2"),
    "a dark channel": (lambda: teaching.baseline_normalize(FLUX * [1, 0, 1], MASK), "channel 1: .*above 0, found 0"),
    "a mask of another length": (
        lambda: teaching.baseline_normalize(FLUX, MASK[1:]),
        r"100 times, found shape \(99,\)",
    ),
    "no baseline": (lambda: teaching.baseline_normalize(FLUX, ~MASK & False), "at least 2 points outside, found 0"),
    "no transit": (lambda: teaching.extract_transit_depth(FLUX, MASK | True), "points in transit, found none"),
    "weights below 0": (lambda: teaching.extract_transit_depth(FLUX, MASK, -np.ones(100)), "expected none below 0"),
    "weights of other times": (
        lambda: teaching.extract_transit_depth(FLUX, MASK, np.ones(9)),
        "one for each of 100 times",
    ),
    "a mask of 0 and 1": (
        lambda: teaching.extract_transit_depth(FLUX, MASK.astype(int)),
        "True and False, found int64",
    ),
    "errors of other times": (lambda: teaching.bin_time(FLUX, 2, np.ones(100)), "expected the shape of the flux"),
    "a bin of nothing": (lambda: teaching.bin_time(FLUX, 0), "expected 1 to 100, the number of points, found 0"),
    "a bin longer than the visit": (lambda: teaching.bin_time(FLUX, 101), "found 101"),
    "values all alike": (lambda: teaching.robust_zscore(np.ones(5)), "half of them or more the same"),
    "too many bands": (lambda: teaching.time_statistics(FLUX, 51), "expected 1 to 50, half of the points, found 51"),
    "FGS1 at its own times": (lambda: teaching.preprocess_planet(FLUX, np.ones(99)), "expected the 100 times"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
