"""`ariel curriculum`: stages checked before the first runs, each from the one before, resumed, and recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from labelled_planets import SMALL

from ariel_scripts import cli
from ariel_scripts.commands import curriculum
from ariel_scripts.options.curriculum import CurriculumOptions
from ariel_scripts.reproduction.lineage import SAME, lineage
from ariel_scripts.stages import LEAVES, read_stages
from ariel_scripts.training import separation_figure

STAGES: list[dict[str, Any]] = [
    {"name": "curves", "command": "simulate", "options": {"fast": True, "planets": 3}},
    {"name": "masked", "command": "pretrain", "options": {"simulate": 4, "steps": 3}},
    {"name": "spectra", "command": "finetune", "options": {"dataset": "curves", "penalties": "rules.yaml"}},
    {"name": "honest", "command": "calibrate", "options": {"dataset": "curves", "split": "test"}},
]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A file of stages, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text("rules: {smoothness: {}}")

    def to_file(stages: Any) -> Path:
        path = tmp_path / "stages.yaml"
        path.write_text(yaml.safe_dump({"stages": stages}))
        return path

    return to_file


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Commands that only leave a folder where their results would be; those that were run, with their options."""
    found: list[tuple[str, Any]] = []

    def main_of(name: str) -> Callable[[Any], None]:
        def run(options: Any) -> None:
            found.append((name, options))
            (options.out / LEAVES[name]).mkdir(parents=True, exist_ok=name in ("pretrain", "finetune"))
            (options.out / "run.json").write_text(json.dumps({"metrics": {"steps": len(found)}}))

        return run

    monkeypatch.setattr(cli, "main_of", main_of)
    return found


