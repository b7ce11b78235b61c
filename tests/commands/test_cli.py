"""The `ariel` command: config files, errors, logs and the run record, seen from outside."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import pytest
import warm_python
from typer.testing import CliRunner

from ariel_scripts import versions
from ariel_scripts.cli import COMMANDS, app, main_of, module_of
from ariel_scripts.commands import selftest
from ariel_scripts.commands.selftest import CHECKS
from ariel_scripts.machine import machine
from ariel_scripts.options.fields import options_of, parameters_of, values_of
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.selftest import deep

SCRIPT = '''
"""A command."""
from pathlib import Path
from typing import Annotated

import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record


def main(
    out: Annotated[Path, typer.Argument()],
    count: Annotated[int, typer.Option("--count", "-n", help="How many.")] = 3,
) -> None:
    """Count."""
    with run_record(out, "count", {"count": count}, seed=1) as run:
        if count < 0:
            raise ValueError(f"count: expected at least 0, found {count}")
        if count == 98:
            raise LookupError("nobody thought of it")
        if count == 99:
            raise typer.Exit(7)
        run.metrics["count"] = count


if __name__ == "__main__":
    run_script(main)
'''


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "count.py"
    path.write_text(SCRIPT)
    return path


def call(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)


def test_help_and_short_names_of_options_come_from_their_annotations(script: Path, tmp_path: Path) -> None:
    assert "How many." in call(script, "--help").stdout
    assert call(script, tmp_path, "-n", 4).returncode == 0


def test_config_file_sets_options_and_the_command_line_wins(script: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("count: 5\n")
    for extra, expected in (([], 5), (["--count", 9], 9)):
        done = call(script, tmp_path / "out", "--config", config, *extra)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "out/run.json").read_text())["metrics"]["count"] == expected


def test_an_unknown_config_key_is_refused_by_name(script: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("cuont: 5\n")
    done = call(script, tmp_path / "out", "--config", config)
    assert done.returncode == 2
    assert "cuont" in done.stderr


def test_an_error_is_a_message_without_a_stack_trace_and_the_record_says_failed(script: Path, tmp_path: Path) -> None:
    done = call(script, tmp_path / "out", "--count", -1, "--log-json", tmp_path / "log.jsonl")
    assert done.returncode == 1
    assert "expected at least 0, found -1" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "failed"
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["level"] == "ERROR"
    assert "Traceback" in call(script, tmp_path / "out", "--count", -1, "--verbose").stderr


def test_an_error_nobody_foresaw_is_a_line_too_and_an_exit_code_stays(script: Path, tmp_path: Path) -> None:
    done = call(script, tmp_path, "--count", 98)
    assert done.returncode == 1
    assert done.stderr == "unexpected LookupError: nobody thought of it (--verbose shows where)\n"
    assert "Traceback" in call(script, tmp_path, "--count", 98, "--verbose").stderr
    done = call(script, tmp_path, "--count", 99)
    assert (done.returncode, done.stderr) == (7, "")


def test_run_record_holds_config_hash_seed_versions_and_durations(script: Path, tmp_path: Path) -> None:
    records = []
    for count in (3, 3, 4):
        assert call(script, tmp_path / "out", "--count", count).returncode == 0
        records.append(json.loads((tmp_path / "out/run.json").read_text()))
    assert records[0]["config_hash"] == records[1]["config_hash"] != records[2]["config_hash"]
    assert records[0]["seeds"] == [1]
    assert records[0]["versions"]["numpy"] != "not installed"
    assert records[0]["durations"]["total"] >= 0


def test_run_record_says_what_was_typed_and_on_what_machine_it_ran(
    script: Path, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARIEL_IMAGE_DIGEST", "sha256:1234")
    assert call(script, tmp_path / "out", "-n", 4).returncode == 0
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["command_line"] == [str(script), str(tmp_path / "out"), "-n", "4"]
    assert (record["host"], record["platform"]) == (platform.node(), platform.platform())
    assert record["cpu"]["count"] == os.cpu_count()
    assert record["cpu"]["model"]
    assert 5 < record["peak_memory_mb"]["process"] < 10_000  # megabytes; of a fork it holds what was before it
    assert record["peak_memory_mb"]["largest_child"] > 0  # git
    assert (record["gpus"], record["cuda"]) == (None, None)  # torch is not imported to ask
    assert record["image_digest"] == "sha256:1234"
    assert record["lock_hash"] == hashlib.sha256((repository / "requirements.lock").read_bytes()).hexdigest()


def test_a_record_names_the_gpus_that_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2, get_device_name="H{}".format)
    torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="12.8"))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert {name: machine()[name] for name in ("gpus", "cuda")} == {"gpus": ["H0", "H1"], "cuda": "12.8"}


def test_a_copy_in_somebody_elses_checkout_has_no_commit_and_no_lock(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "lib/site-packages/ariel_scripts/versions.py"
    copy.parent.mkdir(parents=True)
    copy.touch()
    for words in (
        ["init", "-q"],
        ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-mA"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(versions, "__file__", str(copy))
    assert (versions.git_commit(), versions.lock_hash()) == (None, None)


def test_version_names_package_commit_config_lock_time_and_key_libraries() -> None:
    done = call("-m", "ariel_scripts.cli", "--version")
    assert done.returncode == 0, done.stderr
    assert "ariel 0." in done.stdout
    lines = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines()[1:-1])
    assert list(lines) == ["commit", "default config", "lock", "time"]
    assert lines["commit"] == versions.git_commit()
    assert len(lines["default config"]) == 12
    assert lines["lock"] == versions.lock_hash()
    assert abs(datetime.fromisoformat(lines["time"]) - datetime.now(UTC)) < timedelta(minutes=10)
    assert "torch 2." in done.stdout


LIGHT = """
import os, sys
from ariel_scripts import cli

