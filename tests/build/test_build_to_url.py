"""Datasets built into a URL: the same bytes as in a folder, resumed, held by a lease."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from build_scenes import timeless_contents
from datasets import load_dataset
from fake_folder import make_row, open_fake, reduce_fake, reduce_until_full, set_visit, write_folder
from object_store import ShelfFileSystem, ShelfPath

from hf_dataset import folders
from hf_dataset.build import locks, plan, resume, run
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.process_executor import WorkerKilled
from hf_dataset.build.resume import BuildConflict
from hf_dataset.build.run import BuildError
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.card import read_wavelengths
from hf_dataset.store.shards import find_shards

BINS = 8
url_build = partial(run.build_dataset, open_folder=open_fake, reduce_visit=reduce_fake)
pytestmark = pytest.mark.usefixtures("same_code")


def options(**changes: Any) -> BuildOptions:
    return BuildOptions(**{"reduction": ReductionOptions(n_bins=BINS), "workers": 2, "planets_per_shard": 2, **changes})


def url(folder: Path) -> ShelfPath:
    return ShelfPath(f"shelf://{folder}")


@pytest.mark.parametrize("kind", ["file", "shelf"])
def test_a_url_gets_the_bytes_that_a_folder_gets(root: Path, tmp_path: Path, kind: str) -> None:
    set_visit(root, "train", 3, 1, "bad")
    plain = url_build(root, tmp_path / "folder" / "curves", options(workers=1))
    there = tmp_path / "url" / "curves"
    summary = url_build(root, f"{kind}://{there}", options())
    assert summary.rows == plain.rows
    assert timeless_contents(there) == timeless_contents(tmp_path / "folder" / "curves")
    assert {"report.json", "report.md"} <= {path.name for path in there.iterdir()}
    assert not [path.name for path in there.rglob("*.jsonl")]
    assert url_build(root, f"{kind}://{there}", options()).rows == plain.rows  # finished, not done again


def test_a_dataset_at_a_url_is_read_back_by_load_dataset(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)  # it would refuse any URL
    out = url(tmp_path / "curves")
    url_build(root, out, options())
    files = {split: f"{out}/data/light_curves/{split}-*.parquet" for split in ("train", "test")}
    dataset = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache")).with_format("numpy")
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 8, "test": 3}
    row = dataset["test"][2]
    assert (row["flux"] == make_row(102, 1, BINS)["flux"]).all()
    assert read_wavelengths(out).shape == (283,)


def test_a_build_into_a_url_makes_only_the_missing_shard_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "curves"
    url_build(root, url(out), options())
    before = timeless_contents(out)
    paths = sorted((out / "data/light_curves").rglob("*.parquet"))
    times = {path: path.stat().st_mtime_ns for path in paths}
    paths[1].unlink()
    url_build(root, url(out), options())
    assert timeless_contents(out) == before
    assert [path for path, then in times.items() if path.stat().st_mtime_ns != then] == [paths[1]]


def test_a_url_begun_with_other_settings_is_refused_until_restart(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "curves"
    url_build(root, url(out), options())
    with pytest.raises(BuildConflict, match=r"reduction.n_bins was 8, is 9"):
        url_build(root, url(out), options(reduction=ReductionOptions(n_bins=9)))
    url_build(root, url(out), options(reduction=ReductionOptions(n_bins=9), restart=True))
    assert [len(paths) for paths in find_shards(folders.folder(url(out))).values()] == [1, 3]
    assert not resume.unfinished(
        plan.make_plan(open_fake(root), root, folders.folder(url(out)), options(reduction=ReductionOptions(9))),
        open_fake(root),
    )


def test_a_worker_killed_in_a_build_into_a_url_is_named_with_its_planet(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_visit(root, "train", 4, 0, "kill")
    with pytest.raises(WorkerKilled):
        url_build(root, url(tmp_path / "curves"), options(workers=1))
    assert "in work were planet 4 visit 0; 1 of 4 shards are finished and kept" in caplog.text
    set_visit(root, "train", 4, 0, "good")
    assert url_build(root, url(tmp_path / "curves"), options()).rows == {"train": 8, "test": 3}


def test_an_upload_that_fails_leaves_no_shard_and_no_manifest(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "raw", {planet: 1 for planet in range(7, 13)})
    with pytest.raises(OSError, match="File too large"):
        url_build(root, url(tmp_path / "curves"), options(workers=1), reduce_visit=reduce_until_full)
    shards, manifests = (
        {path.stem for path in (tmp_path / "curves" / name).rglob("*.*") if path.is_file()}
        for name in ("data", "manifest")
    )
    assert shards == manifests
    assert len(shards) < 3


def held(path: Path, seconds: float) -> None:
    """A lease of somebody else for so many seconds more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "token": "x", "until": time.time() + seconds}))


