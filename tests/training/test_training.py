"""The training loop and both commands: exact resuming, folds without leaks, what is written, what is refused."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from labelled_planets import SMALL, Line, Points, judge, planets, save_line
from safetensors.torch import load_file
from tiny_models import save_model
from training_scenes import one_fold, options
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands import finetune, pretrain
from ariel_scripts.opening.hub import Located, locate_model
from ariel_scripts.opening.provenance import Origin, fingerprint
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.training import finetuning
from ariel_scripts.training.folds import SimulatedSpectra, learned_prior, make_folds, make_priors
from ariel_scripts.training.loop import LoopSettings, MicroBatches, train
from ariel_scripts.training.planets import Classical
from hf_dataset.simulation import light_curves
from hf_dataset.simulation.planets import sample_planets
from hf_dataset.store import shards
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.physics import ArielPhysics
from modeling_ariel.predictions import read_predictions
from modeling_ariel.surprise import LENGTHS, SHARE, SIZES, Surprise

LOOP = LoopSettings(
    steps=12, batch_size=8, learning_rate=0.05, evaluate_every=4, objective="error", sign=-1, tracker="none", keep=2
)


def run(out: Path, settings: LoopSettings = LOOP, **options: Any) -> Any:
    return train(Line(), Points(), judge, settings, out, {"config": {}}, save_line, **options)


def command(main: Any, *arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def small() -> list[str]:
    return [word for setting in SMALL for word in ("--set", setting)]


# --- the loop ------------------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    stopped = run(tmp_path / "stopped", stop_after=6)  # the last checkpoint is of step 4
    assert stopped.step == 6
    resumed = run(tmp_path / "stopped")
    assert resumed.step == whole.step == 12
    for step in (entry["step"] for entry in whole.best):
        a, b = (load_file(tmp_path / name / f"best/step-{step:06d}/model.safetensors") for name in ("whole", "stopped"))
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)
    histories = [json.loads((tmp_path / name / "history.json").read_text()) for name in ("whole", "stopped")]
    for row, other in zip(*histories, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_training_lowers_the_error_and_leaves_the_best_model_with_its_record(tmp_path: Path) -> None:
    progress = run(tmp_path)
    first, best = progress.history[0]["error"], progress.best[0]
    assert best["value"] < 0.5 * first
    record = json.loads((tmp_path / "model/training.json").read_text())
    assert record["step"] == best["step"]
    assert record["loop"]["seed"] == 0
    assert {"command", "config", "versions", "git_commit", "seconds", "best"} <= set(record)
    kept = sorted(folder.name for folder in (tmp_path / "best").iterdir())
    assert kept == sorted(f"step-{entry['step']:06d}" for entry in progress.best)
    assert len(kept) == 2


def test_training_stops_when_patience_is_at_its_end(tmp_path: Path) -> None:
    settings = replace(LOOP, learning_rate=1e-12, steps=100, patience=2, evaluate_every=1)
    assert run(tmp_path, settings).step <= 4
    assert (tmp_path / "model/training.json").is_file()


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    assert run(tmp_path).history == run(tmp_path).history


def test_a_run_does_not_go_on_with_other_settings(tmp_path: Path) -> None:
    run(tmp_path, stop_after=4)
    with pytest.raises(ValueError, match=r"other settings, data or start; choose another folder or --restart"):
        run(tmp_path, replace(LOOP, learning_rate=0.01))


def test_a_run_does_not_go_on_from_another_start_or_with_other_planets(tmp_path: Path) -> None:
    run(tmp_path, stop_after=4)
    other = Line()
    with torch.no_grad():
        other.layer[0].bias.add_(1.0)
    with pytest.raises(ValueError, match="found one with other settings"):
        train(other, Points(), judge, LOOP, tmp_path, {}, save_line)
    with pytest.raises(ValueError, match="found one with other settings"):
        train(Line(), Points(), judge, LOOP, tmp_path, {"planets": {"train": [7]}}, save_line)


def test_a_run_goes_on_with_the_same_commits_however_named_and_with_no_others(tmp_path: Path) -> None:
    def go_on(revision: str | None = None, stop_after: int | None = None, **changes: Any) -> Any:
        record = {
            "config": {"dataset": "someone/curves", "dataset_revision": revision, "model": "someone/start"},
            "data": {"source": "someone/curves", "commit": "a" * 40},
            "base": {"name": "someone/start", "commit": "b" * 40},
        }
        return train(Line(), Points(), judge, LOOP, tmp_path, record | changes, save_line, stop_after=stop_after)

    go_on(stop_after=4)
    for moved in ({"data": {"source": "someone/curves", "commit": "c" * 40}},
                  {"base": {"name": "someone/start", "commit": "c" * 40}}):  # fmt: skip
        with pytest.raises(ValueError, match="found one with other settings, data or start"):
            go_on(**moved)
    assert go_on("a" * 40).step == LOOP.steps


def test_a_folders_fingerprint_is_of_its_content_wherever_it_lies(tmp_path: Path) -> None:
    def curves(name: str, seed: int) -> Located:
        rows = list(light_curves.simulate_rows(sample_planets(3, 8, "2025"), visits=1, n_bins=8, seed=seed))
        shards.write_rows(tmp_path / name, "train", rows, n_bins=8)
        return Located(str(tmp_path / name), str(tmp_path / name))

    same, other, changed = (Origin.of_dataset(curves(name, seed), "train", ["simulated"], None).data["fingerprint"]
                            for name, seed in (("one", 1), ("two", 1), ("three", 2)))  # fmt: skip
    assert same == other != changed
    assert len(same) == 64
    assert fingerprint(str(tmp_path / "one"), "test") is None
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"weights")
    hashed = Origin(base=Located("base", str(base))).record()["base"]["sha256"]
    (base / "model.safetensors").write_bytes(b"others")
    assert Origin(base=Located("base", str(base))).record()["base"]["sha256"] != hashed


def test_accumulated_batches_are_one_batch(tmp_path: Path) -> None:
    def last(name: str, accumulation: int) -> dict[str, torch.Tensor]:
        model = Line()
        model.layer[1].p = 0.0
        settings = replace(LOOP, accumulation=accumulation)
        train(model, Points(), judge, settings, tmp_path / name, {}, save_line)
        return load_file(tmp_path / name / "best/step-000012/model.safetensors")

    one, four = last("one", 1), last("four", 4)
    for name in one:
        torch.testing.assert_close(one[name], four[name], rtol=1e-5, atol=1e-6)


def test_processes_and_accumulation_share_the_same_examples() -> None:
    alone = MicroBatches(replace(LOOP, steps=2), 0, 1)
    shared = [MicroBatches(replace(LOOP, steps=2, accumulation=2), rank, 2) for rank in (0, 1)]
    assert [sorted(numbers) for numbers in alone] == [list(range(8)), list(range(8, 16))]
    dealt = [numbers for batches in shared for numbers in batches]
    assert sorted(number for numbers in dealt for number in numbers) == list(range(16))
    with pytest.raises(ValueError, match="batch_size: expected a multiple of 3"):
        MicroBatches(LOOP, 0, 3)


def test_the_number_of_processes_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"processes: expected 2, found 1; on CPU start them with"):
        run(tmp_path, processes=2)


def test_mixed_precision_rounds_and_half_precision_needs_a_gpu(tmp_path: Path) -> None:
    exact, rounded = (run(tmp_path / name, replace(LOOP, precision=name)) for name in ("no", "bf16"))
    losses = [[row["loss"] for row in progress.history[1:]] for progress in (exact, rounded)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="precision: fp16 needs a GPU"):
            run(tmp_path / "fp16", replace(LOOP, precision="fp16"))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    class Broken(Points):
        def __getitem__(self, numbers: list[int]) -> dict[str, torch.Tensor]:
            return {name: value * torch.nan for name, value in super().__getitem__(numbers).items()}

    with pytest.raises(RuntimeError, match="step 0: expected a finite loss, found nan"):
        train(Line(), Broken(), judge, LOOP, tmp_path, {}, save_line)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 0}, "steps: expected 1 or more"),
        ({"precision": "int8"}, "precision: expected one of no, bf16, fp16"),
        ({"warmup": 1.0}, "warmup: expected a share"),
        ({"learning_rate": -1.0}, "learning_rate: expected more than 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LoopSettings(**values)


def test_an_unknown_objective_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="objective: expected one of error, found 'score'"):
        run(tmp_path, replace(LOOP, objective="score"))


# --- folds ---------------------------------------------------------------------------------------------------------


def test_folds_hold_out_every_planet_once_and_validate_on_others() -> None:
    folds = make_folds(range(43), 5, "all", None, 0.2, 0)
    assert sorted(planet for fold in folds for planet in fold.test) == list(range(43))
    for fold in folds:
        assert not set(fold.test) & set(fold.train) | set(fold.test) & set(fold.validation)
        assert not set(fold.train) & set(fold.validation)
        assert len(fold.validation) == round(0.2 * (43 - len(fold.test)))


def test_a_learning_curve_uses_fewer_planets_and_more_contain_fewer() -> None:
    few, more = (make_folds(range(100), 4, "1", limit, 0.2, 0)[0] for limit in (20, 40))
    assert len(few.train) + len(few.validation) == 20
    assert {*few.train, *few.validation} < {*more.train, *more.validation}
    assert few.test == more.test


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="fold: expected all or 0 to 4, found '5'"):
        make_folds(range(20), 5, "5", None, 0.2, 0)
    with pytest.raises(ValueError, match="fold: expected --folds too, found fold '0' of none"):
        make_folds(range(20), 0, "0", None, 0.2, 0)


def test_no_training_planet_meets_a_prior_or_a_partner_it_should_not() -> None:
    truths = dict(zip(range(100), planets(100).truths, strict=True))
    fold = make_folds(range(100), 5, "0", None, 0.2, 0)[0]
    kept = learned_prior(planets(20).truths, Surprise.of(torch.linspace(0.6, 4.0, planets(20).truths.shape[1])))
    made = [
        make_priors("training", "training", given, fold, 4, kept, SimulatedSpectra("2024"), 0)
        for given in (truths, dict(truths))
    ]
    assert len({id(prior) for prior in made[0].train}) == 4
    planet = fold.train[3]
    changed = truths | {planet: 2.0 * truths[planet]}
    other = make_priors("training", "training", changed, fold, 4, kept, SimulatedSpectra("2024"), 0)
    assert all(prior.surprise is kept.surprise for prior in (*other.train, other.validation, other.final))
    torch.testing.assert_close(other.train[3].mean, made[0].train[3].mean, rtol=0, atol=0)
    assert not torch.equal(other.validation.mean, made[0].validation.mean)
    own = {spectrum.tobytes() for spectrum in made[0].spectra[3].spectra}
    assert truths[planet].tobytes() in own
    assert not own & {truths[p].tobytes() for p in (*fold.test, *fold.validation)}


def test_few_planets_keep_the_checkpoints_prior(caplog: pytest.LogCaptureFixture) -> None:
    truths = dict(zip(range(20), planets(20).truths, strict=True))
    fold = make_folds(range(20), 2, "0", None, 0.2, 0)[0]
    kept = learned_prior(planets(20).truths, None)
    with caplog.at_level(logging.WARNING):
        priors = make_priors("training", "training", truths, fold, 4, kept, SimulatedSpectra("2024"), 0)
    assert priors.final is kept
    assert "too few for a prior over spectra" in caplog.text


@pytest.mark.parametrize(
    ("count", "changes", "share", "weights"),
    [
        (20, {}, 0.3, "learned"),
        (60, {}, SHARE, None),  # as retrieval has
        (60, {"prior": "checkpoint"}, 0.3, "learned"),
        (20, {"surprise": 0.2}, 0.2, "learned"),
    ],
)
def test_a_prior_that_is_kept_keeps_its_share_for_surprise(
    tmp_path: Path, count: int, changes: dict[str, Any], share: float, weights: str | None
) -> None:
    learned = [[float(1 + row + column) for column in range(len(SIZES))] for row in range(len(LENGTHS))]
    save_model(tmp_path, prior_surprise=0.3, prior_surprise_weights=learned)
    fold = make_folds(range(count), 2, "0", None, 0.2, 0)[0]
    opened = finetuning._open_model(options(settings=None, **changes), locate_model(str(tmp_path)), None, fold)
    assert opened.config.prior_surprise == share
    assert opened.config.prior_surprise_weights == (learned if weights else None)


# --- fine-tuning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("physics", ["residual", pytest.param("none", marks=pytest.mark.slow)])
def test_held_out_truths_change_no_prediction(tmp_path: Path, physics: str) -> None:
    table = planets(66, two_visits=2)
    known = dict(zip(table.ids, table.truths, strict=True))
    held = make_folds(table.ids, 3, "0", None, 0.2, 0)[0].test
    one_fold(tmp_path / "as-they-are", table, known, physics=physics)
    other = planets(66, two_visits=2)
    shuffled = np.random.default_rng(0).permutation(held).tolist()
    # larger too: means and covariances of all truths would not notice a permutation
    permuted = known | {planet: 1.5 * known[source] for planet, source in zip(held, shuffled, strict=True)}
    other.truths = np.stack([permuted[planet] for planet in other.ids])
    assert not np.array_equal(other.truths, table.truths)
    one_fold(tmp_path / "permuted", other, permuted, physics=physics)
    a, b = (read_predictions(tmp_path / name / "predictions.parquet") for name in ("as-they-are", "permuted"))
    assert sorted(a.planet_id) == sorted(held)
    np.testing.assert_array_equal(a.mu, b.mu)
    np.testing.assert_array_equal(a.sigma, b.sigma)
    record = json.loads((tmp_path / "permuted/model/training.json").read_text())
    assert not set(held) & {*record["planets"]["train"], *record["planets"]["validation"]}


def test_a_frozen_backbone_stays_and_the_head_moves(tmp_path: Path) -> None:
    table = planets(24)
    known = dict(zip(table.ids, table.truths, strict=True))
    out = one_fold(tmp_path, table, known, freeze_backbone=True, keep=9, objective="rmse_ppm")
    first, last = (load_file(out / f"best/step-{step:06d}/model.safetensors") for step in (0, 4))
    moved = {name for name in first if not torch.equal(first[name], last[name])}
    assert moved
    assert all(name.startswith(("head.", "familiarity.")) for name in moved)  # the latter learns the former's features


@pytest.mark.parametrize("lost", ["no_transit", "doubtful"])
def test_planets_whose_fit_cannot_be_trusted_are_not_trained_on_but_predicted(tmp_path: Path, lost: str) -> None:
    table = planets(24)
    assert table.fits is not None
    known = dict(zip(table.ids, table.truths, strict=True))
    fold = make_folds(table.ids, 3, "0", None, 0.2, 0)[0]
    for planet in (fold.train[0], fold.test[0]):
        visit = table.visits[table.ids.index(planet)][0]
        table.fits.status[visit], table.fits.notes[visit] = lost, "for a reason"
        assert table.ids.index(planet) not in table.labelled()
    predictions = read_predictions(one_fold(tmp_path, table, known) / "predictions.parquet")
    status = dict(zip(predictions.planet_id.tolist(), predictions.extra["status"], strict=True))
    assert status[fold.test[0]] == lost
    assert status[fold.test[1]] == "ok"
    assert sorted(set(predictions.extra["notes"])) == ["", "for a reason"]


def test_a_doubtful_visit_is_left_out_of_a_planets_fits() -> None:
    table = planets(2, two_visits=2)
    assert table.fits is not None
    physics = ArielPhysics(ArielConfig())
    physics.reset()
    priors = [physics.spectrum_prior()] * 2
    table.fits.status[table.visits[0][1]] = "doubtful"
    found = Classical.of(table, [0, 1], physics, priors, False)
    first = table.visits[0][0]
    torch.testing.assert_close(found.depth[0], table.fits.depth[first])
    torch.testing.assert_close(found.shared[0].double(), table.fits.shared[first])
    assert bool((found.depth_sigma[1] < 0.8 * found.depth_sigma[0]).all())
    assert table.status(0) == "ok"
    assert table.note(0) == "visit 2 of 2 is left out as doubtful"


# --- commands ------------------------------------------------------------------------------------------------------


def test_pretraining_and_the_plain_model_run_on_simulated_curves(tmp_path: Path) -> None:
    quick = ("--steps", 2, "--evaluate-every", 2, "--batch-size", 2, *small())
    done = command(
        pretrain.main,
        "--simulate",
        4,
        "--validation",
        2,
        "--out",
        tmp_path / "masked",
        "--mask-strategy",
        "band",
        "--deterministic",
        *quick,
    )
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "masked/model/training.json").read_text())
    data = {"source": "simulated on the fly", "layouts": ["simulated"]}
    assert record["data"] == {**data, "labels_used": False}
    assert list((tmp_path / "masked/logs").rglob("events.*"))
    assert json.loads((tmp_path / "masked/run.json").read_text())["config"]["deterministic"] is True
    start = ("--model", tmp_path / "masked/model", "--out", tmp_path / "plain", "--tracker", "none")
    done = command(finetune.main, "--simulate", 4, "--physics", "none", *start, *quick)
    assert done.exit_code == 0, done.output
    masked, plain = (load_file(tmp_path / name / "model/model.safetensors") for name in ("masked", "plain"))
    assert set(plain) & set(masked)
    record = json.loads((tmp_path / "plain/model/training.json").read_text())
    assert record["data"] == data
    sha256 = hashlib.sha256((tmp_path / "masked/model/model.safetensors").read_bytes()).hexdigest()
    assert record["base"] == {"name": str(tmp_path / "masked/model"), "layouts": ["simulated"], "sha256": sha256}
    config = json.loads((tmp_path / "plain/model/config.json").read_text())
    assert config["auto_map"]["AutoModel"] == "modeling_ariel.ArielForSpectrumPrediction"
    assert json.loads((tmp_path / "plain/run.json").read_text())["status"] == "done"


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_the_deterministic_switch_holds_for_the_run_alone(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    module, found = {"pretrain": pretrain, "finetune": finetune}[stage], []

    def look(_: Any) -> None:
        cudnn, workspace = torch.backends.cudnn, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
        found.append((torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, workspace))

    monkeypatch.setattr(module, stage, look)
    for words in ((), ("--deterministic",), ()):
        assert command(module.main, "curves", *words).exit_code == 0
    assert [on for on, *_ in found] == [False, True, False]
    assert [benchmark for _, benchmark, _ in found] == [True, False, True]
    assert [workspace for *_, workspace in found] == [None, ":4096:8", None]
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    done = command(module.main, "curves", "--deterministic")
    assert (done.exit_code, len(found)) == (1, 3)


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (pretrain.main, (), "expected a dataset or --simulate N"),
        (pretrain.main, ("curves", "--simulate", 3), "and not both"),
        (pretrain.main, ("--simulate", 0, "--mask-ratio", 1.5), "mask_ratio: expected between 0 and 1"),
        (pretrain.main, ("--simulate", 0, "--mask-strategy", "stripes"), "mask_strategy: expected one of"),
        (pretrain.main, ("--simulate", 0, "--set", "hiden_size=3"), "--set: unknown hiden_size"),
        (pretrain.main, ("--simulate", 0, "--set", "hidden_size"), "expected NAME=VALUE"),
        (pretrain.main, ("--simulate", 0, "--precision", "half"), "precision: expected one of"),
        (finetune.main, ("--simulate", 0), "it needs --physics none"),
        (finetune.main, ("nowhere/at-all",), "found no such folder"),
        (finetune.main, ("curves", "--physics", "none", "--draws", 8), "--draws above 1 needs --physics residual"),
        (finetune.main, ("--simulate", 0, "--physics", "newton"), "--physics none"),
        (finetune.main, ("--simulate", 0, "--physics", "none", "--population", "2030"), "population: expected"),
        (finetune.main, ("--simulate", 0, "--physics", "none", "--swap", 3), "swap: expected a share"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path,
    main: Any,
    arguments: tuple[object, ...],
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command(main, *arguments, "--out", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert said in " ".join((result.output + caplog.text).replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert command(pretrain.main, "--simulate", 0, "--out", tmp_path / "out", "--dry-run").exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("stage", "kind"), [("pretrain", PretrainOptions), ("simulated", FinetuneOptions),
                                             ("plain", FinetuneOptions), ("labelled", FinetuneOptions)])  # fmt: skip
def test_the_stages_configurations_name_options_that_there_are(repository: Path, stage: str, kind: Any) -> None:
    from ariel_scripts.options.yaml_values import read_yaml

    values = read_yaml((repository / "configs" / f"{stage}.yaml").read_text())
    assert set(values) <= {parameter.name for parameter in parameters_of(kind)}
