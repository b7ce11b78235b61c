"""Shards and the dataset card: what `datasets`, pandas and the Hub find in a dataset folder."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from datasets.exceptions import NonMatchingSplitsSizesError
from fake_folder import WAVELENGTHS, make_row
from huggingface_hub import DatasetCard
from upath import UPath

from hf_dataset import schema
from hf_dataset.store import shards
from hf_dataset.store.card import read_wavelengths, write_card
from hf_dataset.store.shards import ShardWriter, find_shards, write_rows
from modeling_ariel import scoring

BINS = 12


def rows(planets: range, layout: str = "simulated") -> list[dict[str, Any]]:
    return [make_row(planet, 0, BINS, layout) for planet in planets]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of seven training rows in three shards and two test rows."""
    out = tmp_path / "light curves"
    write_rows(out, "train", rows(range(1, 8)), BINS, rows_per_shard=3)
    write_rows(out, "test", rows(range(20, 22)), BINS)
    write_card(out, WAVELENGTHS, made="Invented.", provenance={"seed": 7})
    return out


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every column bit by bit."""
    assert list(found) == [column.name for column in schema.COLUMNS]
    for name, value in expected.items():
        if value is None or isinstance(value, str):
            assert found[name] == value, name
        else:
            np.testing.assert_array_equal(np.asarray(found[name], np.asarray(value).dtype), value, err_msg=name)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", [None, "numpy", "torch"])
def test_load_dataset_gives_back_every_column_exactly(
    folder: Path, tmp_path: Path, streaming: bool, form: str | None
) -> None:
    dataset = load_dataset(str(folder), split="train", streaming=streaming, cache_dir=str(tmp_path / "cache"))
    found = list(dataset.with_format(form))
    assert len(found) == 7
    for row, expected in zip(found, rows(range(1, 8)), strict=True):
        check_same(row, expected)


def test_torch_rows_are_tensors_of_the_documented_shapes(folder: Path, tmp_path: Path) -> None:
    row = load_dataset(str(folder), split="test", cache_dir=str(tmp_path)).with_format("torch")[1]
    assert {name: (str(row[name].dtype), tuple(row[name].shape)) for name in ("time", "flux", "valid", "centroid")} == {
        "time": ("torch.float32", (BINS,)),
        "flux": ("torch.float32", (BINS, 283)),
        "valid": ("torch.bool", (BINS, 283)),
        "centroid": ("torch.float32", (BINS, 4)),
    }
    assert tuple(row["spectrum"].shape) == (283,)


def test_load_dataset_notices_missing_rows(folder: Path, tmp_path: Path) -> None:
    find_shards(folder)["train"][1].unlink()
    with pytest.raises(NonMatchingSplitsSizesError):
        load_dataset(str(folder), cache_dir=str(tmp_path))


def test_pandas_reads_the_shards_as_the_card_says(folder: Path) -> None:
    table = pd.read_parquet(folder / "data/light_curves", columns=["planet_id", "flux"])
    np.testing.assert_array_equal(np.stack(table["flux"].iloc[0]), make_row(table["planet_id"][0], 0, BINS)["flux"])


def test_a_shard_by_itself_carries_the_features(folder: Path, tmp_path: Path) -> None:
    path = find_shards(folder)["test"][0]
    dataset = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path))
    assert dataset.features == schema.features(BINS)


def test_the_card_parses_and_counts_what_is_there(folder: Path) -> None:
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    counts = {
        info["config_name"]: {split["name"]: split["num_examples"] for split in info["splits"]}
        for info in card.data.dataset_info
    }
    assert counts == {"light_curves": {"train": 7, "test": 2}, "sample": {"train": 7}}
    for info in card.data.dataset_info:
        assert [feature["name"] for feature in info["features"]] == [column.name for column in schema.COLUMNS]
    curves, sample = card.data.configs
    assert [entry["split"] for entry in curves["data_files"]] == ["train", "test"]
    assert (curves["config_name"], curves["default"], sample["config_name"]) == ("light_curves", True, "sample")
    assert "| `light_curves` | train | 7 | 7 | 6 | 3 |" in card.text  # planet 5 has no true spectrum
    assert "Invented." in card.text
    assert '"seed": 7' in card.text


def test_the_card_explains_every_column_and_gives_every_wavelength(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    for column in schema.COLUMNS:
        assert f"| `{column.name}` | {column.dtype} |" in text
    np.testing.assert_allclose(read_wavelengths(folder), WAVELENGTHS, atol=1e-7)


@pytest.mark.parametrize("layout", ["2024", "2025", "given"])
def test_one_row_of_the_challenge_gives_the_whole_dataset_its_licence(tmp_path: Path, layout: str) -> None:
    """Wherever it is: here in the last shard of the last split."""
    write_rows(tmp_path, "train", rows(range(1, 8)), BINS, rows_per_shard=3)
    write_rows(tmp_path, "test", [*rows(range(20, 23)), make_row(23, 0, BINS, layout)], BINS, rows_per_shard=2)
    card = DatasetCard.load(write_card(tmp_path, WAVELENGTHS))
    assert card.data.license == "cc-by-nc-4.0"
    assert "CC BY-NC 4.0" in card.text
    assert ("simulated for spectra from elsewhere" in card.text) == (layout == "given")
    licence = json.loads((tmp_path / "croissant.json").read_text())["license"]
    assert licence == "https://creativecommons.org/licenses/by-nc/4.0/"


def test_a_split_of_an_unknown_name_is_refused(folder: Path) -> None:
    (folder / "data/light_curves/dev-00000-of-00001.parquet").write_bytes(find_shards(folder)["test"][0].read_bytes())
    with pytest.raises(ValueError, match="expected the splits train, validation, test, unlike, found dev"):
        write_card(folder, WAVELENGTHS)


def test_the_card_states_the_scores_as_they_are_computed(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    mean, sigma = scoring.REFERENCE_2024
    assert f"mean {mean} and σ {sigma}" in text
    assert f"weight {scoring.FGS1_WEIGHT_2025} on channel 0" in text
    ideal = 1e6 * np.array([scoring.IDEAL_SIGMA_FGS1_2025, scoring.IDEAL_SIGMA_AIRS_2025])
    assert (
        "| ideal | μ = y, σ {:g} ppm | μ = y, σ {:g} ppm for FGS1, {:g} ppm for AIRS-CH0 |".format(
            1e6 * scoring.IDEAL_SIGMA_2024, *ideal
        )
        in text
    )
    assert f"σ is at least {scoring.SIGMA_FLOOR}" in text


@pytest.mark.parametrize("streaming", [False, True])
def test_the_sample_is_a_configuration_of_its_own(folder: Path, tmp_path: Path, streaming: bool) -> None:
    dataset = load_dataset(str(folder), "sample", split="train", streaming=streaming, cache_dir=str(tmp_path / "cache"))
    found = list(dataset.with_format("numpy"))
    assert len(found) == 7
    for row, expected in zip(found, rows(range(1, 8)), strict=True):
        check_same(row, expected)


def test_the_sample_has_all_visits_of_the_first_planets_wherever_they_are(tmp_path: Path) -> None:
    visits = [(planet, 0) for planet in range(1, 12)] + [(2, 1), (11, 1), (8, 1)]
    write_rows(
        tmp_path, "validation", [make_row(*visit, BINS, "simulated") for visit in visits], BINS, rows_per_shard=3
    )
    write_rows(tmp_path, "test", rows(range(20, 22)), BINS)
    write_card(tmp_path, WAVELENGTHS)
    path = tmp_path / "data/sample/validation-00000-of-00001.parquet"
    table = pq.read_table(path, columns=["planet_id", "visit"])
    found = list(zip(table["planet_id"].to_pylist(), table["visit"].to_pylist(), strict=True))
    assert found == [*((planet, 0) for planet in range(1, 9)), (2, 1), (8, 1)]


def test_a_sample_of_another_split_is_replaced_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / name, "test", rows(range(20, 24)), BINS)
        write_card(tmp_path / name, WAVELENGTHS, made="x")
    assert [path.name for path in (tmp_path / "a/data/sample").iterdir()] == ["test-00000-of-00001.parquet"]
    write_rows(tmp_path / "a", "train", rows(range(1, 4)), BINS)
    write_card(tmp_path / "a", WAVELENGTHS)
    assert [path.name for path in (tmp_path / "a/data/sample").iterdir()] == ["train-00000-of-00001.parquet"]
    for path in find_shards(tmp_path / "a")["train"]:
        path.unlink()
    write_card(tmp_path / "a", WAVELENGTHS, made="x")
    for path in (path for path in (tmp_path / "b").rglob("*") if path.is_file() and path.suffix != ".md"):
        assert path.read_bytes() == (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes(), path


def test_a_dataset_at_a_url_has_the_same_card_sample_and_description(folder: Path) -> None:
    url = UPath(f"memory://publish-{uuid.uuid4().hex}/light curves")
    for path in (folder / "data/light_curves").iterdir():
        target = url / "data/light_curves" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    write_card(url, WAVELENGTHS, made="Invented.", provenance={"seed": 7})
    for name in ("README.md", "dataset.json", "croissant.json", "data/sample/train-00000-of-00001.parquet"):
        assert (url / name).read_bytes() == (folder / name).read_bytes(), name


# --- Croissant -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ["light_curves", "sample"])
def test_mlcroissant_reads_every_record_as_the_shards_have_it(folder: Path, config: str) -> None:
    reader = (  # a process of its own: pandas reads other types where `datasets` is imported
        "import json, mlcroissant, pickle, sys\n"
        "from mlcroissant._src.core.rdf import make_context\n"
        "dataset = mlcroissant.Dataset(sys.argv[1])\n"
        "issues = dataset.metadata.ctx.issues\n"
        "assert not issues.errors\n"
        "assert [warning.split('Property ')[1] for warning in issues.warnings] == [\n"
        "    '\"https://schema.org/datePublished\" is recommended, but does not exist.']\n"
        "context = json.load(open(sys.argv[1]))['@context']\n"
        "assert context == make_context(dataset.metadata.ctx), 'not the context of 1.1'\n"
        "pickle.dump(list(dataset.records(sys.argv[2])), sys.stdout.buffer)"
    )
    command = [sys.executable, "-c", reader, str(folder / "croissant.json"), config]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Could not match" not in done.stderr
    records = pickle.loads(done.stdout)
    found = {record[f"{config}/planet_id"]: record for record in records}
    expected = {"train": rows(range(1, 8)), "test": rows(range(20, 22)) if config == "light_curves" else []}
    assert len(found) == sum(map(len, expected.values()))
    for split, its_rows in expected.items():
        for row in its_rows:
            record = found[row["planet_id"]]
            assert record.pop(f"{config}/split").decode() == split
            assert [name.rpartition("/")[2] for name in record] == [column.name for column in schema.COLUMNS]
            for name, value in row.items():
                given = record[f"{config}/{name}"]
                if isinstance(value, str):
                    assert given.decode() == value
                elif value is None:
                    assert given is None
                else:
                    np.testing.assert_array_equal(np.asarray(given), value, err_msg=name)


def test_the_description_for_machines_has_types_shapes_units_and_wavelengths(folder: Path) -> None:
    content = json.loads((folder / "croissant.json").read_text())
    sets = {entry["@id"]: entry for entry in content["recordSet"]}
    assert [*sets] == ["splits", "channels", "light_curves", "sample"]
    fields = {field["name"]: field for field in sets["sample"]["field"]}
    for column in schema.COLUMNS:
        field = fields[column.name]
        shape = schema.shape_of(column, BINS)
        assert field.get("arrayShape") == (",".join(map(str, shape)) if shape else None)
        assert column.meaning in field["description"]
        assert f"Unit: {column.unit}." in field["description"] or not column.unit
    for config in ("light_curves", "sample"):
        [split] = [field for field in sets[config]["field"] if field["name"] == "split"]
        assert split["references"] == {"field": {"@id": "splits/name"}}
    assert [row["splits/url"] for row in sets["splits"]["data"]] == [
        "cr:TrainingSplit",
        "cr:ValidationSplit",
        "cr:TestSplit",
        "cr:TrainingSplit",  # unlike
    ]
    assert content["version"] == importlib.metadata.version("ariel-hf")
    assert "url" not in content
    wavelengths = [record["channels/wavelength"] for record in sets["channels"]["data"]]
    np.testing.assert_allclose(wavelengths, WAVELENGTHS, atol=1e-7)
    assert content["citeAs"].startswith("@inproceedings{yip2024ariel")
    assert content["license"] == "https://www.apache.org/licenses/LICENSE-2.0"


def test_the_citations_are_balanced_bibtex(folder: Path) -> None:
    text = re.search(r"```bibtex\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    assert text.count("@") == 3
    assert text.count("{") == text.count("}")


def test_a_card_without_rows_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path, "train", [], BINS)
    with pytest.raises(ValueError, match="expected Parquet shards with rows, found none"):
        write_card(tmp_path, WAVELENGTHS)


def test_writing_a_split_again_replaces_it_and_leaves_the_others(folder: Path) -> None:
    test_before = [path.read_bytes() for path in find_shards(folder)["test"]]
    write_rows(folder, "train", rows(range(30, 32)), BINS)
    found = find_shards(folder)
    assert [path.name for path in found["train"]] == ["train-00000-of-00001.parquet"]
    assert pq.read_table(found["train"][0], columns=["planet_id"])["planet_id"].to_pylist() == [30, 31]
    assert [path.read_bytes() for path in found["test"]] == test_before


def test_a_failing_iterator_leaves_the_earlier_split_as_it_was(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def failing() -> Iterator[dict[str, Any]]:
        yield from rows(range(40, 44))
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        write_rows(folder, "train", failing(), BINS, rows_per_shard=2)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_row_that_breaks_the_schema_is_refused_and_no_shard_is_left(tmp_path: Path) -> None:
    bad = make_row(3, 1, BINS)
    bad["flux"] = bad["flux"].astype(np.float64)
    with pytest.raises(ValueError, match="planet 3 visit 1: flux: expected float32, found float64"):
        write_rows(tmp_path, "train", [make_row(1, 0, BINS), bad], BINS)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_row_groups_are_bounded_and_rows_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "GROUP_BYTES", 3 * BINS * (9 * 283 + 20))
    path = tmp_path / "train-00000-of-00001.parquet"
    with ShardWriter(path, BINS) as writer:
        for row in rows(range(1, 9)):
            writer.write(row)
    footer = pq.read_metadata(path)
    assert [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] == [3, 3, 2]
    assert pq.read_table(path, columns=["planet_id"])["planet_id"].to_pylist() == list(range(1, 9))


def test_a_full_row_group_is_far_below_the_hub_viewers_limit() -> None:
    for n_bins in (20, 375, 5625):
        row_bytes = n_bins * (9 * 283 + 20)
        assert shards.rows_per_group(n_bins) * row_bytes <= max(16 << 20, row_bytes) < 286 << 20