def test_a_url_that_another_build_holds_is_refused_with_its_name_and_a_void_lease_is_taken_over(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lease = tmp_path / "curves" / ".build" / "lock"
    held(lease, 100)
    with pytest.raises(BuildError, match=r"a build on elsewhere \(process 7, lease until 20.*\) is writing it"):
        url_build(root, url(tmp_path / "curves"), options())
    assert "elsewhere" in lease.read_text()
    held(lease, -1)
    assert url_build(root, url(tmp_path / "curves"), options()).rows["train"] == 8
    assert "elsewhere" in caplog.text
    assert not lease.exists()


def test_a_lease_is_renewed_and_one_that_was_taken_over_stops_its_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "RENEW_S", 0.01)
    lease = tmp_path / "lock"
    with locks.hold(folders.folder(url(lease))):
        first = json.loads(lease.read_text())["until"]
        wait_for(lambda: json.loads(lease.read_text())["until"] > first)
    assert not lease.exists()
    with (
        pytest.raises(locks.FolderInUse, match="taken over by a build on elsewhere"),
        locks.hold(folders.folder(url(lease))),
    ):
        wait_for(lambda: held(lease, 100))  # again and again, as a renewal under way may overwrite it
    assert lease.exists()


def test_a_lease_outlives_a_failing_renewal_and_stops_its_build_when_it_is_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "RENEW_S", 0.01)
    lease, fails = tmp_path / "lock", threading.Event()
    upload = ShelfFileSystem.pipe_file

    def pipe_file(*arguments: Any, **options: Any) -> Any:
        if fails.is_set():
            raise RuntimeError("could not connect")  # botocore's errors are no OSErrors either
        return upload(*arguments, **options)

    monkeypatch.setattr(ShelfFileSystem, "pipe_file", pipe_file)
    with locks.hold(folders.folder(url(lease))):
        fails.set()
        wait_for(lambda: "the lease could not be renewed: could not connect" in caplog.text)
        first = json.loads(lease.read_text())["until"]
        fails.clear()
        wait_for(lambda: json.loads(lease.read_text())["until"] > first)
    monkeypatch.setattr(locks, "LEASE_S", 0.1)
    with (
        pytest.raises(locks.FolderInUse, match=r"could not be renewed for 0.1 s \(could not connect\)"),
        locks.hold(folders.folder(url(lease))),
    ):
        wait_for(fails.set)  # which returns None: until the build is stopped


def test_a_lost_lease_stops_a_build_in_the_background_where_the_shell_ignores_sigint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "RENEW_S", 0.01)
    lease = tmp_path / "lock"
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(locks.FolderInUse, match="was taken over"), locks.hold(folders.folder(url(lease))):
            wait_for(lambda: held(lease, 100))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def test_progress_of_a_url_counts_every_visit_and_logs_failures_once(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_visit(root, "train", 3, 1, "bad")
    caplog.set_level(logging.DEBUG, logger="hf_dataset.build.progress")
    url_build(root, url(tmp_path / "curves"), options())
    lines = [record.getMessage() for record in caplog.records if record.name == "hf_dataset.build.progress"]
    assert len(lines) == 11
    assert len([line for line in lines if re.match("planet 3 visit 1 left out", line)]) == 1


@pytest.mark.parametrize("where", ["nosuch://a/b", "foo+bar://a"])
def test_a_url_that_nothing_can_open_is_named(where: str, root: Path) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(where)}: expected a path or a URL that fsspec can open"):
        url_build(root, where, options())
