"""Trace, foreground off the wings, sums and centroids on frames whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from hf_dataset.reduction import extraction

ROWS = np.arange(32)[:, None]


def airs_frame(foreground: float = 0.0, centre: float = 15.6, wings: float = 0.01, n_columns: int = 80) -> np.ndarray:
    """(row, column) mean frame: a Gaussian core, r⁻² wings, a flat foreground; 1e5 e- a column but for the spectrum."""
    spectrum = 1e5 * (1 + 0.4 * np.sin(np.arange(n_columns) / 11.0))
    distance = np.abs(ROWS - centre - 0.01 * np.arange(n_columns))
    core = np.exp(-(distance**2) / 2 / 1.3**2)
    profile = core / core.sum(axis=0) + wings / np.maximum(distance, 1.0) ** 2
    return spectrum * profile + foreground


def good(frame: np.ndarray) -> np.ndarray:
    return np.ones(frame.shape, bool)


def test_the_trace_is_found_to_a_hundredth_of_a_pixel_with_and_without_bad_pixels() -> None:
    frame = airs_frame(foreground=5.0)
    expected = 15.6 + 0.01 * np.arange(frame.shape[1])
    assert np.abs(extraction.trace_centre(frame, good(frame)) - expected).max() < 0.02
    usable = good(frame)
    usable[16, ::9] = False
    assert np.abs(extraction.trace_centre(np.where(usable, frame, 1e6), usable) - expected).max() < 0.02


def test_a_point_source_is_found_to_a_hundredth_of_a_pixel() -> None:
    rows, columns = np.indices((32, 32))
    spot = 1e4 * np.exp(-((rows - 14.3) ** 2 + (columns - 17.8) ** 2) / 2 / 1.5**2)
    assert extraction.centre_of_light(spot, good(spot)) == pytest.approx((14.3, 17.8), abs=0.01)


@pytest.mark.parametrize("empty", [np.zeros((32, 20)), -np.ones((32, 20))])
def test_a_frame_without_light_is_an_error(empty: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a spectrum"):
        extraction.trace_centre(empty, good(empty))
    with pytest.raises(ValueError, match="expected a source"):
        extraction.centre_of_light(empty, good(empty))


@pytest.mark.parametrize("truth", [0.0, 2.2, 40.0])
@pytest.mark.parametrize("wings", [0.0, 0.01, 0.03])
def test_the_foreground_off_the_wings_is_the_true_one(truth: float, wings: float) -> None:
    frame = airs_frame(truth, wings=wings) + np.random.default_rng(0).normal(0, 0.3, (32, 80))
    distance = extraction.distance_from_trace(extraction.trace_centre(frame, good(frame)), 32)
    level = extraction.foreground(frame, good(frame), distance, kind="wings")
    assert np.abs(level - truth).max() < 1.0 + 30 * wings  # 11 rows of it are at most 0.02 % of the light


def test_a_plain_edge_mean_takes_the_wings_for_foreground() -> None:
    frame = airs_frame(0.0, wings=0.01)
    distance = extraction.distance_from_trace(np.full(80, 16.0), 32)
    edge = extraction.foreground(frame, good(frame), distance, kind="edge")
    wing = extraction.foreground(frame, good(frame), distance, kind="wings")
    assert np.median(edge) > 5
    assert np.abs(np.median(wing)) < 0.1 * np.median(edge)
    assert not extraction.foreground(frame, good(frame), distance, kind="none").any()


def test_bad_pixels_do_not_enter_the_foreground() -> None:
    frame, usable = airs_frame(3.0), np.ones((32, 80), bool)
    usable[2, ::3] = False
    distance = extraction.distance_from_trace(extraction.trace_centre(frame, usable), 32)
    clean = extraction.foreground(frame, usable, distance)
    np.testing.assert_array_equal(extraction.foreground(np.where(usable, frame, 1e6), usable, distance), clean)


def test_a_point_sources_annulus_is_free_of_its_wings() -> None:
    rows, columns = np.indices((32, 32))
    distance = np.hypot(rows - 15.4, columns - 15.6)
    frame = 2e5 * (np.exp(-(distance**2) / 2 / 1.5**2) / 14.1 + 0.02 / np.maximum(distance, 2.0) ** 3) + 0.5
    level = extraction.foreground_of_point(frame, good(frame), distance, annulus=(10.0, 16.0))
    edge = extraction.foreground_of_point(frame, good(frame), distance, annulus=(10.0, 16.0), kind="edge")
    assert level == pytest.approx(0.5, abs=0.05)
    assert edge > 1.0
    with pytest.raises(ValueError, match="expected 12 good pixels in the annulus"):
        extraction.foreground_of_point(frame, np.zeros(frame.shape, bool), distance, annulus=(10.0, 16.0))


def cube(n: int = 400, depth: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(exposure, row, column) noisy exposures with a transit in the second half, their mean and variance."""
    frame = airs_frame()
    variance = frame + 350.0
    level = np.where(np.arange(n) < n // 2, 1.0, 1 - depth)[:, None, None]
    noise = np.random.default_rng(seed).normal(0, 1, (n, *frame.shape)) * np.sqrt(variance)
    return level * frame + noise, frame, variance


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["plain", "optimal"])
def test_sums_give_the_light_in_the_aperture_and_their_own_scatter(
    kind: extraction.ExtractionKind, dtype: type
) -> None:
    data, frame, variance = cube()
    inside = extraction.aperture(extraction.distance_from_trace(np.full(80, 16.0), 32), 6.0)
    profile = extraction.spatial_profile(frame, 0.0, inside)
    weights = extraction.sum_weights(kind, inside, good(frame), profile, variance)
    sums = extraction.extract(data.astype(dtype), weights, variance, np.zeros(80))
    assert sums.flux.dtype == dtype
    np.testing.assert_allclose(sums.flux.mean(axis=0), (inside * frame).sum(axis=0), rtol=2e-3)
    ratio = sums.flux.astype(float).var(axis=0, ddof=1) / sums.variance
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)


