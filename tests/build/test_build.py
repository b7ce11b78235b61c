"""The dataset builder on a fake folder, whose visits are cheap and go wrong on request."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build_scenes import BINS, contents, fake_build, options, visits
from datasets import load_dataset
from fake_folder import CODE, TRAIN, make_row, open_fake, reduce_fake, reduce_until_full, set_visit, write_folder
from filelock import FileLock
from huggingface_hub import DatasetCard

from hf_dataset.build import plan, progress, run
from hf_dataset.build.plan import make_plan
from hf_dataset.build.process_executor import WorkerKilled
from hf_dataset.build.progress import ProgressBar, ProgressLines, progress_path
from hf_dataset.build.run import BuildError
from hf_dataset.build.worker import BuildShards, build_shard
from hf_dataset.digests import source_hash
from hf_dataset.raw import layouts
from hf_dataset.raw.fingerprints import fingerprint
from hf_dataset.raw.layouts import RawDataError
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.splits import is_validation
from hf_dataset.store import lineage
from hf_dataset.store.shards import ShardName

CODE_VERSION = plan.code_version.__wrapped__  # without its cache
pytestmark = pytest.mark.usefixtures("same_code")


def test_every_visit_becomes_its_row_in_the_order_of_planets(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = fake_build(root, out, options())
    assert summary.rows == {"train": 8, "test": 3}
    assert not summary.failures
    assert visits(out, "train") == [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (4, 0), (5, 0), (6, 0)]
    assert visits(out, "test") == [(101, 0), (102, 0), (102, 1)]
    dataset = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    for split, rows in dataset.with_format("numpy").items():
        for row in rows:
            expected = make_row(int(row["planet_id"]), int(row["visit"]), BINS)
            np.testing.assert_array_equal(row["flux"], expected["flux"], err_msg=split)
            np.testing.assert_array_equal(row["valid"], expected["valid"])


def test_one_and_two_workers_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    fake_build(root, tmp_path / "one", options(workers=1))
    fake_build(root, tmp_path / "two", options(workers=2))
    assert len(contents(tmp_path / "one")) == 4
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_tasks_share_the_shards_out_each_to_one(root: Path, tmp_path: Path) -> None:
    whole = make_plan(open_fake(root), root, tmp_path / "out", options(planets_per_shard=1))
    (whole.out / lineage.STATE_DIR).mkdir(parents=True)
    for rank in range(3):
        before = set(contents(whole.out))
        list(BuildShards(whole, whole.shards, open_fake, reduce_fake).run(rank=rank, world_size=3))
        assert len(set(contents(whole.out)) - before) == len(whole.shards[rank::3])
    assert len(contents(whole.out)) == len(whole.shards) == 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("bad", r"3/1.txt: planet 3: expected 11,392 columns, found 1"),
        ("wrong", r"planet 3 visit 1: found the row of planet and visit \(4, 1\)"),
        ("nan", r"planet 3 visit 1: flux: expected finite values, found 1"),
        ("bug", r"planet 3 visit 1: unexpected KeyError: 'forgotten'"),
    ],
)
def test_a_bad_visit_is_reported_and_the_others_are_built(
    root: Path, tmp_path: Path, content: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    set_visit(root, "train", 3, 1, content)
    out = tmp_path / "out"
    summary = fake_build(root, out, options())
    assert summary.rows == {"train": 7, "test": 3}
    assert (3, 1) not in visits(out, "train")
    assert (3, 0) in visits(out, "train")
    [failure] = summary.failures
    assert (failure["planet_id"], failure["visit"], failure["split"]) == (3, 1, "train")
    assert re.search(reason, failure["error"])
    for text in ((out / "report.json").read_text(), (out / "report.md").read_text(), caplog.text):
        assert "planet 3" in text


def test_memory_that_the_system_refuses_to_map_stops_the_shard_and_leaves_no_visit_out(
    root: Path, tmp_path: Path
) -> None:
    def reduce(visit: Any, options: ReductionOptions) -> Any:
        try:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")  # as mmap says it
        except OSError as error:
            raise RawDataError(f"{visit.path}: cannot be decoded") from error

    folder = open_fake(root)
    whole = make_plan(folder, root, tmp_path / "out", options())
    with pytest.raises(MemoryError, match="planet 1 visit 0"):
        build_shard(whole, whole.shards[0], folder, reduce)
    assert not contents(tmp_path / "out")


def test_a_planet_without_signals_is_reported_not_overlooked(root: Path, tmp_path: Path) -> None:
    (root / "train" / "7").mkdir()
    summary = fake_build(root, tmp_path / "out", options())
    assert [failure["planet_id"] for failure in summary.failures] == [7]
    assert summary.rows["train"] == 8
    assert load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")).num_rows == 8


def test_a_planet_in_two_splits_goes_to_neither(root: Path, tmp_path: Path) -> None:
    set_visit(root, "test", 4, 0, "good")
    summary = fake_build(root, tmp_path / "out", options())
    assert [(entry["planet_id"], entry["split"]) for entry in summary.failures] == [(4, "train"), (4, "test")]
    assert "expected in one split" in summary.failures[0]["error"]


def test_a_build_without_a_single_row_fails_and_says_why(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "raw", {1: 1, 2: 1})
    for planet in (1, 2):
        set_visit(root, "train", planet, 0, "bad")
    with pytest.raises(RuntimeError, match=r"none of 2 visits gave a row.*planet 1: expected 11,392 columns"):
        fake_build(root, tmp_path / "out", options())
    assert "planet 2" in (tmp_path / "out/report.md").read_text()


def test_a_build_that_gave_no_row_can_be_repeated_with_other_settings(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "raw", {1: 1, 2: 1})
    for planet in (1, 2):
        set_visit(root, "train", planet, 0, "needs 9 bins")
    with pytest.raises(RuntimeError, match="none of 2 visits gave a row"):
        fake_build(root, tmp_path / "out", options())
    again = options(reduction=ReductionOptions(n_bins=9), planets_per_shard=1)
    assert fake_build(root, tmp_path / "out", again).rows == {"train": 2}
    assert sorted(contents(tmp_path / "out")) == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]


def test_a_folder_that_is_something_else_is_not_written_to(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "data").mkdir(parents=True)
    with pytest.raises(BuildError, match="expected a new folder or a dataset of this command, found data"):
        fake_build(root, out, options(restart=True))
    with pytest.raises(BuildError, match="other than the raw folder"):
        fake_build(root, root, options())


def test_a_url_in_the_memory_of_this_process_is_refused(root: Path) -> None:
    with pytest.raises(BuildError, match=r"memory://curves/?: expected a folder or a URL that workers reach"):
        fake_build(root, "memory://curves", options())


def test_a_dry_run_refuses_the_output_that_a_build_would(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "data").mkdir(parents=True)
    for out, message in ((tmp_path / "out", "found data"), (root, "other than the raw folder")):
        with pytest.raises(BuildError, match=message):
            run.dry_run(root, out, options(), open_folder=open_fake)


def test_what_has_no_planets_number_is_named_once(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train" / "notes").mkdir()
    folder = layouts.ChallengeFolder(root, "2025", ("train", "test"))
    make_plan(folder, root, tmp_path / "out", options())
    assert caplog.text.count("left out, as no planet's number: notes") == 1


def test_a_second_build_of_the_same_folder_is_refused(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / lineage.STATE_DIR).mkdir(parents=True)
    with FileLock(out / lineage.STATE_DIR / "lock"), pytest.raises(BuildError, match="another build is writing it"):
        fake_build(root, out, options())
    assert fake_build(root, out, options()).rows["train"] == 8


def test_a_dry_run_tells_what_would_be_built_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = run.dry_run(root, out, options(validation_fraction=0.5), open_folder=open_fake)
    assert re.search(r"train: \d planets", text)
    assert re.search(r"validation: \d planets", text)
    assert "test: 2 planets, 3 visits in 1 shard" in text
    assert not out.exists()


def test_validation_planets_are_chosen_by_their_hash_with_all_their_visits(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options(validation_fraction=0.4, seed=3))
    chosen = {planet for planet in TRAIN if is_validation(planet, 0.4, 3)}
    assert 0 < len(chosen) < len(TRAIN)
    held_out, kept = Counter(p for p, _ in visits(out, "validation")), Counter(p for p, _ in visits(out, "train"))
    assert held_out == {planet: TRAIN[planet] for planet in chosen}
    assert kept == {planet: TRAIN[planet] for planet in set(TRAIN) - chosen}
    names = [split["name"] for split in DatasetCard.load(out / "README.md").data.dataset_info[0]["splits"]]
    assert names == ["train", "validation", "test"]


def test_planets_can_be_chosen_by_name_or_number(root: Path, tmp_path: Path) -> None:
    fake_build(root, tmp_path / "named", options(planets=[102, 5, 1]))
    assert visits(tmp_path / "named", "train") == [(1, 0), (1, 1), (5, 0)]
    assert visits(tmp_path / "named", "test") == [(102, 0), (102, 1)]
    fake_build(root, tmp_path / "first", options(limit=1))
    assert visits(tmp_path / "first", "train") == [(1, 0), (1, 1)]
    with pytest.raises(RawDataError, match=r"expected the planets \[77\] in train or test"):
        fake_build(root, tmp_path / "none", options(planets=[1, 77]))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"workers": 0}, "workers: expected at least 1"), ({"validation_fraction": 1.5}, "expected 0 ≤ fraction < 1")],
)
def test_impossible_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_memory_does_not_grow_with_the_number_of_planets(tmp_path: Path) -> None:
    """A row of 375 bins is 1 MB, a row group 16 rows: had rows been kept, 60 more would show."""
    root = write_folder(tmp_path / "raw", dict.fromkeys(range(1, 101), 1))
    full = options(reduction=ReductionOptions(n_bins=375), planets_per_shard=100)
    fake_build(root, tmp_path / "out", full)
    entries = json.loads((tmp_path / "out/report.json").read_text())["visits"]
    assert len(entries) == 100
    assert entries[-1]["peak_mb"] - entries[39]["peak_mb"] < 15


def test_the_report_has_seconds_and_figures_of_every_visit(root: Path, tmp_path: Path) -> None:
    fake_build(root, tmp_path / "out", options())
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert len(report["visits"]) == 11
    assert all(
        entry["seconds"] >= 0 and entry["report"]["quality"]["FGS1"]["hit_samples"] == 7 for entry in report["visits"]
    )
    table = (tmp_path / "out/report.md").read_text()
    assert "| hits [pixel samples] |" in table
    assert table.count("| train |") == 8


def test_a_manifest_names_input_settings_and_code_of_its_shard(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    manifest = json.loads((out / "manifest/train-00000-of-00003.json").read_text())
    assert set(manifest["inputs"]) == {"train.csv", "train/1/0.txt", "train/1/1.txt", "train/2/0.txt"}
    assert manifest["inputs"]["train/1/0.txt"] == fingerprint(root / "train/1/0.txt")
    assert manifest["settings"]["reduction"]["n_bins"] == BINS
    data = out / manifest["shard"]
    assert (manifest["bytes"], manifest["sha256"]) == (
        data.stat().st_size,
        hashlib.sha256(data.read_bytes()).hexdigest(),
    )
    assert manifest["code"] == CODE


def test_the_codes_version_is_the_packages_and_a_hash_of_the_sources_that_make_rows() -> None:
    assert CODE_VERSION() == {"ariel-hf": importlib.metadata.version("ariel-hf"), "source": source_hash()}


# --- interruption --------------------------------------------------------------------------------------------------


def start(root: Path, out: Path) -> subprocess.Popen[str]:
    """A slow build in a process of its own."""
    script = Path(__file__).parents[1].joinpath("interrupted_build.py")
    return subprocess.Popen(
        [sys.executable, script, root, out], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def workers_of(group: int) -> list[int]:
    """Processes of the group that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "large", {planet: 1 + planet % 2 for planet in range(1, 25)})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_build_that_is_stopped_goes_on_to_the_same_bytes(large: Path, tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "out"
    process = start(large, out)
    wait_for(lambda: len(list((out / "manifest").glob("*.json"))) >= 3)
    os.kill(process.pid, how)
    _, log = process.communicate(timeout=30)
    assert process.returncode != 0
    wait_for(lambda: not workers_of(process.pid), 10)
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "manifest").glob("*.json")}
    assert 3 <= len(kept) < 12
    if how == signal.SIGINT:
        assert "shards are finished and kept: run the same command again to go on" in log
        assert not list((out / "data").rglob(".*"))

    run.build_dataset(large, out, options(), open_folder=open_fake, reduce_visit=reduce_fake)
    assert not list((out / "data").rglob(".*"))
    assert kept == {
        path.name: path.stat().st_mtime_ns for path in (out / "manifest").glob("*.json") if path.name in kept
    }
    fake_build(large, tmp_path / "whole", options())
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("moment", [".build/lock", "manifest/train-00000-of-00012.json"], ids=["starting", "running"])
def test_ctrl_c_shows_one_message_and_no_stack_trace_of_a_worker(large: Path, tmp_path: Path, moment: str) -> None:
    process = start(large, tmp_path / "out")
    wait_for((tmp_path / "out" / moment).exists)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to every process of the group
    _, log = process.communicate(timeout=30)
    assert log.count("run the same command again to go on") == 1 or (moment == ".build/lock" and "stopped" not in log)
    assert process.returncode == 130
    assert "Traceback" not in log


