"""Predicted transients judged, submitted and combined: scores beside scikit-learn's, what is wrong with a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics
from transient_scenes import dataset, rows
from typer.testing import CliRunner, Result

from ariel_scripts.cli import app
from ariel_scripts.submission.transients import problems, write_submission
from ariel_scripts.transients.ensembles import combine_others, judged_ensembles, read_members
from ariel_scripts.transients.evaluation import evaluate
from ariel_scripts.transients.nested import weighted
from ariel_scripts.transients.predicted import judge_predicted, read_predicted, read_targets
from modeling_ariel.transients.detection_scores import average_precision, chosen_by_others, detection


def ariel(*words: object) -> Result:
    return CliRunner().invoke(app, ["transients", *map(str, words)])


def drawn(count: int = 300, signal: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, a tenth of them 1, and probabilities that tell them by `signal` σ of their log odds."""
    rng = np.random.default_rng(seed)
    target = (np.arange(count) % 10 == 0).astype(np.int64)
    return target, 1 / (1 + np.exp(-(signal * target - 2 + rng.standard_normal(count))))


def written(path: Path, probability: np.ndarray, **columns: object) -> Path:
    """A file of predictions of objects 0, 1, …"""
    own = {"object_id": [f"object {place}" for place in range(len(probability))], "probability": probability}
    pq.write_table(pa.table(own | columns), path)
    return path


def truth(path: Path, target: np.ndarray) -> Path:
    """A table of targets, as the challenge's log."""
    kinds = {0: ("AGN", "SN Ia"), 1: ("TDE", "TDE")}
    lines = [f"object {place},{kinds[int(one)][place % 2]},{one}" for place, one in enumerate(target)]
    path.write_text("\n".join(["object_id,SpecType,target", *lines]) + "\n")
    return path


# --- evaluate ------------------------------------------------------------------------------------------------------


def test_scores_are_scikit_learn_s_at_a_threshold_and_by_type(tmp_path: Path) -> None:
    target, probability = drawn()
    predicted = read_predicted(written(tmp_path / "p.parquet", probability))
    judged = judge_predicted(predicted, read_targets(str(truth(tmp_path / "t.csv", target)), ""), 0.4)
    found = evaluate(judged, 50)
    chosen = probability >= 0.4
    assert found["f1"]["value"] == pytest.approx(metrics.f1_score(target, chosen))
    assert found["average_precision"]["value"] == pytest.approx(metrics.average_precision_score(target, probability))
    assert found["f1"]["low"] < found["f1"]["value"] < found["f1"]["high"]
    assert next(iter(found["types"])) == "TDE"
    assert found["types"]["TDE"]["chosen_share"] == pytest.approx(metrics.recall_score(target, chosen))
    assert sum(one["chosen"] for one in found["types"].values()) == chosen.sum()


def test_an_object_s_threshold_is_none_that_it_chose() -> None:
    target, probability = drawn(60, 0.0)
    fold = np.arange(60) // 2 % 5
    chosen, thresholds = chosen_by_others(target, probability, fold)
    for place in range(60):  # another target of one object leaves its own choice as it is
        other = target.copy()
        other[place] = 1 - other[place]
        assert chosen_by_others(other, probability, fold)[0][place] == chosen[place]
    assert len(thresholds) == 5
    with pytest.raises(ValueError, match="expected two or more, found 1"):
        chosen_by_others(target, probability, np.zeros(60, np.int64))


