"""From a dataset folder to predictions, scores and a submission, by the commands."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ariel_scripts.commands import evaluate, retrieve, submit
from ariel_scripts.options.evaluate import EvaluateOptions
from ariel_scripts.options.retrieve import RetrieveOptions
from ariel_scripts.options.submit import SubmitOptions
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
    assert (int(long[283][0]), int(long[283][1])) == (wanted[0], 283)
    manifest = json.loads(out.with_suffix(".manifest.json").read_text())
    assert len(manifest["sha256"][str(out)]) == 64
    assert {"config_hash", "git_commit", "versions"} <= set(manifest)


def test_a_dry_run_writes_nothing(predicted: Path, tmp_path: Path) -> None:
    path = sample(tmp_path / "sample.csv", [int(read_predictions(predicted).planet_id[0])])
    submit.main(SubmitOptions(predicted, path, tmp_path / "submission.csv", dry_run=True))
    assert [p.name for p in tmp_path.iterdir()] == ["sample.csv"]


def test_a_sample_with_other_columns_or_unpredicted_planets_is_refused(predicted: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected planet_id, wl_1 … wl_283"):
        submit.main(SubmitOptions(predicted, sample(tmp_path / "a.csv", [1], 282), tmp_path / "s.csv", dry_run=True))
    with pytest.raises(ValueError, match=r"missing \[7\]"):
        submit.main(SubmitOptions(predicted, sample(tmp_path / "b.csv", [7]), tmp_path / "s.csv", dry_run=True))


def test_a_sample_that_kaggle_would_not_take_is_refused(predicted: Path, tmp_path: Path) -> None:
    planet = int(read_predictions(predicted).planet_id[0])
    text = sample(tmp_path / "good.csv", [planet]).read_text()
    for content, message in (
        (text.splitlines()[0].encode(), "expected planets, found none"),
        (sample(tmp_path / "twice.csv", [planet] * 2).read_bytes(), f"planet {planet}: expected once, found 2 times"),
        (gzip.compress(text.encode()), "expected a CSV table in UTF-8, found other bytes: is it compressed"),
        (text.replace("wl_2,", " wl_2,", 1).encode(), "expected wl_2 as column 3, found ' wl_2'"),
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
