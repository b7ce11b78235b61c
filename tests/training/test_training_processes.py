"""Training in processes of its own: two equal one, a killed one goes on, too few are noticed. Each takes a minute."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_planets import SMALL
from safetensors.torch import load_file

from ariel_scripts import cli
from modeling_ariel.predictions import read_predictions

pytestmark = pytest.mark.slow

SETTINGS = [word for setting in SMALL for word in ("--set", setting)]
NO_DROPOUT = [*SETTINGS, "--set", "hidden_dropout_prob=0.0"]  # its draws depend on which examples share a process
QUICK = ["--steps", "6", "--evaluate-every", "3", "--batch-size", "4", "--keep", "9", "--tracker", "none"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": str(cache), "ACCELERATE_USE_CPU": "true"}


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled planets, two visits of each."""
    out = tmp_path_factory.mktemp("data") / "curves"
    cli.call("simulate", out, "--fast", "--planets", 12, "--visits", 2, "--bins", 60, "--seed", 4)
    return out


def start(
    script: str, repository: Path, environment: dict[str, str], *arguments: object, processes: int = 1
) -> list[str]:
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
        launch += ["--num_processes", str(processes), "--main_process_port", "0"]
    return [*launch, str(repository / "scripts" / script), *(str(argument) for argument in arguments)]


def done(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"best/step-{step:06d}/model.safetensors")


def test_two_processes_fine_tune_as_one(
    curves: Path, repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    options = [curves, "--folds", 2, "--fold", 0, *QUICK, *NO_DROPOUT]
    for number in (1, 2):
        command = start(
            "finetune.py", repository, environment, *options, "--out", tmp_path / f"{number}", "--processes", number,
            processes=number,
        )  # fmt: skip
        result = done(command, environment)
        assert result.returncode == 0, result.stderr
    one, two = (weights(tmp_path / f"{number}" / "fold-0", 6) for number in (1, 2))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=2e-4)  # Adam divides by gradients near 0
    a, b = (read_predictions(tmp_path / f"{number}" / "predictions.parquet") for number in (1, 2))
    np.testing.assert_allclose(a.mu, b.mu, rtol=1e-5)
    np.testing.assert_allclose(a.sigma, b.sigma, rtol=1e-4)
    assert json.loads((tmp_path / "2/fold-0/model/training.json").read_text())["processes"] == 2


def test_two_processes_pretrain_as_one(repository: Path, environment: dict[str, str], tmp_path: Path) -> None:
    for number in (1, 2):
        options = ["--simulate", 0, "--validation", 4, *QUICK, *NO_DROPOUT, "--out", tmp_path / f"{number}"]
        result = done(start("pretrain.py", repository, environment, *options, processes=number), environment)
        assert result.returncode == 0, result.stderr
    one, two = (weights(tmp_path / f"{number}", 6) for number in (1, 2))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=2e-4)  # Adam divides by gradients near 0


LOCATED = """
import os
from ariel_scripts.opening.hub import Located
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.options.training_loop import LoopOptions
from ariel_scripts.training import run_setup
rank = int(os.environ["RANK"])
def found(name, revision=None):  # a branch that moves on between two questions
    return Located(name, f"cache-{rank}", f"{rank}" * 40 if revision in (None, "main") else revision)
run_setup.locate_dataset = run_setup.locate_model = found
options = PretrainOptions("a/b", model="c/d", revision="main", loop=LoopOptions(processes=2))
dataset, base = run_setup.locate(options)
open(f"rank-{rank}", "w").write(f"{dataset.commit} {base.commit} {dataset.location}")
"""


def test_two_processes_read_the_commits_that_the_first_one_found(environment: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "locate.py"
    script.write_text(LOCATED)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    launch += ["--num_processes", "2", "--main_process_port", "0", str(script)]
    result = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for rank in (0, 1):  # each with a copy of its own: the processes may be on two machines
        assert (tmp_path / f"rank-{rank}").read_text() == f"{'0' * 40} {'0' * 40} cache-{rank}"


def test_one_process_where_two_were_expected_is_refused(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    script = start("pretrain.py", repository, environment, "--simulate", 0, "--processes", 2, *QUICK, *SETTINGS)[1:]
    result = done([*launch, *script, "--out", str(tmp_path / "out")], environment)
    assert result.returncode != 0
    assert "processes: expected 2, found 1" in result.stderr


def test_a_killed_run_goes_on_to_the_same_result(
    curves: Path, repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    options = [curves, "--folds", 2, "--fold", 1, "--steps", 40, *QUICK[2:], *SETTINGS]
    whole = done(start("finetune.py", repository, environment, *options, "--out", tmp_path / "whole"), environment)
    assert whole.returncode == 0, whole.stderr
    command = start("finetune.py", repository, environment, *options, "--out", tmp_path / "killed")
    state = tmp_path / "killed/fold-1/state/progress.json"
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not state.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/fold-1/model").exists()
    resumed = done(command, environment)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step" in resumed.stderr
    one, two = (weights(tmp_path / name / "fold-1", 40) for name in ("whole", "killed"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-6)
    a, b = (read_predictions(tmp_path / name / "predictions.parquet") for name in ("whole", "killed"))
    np.testing.assert_array_equal(a.mu, b.mu)


def test_pretraining_on_a_stream_of_stored_curves_gives_the_same_twice(
    curves: Path, repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    options = [curves, "--validation", 2, *QUICK, *SETTINGS, "--out"]
    for name in ("a", "b"):
        result = done(start("pretrain.py", repository, environment, *options, tmp_path / name), environment)
        assert result.returncode == 0, result.stderr
    one, two = (weights(tmp_path / name, 6) for name in ("a", "b"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=0)
