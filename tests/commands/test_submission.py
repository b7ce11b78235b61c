"""From a dataset folder to predictions, scores and a submission, by the commands."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import logging
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from scipy.stats import norm

from ariel_scripts.commands import evaluate, retrieve, submit
from ariel_scripts.opening.truths import load_truths
from ariel_scripts.options.evaluate import EvaluateOptions
from ariel_scripts.options.retrieve import RetrieveOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.submission import sheet
from ariel_scripts.versions import lock_hash
from hf_dataset.digests import file_hash
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel.predictions import PredictionError, Predictions, read_predictions, read_run, write_predictions
from modeling_ariel.retrieval import ClassicalFit

BINS = 75


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten planets of two visits; the second visit of the first has no transit, both of the second are lost."""
    out = tmp_path_factory.mktemp("light-curves")
    population = planets.sample_planets(10, 5, "2025")
    rows = list(light_curves.simulate_rows(population, visits=2, n_bins=BINS, seed=1))
    for row in (rows[1], rows[2], rows[3]):
        row["flux"] = np.random.default_rng(0).normal(1e4, 10, row["flux"].shape).astype(np.float32)
        row["flux_err"] = np.full_like(row["flux"], 10.0)
    shards.write_rows(out, "train", rows, n_bins=BINS)
    write_card(out, planets.wavelengths_um("2025"))
    return out


@pytest.fixture(scope="module")
def predicted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "predictions.parquet"
    retrieve.main(RetrieveOptions(str(dataset), out, mixture=False, batch=4))
    return out


def test_a_telescope_is_learned_saved_and_used_again(dataset: Path, tmp_path: Path) -> None:
    options = RetrieveOptions(str(dataset), tmp_path / "p.csv", mixture=False, limit=2, prior="none")
    saved = tmp_path / "made/on/the/way/telescope.json"
    retrieve.main(replace(options, telescope="learned", save_telescope=saved))
    learned = json.loads(saved.read_text())
    record = json.loads((tmp_path / "p.run.json").read_text())
    assert record["metrics"]["telescope"] == learned
    assert learned["clock_sigma"] != 0.03
    first = read_predictions(tmp_path / "p.csv").mu
    retrieve.main(replace(options, telescope=str(saved)))
    np.testing.assert_array_equal(read_predictions(tmp_path / "p.csv").mu, first)
    with pytest.raises(ValueError, match="expected default, learned or"):
        retrieve.main(replace(options, telescope="usual", dry_run=True))


def sample(path: Path, ids: list[int], channels: int = 283) -> Path:
    header = ["planet_id", *(f"wl_{i + 1}" for i in range(channels)), *(f"sigma_{i + 1}" for i in range(channels))]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *([i] + [0.1] * 2 * channels for i in ids)])
    return path


def test_every_planet_gets_one_prediction_and_lost_ones_are_flagged_with_the_prior(predicted: Path) -> None:
    found = read_predictions(predicted)
    assert len(found.planet_id) == 10
    status = dict(zip(found.planet_id.tolist(), found.extra["status"], strict=True))
    lost = [row for row, planet in enumerate(found.planet_id) if status[int(planet)] == "no_transit"]
    assert len(lost) == 1
    others = np.delete(found.sigma, lost, axis=0)
    assert np.median(found.sigma[lost[0]]) > 5 * np.median(others)
    record = json.loads(predicted.with_name("predictions.run.json").read_text())
    assert record["status"] == "done"
    assert record["metrics"]["status"]["no_transit"] == 1
    assert sum(record["metrics"]["status"].values()) == 10
    inside = read_run(predicted)
    assert (inside["command"], inside["metrics"]) == ("retrieve", record["metrics"])
    notes = dict(zip(found.planet_id.tolist(), found.extra["notes"], strict=True))
    first, second, third = planets.sample_planets(3, 5, "2025")
    assert notes[first.planet_id].startswith("visit 2 of 2: no transit found: white depth")
    assert notes[second.planet_id].startswith("visit 1 of 2: no transit found: white depth")
    assert notes[third.planet_id] == ""


