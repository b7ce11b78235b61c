"""Planets, atmospheres and telescopes unlike the population."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ariel_scripts.commands.simulate import draw_planets, main
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.options.simulate import SimulateOptions
from ariel_scripts.training.folds import SimulatedSpectra
from hf_dataset.simulation import light_curves, planets, unlike
from hf_dataset.store.contents import read_contents

WAVELENGTH = planets.wavelengths_um("2025")


def row_of(planet: planets.Planet) -> dict[str, object]:
    return light_curves.simulate_row(planet, n_bins=75, seed=3)


def test_other_atmospheres_keep_the_depth_and_are_of_many_kinds() -> None:
    usual = planets.spectra(400, 1)
    found = unlike.unlike_spectra(usual, WAVELENGTH, np.random.default_rng(0))
    assert (found > 0).all()
    np.testing.assert_allclose(np.median(found.mean(1) / usual.mean(1)), 1.0, atol=1e-3)
    size = found.std(1)
    assert size.max() > 300e-6
    assert size.min() < 3e-6
    about = [(x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-9) for x in (usual, found)]
    own = np.linalg.svd(about[0], full_matrices=False)[2][:8]
    left = [float(((x - x @ own.T @ own) ** 2).mean()) for x in about]
    assert left[1] > 3 * left[0]  # eight shapes of the population explain them less


@pytest.mark.parametrize("name", unlike.CHANGES)
def test_every_disturbance_changes_what_it_says(name: str) -> None:
    planet = planets.sample_planets(1, 4, "2025")[0]
    before, after = row_of(planet), row_of(planet)
    unlike.CHANGES[name](after, WAVELENGTH.copy(), np.random.default_rng(1))
    table = planet.star_table()
    changed = {key for key in before if not np.array_equal(before[key], after[key], equal_nan=key in table)}
    expected = {
        "stated errors": {"flux_err"},
        "gap": {"valid"},
        "wrong star table": {"sma", "i"},
        "no star table": set(table),
    }
    assert changed == expected.get(name, {"flux"})
    assert {key: np.asarray(value).dtype for key, value in before.items()} == {
        key: np.asarray(value).dtype for key, value in after.items()
    }


def test_unlike_planets_have_a_transit_within_the_window() -> None:
    for planet in planets.sample_layouts(60, 7, "both"):
        found = unlike.unlike_planet(planet, np.random.default_rng(planet.planet_id))
        assert found.b + found.k < 0.96
        assert found.duration < 5.6
        assert found.spectrum.mean() <= 0.0301


def test_a_dataset_with_a_split_of_them(tmp_path: Path) -> None:
    options = SimulateOptions(tmp_path / "out", planets=2, unlike_planets=3, bins=20, fast=True, seed=5)
    main(options)
    contents = read_contents(tmp_path / "out")
    assert {name: split.planets for name, split in contents.splits.items()} == {"train": 2, "unlike": 3}
    truth = pq.read_table(tmp_path / "out/simulation_truth.parquet").to_pylist()
    assert all(row["unlike"] == [] for row in truth if row["split"] == "train")
    assert any(row["unlike"] for row in truth if row["split"] == "unlike")
    alone = draw_planets(SimulateOptions(tmp_path, planets=2, bins=20, fast=True, seed=5))[0]["train"]
    assert [row["planet_id"] for row in truth if row["split"] == "train"] == [planet.planet_id for planet in alone]


def test_without_a_molecule_the_rest_of_a_planet_stays() -> None:
    pairs = zip(planets.sample_planets(40, 3), planets.sample_planets(40, 3, without=("CH4",)), strict=True)
    for usual, found in pairs:
        assert (usual.planet_id, usual.sma, usual.Mp) == (found.planet_id, found.sma, found.Mp)
    methane = np.abs(WAVELENGTH - 3.32) < 0.05
    own, without = (
        np.stack([p.spectrum for p in planets.sample_planets(200, 3, without=left)]) for left in ((), ("CH4",))
    )

    def band(x: np.ndarray) -> float:
        return float(((x[:, methane].mean(1) - x.mean(1)) / x.std(1)).mean())

    assert band(own) > 0.5 > band(without)
    with pytest.raises(ValueError, match="without: expected some of H2O, CO2, CH4, CO, NH3, found XE"):
        planets.spectra(2, 1, without=("XE",))


def test_simulated_spectra_hold_their_share_of_other_atmospheres() -> None:
    drawn = SimulatedSpectra("2024", unlike=0.25)
    np.testing.assert_array_equal(drawn.draw(40, 1), SimulatedSpectra("2024").draw(40, 1))
    changed = (drawn.draw(40, 1, with_unlike=True) != drawn.draw(40, 1)).any(1)
    assert changed.sum() == 10
    with pytest.raises(ValueError, match=r"unlike: expected a share of 0 to 1, found 1\.5"):
        SimulatedSpectra("2024", unlike=1.5)


def test_beside_needs_a_dataset() -> None:
    with pytest.raises(Exception, match="--beside names a split of a dataset"):
        FinetuneOptions(beside="unlike", simulate=3, physics="none")
