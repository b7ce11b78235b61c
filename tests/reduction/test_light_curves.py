"""Hit rejection that leaves transits alone, and binning with honest errors."""

from __future__ import annotations

import numpy as np
import pytest

from hf_dataset.reduction import light_curves


def transit(n: int, depth: float, ingress: int) -> np.ndarray:
    """(exposure,) trapezoidal transit over the middle third."""
    t = np.arange(n)
    return 1 - depth * np.clip(np.minimum(t - n / 3, 2 * n / 3 - t) / max(ingress, 1e-9), 0, 1)


@pytest.mark.parametrize("ingress", [1e-9, 1, 5, 100])
@pytest.mark.parametrize("depth", [0.001, 0.02, 0.1])
def test_no_ingress_however_steep_is_taken_for_a_hit(depth: float, ingress: float) -> None:
    rng = np.random.default_rng(0)
    n = 3000
    flux = 1e5 * transit(n, depth, ingress)[:, None] + rng.normal(0, 300, (n, 8))
    assert light_curves.find_hits(flux).sum() <= 1


def test_injected_hits_are_found_and_the_depth_does_not_move() -> None:
    rng = np.random.default_rng(1)
    n, depth = 6000, 0.01
    clean = 1e5 * transit(n, depth, 200)[:, None] + rng.normal(0, 300, (n, 6))
    when = rng.choice(np.arange(n), (20, 6))
    hit = clean.copy()
    for channel in range(6):
        hit[when[:, channel], channel] += rng.uniform(4000, 80000, 20)
    found = light_curves.find_hits(hit)
    injected = np.zeros(hit.shape, bool)
    for channel in range(6):
        injected[when[:, channel], channel] = True
    assert found[injected].all()
    assert found[~injected].mean() < 2e-4

    edges = light_curves.bin_edges(n, 60)

    def depth_of(flux: np.ndarray, good: np.ndarray) -> np.ndarray:
        binned = light_curves.bin_flux(flux, np.full(6, 9e4), good, edges).flux
        return 1 - binned[25:35].mean(axis=0) / np.concatenate([binned[:18], binned[42:]]).mean(axis=0)

    everything = np.ones(clean.shape, bool)
    error = 300 / 1e5 * np.sqrt(1 / 1000 + 1 / 3600)
    moved = depth_of(hit, ~found) - depth_of(clean, everything)
    assert np.abs(moved).max() < 0.3 * error  # the exposures taken out carry noise of their own
    assert np.abs(depth_of(hit, everything) - depth_of(clean, everything)).max() > 3 * error  # the hits did matter


def test_a_hit_neither_flags_nor_hides_its_neighbours() -> None:
    flux = np.random.default_rng(2).normal(1000, 10, (200, 1))
    flux[100] += 5000
    assert np.flatnonzero(light_curves.find_hits(flux)[:, 0]).tolist() == [100]


@pytest.mark.parametrize("at", [0, 1, 198, 199])
def test_hits_at_the_ends_are_found(at: int) -> None:
    flux = np.random.default_rng(3).normal(1000, 10, (200, 1))
    flux[at] += 500
    assert np.flatnonzero(light_curves.find_hits(flux)[:, 0]).tolist() == [at]


def test_jitter_raises_the_threshold_instead_of_making_hits() -> None:
    rng = np.random.default_rng(4)
    flux = 1e4 + rng.normal(0, 1500, (20000, 2))  # far above photon noise
    assert light_curves.find_hits(flux).mean() < 1e-4


def test_gaussian_noise_has_next_to_no_false_hits() -> None:
    noise = np.random.default_rng(5).normal(0, 1, (5000, 400))
    assert light_curves.find_hits(noise).mean() < 2e-6


@pytest.mark.parametrize("n", [1, 2, 6])
def test_too_short_a_series_has_no_hits(n: int) -> None:
    assert not light_curves.find_hits(np.array([[1e9], [0], [0], [0], [0], [0]])[:n]).any()


def test_replaced_hits_take_the_level_around_them() -> None:
    data = np.linspace(100, 200, 101)[:, None, None] * np.ones((1, 2, 2))
    expected = data[50, 0, 1]
    data[50, 0, 1] = data[0, 1, 1] = 1e6
    light_curves.replace_hits(data, (np.array([50, 0]), np.array([0, 1]), np.array([1, 1])))
    assert data[50, 0, 1] == pytest.approx(expected)
    assert data[0, 1, 1] == pytest.approx(101.5, abs=1)


@pytest.mark.parametrize(("n", "bins"), [(5625, 375), (67500, 375), (100, 7), (5, 5), (5, 1)])
def test_bins_share_all_exposures_equally_to_within_one(n: int, bins: int) -> None:
    edges = light_curves.bin_edges(n, bins)
    sizes = np.diff(edges)
    assert (edges[0], edges[-1], sizes.size) == (0, n, bins)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("bins", [0, 11])
def test_more_bins_than_exposures_are_refused(bins: int) -> None:
    with pytest.raises(ValueError, match=f"expected 1 to 10 .* found {bins}"):
        light_curves.bin_edges(10, bins)


def test_a_bin_is_the_mean_of_its_good_exposures_and_its_error_counts_them() -> None:
    flux = np.array([[10.0], [20.0], [90.0], [1.0], [2.0], [3.0]])
    good = np.array([[1], [1], [0], [1], [0], [0]], bool)
    binned = light_curves.bin_flux(flux, np.array([4.0]), good, np.array([0, 3, 6]), min_good_fraction=0.5)
    assert binned.flux[0, 0] == 15.0
    assert binned.flux_err[0, 0] == pytest.approx(2 / np.sqrt(2))
    np.testing.assert_array_equal(binned.valid[:, 0], [True, False])
    assert np.isfinite(binned.flux).all()
    assert np.isfinite(binned.flux_err).all()


def test_the_stated_error_is_the_scatter_of_the_bins() -> None:
    rng = np.random.default_rng(6)
    flux = rng.normal(1000, 30, (6000, 50))
    good = rng.random(flux.shape) > 0.2
    binned = light_curves.bin_flux(flux, np.full(50, 900.0), good, light_curves.bin_edges(6000, 200))
    assert ((binned.flux - 1000) / binned.flux_err).std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("broken", ["flux", "variance"])
def test_non_finite_input_makes_bins_invalid_not_nan(broken: str) -> None:
    flux, variance = np.ones((10, 2)), np.ones(2)
    if broken == "flux":
        flux[:5, 0] = np.nan
    else:
        variance[0] = np.nan
    binned = light_curves.bin_flux(flux, variance, np.ones((10, 2), bool), np.array([0, 5, 10]))
    expected = [[False, True], [broken == "flux", True]]
    np.testing.assert_array_equal(binned.valid, expected)
    assert np.isfinite(binned.flux).all()
    assert np.isfinite(binned.flux_err).all()
