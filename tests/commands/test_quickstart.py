"""The whole road through the commands, as `make quickstart` runs it, on two small planets."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from subprocess import CompletedProcess

import datasets
import numpy as np
import pytest
import warm_python


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
    assert page.count("data:image/png;base64,") == 5  # steps, light curves, images, a spectrum for each planet
    assert 'src="http' not in page


@pytest.mark.slow
def test_quickstart_run_again_keeps_raw_frames_and_shards_and_ends_alike(made: Path) -> None:
    kept = [*(made / "raw").rglob("*.parquet"), *(made / "light-curves/data/light_curves").rglob("*.parquet")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    done = quickstart(made)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == before
