"""The checkpoint that comes with the package: small, made of simulation alone, and better than what it starts from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_dataset.simulation import light_curves
from hf_dataset.simulation.planets import sample_planets
from modeling_ariel import ArielFeatureExtractor, ArielForSpectrumPrediction
from modeling_ariel.scoring import log_likelihood

PLANETS = 10  # of each layout: the gain of one planet scatters by 0.3 nat a channel


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "modeling_ariel/released"


@pytest.fixture(scope="module")
def answer(folder: Path) -> dict[str, np.ndarray]:
    """What it says of simulated planets that it has not seen."""
    planets = [*sample_planets(PLANETS, 4242, "2024"), *sample_planets(PLANETS, 4243, "2025")]
    inputs = ArielFeatureExtractor.from_pretrained(folder)(
        [light_curves.simulate_row(planet, seed=4242) for planet in planets]
    )
    inputs.pop("labels")
    with torch.no_grad():
        found = ArielForSpectrumPrediction.from_pretrained(folder).eval()(**inputs)
    names = ("mean", "sigma", "classical_mean", "classical_sigma")
    return {"truth": np.stack([p.spectrum for p in planets]), **{n: getattr(found, n).double().numpy() for n in names}}


def test_it_is_small_safe_and_carries_no_code(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_size < 12e6
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    assert not [path for path in folder.iterdir() if path.suffix in (".py", ".bin", ".pt", ".pkl")]


def test_its_records_name_no_machine_and_only_simulated_data(folder: Path) -> None:
    for path in folder.glob("*.json"):
        assert not re.search(r"/(home|work|root|tmp|Users)/", path.read_text()), path.name
    record = json.loads((folder / "training.json").read_text())
    assert record["data"]["source"] == "both"
    trained = {planet for group in ("train", "validation") for planet in record["planets"][group]}
    calibrated = set(json.loads((folder / "calibration.json").read_text())["planets"])
    assert trained
    assert calibrated
    assert not trained & calibrated


def test_none_of_its_planets_is_one_of_the_challenge(folder: Path, real: Path) -> None:
    record = json.loads((folder / "training.json").read_text())
    lines = (real / "challenge_2024/train_labels.csv").read_text().splitlines()[1:]
    known = {int(float(line.split(",")[0])) for line in lines}
    assert len(known) > 100
    assert not known & {planet for group in record["planets"].values() for planet in group}


def test_it_is_likelier_than_the_classical_posterior_it_starts_from(answer: dict[str, np.ndarray]) -> None:
    model = log_likelihood(answer["truth"], answer["mean"], answer["sigma"]).mean()
    classical = log_likelihood(answer["truth"], answer["classical_mean"], answer["classical_sigma"]).mean()
    assert model > classical


def test_its_errors_are_of_the_size_of_its_sigmas(answer: dict[str, np.ndarray]) -> None:
    z = (answer["mean"] - answer["truth"]) / answer["sigma"]
    assert 0.6 < np.sqrt((z**2).mean()) < 1.5