for words in (["--help"], ["--version"], *([*name.split(), "--help"] for name in cli.COMMANDS)):
    cli.call(*words)
os.environ |= {"_ARIEL_COMPLETE": "complete_bash", "COMP_WORDS": "ariel finetune --weight", "COMP_CWORD": "2"}
try:
    cli.app(prog_name="ariel")
except SystemExit:
    pass
heavy = {"torch", "transformers", "pyarrow", "datasets", "numpy", "fsspec", "modeling_ariel"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_help_version_and_completion_come_without_the_libraries_that_commands_run_on() -> None:
    done = call("-c", LIGHT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("--weight-decay\n")


def test_every_command_has_options_and_a_main_that_takes_them(repository: Path) -> None:
    package = repository / "scripts/ariel_scripts"
    commands = package / "commands"
    files = {path.relative_to(commands).with_suffix("").parts for path in commands.rglob("[a-z]*.py")}
    assert files == {tuple(module_of(name).split(".")) for name in COMMANDS}
    for name, options in COMMANDS.items():
        assert get_type_hints(main_of(name)) == {"options": options, "return": type(None)}
        assert options.__module__ == f"ariel_scripts.options.{module_of(name)}"


def test_options_and_their_values_are_told_by_the_same_names() -> None:
    for options in (FinetuneOptions, PretrainOptions):
        defaults = {one.name: one.default for one in parameters_of(options)}
        given = {**defaults, "dataset": "curves", "steps": 7}
        made = options_of(options, given)
        assert made.loop.steps == 7
        assert values_of(made) == given
    decays = [kind("curves").loop.weight_decay for kind in (FinetuneOptions, PretrainOptions)]
    assert decays == [0.02, 0.05]  # the same group of options, with other defaults


def test_every_command_has_a_help_text_with_an_example() -> None:
    for name, options in COMMANDS.items():
        done = CliRunner().invoke(app, [*name.split(), "--help"])
        assert done.exit_code == 0, done.output
        assert f"ariel {name}" in (options.__doc__ or ""), f"{name}: the help has no example"


def test_selftest_passes_where_everything_is_installed_and_recovers_a_depth(tmp_path: Path) -> None:
    done = warm_python.run(["-m", "ariel_scripts.cli", "selftest", "--deep", "--quiet"], tmp_path, os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("(")[0].strip() for line in lines] == [f"ok      {name}" for name in (*CHECKS, *deep.CHECKS)]
    assert "mean depth" in lines[3]
    assert lines[6].endswith(f"defaults of {len(COMMANDS)} commands, 12 files of configs/")


def test_a_failed_check_of_selftest_is_named_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: Path) -> str:
        raise KeyError("a broken library")

    monkeypatch.setattr(selftest, "CHECKS", {"first": fail, "second": lambda _: "fine"})
    monkeypatch.setattr(deep, "CHECKS", {"third": fail, "fourth": lambda _: "fine too"})
    for words, ends in (([], ["second"]), (["--deep"], ["second", "third", "fourth"])):
        done = CliRunner().invoke(app, ["selftest", *words])
        assert done.exit_code == 1
        said = [line.split(" (")[0].split() for line in done.stdout.splitlines()]
        verdicts = {"first": "FAILED", "second": "ok", "third": "FAILED", "fourth": "ok"}
        assert said == [[verdicts[name], name] for name in ("first", *ends)]
        assert "'a broken library'" in done.stdout


def test_the_deep_selftest_finds_what_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(deep, "CONFIGS", tmp_path / "configs")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/build-here.yaml").write_text("wokers: 3\n")
    with pytest.raises(ValueError, match=r"build-here.yaml: unknown option wokers"):
        deep.check_configs(tmp_path)
    importlib.import_module("hf_dataset.simulation.dataset")  # with the true columns
    monkeypatch.setattr("hf_dataset.schema.STAR_COLUMNS", ("Rs",))
    with pytest.raises(ValueError, match="the model's star columns: expected"):
        deep.check_schemas(tmp_path)
    monkeypatch.setitem(deep.CLASSES, "AutoModel", "ArielModel")
    with pytest.raises(ValueError, match="AutoModel: expected ArielModel, found ArielForSpectrumPrediction"):
        deep.check_auto_classes(tmp_path)
