"""Datasets and models opened without a Hub: copies that lack files or wavelengths, revisions of nothing."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import POPULATION

from ariel_scripts.opening import hub
from ariel_scripts.opening.cache import check_complete
from ariel_scripts.opening.datasets import count_visits, open_curves, wavelengths_of
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.training import run_setup
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card


def test_a_copy_is_whole_only_where_names_of_shards_or_a_card_say_so(tmp_path: Path) -> None:
    rows = list(light_curves.simulate_rows(POPULATION, visits=1, n_bins=8, seed=1))
    (shard,) = shards.write_rows(tmp_path / "a", "train", rows, 8)
    write_card(tmp_path / "a", planets.wavelengths_um("2024"), "Simulated.", {})
    check_complete(tmp_path / "a", "it")
    card = tmp_path / "a/README.md"
    text = card.read_text()
    card.write_text(text.replace("num_examples: 7", "num_examples: 8"))
    with pytest.raises(ValueError, match="found 7 of the 8 rows of split train; fetch it where"):
        check_complete(tmp_path / "a", "it")
    card.write_text(text)
    unnumbered = shard.rename(shard.with_name("train.parquet"))
    with pytest.raises(ValueError, match=r"found no file of split train \(data/light_curves/train-\*"):
        check_complete(tmp_path / "a", "it")
    card.unlink()  # the sample's shard is there and whole
    with pytest.raises(ValueError, match=r"found no README.md; fetch it where"):
        check_complete(tmp_path / "a", "it")
    card.write_text("Light curves.")
    shutil.rmtree(tmp_path / "a/data/sample")
    with pytest.raises(ValueError, match="neither numbered shards nor a card with the rows of its splits"):
        check_complete(tmp_path / "a", "it")
    unnumbered.rename(shard.with_name("train-00001-of-00003.parquet"))
    with pytest.raises(ValueError, match=r"found no .*train-00000-of-00003.parquet, no .*train-00002-of-00003.parquet"):
        check_complete(tmp_path / "a", "it")


def test_a_dataset_with_a_visit_twice_is_refused(tmp_path: Path) -> None:
    rows = list(light_curves.simulate_rows(POPULATION, visits=1, n_bins=8, seed=1))
    shards.write_rows(tmp_path, "train", rows, 8)
    write_card(tmp_path, planets.wavelengths_um("2024"), "Simulated.", {})
    assert set(count_visits(str(tmp_path), "train", None).values()) == {1}
    assert len(open_curves(str(tmp_path), "train")) == len(rows)
    (tmp_path / "README.md").unlink()  # so data/ and sample/ are one configuration
    message = rf"{tmp_path}: planet {rows[0]['planet_id']}: expected each visit once, found visit 0 twice"
    for open_ in (lambda: count_visits(str(tmp_path), "train", 1), lambda: open_curves(str(tmp_path), "train")):
        with pytest.raises(ValueError, match=message):
            open_()


def test_wavelengths_that_a_dataset_does_not_give_are_those_of_the_layout_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for layout, axis in (("2024", "2024"), ("given", "2024"), ("2025", "2025"), ("simulated", "2025")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert np.array_equal(wavelengths_of(str(tmp_path), layout), planets.wavelengths_um(axis))
        assert f"no dataset.json: the wavelengths of the challenge of {axis} are taken" in caplog.text


def test_a_revision_of_a_folder_or_of_nothing_is_an_error(tmp_path: Path) -> None:
    for wanted, said in (
        (PretrainOptions(simulate=0, dataset_revision="v1"), "--dataset-revision v1: expected a dataset"),
        (PretrainOptions(simulate=0, revision="v1"), "--revision v1: expected a model"),
    ):
        with pytest.raises(ValueError, match=f"{said} on the Hub, found none given"):
            run_setup.locate(wanted)
    with pytest.raises(ValueError, match=r"--dataset-revision v1: expected a dataset on the Hub, found the folder"):
        hub.locate_dataset(str(tmp_path), "v1")
    with pytest.raises(ValueError, match=r"--revision v1: expected a model on the Hub, found the folder"):
        hub.locate_model("released", "v1")
