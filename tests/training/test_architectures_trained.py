"""Every architecture through `ariel finetune`: folds, records, and what a checkpoint of it is opened as."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from architecture_scenes import FIRST, OTHERS, SMALL
from labelled_planets import planets
from training_scenes import one_fold

from ariel_scripts.opening.hub import locate_model
from ariel_scripts.opening.penalties import model_penalties, read_penalties
from ariel_scripts.training import finetuning
from modeling_ariel import ArielPipeline, DepthMix
from modeling_ariel.predictions import read_predictions


@pytest.mark.parametrize(
    ("name", "physics"),
    [
        pytest.param(name, physics, marks=() if name == FIRST else pytest.mark.slow)
        for name in OTHERS
        for physics in ("none", "residual")
    ],
)
def test_it_is_trained_in_folds_and_predicts_who_is_held_out(tmp_path: Path, name: str, physics: str) -> None:
    table = planets(30, two_visits=2)
    known = dict(zip(table.ids, table.truths, strict=True))
    settings = [f"{key}={value}" for key, value in SMALL[name].items()]
    one_fold(tmp_path, table, known, physics=physics, architecture=name, settings=settings)
    found = read_predictions(tmp_path / "predictions.parquet")
    assert len(found.planet_id) == 10
    assert np.isfinite(found.mu).all()
    model = ArielPipeline.from_pretrained(tmp_path / "model").model
    assert model.is_taught
    record = json.loads((tmp_path / "model/training.json").read_text())
    assert record["config"]["architecture"] == name
    assert json.loads((tmp_path / "model/config.json").read_text())["model_type"] == name
    again = finetuning._architecture(finetuning.FinetuneOptions(dataset="x"), locate_model(str(tmp_path / "model")))
    assert again.config_class.model_type == name


def test_a_new_model_is_prepared_by_the_spectra_it_is_trained_on_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, seen = planets(30), list[np.ndarray]()
    known = dict(zip(table.ids, table.truths, strict=True))
    monkeypatch.setattr(DepthMix, "prepare", lambda model, truths: seen.append(truths.numpy()))
    settings = [f"{key}={value}" for key, value in SMALL["gp_autoencoder_nmf"].items()]
    one_fold(tmp_path, table, known, architecture="gp_autoencoder_nmf", settings=settings)
    trained = json.loads((tmp_path / "model/training.json").read_text())["planets"]["train"]
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], [known[planet] for planet in trained])


def test_rules_of_physics_are_trained_by_and_travel_with_the_model(tmp_path: Path, repository: Path) -> None:
    table = planets(30)
    known = dict(zip(table.ids, table.truths, strict=True))
    path = tmp_path / "rules.yaml"
    path.write_text((repository / "configs/objective.yaml").read_text())
    one_fold(tmp_path / "run", table, known, penalties=path)
    expected = read_penalties(path)
    record = json.loads((tmp_path / "run/model/training.json").read_text())
    assert record["config"]["penalties"] == expected
    assert model_penalties(str(tmp_path / "run/model"), None) == expected
    path.write_text(path.read_text().replace("reweight: 0.0", "reweight: 1.0"))
    with pytest.raises(ValueError, match="found one with other settings"):
        one_fold(tmp_path / "run", table, known, penalties=path)
    path.write_text("rules: {smothness: {}}")
    with pytest.raises(ValueError, match=r"rules.yaml: penalties: rules: expected smoothness, .*found smothness"):
        one_fold(tmp_path / "other", table, known, penalties=path)


def test_sigma_is_trained_alone_and_is_what_the_next_stage_starts_from(tmp_path: Path) -> None:
    table = planets(30)
    known = dict(zip(table.ids, table.truths, strict=True))
    one_fold(tmp_path, table, known, freeze_mean=True, steps=8, learning_rate=0.02, evaluate_every=8)
    record = json.loads((tmp_path / "model/training.json").read_text())
    assert record["loop"]["weight_decay"] == 0.0
    first, last = record["classical on validation"], record["evaluation"]
    assert last["rmse_ppm"] == pytest.approx(first["rmse_ppm"], rel=1e-6)  # a new model's mean is the classical one
    if record["step"]:
        assert last["log_likelihood"] != pytest.approx(first["log_likelihood"], rel=1e-6)
