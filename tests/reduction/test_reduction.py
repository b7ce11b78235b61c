"""One visit from raw frames to a row: transits unbiased through every setting, streaming equal to whole arrays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import detector_frames as frames
import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_dataset import schema
from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import AIRS, FGS1
from hf_dataset.reduction import calibration
from hf_dataset.reduction.exposures import calibrate_visit, used_columns
from hf_dataset.reduction.options import ReductionError, ReductionOptions
from hf_dataset.reduction.visit import reduce_visit

N_AIRS, N_FGS1, DEPTH = 120, 240, 0.02
OPTIONS = ReductionOptions(n_bins=30)


def exposures(depth: float = DEPTH, jitter: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean exposures of both instruments, a transit over their middle third, jitter across the AIRS rows [px]."""
    airs, fgs1 = (np.array(part) for part in frames.star_light(N_AIRS, N_FGS1))
    if jitter:
        slope = np.gradient(airs[0], axis=0)
        airs = airs - np.random.default_rng(seed).normal(0, jitter, N_AIRS)[:, None, None] * slope
    for data in (airs, fgs1):
        n = len(data)
        data[n // 3 : 2 * n // 3] *= 1 - depth
    return airs, fgs1


def planet_folder(root: Path, airs: np.ndarray, fgs1: np.ndarray, noise: bool = True, **changes: np.ndarray) -> Path:
    """A 2025 folder with one planet, number 7."""
    rng = np.random.default_rng(4)
    frames.write_tables(root, "2025", [7], 2 * len(airs), 2 * len(fgs1))
    if noise:
        airs, fgs1 = rng.poisson(airs).astype(float), rng.poisson(fgs1).astype(float)
    read = 13.0 if noise else 0.0
    frames.write_planet(
        root, "2025", 7, frames.read_pairs(airs, rng, read), frames.read_pairs(fgs1, rng, read), **changes
    )
    return root


def reduce(root: Path, options: ReductionOptions = OPTIONS) -> tuple[dict, dict]:
    return reduce_visit(layouts.open_folder(root).visit("train", 7, 0), options)


def depths(row: dict) -> tuple[np.ndarray, np.ndarray]:
    """(channel,) depth and its error, from the bins inside and outside the transit."""
    flux, var = row["flux"].astype(float), row["flux_err"].astype(float) ** 2
    inside = slice(10, 20)
    outside = np.r_[0:10, 20:30]
    out, depth = flux[outside].mean(axis=0), 1 - flux[inside].mean(axis=0) / flux[outside].mean(axis=0)
    return depth, np.sqrt(var[inside].sum(axis=0) / 100 + var[outside].sum(axis=0) / 400) / out


@pytest.fixture(scope="module")
def transit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planet_folder(tmp_path_factory.mktemp("transit") / "raw", *exposures())


def test_a_row_keeps_the_datasets_schema(transit_folder: Path) -> None:
    row, report = reduce(transit_folder)
    schema.check_row(row, 30)
    assert row["valid"].all()
    assert row["layout"] == "2025"
    assert row["spectrum"] == pytest.approx(np.linspace(0.01, 0.011, 283))
    assert row["time"][0] > 0
    assert row["time"][-1] < 7.5
    assert np.median(row["centroid"], axis=0) == pytest.approx(0.0, abs=1e-6)
    json.dumps(report)
    assert set(report["seconds"]) == {"total", AIRS, FGS1}


def test_the_same_input_gives_the_same_bytes(transit_folder: Path) -> None:
    first, second = reduce(transit_folder)[0], reduce(transit_folder)[0]
    for name in first:
        assert np.asarray(first[name]).tobytes() == np.asarray(second[name]).tobytes(), name
    assert "seconds" not in first["calibration"]


def test_depths_of_all_channels_are_recovered_with_errors_of_the_right_size(transit_folder: Path) -> None:
    depth, error = depths(reduce(transit_folder)[0])
    z = (depth - DEPTH) / error
    assert abs(z[0]) < 4
    assert z[1:].mean() == pytest.approx(0.0, abs=4 / np.sqrt(282))
    assert z[1:].std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    "changes",
    [
        {"extraction": "optimal"},
        {"foreground": "none"},
        {"hot_pixels": "mask"},
        {"hot_pixels": "use"},
        {"dtype": "float64"},
        {"hit_threshold": 0.0},
        {"last_exposure": "drop"},
        {"linearity": False, "flat": False, "dark": False},
        {"airs_half_width": 8.0, "fgs1_radius": 6.0},
        {"pixels": "all"},
        {"foreground_stride": 1},
    ],
    ids=str,
)
def test_no_setting_biases_the_depth_of_a_clean_star(transit_folder: Path, changes: dict) -> None:
    depth, error = depths(reduce(transit_folder, replace(OPTIONS, **changes))[0])
    z = (depth - DEPTH) / error
    assert np.abs(z[0]) < 4
    assert z[1:].mean() == pytest.approx(0.0, abs=4 / np.sqrt(282))


