"""What a dataset card shows is what runs: its code word for word beside the folder and from a Hub, its data parsed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import warm_python
from code_blocks import Block, code_blocks
from fake_folder import WAVELENGTHS, make_row
from local_hub import LocalHub

from hf_dataset import splits
from hf_dataset.store.card import write_card
from hf_dataset.store.shards import write_rows

BINS, REPO = 10, "observer/curves"
VISITS = [(planet, visit) for planet in range(1, 11) for visit in range(2)]
IS_CHECKED = {"python", "sql", "json", "bibtex"}  # languages of blocks; what this file does with each is below


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `light curves` of ten planets with two visits to train on, and one to test."""
    out = tmp_path_factory.mktemp("card") / "light curves"
    write_rows(out, "train", (make_row(*visit, BINS, "2025") for visit in VISITS), BINS, rows_per_shard=8)
    write_rows(out, "test", [make_row(20, 0, BINS, "2025")], BINS)
    write_card(out, WAVELENGTHS, provenance={"seed": 7})
    return out


@pytest.fixture(scope="module")
def published(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, str]]:
    """A Hub that holds the dataset, and its card there."""
    with LocalHub() as hub:
        home = tmp_path_factory.mktemp("publisher")
        hub.run(["ariel", "push", "dataset", REPO, folder], home)
        code = f"from huggingface_hub import DatasetCard\nprint(DatasetCard.load({REPO!r}).content)"
        yield hub, hub.run(code, home).stdout


def blocks(text: str, language: str) -> list[Block]:
    return [block for block in code_blocks(text) if block.language == language]


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text()


def test_a_card_has_no_block_that_nothing_here_runs_or_parses(folder: Path, published: tuple[LocalHub, str]) -> None:
    for text in (card_of(folder), published[1]):
        assert {block.language for block in code_blocks(text)} == IS_CHECKED
        for library in ("datasets", "pandas", "polars"):
            assert [block for block in blocks(text, "python") if library in block.code], library


CHECKS = {  # what is true after a block of Python that has this in it
    "load_dataset": "assert flux.shape == (BINS, 283) and white.shape == (BINS,) and len(sample) == 16\n"
    "assert known == 16",
    "pandas": "assert flux.shape == (BINS, 283) and len(table) == 16",
    "polars": "assert stars.shape == (20, 4)",
    "fold_of": "print([fold_of(planet, 5, seed=3) for planet in range(100)])",
}


def with_checks(block: Block) -> str:
    [check] = [check for what, check in CHECKS.items() if what in block.code]
    return f"{block.code}\nBINS = {BINS}\n{check}"


@pytest.mark.parametrize("index", range(len(CHECKS)))
def test_python_runs_word_for_word_beside_the_folder(folder: Path, tmp_path: Path, index: int) -> None:
    found = blocks(card_of(folder), "python")
    assert len(found) == len(CHECKS)
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    done = warm_python.run(["-c", with_checks(found[index])], folder.parent, environment)
    assert done.returncode == 0, done.stderr
    if "fold_of" in found[index].code:
        assert json.loads(done.stdout) == [splits.fold_of(planet, 5, seed=3) for planet in range(100)]


@pytest.mark.parametrize("library", ["load_dataset", "pandas"])
def test_python_of_the_published_card_runs_word_for_word_against_the_hub(
    published: tuple[LocalHub, str], tmp_path: Path, library: str
) -> None:
    hub, text = published
    [block] = [block for block in blocks(text, "python") if library in block.code]
    assert REPO in block.code
    hub.run(with_checks(block), tmp_path, package=False)


def test_polars_of_the_published_card_reads_the_same_files(published: tuple[LocalHub, str], folder: Path) -> None:
    """Its own client for hf:// knows one Hub only, so here the folder stands in for the repository."""
    [block] = [block for block in blocks(published[1], "python") if "polars" in block.code]
    assert f"hf://datasets/{REPO}/data/" in block.code
    names: dict[str, Any] = {"BINS": BINS}
    exec(block.code.replace(f"hf://datasets/{REPO}", str(folder)), names)
    assert names["stars"].shape == (20, 4)


@pytest.mark.parametrize("on_the_hub", [False, True])
def test_sql_runs_in_duckdb(
    folder: Path, published: tuple[LocalHub, str], monkeypatch: pytest.MonkeyPatch, on_the_hub: bool
) -> None:
    """Word for word beside the folder; the published one with the folder for hf://, of which DuckDB knows one Hub."""
    [block] = blocks(published[1] if on_the_hub else card_of(folder), "sql")
    assert (f"hf://datasets/{REPO}/data/" in block.code) == on_the_hub
    monkeypatch.chdir(folder.parent)
    rows = duckdb.sql(block.code.replace(f"hf://datasets/{REPO}", str(folder))).fetchall()
    assert sorted((planet, visits) for planet, visits, _ in rows) == [(planet, 2) for planet in range(1, 11)]
    radius = {planet: star for planet, _, star in rows}
    assert radius[3] in {float(make_row(3, visit, BINS)["Rs"]) for visit in range(2)}


def test_json_blocks_parse_and_one_is_the_wavelengths(folder: Path, published: tuple[LocalHub, str]) -> None:
    for text in (card_of(folder), published[1]):
        contents = [json.loads(block.code) for block in blocks(text, "json")]
        assert {"seed": 7} in contents
        assert [round(float(value), 7) for value in WAVELENGTHS] in contents


def test_the_citations_are_entries_with_the_fields_that_they_need(folder: Path) -> None:
    [block] = blocks(card_of(folder), "bibtex")
    entries = re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}$", block.code, re.DOTALL | re.MULTILINE)
    assert [key for _, key, _ in entries] == ["yip2024ariel", "ariel2024kaggle", "ariel2025kaggle"]
    for kind, key, text in entries:
        fields = dict(re.findall(r"^  (\w+) += \{(.*)\},?$", text, re.MULTILINE))
        assert {"title", "author", "year"} < set(fields), key
        assert ("booktitle" if kind == "inproceedings" else "howpublished") in fields
        assert all(value.count("{") == value.count("}") for value in fields.values())
        assert len(fields) == text.count(" = ")
    assert block.code.count("@") == len(entries)


def test_everything_is_loaded_from_the_hub_whole_streaming_and_by_configuration(
    published: tuple[LocalHub, str], tmp_path: Path
) -> None:
    hub, _ = published
    code = f"""
from datasets import load_dataset, get_dataset_config_names

assert get_dataset_config_names({REPO!r}) == ["light_curves", "sample", "previews"]
whole = load_dataset({REPO!r})
assert {{name: len(rows) for name, rows in whole.items()}} == {{"train": 20, "test": 1}}
assert len(load_dataset({REPO!r}, "sample", split="train")) == 16
streamed = list(load_dataset({REPO!r}, split="train", streaming=True, revision="v1"))
assert [row["planet_id"] for row in streamed] == whole["train"]["planet_id"][:]
print(sum(sum(row["flux"][0]) for row in streamed))
"""
    printed = {hub.run(code, tmp_path, package=False).stdout for _ in range(2)}
    total = sum(float(make_row(*visit, BINS)["flux"][0].astype(float).sum()) for visit in VISITS)
    assert float(printed.pop()) == pytest.approx(total)
    assert not printed  # the second process, with the first one's cache, read the same