def test_optimal_sums_are_less_noisy_where_read_noise_counts() -> None:
    _, frame, _ = cube(2)
    inside = extraction.aperture(extraction.distance_from_trace(np.full(80, 16.0), 32), 8.0)
    faint = frame / 100
    profile = extraction.spatial_profile(faint, 0.0, inside)
    variances = [
        extraction.extract(
            np.zeros((1, *frame.shape)),
            extraction.sum_weights(kind, inside, good(frame), profile, faint + 350.0),
            faint + 350.0,
            np.zeros(80),
        ).variance
        for kind in extraction.EXTRACTION_KINDS
    ]
    assert (variances[1] < 0.8 * variances[0]).all()


def test_the_foreground_taken_off_restores_the_depth_it_diluted() -> None:
    frame = airs_frame()
    in_transit = np.stack([frame, 0.99 * frame]) + 60.0
    inside = extraction.aperture(extraction.distance_from_trace(np.full(80, 16.0), 32), 5.0)
    weights = extraction.sum_weights("plain", inside, good(frame), inside, frame)

    def depth(level: float) -> np.ndarray:
        flux = extraction.extract(in_transit, weights, frame, np.full(80, level)).flux
        return 1 - flux[1] / flux[0]

    np.testing.assert_allclose(depth(60.0), 0.01, rtol=1e-9)
    assert (depth(0.0) < 0.00997).all()


def test_a_circular_aperture_counts_its_area() -> None:
    distance = extraction.distance_from_point((15.3, 15.8), (32, 32))
    for radius in (3.0, 6.0, 8.0):
        assert extraction.aperture(distance, radius).sum() == pytest.approx(np.pi * radius**2, rel=0.02)


def test_row_jitter_is_recovered() -> None:
    shift = 0.05 * np.sin(np.arange(60))
    data = np.stack([airs_frame(centre=15.6 + s) for s in shift])
    frame = data.mean(axis=0)
    centre = extraction.trace_centre(frame, good(frame))
    inside = extraction.aperture(extraction.distance_from_trace(centre, 32), 6.0)
    found = extraction.centroids(data, inside, np.zeros(80), centre)
    np.testing.assert_allclose(found - found.mean(), shift - shift.mean(), atol=0.12 * 0.05)


