"""Simulated raw folders: the challenge's layout, populations, observed redshifts, and the way back to the truth."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hf_dataset.transients import raw
from hf_dataset.transients.simulation import population, raw_folder
from hf_dataset.transients.simulation.survey import Survey

SETTINGS = raw_folder.Settings(24, 12, seed=5, survey=Survey(seasons=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("transients") / "raw"
    raw_folder.write_folder(out, SETTINGS, lambda count: None)
    return out


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_reader_finds_every_object_with_what_was_drawn_for_it(folder: Path) -> None:
    objects = raw.read_objects(folder)
    truths = {row["object_id"]: row for row in table(folder / raw_folder.TRUTH)}
    assert {split: len(rows) for split, rows in objects.rows.items()} == {"train": 24, "test": 12}
    assert not objects.findings.objects
    assert set(objects.findings.measurements) == {raw.NO_FLUX}
    for row in objects.rows["train"]:
        truth = truths[row["object_id"]]
        assert (row["spec_type"], row["target"]) == (truth["SpecType"], int(truth["target"]))
        assert row["redshift"] == pytest.approx(float(truth["Z"]), abs=1e-4)
        assert (row["layout"], row["redshift_err"]) == ("simulated", None)
    for row in objects.rows["test"]:
        truth = float(truths[row["object_id"]]["Z"])
        assert (row["spec_type"], row["target"]) == (None, None)
        assert row["redshift_err"] == pytest.approx(0.02 * (1 + truth), abs=1e-5)
        assert 0 < abs(row["redshift"] - truth) < 5 * row["redshift_err"]


def test_tables_have_the_columns_of_the_challenge(folder: Path, mallorn: Path) -> None:
    theirs = sorted(path.relative_to(mallorn) for path in mallorn.rglob("*.csv"))
    assert len(theirs) == 43
    for path in theirs:
        header = (folder / path).read_text().splitlines()[0]
        with (mallorn / path).open() as file:
            assert header == file.readline().rstrip("\n"), path


def test_the_same_seed_gives_the_same_bytes_and_another_others(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        settings = raw_folder.Settings(3, 1, seed, SETTINGS.survey)
        raw_folder.write_folder(tmp_path / name, settings, lambda count: None)
    tables = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(tables) == 45
    for path in tables:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "again" / path).read_bytes(), path
    first = [(tmp_path / name / "split_01/train_full_lightcurves.csv").read_bytes() for name in ("one", "other")]
    assert first[0] != first[1]
    with pytest.raises(ValueError, match="expected a new folder, found a raw one"):
        raw_folder.write_folder(folder, SETTINGS, lambda count: None)


def test_a_disruption_comes_back_with_its_temperature_and_decline() -> None:
    """Fluxes without noise are fitted by hand: the colour gives the temperature, the decline its law."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(12):
        visits = population.draw_visits(rng, Survey(seasons=3))
        flux, light, drawn = population.draw_disruption(rng, visits, 0.1)
        since = (visits.time - drawn["peak_mjd"]) / 1.1
        after = since > 0
        np.testing.assert_array_equal(flux, light)
        for band in "gz":
            own = after & (visits.band == band)
            if own.sum() > 3:
                slope = np.polyfit(np.log(1 + since[own] / drawn["fallback_d"]), np.log(flux[own]), 1)[0]
                assert slope == pytest.approx(-5 / 3, abs=1e-6)
                found += 1
    assert found > 5


def test_all_types_are_there_in_their_shares_and_a_disruption_always() -> None:
    rng = np.random.default_rng(0)
    assert Counter(population.draw_types(rng, 1)) == {"TDE": 1}
    types = Counter(population.draw_types(rng, 3_000))
    assert sum(types.values()) == 3_000
    for name, share in population.SHARES.items():
        assert types[name] == pytest.approx(3_000 * share, abs=3)


def test_noise_is_as_large_as_its_error_says() -> None:
    """An object's flux far from its event is noise alone."""
    rng = np.random.default_rng(4)
    pulls = []
    for _ in range(6):
        one = population.draw_transient(rng, "SN Ia", Survey(seasons=4))
        before = one.visits.time < one.parameters["explosion_mjd"]
        pulls += list(one.flux[before] / one.flux_err[before])
    assert len(pulls) > 100
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


def test_the_record_says_how_the_folder_was_made(folder: Path) -> None:
    record = json.loads((folder / raw.RECORD).read_text())
    assert record["settings"]["seed"] == 5
    assert len(record["objects"]) == 36
    assert sum(row["SpecType"] == "TDE" for row in table(folder / "train_log.csv")) >= 1
