"""`ariel ablate`: plans, searches, resuming, the leaderboard and the zip; and runs that end by the clock."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_planets import planets
from training_scenes import one_fold

from ariel_scripts.options.ablate import AblateOptions
from ariel_scripts.training.ablation import ablate, drawn, read_plan, rounds
from ariel_scripts.training.leaderboard import COLUMNS, Judges, rows_of, write_leaderboard, write_top
from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel.predictions import Predictions, write_predictions

PLAN = """
options: {dataset: curves, folds: 3, steps: 9}
variants:
  small: {architecture: transit_cnn, settings: [temporal_attention=true]}
  large: {architecture: transit_cnn}
vary: {physics: [residual, none], seed: [0, 1]}
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


class Finetune:
    """Stands for `ariel finetune`: what it writes, better on validation by the number that its seed is."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, config: Path, out: Path) -> int:
        import yaml

        options = yaml.safe_load(config.read_text())
        self.calls.append(options)
        fold, value = options["fold"], float(options["seed"]) + (options["physics"] == "residual")
        folder = out / f"fold-{fold}"
        (folder / "model").mkdir(parents=True)
        (folder / "model/config.json").write_text(json.dumps(options))
        ids = np.arange(3) + 3 * int(fold)
        mu = np.full((3, 283), 2e-3, np.float32)
        write_predictions(folder / "predictions.parquet", Predictions(ids, mu, 0 * mu + np.float32(1e-4), {}))
        row = {"best": {"value": value, "step": 6}, "steps": options["steps"], "parameters": 7}
        row |= {"held out": {"score_2024": value}, "classical on held out": {}}
        if options["physics"] == "residual":
            row["classical on held out"] = {"score_2024": value - 0.25}
        row["cpu_seconds"] = {"training": 2.0, "prediction": 0.3}
        record = {"status": "done", "metrics": {f"fold-{fold}": row}}
        (out / "run.json").write_text(json.dumps(record))
        return 0


def options(plan: Path, out: Path, **changes: Any) -> AblateOptions:
    return AblateOptions(plan=plan, out=out, **changes)


def test_a_plan_crosses_its_variants_with_what_varies(plan_file: Path) -> None:
    plan = read_plan(plan_file, None)
    assert len(plan.variants) == 8
    assert plan.variants[0].name == "small, physics residual, seed 0"
    assert plan.variants[-1].options == {"architecture": "transit_cnn", "physics": "none", "seed": 1}
    assert read_plan(plan_file, "others").options["dataset"] == "others"


def test_configuration_files_lie_below_a_plans_options(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text("steps: 5\nbatch_size: 7\n")
    (tmp_path / "plan.yaml").write_text("options: {config: [below.yaml], dataset: x, folds: 2, steps: 6}\n")
    plan = read_plan(tmp_path / "plan.yaml", None)
    assert plan.options == {"steps": 6, "batch_size": 7, "dataset": "x", "folds": 2}
    assert [variant.name for variant in plan.variants] == ["as it is"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "expected a mapping of options, rules, variants, vary, found list"),
        ("grid: {}", "expected a mapping of options, rules, variants, vary, found .'grid'"),
        ("options: {folds: 2}", "expected a dataset in options"),
        ("options: {dataset: x}", "folds: expected 2 or more in options, found None"),
        ("options: {dataset: x, folds: 2, speed: 3}", "speed: expected an option of `ariel finetune`"),
        ("options: {dataset: x, folds: 2}\nvary: {seed: 3}", "vary: seed: expected a list of values, found 3"),
        ("options: {dataset: x, folds: 2}\nvary: {seed: [1, 1]}", "expected variants that differ"),
        ("options: {dataset: x, folds: 2}\nvariants: {a: {out: b}}", "out: expected an option"),
        ("options: {folds: 2}\nvariants: {a: {architecture: cnn}}", "a: architecture: expected .*found 'cnn'"),
        ("options: {folds: 2}\nvariants: {a: {penalties: b.yaml}}", "a: .*b.yaml: expected"),
        ("rules: plan.yaml\noptions: {dataset: x, folds: 2}", "penalties: expected edges, .*found options"),
    ],
)
def test_a_plan_that_is_none_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"plan\.yaml.*{message}"):
        read_plan(path, None)


def test_a_grid_runs_all_once_best_on_validation_first(plan_file: Path, tmp_path: Path) -> None:
    plan, run = read_plan(plan_file, None), Finetune()
    chosen = options(plan_file, tmp_path / "out", first="0,2", finalists=1)
    found = ablate(plan, chosen, run)
    assert len(run.calls) == 8 * 2 + 1
    assert found[0].validation == 2.0
    assert sorted(found[0].folds) == [0, 1, 2]
    assert [sorted(one.folds) for one in found[1:]] == [[0, 2]] * 7
    assert {call["steps"] for call in run.calls} == {9}
    again = Finetune()
    assert [one.variant for one in ablate(plan, chosen, again)] == [one.variant for one in found]
    assert not again.calls


def test_halving_gives_the_best_third_three_times_the_steps(plan_file: Path, tmp_path: Path) -> None:
    plan, run = read_plan(plan_file, None), Finetune()
    found = ablate(plan, options(plan_file, tmp_path / "out", search="halving", first="0"), run)
    assert [(call["steps"]) for call in run.calls] == [3] * 8 + [9] * 2
    assert [one.share for one in found] == pytest.approx([1.0] * 2 + [1 / 3] * 6)
    assert found[0].validation == 2.0
    assert rounds(1) == [1.0]
    assert rounds(27) == pytest.approx([1 / 27, 1 / 9, 1 / 3, 1.0])


def test_a_random_search_draws_by_its_seed(plan_file: Path, tmp_path: Path) -> None:
    plan = read_plan(plan_file, None)
    chosen = [drawn(plan, options(plan_file, tmp_path, search="random", trials=3, seed=seed)) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 3


def test_the_leaderboard_is_written_in_every_form_and_the_best_as_a_zip(plan_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = ablate(read_plan(plan_file, None), options(plan_file, out), Finetune())
    truths = {planet: np.full(283, 2.05e-3) for planet in range(12)}  # some in no fold that was run
    rules = {"rules": {"sigma_bounds": {"low_ppm": 100 * np.e, "high_ppm": 900, "limit": 0.2}, "smoothness": {}}}
    rows = rows_of(found, Judges(truths, wavelengths_um("2025").tolist(), rules))
    assert rows[0]["violation_norms"] == pytest.approx({"sigma_bounds": 4.0, "smoothness": 0.0}, abs=1e-5)
    assert rows[0]["violation_norm"] == pytest.approx(4.0, rel=1e-5)
    assert rows[0]["fft_power"] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(rows_of(found[:1], Judges(truths))[0]["violation_norm"])
    assert rows[0]["rmse_ppm"] == pytest.approx(50.0, rel=1e-4)
    assert rows[0]["entropy"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e) + np.log(100.0), rel=1e-6)
    assert rows[0]["predict_seconds"] == pytest.approx(1e3 * 0.9 / 9)
    assert rows[-1]["coverage_change"] == 0.0
    assert rows[0]["over_physics"] == pytest.approx(0.25)
    assert np.isnan(rows[-1]["over_physics"])
    assert rows[0]["best_step"] == 6
    text = write_leaderboard(out, rows)
    assert text.count("\n") == 10
    assert "nan" not in text
    assert "<td>large, physics none, seed 0</td>" in (out / "leaderboard.html").read_text()
    table = list(csv.DictReader((out / "leaderboard.csv").open()))
    assert set(table[0]) == {"variant", *COLUMNS}
    path = write_top(out, found, 2)
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert len(manifest) == 2
        for entry in manifest.values():
            assert len(entry["files"]) == 3
            for name, digest in entry["files"].items():
                assert hashlib.sha256(archive.read(name)).hexdigest() == digest


def test_a_run_ends_by_the_clock_with_an_evaluation(tmp_path: Path) -> None:
    table = planets(30)
    known = dict(zip(table.ids, table.truths, strict=True))
    one_fold(tmp_path, table, known, architecture="transit_cnn", settings=[], steps=1000, minutes=1e-4)
    history = json.loads((tmp_path / "history.json").read_text())
    last = history["rows"][-1] if isinstance(history, dict) else history[-1]
    assert last["step"] < 1000
    assert "log_likelihood" in last