def test_float32_and_float64_give_the_same_row(transit_folder: Path) -> None:
    single, double = (reduce(transit_folder, replace(OPTIONS, dtype=dtype))[0] for dtype in ("float32", "float64"))
    np.testing.assert_allclose(single["flux"], double["flux"], rtol=2e-6)
    np.testing.assert_allclose(single["flux_err"], double["flux_err"], rtol=1e-5)
    np.testing.assert_allclose(single["centroid"], double["centroid"], atol=1e-4)


def test_streaming_by_blocks_equals_the_steps_on_whole_arrays(transit_folder: Path) -> None:
    visit = layouts.open_folder(transit_folder).visit("train", 7, 0)
    options = replace(OPTIONS, dtype="float64", hit_threshold=0.0, pixels="all")
    streamed = calibrate_visit(visit, AIRS, options)
    calibration_frames = visit.calibration(AIRS)
    bad = calibration.find_bad_pixels(calibration_frames) != 0
    readout = calibration.Readout(*visit.adc(AIRS), visit.integration(AIRS))
    counts = visit.read(AIRS, range(32), range(356))
    whole = calibration.calibrate(counts, calibration_frames, bad, readout, dtype=np.float64)
    np.testing.assert_allclose(streamed.cube, whole.data[:, :, streamed.columns], rtol=1e-12, atol=1e-9)
    assert whole.variance is not None
    mean_variance = whole.variance.mean(axis=0)[:, streamed.columns]
    # a frame's own photon variance stops at zero, so that its mean is a little high where there is hardly any light
    np.testing.assert_allclose(streamed.variance, mean_variance, rtol=0.03)


def test_only_the_columns_of_channels_and_their_margin_are_decoded(transit_folder: Path) -> None:
    visit = layouts.open_folder(transit_folder).visit("train", 7, 0)
    columns = used_columns(visit, AIRS, OPTIONS)
    assert (int(columns[0]), int(columns[-1])) == (36, 323)


def peak_row_pixel(value: float, fill: float = 0.0) -> np.ndarray:
    """A frame of `fill` with `value` in the peak row of one channel's column."""
    frame = np.full((32, 356), fill)
    frame[16, 200] = value
    return frame


CHANNEL = 1 + (320 - 200)  # of the detector column 200


def test_a_dead_pixel_in_the_peak_row_does_not_bias_its_channel(tmp_path: Path) -> None:
    """Noiseless frames with jitter: what is left is the fill's own bias."""
    airs, fgs1 = exposures(jitter=0.02)
    healthy = reduce(planet_folder(tmp_path / "healthy", airs, fgs1, noise=False))[0]
    airs[:, 16, 200] = 0.0
    root = planet_folder(tmp_path / "dead", airs, fgs1, noise=False, dead=peak_row_pixel(1.0).astype(bool))
    row, report = reduce(root)
    assert report["quality"][AIRS]["bad_pixel_fraction"] > 0
    assert row["valid"][:, CHANNEL].all()
    difference = depths(row)[0][CHANNEL] - depths(healthy)[0][CHANNEL]
    assert abs(difference) < 5e-6  # 5 ppm on 20,000
    masked = depths(reduce(root, replace(OPTIONS, fill_reach=1, max_filled=1.0))[0])[0][CHANNEL]
    assert abs(masked - depths(healthy)[0][CHANNEL]) < 5e-6


