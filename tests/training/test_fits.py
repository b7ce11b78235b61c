"""Classical fits as columns of a dataset: what they hold, that they are made once, what a moved curve is worth."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from ariel_scripts.training import fits
from ariel_scripts.training.augmentation import move_depth
from ariel_scripts.training.planets import read_planets
from hf_dataset.schema import features
from hf_dataset.simulation import light_curves
from hf_dataset.simulation import planets as population
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.retrieval import fit

BINS = 125
WAVELENGTH = population.wavelengths_um("2024")


@pytest.fixture(scope="module")
def curves() -> Dataset:
    """Two planets with a transit, and one without."""
    rows = [
        light_curves.simulate_row(planet, n_bins=BINS, seed=3) for planet in population.sample_planets(3, 5, "2024")
    ]
    rng = np.random.default_rng(0)
    rows[2]["flux"] = (rows[2]["flux"][:1] + rows[2]["flux_err"] * rng.standard_normal((BINS, 283))).astype(np.float32)
    return Dataset.from_list(rows, features=features(BINS))


@pytest.fixture(scope="module")
def table(curves: Dataset) -> Any:
    return fits.fitted(curves, WAVELENGTH, piece=2)


def test_a_fit_has_its_depths_and_a_failed_one_its_status(curves: Dataset, table: Any) -> None:
    assert table["fit_status"][:] == ["ok", "ok", "no_transit"]
    row = table.with_format("numpy")[0]
    z = (row["fit_depth"] - row["spectrum"]) / np.sqrt(np.diagonal(row["fit_covariance"]))
    assert np.abs(z).mean() < 3.0
    assert row["fit_residual"].std() == pytest.approx(1.0, abs=0.05)
    assert set(curves.column_names) < set(table.column_names)


def test_failed_fits_are_named(curves: Dataset, table: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fits._warn_of_failures(table)
    assert f"planets {curves[2]['planet_id']} visit 0 (no_transit)" in caplog.text


def test_fits_are_not_made_twice(curves: Dataset, table: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cache is that of files; a dataset in memory is fitted again, one on disk is not."""
    from datasets import load_from_disk

    curves.select([0]).save_to_disk(tmp_path / "curves")
    first = fits.fitted(load_from_disk(tmp_path / "curves"), WAVELENGTH)

    def never(*arguments: object) -> None:
        raise AssertionError("a fit was made again")

    monkeypatch.setattr(fits, "fit", never)
    again = fits.fitted(load_from_disk(tmp_path / "curves"), WAVELENGTH)
    assert again["fit_depth"][:] == first["fit_depth"][:]


def test_the_transits_shape_is_that_of_the_simulated_one(curves: Dataset, table: Any) -> None:
    planet = population.sample_planets(3, 5, "2024")[0]
    _, truth = light_curves.simulate_with_truth(planet, n_bins=BINS, seed=3)
    found = table.with_format("numpy")[0]["fit_transit"]
    expected = (1 - truth.transit) / planet.spectrum
    assert np.abs(found - expected).mean() < 0.01
    assert np.abs(found - expected).max() < 0.15  # ingress, by the error of its time


def test_the_fit_of_a_moved_light_curve_gives_the_depths_it_was_moved_to(curves: Dataset, table: Any) -> None:
    row, planet = table.with_format("numpy")[0], table.with_format("numpy")[1]
    old = row["fit_depth"]
    new = old + (planet["spectrum"] - planet["spectrum"].mean()) + 1e-4
    flux = move_depth(row["flux"].astype(np.float64), row["fit_transit"].astype(np.float64), old, new)
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in ("time", "flux_err", "valid")}
    result = fit({**batch, "flux": torch.as_tensor(flux)[None]}, torch.as_tensor(WAVELENGTH))
    sigma = np.sqrt(np.diagonal(row["fit_covariance"]))
    assert np.abs((result.depth[0].numpy() - new) / sigma).max() < 0.3
    residual = (result.residual * result.weight.sqrt())[0].T.numpy()
    assert np.corrcoef(residual.ravel(), row["fit_residual"].ravel())[0, 1] > 0.98


def test_planets_are_read_as_the_feature_extractor_gives_them(table: Any) -> None:
    extractor = ArielFeatureExtractor(wavelength=[float(w) for w in WAVELENGTH])
    planets = read_planets(table, extractor)
    assert planets.labelled() == [0, 1]
    rows = [table.with_format("numpy")[i] for i in range(3)]
    expected = extractor([{name: row[name] for name in _CURVES} for row in rows], return_tensors="np")
    np.testing.assert_allclose(planets.curves.light.clip(-300, 300), expected["light_curve"], atol=0.07, rtol=1e-3)
    np.testing.assert_array_equal(planets.curves.star_features, expected["star_features"])
    np.testing.assert_allclose(planets.truths[0], rows[0]["spectrum"])


_CURVES = ("planet_id", "time", "flux", "flux_err", "valid", "centroid", "Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i")
