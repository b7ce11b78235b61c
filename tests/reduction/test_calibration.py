"""Each detector step against an independent plain version, on the real planet's frames, and by itself."""

from __future__ import annotations

from pathlib import Path

import detector_frames as frames
import numpy as np
import plain_calibration
import pytest
from tolerances import assert_close

from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import AIRS, FGS1
from hf_dataset.reduction import calibration
from hf_dataset.reduction.calibration import Frames, Pixel, Readout

NO_MASK = np.zeros((1, 1, 1), bool)


@pytest.fixture(scope="module")
def real_visit(real: Path, tmp_path_factory: pytest.TempPathFactory) -> layouts.RawVisit:
    """The real planet 342072318, its 50 frames put back to 50 × pixels."""
    root = frames.real_folder(real, tmp_path_factory.mktemp("real"))
    return layouts.open_folder(root).visit("train", frames.PLANET, 0)


def run_steps(visit: layouts.RawVisit, instrument: str, dtype: type) -> tuple[dict[str, Frames], dict[str, np.ndarray]]:
    """Every step's output of the package's chain on the real frames, and of the plain version."""
    shape = visit.shape(instrument)
    counts = visit.read(instrument, range(shape[0]), range(shape[1]))
    calibration_frames = visit.calibration(instrument)
    bad = calibration.find_bad_pixels(calibration_frames) != 0
    readout = Readout(*visit.adc(instrument), visit.integration(instrument))
    state, outputs = Frames(counts, None, NO_MASK), {}
    for name, step, arguments, _ in calibration.chain(calibration_frames, bad, readout, len(counts), dtype=dtype):
        state = outputs[name] = step(*state, **arguments)
    folder = visit.calibration_file(instrument, "dark").parent
    plain = plain_calibration.plain_calibration(
        counts,
        plain_calibration.read_calibration(folder),
        *visit.adc(instrument),
        integration=(0.1, 4.6) if instrument == AIRS else (0.1, 0.2),
    )
    return outputs, plain


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instrument", [AIRS, FGS1])
def test_every_step_on_the_real_planet_agrees_with_the_plain_float64_version(
    real_visit: layouts.RawVisit, instrument: str, dtype: type
) -> None:
    outputs, plain = run_steps(real_visit, instrument, dtype)
    assert outputs["adc"].data.shape == (50, *real_visit.shape(instrument))
    bad = outputs["bad_pixels"].mask[0]
    calibration_frames = real_visit.calibration(instrument)
    # every pixel the plain recipe masks is masked here; what is masked besides has a flat too low to divide by
    assert not (plain["bad"] & ~bad).any()
    assert (calibration_frames.flat[bad & ~plain["bad"]] < 0.5).all()
    # float32: a rounding of the 6e4 e- a frame holds is 0.004 e-, a tenth of a percent of the read noise
    tolerance = {"rtol": 1e-6, "atol": 0.02} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-8}
    for name in ("adc", "linearity", "dark", "cds", "flat"):
        assert outputs[name].data.dtype == dtype
        np.testing.assert_allclose(outputs[name].data[:, ~bad], plain[name][:, ~bad], **tolerance, err_msg=name)
    variance = np.broadcast_to(outputs["flat"].variance, outputs["flat"].data.shape)
    np.testing.assert_allclose(variance[:, ~bad], plain["variance"][:, ~bad], rtol=2e-5, atol=0.05)


@pytest.mark.parametrize("instrument", [AIRS, FGS1])
def test_the_read_frame_is_the_noise_of_one_read_as_the_real_scatter_shows(
    real_visit: layouts.RawVisit, instrument: str
) -> None:
    outputs, plain = run_steps(real_visit, instrument, np.float64)
    exposures, variance = outputs["flat"].data, outputs["flat"].variance
    mean = exposures.mean(axis=0)
    faint = ~plain["bad"] & (np.abs(mean) < 30)  # photons and jitter hardly matter there
    scatter = exposures.var(axis=0, ddof=1)[faint]
    predicted = np.broadcast_to(variance, exposures.shape).mean(axis=0)[faint]
    assert faint.sum() > 200
    # 25 exposures of 800 pixels and more: good to 2 %. One read noise an exposure would give 1.9, and √2 of it each 0.5
    assert np.median(scatter) / np.median(predicted) == pytest.approx(1.0, abs=0.04)


