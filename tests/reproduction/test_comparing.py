"""Results compared number by number, lineages of checkpoints, and the map of commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file
from typer.models import ArgumentInfo

from ariel_scripts import cli
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.roles import role
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.reproduction.command_map import as_json, as_markdown, command_map
from ariel_scripts.reproduction.command_text import command_text
from ariel_scripts.reproduction.compare import compared
from ariel_scripts.reproduction.lineage import lineage
from ariel_scripts.reproduction.rerun import again, counterpart, recorded
from ariel_scripts.run_record import write_json
from ariel_scripts.typed_options import typed_options

VALUES = np.array([[0.01, 0.02], [0.03, np.nan]])
WRITE: dict[str, Callable[[Path, np.ndarray], object]] = {
    "parquet": lambda path, values: pq.write_table(pa.table({"mu": list(values)}), path),
    "npz": lambda path, values: np.savez(path, mu=values),
    "csv": lambda path, values: path.write_text("mu\n" + "\n".join(f"{one!r}" for one in values.ravel().tolist())),
    "json": lambda path, values: path.write_text(json.dumps({"mu": values.tolist(), "started": values[0, 0]})),
    "safetensors": lambda path, values: save_file({"mu": values}, path),
    "html": lambda path, values: path.write_text(
        f'<p>text</p><footer id="run">{values[0, 0]}</footer>'
        f'<script type="application/json" id="data">{json.dumps({"mu": np.nan_to_num(values).tolist()})}</script>'
    ),
}


@pytest.mark.parametrize("kind", WRITE)
def test_numbers_differ_by_what_was_added(kind: str, tmp_path: Path) -> None:
    then, now = tmp_path / f"then.{kind}", tmp_path / f"now.{kind}"
    WRITE[kind](then, VALUES)
    WRITE[kind](now, VALUES)
    (same,) = compared(then, now, 0.0)
    assert same.same or kind == "npz"  # a zip has times
    assert same.close
    other = VALUES.copy()
    other[0, 0] += 3e-5
    WRITE[kind](now, other)
    (found,) = compared(then, now, 1e-2)
    assert (found.same, found.close) == (False, True)
    # of 0.03, or of 0.02 in a list of its own
    assert found.largest == pytest.approx(1.5e-3 if kind in ("json", "html") else 1e-3, rel=1e-5)
    (found,) = compared(then, now, 1e-4)
    assert "differ, by up to 3e-05" in found.differences[0]


def test_what_is_missing_or_of_another_shape_is_said(tmp_path: Path) -> None:
    then, now = tmp_path / "then.npz", tmp_path / "now.npz"
    np.savez(then, a=np.zeros(3), b=np.zeros(3), text=np.array(["x", "y"]))
    np.savez(now, a=np.zeros(4), c=np.zeros(3), text=np.array(["x", "z"]))
    (found,) = compared(then, now, 1.0)
    assert found.differences == [
        "a: shape (3,), now (4,)",
        "b: only then",
        "text: 1 of 2 values differ",
        "c: only now",
    ]
    assert compared(then, tmp_path / "none.npz", 1.0)[0].differences[0].endswith("found nothing there")


def test_a_folder_without_results_is_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="expected results to compare, found none"):
        compared(tmp_path, tmp_path, 1.0)


@pytest.mark.parametrize("out", [".", "../named", "../named/"])
def test_a_folder_that_was_named_by_dots_is_found(out: str, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    invocation = {"command": "simulate", "options": {"out": out}, "folder": str(folder), "inputs": {}}
    content = {"outputs": {out: {"kind": "folder", "sha256": "x"}}}
    write_json(folder / "run.json", {"command": "simulate", "invocation": invocation, **content})
    (folder / "train.csv").touch()
    found = recorded(folder / "train.csv")
    assert found.place == folder / "run.json"
    assert recorded(folder).content == content["outputs"][out]
    assert again(found, tmp_path / "scratch") == {"out": str(tmp_path / "scratch/named")}
    assert counterpart(folder / "train.csv", found, tmp_path / "scratch") == tmp_path / "scratch/named/train.csv"
    moved = (tmp_path / "named").rename(tmp_path / "moved") / "train.csv"
    assert counterpart(moved, recorded(moved.parent), tmp_path / "scratch") == tmp_path / "scratch/named/train.csv"


def test_a_command_of_another_version_is_named(tmp_path: Path) -> None:
    invocation = {"command": "foresee", "options": {}, "folder": str(tmp_path), "inputs": {}}
    write_json(tmp_path / "run.json", {"command": "foresee", "invocation": invocation})
    with pytest.raises(ValueError, match=r"run.json: expected a command of this version, found 'foresee'"):
        recorded(tmp_path)


def test_a_released_checkpoint_tells_its_calibration_and_training(repository: Path) -> None:
    root = lineage(repository / "modeling_ariel/released")
    assert root.made is not None
    model = next(one for one in root.inputs if one.label == "model")
    assert model.made is not None
    training = json.loads((repository / "modeling_ariel/released/training.json").read_text())
    assert (root.made["command"], model.made["command"]) == ("calibrate", "training")
    assert (model.made["commit"], model.made["seeds"]) == (training["git_commit"], [training["seed"]])


def test_a_model_of_the_hub_is_walked_in_the_cache_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    copy = tmp_path / "cache/models--you--spectra/snapshots" / commit
    copy.mkdir(parents=True)
    save_file({"w": np.zeros(2)}, copy / "model.safetensors")
    write_json(copy / "training.json", {"config": {"steps": 3}, "seed": 4, "data": {"source": "simulated on the fly"}})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    inputs = {"model": [{"given": "you/spectra", "kind": "hub", "commit": commit}]}
    inputs["dataset"] = [{"given": "you/curves", "kind": "hub", "commit": commit}]
    invocation = {"command": "predict", "options": {}, "folder": str(tmp_path), "inputs": inputs}
    write_json(tmp_path / "p.run.json", {"command": "predict", "invocation": invocation})
    (tmp_path / "p.csv").touch()
    nodes = {one.label: one for one in lineage(tmp_path / "p.csv").inputs}
    assert nodes["model"].made is not None
    assert nodes["model"].made["seeds"] == [4]
    assert nodes["model"].commit == nodes["dataset"].commit == commit
    assert nodes["dataset"].findings == [f"commit {commit}: not in the cache here, the Hub is not asked"]


def test_a_recorded_command_is_a_line_for_a_shell() -> None:
    options: dict[str, Any] = {"dataset": "my curves", "out": "p.csv", "model": ["a", "b"], "adapt": True, "seed": 0}
    line = "ariel predict 'my curves' --out p.csv --model a --model b --adapt"
    assert command_text("predict", options) == line
    assert typed_options("predict", options).model == ["a", "b"]  # type: ignore[attr-defined]
    assert typed_options("submit", {"check": "s.csv"}) == SubmitOptions(check=Path("s.csv"))
    with pytest.raises(ValueError, match="expected dataset, out too"):
        typed_options("predict", {})


# --- the map -------------------------------------------------------------------------------------------------------


def test_every_command_has_documents_and_says_what_it_reads_and_writes() -> None:
    entries = {entry.command: entry for entry in command_map()}
    assert [*entries] == [*cli.COMMANDS]
    assert not [name for name, entry in entries.items() if not entry.documents]
    assert entries["transients build"].documents == ["docs/transients.md"]
    assert {*entries["submit"].reads} == {"PREDICTIONS", "--sample", "--check"}
    assert {*entries["retrieve"].writes} == {"--out", "--save-prior", "--save-telescope"}
    assert "configs/pretrain.yaml" in entries["pretrain"].configs
    assert as_markdown([*entries.values()]).count("\n| `ariel ") == len(cli.COMMANDS)
    assert len(json.loads(as_json([*entries.values()]))) == len(cli.COMMANDS)


def test_every_file_of_configs_is_some_commands(repository: Path) -> None:
    listed = {path for entry in command_map() for path in entry.configs}
    assert listed == {f"configs/{path.name}" for path in (repository / "configs").glob("*.yaml")}


def test_every_option_that_is_a_path_or_a_dataset_has_a_role() -> None:
    for command, options in cli.COMMANDS.items():
        for parameter in parameters_of(options):
            about = parameter.annotation.__metadata__[0]
            path = "pathlib.Path" in str(parameter.annotation)
            names_one = any(word in str(about.help) for word in ("Hub id", "folder or", "Folder or"))
            if path or (names_one and isinstance(about, ArgumentInfo)):
                assert role(command, parameter.name) is not None, f"ariel {command}: {parameter.name}"


def test_without_a_checkout_there_are_commands_without_documents(tmp_path: Path) -> None:
    entries = command_map(tmp_path)
    assert len(entries) == len(cli.COMMANDS)
    assert not any(entry.documents or entry.configs for entry in entries)
