"""`ariel predict`: from a dataset and a model folder to predictions, whole or not at all."""

from __future__ import annotations

import csv
import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from tiny_models import BINS, IDS, POPULATION, save_model, tiny

from ariel_scripts.commands import evaluate, predict, submit
from ariel_scripts.commands.report import write_report
from ariel_scripts.determinism import deterministic
from ariel_scripts.options.evaluate import EvaluateOptions
from ariel_scripts.options.predict import PredictOptions
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.prediction import job as jobs
from ariel_scripts.prediction import predictor
from ariel_scripts.prediction.fit_pool import FitPool
from ariel_scripts.prediction.job import Job
from ariel_scripts.prediction.resuming import Part, Parts
from ariel_scripts.run_record import Run
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel import ArielForSpectrumPrediction, ArielPipeline
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.physics import fit_inputs
from modeling_ariel.predictions import Predictions, read_predictions, read_run
from modeling_ariel.status import DOUBTFUL, OK
from modeling_ariel.uncertainty import Moments

DARK = POPULATION[3].planet_id  # both of its visits have no light at all


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven planets of two visits; one has no light, one visit of another neither. Visits are apart in the file."""
    out = tmp_path_factory.mktemp("light-curves")
    rows = list(light_curves.simulate_rows(POPULATION, visits=2, n_bins=BINS, seed=1))
    for row in (rows[6], rows[7], rows[9]):
        row["flux"] = np.zeros_like(row["flux"])
    shards.write_rows(out, "train", rows[::2] + rows[1::2], n_bins=BINS)
    write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "plain", physics="none", hidden_dropout_prob=0.2)


@pytest.fixture
def job(dataset: Path, model: Path, tmp_path: Path) -> Job:
    return Job(
        dataset=str(dataset), models=(str(model),), out=tmp_path / "run/p.parquet", batch="2", device="cpu", workers=1
    )


@pytest.fixture(autouse=True)
def _same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources may be edited while predictions are tested."""
    monkeypatch.setattr(jobs, "code_digest", lambda: "code")


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.stem}.run.json").read_text())


def content(found: Predictions) -> list[np.ndarray]:
    return [found.planet_id, found.mu, found.sigma, *(np.asarray(value) for value in found.extra.values())]


# --- what is predicted ---------------------------------------------------------------------------------------------


