"""`ariel build-dataset --keep-frames`: what is kept, that rows are the same with it, and what is resumed or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from build_scenes import timeless_contents
from detector_frames import random_folder
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands.build_dataset import main
from hf_dataset.build.frames import FramesLost
from hf_dataset.build.plan import BuildOptions, make_plan
from hf_dataset.build.worker import build_shard
from hf_dataset.raw.layouts import AIRS, FGS1, open_folder
from hf_dataset.reduction.exposures import Exposures, calibrate_visit
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.store.frames import FramesError, find_frames, frames_path, open_frames

PLANET, BINS = 7, 5
OPTIONS = ReductionOptions(n_bins=BINS)


def ariel(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    return CliRunner().invoke(app, [*map(str, arguments), "--bins", str(BINS), "--workers", "1"])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planets 7 and 11, one visit each."""
    return random_folder(tmp_path_factory.mktemp("raw") / "raw")


@pytest.fixture(scope="module")
def built(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of both planets, `out`, and their frames, `kept`."""
    where = tmp_path_factory.mktemp("built")
    done = ariel(raw, where / "out", "--keep-frames", where / "kept")
    assert done.exit_code == 0, done.output
    return where


def calibrated(raw: Path, instrument: str) -> Exposures:
    return calibrate_visit(open_folder(raw).visit("train", PLANET, 0), instrument, OPTIONS)


@pytest.mark.parametrize("instrument", [AIRS, FGS1])
def test_kept_frames_are_the_calibrated_exposures_to_a_hundredth_of_their_noise(
    raw: Path, built: Path, instrument: str
) -> None:
    expected, found = calibrated(raw, instrument), open_frames(frames_path(built / "kept", PLANET, 0, instrument))
    read = expected.read
    off = (found.exposures() - expected.cube)[:, read]
    assert np.sqrt(np.mean(off**2 / expected.variance[read])) < 0.01
    assert not found.exposures()[:, ~read].any()
    np.testing.assert_allclose(found["variance"], expected.variance, rtol=1e-6)
    np.testing.assert_array_equal(found["mask"], ~expected.usable)
    kinds = found.facts["flags"]
    np.testing.assert_array_equal((found["flags"] & kinds["filled"]) != 0, expected.filled)
    np.testing.assert_array_equal((found["flags"] & kinds["unread"]) != 0, ~read)
    np.testing.assert_array_equal(found["lost"], np.stack(expected.lost, 1))
    part = found.exposures(slice(10, 14), slice(3, 9), slice(2, 5))
    np.testing.assert_array_equal(part, found.exposures()[2:5, 10:14, 3:9])


def test_trace_slit_seams_and_dispersion_say_where_the_light_is(raw: Path, built: Path) -> None:
    airs, fgs1 = (find_frames(built / "kept", name)[0] for name in (AIRS, FGS1))
    assert airs.facts["planet_id"] == PLANET
    assert (airs.facts["layout"], airs.facts["seams"]) == ("2025", [1])
    np.testing.assert_allclose(airs["trace"], 15.6, atol=0.05)  # as these frames were made
    assert airs.facts["slit_px"] == [11, 20]
    np.testing.assert_allclose(fgs1.facts["centre_px"], [15.4, 15.8], atol=0.05)
    channel, wavelengths = airs["channel"], open_folder(raw).wavelengths
    at = channel >= 0
    np.testing.assert_allclose(airs["wavelength"][at], wavelengths[channel[at]], atol=0.004)
    assert sorted(channel[at]) == list(range(1, 283))
    assert airs.facts["dispersion_um_per_px"] == pytest.approx((1.633 - 4.078) / 355, rel=1e-4)
    assert airs["centroid"].shape == (len(airs["time"]), 2) == (10, 2)


def test_rows_and_all_bytes_are_the_same_without_them(raw: Path, built: Path, tmp_path: Path) -> None:
    assert ariel(raw, tmp_path / "out").exit_code == 0
    assert timeless_contents(tmp_path / "out") == timeless_contents(built / "out")


def test_a_finished_dataset_is_given_its_frames_and_missing_ones_are_made_again(raw: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    assert ariel(raw, out).exit_code == 0
    before = timeless_contents(out)
    assert "frames: about" in ariel(raw, out, "--keep-frames", kept, "--dry-run").output
    assert not kept.exists()
    assert ariel(raw, out, "--keep-frames", kept).exit_code == 0
    paths = sorted(kept.glob("*.safetensors"))
    assert [path.name for path in paths] == [
        f"{planet}-0-{name}.safetensors" for planet in (11, 7) for name in (AIRS, FGS1)
    ]
    written = {path: path.stat().st_mtime_ns for path in paths}
    paths[0].unlink()
    (kept / f".{paths[1].name}.elsewhere.1.tmp").write_bytes(b"what a killed worker left")
    assert ariel(raw, out, "--keep-frames", kept).exit_code == 0
    again = {path: path.stat().st_mtime_ns for path in paths}
    assert [again[path] == written[path] for path in paths] == [False, False, True, True]  # of planet 11 alone
    assert timeless_contents(out) == before
    assert not list(kept.glob(".*.tmp"))


def test_frames_of_other_settings_are_not_mixed_or_overwritten(raw: Path, built: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (built / "kept").glob("*.safetensors")}
    other = ["--keep-frames", built / "kept", "--reduction", "{flat: false}"]
    refused = ariel(raw, tmp_path / "out", *other)
    assert refused.exit_code == 1
    assert "expected frames of these settings, code and input files, found others" in refused.output
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("inside", ["out", "raw"])
def test_frames_are_no_part_of_a_dataset_or_a_raw_folder(raw: Path, tmp_path: Path, inside: str) -> None:
    place = {"out": tmp_path / "out", "raw": raw}[inside] / "frames"
    refused = ariel(raw, tmp_path / "out", "--keep-frames", place)
    assert refused.exit_code == 1
    assert "expected a folder for frames outside of" in refused.output
    assert not place.exists()


def test_where_frames_cannot_be_written_the_build_ends_and_no_row_is_lost(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hf_dataset.store.frames.save_file", full)
    options = BuildOptions(reduction=OPTIONS, keep_frames=tmp_path / "kept")
    plan = make_plan(open_folder(raw), raw, tmp_path / "out", options)
    with pytest.raises(FramesLost, match=r"7-0-AIRS-CH0.safetensors: frames cannot be kept: .*No space left"):
        build_shard(plan, plan.shards[0], open_folder(raw), reduce_visit)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".tmp", ".parquet")]


def test_what_holds_no_frames_is_named(built: Path, tmp_path: Path) -> None:
    whole = frames_path(built / "kept", PLANET, 0, AIRS)
    cut = frames_path(tmp_path, PLANET, 0, AIRS)
    cut.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(FramesError, match=r"7-0-AIRS-CH0.safetensors: expected kept frames"):
        open_frames(cut)
    with pytest.raises(FramesError, match=r"expected frames of FGS1 .*found none"):
        find_frames(tmp_path, FGS1)
    with pytest.raises(KeyError, match="expected one of centroid"):
        open_frames(whole)["flux"]
