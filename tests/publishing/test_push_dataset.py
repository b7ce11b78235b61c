"""From simulated raw frames to `load_dataset` of a Hub id, through the real commands and clients."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from local_hub import Fault, LocalHub
from push_scenes import traffic

from ariel_scripts.cli import call
from hf_dataset.simulation import planets, raw_folder
from hf_dataset.store.card import read_wavelengths, write_card

REPO = "observer/ariel-small"
FRAMES, BINS = 120, 20


def digest(rows: Any) -> str:
    """Hash of the rows in NumPy's format: who, when, fluxes, errors, flags, pointing, truth."""
    parts = hashlib.sha256()
    for row in rows:
        for name in ("planet_id", "visit", "time", "flux", "flux_err", "valid", "centroid"):
            parts.update(np.ascontiguousarray(row[name]).tobytes())
        parts.update(np.asarray(-1 if row["spectrum"] is None else row["spectrum"], np.float32).tobytes())
    return parts.hexdigest()


LOAD = f"""
import datasets, hashlib, json
import numpy as np
from datasets import load_dataset
from typing import Any

{inspect.getsource(digest)}

whole = load_dataset("{REPO}").with_format("numpy")
said = {{"whole": {{split: digest(rows) for split, rows in whole.items()}}}}
curves = load_dataset("{REPO}", "light_curves", revision="v1").with_format("numpy")
said["light_curves"] = {{split: digest(rows) for split, rows in curves.items()}}
stream = load_dataset("{REPO}", streaming=True)
said["streaming"] = {{split: digest(rows.with_format("numpy")) for split, rows in stream.items()}}
said["features"] = str(whole["train"].features) == str(stream["train"].features)
sample = load_dataset("{REPO}", "sample").with_format("numpy")
said["sample"] = {{split: [int(row["planet_id"]) for row in rows] for split, rows in sample.items()}}
said["configs"] = sorted(datasets.get_dataset_config_names("{REPO}"))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ariel build-dataset` makes of simulated raw frames: three labelled planets and one of the test split."""
    root = tmp_path_factory.mktemp("built")
    train, test = planets.sample_planets(3, 1, "2024"), planets.sample_planets(1, 2, "2024")
    raw_folder.write_folder(root / "raw", train, "2024", FRAMES, test_planets=test)
    call("build-dataset", root / "raw", root / "curves", "--bins", BINS, "--workers", 1, "--quiet")
    return root / "curves"


@pytest.fixture(scope="module")
def published(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A Hub that a process of `ariel push` published the dataset on."""
    with LocalHub() as hub:
        done = hub.run(["ariel", "push", "dataset", REPO, built], tmp_path_factory.mktemp("owner"))
        assert f"published: {hub.endpoint}/datasets/{REPO} commit" in done.stdout
        yield hub


def test_a_dataset_of_raw_frames_is_loaded_from_the_hub_whole_by_config_and_streaming_bit_for_bit(
    published: LocalHub, built: Path, tmp_path: Path
) -> None:
    local = load_dataset(str(built), cache_dir=str(tmp_path / "local")).with_format("numpy")
    expected = {split: digest(rows) for split, rows in local.items()}
    ids = {int(planet_id) for rows in local.values() for planet_id in rows["planet_id"]}
    assert "test" in expected
    for process in ("first", "second"):  # the second finds the cache of the first
        found = json.loads(published.run(LOAD, tmp_path / "home", package=False).stdout.splitlines()[-1])
        assert found["whole"] == found["light_curves"] == found["streaming"] == expected, process
        assert found["features"]
        assert found["configs"] == ["light_curves", "previews", "sample"]
        assert set(found["sample"]) <= set(expected)
        assert {planet_id for rows in found["sample"].values() for planet_id in rows} <= ids
        assert all(found["sample"].values())


def test_the_command_pushed_again_sends_nothing_and_lists_every_file_in_a_dry_run(
    published: LocalHub, built: Path, tmp_path: Path
) -> None:
    before = traffic(published, REPO)
    assert before[1] == 1
    done = published.run(["ariel", "push", "dataset", REPO, built, "--quiet"], tmp_path)
    assert "nothing to send" in done.stdout
    assert "tag v1" in done.stdout
    assert not done.stderr.strip()
    done = published.run(["ariel", "push", "dataset", REPO, built, "--dry-run"], tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    listed = {line[-1] for line in lines if line[0] == "unchanged"}
    assert listed == set(published.files("dataset", REPO)) - {".gitattributes"}
    assert traffic(published, REPO) == before


def test_of_simulated_light_curves_only_what_changed_goes(hub: LocalHub, tmp_path: Path) -> None:
    whole, part = tmp_path / "one/curves", tmp_path / "none/curves"
    call("simulate", whole, "--fast", "--planets", 3, "--test-planets", 1, "--bins", 40, "--quiet")
    shutil.copytree(whole, part)
    for shard in part.rglob("test-*.parquet"):
        shard.unlink()
    write_card(part, read_wavelengths(part))
    hub.run(["ariel", "push", "dataset", REPO, whole], tmp_path / "home")
    first = hub.files("dataset", REPO)
    assert "license: apache-2.0" in first["README.md"].decode()
    done = hub.run(["ariel", "push", "dataset", REPO, part], tmp_path / "home")
    last = hub.files("dataset", REPO)
    gone = {path for path in first if path.startswith("data/") and "test" in path}
    assert gone
    gone |= {path for path in first if path.startswith("previews/test")}
    assert set(first) - set(last) == gone
    kept = [path for path in last if path.endswith(".parquet") and last[path] == first[path]]
    assert any("train" in path for path in kept)
    told = {tuple(line.split()[:: len(line.split()) - 1]) for line in done.stdout.splitlines() if "  " in line}
    assert {path for what, path in told if what == "deleted"} == gone
    assert {path for what, path in told if what == "changed"} == {
        path for path in set(first) & set(last) if first[path] != last[path]
    }
    assert set(hub.repo("dataset", REPO).tags) == {"v1", "v2"}
    (part / kept[0]).write_bytes(b"PAR1 broken")
    before = traffic(hub, REPO)
    refused = hub.run(["ariel", "push", "dataset", REPO, part], tmp_path / "home", check=False)
    assert refused.returncode == 1
    assert Path(kept[0]).name in refused.stderr
    assert traffic(hub, REPO) == before


@pytest.mark.slow
def test_ctrl_c_while_large_files_go_ends_the_command_at_once_and_says_what_is_on_the_hub(
    built: Path, hub: LocalHub, tmp_path: Path
) -> None:
    hub.faults = [Fault("PUT /lfs/*", hang=60, times=99)]
    command = [sys.executable, "-m", "ariel_scripts.cli", "push", "dataset", REPO, built]
    with subprocess.Popen(
        [*map(str, command)], env=hub.environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 120
        while hub.faults[0].times > 97 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - sent < 10
    assert "interrupted. A push is one commit: nothing is half published." in said
    assert "Run the same command again to go on." in said
    assert "Traceback" not in said
    assert set(hub.files("dataset", REPO)) == {".gitattributes"}
    assert not hub.repo("dataset", REPO).tags
    hub.faults = []
    hub.run(["ariel", "push", "dataset", REPO, built], tmp_path)
    assert set(hub.repo("dataset", REPO).tags) == {"v1"}
