"""One build of small real-format frames on every engine and into every kind of output: the same bytes everywhere.

Ray and Slurm are started on this machine by the scripts of bench/clusters, S3 is moto's server on loopback.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_scenes import timeless_contents
from datasets import load_dataset

from hf_dataset.simulation import planets, raw_folder

pytestmark = pytest.mark.cluster
FRAMES, BINS = 120, 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six planets of two visits, a test planet, and a file that is cut."""
    train, test = planets.sample_planets(6, 3, "2025"), planets.sample_planets(1, 4, "2025")
    raw = raw_folder.write_folder(
        tmp_path_factory.mktemp("clusters") / "raw", train, "2025", FRAMES, test_planets=test, visits=2
    )
    cut = sorted(raw.glob("train/*/FGS1_signal_1.parquet"))[2]
    cut.write_bytes(cut.read_bytes()[:5000])
    return raw


def run(*words: object, prefix: tuple[object, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """`ariel build-dataset`, in a process of its own, in the repository; in a cluster where `prefix` starts one."""
    settings = ["--bins", BINS, "--planets-per-shard", 2]
    command = [*prefix, sys.executable, "-m", "ariel_scripts.cli", "build-dataset", *words, *settings]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.fixture(scope="module")
def local(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local engine makes of the folder."""
    out = tmp_path_factory.mktemp("local") / "curves"
    done = run(root, out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "1 visit left out" in done.stderr
    return timeless_contents(out)


def nodes(out: Path) -> Counter[str]:
    """Visits by the node that reduced them."""
    return Counter(entry["node"] for entry in json.loads((out / "report.json").read_text())["visits"])


def ray(repository: Path) -> Path:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'ariel-hf[ray]'")
    return repository / "bench/clusters/ray.sh"


def slurm(repository: Path) -> Path:
    if missing := [name for name in ("slurmctld", "slurmd", "munged") if shutil.which(name, path="/usr/sbin") is None]:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    if os.geteuid():
        pytest.skip("Slurm's daemons are started by root only")
    return repository / "bench/clusters/slurm.sh"


def test_two_ray_nodes_make_the_bytes_of_the_local_engine(
    root: Path, local: dict[str, bytes], repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "curves"
    done = run(root, out, "--config", "configs/build-ray.yaml", prefix=(ray(repository),))
    assert done.returncode == 0, done.stderr
    assert timeless_contents(out) == local
    assert len(nodes(out)) == 2
    assert all(name.startswith("ray-") for name in nodes(out))
    assert sum(nodes(out).values()) == 14


KILLED = """
import logging, sys
from pathlib import Path
from fake_folder import open_fake, reduce_fake, set_visit, write_folder
from hf_dataset.build.run import build_dataset
from hf_dataset.build.plan import BuildOptions
logging.basicConfig(level=logging.WARNING)
root, out = write_folder(Path(sys.argv[1]) / "raw", dict.fromkeys(range(1, 9), 1)), Path(sys.argv[1]) / "out"
options = BuildOptions(engine="ray", workers=1, planets_per_shard=2, engine_options={"mem_per_cpu_gb": 1})
run = lambda: build_dataset(root, out, options, open_folder=open_fake, reduce_visit=reduce_fake)
set_visit(root, "train", 6, 0, "kill")
try:
    run()
except Exception as error:
    print(type(error).__name__, error)
set_visit(root, "train", 6, 0, "good")
print(run().rows)
"""


def test_a_ray_worker_killed_twice_ends_the_build_and_the_next_run_goes_on(repository: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [ray(repository), sys.executable, "-c", KILLED, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PATH": path, "PYTHONPATH": f"{repository / 'tests'}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert "WorkerKilled a Ray worker was killed 2 times in the same task" in done.stdout, done.stdout + done.stderr
    assert "in work were planet 6 visit 0; 3 of 4 shards are finished and kept" in done.stderr
    assert "{'train': 8}" in done.stdout


def test_slurm_jobs_make_the_bytes_of_the_local_engine(
    root: Path, local: dict[str, bytes], repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "curves"
    own = ("--engine-option", "tasks_per_job=1", "--engine-option", f"venv_path={Path(sys.prefix) / 'bin/activate'}")
    done = run(root, out, "--config", "configs/build-slurm.yaml", *own, prefix=(slurm(repository),))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submitted: 4 shards" in done.stderr
    assert timeless_contents(out) == local
    assert set(nodes(out)) == {"localhost"}
    assert not (out / ".build/submitted.json").exists()


def test_a_slurm_task_that_is_killed_leaves_the_others_and_is_made_by_the_next_run(
    root: Path, local: dict[str, bytes], repository: Path, tmp_path: Path
) -> None:
    """The first job of the array is cancelled before it begins; card and report say that its shard is missing."""
    out, build = tmp_path / "curves", f"{sys.executable} -m ariel_scripts.cli build-dataset"
    words = f"{root} {out} --bins {BINS} --planets-per-shard 2 --config configs/build-slurm.yaml"
    own = f"--engine-option tasks_per_job=1 --engine-option venv_path={Path(sys.prefix) / 'bin/activate'}"
    script = tmp_path / "cancelled.sh"
    script.write_text(
        "scontrol update NodeName=localhost State=DRAIN Reason=test\n"  # nothing starts
        f"{build} {words} {own}\n"
        f"{build} {words} {own}; echo again: $?\n"
        "scancel $(squeue --noheader --format=%A | sort -n | head -1)_0\n"
        "scontrol update NodeName=localhost State=RESUME\n"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    first = subprocess.run(
        [slurm(repository), "bash", script],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=repository,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
    )
    said = first.stdout + first.stderr
    assert first.returncode == 1, said
    assert "again: 1" in said
    assert re.search(r"a build on slurm, submitted from \S+ as ariel-\w+, has not ended \(.*PENDING.*\)", said)
    assert len(list((out / "manifest").glob("*.json"))) == 3
    assert not (out / "README.md").exists()
    log = "".join(path.read_text() for path in (out / ".build/logs_finish/slurm_logs").glob("*.out"))
    assert "expected 4 shards, 1 are missing: run it again" in log
    kept = {path: path.stat().st_mtime_ns for path in (out / "manifest").glob("*.json")}
    assert run(root, out, "--workers", 1).returncode == 0
    assert timeless_contents(out) == local
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An S3 on loopback with a bucket; the environment that leads to it."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'ariel-hf[s3]'")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    s3fs.S3FileSystem(key="test", secret="test", endpoint_url=endpoint).mkdir("bucket")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    yield {**keys, "FSSPEC_S3_ENDPOINT_URL": endpoint}
    running.stop()


def test_s3_gets_the_bytes_of_a_folder_and_load_dataset_reads_them(
    root: Path, local: dict[str, bytes], s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    options = {"key": "test", "secret": "test", "endpoint_url": s3["FSSPEC_S3_ENDPOINT_URL"]}
    store = s3fs.S3FileSystem(**options, use_listings_cache=False)
    done = run(root, "s3://bucket/here/curves", "--workers", 2, **s3)
    assert done.returncode == 0, done.stderr
    store.get("bucket/here/curves", str(tmp_path / "curves"), recursive=True)
    assert timeless_contents(tmp_path / "curves") == local
    assert json.loads((tmp_path / "curves/run.json").read_text())["status"] == "done"
    assert not (tmp_path / "curves/.build").exists()

    store.rm("bucket/here/curves/data/light_curves/train-00001-of-00003.parquet")
    assert run(root, "s3://bucket/here/curves", **s3).returncode == 0
    store.get("bucket/here/curves", str(tmp_path / "again"), recursive=True)
    assert timeless_contents(tmp_path / "again") == local
    refused = run(root, "s3://bucket/here/curves", "--validation-fraction", 0.5, **s3)
    assert (refused.returncode, "validation_fraction was 0.0, is 0.5" in refused.stderr) == (1, True)

    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    files = {"train": "s3://bucket/here/curves/data/light_curves/train-*.parquet"}
    rows = load_dataset("parquet", data_files=files, storage_options=options, cache_dir=str(tmp_path / "cache"))
    assert rows["train"].num_rows == 11
    streamed = load_dataset("parquet", data_files=files, storage_options=options, streaming=True)
    assert next(iter(streamed["train"].with_format("numpy")))["flux"].shape == (BINS, 283)


def test_an_engine_and_a_url_go_together(
    root: Path, local: dict[str, bytes], s3: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    import s3fs

    own = ("--config", "configs/build-ray.yaml")
    done = run(root, "s3://bucket/ray/curves", *own, prefix=(ray(repository),), **s3)
    assert done.returncode == 0, done.stderr
    options = {"key": "test", "secret": "test", "endpoint_url": s3["FSSPEC_S3_ENDPOINT_URL"]}
    s3fs.S3FileSystem(**options).get("bucket/ray/curves", str(tmp_path / "curves"), recursive=True)
    assert timeless_contents(tmp_path / "curves") == local
    assert len(nodes(tmp_path / "curves")) == 2
