"""`ariel build-dataset` on small simulated raw folders: real frames, real reduction, exit codes and messages."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from datasets import load_dataset
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands.build_dataset import main
from hf_dataset.build import run
from hf_dataset.build.plan import BuildOptions
from hf_dataset.raw import layouts
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.simulation import planets, raw_folder
from hf_dataset.store.card import read_wavelengths
from hf_dataset.store.verify import recorded_root

FRAMES, BINS = 120, 20


def simulate(root: Path, layout: str, n_train: int) -> Path:
    train, test = planets.sample_planets(n_train, 1, layout), planets.sample_planets(1, 2, layout)
    return raw_folder.write_folder(root, train, layout, FRAMES, test_planets=test, visits=1 + (layout == "2025"))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training planets and a test planet, in the 2024 layout."""
    return simulate(tmp_path_factory.mktemp("2024") / "raw", "2024", 2)


@pytest.fixture(scope="module")
def simulated_2025(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training planet and a test planet, two visits each, in the 2025 layout."""
    return simulate(tmp_path_factory.mktemp("2025") / "raw", "2025", 1)


def ariel(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("layout", "n_planets"), [("simulated", 2), ("simulated_2025", 1)])
def test_the_command_makes_a_dataset_of_what_the_reduction_gives(
    layout: str, n_planets: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    simulated, out = request.getfixturevalue(layout), tmp_path / "out"
    result = ariel(simulated, out, "--bins", BINS)
    assert result.exit_code == 0, result.output
    folder = layouts.open_folder(simulated)
    np.testing.assert_allclose(read_wavelengths(out), folder.wavelengths, atol=1e-6)
    dataset = load_dataset(str(out), cache_dir=str(tmp_path / "cache")).with_format("numpy")
    assert {split: len(set(rows["planet_id"])) for split, rows in dataset.items()} == {"train": n_planets, "test": 1}
    for split, rows in dataset.items():
        for found in rows.select([len(rows) - 1]):  # the last: reducing it again here is what takes time
            visit = folder.visit(split, int(found["planet_id"]), int(found["visit"]))
            expected, _ = reduce_visit(visit, ReductionOptions(n_bins=BINS))
            for name in ("time", "flux", "flux_err", "valid", "centroid"):
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
            assert found["calibration"] == expected["calibration"]
            assert found["layout"] == "simulated"
            assert (found["spectrum"] is None) == (split == "test")


def test_a_cut_file_is_named_left_out_and_strict_exits_with_1(simulated: Path, tmp_path: Path) -> None:
    root = shutil.copytree(simulated, tmp_path / "raw folder")
    planet = layouts.open_folder(root).planets("train")[0]
    path = sorted((root / "train" / str(planet)).glob("FGS1_signal*"))[0]
    path.write_bytes(path.read_bytes()[:5000])
    result = ariel(root, tmp_path / "out", "--bins", BINS, "--strict")
    assert result.exit_code == 1
    for text in (result.output, (tmp_path / "out/report.md").read_text()):
        where = path.relative_to(root)
        assert f"{where} of planet {planet} visit 0: expected a whole Parquet file, found 5,000 bytes" in text
    assert str(tmp_path) not in (tmp_path / "out/report.md").read_text() + (tmp_path / "out/README.md").read_text()
    assert "Traceback" not in result.output
    assert ariel(root, tmp_path / "out", "--bins", BINS).exit_code == 0
    assert json.loads((tmp_path / "out/run.json").read_text())["metrics"]["left_out"] == 1


def test_labels_that_are_missing_are_warned_of(simulated: Path, tmp_path: Path) -> None:
    root = shutil.copytree(simulated, tmp_path / "raw", copy_function=os.link)
    (root / "train_labels.csv").unlink()
    result = ariel(root, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0
    assert "train_labels.csv: expected true spectra of 2 training planets, found no such file" in result.output
    assert "expected true spectra" not in ariel(simulated, tmp_path / "out", "--dry-run").output


def test_dry_run_writes_nothing_and_quiet_says_nothing(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = ariel(simulated, out, "--dry-run", "--limit", 1)
    assert result.exit_code == 0
    assert "train: 1 planet, 1 visit in 1 shard\n" in result.output
    assert not out.exists()
    result = ariel(simulated, out, "--quiet", "--limit", 1, "--bins", BINS, "--log-json", tmp_path / "log.jsonl")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bins", 5000], 1, r"none of \d visits gave a row"),
        (["--bins", 0], 2, "n_bins: expected more than 0, found 0"),
        (["--reduction", "{n_bin: 3}"], 2, "reduction: unknown setting n_bin; known: n_bins, dtype, .*, pixels"),
        (["--reduction", "{n_bins: many}"], 2, "n_bins: expected a whole number, found 'many'"),
        (["--reduction", "{1: 3}"], 2, "reduction: unknown setting 1; known"),
        (["--reduction", "7"], 2, "expected a mapping"),
        (["--reduction", "{a: ["], 2, r"expected YAML, found '\{a: \['"),
        (["--planets", "1,x"], 2, "expected whole numbers"),
        (["--planets", "@no file"], 2, "expected whole numbers or @FILE: .*No such file.*no file"),
        (["--planets", "@/dev/null"], 2, "expected at least one planet, '@/dev/null' names none"),
        (["--planets", "1"], 1, r"expected the planets \[1\]"),
        (["--limit", 1, "--planets", "1"], 1, r"expected the planets \[1\]"),
        (["--limit", 0], 2, "limit: expected at least 1, found 0"),
        (["--validation-fraction", 2], 2, "validation fraction: expected 0 ≤ fraction < 1, found 2.0"),
        (["--engine", "pbs"], 2, "engine: expected one of local"),
        (["--engine-option", "time"], 2, "expected NAME=VALUE, found 'time'"),
        (["--engine-option", "a={b: ["], 2, r"expected YAML, found '\{b: \['"),
    ],
)
def test_wrong_options_are_named_and_give_the_documented_exit_code(
    simulated: Path, tmp_path: Path, arguments: list[object], code: int, message: str
) -> None:
    arguments = arguments if arguments[0] in ("--planets", "--limit") else [*arguments, "--limit", 1]
    result = ariel(simulated, tmp_path / "out", *arguments)
    assert result.exit_code == code, result.output
    said = " ".join(re.sub("[│╭─╮╰╯]", "", result.output).split())  # typer's box
    assert re.search(message, said), result.output
    assert code == 1 or not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ("repeated", ["--engine-option", "time=12:00:00", "--engine-option", "cpus_per_task=2"]),
        ("together", ["--engine-options", "{time: 12:00:00, cpus_per_task: 2}"]),
        ("config", []),
    ],
)
def test_a_time_stays_the_text_that_slurm_reads(
    how: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BuildOptions] = []
    monkeypatch.setattr(run, "dry_run", lambda root, out, options: told.append(options))
    config = tmp_path / "config.yaml"
    config.write_text("engine_options:\n  time: 12:00:00\n  cpus_per_task: 2\n" if how == "config" else "{}")
    result = ariel(tmp_path, tmp_path / "out", "--dry-run", "--config", config, *options)
    assert result.exit_code == 0, result.output
    assert told[0].engine_options == {"time": "12:00:00", "cpus_per_task": 2}


def test_planets_come_from_a_file_and_options_from_a_config_that_the_command_line_overrides(
    simulated: Path, tmp_path: Path
) -> None:
    planet = layouts.open_folder(simulated).planets("train")[1]
    (tmp_path / "ids.txt").write_text(f"{planet}\n")
    config = tmp_path / "build.yaml"
    config.write_text(f"planets: [{planet}]\nbins: 10\nreduction: {{extraction: optimal}}\nworkers: 1\n")
    for name, arguments in {"a": ["--config", config], "b": ["--planets", f"@{tmp_path / 'ids.txt'}"]}.items():
        result = ariel(simulated, tmp_path / name, *arguments, "--bins", BINS)
        assert result.exit_code == 0, result.output
        table = pq.read_table(tmp_path / name / "data/light_curves", columns=["planet_id", "time"])
        assert set(table["planet_id"].to_pylist()) == {planet}
        assert len(table["time"][0]) == BINS
    settings = [json.loads(next((tmp_path / n / "manifest").iterdir()).read_text())["settings"] for n in "ab"]
    assert [one["reduction"]["extraction"] for one in settings] == ["optimal", "plain"]


def test_the_raw_folder_is_recorded_so_that_it_is_found_from_elsewhere(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(simulated.parent)
    assert ariel(simulated.name, tmp_path / "out", "--bins", BINS, "--limit", 1).exit_code == 0
    monkeypatch.chdir(tmp_path)
    assert recorded_root(tmp_path / "out") == simulated.resolve()


@pytest.mark.usefixtures("slurm")
def test_a_build_handed_to_a_queue_is_recorded_as_submitted(simulated: Path, tmp_path: Path) -> None:
    options = ["--engine", "slurm", "--engine-options", "{time: 1:00:00, partition: cpu}"]
    result = ariel(simulated, tmp_path / "out", *options, "--strict")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert (record["status"], record["metrics"]) == ("submitted", {"shards": 3})
    assert "--strict: what is left out is not known yet" in result.output
