"""`ariel calibrate`: factors found, weights untouched, planets the model was trained on refused."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from code_blocks import code_blocks
from fake_distribution import install
from scipy.stats import betabinom
from tiny_models import BINS, POPULATION, save_model

from ariel_scripts.commands import calibrate, submit
from ariel_scripts.opening import models
from ariel_scripts.opening.provenance import licence_of
from ariel_scripts.options.calibrate import CalibrateOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.plugins import PluginError
from ariel_scripts.prediction import predictor, reliability
from ariel_scripts.prediction.conformal import Target, quantiles
from ariel_scripts.publishing.model_card import model_card
from ariel_scripts.submission.sheet import COLUMNS
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.predictions import Predictions, read_predictions, read_run, write_predictions


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bootstrap draws of the scores."""
    monkeypatch.setattr(reliability, "N_SCORE_DRAWS", 20)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "plain", physics="none", hidden_dropout_prob=0.2)


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, np.ndarray]]:
    """Thirty labelled planets; light curves of 8 bins, as their predictions are given."""
    out = tmp_path_factory.mktemp("validation")
    rows = list(light_curves.simulate_rows(planets.sample_planets(30, 8, "2025"), visits=1, n_bins=8, seed=1))
    shards.write_rows(out, "validation", rows, n_bins=8)
    write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
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
    return predictor.load_member(str(model), None, torch.device("cpu")).digest


def call_calibrate(model: Path, dataset: Path, out: Path, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "split": "validation", "method": "temperature", "n_groups": 0, "predictions": None, "validation_only": False,
        "folds": 5, "samples": 0, "revision": None, "batch": "auto", "device": "cpu", "workers": 1, "limit": None,
        "seed": 0, "restart": False, **options,
    }  # fmt: skip
    calibrate.main(CalibrateOptions(str(model), str(dataset), out, **given))
    return json.loads((out / "calibration.json").read_text())


def test_conformal_calibration_leaves_sigma_alone_and_finds_half_widths(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    dataset, truths = validation
    given = made_up(tmp_path / "p.parquet", truths, 1.6, digest_of(model))
    found = call_calibrate(model, dataset, tmp_path / "out", predictions=given, method="conformal")
    assert found["groups"]["all"]["factor"] == 1.0
    calibration = ArielForSpectrumPrediction.from_pretrained(tmp_path / "out").calibration
    assert torch.equal(calibration.scale, torch.ones(283))
    assert np.median(calibration.quantiles[2]) == pytest.approx(1.6 * 1.7, abs=0.25)


def test_graph_calibration_is_compared_with_each_channels_own_and_forgotten_by_another(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, truths = validation
    given = made_up(tmp_path / "p.parquet", truths, 1.6, digest_of(model))
    found = call_calibrate(model, dataset, tmp_path / "out", predictions=given, method="graph")
    about = found["graph"]
    assert (about["learned_from"], about["calibrated_on"]) == (10, 20)
    assert set(about["widths"]["0.9"]) == set(found["conformal"]["coverage"])
    ratio, low, high = about["widths"]["0.9"]["overall"]["ratio"]
    assert low <= ratio <= high
    assert ratio == pytest.approx(1.0, abs=0.1)
    assert about["widths"]["narrower"] == (high < 1.0)
    verdict = "are narrower than" if about["widths"]["narrower"] else "are not shown to be narrower than"
    assert f"intervals learned over the graph {verdict} those of each channel by itself" in capsys.readouterr().out
    assert 0.9 < found["conformal"]["coverage"]["overall"]["0.9"][0] < 0.98  # 16 of 24 others calibrate: 0.956
    first = ArielForSpectrumPrediction.from_pretrained(tmp_path / "out")
    assert torch.equal(first.calibration.scale, torch.ones(283))
    assert first.calibration.slopes.any()
    assert np.median(first.calibration.quantiles[2]) == pytest.approx(1.6 * 1.92, abs=0.2)  # of 20 planets: 0.945
    again = made_up(tmp_path / "q.parquet", truths, 1.6, digest_of(tmp_path / "out"))
    call_calibrate(tmp_path / "out", dataset, tmp_path / "plain", predictions=again, method="conformal")
    assert not ArielForSpectrumPrediction.from_pretrained(tmp_path / "plain").calibration.slopes.any()


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
    for figure in ("coverage.png", "coverage_map.png", "z.png"):
        assert (tmp_path / "out" / figure).read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "out/coverage.csv").open()))
    for row in rows:
        states = [found[state]["coverage"][row["band"]][row["level"]][0] for state in ("before", "after", "conformal")]
        assert [float(row[state]) for state in ("before", "after", "conformal")] == pytest.approx(states, abs=1e-4)
        assert float(row["change_low"]) <= float(row["change"]) <= float(row["change_high"])
    change = next(float(row["change_low"]) for row in rows if (row["band"], row["level"]) == ("overall", "0.9"))
    assert change > 0.1  # sigma was too small by 1.6
    channels = list(csv.DictReader((tmp_path / "out/quantiles.csv").open()))
    np.testing.assert_allclose([float(row["q_0.9"]) for row in channels], new.calibration.quantiles[2], rtol=1e-5)
    np.testing.assert_allclose([float(row["factor"]) for row in channels], new.calibration.scale, rtol=1e-4)


