"""Engines of the build: constructed from the config files without starting them, and the local one run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from datatrove.executor.jobs import JobsPipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from fake_folder import open_fake, reduce_fake, write_folder

from ariel_scripts import build_dataset as command
from hf_dataset import build
from hf_dataset.executors import ENGINES, ProcessExecutor, make_executor
from hf_dataset.plan import BuildOptions
from hf_dataset.reduction import ReductionOptions

KINDS = {
    "local": ProcessExecutor,
    "slurm": SlurmPipelineExecutor,
    "ray": RayPipelineExecutor,
    "jobs": JobsPipelineExecutor,
}


class Count(PipelineStep):
    """Leaves a file for the task; task 3 fails where told."""

    name, type = "count", "TEST"

    def __init__(self, folder: Path, fails: bool = False) -> None:
        super().__init__()
        self.folder, self.fails = folder, fails

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        if self.fails and rank == 3:
            raise OSError("no space for task 3")
        (self.folder / f"{rank}-{world_size}").touch(exist_ok=False)
        self.stat_update("files")
        yield from ()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_config_file_makes_its_executor(engine: str, repository: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((repository / "configs" / f"build-{engine}.yaml").read_text())
    assert set(config) <= set(inspect.signature(command.main).parameters)
    assert config["engine"] == engine
    ReductionOptions(**config.get("reduction", {}))
    options = config.get("engine_options", {})
    if engine == "jobs":
        options["logging_dir"] = "memory://logs"  # as hf://…, but reaches for nothing
    executor = make_executor(engine, [Count(tmp_path)], 7, config["workers"], str(tmp_path / "logs"), options)
    assert type(executor) is KINDS[engine]
    assert executor.world_size == 7
    assert executor.workers == config["workers"]
    assert not executor.skip_completed
    for name, value in options.items():
        if hasattr(executor, name) and name != "logging_dir":
            assert getattr(executor, name) == value


@pytest.mark.parametrize(
    ("engine", "options", "message"),
    [
        ("pbs", {}, "engine: expected one of local, slurm, ray, jobs, found 'pbs'"),
        ("slurm", {"partitoin": "cpu"}, "engine slurm: unknown option partitoin; known: .*partition"),
        ("slurm", {"time": "1:00:00"}, "engine slurm: .*partition"),
        ("local", {"pipeline": []}, "unknown option pipeline"),
    ],
)
def test_a_wrong_engine_or_option_is_named(engine: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make_executor(engine, [], 1, 1, str(tmp_path), options)


def test_a_build_on_slurm_submits_the_shards_and_then_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[SlurmPipelineExecutor] = []
    monkeypatch.setattr(SlurmPipelineExecutor, "run", lambda self: submitted.append(self))
    root = write_folder(tmp_path / "raw", {1: 1, 2: 1, 3: 1})
    options = BuildOptions(
        engine="slurm", engine_options={"time": "1:00:00", "partition": "cpu"}, planets_per_shard=1, workers=2
    )
    summary = build.build_dataset(root, tmp_path / "out", options, open_folder=open_fake, reduce_visit=reduce_fake)
    assert summary.waiting
    [last] = submitted
    assert (last.tasks, last.depends.tasks, last.depends.workers) == (1, 3, 2)
    assert last.depends.logging_dir.path != last.logging_dir.path
    list(last.depends.pipeline[0].run(rank=0, world_size=1))
    list(last.pipeline[0].run())
    assert (tmp_path / "out/README.md").exists()


def test_the_local_executor_runs_every_task_once(tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    executor = make_executor("local", [Count(tmp_path / "found")], 5, 2, str(tmp_path / "logs"))
    stats = executor.run()
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [f"{rank}-5" for rank in range(5)]
    assert stats.stats[0]["files"].total == 5


def test_the_local_executor_passes_on_a_tasks_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "found").mkdir()
    executor = make_executor("local", [Count(tmp_path / "found", fails=True)], 5, 1, str(tmp_path / "logs"))
    with pytest.raises(OSError, match="no space for task 3"):
        executor.run()
    assert capfd.readouterr().err == ""