@pytest.mark.parametrize("hot_pixels", ["fill", "mask"])
def test_a_hot_pixel_is_filled_or_left_out_and_the_depth_stays(tmp_path: Path, hot_pixels: str) -> None:
    airs, fgs1 = exposures()
    airs[:, 16, 200] += np.random.default_rng(0).normal(0, 3000, N_AIRS)  # telegraph noise of a hot pixel
    dark = np.random.default_rng(0).normal(0, 1e-4, (32, 356)) + peak_row_pixel(20.0)
    root = planet_folder(tmp_path / "raw", np.maximum(airs, 0), fgs1, dark=dark)
    depth, error = depths(reduce(root, replace(OPTIONS, hot_pixels=hot_pixels))[0])
    used, _ = depths(reduce(root, replace(OPTIONS, hot_pixels="use"))[0])
    assert abs(depth[CHANNEL] - DEPTH) < 4 * error[CHANNEL]
    assert abs(used[CHANNEL] - DEPTH) > 2 * abs(depth[CHANNEL] - DEPTH)


@pytest.mark.parametrize(("dark", "filled"), [(1.0, 0), (20.0, 1)])
def test_a_hot_pixel_is_filled_only_where_its_dark_adds_noise_to_speak_of(
    tmp_path: Path, dark: float, filled: int
) -> None:
    """Two reads of 13 e- have a variance of 338 e-²; 4.5 s of 1 and 20 e-/s add 1 % and 27 % of it."""
    frame = np.random.default_rng(0).normal(0, 1e-4, (32, 356)) + peak_row_pixel(dark)
    airs, fgs1 = exposures()
    row, _ = reduce(planet_folder(tmp_path / "raw", airs + 4.5 * peak_row_pixel(dark), fgs1, dark=frame))
    steps = {entry["step"]: entry for entry in json.loads(row["calibration"])["instruments"][AIRS]}
    assert steps["fill"]["before"]["hot"] == steps["fill"]["after"]["filled"] == filled
    depth, error = depths(row)
    assert abs(depth[CHANNEL] - DEPTH) < 4 * error[CHANNEL]


def test_hits_in_the_raw_frames_do_not_move_the_depth(tmp_path: Path) -> None:
    airs, fgs1 = exposures()
    clean = reduce(planet_folder(tmp_path / "clean", airs, fgs1))[0]
    rng = np.random.default_rng(9)
    hits = np.zeros_like(airs)
    hits[rng.integers(0, N_AIRS, 300), rng.integers(10, 22, 300), rng.integers(39, 321, 300)] = rng.uniform(
        3e3, 9e4, 300
    )
    root = planet_folder(tmp_path / "hit", airs, fgs1)
    visit = layouts.open_folder(root).visit("train", 7, 0)
    counts = visit.read(AIRS, range(32), range(356)).astype(float)
    counts[1::2] += hits * frames.GAIN
    frames.write_signal(visit.signal_file(AIRS), np.clip(counts, 0, 65535).astype(np.uint16))
    row, report = reduce(root)
    touched = hits.sum(axis=(0, 1))[320:38:-1] > 0
    moved = np.abs(depths(row)[0] - depths(clean)[0])[1:] / depths(clean)[1][1:]
    raw_moved = np.abs(depths(reduce(root, replace(OPTIONS, hit_threshold=0.0))[0])[0] - depths(clean)[0])[1:]
    assert touched.sum() > 150
    assert moved[touched].max() < 1.0
    assert np.median(moved[touched]) < 0.2
    assert np.median(raw_moved[touched] / depths(clean)[1][1:][touched]) > 1.0
    assert report["quality"][AIRS]["hit_samples"] >= 290
    assert row["flux_err"][:, 1:][:, touched].max() > 1.1 * np.median(row["flux_err"][:, 1:][:, touched])


