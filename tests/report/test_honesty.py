"""The verdict's statistics against closed forms and predictions whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ariel_scripts.report import honesty
from ariel_scripts.report.honesty import GOOD, NARROW, UNKNOWN, WIDE, judge, judge_bands, share_interval
from hf_dataset.simulation.planets import wavelengths_um

REPORTS = 80
WAVELENGTH = wavelengths_um("2025")


def normals(planets: int, channels: int, shared: float, seed: int) -> np.ndarray:
    """Unit normals (P, C), of whose variance a planet's channels have a part in common."""
    rng = np.random.default_rng(seed)
    common, own = rng.standard_normal((planets, 1)), rng.standard_normal((planets, channels))
    return np.sqrt(shared) * common + np.sqrt(1.0 - shared) * own


@pytest.mark.parametrize(("inside", "planets"), [(180, 200), (55, 60), (12, 30), (40, 40), (0, 9)])
def test_one_channel_has_the_interval_of_clopper_and_pearson(inside: int, planets: int) -> None:
    size = np.where(np.arange(planets) < inside, 0.5, 2.0)[:, None]
    exact = stats.binomtest(inside, planets).proportion_ci(0.9, "exact")
    assert share_interval(size, 1.0, 0.9) == pytest.approx((exact.low, exact.high), abs=0.005)


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("planets", [12, 40])
def test_the_interval_of_a_share_holds_it_as_often_as_stated_however_channels_err_together(
    planets: int, shared: float
) -> None:
    held, half = [], stats.norm.isf(0.05)
    for seed in range(400):
        low, high = share_interval(np.abs(normals(planets, 40, shared, seed)), half, 0.9)
        held.append(low <= 0.9 <= high)
    assert np.mean(held) > 0.86


@pytest.mark.parametrize(("planets", "shared"), [(20, 0.3), (20, 0.95), (100, 0.95)])
def test_honest_errors_are_called_dishonest_in_one_report_of_twenty_at_most(planets: int, shared: float) -> None:
    called = []
    for seed in range(REPORTS):
        truth = normals(planets, len(WAVELENGTH), shared, seed)
        all_, *bands = judge_bands(truth, 0.0 * truth, np.ones_like(truth), WAVELENGTH)
        called.append([all_.verdict in (NARROW, WIDE), any(one.verdict in (NARROW, WIDE) for one in bands)])
    assert np.mean(called, 0).max() < 0.05 + 2.0 * np.sqrt(0.05 * 0.95 / REPORTS)


@pytest.mark.parametrize(("scale", "verdict"), [(1.5, NARROW), (1.0, GOOD), (0.7, WIDE)])
def test_sigmas_that_are_wrong_in_one_band_are_found_there_by_their_factor(scale: float, verdict: str) -> None:
    z = normals(300, len(WAVELENGTH), 0.2, 1)
    inside = (WAVELENGTH >= 2.9) & (WAVELENGTH < 3.1)
    z[:, inside] *= scale
    found = {one.name: one for one in judge_bands(0.0 * z, z, np.ones_like(z), WAVELENGTH)}
    assert found["NH3 3.0"].verdict == verdict
    assert found["NH3 3.0"].factor.low < scale < found["NH3 3.0"].factor.high
    assert {one.verdict for name, one in found.items() if name not in ("", "NH3 3.0", "FGS1")} == {GOOD}
    assert found["FGS1"].verdict in (GOOD, UNKNOWN)


def test_the_interval_of_the_factor_holds_it_as_often_as_stated() -> None:
    found = [honesty.factor_of(1.3 * normals(80, 20, 0.8, seed)) for seed in range(300)]
    assert np.mean([one.low <= 1.3 <= one.high for one in found]) > 0.86


@pytest.mark.parametrize("planets", [1, 4, 10])
def test_few_planets_prove_nothing_small(planets: int) -> None:
    assert judge("", 1.2 * normals(planets, 30, 0.5, 3), 8).verdict == UNKNOWN


@pytest.mark.parametrize("shared", [0.0, 0.2, 1.0])
def test_no_honest_planet_of_a_report_goes_farther_than_expected(shared: float) -> None:
    beyond = [
        (np.sqrt((normals(50, 60, shared, seed) ** 2).mean(1)) > honesty.farthest_expected(50)).any()
        for seed in range(400)
    ]
    assert np.mean(beyond) < 0.05 + 2.0 * np.sqrt(0.05 * 0.95 / 400)
    assert shared < 1.0 or np.mean(beyond) > 0.02  # the bound is reached


def test_entropy_is_that_of_a_gaussian_and_outliers_lie_beyond_fences() -> None:
    sigma = np.full((12, 5), 20e-6) * np.linspace(0.9, 1.1, 12)[:, None]
    assert honesty.entropy(sigma)[3] == pytest.approx(stats.norm(scale=1e6 * sigma[3, 0]).entropy())
    sigma[4] *= 40
    sigma[7] /= 40
    found = honesty.outlying(honesty.entropy(sigma))
    assert (found[4], found[7], np.abs(found).sum()) == (1, -1, 2)
    assert not honesty.outlying(honesty.entropy(sigma[:8])).any()
