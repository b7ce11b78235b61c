"""`ariel build-dataset` as people run it, on real-format frames, stopped in every way: nothing lost, nothing mixed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from low_memory import reduce_in_little_memory

from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.run import build_dataset
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.simulation import planets, raw_folder
from hf_dataset.store.shards import find_shards

N_PLANETS, FRAMES, BINS, PER_SHARD, WORKERS = 3, 80, 20, 1, 2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three planets of two visits, in the 2025 layout."""
    sample = planets.sample_planets(N_PLANETS, 3, "2025")
    return raw_folder.write_folder(tmp_path_factory.mktemp("killed") / "raw", sample, "2025", FRAMES, visits=2)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """What a build makes that nothing stops, and the seconds that it takes."""
    out, began = tmp_path_factory.mktemp("whole") / "out", time.monotonic()
    assert finish(root, out)[0] == 0
    return contents(out), time.monotonic() - began


def start(root: Path, out: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal would have it."""
    command = [sys.executable, "-m", "ariel_scripts.cli", "build-dataset", root, out]
    settings = {"--bins": BINS, "--workers": WORKERS, "--planets-per-shard": PER_SHARD}
    words = [str(word) for word in (*command, *(part for pair in settings.items() for part in pair))]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(root: Path, out: Path) -> tuple[int, str]:
    """Run the command to its end: exit code and what it said."""
    process = start(root, out)
    _, log = process.communicate(timeout=120)
    return process.returncode, log


def contents(out: Path) -> dict[str, bytes]:
    """Shards and card, byte by byte."""
    paths = [path for paths in find_shards(out).values() for path in paths] + [out / "README.md"]
    return {path.name: path.read_bytes() for path in paths}


def processes(group: int) -> dict[int, int]:
    """Process → its parent, of the living of a process group."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, of_group = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # ended meanwhile
            continue
        if int(of_group) == group and state != "Z":
            found[int(path.parent.name)] = int(parent)
    return found


def workers(group: int) -> list[int]:
    """The processes that reduce visits: children of the fork server, which is a child of the build."""
    return [process for process, parent in processes(group).items() if group not in (process, parent)]


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def kill(process: subprocess.Popen[str], what: str) -> str:
    """SIGKILL the build, or one of its workers where it has one; what it said until its end."""
    victims = workers(process.pid) if what == "worker" else []
    with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
        os.kill(random.choice(victims) if victims else process.pid, signal.SIGKILL)
    _, log = process.communicate(timeout=60)
    wait_for(lambda: not processes(process.pid))  # workers end with their build
    return log


def done_twice(out: Path) -> float:
    """Seconds of work that a stopped build leaves to be done again: visits reduced for shards that aren't finished."""
    lines = [
        json.loads(line)
        for path in (out / ".build" / "progress").glob("*.jsonl")
        if not (out / "manifest" / f"{path.stem}.json").exists()
        for line in path.read_text().splitlines()
    ]
    return sum(line["seconds"] for line in lines)


@pytest.mark.slow
def test_a_build_killed_again_and_again_ends_in_the_same_bytes(
    root: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    expected, seconds = whole
    chance = random.Random(1)
    for what in ("build", "worker"):
        process = start(root, tmp_path / "out")
        time.sleep(chance.uniform(0.3, 0.9) * seconds)
        log = kill(process, what)
        assert "Traceback" not in log
        assert done_twice(tmp_path / "out") < 60
    assert finish(root, tmp_path / "out")[0] == 0
    assert contents(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("what", ["build", "worker"])
def test_sigkill_at_a_random_moment_costs_no_byte(
    root: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path, what: str, seed: int
) -> None:
    expected, seconds = whole
    process = start(root, tmp_path / "out")
    time.sleep(random.Random(seed).uniform(0, 1) * seconds)
    kill(process, what)
    assert done_twice(tmp_path / "out") < 60
    code, log = finish(root, tmp_path / "out")
    assert code == 0, log
    assert contents(tmp_path / "out") == expected


def test_ctrl_c_ends_with_one_message_and_exit_code_130(root: Path, tmp_path: Path) -> None:
    process = start(root, tmp_path / "out")
    wait_for(lambda: workers(process.pid))
    os.killpg(process.pid, signal.SIGINT)  # to every process of the group, as the terminal does
    _, log = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in log
    assert log.count("run the same command again to go on") == 1
    wait_for(lambda: not processes(process.pid))


def test_a_second_build_of_the_same_output_says_so_and_leaves_the_first_alone(
    root: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    first = start(root, tmp_path / "out")
    wait_for(lambda: workers(first.pid))
    os.kill(first.pid, signal.SIGSTOP)  # so that it can't end before the second begins
    code, log = finish(root, tmp_path / "out")
    os.kill(first.pid, signal.SIGCONT)
    assert code == 1
    assert "another build is writing it" in log
    assert "Traceback" not in log
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert contents(tmp_path / "out") == whole[0]


def test_a_worker_out_of_memory_stops_the_build_and_leaves_no_planet_out(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = BuildOptions(reduction=ReductionOptions(n_bins=BINS), workers=1, planets_per_shard=PER_SHARD)
    with pytest.raises(MemoryError, match="planet"):
        build_dataset(root, tmp_path / "out", options, reduce_visit=reduce_in_little_memory)
    assert "1 of 3 shards are finished and kept" in caplog.text
    assert "in work were planet" in caplog.text
    summary = build_dataset(root, tmp_path / "out", options)
    assert summary.rows == {"train": 2 * N_PLANETS}
    assert not summary.failures


@pytest.fixture(params=["120k", "240k"], ids=["too small for the shards", "too small for the card"])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system that is too small for the dataset."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_full_disk_keeps_what_is_finished_and_more_room_is_enough_to_go_on(
    root: Path, whole: tuple[dict[str, bytes], float], small_disk: Path
) -> None:
    out = small_disk / "out"
    code, log = finish(root, out)
    assert code == 1
    assert "No space left on device" in log
    assert "Traceback" not in log
    n_finished = len(list((out / "manifest").glob("*.json")))
    assert f"{n_finished} of 3 shards are finished and kept" in log
    assert ("card and report are missing" in log) == (n_finished == 3)
    assert "run the same command again to go on" in log
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    assert finish(root, out)[0] == 0
    assert contents(out) == whole[0]
