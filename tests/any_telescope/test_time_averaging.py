"""Scatter of binned residuals against closed forms, for noise without memory and with a known one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from ariel_scripts.telescope_fit.time_averaging import FEWEST_BINS, averaged, beta

STEP = 0.02  # h
rng = np.random.default_rng(7)


def first_order(size: int, phi: float) -> np.ndarray:
    """A stationary autoregressive series of unit variance."""
    noise = rng.standard_normal(size + 1000)
    return lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise)[1000:]


def scatter_of_means(phi: float, size: np.ndarray) -> np.ndarray:
    """Of ``size`` neighbours in a first-order series of unit variance, in closed form."""
    variance = ((1 + phi) / (1 - phi) - 2 * phi * (1 - phi**size) / (size * (1 - phi) ** 2)) / size
    return np.sqrt(variance)


def test_white_noise_lies_in_its_band_as_often_as_it_says() -> None:
    time = STEP * np.arange(300)
    inside, covered = [], []
    for _ in range(400):
        found = averaged(rng.standard_normal(300), time)
        inside.append((found.rms > found.white_low) & (found.rms < found.white_high))
        truth = found.size**-0.5
        covered.append((found.low < truth) & (truth < found.high))
    assert np.abs(np.mean(inside, 0)[5:] - 0.683).max() < 0.1  # by the scatter of single points, hardly in error
    assert np.abs(np.mean(covered, 0) - 0.683).max() < 0.1


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_noise_with_memory_averages_out_as_its_closed_form_says(phi: float) -> None:
    found = averaged(first_order(200_000, phi), STEP * np.arange(200_000))
    kept = found.bins > 2000
    assert np.abs(found.rms / scatter_of_means(phi, found.size) - 1)[kept].max() < 0.1
    assert np.allclose(found.white, found.rms[0] / np.sqrt(found.size))


def test_beta_is_one_of_white_noise_and_what_the_closed_form_says_of_memory() -> None:
    time, length = STEP * np.arange(400), 0.4
    white = np.array([beta(rng.standard_normal(400), time, length) for _ in range(300)])
    assert abs(white[:, 0].mean() - 1) < 0.03
    assert 0.6 < white[:, 0].std() / white[:, 1].mean() < 1.3
    sizes = np.arange(10, 41)
    value, _ = beta(first_order(100_000, 0.8), STEP * np.arange(100_000), length)
    assert value == pytest.approx((scatter_of_means(0.8, sizes) * np.sqrt(sizes)).mean(), rel=0.05)


def test_no_bin_reaches_over_a_gap_or_takes_missing_points() -> None:
    time = np.concatenate([STEP * np.arange(20) + 1.6 * orbit for orbit in range(5)])
    residual = np.concatenate([np.full(20, level) for level in (1.0, -1.0, 2.0, -2.0, 0.0)])
    residual[3] = np.nan
    found = averaged(residual, time)
    assert found.size.max() <= 20
    assert np.isfinite(found.rms).all()
    assert found.bins[found.size == 19] == 5  # one in each orbit, of one level alone
    assert found.rms[found.size == 19] == pytest.approx(np.std([1, -1, 2, -2, 0], ddof=1))


def test_too_few_bins_say_nothing() -> None:
    assert not len(averaged(np.full(10, np.nan), STEP * np.arange(10)).size)
    assert np.isnan(beta(rng.standard_normal(8), STEP * np.arange(8), 10.0)).all()
    assert averaged(rng.standard_normal(50), STEP * np.arange(50)).bins.min() >= FEWEST_BINS
