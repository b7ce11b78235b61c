"""The benchmark of molecules that were held out (bench/molecules.py): whom it judges by what, and that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import molecules
import numpy as np
import pytest

from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel.predictions import Predictions, write_predictions

REFERENCE = 0.002, 0.001


def test_planets_are_those_in_which_the_molecule_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = molecules.planets_that_show("CH4", 20, 30.0)
    assert len({planet.planet_id for planet in shown}) == 20
    assert {planet.layout for planet in shown} == {"2024", "2025"}
    inside = molecules.band_of("CH4")
    beside = (wavelengths_um() > 3.6) & (wavelengths_um() < 3.9)
    assert all(planet.spectrum[inside].max() > planet.spectrum[beside].mean() for planet in shown)
    monkeypatch.setattr(molecules, "_MOST_DRAWN", 1000)
    with pytest.raises(ValueError, match="moves by 30 ppm, found 0 of 1000"):
        molecules.planets_that_show("NH3", 1, 30.0)


def test_errors_in_the_molecules_band_show_there_alone(tmp_path: Path) -> None:
    """A mean 1 sigma low in the band: a bias of -1 there, all else as it should be."""
    rng = np.random.default_rng(0)
    sigma = np.full((200, 283), 2e-5)
    truth = 0.01 + 1e-3 * rng.standard_normal((200, 1)) + np.zeros((200, 283))
    mean = truth + sigma * rng.standard_normal(truth.shape)
    inside = molecules.band_of("H2O")
    mean[:, inside] -= 2e-5
    states = ["ok"] * 150 + ["doubtful"] * 50
    write_predictions(
        tmp_path / "found.parquet",
        Predictions(np.arange(200), mean.astype(np.float32), sigma.astype(np.float32), {"status": states}),
    )
    row = molecules.scores(tmp_path / "found.parquet", dict(enumerate(truth)), inside, REFERENCE)
    assert row["band_bias_sigma"] == pytest.approx(-1.0, abs=0.05)
    assert row["band_bias_error"] == pytest.approx(1 / np.sqrt(200 * inside.sum()), rel=0.2)
    assert row["band_coverage_90"] == pytest.approx(0.735, abs=0.02)  # of a normal distribution moved by 1 sigma
    share = inside.mean()
    assert row["coverage_90"] == pytest.approx(0.9 * (1 - share) + 0.735 * share, abs=0.01)
    assert row["z_spread"] == pytest.approx(np.sqrt(1 + share), rel=0.02)
    assert row["ok"] == 0.75


def test_parts_that_were_made_otherwise_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "molecules/settings.json"
    molecules.keep_settings(path, molecules.QUICK)
    molecules.keep_settings(path, molecules.QUICK)
    with pytest.raises(ValueError, match="choose another --out or delete it"):
        molecules.keep_settings(path, molecules.Sizes(800, 120, (10, 50, 400), 2000, 30.0))


@pytest.mark.slow
def test_every_row_is_made_and_made_once(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, repository / "bench/molecules.py", "--quick", "--molecule", "CH4", "--out", tmp_path]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = json.loads((tmp_path / "quick/molecules.json").read_text())["rows"]["CH4"]
    assert list(rows) == [
        "classical",
        "trained without it",
        "adapted, no labels",
        "fine-tuned, 4 labels",
        "trained with all molecules",
    ]
    assert all(np.isfinite(list(row.values())).all() for row in rows.values())
    assert "$ ariel finetune" in first
    assert "$ ariel" not in again
    trained = json.loads((tmp_path / "quick/molecules/CH4/model/model/training.json").read_text())["config"]
    assert trained["without"] == ["CH4"]
    assert trained["model"] is None
