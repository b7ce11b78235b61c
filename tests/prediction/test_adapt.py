"""`ariel adapt`: a model that has seen light curves of a telescope, without labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import BINS, save_model

from ariel_scripts.commands import adapt, predict
from ariel_scripts.opening.provenance import ADAPTATION as RECORD
from ariel_scripts.opening.provenance import CHALLENGE, OWN, licence_of
from ariel_scripts.options.adapt import AdaptOptions
from ariel_scripts.options.predict import PredictOptions
from ariel_scripts.training.folds import SimulatedSpectra, learned_prior
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel import ArielForSpectrumPrediction, Telescope
from modeling_ariel.predictions import read_predictions

VISITS = 24


def simulated(count: int) -> list[dict[str, Any]]:
    return list(light_curves.simulate_rows(planets.sample_planets(count, 5, "2025"), visits=1, n_bins=BINS, seed=1))


def write_dataset(out: Path, with_spectra: bool) -> Path:
    """A visit of each of 24 planets, whose star tables are known; without a label where wished."""
    rows = simulated(VISITS)
    for row in rows:
        row["spectrum"] = row["spectrum"] if with_spectra else None
    shards.write_rows(out, "test", rows, n_bins=BINS)
    write_card(out, planets.wavelengths_um("2025"), "Simulated.", {})
    return out


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("curves") / "light-curves", with_spectra=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(tmp_path_factory.mktemp("models") / "start")
    start = ArielForSpectrumPrediction.from_pretrained(folder)
    start.physics.set_spectrum_prior(learned_prior(SimulatedSpectra("2024").draw(200, 0), None))
    start.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapted(curves: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted") / "model"
    adapt.main(AdaptOptions(str(curves), out, str(model), workers=1))
    return out


def test_telescope_populations_and_prior_are_learned_and_the_network_stays(adapted: Path, model: Path) -> None:
    before, after = (ArielForSpectrumPrediction.from_pretrained(folder) for folder in (model, adapted))
    assert before.config.telescope is None
    telescope = Telescope.from_dict(after.config.telescope)
    assert after.physics.fit_settings.telescope == telescope
    assert telescope.table_scale != 1.0
    assert before.physics.population(True) is None
    assert after.physics.population(True) is not None
    assert after.physics.population(False) is None
    assert not torch.equal(before.physics.prior_weights, after.physics.prior_weights)
    assert float(after.physics.prior_weights.sum()) == pytest.approx(1.0, abs=1e-6)
    weights = [dict(one.named_parameters()) for one in (before, after)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_record_says_from_what(adapted: Path) -> None:
    record = json.loads((adapted / RECORD).read_text())
    assert (record["fitted_visits"], record["fitted_planets"], record["split"]) == (VISITS, VISITS, "test")
    assert sum(record["status"].values()) == VISITS
    assert record["populations"] == {"with a star table": record["status"]["ok"]}
    run = json.loads((adapted / "run.json").read_text())
    assert (run["command"], run["status"]) == ("adapt", "done")
    assert run["metrics"]["telescope"] == record["telescope"]


def test_the_licence_is_that_of_the_curves_it_saw(curves: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    rows = [row | {"layout": "2025"} for row in simulated(2)]
    shards.write_rows(foreign, "test", rows, n_bins=BINS)
    write_card(foreign, planets.wavelengths_um("2025"), "Given.", {})
    for number, (dataset, licence) in enumerate(((curves, OWN), (foreign, CHALLENGE))):
        out = tmp_path / f"model{number}"
        adapt.main(AdaptOptions(str(dataset), out, limit=2, workers=1))
        assert licence_of(out) == licence


def test_true_spectra_make_no_difference(adapted: Path, model: Path, tmp_path: Path) -> None:
    unlabelled = write_dataset(tmp_path / "unlabelled", with_spectra=False)
    adapt.main(AdaptOptions(str(unlabelled), tmp_path / "model", str(model), workers=1))
    files = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "model", adapted)]
    assert files[0] == files[1]


def test_few_visits_leave_the_checkpoints_populations(curves: Path, model: Path, tmp_path: Path) -> None:
    adapt.main(AdaptOptions(str(curves), tmp_path / "model", str(model), visits=2, limit=2, workers=1))
    record = json.loads((tmp_path / "model" / RECORD).read_text())
    assert (record["fitted_visits"], record["populations"]) == (2, {})


def test_predict_adapts_first_and_uses_what_it_made(
    curves: Path, model: Path, adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = PredictOptions(str(curves), tmp_path / "p.csv", [str(model)], split="test", adapt=True, workers=1)
    predict.main(options)
    plain = PredictOptions(str(curves), tmp_path / "q.csv", [str(adapted)], split="test", workers=1)
    predict.main(plain)
    found, expected = (read_predictions(path) for path in (tmp_path / "p.csv", tmp_path / "q.csv"))
    np.testing.assert_array_equal(found.mu, expected.mu)
    with monkeypatch.context() as patch:
        patch.setattr("ariel_scripts.prediction.adaptation.learn", None)
        predict.main(options)  # what is there is used
    (tmp_path / "p.adapted" / RECORD).write_text('{"split": "train"}')
    with pytest.raises(ValueError, match="expected this model adapted to this split, found another"):
        predict.main(options)


def test_what_cannot_be_adapted_is_refused(curves: Path, model: Path, tmp_path: Path) -> None:
    used = tmp_path / "used"
    shutil.copytree(model, used)
    with pytest.raises(ValueError, match="expected a new folder, found one in use"):
        adapt.main(AdaptOptions(str(curves), used, str(model)))
    plain = save_model(tmp_path / "plain", physics="none")
    with pytest.raises(ValueError, match="expected a model with a fit"):
        adapt.main(AdaptOptions(str(curves), tmp_path / "out", str(plain)))
    with pytest.raises(ValueError, match="expected one model to adapt, found 2"):
        predict.main(
            PredictOptions(str(curves), tmp_path / "p.csv", [str(model), str(plain)], split="test", adapt=True)
        )
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_record_names_model_dataset_code_and_earlier_adaptations(
    adapted: Path, curves: Path, model: Path, tmp_path: Path
) -> None:
    record = json.loads((adapted / RECORD).read_text())
    assert record["of_model"] == {"name": str(model)}
    assert record["of_dataset"] == {"name": str(curves)}
    assert {"created", "git_commit", "versions"} <= set(record)
    with pytest.raises(ValueError, match="expected light curves it was not adapted to, found the same again"):
        adapt.main(AdaptOptions(str(curves), tmp_path / "again", str(adapted), workers=1))
    others = write_dataset(tmp_path / "others", with_spectra=False)
    adapt.main(AdaptOptions(str(others), tmp_path / "twice", str(adapted), limit=2, workers=1))
    assert json.loads((tmp_path / "twice" / RECORD).read_text())["before"] == record


def test_what_cannot_be_read_is_left_out_and_the_number_of_visits_does_not_depend_on_the_batch(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = simulated(4)
    rows[1]["valid"] = np.zeros_like(rows[1]["valid"])
    shards.write_rows(tmp_path / "curves", "test", rows, n_bins=BINS)
    write_card(tmp_path / "curves", planets.wavelengths_um("2025"), "Simulated.", {})
    adapt.main(AdaptOptions(str(tmp_path / "curves"), tmp_path / "all", str(model), workers=1))
    assert json.loads((tmp_path / "all" / RECORD).read_text())["fitted_visits"] == 3
    assert f"planet {rows[1]['planet_id']}: left out" in caplog.text
    adapt.main(AdaptOptions(str(tmp_path / "curves"), tmp_path / "one", str(model), visits=1, workers=1))
    assert json.loads((tmp_path / "one" / RECORD).read_text())["fitted_visits"] == 1


def test_a_calibration_of_another_sigma_goes(model: Path, curves: Path, tmp_path: Path) -> None:
    start = ArielForSpectrumPrediction.from_pretrained(model)
    start.calibration.scale.fill_(0.7)
    shutil.copytree(model, tmp_path / "calibrated")
    start.save_pretrained(tmp_path / "calibrated")
    adapt.main(AdaptOptions(str(curves), tmp_path / "out", str(tmp_path / "calibrated"), limit=1, workers=1))
    found = ArielForSpectrumPrediction.from_pretrained(tmp_path / "out").calibration
    assert bool((found.scale == 1.0).all())


def test_a_checkpoint_without_its_config_or_with_half_its_weights_is_refused(
    model: Path, curves: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "model.safetensors"):
        folder = tmp_path / name
        shutil.copytree(model, folder)
        content = (folder / name).read_bytes()
        (folder / name).unlink() if name == "config.json" else (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{folder}: expected (a checkpoint|config\.json)"):
            adapt.main(AdaptOptions(str(curves), tmp_path / "out", str(folder), workers=1))
        with pytest.raises(ValueError, match=rf"{folder}: expected (a checkpoint|config\.json)"):
            predict.main(PredictOptions(str(curves), tmp_path / "p.parquet", [str(folder)], split="test", workers=1))


def test_an_adapted_model_that_was_changed_is_not_used_again(curves: Path, model: Path, tmp_path: Path) -> None:
    chosen = PredictOptions(
        str(curves), tmp_path / "p.parquet", [str(model)], split="test", adapt=True, limit=2, workers=1
    )
    predict.main(chosen)
    config = tmp_path / "p.adapted/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prior_surprise": 0.4}))
    with pytest.raises(ValueError, match="expected the model as it was adapted, found it changed"):
        predict.main(chosen)


def test_rows_that_the_card_misses_are_not_lost_in_silence(curves: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(curves, tmp_path / "curves")
    for shard in (tmp_path / "curves/data").glob("*.parquet"):
        shard.unlink()
    shards.write_rows(tmp_path / "curves", "test", simulated(3), n_bins=BINS)
    with pytest.raises(ValueError, match=f"split 'test': expected the {VISITS} rows that its card states, found 3"):
        adapt.main(AdaptOptions(str(tmp_path / "curves"), tmp_path / "out", str(model), workers=1))
