"""`ariel predict` and `ariel calibrate`: from a dataset and a model folder to predictions that are honest and whole."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from ariel_scripts import _predictor, calibrate, evaluate, predict, submit
from ariel_scripts._parts import Part, Parts
from ariel_scripts.predict import Job
from hf_dataset import publish, shards
from hf_dataset.simulation import fast, planets
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.predictions_ariel import Predictions, read_predictions, write_predictions
from modeling_ariel.uncertainty_ariel import Moments

BINS = 60
POPULATION = planets.sample_planets(7, 5, "2025")
IDS = sorted(planet.planet_id for planet in POPULATION)
DARK = POPULATION[3].planet_id  # both of its visits have no light at all


def tiny(**choices: Any) -> ArielConfig:
    return ArielConfig(
        wavelength=planets.wavelengths_um("2025").tolist(), hidden_size=16, num_attention_heads=2, intermediate_size=16,
        num_hidden_layers=1, spectral_num_hidden_layers=1, spectral_patch=47, patch_bins=20, **choices,
    )  # fmt: skip


def save_model(folder: Path, seed: int = 0, **choices: Any) -> Path:
    """A model that answers something different for every planet, without having learned it."""
    torch.manual_seed(seed)
    model = ArielForSpectrumPrediction(tiny(**choices))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and not parameter.any():  # the last layers, which start at zero
                parameter.normal_(std=0.02)
    model.save_pretrained(folder)
    ArielFeatureExtractor(wavelength=list(model.config.wavelength)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven planets of two visits; one has no light, one visit of another neither. Visits are apart in the file."""
    out = tmp_path_factory.mktemp("light-curves")
    rows = list(fast.simulate_rows(POPULATION, visits=2, n_bins=BINS, seed=1))
    for row in (rows[6], rows[7], rows[9]):
        row["flux"] = np.zeros_like(row["flux"])
    shards.write_rows(out, "train", rows[::2] + rows[1::2], n_bins=BINS)
    publish.write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "plain", physics="none", hidden_dropout_prob=0.2)


@pytest.fixture
def job(dataset: Path, model: Path, tmp_path: Path) -> Job:
    return Job(str(dataset), (str(model),), tmp_path / "run/p.parquet", batch="2", device="cpu", workers=1)