def test_a_channel_of_dead_pixels_is_invalid_and_the_others_go_on(tmp_path: Path) -> None:
    dead = np.zeros((32, 356), bool)
    dead[:, 150:160] = True
    row, _ = reduce(planet_folder(tmp_path / "raw", *exposures(), dead=dead))
    schema.check_row(row, 30)
    invalid = {320 - column + 1 for column in range(150, 160)}
    assert {int(channel) for channel in np.flatnonzero(~row["valid"].all(axis=0))} == invalid
    assert not row["valid"][:, sorted(invalid)].any()


def test_saturated_frames_are_masked_alone_and_pixels_that_saturate_often_are_filled(tmp_path: Path) -> None:
    root = planet_folder(tmp_path / "raw", *exposures())
    visit = layouts.open_folder(root).visit("train", 7, 0)
    counts = visit.read(AIRS, range(32), range(356)).copy()
    counts[51, 16, 100] = 65535  # exposure 25, in bin 6
    counts[1::2, 16, 200] = 65535
    frames.write_signal(visit.signal_file(AIRS), counts)
    row, _ = reduce(root, replace(OPTIONS, hit_threshold=0.0))
    depth, error = depths(row)
    once, often = 1 + 320 - 100, CHANNEL
    for channel in (once, often):
        assert abs(depth[channel] - DEPTH) < 4 * error[channel]
    assert row["flux_err"][6, once] > 1.1 * row["flux_err"][7, once]
    steps = {entry["step"]: entry for entry in json.loads(row["calibration"])["instruments"][AIRS]}
    assert steps["fill"]["before"]["saturated"] == 1


def test_too_many_bad_pixels_refuse_the_visit(tmp_path: Path) -> None:
    flat = np.ones((32, 356))
    flat[::2] = np.nan
    root = planet_folder(tmp_path / "raw", *exposures(), flat=flat)
    with pytest.raises(ReductionError, match=r"planet 7 visit 0 AIRS-CH0: expected at most 10.0% .* found 50.0%"):
        reduce(root)


def test_a_star_that_is_not_there_is_an_error_not_a_row(tmp_path: Path) -> None:
    airs, fgs1 = exposures()
    root = planet_folder(tmp_path / "raw", airs * 0, fgs1 * 0, noise=False)
    with pytest.raises(ReductionError, match="planet 7 visit 0 AIRS-CH0: expected a source"):
        reduce(root)


def test_an_odd_number_of_frames_is_refused_or_the_last_left_out(tmp_path: Path) -> None:
    root = planet_folder(tmp_path / "raw", *exposures())
    visit = layouts.open_folder(root).visit("train", 7, 0)
    counts = visit.read(AIRS, range(32), range(356))
    frames.write_signal(visit.signal_file(AIRS), counts[:-1])
    with pytest.raises(ReductionError, match=r"AIRS-CH0_signal_0.parquet of planet 7 .* even number .* found 239"):
        reduce(root)
    row, _ = reduce(root, replace(OPTIONS, last_exposure="drop"))
    schema.check_row(row, 30)


def test_a_bad_last_exposure_can_be_left_out(tmp_path: Path) -> None:
    airs, fgs1 = exposures()
    airs[-1] *= 0.98  # too small a step to be a hit of its own
    root = planet_folder(tmp_path / "raw", airs, fgs1, noise=False)
    options = replace(OPTIONS, hit_threshold=0.0)
    kept = reduce(root, options)[0]["flux"][:, 1:].astype(float)
    dropped = reduce(root, replace(options, last_exposure="drop"))[0]["flux"][:, 1:].astype(float)
    assert (kept[-1] / kept[-2] < 0.997).all()
    np.testing.assert_allclose(dropped[-1] / dropped[-2], 1.0, atol=5e-4)


