"""Pixels to channels and exposures to bins: levels, depths, errors and gaps."""

from __future__ import annotations

from dataclasses import replace

import batman
import numpy as np
import pytest

from modeling_ariel.any_telescope.binning import bin_channels, bin_times
from modeling_ariel.any_telescope.observation import Observation, ObservationError

PPM = 1e-6
LONG = 20_000


def transit(time: np.ndarray, middle: float = 4.0, depth: float = 0.02) -> np.ndarray:
    """A transit of batman's around ``middle`` [h]."""
    planet = batman.TransitParams()
    planet.t0, planet.per, planet.rp, planet.a, planet.inc = middle / 24, 3.0, np.sqrt(depth), 9.0, 88.0
    planet.ecc, planet.w, planet.u, planet.limb_dark = 0.0, 90.0, [0.3, 0.2], "quadratic"
    return np.asarray(batman.TransitModel(planet, time / 24).light_curve(planet))


def long_times() -> np.ndarray:
    """Exposures of 8 h with a gap of 40 min in egress."""
    time = np.linspace(0, 8, LONG + 1)[1:]
    return time[(time < 4.9) | (time > 5.57)]


@pytest.fixture(scope="module")
def long_visit() -> Observation:
    time = long_times()
    return Observation.of("long", time, transit(time), np.full(len(time), 1e-3), exposure=8 / LONG,
                          regressors={"x": np.sin(time), "orbit": (time > 5).astype(float)})  # fmt: skip


def test_a_binned_transit_is_the_models_mean_over_each_bins_exposures(long_visit: Observation) -> None:
    binned = bin_times(long_visit, 500)
    assert 450 <= len(binned.time) <= 500
    assert any("binned" in note for note in binned.notes)
    for time, exposure, flux in zip(binned.time, binned.exposure, binned.flux[:, 0], strict=True):
        inside = np.abs(long_visit.time - time) < exposure / 2
        assert abs(transit(long_visit.time[inside]).mean() - flux) < 1e-12
    fine = (np.arange(400) + 0.5) / 400 - 0.5
    expected = transit((binned.time[:, None] + fine * binned.exposure[:, None]).ravel()).reshape(-1, 400).mean(1)
    assert np.abs(binned.flux[:, 0] - expected).max() < 1 * PPM


def test_no_bin_spans_a_gap_and_all_exposures_are_in_one(long_visit: Observation) -> None:
    binned = bin_times(long_visit, 500)
    begin, end = binned.time - binned.exposure / 2, binned.time + binned.exposure / 2
    assert not ((begin < 4.95) & (end > 5.5)).any()
    assert set(np.unique(binned.regressors["orbit"])) == {0.0, 1.0}
    assert (np.diff(binned.time) > 0).all()
    assert (begin[1:] > end[:-1] - 1e-9).all()
    count = np.rint(binned.exposure / (8 / LONG))
    assert count.sum() == len(long_visit.time)
    assert np.abs(binned.flux_err[:, 0] / (1e-3 / np.sqrt(count)) - 1).max() < 1e-9


def test_binned_white_noise_has_a_chi2_of_1_at_every_size() -> None:
    rng = np.random.default_rng(3)
    error = rng.uniform(0.5e-3, 1.5e-3, (LONG, 4))
    made = Observation.of("white", np.arange(LONG) / 1000, 1 + error * rng.standard_normal(error.shape), error,
                          [1.0, 1.1, 1.2, 1.3])  # fmt: skip
    for most in (5000, 1000, 300):
        binned = bin_times(made, most)
        chi2 = np.mean(((binned.flux - 1) / binned.flux_err) ** 2)
        assert abs(chi2 - 1) < 5 * np.sqrt(2 / binned.flux.size)
    channels = bin_channels(made, count=2)
    chi2 = np.mean(((channels.flux - channels.flux.mean(0)) / channels.flux_err) ** 2)
    assert abs(chi2 - 1) < 5 * np.sqrt(2 / channels.flux.size)