def test_calibrating_a_calibrated_model_multiplies_its_factors_and_keeps_what_the_first_learned_from(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    dataset, truths = validation
    source = Path(shutil.copytree(model, tmp_path / "start"))
    (source / "training.json").write_text(json.dumps({"data": {"layouts": ["simulated"]}}))
    for name, spread in (("first", 2.0), ("second", 0.5)):
        given = made_up(tmp_path / f"{name}.parquet", truths, spread, digest_of(source))
        record = call_calibrate(source, dataset, tmp_path / name, predictions=given)
        source = tmp_path / name
        if name == "first":
            assert record["layouts"] == ["simulated"]
            (source / "calibration.json").write_text(json.dumps(record | {"layouts": ["2024"]}))
    scale = ArielForSpectrumPrediction.from_pretrained(source).calibration.scale
    np.testing.assert_allclose(scale, 1.0, rtol=0.02)
    assert record["layouts"] == ["2024", "simulated"]
    assert licence_of(source) == "cc-by-nc-4.0"


def test_a_models_card_does_not_go_with_it_where_its_sigma_is_another(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    dataset, truths = validation
    carded = Path(shutil.copytree(model, tmp_path / "carded"))
    (carded / "README.md").write_text("---\nlicense: apache-2.0\n---\nSigma is as the network gives it.\n")
    given = made_up(tmp_path / "p.parquet", truths, 1.6, digest_of(carded))
    call_calibrate(carded, dataset, tmp_path / "out", predictions=given)
    assert not (tmp_path / "out/README.md").exists()
    models.add_code(tmp_path / "out")
    card = model_card(tmp_path / "out", "observer/calibrated", {"training.json", "coverage.png"})
    assert "as the network gives it" not in card
    assert "before calibration" not in card  # no scores are recorded
    assert f"The weights are those of {carded.name}" in card


def test_planets_that_the_model_was_trained_on_are_refused_and_its_validation_planets_found(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path
) -> None:
    dataset, truths = validation
    trained, ids = shutil.copytree(model, tmp_path / "trained"), sorted(truths)
    given = made_up(tmp_path / "p.parquet", truths, 1.2, digest_of(trained))

    def trained_on(named: Any) -> None:
        (trained / "training.json").write_text(json.dumps({"planets": named}))

    for named in ([*ids[:4], 1], {"train": ids[:4], "validation": ids[4:24], "held out": ids[24:]}):
        trained_on(named)
        with pytest.raises(ValueError, match=f"not trained on, found 4 that it was, planet {ids[0]} the first"):
            call_calibrate(trained, dataset, tmp_path / "out", predictions=given)
    assert not (tmp_path / "out").exists()
    found = call_calibrate(trained, dataset, tmp_path / "out", predictions=given, validation_only=True)
    assert found["planets"] == ids[4:24]
    assert json.loads((tmp_path / "out/training.json").read_text())["planets"]["train"] == ids[:4]
    trained_on([1])
    with pytest.raises(ValueError, match="names validation planets, found none"):
        call_calibrate(trained, dataset, tmp_path / "new", predictions=given, validation_only=True)
    trained_on("many")
    with pytest.raises(ValueError, match=r"training\.json: expected planets: a list of ids"):
        call_calibrate(trained, dataset, tmp_path / "new", predictions=given)


@pytest.mark.parametrize("status", ["no_transit", "doubtful"])
def test_lost_and_doubtful_fits_are_not_calibrated_on_and_other_models_predictions_refused(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path, status: str
) -> None:
    dataset, truths = validation
    lost = made_up(tmp_path / "p.parquet", truths, 1.2, digest_of(model), status)
    found = call_calibrate(model, dataset, tmp_path / "out", predictions=lost)
    assert found["left_out"] == {str(min(truths)): status}
    assert min(truths) not in found["planets"]
    with pytest.raises(ValueError, match="expected a new folder"):
        call_calibrate(model, dataset, tmp_path / "out", predictions=lost)
    other = made_up(tmp_path / "q.parquet", truths, 1.2, "another")
    with pytest.raises(ValueError, match="those of another model"):
        call_calibrate(model, dataset, tmp_path / "new", predictions=other)
    few = made_up(tmp_path / "few.parquet", dict(list(truths.items())[:4]), 1.2, digest_of(model))
    with pytest.raises(ValueError, match="expected 5 or more validation planets to trust, found 4"):
        call_calibrate(model, dataset, tmp_path / "new", predictions=few)
    with pytest.raises(
        ValueError, match="--method: expected one of temperature, groups, conformal, graph, found 'magic'"
    ):
        call_calibrate(model, dataset, tmp_path / "new", method="magic")


def test_calibrate_predicts_where_no_predictions_are_given_and_few_planets_are_warned_of(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = tmp_path / "curves"
    shards.write_rows(
        dataset, "train", light_curves.simulate_rows(POPULATION[:6], visits=1, n_bins=BINS, seed=1), n_bins=BINS
    )
    write_card(dataset, planets.wavelengths_um("2025"), "Simulated.", {})
    caplog.set_level(logging.WARNING)
    found = call_calibrate(model, dataset, tmp_path / "out", split="train", method="groups", n_groups=3)
    assert len(found["planets"]) == 6
    assert list(found["groups"]) == ["FGS1", "AIRS 1 of 3", "AIRS 2 of 3", "AIRS 3 of 3"]
    assert found["pooled_neighbours"] == [0, 0, 1, 2]
    assert "without a guarantee" in caplog.text
    assert "no training.json" in caplog.text
    assert (tmp_path / "out.predictions.parquet").is_file()


# --- q sigma in predictions ----------------------------------------------------------------------------------------

N_VALIDATION, N_FRESH = 60, 200


def heavy_tailed(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, mean and sigma (P, 283); errors are exchangeable over planets, independent, and nothing like normal."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(3e-5, 6e-5, (count, 283))
    truth = rng.uniform(0.01, 0.02, (count, 1)) * np.ones(283)
    mean = truth + sigma * np.linspace(0.5, 3, 283) * rng.standard_t(3, (count, 283))
    return truth, mean.astype(np.float32).astype(float), sigma.astype(np.float32).astype(float)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3173, 0.77])
def test_q_sigma_holds_as_many_fresh_planets_as_alpha_says(alpha: float, suffix: str, tmp_path: Path) -> None:
    (q,), pooled = quantiles("conformal", heavy_tailed(N_VALIDATION, 1), [1 - alpha], np.arange(283.0))
    assert pooled == [0]
    truth, mean, sigma = heavy_tailed(N_FRESH, 2)
    path = tmp_path / f"p{suffix}"
    extra = {"sigma_aleatoric": sigma.astype(np.float32)}
    found = Predictions(np.arange(N_FRESH), mean.astype(np.float32), sigma.astype(np.float32), extra)
    write_predictions(path, found, {})
    (tmp_path / "p.run.json").write_text(json.dumps({"metrics": {"models": ["m"], "samples": 0}}))
    Target.open(path).write(q, {"alpha": alpha})
    new = read_predictions(path)
    np.testing.assert_allclose(new.sigma, q * sigma, rtol=1e-6)
    np.testing.assert_array_equal(new.sigma, new.extra["sigma_aleatoric"])
    np.testing.assert_array_equal(new.mu, found.mu)
    rank = int(np.ceil((N_VALIDATION + 1) * (1 - alpha) - 1e-9))
    expected = betabinom(N_FRESH, rank, N_VALIDATION + 1 - rank)  # truths of a channel inside, over both draws
    held = (np.abs(new.mu - truth) <= new.sigma).sum(0)
    assert abs(held.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(283)
    assert expected.mean() / N_FRESH >= 1 - alpha - 1e-9
    with pytest.raises(ValueError, match=rf"multiplied by the conformal q of alpha {alpha:g} already: predict again"):
        Target.open(path)


def test_calibrate_applies_q_once_and_the_submission_carries_it(
    model: Path, validation: tuple[Path, dict[int, np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, truths = validation
    given = made_up(tmp_path / "p.parquet", truths, 1.6, digest_of(model))
    target = made_up(tmp_path / "test.parquet", truths, 1.6, digest_of(model))
    before = read_predictions(target)
    call_calibrate(model, dataset, tmp_path / "out", predictions=given, method="conformal", apply=target, alpha=0.1)
    assert "half of a 90 % interval; scores take it for one standard deviation" in capsys.readouterr().out
    record = read_run(target)["metrics"]["conformal"]
    assert (record["alpha"], record["method"], record["planets"]) == (0.1, "conformal", 30)
    assert json.loads((tmp_path / "test.run.json").read_text())["metrics"]["conformal"] == record
    channels = list(csv.DictReader((tmp_path / "out/quantiles.csv").open()))
    np.testing.assert_allclose(record["q"], [float(row["q_0.9"]) for row in channels], rtol=1e-5)
    np.testing.assert_allclose(read_predictions(target).sigma, before.sigma * np.array(record["q"]), rtol=1e-5)
    lines = [",".join(COLUMNS), *(f"{planet}," + ",".join(["0.1"] * 566) for planet in sorted(truths))]
    (tmp_path / "sample.csv").write_text("\n".join(lines) + "\n")
    submit.main(SubmitOptions(target, tmp_path / "sample.csv", tmp_path / "s.csv"))
    manifest = json.loads((tmp_path / "s.manifest.json").read_text())
    assert (manifest["alpha"], manifest["conformal"]) == ([0.1], record)
    sent = read_predictions(tmp_path / "s.csv")
    np.testing.assert_allclose(sent.sigma, before.sigma * np.array(record["q"]), rtol=1e-5)
    again = {"predictions": given, "method": "conformal"}
    with pytest.raises(ValueError, match=r"test\.parquet: expected sigma as the model gives it"):
        call_calibrate(model, dataset, tmp_path / "new", **again, apply=target, alpha=0.3)
    with pytest.raises(ValueError, match=r"test\.parquet: expected sigma as the model gives it"):
        call_calibrate(model, dataset, tmp_path / "new", predictions=target)
    with pytest.raises(ValueError, match=r"s\.csv: expected predictions with the record of their run"):
        call_calibrate(model, dataset, tmp_path / "new", **again, apply=tmp_path / "s.csv")
    other = made_up(tmp_path / "other.parquet", truths, 1.6, "another")
    with pytest.raises(ValueError, match=r"expected predictions of the model that is calibrated .*found \['another'\]"):
        call_calibrate(model, dataset, tmp_path / "new", **again, apply=other)
    with pytest.raises(ValueError, match="--apply: expected --method conformal, found groups"):
        call_calibrate(model, dataset, tmp_path / "new", method="groups", apply=other)
    with pytest.raises(ValueError, match="--alpha: expected a number between 0 and 1, found 1"):
        call_calibrate(model, dataset, tmp_path / "new", **again, apply=other, alpha=1.0)
    assert not (tmp_path / "new").exists()


# --- methods of other packages -------------------------------------------------------------------------------------

LARGEST = """
import numpy as np

def largest(truth, mean, sigma, levels, wavelength):
    score = np.abs(mean - truth) / sigma
    return np.quantile(score, levels, axis=None)[:, None] * np.ones(len(wavelength))

def short(truth, mean, sigma, levels, wavelength):
    return largest(truth, mean, sigma, levels, wavelength)[:, 1:]

def broken(*_):
    raise KeyError("nothing here")
"""


def test_a_method_of_another_package_calibrates_and_one_that_fails_is_named(
    model: Path,
    validation: tuple[Path, dict[int, np.ndarray]],
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offers = {"ariel.conformal": {"largest": "largest", "short": "short", "broken": "broken", "absent": "absent"}}
    shown = next(block.code for block in code_blocks((repository / "docs/uncertainty.md").read_text())
                 if "def near" in block.code)  # fmt: skip
    offers["ariel.conformal"]["near"] = "near"
    install(tmp_path, monkeypatch, "ariel-mine", shown + LARGEST, offers)
    half, _ = quantiles("near", heavy_tailed(N_VALIDATION, 1), [0.9], np.array(planets.wavelengths_um("2025")))
    truth, mean, sigma = heavy_tailed(N_FRESH, 2)
    assert (np.abs(mean - truth) <= half * sigma).mean() == pytest.approx(0.9, abs=0.02)
    dataset, truths = validation
    given = made_up(tmp_path / "p.parquet", truths, 1.6, digest_of(model))
    target = made_up(tmp_path / "test.parquet", truths, 1.6, digest_of(model))
    options = {"predictions": given, "method": "largest", "apply": target, "alpha": 0.2}
    found = call_calibrate(model, dataset, tmp_path / "out", **options)
    assert found["package"] == "ariel-mine 0.1"
    assert found["conformal"]["coverage"]["overall"]["0.9"][0] == pytest.approx(0.9, abs=0.02)
    half = ArielForSpectrumPrediction.from_pretrained(tmp_path / "out").calibration.quantiles
    np.testing.assert_allclose(half[2], 1.6 * 1.645, rtol=0.03)
    applied = read_run(target)["metrics"]["conformal"]
    assert (applied["method"], applied["package"]) == ("largest", "ariel-mine 0.1")
    np.testing.assert_allclose(applied["q"], 1.6 * 1.2816, rtol=0.03)
    for method, message in (
        ("short", r"expected half-widths of shape \(4, 283\), found \(4, 282\)"),
        ("broken", "KeyError: 'nothing here'"),
        ("absent", "AttributeError"),
    ):
        with pytest.raises(PluginError, match=rf"ariel\.conformal '{method}' of ariel-mine 0\.1: .*{message}"):
            call_calibrate(model, dataset, tmp_path / "new", predictions=given, method=method)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="graph, absent, broken, largest, near, short, found 'magic'"):
        call_calibrate(model, dataset, tmp_path / "new", method="magic")
    install(tmp_path, monkeypatch, "ariel-yours", LARGEST, {"ariel.conformal": {"largest": "largest"}})
    with pytest.raises(PluginError, match=r"expected a name of its own, found that of .* of ariel-"):
        call_calibrate(model, dataset, tmp_path / "new", method="largest")
