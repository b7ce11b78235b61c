"""Datasets and models opened without a Hub: copies that lack files or wavelengths, revisions of nothing."""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import POPULATION

from ariel_scripts.opening import hub
from ariel_scripts.opening.cache import check_complete
from ariel_scripts.opening.datasets import count_visits, open_curves, read_truths, wavelengths_of
from ariel_scripts.opening.truths import load_truths, read_truth_csv
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
    for name in ("data/light_curves", "data/sample"):  # without a card, files of any folder are read together
        (tmp_path / name).rename(tmp_path / name.replace("data/", ""))
    (tmp_path / "README.md").unlink()
    message = rf"{tmp_path}: planet {rows[0]['planet_id']}: expected each visit once, found visit 0 twice"
    for open_ in (lambda: count_visits(str(tmp_path), "train", 1), lambda: open_curves(str(tmp_path), "train")):
        with pytest.raises(ValueError, match=message):
            open_()


@pytest.mark.parametrize("card", [None, "My curves."])
def test_a_folder_without_a_card_of_ours_is_read_without_its_sample(tmp_path: Path, card: str | None) -> None:
    rows = list(light_curves.simulate_rows(POPULATION, visits=1, n_bins=8, seed=1))
    shards.write_rows(tmp_path, "train", rows, 8)
    write_card(tmp_path, planets.wavelengths_um("2024"), "Simulated.", {})
    before = read_truths(str(tmp_path), "train")
    (tmp_path / "README.md").unlink()
    if card:
        (tmp_path / "README.md").write_text(card)
    assert count_visits(str(tmp_path), "train", None) == {row["planet_id"]: 1 for row in rows}
    assert [row["planet_id"] for row in open_curves(str(tmp_path), "train")] == [row["planet_id"] for row in rows]
    found = read_truths(str(tmp_path), "train")
    assert found.keys() == before.keys()
    assert all(np.array_equal(found[planet], before[planet]) for planet in found)


def test_a_path_that_is_no_dataset_folder_is_refused_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(hub, "_commit_at", ask)
    monkeypatch.chdir(tmp_path)
    for name in ("a.parquet", "a.csv", "a.zip"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "raw/train/7").mkdir(parents=True)
    (tmp_path / "raw/adc_info.csv").touch()
    for name, found in (
        ("a.parquet", "a file; light curves go into a folder, as data/light_curves/train-00000-of-00001.parquet"),
        ("a.csv", "a file$"),
        ("a.zip", "a packed file: unpack it"),
        ("empty", "an empty folder"),
        ("raw", r"a raw challenge folder: make the dataset of it first \(ariel build-dataset\)"),
        *((name, "nothing there") for name in ("./x", "../x", "/nowhere/x", "a/b/c", "x/y.parquet", "~/x", "x.json")),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: expected a dataset folder or a Hub id, found {found}"):
            hub.locate_dataset(name)
    for name, found in (("a.parquet", "a file$"), ("empty", "an empty folder"), ("./x", "nothing there")):
        with pytest.raises(ValueError, match=rf"^{name}: expected a model folder or a Hub id, found {found}"):
            hub.locate_model(name)


def test_a_folder_of_other_tables_is_refused_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hi")
    with pytest.raises(
        ValueError, match="split 'train': expected light curves, with the columns planet_id, visit, fou"
    ):
        count_visits(str(tmp_path), "train", None)


def test_a_split_without_truths_is_refused_with_those_that_have_some(tmp_path: Path) -> None:
    rows = list(light_curves.simulate_rows(POPULATION[:2], visits=1, n_bins=8, seed=1))
    shards.write_rows(tmp_path, "train", rows[:1], 8)
    shards.write_rows(tmp_path, "test", [{**rows[1], "spectrum": None}], 8)
    write_card(tmp_path, planets.wavelengths_um("2024"), "Simulated.", {})
    assert list(load_truths(str(tmp_path), "train")[0]) == [rows[0]["planet_id"]]
    with pytest.raises(ValueError, match=r"split 'test' has no true .*; splits that have: train \(--split\)"):
        load_truths(str(tmp_path), "test")


def test_a_table_of_truths_is_read_by_name_or_refused_by_file_and_planet(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    names = [f"wl_{channel + 1}" for channel in range(283)]
    values = [f"{0.01 + channel / 1e6:.6f}" for channel in range(283)]
    header, row = ",".join(["planet_id", *names]), ",".join(["7", *values])
    backwards = ",".join(["", *names[::-1], "planet_id"]) + "\r\n" + ",".join(["0", *values[::-1], " 7.0"]) + "\r\n"
    for text in (f"{header}\n{row}\n", f"\ufeff{header}\n{row}\n\n", backwards):
        path.write_bytes(text.encode())
        found = read_truth_csv(path)
        assert list(found) == [7]
        np.testing.assert_allclose(found[7], np.array(values, float), rtol=0)
    for content, message in (
        (f"{header}\n{row}\n".replace(",", ";"), "expected commas between columns, found semicolons"),
        (header, "expected spectra, found no rows"),
        (f"{header}\n{header}\n{row}", "expected whole numbers in planet_id, found 'planet_id'"),
        (
            f"{header}\n{row.replace('0.010000', '', 1)}",
            "planet 7: expected 283 finite wl_… from 0 to 1, found nan at wl_1",
        ),
        (f"{header}\n{row[:-9]}", "planet 7: expected 284 fields as in the header, found 283"),
        (f"{header}\n{row}\n{row[:-1]}9", "planet 7: expected one row, found 2 that differ"),
        (f"{header},sigma_1\n{row},0.1", "expected true spectra, found a submission"),
        (f"{header.title()}\n{row}", "expected a column planet_id, found Planet_Id, Wl_1"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"train.csv: {message}"):
            read_truth_csv(path)
    for packed, what in ((gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")):
        path.write_bytes(packed(header.encode()))
        with pytest.raises(ValueError, match=f"train.csv: expected a CSV table in UTF-8, found {what}: unpack it"):
            read_truth_csv(path)


def test_wavelengths_that_a_dataset_does_not_give_are_those_of_the_layout_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "curves.parquet").touch()
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