def test_every_planet_is_predicted_as_the_model_itself_does_it_and_refused_ones_are_reported(
    job: Job, model: Path, dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = jobs.predict(job)
    found = read_predictions(job.out)
    assert list(refused) == [DARK]
    assert found.planet_id.tolist() == [planet for planet in IDS if planet != DARK]
    assert record(job.out)["status"] == "incomplete"
    inside = read_run(job.out)
    last = {"durations": {}, "peak_memory_mb": {}, "outputs": {}}  # known after the file is written
    assert inside | last == record(job.out) | last
    assert record(job.out)["metrics"]["status"] == {"ok": 6}
    assert "flux" in record(job.out)["metrics"]["refused"][str(DARK)]
    assert f"planet {DARK} refused" in caplog.text
    assert f"planet {POPULATION[4].planet_id}: one of 2 visits left out" in caplog.text
    notes = dict(zip(found.planet_id.tolist(), found.extra["notes"], strict=True))
    assert notes[POPULATION[4].planet_id].startswith("1 of 2 visits left out: ")
    network = ArielForSpectrumPrediction.from_pretrained(model).eval()
    rows = [row for row in jobs.stream_rows(str(dataset), "train") if row["planet_id"] == IDS[0]]
    with torch.no_grad():
        alone = network(**ArielFeatureExtractor.from_pretrained(model)(rows))
    place = found.planet_id.tolist().index(IDS[0])
    np.testing.assert_allclose(found.mu[place], alone.mean[0].numpy().clip(0), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(found.sigma[place], alone.sigma[0].numpy(), rtol=1e-4)
    assert (found.extra["sigma_aleatoric"] == found.sigma).all()
    assert not found.extra["sigma_epistemic"].any()


def test_strict_ends_with_an_error_where_a_planet_was_refused_and_a_dry_run_writes_nothing(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "revision": None, "split": "train", "batch": "8", "device": "cpu", "samples": 0, "workers": 1, "limit": None,
        "seed": 0, "restart": False,
    }  # fmt: skip
    asked = PredictOptions(job.dataset, job.out, list(job.models), strict=True, **options)
    predict.main(replace(asked, dry_run=True))
    assert "would predict 7 planets, 14 visits" in capsys.readouterr().out
    assert not job.out.parent.exists()
    with pytest.raises(typer.Exit) as stopped:
        predict.main(asked)
    assert stopped.value.exit_code == 1
    assert job.out.is_file()
    predict.main(replace(asked, strict=False))


def test_predictions_do_not_depend_on_the_true_spectra(job: Job, tmp_path: Path) -> None:
    rows = list(light_curves.simulate_rows(POPULATION[:2], visits=1, n_bins=BINS, seed=1))
    answers = []
    for name, spectra in (("right", (0, 1)), ("swapped", (1, 0))):
        out = tmp_path / name
        swapped = [{**row, "spectrum": rows[other]["spectrum"]} for row, other in zip(rows, spectra, strict=True)]
        shards.write_rows(out, "train", swapped, n_bins=BINS)
        write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
        jobs.predict(replace(job, dataset=str(out), out=tmp_path / f"{name}.parquet"))
        answers.append(content(read_predictions(tmp_path / f"{name}.parquet")))
    for right, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(right, other)


def test_a_planet_whose_fit_fails_gets_the_priors_answer_and_its_note_goes_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(light_curves.simulate_rows(POPULATION[:2], visits=1, n_bins=BINS, seed=1))
    noise = np.random.default_rng(0).normal(1e4, 10, rows[1]["flux"].shape)
    rows[1] |= {"flux": noise.astype(np.float32), "flux_err": np.full_like(rows[1]["flux"], 10.0)}
    shards.write_rows(tmp_path / "curves", "train", rows, n_bins=BINS)
    write_card(tmp_path / "curves", planets.wavelengths_um("2025"), "Simulated.", {})
    torch.manual_seed(0)
    model = ArielForSpectrumPrediction(tiny())
    model.save_pretrained(tmp_path / "model")
    ArielFeatureExtractor(wavelength=model.config.wavelength).save_pretrained(tmp_path / "model")
    job = Job(
        dataset=str(tmp_path / "curves"),
        models=(str(tmp_path / "model"),),
        out=tmp_path / "p.parquet",
        device="cpu",
        workers=2,
    )
    assert not jobs.predict(job)
    found = read_predictions(job.out)
    good, lost = (found.planet_id.tolist().index(row["planet_id"]) for row in rows)
    assert [found.extra["status"][row] for row in (good, lost)] == ["ok", "no_transit"]
    assert found.extra["notes"][good] == ""
    assert found.extra["notes"][lost].startswith("no transit found: white depth")
    evaluate.main(EvaluateOptions(job.out, str(tmp_path / "curves"), split="train"))
    evaluated = json.loads(job.out.with_suffix(".evaluation.json").read_text())
    assert (evaluated["planets"], evaluated["status"]) == (2, {"no_transit": 1, "ok": 1})
    assert json.loads((tmp_path / "p.evaluation.run.json").read_text())["metrics"]["status"] == evaluated["status"]
    assert re.search(r"fits +1 no_transit, 1 ok", capsys.readouterr().out)
    pipeline = ArielPipeline.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        answer = pipeline.model(**pipeline.features(rows))
    assert answer.notes == found.extra["notes"][good : good + 1] + found.extra["notes"][lost : lost + 1]
    table = pipeline.predict_df(pd.DataFrame([{n: v for n, v in row.items() if n != "star"} for row in rows]))
    assert set(table["notes"][table["status"] == "no_transit"]) == {answer.notes[1]}
    page = ReportOptions(str(tmp_path / "curves"), tmp_path / "report.html", [], [job.out])
    write_report(page, Run("report", {}))
    assert found.extra["notes"][lost] in html.unescape(page.out.read_text())
    np.testing.assert_allclose(found.mu[lost], model.config.depth_mean, rtol=1e-3)
    assert found.sigma[lost].min() > 0.9 * model.config.depth_scale
    assert np.median(np.abs(found.mu[good] - rows[0]["spectrum"]) / found.sigma[good]) < 3
    assert found.sigma[good].max() < 0.2 * found.sigma[lost].min()


# --- samples and ensembles -----------------------------------------------------------------------------------------


def test_dropout_samples_add_an_epistemic_part_the_same_for_the_same_seed(job: Job, tmp_path: Path) -> None:
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.parquet"
        jobs.predict(replace(job, samples=4, seed=seed, out=out))
        runs[name] = read_predictions(out)
    extra = runs["a"].extra
    assert (extra["sigma_epistemic"] > 0).all()
    np.testing.assert_allclose(runs["a"].sigma, np.hypot(extra["sigma_aleatoric"], extra["sigma_epistemic"]), rtol=1e-6)
    np.testing.assert_array_equal(runs["a"].mu, runs["b"].mu)
    assert (runs["a"].mu != runs["c"].mu).any()


def test_an_ensemble_is_the_mixture_of_its_members(job: Job, model: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", seed=1, physics="none")
    found = {}
    for name, models in (("one", (model,)), ("two", (other,)), ("both", (model, other))):
        jobs.predict(replace(job, models=tuple(map(str, models)), out=tmp_path / f"{name}.parquet"))
        found[name] = read_predictions(tmp_path / f"{name}.parquet")
    one, two, both = found.values()
    means, sigmas = np.stack([one.mu, two.mu]), np.stack([one.sigma, two.sigma])
    assert (means > 0).all(), "clipped means are not the members' own"
    np.testing.assert_allclose(both.mu, means.mean(0), rtol=1e-5)
    np.testing.assert_allclose(both.extra["sigma_epistemic"], means.std(0), rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(both.sigma**2, (sigmas**2).mean(0) + means.var(0), rtol=1e-4)


def test_parts_of_members_that_were_sampled_add_up() -> None:
    one = Moments(np.array([1.0]), np.array([5.0]), np.array([3.0]), np.array([4.0]))
    two = Moments(np.array([3.0]), np.array([13.0]), np.array([5.0]), np.array([12.0]))
    found = predictor._ensemble([one, two])
    assert found.mean == 2.0
    assert found.aleatoric**2 == pytest.approx((9 + 25) / 2)
    assert found.epistemic**2 == pytest.approx((16 + 144) / 2 + 1)
    assert found.sigma**2 == pytest.approx((25 + 169) / 2 + 1)


def test_calibration_scales_the_whole_sigma_of_dropout_samples(job: Job, model: Path, tmp_path: Path) -> None:
    doubled = ArielForSpectrumPrediction.from_pretrained(model)
    doubled.calibration.scale.mul_(2.0)
    doubled.save_pretrained(tmp_path / "doubled")
    ArielFeatureExtractor.from_pretrained(model).save_pretrained(tmp_path / "doubled")
    jobs.predict(replace(job, samples=3))
    jobs.predict(replace(job, samples=3, models=(str(tmp_path / "doubled"),), out=tmp_path / "doubled.parquet"))
    once, twice = read_predictions(job.out), read_predictions(tmp_path / "doubled.parquet")
    np.testing.assert_array_equal(once.mu, twice.mu)
    for name in ("sigma_aleatoric", "sigma_epistemic"):
        np.testing.assert_allclose(twice.extra[name], 2 * once.extra[name], rtol=1e-5)
    np.testing.assert_allclose(twice.sigma, 2 * once.sigma, rtol=1e-5)


def test_a_full_device_halves_the_batch_and_an_answer_that_is_not_finite_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job, original = replace(job, batch="8"), predictor.Member.moments

    def small(member: Any, inputs: dict[str, torch.Tensor], samples: int, seed: str) -> Moments:
        if len(inputs["time"]) > 4:
            raise torch.cuda.OutOfMemoryError
        return original(member, inputs, samples, seed)

    jobs.predict(job)
    expected = read_predictions(job.out)
    monkeypatch.setattr(predictor.Member, "moments", small)
    jobs.predict(job)
    found = read_predictions(job.out)
    assert "memory of cpu is full: 3 planets at a time" in caplog.text
    assert found.planet_id.tolist() == expected.planet_id.tolist()
    np.testing.assert_allclose(found.mu, expected.mu, rtol=1e-4, atol=1e-8)
    moments = Moments(*(np.array([[1.0, 2.0], [np.nan, 1.0]]) for _ in range(4)))
    part = predictor._part([7, 8], moments, ["ok", "ok"], ["a", "b"], {9: "dark"})
    assert (part.planet_id, part.notes, part.refused) == (
        [7],
        ["a"],
        {9: "dark", 8: "the model's answer is not finite"},
    )


# --- interruption --------------------------------------------------------------------------------------------------


def interrupt(job: Job, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run ``job`` and stop it after some batches."""
    original, calls = jobs.predict_planets, iter(range(after))

    def stopped(*arguments: Any) -> Part:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(jobs, "predict_planets", stopped)
    with pytest.raises(KeyboardInterrupt):
        jobs.predict(job)
    monkeypatch.setattr(jobs, "predict_planets", original)


@pytest.mark.parametrize("samples", [0, 2])
def test_an_interrupted_run_goes_on_to_the_same_result(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, samples: int
) -> None:
    job = replace(job, samples=samples)
    whole = replace(job, out=tmp_path / "whole.parquet")
    jobs.predict(whole)
    interrupt(job, monkeypatch, 2)
    assert not job.out.exists()
    assert record(job.out)["status"] == "interrupted"
    jobs.predict(job)
    assert record(job.out)["metrics"]["resumed"] == 4
    for resumed, uninterrupted in zip(
        content(read_predictions(job.out)), content(read_predictions(whole.out)), strict=True
    ):
        np.testing.assert_array_equal(resumed, uninterrupted)
    assert [path.name for path in job.out.parent.iterdir() if path.name.startswith(".")] == []


def test_another_setting_is_refused_after_an_interruption_unless_begun_anew(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(job, monkeypatch, 1)
    other = replace(job, samples=3)
    with pytest.raises(ValueError, match=r"samples was 0, is 3.*--restart"):
        jobs.predict(other)
    with pytest.raises(ValueError, match="batch was 2, is 3"):
        jobs.predict(replace(job, batch="3"))
    jobs.predict(other, restart=True)
    assert record(job.out)["metrics"]["resumed"] == 0


def test_auto_goes_on_with_the_batch_of_the_interrupted_run(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(job, monkeypatch, 1)
    jobs.predict(replace(job, batch="auto"))
    assert record(job.out)["metrics"]["batch"] == 2


def test_a_damaged_part_and_those_after_it_are_made_again(tmp_path: Path) -> None:
    parts = Parts.open(tmp_path / "parts", {"seed": 0})
    for planet in range(3):
        parts.add(Part([planet], {"mu": np.zeros((1, 283), np.float32)}, ["ok"], [""], {planet + 10: "dark"}))
    path = tmp_path / "parts/000001.npz"
    path.write_bytes(path.read_bytes()[:100])
    found = Parts.open(tmp_path / "parts", {"seed": 0})
    assert (found.count, found.planets) == (1, [0, 10])


def test_a_part_of_a_version_without_notes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts.open(tmp_path / "parts", {"seed": 0})
    dumps = json.dumps
    monkeypatch.setattr(json, "dumps", lambda known: dumps({k: v for k, v in known.items() if k != "notes"}))
    parts.add(Part([0], {"mu": np.zeros((1, 283), np.float32)}, ["ok"], [""]))
    monkeypatch.undo()
    assert Parts.open(tmp_path / "parts", {"seed": 0}).count == 0


# --- settings ------------------------------------------------------------------------------------------------------


def test_the_batch_follows_memory_and_wrong_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    sizes = []
    for memory in (1e8, 2e9, 1e12):
        monkeypatch.setattr(predictor, "free_bytes", lambda device, memory=memory: memory)
        sizes.append(predictor.batch_size("auto", cpu, 375))
    assert sizes == [1, 13, predictor.BATCH]
    assert predictor.batch_size("7", cpu, 375) == 7
    for wrong in ("0", "-1", "many"):
        with pytest.raises(ValueError, match=f"--batch: expected auto or a number above 0, found '{wrong}'"):
            predictor.batch_size(wrong, cpu, 375)
    with pytest.raises(ValueError, match="--device"):
        predictor.choose_device("abacus")


def test_models_that_cannot_do_what_is_asked_are_refused(job: Job, tmp_path: Path) -> None:
    other = save_model(tmp_path / "still", physics="none", hidden_dropout_prob=0.0)
    with pytest.raises(ValueError, match="samples: expected a model with dropout"):
        jobs.predict(replace(job, models=(str(other),), samples=2))
    with pytest.raises(ValueError, match=r"nowhere: expected a model folder or a Hub id, found nothing there"):
        jobs.predict(replace(job, models=(str(tmp_path / "nowhere"),)))
    with pytest.raises(ValueError, match="split 'test' cannot be opened"):
        jobs.predict(replace(job, split="test"))
    with pytest.raises(ValueError, match="--revision v1: expected a model on the Hub, found the folder"):
        jobs.predict(replace(job, revision="v1"))
    with pytest.raises(ValueError, match=r"expected the model.s wavelengths, found AIRS channels 0\.006 um off"):
        jobs._check_wavelengths([0.7, 2.0, 2.1], np.array([0.7, 2.0, 2.106]))


def test_the_limit_counts_wanted_planets_only(job: Job) -> None:
    *_, wanted, last = job.prepare().index
    assert list(replace(job, only=frozenset({wanted, last}), limit=1).prepare().index) == [wanted]


def test_fits_in_other_processes_are_the_same() -> None:
    rows = list(light_curves.simulate_rows(POPULATION[:3], visits=1, n_bins=BINS, seed=1))
    features = ArielFeatureExtractor(wavelength=planets.wavelengths_um("2025").tolist())(rows)
    batch, wavelength = fit_inputs(features), torch.as_tensor(planets.wavelengths_um("2025"))
    with FitPool(1, 3) as here, FitPool(2, 3) as there:
        one, two = here.fit(batch, wavelength), there.fit(batch, wavelength)
        with deterministic(True):  # as arrays too, so that no GPU fits them
            three = here.fit(batch, wavelength)
    assert one.status == two.status == ["ok"] * 3
    for name, value in vars(one).items():
        if isinstance(value, torch.Tensor):
            for other in (two, three):
                torch.testing.assert_close(getattr(other, name), value, rtol=1e-9, atol=1e-12)


def test_deterministic_predictions_are_the_same_and_recorded(job: Job, tmp_path: Path) -> None:
    found = []
    for wanted in (False, True):
        one = replace(job, limit=2, deterministic=wanted, out=tmp_path / f"{wanted}.parquet")
        jobs.predict(one)
        assert record(one.out)["config"]["deterministic"] is wanted
        found.append(content(read_predictions(one.out)))
    for plain, repeatable in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, repeatable)
    assert not torch.are_deterministic_algorithms_enabled()


# --- what comes after ----------------------------------------------------------------------------------------------


def test_predictions_feed_evaluate_and_submit(job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean = tmp_path / "clean"
    shards.write_rows(
        clean, "train", light_curves.simulate_rows(POPULATION[:3], visits=1, n_bins=BINS, seed=1), n_bins=BINS
    )
    write_card(clean, planets.wavelengths_um("2025"), "Simulated.", {})
    jobs.predict(replace(job, dataset=str(clean)))
    evaluate.main(EvaluateOptions(job.out, str(clean)))
    assert json.loads(job.out.with_suffix(".evaluation.json").read_text())["planets"] == 3
    sample = tmp_path / "sample_submission.csv"
    with sample.open("w", newline="") as file:
        header = ["planet_id", *(f"wl_{i + 1}" for i in range(283)), *(f"sigma_{i + 1}" for i in range(283))]
        csv.writer(file).writerows([header, [POPULATION[1].planet_id, *[0.1] * 566]])
    submit.main(SubmitOptions(job.out, sample, tmp_path / "submission.csv"))
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 2


def test_of_an_ensemble_the_member_that_doubts_a_planet_most_tells_its_status() -> None:
    sure, unsure, far = ({"status": [OK, status], "notes": ["", note]} for status, note in
                         ((OK, "near"), (DOUBTFUL, "one"), (DOUBTFUL, "other")))  # fmt: skip
    status, notes = predictor._most_doubtful([(sure, [0.1, 0.1]), (unsure, [0.2, 2.0]), (far, [0.3, 3.0])])
    assert (status, notes) == ([OK, DOUBTFUL], ["", "other"])