def test_every_stage_starts_from_the_one_before_and_is_recorded(
    write: Callable[..., Path], ran: list[tuple[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    curriculum.main(CurriculumOptions(write(STAGES), out))
    assert [name for name, _ in ran] == ["simulate", "pretrain", "finetune", "calibrate"]
    options = [one for _, one in ran]
    assert [one.out for one in options] == [out / stage["name"] for stage in STAGES]
    assert options[1].model is None
    assert options[1].loop.steps == 3
    assert options[2].model == str(out / "masked/model")
    assert options[2].dataset == options[3].dataset == str(out / "curves")
    assert options[2].penalties == Path("rules.yaml")
    assert options[3].model == str(out / "spectra/model")
    record = json.loads((out / "run.json").read_text())
    assert (record["command"], record["status"]) == ("curriculum", "done")
    assert [record["metrics"][stage["name"]]["metrics"]["steps"] for stage in STAGES] == [1, 2, 3, 4]
    assert set(record["durations"]) == {*(stage["name"] for stage in STAGES), "total"}


def test_a_stopped_run_goes_on_and_a_finished_one_runs_nothing(
    write: Callable[..., Path], ran: list[tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out, main_of = write(STAGES), tmp_path / "out", cli.main_of

    def stopped(options: Any) -> None:
        main_of("calibrate")(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main_of", lambda name: stopped if name == "calibrate" else main_of(name))
    with pytest.raises(KeyboardInterrupt):
        curriculum.main(CurriculumOptions(path, out))
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    monkeypatch.setattr(cli, "main_of", main_of)
    curriculum.main(CurriculumOptions(path, out))  # what the stopped stage left is removed: it refuses a folder in use
    assert [name for name, _ in ran] == ["simulate", "pretrain", "finetune", "calibrate", "calibrate"]
    curriculum.main(CurriculumOptions(path, out))
    assert len(ran) == 5
    curriculum.main(CurriculumOptions(path, out, restart=True))
    assert [name for name, _ in ran[5:]] == ["simulate", "pretrain", "finetune", "calibrate"]
    assert ran[6][1].loop.restart
    assert ran[8][1].restart


def test_finished_stages_are_not_passed_off_as_others(
    write: Callable[..., Path], ran: list[tuple[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    curriculum.main(CurriculumOptions(write(STAGES), out))
    longer = [*STAGES, {"name": "conformal", "command": "calibrate", "options": {"dataset": "curves"}}]
    curriculum.main(CurriculumOptions(write(longer), out))
    assert len(ran) == 5
    (tmp_path / "rules.yaml").write_text("rules: {seam: {}}")
    with pytest.raises(ValueError, match=r"stages.json: expected stage spectra with the options that it was run with"):
        curriculum.main(CurriculumOptions(write(longer), out))


BAD: dict[str, tuple[Any, str]] = {
    "no list": ("masked", "expected stages: a list of name, command and options"),
    "no stage": ([], "expected stages: a list"),
    "a text": (["masked"], "stage 1: expected name, command, options, found 'masked'"),
    "an unknown entry": ([{"name": "a", "command": "pretrain", "steps": 3}], "stage a: expected name, command"),
    "another command": (
        [{"name": "a", "command": "predict"}],
        "a: command: expected simulate, .*found 'predict'",
    ),
    "a name twice": ([STAGES[0], STAGES[0]], "stage curves: name: expected another for each stage"),
    "a path for a name": ([STAGES[0] | {"name": "../a"}], "name: expected letters, digits"),
    "an unknown option": ([STAGES[1] | {"options": {"step": 3}}], "masked: ariel pretrain: unknown option step"),
    "a type": ([STAGES[1] | {"options": {"steps": "many"}}], "steps: expected a whole number, found 'many'"),
    "a range": ([STAGES[1] | {"options": {"simulate": 4, "steps": 0}}], "ariel pretrain: steps: found 0"),
    "what cannot be together": ([STAGES[1] | {"options": {"steps": 3}}], "stage masked: expected a dataset or"),
    "its own folder": ([STAGES[1] | {"options": {"out": "here"}}], "out: expected to be left to the curriculum"),
    "folds": ([STAGES[0], STAGES[2] | {"options": {"dataset": "curves", "folds": 3}}], "folds: expected 0"),
    "no model": ([STAGES[0], STAGES[3]], "stage honest: expected model too, found none"),
    "a model for a dataset": (
        [STAGES[1], STAGES[2] | {"options": {"dataset": "masked"}}],
        "dataset: expected a stage that leaves a dataset, found masked",
    ),
    "a method": ([*STAGES[:3], STAGES[3] | {"options": {"dataset": "curves", "method": "wish"}}], "found 'wish'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_in_any_stage_is_said_before_the_first_runs(
    name: str, write: Callable[..., Path], ran: list[tuple[str, Any]], tmp_path: Path
) -> None:
    stages, message = BAD[name]
    with pytest.raises(ValueError, match=rf"stages.yaml: .*{message}"):
        curriculum.main(CurriculumOptions(write(stages), tmp_path / "out"))
    assert not ran
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a YAML file of stages, found: No such file"):
        read_stages(tmp_path / "stages.yaml", tmp_path)


def test_the_example_names_every_stage_of_training(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    curriculum.main(CurriculumOptions(Path("configs/curriculum.yaml"), tmp_path / "out", dry_run=True))
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    expected = "curves masked masked-molecules contrastive sigma supervised temperature conformal"
    assert names == expected.split()
    assert not (tmp_path / "out").exists()


def test_real_stages_hand_their_backbone_on(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation_figure, "find_spec", lambda name: None)  # UMAP takes its time
    small = {"simulate": 4, "steps": 2, "batch_size": 2, "evaluate_every": 2, "validation": 2, "tracker": "none"}
    stages = [
        {"name": "masked", "command": "pretrain", "options": {**small, "settings": list(SMALL)}},
        {"name": "contrastive", "command": "pretrain", "options": {**small, "task": "contrastive"}},
    ]
    curriculum.main(CurriculumOptions(write(stages), tmp_path / "out"))
    record = json.loads((tmp_path / "out/contrastive/model/training.json").read_text())
    assert record["config"]["model"] == str(tmp_path / "out/masked/model")
    node = lineage(tmp_path / "out/contrastive/model")
    assert node.made is not None
    assert (node.made["command"], node.state, node.inputs[0].state) == ("pretrain", SAME, SAME)
    assert node.inputs[0].path == str(tmp_path / "out/masked/model")
    metrics = json.loads((tmp_path / "out/run.json").read_text())["metrics"]
    assert "separation" in metrics["contrastive"]["metrics"]