def test_a_killed_worker_is_an_error_that_names_the_planet_and_what_is_finished_stays(
    large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_visit(large, "train", 20, 0, "kill")
    out = tmp_path / "out"
    with pytest.raises(WorkerKilled, match="killed"):
        fake_build(large, out, options())
    assert "in work were planet 20 visit 0; 9 of 12 shards are finished and kept" in caplog.text
    assert len(list((out / "manifest").glob("*.json"))) == 9
    set_visit(large, "train", 20, 0, "good")
    assert fake_build(large, out, options()).rows == {"train": 36}


def test_a_full_disk_stops_the_build_and_keeps_what_is_finished(
    large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    limited = partial(run.build_dataset, open_folder=open_fake, reduce_visit=reduce_until_full)
    with pytest.raises(OSError, match="File too large"):
        limited(large, out, options())
    assert re.search(r"stopped by OSError.*; [1-9]\d? of 12 shards are finished and kept", caplog.text)
    assert not list((out / "data").rglob(".*"))


def test_progress_counts_each_visit_once_though_a_task_begins_anew_and_lines_are_garbled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "POLL_S", 0.01)
    caplog.set_level(logging.DEBUG, logger="hf_dataset.build.progress")
    shard = plan.Shard(ShardName("train", 0, 1), "train", tuple((planet, 0) for planet in range(4)))
    entries = [{"planet_id": planet, "visit": 0, "seconds": 0.1, "node": "first"} for planet in range(4)]
    with ProgressBar(tmp_path, [shard]):
        for node, n_done in (("first", 2), ("the second, whose lines are longer", 4)):
            lines = ProgressLines(tmp_path, shard)
            for entry in entries[:n_done]:
                lines.add({**entry, "node": node})
                time.sleep(0.05)
            if n_done == 2:
                path = progress_path(tmp_path, shard)
                path.write_bytes(path.read_bytes() + b'{"planet_id": \n')  # takes the place of planet 2's
                time.sleep(0.05)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "planet 0 visit 0",
        "planet 1 visit 0",
        "planet 3 visit 0",
    ]