@pytest.fixture(autouse=True)
def _same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources may be edited while predictions are tested."""
    monkeypatch.setattr(_predictor, "code_digest", lambda: "code")


def record(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.stem}.run.json").read_text())


def content(found: Predictions) -> list[np.ndarray]:
    return [found.planet_id, found.mu, found.sigma, *(np.asarray(value) for value in found.extra.values())]


# --- what is predicted ---------------------------------------------------------------------------------------------


def test_every_planet_is_predicted_as_the_model_itself_does_it_and_refused_ones_are_reported(
    job: Job, model: Path, dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = predict.predict(job)
    found = read_predictions(job.out)
    assert list(refused) == [DARK]
    assert found.planet_id.tolist() == [planet for planet in IDS if planet != DARK]
    assert record(job.out)["status"] == "incomplete"
    assert record(job.out)["metrics"]["status"] == {"ok": 6}
    assert "flux" in record(job.out)["metrics"]["refused"][str(DARK)]
    assert f"planet {DARK} refused" in caplog.text
    assert f"planet {POPULATION[4].planet_id}: one of 2 visits left out" in caplog.text
    network = ArielForSpectrumPrediction.from_pretrained(model).eval()
    rows = [row for row in predict._stream(str(dataset), "train", predict.COLUMNS) if row["planet_id"] == IDS[0]]
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
    predict.main(job.dataset, list(job.models), job.out, strict=True, dry_run=True, **options)
    assert "would predict 7 planets, 14 visits" in capsys.readouterr().out
    assert not job.out.parent.exists()
    with pytest.raises(typer.Exit) as stopped:
        predict.main(job.dataset, list(job.models), job.out, strict=True, dry_run=False, **options)
    assert stopped.value.exit_code == 1
    assert job.out.is_file()
    predict.main(job.dataset, list(job.models), job.out, strict=False, dry_run=False, **options)


def test_predictions_do_not_depend_on_the_true_spectra(job: Job, tmp_path: Path) -> None:
    rows = list(fast.simulate_rows(POPULATION[:2], visits=1, n_bins=BINS, seed=1))
    answers = []
    for name, spectra in (("right", (0, 1)), ("swapped", (1, 0))):
        out = tmp_path / name
        swapped = [{**row, "spectrum": rows[other]["spectrum"]} for row, other in zip(rows, spectra, strict=True)]
        shards.write_rows(out, "train", swapped, n_bins=BINS)
        publish.write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
        predict.predict(replace(job, dataset=str(out), out=tmp_path / f"{name}.parquet"))
        answers.append(content(read_predictions(tmp_path / f"{name}.parquet")))
    for right, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(right, other)


def test_a_planet_whose_fit_fails_gets_its_status_and_the_priors_answer(tmp_path: Path) -> None:
    rows = list(fast.simulate_rows(POPULATION[:2], visits=1, n_bins=BINS, seed=1))
    noise = np.random.default_rng(0).normal(1e4, 10, rows[1]["flux"].shape)
    rows[1] |= {"flux": noise.astype(np.float32), "flux_err": np.full_like(rows[1]["flux"], 10.0)}
    shards.write_rows(tmp_path / "curves", "train", rows, n_bins=BINS)
    publish.write_card(tmp_path / "curves", planets.wavelengths_um("2025"), "Simulated.", {})
    torch.manual_seed(0)
    model = ArielForSpectrumPrediction(tiny())
    model.save_pretrained(tmp_path / "model")
    ArielFeatureExtractor(wavelength=model.config.wavelength).save_pretrained(tmp_path / "model")
    job = Job(str(tmp_path / "curves"), (str(tmp_path / "model"),), tmp_path / "p.parquet", device="cpu", workers=2)
    assert not predict.predict(job)
    found = read_predictions(job.out)
    good, lost = (found.planet_id.tolist().index(row["planet_id"]) for row in rows)
    assert [found.extra["status"][row] for row in (good, lost)] == ["ok", "no_transit"]
    np.testing.assert_allclose(found.mu[lost], model.config.depth_mean, rtol=1e-3)
    assert found.sigma[lost].min() > 0.9 * model.config.depth_scale
    assert np.median(np.abs(found.mu[good] - rows[0]["spectrum"]) / found.sigma[good]) < 3
    assert found.sigma[good].max() < 0.2 * found.sigma[lost].min()


# --- samples and ensembles -----------------------------------------------------------------------------------------


def test_dropout_samples_add_an_epistemic_part_the_same_for_the_same_seed(job: Job, tmp_path: Path) -> None:
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.parquet"
        predict.predict(replace(job, samples=4, seed=seed, out=out))
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
        predict.predict(replace(job, models=tuple(map(str, models)), out=tmp_path / f"{name}.parquet"))
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
    found = _predictor._ensemble([one, two])
    assert found.mean == 2.0
    assert found.aleatoric**2 == pytest.approx((9 + 25) / 2)
    assert found.epistemic**2 == pytest.approx((16 + 144) / 2 + 1)
    assert found.sigma**2 == pytest.approx((25 + 169) / 2 + 1)


# --- interruption --------------------------------------------------------------------------------------------------


def interrupt(job: Job, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run ``job`` and stop it after some batches."""
    original, calls = _predictor.predict_planets, iter(range(after))

    def stopped(*arguments: Any) -> Part:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(_predictor, "predict_planets", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict.predict(job)
    monkeypatch.setattr(_predictor, "predict_planets", original)


@pytest.mark.parametrize("samples", [0, 2])
def test_an_interrupted_run_goes_on_to_the_same_result(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, samples: int
) -> None:
    job = replace(job, samples=samples)
    whole = replace(job, out=tmp_path / "whole.parquet")
    predict.predict(whole)
    interrupt(job, monkeypatch, 2)
    assert not job.out.exists()
    assert record(job.out)["status"] == "interrupted"
    predict.predict(job)
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
        predict.predict(other)
    with pytest.raises(ValueError, match="batch was 2, is 3"):
        predict.predict(replace(job, batch="3"))
    predict.predict(other, restart=True)
    assert record(job.out)["metrics"]["resumed"] == 0


def test_auto_goes_on_with_the_batch_of_the_interrupted_run(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(job, monkeypatch, 1)
    predict.predict(replace(job, batch="auto"))
    assert record(job.out)["metrics"]["batch"] == 2


def test_a_damaged_part_and_those_after_it_are_made_again(tmp_path: Path) -> None:
    parts = Parts.open(tmp_path / "parts", {"seed": 0})
    for planet in range(3):
        parts.add(Part([planet], {"mu": np.zeros((1, 283), np.float32)}, ["ok"], {planet + 10: "dark"}))
    path = tmp_path / "parts/000001.npz"
    path.write_bytes(path.read_bytes()[:100])
    found = Parts.open(tmp_path / "parts", {"seed": 0})
    assert (found.count, found.planets) == (1, [0, 10])


# --- settings ------------------------------------------------------------------------------------------------------


def test_the_batch_follows_memory_and_wrong_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    sizes = []
    for memory in (1e8, 2e9, 1e12):
        monkeypatch.setattr(_predictor, "free_bytes", lambda device, memory=memory: memory)
        sizes.append(_predictor.batch_size("auto", cpu, 375))
    assert sizes == [1, 13, _predictor.LARGEST_BATCH]
    assert _predictor.batch_size("7", cpu, 375) == 7
    for wrong in ("0", "-1", "many"):
        with pytest.raises(ValueError, match=f"--batch: expected auto or a number above 0, found '{wrong}'"):
            _predictor.batch_size(wrong, cpu, 375)
    with pytest.raises(ValueError, match="--device"):
        _predictor.choose_device("abacus")


def test_models_that_cannot_do_what_is_asked_are_refused(job: Job, tmp_path: Path) -> None:
    other = save_model(tmp_path / "still", physics="none", hidden_dropout_prob=0.0)
    with pytest.raises(ValueError, match="--samples: expected a model with dropout"):
        predict.predict(replace(job, models=(str(other),), samples=2))
    with pytest.raises(OSError, match="nowhere"):
        predict.predict(replace(job, models=(str(tmp_path / "nowhere"),)))
    with pytest.raises(ValueError, match="split 'test' cannot be opened"):
        predict.predict(replace(job, split="test"))


def test_fits_in_other_processes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(fast.simulate_rows(POPULATION[:3], visits=1, n_bins=BINS, seed=1))
    features = ArielFeatureExtractor(wavelength=planets.wavelengths_um("2025").tolist())(rows)
    batch, wavelength = _predictor.fit_inputs(features), torch.as_tensor(planets.wavelengths_um("2025"))
    with _predictor.FitPool(1, 3) as here, _predictor.FitPool(2, 3) as there:
        monkeypatch.setattr(_predictor, "_VISITS_PER_TASK", 2)
        one, two = here.fit(batch, wavelength), there.fit(batch, wavelength)
    assert one.status == two.status == ["ok"] * 3
    for name, value in vars(one).items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(getattr(two, name), value, rtol=1e-9, atol=1e-12)


# --- what comes after ----------------------------------------------------------------------------------------------


def test_predictions_feed_evaluate_and_submit(job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean = tmp_path / "clean"
    shards.write_rows(clean, "train", fast.simulate_rows(POPULATION[:3], visits=1, n_bins=BINS, seed=1), n_bins=BINS)
    publish.write_card(clean, planets.wavelengths_um("2025"), "Simulated.", {})
    predict.predict(replace(job, dataset=str(clean)))
    evaluate.main(job.out, str(clean), "train", None, None)
    assert json.loads(job.out.with_suffix(".evaluation.json").read_text())["planets"] == 3
    sample = tmp_path / "sample_submission.csv"
    with sample.open("w", newline="") as file:
        header = ["planet_id", *(f"wl_{i + 1}" for i in range(283)), *(f"sigma_{i + 1}" for i in range(283))]
        csv.writer(file).writerows([header, [POPULATION[1].planet_id, *[0.1] * 566]])
    submit.main(job.out, sample, tmp_path / "submission.csv", False, False)
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 2


# --- calibrate -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, np.ndarray]]:
    """Thirty labelled planets; light curves of 8 bins, as their predictions are given."""
    out = tmp_path_factory.mktemp("validation")
    rows = list(fast.simulate_rows(planets.sample_planets(30, 8, "2025"), visits=1, n_bins=8, seed=1))
    shards.write_rows(out, "validation", rows, n_bins=8)
    publish.write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
    return out, {int(row["planet_id"]): np.asarray(row["spectrum"], np.float64) for row in rows}


def made_up(path: Path, truths: dict[int, np.ndarray], spread: float, digest: str, status: str = "ok") -> Path:
    """Predictions whose sigma is ``spread`` times too small, and the run record of a model with this ``digest``."""
    rng = np.random.default_rng(0)
    ids = sorted(truths)
    sigma = rng.uniform(3e-5, 6e-5, (len(ids), 283))
    mean = np.stack([truths[planet] for planet in ids]) + spread * sigma * rng.normal(size=sigma.shape)
    states = [status, *["ok"] * (len(ids) - 1)]
    write_predictions(
        path,
        Predictions(np.array(ids), mean.clip(0).astype(np.float32), sigma.astype(np.float32), {"status": states}),
    )
    metrics = {"models": [digest], "samples": 0}
    path.with_name(f"{path.stem}.run.json").write_text(json.dumps({"metrics": metrics}))
    return path


def digest_of(model: Path) -> str:
    return _predictor.load_member(str(model), None, torch.device("cpu")).digest


def call_calibrate(model: Path, dataset: Path, out: Path, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "split": "validation", "method": "temperature", "n_groups": 0, "predictions": None, "held_out": False,
        "folds": 5, "samples": 0, "revision": None, "batch": "auto", "device": "cpu", "workers": 1, "limit": None,
        "seed": 0, "restart": False, **options,
    }  # fmt: skip
    calibrate.main(str(model), str(dataset), out, **given)
    return json.loads((out / "calibration.json").read_text())


@pytest.mark.parametrize("method", ["temperature", "groups"])
def test_calibration_finds_the_factor_and_changes_nothing_but_its_buffers(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path, method: str
) -> None:
    dataset, truths = validation
    given = made_up(tmp_path / "p.parquet", truths, 1.6, digest_of(model))
    found = call_calibrate(model, dataset, tmp_path / "out", predictions=given, method=method)
    assert found["planets"] == sorted(truths)
    for group in found["groups"].values():
        assert group["factor"] == pytest.approx(1.6, rel=0.05 if group["channels"] > 1 else 0.5)
    assert found["before"]["coverage"]["overall"]["0.9"][0] == pytest.approx(0.696, abs=0.02)
    for state in ("after", "conformal"):
        for level in ("0.5", "0.68", "0.9", "0.95"):
            value, low, high = found[state]["coverage"]["overall"][level]
            assert value == pytest.approx(float(level), abs=0.03)
            assert low <= value <= high
    assert found["after"]["z_spread"]["overall"][0] == pytest.approx(1.0, abs=0.03)
    assert found["gain"]["2024"][1] > 0
    old, new = (ArielForSpectrumPrediction.from_pretrained(path) for path in (model, tmp_path / "out"))
    for name, value in old.state_dict().items():
        same = torch.equal(value, new.state_dict()[name])
        assert same == (name not in ("calibration.scale", "calibration.quantiles")), name
    sigma = torch.full((1, 283), 1e-4)
    np.testing.assert_allclose(new.calibration(sigma)[0, 5:] / 1e-4, 1.6, rtol=0.05)
    assert np.median(new.calibration.quantiles[2]) == pytest.approx(1.7, abs=0.15)  # 28th of 30: 0.903, or a bit above
    for figure in ("coverage.png", "z.png"):
        assert (tmp_path / "out" / figure).read_bytes().startswith(b"\x89PNG")


def test_calibrating_a_calibrated_model_multiplies_its_factors(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    dataset, truths = validation
    source = model
    for name, spread in (("first", 2.0), ("second", 0.5)):
        given = made_up(tmp_path / f"{name}.parquet", truths, spread, digest_of(source))
        call_calibrate(source, dataset, tmp_path / name, predictions=given)
        source = tmp_path / name
    scale = ArielForSpectrumPrediction.from_pretrained(source).calibration.scale
    np.testing.assert_allclose(scale, 1.0, rtol=0.02)


def test_planets_that_the_model_was_trained_on_are_refused_or_left_out(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    import shutil

    dataset, truths = validation
    trained = shutil.copytree(model, tmp_path / "trained")
    seen = sorted(truths)[:4]
    (trained / "training.json").write_text(json.dumps({"planets": [*seen, 1]}))
    given = made_up(tmp_path / "p.parquet", truths, 1.2, digest_of(trained))
    with pytest.raises(ValueError, match=f"not trained on, found 4 that it was, planet {seen[0]} the first"):
        call_calibrate(trained, dataset, tmp_path / "out", predictions=given)
    assert not (tmp_path / "out").exists()
    found = call_calibrate(trained, dataset, tmp_path / "out", predictions=given, held_out=True)
    assert found["planets"] == sorted(truths)[4:]
    assert json.loads((tmp_path / "out/training.json").read_text())["planets"] == [*seen, 1]


def test_lost_fits_are_not_calibrated_on_and_other_models_predictions_refused(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    dataset, truths = validation
    lost = made_up(tmp_path / "p.parquet", truths, 1.2, digest_of(model), "no_transit")
    found = call_calibrate(model, dataset, tmp_path / "out", predictions=lost)
    assert found["left_out"] == {str(min(truths)): "no_transit"}
    assert min(truths) not in found["planets"]
    with pytest.raises(ValueError, match="expected a new folder"):
        call_calibrate(model, dataset, tmp_path / "out", predictions=lost)
    other = made_up(tmp_path / "q.parquet", truths, 1.2, "another")
    with pytest.raises(ValueError, match="those of another model"):
        call_calibrate(model, dataset, tmp_path / "new", predictions=other)
    few = made_up(tmp_path / "few.parquet", dict(list(truths.items())[:4]), 1.2, digest_of(model))
    with pytest.raises(ValueError, match="expected 5 or more validation planets with a good fit, found 4"):
        call_calibrate(model, dataset, tmp_path / "new", predictions=few)
    with pytest.raises(ValueError, match="--method: expected one of temperature, groups, found 'magic'"):
        call_calibrate(model, dataset, tmp_path / "new", method="magic")


def test_calibrate_predicts_where_no_predictions_are_given_and_few_planets_are_warned_of(
    model: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    found = call_calibrate(model, dataset, tmp_path / "out", split="train", method="groups", n_groups=3)
    assert len(found["planets"]) == 6
    assert list(found["groups"]) == ["FGS1", "AIRS 1 of 3", "AIRS 2 of 3", "AIRS 3 of 3"]
    assert found["pooled_neighbours"] == [0, 0, 1, 2]
    assert "without a guarantee" in caplog.text
    assert "no training.json" in caplog.text
    assert (tmp_path / "out.predictions.parquet").is_file()
