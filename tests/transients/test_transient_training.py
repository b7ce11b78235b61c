"""`ariel transients pretrain` and `finetune`: folds, records, resuming, out-of-fold probabilities, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transient_scenes import NAMES, SMALL, dataset, rows
from typer.testing import CliRunner, Result

from ariel_scripts.cli import app
from ariel_scripts.options.training_loop import LoopOptions
from ariel_scripts.options.transients.finetune import FinetuneOptions
from ariel_scripts.options.transients.training import AugmentationOptions
from ariel_scripts.training.loop import Progress
from ariel_scripts.training.transients import finetuning
from ariel_scripts.training.transients.examples import TransientExamples
from ariel_scripts.training.transients.folds import make_folds
from ariel_scripts.training.transients.objects import read_features
from hf_dataset.transients.folds import stratified_folds
from modeling_ariel.transients import TransientFeatureExtractor, TransientPipeline
from modeling_ariel.transients.curves import read_curve

QUICK = ("--batch-size", 6, "--tracker", "none", "--set", "hidden_size=16")


def settings(name: str) -> list[str]:
    return [word for key, value in SMALL[name].items() for word in ("--set", f"{key}={value}")]


def ariel(*words: object) -> Result:
    return CliRunner().invoke(app, ["transients", *map(str, words)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("objects") / "transients", train=12, test=4)


def finetune(folder: Path, out: Path, *words: object, name: str = "transient", steps: int = 4) -> Result:
    own = () if "--model" in words else ("--architecture", name, *settings(name))
    return ariel("finetune", folder, "--out", out, "--steps", steps, "--evaluate-every", 2, *own, *QUICK, *words)


def test_pretrained_and_fine_tuned_it_gives_out_of_fold_probabilities_that_its_models_repeat(
    folder: Path, tmp_path: Path
) -> None:
    words = ("--steps", 4, "--evaluate-every", 2, *QUICK, *settings("transient"))
    done = ariel("pretrain", folder, "--out", tmp_path / "pre", *words)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "pre/model/training.json").read_text())
    assert (record["data"]["split"], record["data"]["labels_used"]) == ("train+test", False)
    own = ("--model", tmp_path / "pre/model", "--folds", 3, "--embeddings", "--predict", "test")
    done = finetune(folder, tmp_path / "out", *own)
    assert done.exit_code == 0, done.output
    table = pq.read_table(tmp_path / "out/predictions.parquet")
    listed = {one["object_id"]: one for one in rows(12)[0]}
    assert table["object_id"].to_pylist() == sorted(listed)
    names = list(listed)
    fold = dict(zip(names, stratified_folds(names, [one["spec_type"] for one in listed.values()], 3), strict=True))
    assert table["fold"].to_pylist() == [fold[name] for name in sorted(listed)]
    assert table["target"].to_pylist() == [listed[name]["target"] for name in sorted(listed)]
    assert len(table["embedding"][0]) == 32
    for number in range(3):
        mine = [name for name in sorted(listed) if fold[name] == number]
        found = TransientPipeline.from_pretrained(tmp_path / f"out/fold-{number}/model")([listed[x] for x in mine])
        stored = table.filter(pa.compute.field("fold") == number)["probability"]
        np.testing.assert_allclose(found.probability, stored, rtol=1e-4)
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert {"average_precision", "f1", "f1_optimistic"} < set(scores)
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["status"] == "done"
    assert run["metrics"]["held out"] == scores
    base = json.loads((tmp_path / "out/fold-0/model/training.json").read_text())["base"]
    assert base["layouts"] == ["simulated"]
    assert pq.read_table(tmp_path / "out/predictions_test.parquet").num_rows == 12


@pytest.mark.parametrize("name", [*NAMES[1:3], pytest.param(NAMES[3], marks=pytest.mark.slow)])
def test_every_architecture_is_trained_by_the_same_command(name: str, folder: Path, tmp_path: Path) -> None:
    done = finetune(folder, tmp_path, "--folds", 2, "--fold", 1, "--class-weights", "balanced", name=name, steps=2)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "fold-1/model/config.json").read_text())["model_type"] == name
    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == 18
    assert "f1" not in json.loads((tmp_path / "scores.json").read_text())  # no other fold to choose a threshold


def test_a_stopped_run_ends_as_it_would_have_and_other_data_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = finetune(folder, tmp_path / "whole", "--folds", 0)
    assert done.exit_code == 0, done.output
    train = finetuning.train
    monkeypatch.setattr(finetuning, "train", lambda *given: train(*given, stop_after=2))
    finetune(folder, tmp_path / "stopped", "--folds", 0)
    monkeypatch.undo()
    assert not (tmp_path / "stopped/model").exists()
    done = finetune(folder, tmp_path / "stopped", "--folds", 0)
    assert done.exit_code == 0, done.output
    assert "resumed at step 2 of 4" in done.output
    whole, stopped = (load_file(tmp_path / name / "state/model.safetensors") for name in ("whole", "stopped"))
    for key, value in whole.items():
        torch.testing.assert_close(stopped[key], value)
    shutil.rmtree(tmp_path / "stopped/model")
    other = dataset(tmp_path / "other", train=11)
    done = finetune(other, tmp_path / "stopped", "--folds", 0)
    assert done.exit_code == 1
    assert "found one with other settings, data or start" in done.output


def test_features_beside_the_curves_are_read_from_a_table(folder: Path, tmp_path: Path) -> None:
    names = [one["object_id"] for one in rows(12)[0]]
    table = {"object_id": names[1:], "a": np.arange(35.0), "redshift_err": np.ones(35), "target": np.ones(35)}
    pq.write_table(pa.table(table | {"word": ["x"] * 35}), tmp_path / "features.parquet")
    found, values = read_features(tmp_path / "features.parquet", names)
    assert found == ["a"]
    np.testing.assert_array_equal(values[:, 0], [np.nan, *range(35)])
    done = finetune(folder, tmp_path / "out", "--folds", 2, "--fold", 0, "--features", tmp_path / "features.parquet")
    assert done.exit_code == 0, done.output
    extractor = TransientFeatureExtractor.from_pretrained(tmp_path / "out/fold-0/model")
    assert extractor.feature_names == ["a"]
    assert json.loads((tmp_path / "out/fold-0/model/config.json").read_text())["feature_names"] == ["a"]
    draws = pa.table({"object_id": [names[0]] * 2, "draw": [0, 1], "a": [1.0, 2.0]})
    pq.write_table(draws, tmp_path / "others.parquet")
    found, values = read_features(tmp_path / "others.parquet", names[:1])
    assert (found, values.tolist()) == (["a"], [[1.0]])
    pq.write_table(draws.drop_columns("draw"), tmp_path / "others.parquet")
    with pytest.raises(ValueError, match="expected a row an object, found 2 rows of 1 objects"):
        read_features(tmp_path / "others.parquet", names)
    pq.write_table(pa.table({"object_id": ["nobody"], "a": [1.0]}), tmp_path / "others.parquet")
    with pytest.raises(ValueError, match="expected rows of the dataset's objects, found none"):
        read_features(tmp_path / "others.parquet", names)
    pq.write_table(pa.table({"name": ["nobody"]}), tmp_path / "others.parquet")
    with pytest.raises(ValueError, match="expected a column object_id, found name"):
        read_features(tmp_path / "others.parquet", names)


def test_examples_depend_on_their_numbers_alone_and_may_be_balanced() -> None:
    listed, labels = rows(4)
    curves = [read_curve(one, "lsst") for one in [*listed, *(listed[:1] * 12)]]
    own = np.concatenate([labels.numpy(), np.zeros(12, np.int64)])
    examples = TransientExamples(curves, TransientFeatureExtractor(), None, 3, own, sampling="balanced")
    assert np.bincount(examples[list(range(24))]["labels"]).tolist() == [8, 8, 8]
    one, two = examples[[7, 8]], examples[[8]]
    size = two["flux"].shape[1]
    torch.testing.assert_close(one["flux"][1:, :size], two["flux"])
    plain = TransientExamples(curves, TransientFeatureExtractor(), None, 3, own)
    assert np.bincount(plain[list(range(24))]["labels"]).tolist() == [16, 4, 4]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_that_is_none_is_never_the_best(sign: int) -> None:
    progress, nan = Progress(), float("nan")
    for step, value in enumerate((nan, 0.5, nan, 0.5 + 0.1 * sign)):
        progress.step = step
        progress.add_evaluation(value, 2, sign)
    assert [entry["step"] for entry in progress.best] == [3, 1]


def test_folds_hold_out_every_object_once_and_validate_on_others() -> None:
    names, classes = [f"object {k}" for k in range(60)], ["a"] * 10 + ["b"] * 50
    folds = make_folds(names, classes, 5, "all", 0.25, seed=2)
    held = np.concatenate([fold.test for fold in folds])
    assert sorted(held.tolist()) == list(range(60))
    for fold in folds:
        assert len({*fold.train.tolist(), *fold.validation.tolist(), *fold.test.tolist()}) == 60
        assert len(fold.validation) == 12
        assert (fold.validation < 10).sum() == 2
    for wrong, message in (
        ((1, "all", 0.2), "folds: expected 2 or more, or 0"),
        ((5, "5", 0.2), "fold: expected all or 0 to 4, found '5'"),
        ((5, "all", 0.9), "validation: expected a share"),
    ):
        with pytest.raises(ValueError, match=message):
            make_folds(names, classes, *wrong, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "cnn"}, "architecture: expected one of transient, transient_lstm"),
        ({"classes": "kind"}, "classes: expected type or target, found 'kind'"),
        ({"objective": "accuracy"}, "objective: expected one of average_precision"),
        ({"class_weights": "some"}, "class_weights: expected none or balanced, found 'some'"),
        ({"split": "test"}, "target: expected 0 or 1 in a split to train on, found none"),
        ({"split": "held"}, "split 'held' cannot be opened"),
        ({"folds": 0, "validation": 0.028}, "all: expected TDEs among the 1 objects validated on, found none"),
        ({"predict": "train"}, "predict: expected another split than the one that is trained on, found train"),
        ({"loss": "hinge"}, "loss: expected cross_entropy or focal"),
        ({"settings": ["width=3"]}, "unknown width"),
        ({"augmentation": AugmentationOptions(noise=0.1)}, "noise: expected a factor of 1 or more, found 0.1"),
    ],
)
def test_what_cannot_be_trained_is_refused(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    options = FinetuneOptions(str(folder), tmp_path / "out", loop=LoopOptions(dry_run=True), **change)
    with pytest.raises(ValueError, match=re.escape(message)):
        finetuning.finetune(options)
    assert not (tmp_path / "out").exists()