def test_fewer_exposures_than_bins_is_an_error(transit_folder: Path) -> None:
    with pytest.raises(ReductionError, match=r"expected at least 375 exposures .* found 120"):
        reduce(transit_folder, ReductionOptions())


def test_instruments_at_different_times_are_refused(tmp_path: Path) -> None:
    airs, fgs1 = exposures()
    root = planet_folder(tmp_path / "raw", airs, fgs1[: N_FGS1 // 2])
    frames.write_tables(root, "2025", [7], 2 * N_AIRS, 2 * N_FGS1)  # FGS1 has half of the frames: half the visit
    with pytest.raises(ReductionError, match="expected AIRS-CH0 and FGS1 bins at the same times"):
        reduce(root)


def test_a_simulated_folder_gives_simulated_rows(transit_folder: Path, tmp_path: Path) -> None:
    root = planet_folder(tmp_path / "raw", *exposures())
    assert reduce(root)[0]["layout"] == "2025"
    (root / "simulation.json").write_text(json.dumps({"simulated": True, "planets": {"train": [7]}}))
    assert reduce(root)[0]["layout"] == "simulated"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_bins": 0}, "n_bins: expected more than 0, found 0"),
        ({"dtype": "float16"}, "dtype: expected one of float32, float64, found 'float16'"),
        ({"hot_pixels": "leave"}, "hot_pixels: expected one of fill, mask, use"),
        ({"foreground": "sky"}, "foreground: expected one of wings, edge, none"),
        ({"extraction": "best"}, "extraction: expected one of plain, optimal"),
        ({"adc": "x"}, "adc: expected one of divide"),
        ({"last_exposure": "x"}, "last_exposure: expected one of keep, drop"),
        ({"min_good_fraction": 0.0}, r"min_good_fraction: expected a fraction in \(0, 1\]"),
        ({"fgs1_annulus": (5.0, 4.0)}, "fgs1_annulus: expected fgs1_radius ≤ inner < outer"),
        ({"hit_threshold": -1.0}, "hit_threshold: expected 0 or more, found -1.0"),
        ({"fill_reach": 0}, "fill_reach: expected 1 or more, found 0"),
        ({"hot_noise": float("nan")}, "hot_noise: expected a finite number, found nan"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_meant_is_refused_where_it_is_made(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReductionOptions(**changes)


def test_options_survive_json(transit_folder: Path) -> None:
    options = ReductionOptions(fgs1_annulus=(9.5, 15.0), extraction="optimal")
    assert ReductionOptions(**json.loads(json.dumps(options.to_dict()))) == options


def test_the_real_planet_is_reduced_with_its_real_calibration(real: Path, tmp_path: Path) -> None:
    root = frames.real_folder(real, tmp_path / "raw")
    axes = pq.read_table(root / "axis_info.parquet")
    # 50 frames are 2 min of AIRS-CH0 and 10 s of FGS1, which no row can hold: FGS1 is given AIRS-CH0's times
    at = axes.column_names.index("FGS1-axis0-h")
    pq.write_table(axes.set_column(at, "FGS1-axis0-h", axes["AIRS-CH0-axis0-h"]), root / "axis_info.parquet")
    row, report = reduce_visit(layouts.open_folder(root).visit("train", frames.PLANET, 0), ReductionOptions(n_bins=25))
    schema.check_row(row, 25)
    assert row["valid"].all()
    assert row["spectrum"] is None
    # the plain float64 recipe's exposures sum to 221,000 e- over the whole FGS1 detector, 96.5 % of it within 8 px
    assert row["flux"][:, 0].mean() == pytest.approx(0.965 * 221_249, rel=0.01)
    scatter = np.diff(row["flux"][:, 1:], axis=0).std(axis=0) / np.sqrt(2) / row["flux_err"][:, 1:].mean(axis=0)
    assert np.median(scatter) == pytest.approx(1.0, abs=0.1)
    assert 0 < report["quality"][AIRS]["jitter_rms_px"][0] < 0.05
    assert abs(report["quality"][AIRS]["foreground_over_flux"]) < 0.005