def test_classes_of_a_network_are_confused_as_they_say(tmp_path: Path) -> None:
    target = np.array([1, 1, 0, 0, 0])
    shares = np.array([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    columns = {f"share_{name}": shares[:, place] for place, name in enumerate(("AGN", "SN", "TDE"))}
    predicted = read_predicted(written(tmp_path / "p.parquet", shares[:, 2], **columns))
    found = evaluate(judge_predicted(predicted, read_targets(str(truth(tmp_path / "t.csv", target)), ""), 0.5), 20)
    assert found["classes"]["confusion"]["TDE"] == {"AGN": 1, "SN": 0, "TDE": 1}
    assert found["classes"]["scores"]["TDE"]["f1"] == pytest.approx(0.5)  # one hit, one miss, one false positive
    assert found["classes"]["scores"]["SN"] == {"f1": 1.0, "precision": 1.0, "recall": 1.0, "objects": 1}


def test_the_command_reads_a_dataset_and_writes_json_and_csv(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", 6)
    names = [one["object_id"] for one in rows(6)[0]]
    text = "".join(f"{name},{0.9 if name.startswith('TDE') else 0.1}\n" for name in names)
    (tmp_path / "p.csv").write_text(f"object_id,probability\n{text}")
    done = ariel("evaluate", tmp_path / "p.csv", data, "--draws", 20)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "p.evaluation.json").read_text())
    assert (found["f1"]["value"], found["objects"], found["positives"]) == (1.0, 18, 6)
    table = list(csv.DictReader((tmp_path / "p.evaluation.csv").open()))
    assert {one["of"] for one in table} == {"all", "type TDE", "type AGN", "type SN Ia"}
    assert "optimistic F1" in done.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("object_id,prediction\na,1\n", "missing probability, found object_id, prediction: a submission says"),
        ("object_id,probability\na,0.5\na,0.6\n", "object a: expected once, found 2 times"),
        ("object_id,probability\na,1.5\n", "object a: probability: expected 0 to 1, found 1.5"),
        ("object_id,probability\na,\n", "object a: probability: expected 0 to 1, found nan"),
        ("object_id,probability\na,high\n", "probability: expected numbers"),
        ("object_id,probability\n", "expected objects, found none"),
        ("object_id,probability\nz,0.5\n", "expected some of 20 labelled objects, found none"),
    ],
)
def test_predictions_that_cannot_be_are_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=said):
        judge_predicted(read_predicted(path), read_targets(str(truth(tmp_path / "t.csv", drawn(20)[0])), ""))


def test_labelled_objects_without_a_prediction_are_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target, probability = drawn(100)
    files = [written(tmp_path / f"{count}.parquet", probability[:count]) for count in (100, 80)]
    targets = read_targets(str(truth(tmp_path / "t.csv", target)), "")
    found = evaluate(judge_predicted(read_predicted(files[1]), targets, 0.5), 20)
    assert (found["objects"], found["unpredicted"]) == (80, 20)
    assert "20 labelled objects without a prediction, 2 of them TDEs, not judged" in caplog.text
    assert read_members(files, targets).target.size == 80
    assert "100.parquet: 20 labelled objects left out, as another file lacks them" in caplog.text


def test_an_object_has_one_target_and_each_a_fold(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("object_id,target\na,1\nb,0\na,0\n")
    with pytest.raises(ValueError, match="object a: expected one target, found more"):
        read_targets(str(table), "")
    path = written(tmp_path / "p.parquet", np.array([0.1, 0.2]), fold=[0, None])
    with pytest.raises(ValueError, match=r"p.parquet: fold: expected a whole number of each object"):
        read_predicted(path)


# --- submit --------------------------------------------------------------------------------------------------------


def test_a_submission_has_the_sample_s_objects_in_its_order(tmp_path: Path) -> None:
    sample, out = tmp_path / "sample.csv", tmp_path / "out.csv"
    sample.write_text("object_id,prediction\nb,0\na,0\n")
    write_submission(out, ["a", "b", "c"], [1, 0, 1], sample)
    assert out.read_text() == "object_id,prediction\nb,0\na,1\n"
    assert problems(out, sample) == []
    with pytest.raises(ValueError, match=r"expected the 2 objects of .*sample.csv, missing 1: b"):
        write_submission(tmp_path / "other.csv", ["a"], [1], sample)
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("object_id,probability\na,0\nb,1\n", "expected the columns object_id,prediction"),
        ("object_id,prediction\na,0.3\nb,1\n", "prediction: expected 0 or 1, found '0.3' in line 2"),
        ("object_id,prediction\na,0\na,1\nb,1\n", "expected each object once, found more than once: a"),
        ("object_id,prediction\na,0\n", "missing 1: b"),
        ("object_id,prediction\na,0\nb,1\nc,1\n", "found 1 others: c"),
        ("object_id,prediction\nb,0\na,1\n", "another order"),
        ("object_id,prediction\na,0,1\nb,1\n", "expected 2 fields a line, found 3 in line 2"),
    ],
)
def test_what_is_wrong_with_a_submission_is_said(content: str, said: str, tmp_path: Path) -> None:
    sample, path = tmp_path / "sample.csv", tmp_path / "s.csv"
    sample.write_text("object_id,prediction\na,0\nb,0\n")
    path.write_text(content)
    done = ariel("submit", "--check", path, "--sample", sample)
    assert done.exit_code == 1
    assert said in done.output


