"""Engines of the build: constructed from the config files without starting them, and the local one run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml
from datatrove.executor.jobs import JobsPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from fake_folder import open_fake, reduce_fake, set_visit, write_folder
from threadpoolctl import threadpool_info

from ariel_scripts.options.build_dataset import BuildDatasetOptions
from ariel_scripts.options.fields import parameters_of
from hf_dataset.build import run, submissions
from hf_dataset.build.executors import ENGINES, make_executor
from hf_dataset.build.plan import BuildOptions, make_plan
from hf_dataset.build.process_executor import ProcessExecutor
from hf_dataset.build.ray_executor import RayExecutor
from hf_dataset.build.report import NothingBuiltError
from hf_dataset.build.run import BuildError
from hf_dataset.build.worker import BuildShards, one_thread, peak_mb
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.lineage import STATE_DIR

KINDS = {
    "local": ProcessExecutor,
    "slurm": SlurmPipelineExecutor,
    "ray": RayExecutor,
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
    assert set(config) <= {parameter.name for parameter in parameters_of(BuildDatasetOptions)}
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
        (
            "slurm",
            {"time": 43200, "partition": "cpu"},
            'engine slurm: time: expected text in quotes, such as "12:00:00"',
        ),
        ("local", {"pipeline": []}, "unknown option pipeline"),
    ],
)
def test_a_wrong_engine_or_option_is_named(engine: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make_executor(engine, [], 1, 1, str(tmp_path), options)


def test_a_build_on_slurm_submits_the_shards_and_then_the_card(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[SlurmPipelineExecutor] = []
    monkeypatch.setattr(SlurmPipelineExecutor, "run", lambda self: submitted.append(self))
    root = write_folder(tmp_path / "raw", {1: 1, 2: 1, 3: 1})
    options = BuildOptions(
        engine="slurm", engine_options={"time": "1:00:00", "partition": "cpu"}, planets_per_shard=1, workers=2
    )
    summary = run.build_dataset(root, tmp_path / "out", options, open_folder=open_fake, reduce_visit=reduce_fake)
    assert summary.waiting
    [last] = submitted
    assert (last.tasks, last.depends.tasks, last.depends.workers) == (1, 3, 2)
    assert last.depends.logging_dir.path != last.logging_dir.path
    list(last.depends.pipeline[0].run(rank=0, world_size=1))
    list(last.pipeline[0].run())
    assert (tmp_path / "out/README.md").exists()


def submit(root: Path, out: Path, **changes: Any) -> run.BuildSummary:
    own = {"time": "1:00:00", "partition": "cpu", "mem_per_cpu_gb": 1}
    options = BuildOptions(**{"engine": "slurm", "engine_options": own, "planets_per_shard": 1, **changes})
    return run.build_dataset(root, out, options, open_folder=open_fake, reduce_visit=reduce_fake)


def test_a_build_whose_jobs_are_queued_is_refused_and_goes_on_when_they_have_gone(tmp_path: Path, slurm: Path) -> None:
    root, out = write_folder(tmp_path / "raw", {1: 1, 2: 1, 3: 1}), tmp_path / "out"
    assert submit(root, out).waiting
    for again in ({}, {"engine": "local", "engine_options": {}, "workers": 1}, {"restart": True}):
        with pytest.raises(BuildError, match=r"a build on slurm.*as ariel-\w+, has not ended \(7_0 PENDING\): wait"):
            submit(root, out, **again)
    assert f"--name={submissions.job_name(out)}" in (tmp_path / "asked").read_text()
    slurm.write_text("")  # scancelled
    assert submit(root, out, engine="local", engine_options={}, workers=1).rows == {"train": 3}


def test_jobs_that_cannot_be_looked_up_are_taken_to_be_there(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = write_folder(tmp_path / "raw", {1: 1, 2: 1, 3: 1}), tmp_path / "out"
    submit(root, out)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildError, match=r"cannot be looked up here.*squeue.*delete .*submitted.json"):
        submit(root, out)


def test_what_ends_a_slurm_build_runs_whatever_became_of_the_shards(tmp_path: Path, slurm: Path) -> None:
    submit(write_folder(tmp_path / "raw", {1: 1, 2: 1, 3: 1}), tmp_path / "out")
    submitted = (tmp_path / "sbatch").read_text()
    assert "--dependency=afterany:7" in submitted
    assert submitted.count("--kill-on-invalid-dep=yes") == 4  # shards, card, datatrove's sums of statistics


def test_a_submission_that_fails_leaves_no_word_of_jobs(tmp_path: Path, slurm: Path) -> None:
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\nexit 1\n")
    root, out = write_folder(tmp_path / "raw", {1: 1, 2: 1}), tmp_path / "out"
    for _ in range(2):
        with pytest.raises(BuildError, match=r"the jobs could not be submitted to slurm: .*sbatch"):
            submit(root, out)


@pytest.mark.parametrize(
    ("engine", "own", "message"),
    [
        ("slrum", {}, "engine: expected one of local, slurm, ray, jobs, found 'slrum'"),
        ("local", {"foo": 1}, "engine local: unknown option foo"),
        ("slurm", {"time": "1:00:00", "partition": "cpu"}, "engine slurm: expected the command sbatch on this machine"),
        ("ray", {}, "engine ray: expected the package ray, found none"),
    ],
)
def test_an_engine_that_cannot_be_started_is_refused_before_a_restart_deletes_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, own: dict[str, Any], message: str
) -> None:
    root, out = write_folder(tmp_path / "raw", {1: 1, 2: 1}), tmp_path / "out"
    submit(root, out, engine="local", engine_options={}, workers=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=message):
        submit(root, out, engine=engine, engine_options=own, restart=True)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_what_ends_a_slurm_build_misses_the_shard_of_a_mended_visit_whose_job_never_ran(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[SlurmPipelineExecutor] = []
    monkeypatch.setattr(SlurmPipelineExecutor, "run", lambda self: submitted.append(self))
    root, out = write_folder(tmp_path / "raw", {1: 1, 2: 1}), tmp_path / "out"
    set_visit(root, "train", 2, 0, "bad")
    assert submit(root, out, engine="local", engine_options={}, workers=1).rows == {"train": 1}
    set_visit(root, "train", 2, 0, "good")
    assert submit(root, out).waiting
    with pytest.raises(NothingBuiltError, match="expected 2 shards, 1 are missing"):
        list(submitted[0].pipeline[0].run())


@pytest.mark.parametrize("missing", ["raw", "out"])
def test_a_node_that_does_not_share_the_folders_says_which(tmp_path: Path, missing: str) -> None:
    root, out = write_folder(tmp_path / "raw", {1: 1}), tmp_path / "out"
    (out / STATE_DIR).mkdir(parents=True)
    whole = make_plan(open_fake(root), root, out, BuildOptions())
    shutil.move(tmp_path / missing, tmp_path / "elsewhere")
    with pytest.raises(RuntimeError, match=rf"/{missing}: expected a folder that all nodes share"):
        list(BuildShards(whole, whole.shards, open_fake, reduce_fake).run())


def test_a_node_with_other_code_refuses_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = write_folder(tmp_path / "raw", {1: 1}), tmp_path / "out"
    (out / STATE_DIR).mkdir(parents=True)
    whole = replace(make_plan(open_fake(root), root, out, BuildOptions()), code={"ariel-hf": "9", "source": "x"})
    monkeypatch.setenv("DATATROVE_EXECUTOR", "SLURM")
    with pytest.raises(RuntimeError, match=r"expected the code that planned the build, .*'9'.*, found"):
        list(BuildShards(whole, whole.shards, open_fake, reduce_fake).run())


def test_a_step_runs_on_one_thread_a_library() -> None:
    with one_thread():
        assert pa.cpu_count() == 1
        assert {library["num_threads"] for library in threadpool_info()} <= {1}


def test_peak_memory_is_in_megabytes_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrusage", lambda _: SimpleNamespace(ru_maxrss=300 * 1024))
    monkeypatch.setattr("sys.platform", "linux")
    assert peak_mb() == 300
    monkeypatch.setattr("resource.getrusage", lambda _: SimpleNamespace(ru_maxrss=300 * 1024 * 1024))
    monkeypatch.setattr("sys.platform", "darwin")
    assert peak_mb() == 300


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