def test_the_hot_pixels_of_the_real_planet_are_those_of_the_organisers_clip(real_visit: layouts.RawVisit) -> None:
    for instrument in (AIRS, FGS1):
        dark = real_visit.calibration(instrument).dark
        np.testing.assert_array_equal(calibration.sigma_clip(dark), plain_calibration.hot_pixels(dark))


# --- single steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "electrons"), [("divide", 1000.0), ("divide_minus_offset", 3000.0), ("multiply", -500.0)]
)
def test_adc_conventions_are_what_they_say(convention: calibration.AdcConvention, electrons: float) -> None:
    out = calibration.adc_to_electrons(
        np.full((1, 1, 1), 1000, np.uint16), None, NO_MASK, gain=0.5, offset=-1000.0, convention=convention
    )
    assert out.data.item() == electrons
    assert out.variance is None


def test_adc_inverts_the_organisers_encoding_to_within_a_count() -> None:
    electrons = np.linspace(-900, 9e4, 5000).reshape(-1, 1, 1)
    out = calibration.adc_to_electrons(
        frames.encode(electrons), None, NO_MASK, gain=frames.GAIN, offset=frames.OFFSET, dtype=np.float64
    )
    error = electrons - out.data
    assert error.min() >= 0
    assert error.max() < 1 / frames.GAIN


def test_negative_values_survive_every_step() -> None:
    rng = np.random.default_rng(0)
    counts = frames.encode(rng.normal(0, 30, (400, 4, 5)))
    neutral = layouts.CalibrationFrames(
        np.zeros((4, 5)), np.zeros((4, 5), bool), np.ones((4, 5)), np.full((4, 5), 30.0),
        np.array([0.0, 1, 0, 0, 0, 0])[:, None, None] * np.ones((6, 4, 5)),
    )  # fmt: skip
    out = calibration.calibrate(
        counts, neutral, np.zeros((4, 5), bool), Readout(frames.GAIN, frames.OFFSET, (0.1, 4.6))
    )
    assert (out.data < 0).mean() == pytest.approx(0.5, abs=0.06)
    assert out.data.mean() == pytest.approx(0.0, abs=1.5)


def test_saturated_and_non_finite_samples_are_masked_alone() -> None:
    data = np.zeros((4, 2, 2), np.float32)
    data[1, 0, 0], data[2, 1, 1] = 1e5, np.nan
    bad = np.zeros((2, 2), bool)
    bad[0, 1] = True
    mask = calibration.mask_bad_pixels(data, None, NO_MASK, bad=bad, saturation=9e4).mask
    expected = np.zeros((4, 2, 2), bool)
    expected[:, 0, 1] = expected[1, 0, 0] = expected[2, 1, 1] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linearity_undoes_a_known_curve_and_carries_its_jacobian(dtype: type) -> None:
    c = np.array([0.3, 1.0, -4e-7, 2e-12, -1e-17, 3e-23])[:, None, None] * np.ones((6, 1, 1))
    x = np.linspace(0, 6e4, 50, dtype=dtype).reshape(-1, 1, 1)
    out = calibration.linearise(x, np.full((1, 1, 1), 9.0, dtype), NO_MASK, coefficients=c)
    assert_close(out.data, np.polyval(c[::-1, 0, 0], x.astype(float)))
    slope = np.polyval(np.polyder(c[::-1, 0, 0]), x.astype(float))
    assert out.variance is not None
    np.testing.assert_allclose(out.variance, 9.0 * slope**2, rtol=1e-5)