def test_submit_takes_the_threshold_recorded_beside_the_probabilities(tmp_path: Path) -> None:
    own = written(tmp_path / "p.parquet", np.array([0.2, 0.4]))
    missing = ariel("submit", own, tmp_path / "s.csv")
    assert missing.exit_code != 0
    (tmp_path / "scores.json").write_text('{"threshold": 0.3}')
    assert ariel("submit", own, tmp_path / "s.csv").exit_code == 0
    assert (tmp_path / "s.csv").read_text() == "object_id,prediction\nobject 0,0\nobject 1,1\n"


# --- ensembles -----------------------------------------------------------------------------------------------------


def test_ensembles_of_good_members_win_and_noise_gets_no_weight(tmp_path: Path) -> None:
    target, first = drawn(600, 2.0)
    files = [
        written(tmp_path / f"{name}.parquet", one)
        for name, one in {"a": first, "b": drawn(600, 2.0, 1)[1], "noise": drawn(600, 0.0, 2)[1]}.items()
    ]
    members = read_members(files, read_targets(str(truth(tmp_path / "t.csv", target)), ""))
    found = judged_ensembles(members, ["a", "b", "noise"], 1, 0)
    score = {name: average_precision(one.target, one.probability[0]) for name, one in found.items()}
    for how in ("weighted", "stacking"):
        assert score[how] > max(score["a"], score["b"]) + 0.05
    flipped = weighted(members.odds, members.target, members.odds[:, ::-1])[1]
    plain = weighted(members.odds, members.target, members.odds)[1]
    np.testing.assert_allclose(flipped[::-1], plain)  # the weights are those of the labelled objects
    names, probability, threshold = combine_others(members, "weighted", files)
    place = {name: row for row, name in enumerate(names)}
    chosen = probability[[place[name] for name in members.name]] >= threshold
    assert detection(members.target, chosen).f1 > 0.6
    with pytest.raises(ValueError, match="expected two files or more, found 1"):
        read_members(files[:1], {})


def test_an_ensemble_of_noise_scores_as_noise(tmp_path: Path) -> None:
    """Weights and threshold are chosen on other folds' objects: on noise they find nothing."""
    target = drawn(600, 0.0)[0]
    files = [written(tmp_path / f"{seed}.parquet", drawn(600, 0.0, seed)[1]) for seed in range(6)]
    members = read_members(files, read_targets(str(truth(tmp_path / "t.csv", target)), ""))
    found = judged_ensembles(members, list("abcdef"), 1, 0)
    for how in ("weighted", "stacking"):
        assert average_precision(target, found[how].probability[0]) < 0.16  # a tenth is of class 1


def test_the_command_writes_predictions_scores_and_what_submit_reads(tmp_path: Path) -> None:
    target, first = drawn(200)
    files = [written(tmp_path / f"{name}.parquet", one) for name, one in (("a", first), ("b", drawn(200, 2, 1)[1]))]
    table, out = truth(tmp_path / "t.csv", target), tmp_path / "out"
    words = [word for path in files for word in ("--add", path, "--predict", path)]
    done = ariel("ensemble", table, out, *words, "--repeats", 1, "--how", "ranks")
    assert done.exit_code == 0, done.output
    assert set(json.loads((out / "scores.json").read_text())) >= {"average", "weighted", "ranks", "stacking"}
    assert ariel("evaluate", out / "predictions.parquet", table, "--draws", 20).exit_code == 0
    done = ariel("submit", out / "probabilities.csv", tmp_path / "s.csv")
    assert done.exit_code == 0, done.output
