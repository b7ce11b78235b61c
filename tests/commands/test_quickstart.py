"""The whole road through the commands, as `make quickstart` runs it, on two small planets."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from subprocess import CompletedProcess
from typing import cast

import datasets
import numpy as np
import pytest
import warm_python

from ariel_scripts import cli
from ariel_scripts.command_line import EXIT_INTERRUPTED
from ariel_scripts.pages.plots import Spectrum
from ariel_scripts.pages.quickstart import FittedPlanet
from ariel_scripts.pages.quickstart_page import CLASSICAL, MODEL, Judged, verdict, worth
from modeling_ariel.retrieval import ClassicalFit


def quickstart(out: Path) -> CompletedProcess[str]:
    options = ["--planets", "2", "--test-planets", "1", "--frames", "750", "--no-full"]
    return warm_python.run(["-m", "ariel_scripts.cli", "quickstart", str(out), *options], out, os.environ)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quickstart")
    done = quickstart(out)
    assert done.returncode == 0, done.stderr
    assert "submission.csv" in done.stdout
    return out


def test_quickstart_leaves_a_dataset_that_opens_with_its_truths(made: Path) -> None:
    folder = str(made / "light-curves")
    dataset = datasets.load_dataset(folder, split="train", streaming=True).with_format("numpy")
    rows = list(dataset)
    assert [row["layout"] for row in rows] == ["simulated"] * 2
    assert all(row["flux"].shape == (375, 283) and len(row["spectrum"]) == 283 for row in rows)
    test = list(datasets.load_dataset(folder, split="test", streaming=True))
    assert len(test) == 1
    assert test[0]["spectrum"] is None


def test_quickstart_submits_every_test_planet_in_the_official_columns(made: Path) -> None:
    with (made / "raw/sample_submission.csv").open() as file:
        sample = list(csv.reader(file))
    with (made / "run/submission.csv").open() as file:
        submission = list(csv.reader(file))
    assert submission[0] == sample[0]
    assert [row[0] for row in submission[1:]] == [row[0] for row in sample[1:]]
    values = np.array(submission[1][1:], float)
    assert (values > 0).all()
    assert 0.0001 < values[:283].mean() < 0.05


def test_quickstart_leaves_scores_a_run_record_and_a_page_with_its_figures(made: Path) -> None:
    record = json.loads((made / "run.json").read_text())
    assert record["status"] == "done"
    assert record["metrics"]["reduced"]["planets"] == 2
    assert record["metrics"]["reduced"]["rmse_ppm"] < 1000
    page = (made / "index.html").read_text()
    drawn = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert len(drawn["figures"]) == 5  # a spectrum for each planet, light curves, images, steps
    assert 'src="http' not in page


def words_of(page: str) -> str:
    """What is read of a page before its record."""
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", page[: page.index('id="run"')], flags=re.DOTALL)


def test_the_page_says_its_numbers_in_words(made: Path) -> None:
    page = (made / "index.html").read_text()
    said = words_of(page)
    assert not re.findall(r"\w+_ppm|rmse|z_spread|coverage_90", said)
    metrics = json.loads((made / "run.json").read_text())["metrics"]
    for kind in ("reduced", "reduced-classical"):
        assert f"{metrics[kind]['rmse_ppm']:.0f} ppm" in said
        assert f"{metrics[kind]['score_2024']:.3f}" in said
    for link in re.findall(r'href="([^#"][^"]*)"', page[: page.index('id="run"')]):
        assert link == "data:," or (made / link).exists(), link


def lead(shift: float) -> FittedPlanet:
    """A planet of 283 channels whose answers are off by `shift` and twice that, with error bars of 20 ppm."""
    wavelengths = np.concatenate([[0.7], np.linspace(1.95, 3.9, 282)])
    truth = 1e-2 + 3e-4 * ((wavelengths > 2.15) & (wavelengths < 2.45))
    answers = {
        name: Spectrum(truth + times * shift, np.full(283, 2e-5)) for name, times in ((MODEL, 1), (CLASSICAL, 2))
    }
    return FittedPlanet({"planet_id": 7}, wavelengths, cast(ClassicalFit, None), answers, truth)


@pytest.mark.parametrize(
    ("shift", "inside", "seen"),
    [(1e-5, "at all 283 wavelengths", "30 times that error"), (1.5e-4, "at 0 of 283", "too little to be told")],
    ids=["near", "far"],
)
def test_the_verdict_tells_how_far_the_truth_is_and_whether_features_are_seen(
    shift: float, inside: str, seen: str
) -> None:
    said = verdict(lead(shift), "all frames")
    assert f"to {1e6 * shift:.0f} ppm" in said
    assert f"the classical fit: {2e6 * shift:.0f} ppm" in said
    assert inside in said
    assert "highest in the band of CH₄ at 2.3 µm, span 300 ppm" in said
    assert seen in said


@pytest.mark.parametrize(
    ("coverage", "bars"),
    [(0.99, "too wide"), (0.9, "about right"), (0.5, "too narrow")],
    ids=["wide", "fair", "slim"],
)
def test_error_bars_are_called_what_their_coverage_says(coverage: float, bars: str) -> None:
    numbers = {"rmse_ppm": 40.0, "coverage_90": coverage}
    said = worth(Judged("12 planets", numbers, {"rmse_ppm": 50.0}, single=False))
    assert "nearer to the truth than the classical fit, 40 against 50 ppm" in said
    assert f"error bars are {bars}" in said


@pytest.mark.slow
def test_quickstart_run_again_keeps_raw_frames_and_shards_and_ends_alike(made: Path) -> None:
    kept = [*(made / "raw").rglob("*.parquet"), *(made / "light-curves/data/light_curves").rglob("*.parquet")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    done = quickstart(made)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def test_ctrl_c_in_a_step_ends_quickstart_as_interrupted_not_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = cli.call
    monkeypatch.setattr(cli, "call", lambda *_: EXIT_INTERRUPTED)
    assert call("quickstart", tmp_path / "out") == EXIT_INTERRUPTED
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "interrupted"