def test_the_variance_of_an_exposure_is_its_scatter_read_photon_dark_and_linearity_together() -> None:
    """Charge is drawn once and shared by the pair, as in a detector read without reset."""
    rng = np.random.default_rng(3)
    n, shape, read, rate, dark = 4000, (2, 3), 20.0, 800.0, 60.0
    # measured charge x with true charge 1.2 x: photon noise is of the true charge, read noise of the measured
    coefficients = np.array([0.0, 1.2, 0, 0, 0, 0])[:, None, None] * np.ones((6, *shape))
    flat = np.full(shape, 0.8)
    neutral = layouts.CalibrationFrames(
        np.full(shape, dark), np.zeros(shape, bool), flat, np.full(shape, read), coefficients
    )
    start = rng.poisson((rate * 0.8 + dark) * 0.1, (n, *shape))
    end = start + rng.poisson((rate * 0.8 + dark) * 4.5, (n, *shape))
    charge = np.stack([start, end], axis=1).reshape(2 * n, *shape) / 1.2
    counts = np.floor((charge + rng.normal(0, read, charge.shape) + 1000) * 1.0).astype(np.uint16)
    out = calibration.calibrate(
        counts, neutral, np.zeros(shape, bool), Readout(1.0, -1000.0, (0.1, 4.6)), dtype=np.float64
    )
    assert out.variance is not None
    assert out.data.mean() == pytest.approx(rate * 4.5, rel=1e-3)
    assert out.variance.mean() / out.data.var(axis=0, ddof=1).mean() == pytest.approx(1.0, abs=0.03)


def test_double_sampling_refuses_an_odd_number_of_frames() -> None:
    with pytest.raises(ValueError, match="expected an even number of frames, found 3"):
        calibration.correlated_double_sample(np.zeros((3, 1, 1)), None, NO_MASK)


def test_a_pixel_that_cannot_be_flat_fielded_is_masked_and_stays_finite() -> None:
    flat = np.array([[1.0, 0.0, np.nan, -0.1]])
    out = calibration.divide_flat(np.ones((2, 1, 4)), np.ones((1, 1, 4)), NO_MASK, flat=flat)
    np.testing.assert_array_equal(out.mask[0, 0], [False, True, True, True])
    assert np.isfinite(out.data).all()


@pytest.mark.parametrize("kind", ["dark", "flat", "read", "linear_corr"])
def test_a_non_finite_calibration_value_flags_its_pixel_only(kind: str) -> None:
    values = {name: np.ones((2, 3)) for name in ("dark", "flat", "read")} | {"linear_corr": np.ones((6, 2, 3))}
    values[kind][..., 1, 2] = np.nan
    flags = calibration.find_bad_pixels(layouts.CalibrationFrames(dead=np.zeros((2, 3), bool), **values))
    expected = np.zeros((2, 3), np.uint8)
    expected[1, 2] = Pixel.UNCALIBRATED
    np.testing.assert_array_equal(flags, expected)


# --- filling -------------------------------------------------------------------------------------------------------


def trace(n: int = 40, n_columns: int = 60) -> np.ndarray:
    """(exposure, row, column) a trace that brightens along the columns and varies in time."""
    rows = np.arange(12)[:, None]
    spectrum = 1e4 * np.exp(np.arange(n_columns) / 25.0)
    profile = np.exp(-((rows - 5.3) ** 2) / 2 / 1.2**2)
    level = 1 + 0.01 * np.sin(np.arange(n) / 5.0)
    return level[:, None, None] * (spectrum * profile / profile.sum())


@pytest.mark.parametrize("where", [(5, 30), (6, 31), (2, 40), (5, 0), (5, 59)])
def test_a_filled_pixel_has_the_value_it_should(where: tuple[int, int]) -> None:
    truth = trace()
    bad = np.zeros(truth.shape[1:], bool)
    bad[where] = True
    data = np.where(bad, -50.0, truth)
    out = calibration.fill_bad_pixels(data, np.ones((1, *bad.shape)), NO_MASK, bad=bad)
    np.testing.assert_allclose(out.data[:, *where], truth[:, *where], rtol=1e-3)
    np.testing.assert_array_equal(out.data[:, ~bad], data[:, ~bad])
    assert not out.mask.any()
    assert data[0, *where] == -50.0  # the input is not changed