def test_point_jitter_is_recovered_in_both_directions() -> None:
    rows, columns = np.indices((32, 32))
    dy, dx = 0.1 * np.sin(np.arange(50)), 0.1 * np.cos(1.7 * np.arange(50))
    data = np.stack(
        [
            np.exp(-((rows - 15.3 - y) ** 2 + (columns - 15.8 - x) ** 2) / 2 / 1.5**2)
            for y, x in zip(dy, dx, strict=True)
        ]
    )
    inside = extraction.aperture(extraction.distance_from_point((15.3, 15.8), (32, 32)), 6.0)
    found = extraction.centroid_of_point(1e4 * data, inside, 0.0, (15.3, 15.8))
    np.testing.assert_allclose(found, np.stack([dy, dx], axis=1), atol=1e-3)


def shaken(n: int = 2000, noise: float = 2e-3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux (exposure,) [e-] that answers the pointing, the same without the answer, and the pointing [px]."""
    rng = np.random.default_rng(3)
    pointing = 0.12 * rng.standard_normal((n, 2)) + [0.5, -0.2]
    y, x = pointing.T
    transit = np.where(np.abs(np.arange(n) - n / 2) < n / 6, 0.98, 1.0) * (1 + 1e-3 * np.linspace(-1, 1, n))
    steady = 2e5 * (transit + noise * rng.standard_normal(n))
    return steady + 2e5 * (0.01 * y - 0.03 * x - 0.1 * y**2 + 0.02 * y * x - 0.2 * x**2), steady, pointing


def test_what_answers_the_pointing_is_taken_off_and_the_transit_stays() -> None:
    flux, steady, pointing = shaken()
    found, answer = extraction.remove_jitter(flux, pointing, np.ones(2000, bool))
    assert (flux - steady).std() > 1000
    left = found - steady
    assert left.std() < 60  # the answer's own error
    inside = steady < 1.98e5
    assert abs(left[inside].mean() - left[~inside].mean()) < 20  # a depth of 4000 e-
    expected = np.array([0.01 - 0.2 * 0.5 + 0.02 * -0.2, -0.03 + 0.02 * 0.5 - 0.4 * -0.2])  # at the mean pointing
    np.testing.assert_allclose(answer[:2], expected * 2e5 / flux.mean(), atol=2e-3)


def test_bad_exposures_do_not_tell_the_answer_to_the_pointing() -> None:
    flux, _, pointing = shaken()
    bad = np.random.default_rng(4).choice(2000, 100, replace=False)
    good = np.ones(2000, bool)
    good[bad] = False
    clean, answer = extraction.remove_jitter(flux, pointing, good)
    flux[bad], pointing[bad] = np.nan, 30.0
    spoilt, same = extraction.remove_jitter(flux, pointing, good)
    np.testing.assert_array_equal(same, answer)
    np.testing.assert_array_equal(spoilt[good], clean[good])


@pytest.mark.parametrize("n", [150, 2000])
def test_few_exposures_and_a_steady_pointing_tell_no_answer(n: int) -> None:
    flux, _, pointing = shaken(n)
    if n == 2000:
        pointing = np.full((n, 2), 0.3)
    found, answer = extraction.remove_jitter(flux, pointing, np.ones(n, bool))
    np.testing.assert_allclose(found, flux, rtol=1e-12)
    assert not answer.any()


def test_the_dispersion_shift_is_told_from_a_transit() -> None:
    x = np.arange(280)
    spectrum = 1e5 * (1 + 0.4 * np.sin(x / 9.0) + 0.2 * np.cos(x / 3.1))
    shift = 0.02 * np.sin(np.arange(90) / 3)
    depth = np.where(np.arange(90) > 45, 0.985, 1.0)
    flux = np.stack([d * np.interp(x - s, x, spectrum) for d, s in zip(depth, shift, strict=True)])
    found = extraction.dispersion_shift(flux, spectrum)
    np.testing.assert_allclose(found - found.mean(), shift - shift.mean(), atol=0.002)


def test_a_channel_without_its_own_column_is_refused() -> None:
    axis = np.linspace(4.0, 1.6, 100)
    np.testing.assert_array_equal(extraction.match_channels(axis, axis[[60, 40, 20]]), [60, 40, 20])
    with pytest.raises(ValueError, match=r"within half a pixel of 5.0000 µm, found the nearest at 4.0000"):
        extraction.match_channels(axis, np.array([2.0, 5.0]))
    with pytest.raises(ValueError, match="found one shared by two"):
        extraction.match_channels(axis, np.array([axis[50], axis[50] + 1e-4]))
