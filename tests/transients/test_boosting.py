"""Searches for TDEs: scores beside scikit-learn's, boosters saved and loaded, nothing learnt from judged objects."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from boosting_scenes import FAST, QUICK, objects
from sklearn import metrics
from transient_light import disruption
from typer.testing import CliRunner, Result

from ariel_scripts.cli import app
from ariel_scripts.transients.boosters import (
    FOCUS,
    IMBALANCES,
    SUFFIXES,
    BoosterSettings,
    focal_slopes,
    load_booster,
    train_booster,
)
from ariel_scripts.transients.feature_table import FeatureTable
from ariel_scripts.transients.nested import COMBINATIONS, combined, judge, nested_folds, scores
from ariel_scripts.transients.predicted import warn_of_trained
from ariel_scripts.transients.prediction import write_predictions
from ariel_scripts.transients.search import calibrate, load_search, objects_of, train_search
from modeling_ariel.transients.detection_scores import (
    average_precision,
    best_threshold,
    bootstrap,
    calibration_curve,
    detection,
)
from modeling_ariel.transients.siblings import distances, groups, rest_curve
from modeling_ariel.transients.smooth import smooth_all

# --- scores --------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    target = (rng.random(300) < 0.1).astype(int)
    probability = np.clip(0.3 * target + rng.random(300), 0, 1).round(2)  # rounded: some are equal
    assert average_precision(target, probability) == pytest.approx(metrics.average_precision_score(target, probability))
    chosen = probability > 0.8
    found = detection(target, chosen)
    assert found.f1 == pytest.approx(metrics.f1_score(target, chosen))
    assert found.precision == pytest.approx(metrics.precision_score(target, chosen))
    assert found.recall == pytest.approx(metrics.recall_score(target, chosen))
    every = [metrics.f1_score(target, probability >= one) for one in np.unique(probability)]
    best = detection(target, probability >= best_threshold(target, probability)).f1
    assert best == pytest.approx(max(every))
    assert calibration_curve(target, probability).brier == pytest.approx(metrics.brier_score_loss(target, probability))


def test_a_calibrated_probability_has_a_calibrated_curve_and_a_shifted_one_has_not() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(20_000)
    target = (rng.random(20_000) < probability).astype(int)
    assert calibration_curve(target, probability).error < 0.02
    assert calibration_curve(target, probability**3).error > 0.15
    odds = np.log(probability / (1 - probability))
    found = calibrate(3 * odds + 1, target)
    assert found.slope == pytest.approx(1 / 3, abs=0.02)
    assert found.offset == pytest.approx(-1 / 3, abs=0.05)


def test_the_bootstrap_s_interval_is_that_of_the_binomial() -> None:
    target = np.repeat([1, 0], [100, 900])
    chosen = np.arange(1000) < 60  # 60 of 100 found
    found = bootstrap(lambda places: detection(target[places], chosen[places]).recall, target, 800)
    assert found.value == pytest.approx(0.6)
    assert found.high - found.low == pytest.approx(2 * 1.645 * np.sqrt(0.6 * 0.4 / 100), rel=0.15)


# --- boosters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", SUFFIXES)
@pytest.mark.parametrize("imbalance", IMBALANCES)
def test_a_booster_finds_the_signal_and_is_the_same_when_loaded(library: str, imbalance: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    train, test = objects(300), objects(300, seed=1)
    booster = train_booster(*train.rows, replace(FAST, library=library, imbalance=imbalance), 0)
    odds = booster.odds(test.judged)
    assert metrics.roc_auc_score(test.target, odds) > 0.8
    assert booster.importance(8).argmax() == 2
    path = tmp_path / f"model{SUFFIXES[library]}"
    booster.save(path)
    np.testing.assert_allclose(load_booster(path).odds(test.judged), odds, rtol=1e-5, atol=1e-6)
    assert path.read_bytes()[:1] in (b"{", b"t")  # JSON or text
    path.write_text("no model")
    with pytest.raises(ValueError, match=f"expected a model of {library}"):
        load_booster(path)


def test_the_focal_loss_s_slopes_are_those_of_autograd() -> None:
    sign = np.repeat([1.0, -1.0], 9)
    odds = np.tile(np.linspace(-3, 3, 9), 2)
    x = torch.tensor(odds, requires_grad=True)
    p = torch.sigmoid(x * torch.from_numpy(sign))
    slope = torch.autograd.grad((-((1 - p) ** FOCUS) * p.log()).sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(slope.sum(), x)[0].numpy()
    found = focal_slopes(odds * sign, sign)
    np.testing.assert_allclose(found[0], slope.detach().numpy(), rtol=1e-9)
    convex = second > 0.1 * (p * (1 - p)).detach().numpy()
    np.testing.assert_allclose(found[1][convex], second[convex], rtol=1e-9)
    assert (found[1] > 0).all()


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="library: expected one of catboost, lightgbm, xgboost, found 'forest'"):
        BoosterSettings("forest")
    with pytest.raises(ValueError, match="imbalance: expected one of"):
        BoosterSettings(imbalance="hope")
    with pytest.raises(ValueError, match="expected objects of class 0 and 1"):
        train_booster(np.zeros((4, 2), np.float32), np.zeros(4, np.int64), FAST, 0)


# --- searches ------------------------------------------------------------------------------------------------------


def test_noise_scores_as_noise_and_a_signal_as_one() -> None:
    """Features are selected and the threshold set in here: on noise they must find nothing."""
    noise, signal = objects(signal=0.0), objects(signal=3.0)
    found = {
        name: scores(judge(nested_folds(own, QUICK, folds=3), own.target), 50)
        for name, own in (("noise", noise), ("signal", signal))
    }
    assert found["noise"]["average precision"]["value"] < 0.17  # a tenth is of class 1
    assert found["noise"]["f1"]["value"] < 0.27
    assert found["signal"]["f1"]["value"] > 0.6
    for one in found.values():
        assert one["optimistic F1"] >= one["f1"]["value"]


def test_siblings_lift_the_score_only_where_they_are_in_other_folds() -> None:
    """Ten objects alike, but for noise in what is known of them: without groups one gives the others away."""
    own = objects(300, signal=0.0)
    pair = np.arange(300) // 100 * 10 + np.arange(300) % 10
    noise = 0.01 * np.random.default_rng(2).standard_normal(own.values.shape).astype(np.float32)
    twins = replace(own, values=own.values[pair, :1] + noise)
    settings = replace(QUICK, counts=(0,))
    found = [
        scores(judge(nested_folds(one, settings, folds=3), own.target), 50)["average precision"]["value"]
        for one in (twins, replace(twins, group=pair.astype(str)))
    ]
    assert found[0] > 0.6 > 0.3 > found[1]


def test_ensembles_are_judged_on_the_same_folds() -> None:
    own = objects(signal=2.0)
    members = [nested_folds(own, replace(QUICK, boosters=(one,)), folds=3) for one in (FAST, replace(FAST, depth=1))]
    alone = [scores(judge(one, own.target), 10)["average precision"]["value"] for one in members]
    for how in COMBINATIONS:
        found = scores(judge(combined(members, own.target, how), own.target), 10)["average precision"]["value"]
        assert found > min(alone) - 0.05
    with pytest.raises(ValueError, match="judged on the same folds"):
        combined([members[0], nested_folds(own, QUICK, folds=3, seed=9)], own.target, "average")


def test_a_search_is_the_same_when_loaded_and_names_what_it_misses(tmp_path: Path) -> None:
    own = objects()
    search, inner = train_search(own, QUICK)
    assert inner.shape == own.target.shape
    search.save(tmp_path)
    again = load_search(tmp_path)
    np.testing.assert_allclose(again.odds(own.judged, own.features), search.odds(own.judged, own.features))
    assert (again.threshold, again.calibration, again.features) == (
        search.threshold, search.calibration, search.features,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"features: expected family\.feature"):
        again.odds(own.judged[:, :1], ["family.other"])
    with pytest.raises(ValueError, match=r"search.json: expected a model of `ariel transients boost`"):
        load_search(tmp_path / "none")


def test_a_search_learns_from_the_training_split_and_of_each_object_alike(tmp_path: Path) -> None:
    """c has no draws, as its redshift has an error; e's target is known, but it is of the split to be predicted."""
    rows = [("a", 0), ("c", 0), ("b", 1), ("b", 0), ("a", 1), ("e", 0)]
    table = FeatureTable(
        object_id=np.array([name for name, _ in rows]),
        split=np.array(["test" if name == "e" else "train" for name, _ in rows]),
        spec_type=np.array(["TDE" if name in "ae" else "AGN" for name, _ in rows]),
        target=np.array([int(name in "ae") for name, _ in rows]),
        draw=np.array([draw for _, draw in rows]),
        names=("family.x",),
        values=np.array([[10.0 * ord(name) + draw] for name, draw in rows], np.float32),
    )
    found = objects_of(table)
    assert found.name.tolist() == ["a", "b", "c"]
    assert found.target.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(found.values[..., 0], [[970, 971], [980, 981], [990, 990]])


