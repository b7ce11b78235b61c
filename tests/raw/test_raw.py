"""Raw folders: both layouts recognised, pixels projected, and bad input named in the error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import detector_frames as frames
import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_dataset.raw import files, layouts, tables
from hf_dataset.raw.layouts import AIRS, FGS1, RawDataError
from hf_dataset.reduction.exposures import airs_columns
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit


@pytest.fixture(params=["2024", "2025"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return frames.random_folder(tmp_path / "raw", request.param)


@pytest.fixture
def folder_2025(tmp_path: Path) -> Path:
    return frames.random_folder(tmp_path / "raw", "2025")


def only_visit(root: Path, planet: int = 7) -> layouts.RawVisit:
    return layouts.open_folder(root).visit("train", planet, 0)


def test_the_layout_is_recognised_from_what_is_there(folder: Path) -> None:
    opened = layouts.open_folder(folder)
    expected = "2025" if (folder / "adc_info.csv").exists() else "2024"
    assert (opened.layout, opened.splits) == (expected, ("train",))
    assert opened.planets("train") == [7, 11]
    assert opened.visits("train", 7) == [0]


def test_every_visit_of_the_2025_layout_is_found(folder_2025: Path) -> None:
    planet = folder_2025 / "train" / "7"
    for path in list(planet.iterdir()):
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, planet / path.name.replace("_0", "_3"))
    opened = layouts.open_folder(folder_2025)
    assert opened.visits("train", 7) == [0, 3]
    assert "signal_3" in opened.visit("train", 7, 3).signal_file(AIRS).name


def test_tables_give_wavelengths_truth_star_and_adc(folder: Path) -> None:
    opened = layouts.open_folder(folder)
    assert opened.wavelengths.shape == (283,)
    assert opened.truth("train", 7) == pytest.approx(np.linspace(0.01, 0.011, 283))
    assert opened.truth("train", 999) is None
    star = opened.star("train", 7)
    if opened.layout == "2024":
        assert star["star"] == 1
        assert np.isnan(star["Rs"])
    else:
        assert (star["star"], star["Rs"], star["i"]) == (-1, 1.1, 89.0)
    assert opened.visit("train", 7, 0).adc(AIRS) == (frames.GAIN, frames.OFFSET)
    assert opened.visit("train", 7, 0).integration(AIRS) == pytest.approx((0.1, 4.6))
    assert opened.visit("train", 7, 0).integration(FGS1) == pytest.approx((0.1, 0.2))


def test_projected_pixels_are_those_of_the_whole_frames(folder: Path) -> None:
    visit = only_visit(folder)
    whole = np.stack(
        [column.to_numpy() for column in pq.read_table(visit.signal_file(AIRS)).columns], axis=1
    ).reshape(-1, 32, 356)  # fmt: skip
    rows, columns = [3, 17], [40, 41, 300]
    part = visit.read(AIRS, rows, columns)
    assert part.dtype == np.uint16
    np.testing.assert_array_equal(part, whole[:, rows][:, :, columns])


def test_only_the_asked_columns_of_the_file_are_decoded(folder_2025: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = only_visit(folder_2025)
    decoded: list[int] = []

    class Reader:
        def __init__(self, reader: object) -> None:
            self.reader = reader

        def __getattr__(self, name: str) -> object:
            return getattr(self.reader, name)

        def read_all(self, column_indices: list[int], **options: object) -> object:
            decoded.extend(column_indices)
            return self.reader.read_all(column_indices=column_indices, **options)

    visit.n_frames(AIRS)  # opens the file
    monkeypatch.setattr(visit._open[AIRS], "reader", Reader(visit._open[AIRS].reader))
    visit.read(AIRS, [15], range(40, 50))
    assert decoded == list(range(15 * 356 + 40, 15 * 356 + 50))


@pytest.mark.parametrize("samples", [1, 50, 10**9])
def test_decoding_in_parts_changes_nothing(folder_2025: Path, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = only_visit(folder_2025).read(FGS1, [3, 1], [9, 4, 7])
    monkeypatch.setattr(layouts, "DECODE_SAMPLES", samples)
    np.testing.assert_array_equal(only_visit(folder_2025).read(FGS1, [3, 1], [9, 4, 7]), whole)
    np.testing.assert_array_equal(whole[:, ::-1, 1:2], only_visit(folder_2025).read(FGS1, [1, 3], [4]))


def test_frames_written_in_several_row_groups_read_the_same(folder_2025: Path) -> None:
    before = only_visit(folder_2025).read(FGS1, range(32), range(32))
    path = only_visit(folder_2025).signal_file(FGS1)
    pq.write_table(pq.read_table(path), path, row_group_size=7)
    np.testing.assert_array_equal(only_visit(folder_2025).read(FGS1, range(32), range(32)), before)


def test_files_lists_every_file_of_a_visit_once(folder: Path) -> None:
    visit = only_visit(folder)
    files = visit.files()
    assert len(files) == len(set(files)) == 12
    assert set(files) == {path for path in (folder / "train" / "7").rglob("*.parquet")}


@pytest.mark.parametrize(
    ("record", "layout"),
    [
        (None, "2025"),
        ("", "2025"),
        ("[7]", "2025"),
        ("{}", "2025"),
        (json.dumps({"simulated": "yes", "planets": {"train": [7]}}), "2025"),
        (json.dumps({"simulated": True}), "2025"),
        (json.dumps({"simulated": True, "planets": {"train": [8], "test": [7]}}), "2025"),
        (json.dumps({"simulated": True, "planets": {"train": [8, 7]}}), "simulated"),
        (json.dumps({"simulated": True, "planets": {"train": [8, 7]}, "given_spectra": [8]}), "simulated"),
        (json.dumps({"simulated": True, "planets": {"train": [8, 7]}, "given_spectra": [7]}), "given"),
        (json.dumps({"simulated": True, "planets": {"train": [8, 7]}, "given_spectra": "7"}), "given"),
    ],
)
def test_only_planets_that_the_simulator_recorded_count_as_simulated(
    folder_2025: Path, record: str | None, layout: str
) -> None:
    """A row's layout decides its licence: whatever is in doubt is the challenge's."""
    if record is not None:
        (folder_2025 / "simulation.json").write_text(record)
    folder = layouts.open_folder(folder_2025)
    assert folder.origin("train", 7) == layout
    assert folder.simulated == ('"simulated": true' in (record or ""))


def test_the_one_column_cut_of_a_signal_is_refused_with_both_counts(folder_2025: Path) -> None:
    path = only_visit(folder_2025).signal_file(AIRS)
    counts = np.zeros((50 * 32 * 356, 1), np.uint16)
    frames.write_frame(path, counts)
    with pytest.raises(
        RawDataError, match=r"AIRS-CH0_signal_0.parquet of planet 7 visit 0: expected 11,392 columns .* found 1$"
    ):
        only_visit(folder_2025).n_frames(AIRS)


def damage(root: Path, what: str) -> None:
    """Break one thing of planet 7."""
    planet = root / "train" / "7"
    signal = planet / "AIRS-CH0_signal_0.parquet"
    if what == "cut signal":
        signal.write_bytes(signal.read_bytes()[:-1000])
    elif what == "empty signal":
        signal.write_bytes(b"")
    elif what == "hole in signal":
        content = bytearray(signal.read_bytes())
        middle = len(content) // 3
        content[middle : middle + 4000] = bytes(4000)
        signal.write_bytes(bytes(content))
    elif what == "float signal":
        frames.write_frame(signal, np.zeros((20, 11392)))
    elif what == "no frames":
        frames.write_frame(signal, np.zeros((0, 11392), np.uint16))
    elif what == "missing instrument":
        (planet / "FGS1_signal_0.parquet").unlink()
    elif what == "missing flat":
        (planet / "AIRS-CH0_calibration_0" / "flat.parquet").unlink()
    elif what == "flat of another shape":
        frames.write_frame(planet / "AIRS-CH0_calibration_0" / "flat.parquet", np.ones((16, 356)))
    elif what == "missing axes":
        (root / "axis_info.parquet").unlink()
    elif what == "missing star table":
        (root / "train_star_info.csv").unlink()
    elif what == "planet not in star table":
        frames.write_csv(root / "train_star_info.csv", ["planet_id", "Rs"], [[11, 1.0]])
    elif what == "missing ADC table":
        (root / "adc_info.csv").unlink()
    elif what == "zero gain":
        text = (root / "adc_info.csv").read_text()
        (root / "adc_info.csv").write_text(text.replace("0.4369", "0"))
    elif what == "missing wavelengths":
        (root / "wavelengths.csv").unlink()
    elif what == "more frames than times":
        frames.write_signal(signal, np.zeros((22, 32, 356), np.uint16))
    elif what == "half a truth":
        lines = (root / "train.csv").read_text().splitlines()
        (root / "train.csv").write_text("\n".join([lines[0], lines[1], ",".join(lines[2].split(",")[:100])]))
    else:
        raise KeyError(what)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut signal", r"signal_0.parquet of planet 7 visit 0: expected a whole Parquet file, found [\d,]+ bytes"),
        ("empty signal", r"signal_0.parquet of planet 7 visit 0: expected a whole Parquet file, found 0 bytes"),
        ("hole in signal", r"AIRS-CH0_signal_0.parquet of planet 7 visit 0: cannot be decoded"),
        ("float signal", r"planet 7 visit 0: expected uint16 counts, found double"),
        ("no frames", r"planet 7 visit 0: expected frames, found none"),
        ("missing instrument", r"FGS1_signal_0.parquet of planet 7 visit 0: expected a Parquet file, found none"),
        ("missing flat", r"flat.parquet of planet 7 visit 0: expected a Parquet file, found none"),
        ("flat of another shape", r"flat.parquet of planet 7 visit 0: expected shape \(32, 356\), found \(16, 356\)"),
        ("missing axes", r"axis_info.parquet: expected a Parquet file, found none"),
        ("missing star table", r"train_star_info.csv: expected a CSV table, found none"),
        ("planet not in star table", r"train_star_info.csv: expected a row of planet 7, found 1 other planets"),
        ("missing ADC table", r"adc_info.csv: expected a CSV table, found none"),
        ("zero gain", r"adc_info.csv: planet 7: expected AIRS-CH0_adc_gain positive, from 0.01 to 100, found 0"),
        ("missing wavelengths", r"wavelengths.csv: expected a CSV table, found none"),
        ("more frames than times", r"expected at most the 20 frames of axis_info.parquet, found 22"),
        ("half a truth", r"train.csv: planet 7: expected 284 fields as in the header, found 100"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_what_was_expected_and_found(folder_2025: Path, what: str, message: str) -> None:
    damage(folder_2025, what)
    with pytest.raises(RawDataError, match=message):
        reduce_visit(only_visit(folder_2025), ReductionOptions(n_bins=5))


@pytest.mark.parametrize("what", ["cut signal", "missing instrument", "flat of another shape"])
def test_one_corrupt_planet_does_not_stop_the_other(folder_2025: Path, what: str) -> None:
    damage(folder_2025, what)
    row, _ = reduce_visit(only_visit(folder_2025, 11), ReductionOptions(n_bins=5))
    assert row["planet_id"] == 11


def test_a_folder_that_is_none_of_the_two_layouts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match="expected a raw challenge folder, found nothing"):
        layouts.open_folder(tmp_path / "absent")
    with pytest.raises(RawDataError, match=r"expected a folder train/ or test/ of planets, found an empty folder"):
        layouts.open_folder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(RawDataError, match=r"signal.parquet \(2024\) or …_signal_0.parquet \(2025\)"):
        layouts.open_folder(tmp_path)


def test_a_split_or_planet_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(RawDataError, match="expected the split 'test', found train"):
        layouts.open_folder(folder).planets("test")
    with pytest.raises(RawDataError, match="expected the folder of planet 5, found none"):
        layouts.open_folder(folder).visits("train", 5)


def test_real_tables_of_both_years_are_read(real: Path) -> None:
    for year, planet in (("2024", 785834), ("2025", 34983)):
        opened = layouts.ChallengeFolder(real / f"challenge_{year}", year, ("train",))
        assert opened.wavelengths[1] == pytest.approx(1.9518, abs=2e-4)
        assert opened.airs_wavelengths.shape == (356,)
        gain, _ = opened.adc("train", planet, AIRS)
        assert 0.4 < gain < 2
        assert opened.star("train", planet)["star"] == (1 if year == "2024" else -1)
        assert (opened.truth("train", planet) is None) == (year == "2025")
    assert layouts.ChallengeFolder(real / "challenge_2025", "2025", ("test",)).star("test", 1103775)[
        "Rs"
    ] == pytest.approx(0.965432)


def test_the_real_folders_name_their_layout(real: Path) -> None:
    assert layouts.open_folder(real / "challenge_2025").layout == "2025"
    with pytest.raises(RawDataError, match=r"expected 11,392 columns .* found 1$"):
        layouts.open_folder(real / "challenge_2025").visit("train", frames.PLANET, 0).n_frames(AIRS)


def test_wavelength_matching_puts_pixel_column_320_at_wl_2(real: Path) -> None:
    for year in ("2024", "2025"):
        opened = layouts.ChallengeFolder(real / f"challenge_{year}", year, ("train",))
        columns = airs_columns(opened.visit("train", frames.PLANET, 0))
        np.testing.assert_array_equal(columns, np.arange(320, 38, -1))


def test_a_table_of_truths_in_percent_is_refused_as_a_whole(tmp_path: Path) -> None:
    """Most depths in percent are below 1, where a single one may be a depth."""

    def table(factor: float) -> files.PlanetTable:
        rows = [f"{planet}," + ",".join([f"{factor * 0.002 * planet:g}"] * 283) for planet in range(1, 7)]
        path = tmp_path / "train.csv"
        path.write_text("\n".join(["planet_id," + ",".join(f"wl_{k}" for k in range(1, 284)), *rows]))
        return files.PlanetTable(path)

    np.testing.assert_allclose(tables.spectrum(table(1), 3), 0.006)
    with pytest.raises(RawDataError, match=r"found a median of 0\.7 at wl_1: in percent"):
        tables.spectrum(table(100), 3)