def test_jitter_across_rows_does_not_reach_a_pixel_filled_along_wavelength() -> None:
    """A peak-row pixel follows its row's share of the light as the trace moves; a fill across rows would not."""
    rows, shift = np.arange(12)[:, None], 0.05 * np.sin(np.arange(50))[:, None, None]
    profile = np.exp(-((rows - 5.3 - shift) ** 2) / 2 / 1.2**2)
    truth = 1e4 * profile / profile.sum(axis=1, keepdims=True) * np.linspace(1, 2, 30)
    bad = np.zeros((12, 30), bool)
    bad[4, 15] = True
    out = calibration.fill_bad_pixels(np.where(bad, 0.0, truth), None, NO_MASK, bad=bad)
    np.testing.assert_allclose(out.data[:, 4, 15], truth[:, 4, 15], rtol=1e-3)


def test_a_pixel_without_good_neighbours_in_reach_stays_masked() -> None:
    bad = np.zeros((12, 60), bool)
    bad[5, 20:29] = True  # its middle is 5 columns from any good pixel
    out = calibration.fill_bad_pixels(trace(), None, NO_MASK, bad=bad, reach=3)
    np.testing.assert_array_equal(np.flatnonzero(out.mask[0, 5]), [23, 24, 25])


def test_a_row_without_any_good_pixel_stays_masked_and_finite() -> None:
    bad = np.zeros((12, 60), bool)
    bad[5] = True
    out = calibration.fill_bad_pixels(trace(), np.ones((1, 12, 60)), NO_MASK, bad=bad)
    assert out.mask[0, 5].all()
    assert np.isfinite(out.data).all()


def test_the_log_holds_parameters_and_effect_of_each_step_but_no_seconds(real_visit: layouts.RawVisit) -> None:
    log = calibration.StepLog()
    shape = real_visit.shape(FGS1)
    calibration_frames = real_visit.calibration(FGS1)
    calibration.calibrate(
        real_visit.read(FGS1, range(shape[0]), range(shape[1])),
        calibration_frames,
        calibration.find_bad_pixels(calibration_frames) != 0,
        Readout(*real_visit.adc(FGS1), real_visit.integration(FGS1)),
        log=log,
    )
    assert [entry["step"] for entry in log.entries] == ["adc", "bad_pixels", "linearity", "dark", "cds", "flat"]
    assert all({"step", "params", "before", "after"} == set(entry) for entry in log.entries)
    assert set(log.seconds) == {entry["step"] for entry in log.entries}
    assert log.entries[-1]["after"]["median_noise"] == pytest.approx(19.0, abs=2.0)


def test_the_noise_of_a_sum_with_filled_pixels_is_its_scatter() -> None:
    """A filled pixel repeats its sources' noise: adding variances as if it were independent is too small."""
    rng = np.random.default_rng(8)
    mean = trace(2)[0]
    data = mean + rng.normal(0, np.sqrt(mean + 100), (20000, *mean.shape))
    bad = np.zeros(mean.shape, bool)
    bad[5, 30], bad[6, 31] = True, True
    weights = calibration.fill_weights(mean, bad, 3)
    out = calibration.fill_bad_pixels(data, None, NO_MASK, bad=bad, weights=weights)
    window = np.zeros(mean.shape)
    window[3:9, 27:34] = 1.0
    measured = calibration.unfilled_weights(window, weights)
    sums = (out.data * window).sum(axis=(1, 2))
    assert sums.var() == pytest.approx((measured**2 * (mean + 100)).sum(), rel=0.05)
    np.testing.assert_allclose((data * measured).sum(axis=(1, 2)), sums)