def test_a_doubtful_visit_is_left_out_beside_a_good_one(
    predicted: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_rows = retrieve._fit_rows

    def doubting(rows: list[retrieve.Row], *arguments: Any) -> ClassicalFit:
        fits = fit_rows(rows, *arguments)
        doubtful = [row["visit"] == 0 and row["planet_id"] == planet for row in rows]
        status = ["doubtful" if one else status for one, status in zip(doubtful, fits.status, strict=True)]
        return replace(fits, status=status, notes=["odd" if one else "" for one in doubtful])

    planet = planets.sample_planets(3, 5, "2025")[2].planet_id
    monkeypatch.setattr(retrieve, "_fit_rows", doubting)
    out = tmp_path / "p.parquet"
    retrieve.main(RetrieveOptions(str(dataset), out, mixture=False, batch=4, limit=3))
    before, after = read_predictions(predicted), read_predictions(out)
    places = [found.planet_id.tolist().index(planet) for found in (before, after)]
    assert after.extra["status"][places[1]] == "ok"
    assert after.extra["notes"][places[1]] == "visit 1 of 2 is left out as doubtful: odd"
    assert np.median(after.sigma[places[1]] / before.sigma[places[0]]) > 1.1


def test_evaluate_writes_scores_that_beat_the_reference_by_far(predicted: Path, dataset: Path) -> None:
    out = predicted.with_name("evaluation.json")
    evaluate.main(EvaluateOptions(predicted, str(dataset), out=out))
    metrics = json.loads(out.read_text())
    assert metrics["planets"] == 10
    assert metrics["score_2024"] > 0.4
    assert set(metrics["bands"]) >= {"FGS1", "H2O 2.7"}


def test_evaluate_tells_likelihood_errors_and_coverage_at_the_levels_asked_for(
    predicted: Path, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.json"
    evaluate.main(EvaluateOptions(predicted, str(dataset), out=out, alpha=["0.1,0.32", "0.003"]))
    metrics, found = json.loads(out.read_text()), read_predictions(predicted)
    truths, wavelengths = load_truths(str(dataset), "train")
    y = np.stack([truths[int(planet)] for planet in found.planet_id])
    expected = norm.logpdf(y, found.mu.astype(float), found.sigma.astype(float))
    inside = (wavelengths >= 2.5) & (wavelengths < 2.9)
    band = metrics["bands"]["H2O 2.7"]
    for values, part in ((metrics, slice(None)), (band, inside)):
        assert values["log_likelihood"] == pytest.approx(expected[:, part].mean(), rel=1e-6)
        assert values["mae_ppm"] == pytest.approx(1e6 * np.abs(found.mu - y)[:, part].mean(), rel=1e-6)
        z = np.abs(found.mu - y)[:, part] / found.sigma[:, part]
        assert values["coverage_68"] == pytest.approx((z <= norm.ppf(0.84)).mean(), abs=1e-3)
        assert values["coverage_99.7"] == pytest.approx((z <= norm.ppf(0.9985)).mean(), abs=1e-3)
    rows = {(band, name): float(value) for band, name, value in list(csv.reader(out.with_suffix(".csv").open()))[1:]}
    assert rows["all", "score_2024"] == metrics["score_2024"]
    assert rows["H2O 2.7", "mae_ppm"] == band["mae_ppm"]
    for alpha in ("0", "1", "ten", "10"):
        with pytest.raises(ValueError, match=f"--alpha: expected numbers between 0 and 1, found '{alpha}'"):
            evaluate.main(EvaluateOptions(predicted, str(dataset), out=out, alpha=[alpha]))


def test_predictions_of_other_planets_are_refused_as_of_another_split(
    predicted: Path, dataset: Path, tmp_path: Path
) -> None:
    found = read_predictions(predicted)
    write_predictions(tmp_path / "p.csv", Predictions(np.arange(10), found.mu, found.sigma))
    with pytest.raises(ValueError, match=r"p.csv: expected planets of .*, split train, found none of its 10 with"):
        evaluate.main(EvaluateOptions(tmp_path / "p.csv", str(dataset)))


def test_predictions_are_the_same_whatever_the_batch(predicted: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.parquet"
    retrieve.main(RetrieveOptions(str(dataset), out, mixture=False, batch=1, limit=3))
    some, every = read_predictions(out), read_predictions(predicted)
    for row, planet in enumerate(some.planet_id):
        np.testing.assert_allclose(some.mu[row], every.mu[every.planet_id == planet][0], rtol=1e-5)


def test_the_submission_has_the_samples_columns_and_planets_and_a_manifest(predicted: Path, tmp_path: Path) -> None:
    found = read_predictions(predicted)
    wanted = [int(p) for p in found.planet_id[[4, 1]]]
    out = tmp_path / "submission.csv"
    submit.main(SubmitOptions(predicted, sample(tmp_path / "sample.csv", wanted), out))
    rows = list(csv.reader(out.open()))
    assert rows[0] == next(csv.reader((tmp_path / "sample.csv").open()))
    assert [int(row[0]) for row in rows[1:]] == wanted
    np.testing.assert_allclose(np.array(rows[1][1:284], float), found.mu[4], rtol=1e-6)
    np.testing.assert_allclose(np.array(rows[1][284:], float), found.sigma[4], rtol=1e-6)
    long = list(csv.reader(out.with_suffix(".long.csv").open()))
    assert long[0] == ["planet_id", "bin_id", "mu", "sigma"]
    assert len(long) == 1 + 2 * 283
    assert [int(row[1]) for row in long[1:]] == 2 * list(range(283))
    assert {int(row[0]) for row in long[1:284]} == {wanted[0]}
    assert float(long[283][2]) == float(rows[1][283])
    with zipfile.ZipFile(out.with_suffix(".zip")) as archive:
        assert archive.namelist() == ["submission.csv"]
        assert archive.read("submission.csv") == out.read_bytes()
    manifest = json.loads(out.with_suffix(".manifest.json").read_text())
    assert len(manifest["sha256"][str(out)]) == 64
    assert {"config_hash", "git_commit", "versions"} <= set(manifest)
    assert manifest["lock_hash"] == lock_hash()
    assert manifest["predictions"]["command"]
    assert manifest["dataset"] == read_run(predicted)["metrics"]["dataset"]
    packed = out.with_suffix(".zip").read_bytes()
    submit.main(SubmitOptions(predicted, tmp_path / "sample.csv", out, report="https://a/report", dataset="me/curves"))
    assert out.with_suffix(".zip").read_bytes() == packed
    manifest = json.loads(out.with_suffix(".manifest.json").read_text())
    assert (manifest["report"], manifest["dataset"]) == ("https://a/report", "me/curves")


def test_the_manifest_has_the_models_calibration_and_the_scores_that_are_known(predicted: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    (tmp_path / "model").mkdir()
    calibration = {"groups": {"all": {"factor": 1.25}}, "levels": [0.5, 0.9]}
    (tmp_path / "model/calibration.json").write_text(json.dumps(calibration))
    write_predictions(path, read_predictions(predicted), {"metrics": {"sources": [{"name": str(tmp_path / "model")}]}})
    planet = int(read_predictions(predicted).planet_id[0])
    for of, scores in ((path, {"score_2024": 0.5}), (predicted, {})):  # the latter: of other predictions
        known = {"score_2024": 0.5, "rmse_ppm": 9.0, "predictions_sha256": file_hash(of)}
        (tmp_path / "p.evaluation.json").write_text(json.dumps(known))
        submit.main(SubmitOptions(path, sample(tmp_path / "sample.csv", [planet]), tmp_path / "s.csv"))
        manifest = json.loads((tmp_path / "s.manifest.json").read_text())
        assert manifest["scores"] == scores
    assert manifest["temperature"] == {"all": 1.25}
    assert manifest["alpha"] == [0.5, 0.1]


def test_planets_without_a_good_fit_or_left_out_are_named(
    predicted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = read_predictions(predicted)
    lost = int(found.planet_id[found.extra["status"].index("no_transit")])
    others = [int(planet) for planet in found.planet_id if planet != lost]
    with caplog.at_level(logging.WARNING):
        submit.main(SubmitOptions(predicted, sample(tmp_path / "a.csv", [lost, *others[:-1]]), tmp_path / "s.csv"))
    assert f"no_transit of the fit: 1 of 9 planets: [{lost}]" in caplog.text
    assert f"1 planet not in {tmp_path / 'a.csv'} and left out: [{others[-1]}]" in caplog.text
    assert json.loads((tmp_path / "s.manifest.json").read_text())["not_ok"]["no_transit"] == [lost]
    write_predictions(tmp_path / "p.parquet", found, {"metrics": {"refused": {"7": "flux is dark"}}})
    with pytest.raises(ValueError, match=r"missing 1: \[7\]; planet 7 was refused: flux is dark"):
        submit.main(SubmitOptions(tmp_path / "p.parquet", sample(tmp_path / "b.csv", [lost, 7]), tmp_path / "s.csv"))


def _spoil(text: str, line: int, column: str, value: str) -> str:
    rows = list(csv.reader(text.splitlines()))
    rows[line - 1][rows[0].index(column)] = value
    return "\n".join(",".join(row) for row in rows) + "\n"


def _swapped(text: str) -> str:
    return text.replace("wl_1,wl_2,", "wl_2,wl_1,", 1)


SPOILED: dict[str, tuple[Callable[[str], str], str]] = {
    "right": (lambda t: t, ""),
    "nan": (lambda t: _spoil(t, 3, "wl_9", "nan"), "wl: .* found 1 value in line 3; the first is 'nan' in wl_9"),
    "infinite": (
        lambda t: _spoil(t, 2, "sigma_9", "inf"),
        "sigma: expected a finite number > 0, found 1 value in line 2",
    ),
    "negative": (
        lambda t: _spoil(t, 2, "wl_283", "-1e-9"),
        "wl: expected a number from 0 to 1, found 1 value in line 2",
    ),
    "percent": (lambda t: _spoil(t, 2, "wl_7", "1.3"), "wl: expected a number from 0 to 1, found 1 value in line 2"),
    "python's own": (lambda t: _spoil(t, 4, "wl_1", "0_1"), "the first is '0_1' in wl_1"),
    "zero": (lambda t: _spoil(t, 4, "sigma_1", "0"), "sigma: .* in line 4; the first is '0' in sigma_1"),
    "text": (lambda t: _spoil(t, 4, "wl_1", "deep"), "the first is 'deep' in wl_1"),
    "empty": (lambda t: _spoil(t, 4, "wl_1", ""), "the first is '' in wl_1"),
    "half a planet": (lambda t: _spoil(t, 2, "planet_id", "1.5"), "planet_id: expected whole .* found '1.5' in line 2"),
    "no planets": (lambda t: t.splitlines()[0], "expected planets, found none"),
    "a column missing": (
        lambda t: "\n".join(line.rpartition(",")[0] for line in t.splitlines()),
        "expected 567 columns, missing sigma_283",
    ),
    "a column more": (lambda t: t.replace("\n", ",1\n").replace(",1\n", ",more\n", 1), "found 'more' too"),
    "another name": (lambda t: t.replace("wl_7,", "mu_7,", 1), "missing wl_7"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_the_check_and_the_schema_agree(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(sheet.SCHEMA.read_text())
    spoil, message = SPOILED[name]
    (tmp_path / "s.csv").write_text(spoil(sample(tmp_path / "sample.csv", [3, 1, 2]).read_text()))
    found = sheet.problems(tmp_path / "s.csv")
    assert bool(found) == bool(message)
    assert re.search(message, "; ".join(found))
    with pytest.raises(typer.Exit) if message else contextlib.nullcontext():
        submit.main(SubmitOptions(check=tmp_path / "s.csv", sample=tmp_path / "sample.csv"))
    assert bool(re.search("s.csv: valid", capsys.readouterr().out)) == (not message)
    rows = [{key: _number(text) for key, text in row.items()} for row in csv.DictReader((tmp_path / "s.csv").open())]
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    validator.check_schema(schema)
    assert validator(schema).is_valid(rows) == (not message)


def _number(text: str) -> float | str | None:
    """A field as JSON has it: no number where it is not finite."""
    if "_" in text:  # a number in Python alone
        return text
    try:
        return float(text) if np.isfinite(float(text)) else None
    except ValueError:
        return text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_swapped, "columns in another order: expected wl_1 as column 2, found wl_2"),
        (lambda t: t + t.splitlines()[2] + "\n", "planet 1: expected once, found 2 times in lines 3, 5"),
        (lambda t: t.replace("\n1,", "\n9,"), r"missing 1: 1; .*expected the 3 planets of .*, found 1 others: 9"),
        (
            lambda t: t.replace("\n1,", "\n4,").replace("\n2,", "\n1,").replace("\n4,", "\n2,"),
            "planets in another order",
        ),
        (lambda t: t.rstrip("\n") + ",1\n", "expected 567 fields a line as in the header, found 568 in line 4"),
    ],
)
def test_the_check_finds_what_a_schema_cannot(spoil: Callable[[str], str], message: str, tmp_path: Path) -> None:
    text = sample(tmp_path / "sample.csv", [3, 1, 2]).read_text()
    (tmp_path / "s.csv").write_text(spoil(text))
    assert re.search(message, "; ".join(sheet.problems(tmp_path / "s.csv", tmp_path / "sample.csv")))


def test_what_submit_writes_passes_its_check(predicted: Path, tmp_path: Path) -> None:
    planets = [int(planet) for planet in read_predictions(predicted).planet_id[:3]]
    submit.main(SubmitOptions(predicted, sample(tmp_path / "sample.csv", planets), tmp_path / "s.csv"))
    assert sheet.problems(tmp_path / "s.csv", tmp_path / "sample.csv") == []
    with pytest.raises(ValueError, match="expected PREDICTIONS and --sample, or --check"):
        submit.main(SubmitOptions(predicted))


def test_a_dry_run_writes_nothing(predicted: Path, tmp_path: Path) -> None:
    path = sample(tmp_path / "sample.csv", [int(read_predictions(predicted).planet_id[0])])
    submit.main(SubmitOptions(predicted, path, tmp_path / "submission.csv", dry_run=True))
    assert [p.name for p in tmp_path.iterdir()] == ["sample.csv"]


def test_a_sample_with_other_columns_or_unpredicted_planets_is_refused(predicted: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected 567 columns, missing wl_283, sigma_283$"):
        submit.main(SubmitOptions(predicted, sample(tmp_path / "a.csv", [1], 282), tmp_path / "s.csv", dry_run=True))
    with pytest.raises(ValueError, match=r"expected the 1 planet of .* missing 1: \[7\]"):
        submit.main(SubmitOptions(predicted, sample(tmp_path / "b.csv", [7]), tmp_path / "s.csv", dry_run=True))


def test_a_sample_that_kaggle_would_not_take_is_refused(predicted: Path, tmp_path: Path) -> None:
    planet = int(read_predictions(predicted).planet_id[0])
    text = sample(tmp_path / "good.csv", [planet]).read_text()
    for content, message in (
        (text.splitlines()[0].encode(), "expected planets, found none"),
        (
            sample(tmp_path / "twice.csv", [planet] * 2).read_bytes(),
            f"planet {planet}: expected once, found 2 times in lines 2, 3",
        ),
        (gzip.compress(text.encode()), "expected a CSV table in UTF-8, found gzip: unpack it"),
        (
            text.replace("wl_2,", " wl_2,", 1).encode(),
            "expected 567 columns, missing wl_2; expected .*, found ' wl_2' too",
        ),
    ):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(ValueError, match=f"bad.csv: {message}"):
            submit.main(SubmitOptions(predicted, tmp_path / "bad.csv", tmp_path / "s.csv", dry_run=True))


def test_predictions_with_negatives_nan_duplicates_or_other_shapes_are_refused_by_planet(tmp_path: Path) -> None:
    ids = np.array([5, 6])
    good = np.full((2, 283), 0.002, np.float32)
    for mu, message in ((-good, "planet 5: mu"), (np.where(np.arange(283) == 3, np.nan, good), "planet 5: mu")):
        with pytest.raises(PredictionError, match=message):
            write_predictions(tmp_path / "p.parquet", Predictions(ids, mu.astype(np.float32), good))
    with pytest.raises(PredictionError, match="planet 5: expected one row, found 2"):
        write_predictions(tmp_path / "p.parquet", Predictions(np.array([5, 5]), good, good))
    with pytest.raises(PredictionError, match="shape"):
        write_predictions(tmp_path / "p.parquet", Predictions(ids, good[:, :9], good))
    assert not list(tmp_path.iterdir())
    pq.write_table(pa.table({"planet_id": [1], "mu": [[0.1] * 5], "sigma": [[0.1] * 5]}), tmp_path / "short.parquet")
    with pytest.raises(PredictionError, match=r"expected 283 values a row, found \[5\]"):
        read_predictions(tmp_path / "short.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_predictions_are_the_same_in_every_format(predicted: Path, tmp_path: Path, suffix: str) -> None:
    wanted, path = read_predictions(predicted), tmp_path / f"p{suffix}"
    wanted.extra["notes"][0] = 'a note, with "quotes"'
    wanted.extra["sigma_aleatoric"] = 0.5 * wanted.sigma
    write_predictions(path, wanted)
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(path)
    found = read_predictions(path)
    for name in ("planet_id", "mu", "sigma"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert found.extra.keys() == wanted.extra.keys()
    for name in found.extra:
        np.testing.assert_array_equal(found.extra[name], wanted.extra[name])


def test_a_file_that_is_no_predictions_is_refused_by_name(predicted: Path, tmp_path: Path, dataset: Path) -> None:
    write_predictions(tmp_path / "p.csv", read_predictions(predicted))
    text = (tmp_path / "p.csv").read_text()
    planet = text.splitlines()[1].split(",")[0]
    for name, content, message in (
        ("a.csv", text.replace(",", ";").encode(), "expected the columns planet_id, wl_1 ..., .* found planet_id;wl_1"),
        ("a.csv", text.replace(f"\n{planet},", "\n7.5,").encode(), "planet_id: expected whole numbers, found '7.5'"),
        ("a.csv", text.replace(f"\n{planet},", "\n").encode(), "line 2: expected 569 fields .*, found 568"),
        ("a.csv", text.replace("wl_2,", "wl_1,", 1).encode(), "expected every column once, found 1 twice"),
        ("a.csv", gzip.compress(text.encode()), "expected a Parquet, CSV or NPZ file of predictions"),
        (
            "a.csv.gz",
            gzip.compress(text.encode()),
            "expected a Parquet, CSV or NPZ file of predictions, found a packed one: unpack it",
        ),
        ("a.npz", text.encode(), "expected a Parquet, CSV or NPZ file of predictions: File is not a zip file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PredictionError, match=f"{name}: {message}"):
            read_predictions(tmp_path / name)
    with pytest.raises(PredictionError, match=r"none.csv: expected a file of predictions, found none"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(PredictionError, match=r"p.json: expected a name that ends in .parquet, .csv or .npz"):
        retrieve.main(RetrieveOptions(str(dataset), tmp_path / "p.json", dry_run=True))


def test_planet_ids_may_be_texts_or_floats_of_whole_numbers(predicted: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", read_predictions(predicted))
    text = (tmp_path / "p.csv").read_text()
    planet = int(text.splitlines()[1].split(",")[0])
    (tmp_path / "p.csv").write_text("\ufeff" + text.replace(f"\n{planet},", f"\n {planet}.0,").replace("\n", "\r\n"))
    assert read_predictions(tmp_path / "p.csv").planet_id.tolist() == read_predictions(predicted).planet_id.tolist()
    table = pq.read_table(predicted)
    ids = pa.array([float(planet) for planet in table["planet_id"].to_pylist()])
    pq.write_table(table.set_column(0, "planet_id", ids), tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").planet_id.tolist() == table["planet_id"].to_pylist()


def test_folds_keep_a_planets_own_truth_out_of_its_prior(dataset: Path) -> None:
    """A truth that no prior could know is not reproduced where only the prior speaks."""
    import torch

    from ariel_scripts.prediction.classical import FoldedPriorPredictor, folded_priors
    from modeling_ariel.retrieval import UNKNOWN_SIGMA

    spectra = planets.spectra(40, 1)
    spectra[7] += 0.2
    truths = {planet: spectrum for planet, spectrum in enumerate(spectra)}
    judge = FoldedPriorPredictor(folded_priors(truths, (1.0,), 4, 0))
    covariance = torch.eye(283).double() * UNKNOWN_SIGMA**2
    means = {}
    for planet in (7, *[p for p in range(40) if judge.priors.fold[p] != judge.priors.fold[7]][:1]):
        judge.add(planet, torch.zeros(283).double(), covariance, truths[planet], "ok")
        means[planet] = judge.rows[planet][0].mean()
    others = np.delete(spectra, 7, axis=0).mean()
    seen, unseen = next(mean for planet, mean in means.items() if planet != 7), means[7]
    assert abs(unseen - others) < 1e-3
    assert seen - others > 2e-3


def test_doubtful_fits_decide_no_factor_of_sigma() -> None:
    import torch

    from ariel_scripts.prediction.classical import FoldedPriorPredictor, folded_priors

    truths = {planet: spectrum for planet, spectrum in enumerate(planets.spectra(16, 1))}
    priors = folded_priors(truths, (1.0,), 4, 0)
    with_doubtful, without = FoldedPriorPredictor(priors), FoldedPriorPredictor(priors)
    covariance = 1e-8 * torch.eye(283).double()
    for planet, truth in truths.items():
        depth = torch.as_tensor(truth).double()
        if planet < 8:
            with_doubtful.add(planet, depth + 0.01, covariance, truth, "doubtful")
        else:
            for judge in (with_doubtful, without):
                judge.add(planet, depth, covariance, truth, "ok")
    found = with_doubtful.finish()
    without.finish()
    assert with_doubtful.factors == without.factors
    assert found.planet_id.tolist() == list(range(16))


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_prior_from_too_few_labels_is_refused_in_a_dry_run_too(dataset: Path, tmp_path: Path, dry_run: bool) -> None:
    with pytest.raises(ValueError, match="at least 20 labelled planets, found 10"):
        retrieve.main(
            RetrieveOptions(
                str(dataset), tmp_path / "p.parquet", prior="dataset", mixture=False, batch=4, dry_run=dry_run
            )
        )