def test_few_times_are_left_alone(long_visit: Observation) -> None:
    short = long_visit.at(np.arange(len(long_visit.time)) < 800)
    assert bin_times(short) is short
    assert len(bin_times(long_visit).time) <= 800


def test_every_orbit_of_hst_is_binned_by_itself() -> None:
    time = np.concatenate([1.6 * orbit + np.arange(400) * 0.002 for orbit in range(5)])
    made = Observation.of("hst", time, np.repeat(np.arange(1.0, 6), 400), np.full(2000, 0.1), exposure=0.002)
    binned = bin_times(made, 100)
    assert len(binned.time) == 100
    assert set(binned.flux[:, 0]) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert np.allclose(binned.exposure, 20 * 0.002)


def test_exposures_of_two_lengths_are_not_mixed() -> None:
    time = np.cumsum(np.r_[np.full(2000, 0.001), np.full(2000, 0.01)])
    exposure = np.r_[np.full(2000, 0.001), np.full(2000, 0.01)]
    binned = bin_times(Observation.of("two", time, np.ones(4000), np.ones(4000), exposure=exposure), 100)
    assert "2 stretches" in binned.notes[-1]
    assert not ((binned.exposure > 0.05) & (binned.exposure < 0.3)).any()


def test_more_gaps_than_bins_make_a_bin_each() -> None:
    time = (np.arange(60)[:, None] + np.arange(20) * 1e-3).ravel()
    binned = bin_times(Observation.of("many", time, np.ones(1200), np.ones(1200)), 50)
    assert len(binned.time) == 60


def test_missing_exposures_cost_points_not_levels() -> None:
    time = np.arange(4000) * 0.002
    valid = np.ones((4000, 2), bool)
    valid[1000:1060, 0] = False  # three bins of one channel
    valid[2000:2001] = False  # a dark time
    made = Observation.of("missing", time, np.ones((4000, 2)), np.ones((4000, 2)), [1.0, 2.0], valid=valid)
    binned = bin_times(made, 210)
    assert 2 <= (~binned.valid[:, 0]).sum() <= 4
    assert binned.valid[:, 1].all()
    assert np.nanmax(np.abs(binned.flux - 1)) == 0
    assert any("1 times without a good point" in note for note in binned.notes)


# --- channels ---------------------------------------------------------------------------------------------------------


def native(counts: bool = True, seed: int = 0, pixels: int = 60, times: int = 300) -> Observation:
    """Pixels of a spectrum with a grey transit of 2 %, photon noise in the errors alone."""
    time = np.linspace(0, 8, times)
    wavelength = np.linspace(0.9, 2.8, pixels)
    level = 1e5 * np.exp(-(((wavelength - 1.3) / 0.6) ** 2)) + 500
    flux = level * transit(time)[:, None]
    error = np.sqrt(flux)
    scale = 1.0 if counts else level
    return Observation.of("native", time, flux / scale, error / scale, wavelength)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("how", [{"count": 7}, {"resolution": 12.0}, {"edges": [0.8, 1.2, 1.9, 2.9]}])
def test_channels_keep_a_transit_to_a_millionth_of_a_ppm(counts: bool, how: dict) -> None:
    binned = bin_channels(native(counts), **how)
    curve = transit(binned.time)[:, None]
    assert np.abs(binned.flux / np.median(binned.flux, 0) * np.median(curve) / curve - 1).max() < 1e-12
    assert (np.diff(binned.wavelength) > 0).all()


def test_channels_of_counts_and_of_relative_flux_are_one() -> None:
    counts, relative = (bin_channels(native(one), count=5) for one in (True, False))
    np.testing.assert_allclose(counts.flux / counts.flux[0], relative.flux / relative.flux[0], rtol=1e-10)
    np.testing.assert_allclose(counts.flux_err / counts.flux, relative.flux_err / relative.flux, rtol=1e-10)
    np.testing.assert_allclose(counts.wavelength, relative.wavelength, rtol=1e-12)


