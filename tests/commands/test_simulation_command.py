"""`ariel simulate`: what it writes, its plan, its refusals."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from datasets import load_dataset
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands.simulate import main
from hf_dataset.raw import layouts
from hf_dataset.simulation.planets import ATMOSPHERE, sample_planets
from hf_dataset.store.record import read_record


def ariel(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_raw_folder_is_written_with_its_run_record(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    result = ariel(out, "--layout", "2024", "--planets", 1, "--test-planets", 1, "--frames", 20, "--seed", 3)
    assert result.exit_code == 0, result.output
    folder = layouts.open_folder(out)
    assert (folder.layout, folder.splits) == ("2024", ("train", "test"))
    visit = folder.visit("train", folder.planets("train")[0], 0)
    assert visit.read(layouts.AIRS, np.arange(2), np.arange(3)).shape == (20, 2, 3)
    record = json.loads((out / "run.json").read_text())
    assert (record["status"], record["seeds"]) == ("done", [3])


def test_fast_light_curves_open_with_load_dataset(tmp_path: Path) -> None:
    out = tmp_path / "curves"
    result = ariel(out, "--fast", "--planets", 3, "--test-planets", 1, "--visits", 2, "--bins", 40)
    assert result.exit_code == 0, result.output
    dataset = load_dataset(str(out), cache_dir=str(tmp_path / "cache")).with_format("numpy")
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 6, "test": 2}
    row = dataset["train"][0]
    truth = next(
        r
        for r in pq.read_table(out / "simulation_truth.parquet").to_pylist()
        if (r["planet_id"], r["visit"]) == (row["planet_id"], row["visit"])
    )
    np.testing.assert_allclose(row["spectrum"], truth["spectrum"], rtol=1e-6)
    assert row["flux"].shape == (40, 283)
    drawn = {planet.planet_id: planet.atmosphere for planet in sample_planets(4, 0)}[truth["planet_id"]]
    assert {name: truth[name] for name in ATMOSPHERE} == drawn


def test_the_card_of_fast_light_curves_says_how_to_make_them_again_and_what_they_lack(tmp_path: Path) -> None:
    out = tmp_path / "curves"
    result = ariel(out, "--fast", "--planets", 3, "--test-planets", 1, "--visits", 2, "--bins", 40, "--seed", 5)
    assert result.exit_code == 0, result.output
    text = (out / "README.md").read_text()
    said = read_record(out).provenance
    assert said["planets"] == {"train": 3, "test": 1}
    assert said["visits"] == 8
    assert said["code"]["ariel-hf"] == importlib.metadata.version("ariel-hf")
    assert "commit" in said["code"]
    limits = text.partition("## Known limits")[2]
    assert "organisers" not in limits
    assert "No detector frame was made" in limits
    name, *arguments = said["command"].replace("ariel simulate OUT", str(tmp_path / "again")).split()
    assert ariel(name, *arguments).exit_code == 0
    for path in (out / "data").rglob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes()


def test_both_populations_come_by_turns_with_noise_drawn_for_each_planet(tmp_path: Path) -> None:
    out = tmp_path / "curves"
    result = ariel(out, "--fast", "--layout", "both", "--planets", 6, "--fewest-frames", 100, "--bins", 40)
    assert result.exit_code == 0, result.output
    rows = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache")).with_format("numpy")
    assert [bool(np.isfinite(row["P"])) for row in rows] == [False, True] * 3  # 2025 alone has a star table
    assert len(set(rows["planet_id"])) == 6
    noise = [np.median(row["flux_err"] / np.sqrt(row["flux"])) for row in rows]
    assert max(noise) > 1.5 * min(noise)


def test_given_spectra_get_light_curves_of_their_own(tmp_path: Path) -> None:
    spectra = {11: np.full(283, 0.01), 12: np.linspace(0.002, 0.0025, 283)}
    header = ",".join(["planet_id", *(f"wl_{n}" for n in range(1, 284))])
    lines = [header, *(",".join([str(planet), *map(str, values)]) for planet, values in spectra.items())]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    result = ariel(tmp_path / "curves", "--fast", "--spectra", tmp_path / "labels.csv", "--bins", 40)
    assert result.exit_code == 0, result.output
    rows = load_dataset(str(tmp_path / "curves"), split="train", cache_dir=str(tmp_path / "cache"))
    for row in rows.with_format("numpy"):
        np.testing.assert_allclose(row["spectrum"], spectra[int(row["planet_id"])], rtol=1e-6)
        assert row["layout"] == "given"  # they may be the challenge's labels: never under the licence of simulations
    assert "license: cc-by-nc-4.0" in (tmp_path / "curves/README.md").read_text()
    truth = pq.read_table(tmp_path / "curves/simulation_truth.parquet").select(ATMOSPHERE)
    assert all(np.isnan(column).all() for column in truth)  # whose atmosphere nobody drew


def test_a_dry_run_says_what_it_would_write_and_writes_nothing(tmp_path: Path) -> None:
    result = ariel(tmp_path / "raw", "--dry-run", "--planets", 5, "--full", 1)
    assert result.exit_code == 0
    assert "5 train planets and 1 full-size" in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--frames", 61), "even number"),
        (("--layout", "2023"), "expected one of"),
        (("--layout", "2024", "--visits", 2), "one visit"),
        (("--fast", "--full", 1), "choose one"),
        (("--layout", "both"), "--layout both are for --fast"),
        (("--planets", 0), "greater than"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: tuple[object, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = ariel(tmp_path / "out", *arguments)
    assert result.exit_code in (1, 2)
    assert said in result.output + caplog.text
    assert not (tmp_path / "out").exists()