def test_predictions_say_how_many_objects_their_model_learned_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = objects()
    search = train_search(own, QUICK)[0]
    search.save(tmp_path)
    size = own.target.size
    table = FeatureTable(
        own.name, np.full(size, "train"), own.spec_type, own.target, np.zeros(size, np.int64), own.features, own.judged
    )
    found = write_predictions(load_search(tmp_path), None, table.of(np.arange(5)), "train", tmp_path)
    assert (found["objects"], found["learned from"]) == (5, 5)
    with (tmp_path / "probabilities.csv").open() as file:
        written = [float(row["probability"]) for row in csv.DictReader(file)]
    np.testing.assert_array_equal(written, search.calibration(search.odds(own.judged[:5], own.features)))
    assert not caplog.text
    write_predictions(replace(search, code="a"), None, replace(table, code="b"), "train", tmp_path)
    assert "model: learned from features of another version of this code than these" in caplog.text
    (tmp_path / "run.json").write_text(json.dumps({"command": "transients predict", "metrics": found}))
    warn_of_trained(tmp_path / "probabilities.csv")
    assert "the model was trained on 5 objects of these: scores are too good" in caplog.text


# --- siblings ------------------------------------------------------------------------------------------------------


def test_one_event_at_two_distances_is_found_among_others() -> None:
    events = [(12_000.0, 0), (20_000.0, 1), (35_000.0, 2)]
    seen = [disruption(temperature, redshift, seed=seed + 10 * k) for temperature, seed in events
            for k, redshift in enumerate((0.1, 0.25))]  # fmt: skip
    curves = [rest_curve(smooth, one.redshift) for smooth, one in zip(smooth_all(seen), seen, strict=True)]
    found = groups(distances(curves), 3)
    assert found[0] == found[1] != found[2] == found[3] != found[4] == found[5] != found[0]


# --- commands ------------------------------------------------------------------------------------------------------


def ariel(*words: object) -> Result:
    return CliRunner().invoke(app, ["transients", *map(str, words)])


@pytest.mark.slow
def test_predictions_of_a_dataset_are_a_submission(tmp_path: Path) -> None:
    raw, data, out = tmp_path / "raw", tmp_path / "data", tmp_path / "out"
    for words in (
        ("simulate", raw, "--objects", 120, "--test-objects", 10),
        ("build", raw, data),
        ("predict", data, out, "--workers", 1),
    ):
        done = ariel(*words)
        assert done.exit_code == 0, done.output
    sample, found = (list(csv.reader(path.open())) for path in (raw / "sample_submission.csv", out / "predictions.csv"))
    assert [row[0] for row in found] == [row[0] for row in sample]
    assert found[0] == sample[0]
    assert {row[1] for row in found[1:]} <= {"0", "1"}
    before = (out / "probabilities.csv").read_bytes()
    assert ariel("predict", data, out, "--model", out / "model", "--workers", 1).exit_code == 0
    assert (out / "probabilities.csv").read_bytes() == before
