"""`ariel explore` and `ariel download`: what they print, write, fetch and say when something is missing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import detector_frames as frames
import pytest
import typer

from ariel_scripts.commands import download, explore
from ariel_scripts.options.download import DownloadOptions
from ariel_scripts.options.explore import ExploreOptions


@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_explore_describes_a_folder_and_writes_the_same_as_markdown(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = frames.random_folder(tmp_path / "raw", layout)
    explore.main(ExploreOptions(root, out=tmp_path / "explore.md"))
    text = capsys.readouterr().out
    assert (tmp_path / "explore.md").read_text() == text
    assert f"Layout {layout}" in text
    assert "| planets | 2 (2 with 1 visit) |" in text
    assert "| AIRS-CH0 | 20 × 32 × 356 uint16: 2 visits |" in text
    assert "Nothing was found missing" in text


def test_explore_lists_what_is_missing_and_fails_only_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = frames.random_folder(tmp_path / "raw", "2025")
    (root / "train" / "7" / "FGS1_signal_0.parquet").unlink()
    (root / "train" / "7" / "AIRS-CH0_calibration_0" / "flat.parquet").unlink()
    (root / "axis_info.parquet").unlink()
    explore.main(ExploreOptions(root, out=None))
    text = capsys.readouterr().out
    for expected in ("FGS1_signal_0.parquet of planet 7", "flat.parquet of planet 7", "axis_info.parquet"):
        assert expected in text.split("## Missing or broken")[1]
    assert "| AIRS-CH0 | 20 × 32 × 356 uint16: 2 visits |" in text
    with pytest.raises(ValueError, match="problems, the first"):
        explore.main(ExploreOptions(root, out=None, strict=True))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (Path.unlink, "no such file"),
        (lambda path: path.write_text(path.read_text().replace("\n11,", "\n88,")), r"no row of 1, the first \[11\]"),
    ],
)
def test_training_planets_without_truth_are_said_to_be_missing(
    spoil: Callable[[Path], object], found: str, tmp_path: Path
) -> None:
    root = frames.random_folder(tmp_path / "raw", "2025")
    spoil(root / "train.csv")
    with pytest.raises(ValueError, match=f"train.csv: expected true spectra of 2 training planets, found {found}$"):
        explore.main(ExploreOptions(root, out=None, strict=True))


def test_a_dry_run_prints_a_command_for_each_file_and_fetches_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    download.main(DownloadOptions(out, year="2024", planet=[5], dry_run=True))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(download.TABLES["2024"]) + 12
    assert any("-f train/5/AIRS-CH0_calibration/linear_corr.parquet" in line for line in lines)
    download.main(DownloadOptions(out, year="2025", dry_run=True))
    assert "kaggle competitions download ariel-data-challenge-2025 -p" in capsys.readouterr().out
    assert not out.exists()


def test_files_of_a_planet_are_those_the_reader_looks_for(tmp_path: Path) -> None:
    from hf_dataset.raw import layouts

    for year in ("2024", "2025"):
        root = frames.random_folder(tmp_path / year, year)
        expected = {str(path.relative_to(root)) for path in layouts.open_folder(root).visit("train", 7, 0).files()}
        assert expected <= set(download.file_plan(year, "train", [7], 1))


def fake_kaggle(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A `kaggle` on PATH that is this Python script; credentials in the environment."""
    folder.mkdir()
    program = folder / "kaggle"
    program.write_text(f"#!{sys.executable}\nimport pathlib, sys\narguments = sys.argv[1:]\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin")
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "anything")


ZIPPED = """
import zipfile
name, out = arguments[arguments.index("-f") + 1], pathlib.Path(arguments[arguments.index("-p") + 1])
out.mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(out / (pathlib.Path(name).name + ".zip"), "w") as file:
    file.writestr(pathlib.Path(name).name, name)
"""


def test_files_land_in_their_places_and_are_not_fetched_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kaggle(tmp_path / "bin", monkeypatch, ZIPPED)
    out = tmp_path / "data"
    download.main(DownloadOptions(out, planet=[5]))
    for path in download.file_plan("2025", "train", [5], 1):
        assert (out / path).read_text() == path
    fake_kaggle(tmp_path / "bin2", monkeypatch, "sys.exit(1)")
    download.main(DownloadOptions(out, planet=[5]))  # nothing is asked of it


def test_a_refusal_is_reported_with_where_to_accept_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kaggle(tmp_path / "bin", monkeypatch, 'sys.exit("403 - Forbidden")')
    with pytest.raises(
        RuntimeError, match=r"403 - Forbidden; accept the rules at https://www.kaggle.com/competitions/"
    ):
        download.main(DownloadOptions(tmp_path / "data"))
    with pytest.raises(RuntimeError, match=r"19 of 19 files could not be fetched, the first: wavelengths.csv"):
        download.main(DownloadOptions(tmp_path / "data", planet=[5]))


def test_a_missing_cli_or_token_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="pip install kaggle"):
        download.main(DownloadOptions(tmp_path / "data"))
    fake_kaggle(tmp_path / "bin", monkeypatch, "")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    for name in ("KAGGLE_USERNAME", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match=r"expected .*kaggle.json.* https://www.kaggle.com/settings"):
        download.main(DownloadOptions(tmp_path / "data"))


@pytest.mark.parametrize(("option", "value"), [("year", "2023"), ("split", "validation")])
def test_a_year_or_split_that_is_none_is_a_usage_error(option: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match=f"expected .* found {value}"):
        download.main(DownloadOptions(tmp_path, **{option: value}))