def test_a_channel_of_photon_noise_is_the_sum_of_its_pixels() -> None:
    made = native()
    depth = np.linspace(0.01, 0.03, 60)  # each pixel's own
    flux = np.median(made.flux, 0) * np.stack([transit(made.time, depth=one) for one in depth], 1)
    made = replace(made, flux=flux, flux_err=np.sqrt(flux))
    summed, binned = flux.sum(1), bin_channels(made, count=1)
    assert np.abs(binned.flux[:, 0] / binned.flux[0, 0] - summed / summed[0]).max() < 20 * PPM  # of 20,000
    np.testing.assert_allclose(binned.flux_err[:, 0] / binned.flux[:, 0], 1 / np.sqrt(summed), rtol=1e-3)
    centre = np.average(made.wavelength, weights=flux.sum(0))
    assert abs(binned.wavelength[0] - centre) < 1e-3


@pytest.mark.parametrize("where", ["in transit", "anywhere"])
def test_a_missing_pixel_changes_neither_level_nor_depth(where: str) -> None:
    made, rng = native(), np.random.default_rng(1)
    lost = np.zeros(made.flux.shape, bool)
    if where == "in transit":
        lost[140:170, ::6] = True
    else:
        lost = rng.random(made.flux.shape) < 0.05
    binned = bin_channels(replace(made, valid=~lost, flux=np.where(lost, 1e9, made.flux)), count=6)
    curve = transit(binned.time)[:, None]
    change = binned.flux / bin_channels(made, count=6).flux
    good = binned.valid
    spread = [np.ptp(change[good[:, one], one]) for one in range(6)]
    assert max(spread) < 1 * PPM, spread
    assert good.mean() > 0.85
    assert np.isnan(binned.flux[~good]).all()
    assert curve.min() < 0.981


def test_a_pixel_without_light_or_often_missing_is_left_out() -> None:
    made = native()
    flux, valid = made.flux.copy(), made.valid.copy()
    flux[:, 10], valid[::3, 20] = -5.0, False
    binned = bin_channels(replace(made, flux=flux, valid=valid), count=4)
    assert any(note.startswith("2 pixels left out") for note in binned.notes)
    curve = transit(binned.time)[:, None]
    assert np.ptp(binned.flux / curve, axis=0).max() < 1e-9 * binned.flux.max()


def test_errors_of_channels_are_those_of_the_mean() -> None:
    rng = np.random.default_rng(8)
    time, error = np.linspace(0, 5, 4000), np.linspace(1e-3, 4e-3, 30)
    made = Observation.of("noise", time, 1 + error * rng.standard_normal((4000, 30)), np.tile(error, (4000, 1)),
                          np.linspace(1, 2, 30))  # fmt: skip
    binned = bin_channels(made, count=1)
    assert abs(binned.flux.std() / np.median(binned.flux_err) - 1) < 0.05
    assert abs(np.median(binned.flux_err) * np.sqrt((1 / error**2).sum()) - 1) < 0.01  # the best that there is


def test_channels_say_what_they_cover() -> None:
    made = native()
    binned = bin_channels(made, edges=[[0.95, 1.3], [1.6, 2.0], [3.0, 4.0]])
    assert binned.shape == (300, 2)
    assert any("1 channels without a good pixel" in note for note in binned.notes)
    step = made.wavelength[1] - made.wavelength[0]
    assert abs(binned.half_width[0] - 0.175) < step
    fine = bin_channels(made, resolution=50.0)
    assert (fine.half_width * 2 <= fine.wavelength / 50 + 2 * step).all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "found none or several"),
        ({"count": 3, "resolution": 10}, "found none or several"),
        ({"count": 61}, "expected 1 to 60"),
        ({"resolution": -1}, "expected a positive number"),
        ({"edges": [2.0, 1.0]}, "ascending"),
        ({"edges": [[1.0, 2.0], [1.5, 2.5]]}, "do not overlap"),
        ({"edges": [5.0, 6.0]}, "found none"),
    ],
)
def test_channels_that_cannot_be_meant_are_refused(how: dict, words: str) -> None:
    with pytest.raises(ObservationError, match=words):
        bin_channels(native(), **how)
