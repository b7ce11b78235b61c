"""The Space's repository: what goes into it, what is refused; it starts where this package is not installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from gradio_client import Client
from local_hub import LocalHub
from space_scenes import engine, planet, sample_folder
from space_server import started

from ariel_scripts.commands.push import related_to
from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.publishing import space_release as _space_release
from ariel_scripts.publishing.release import Related, Release
from ariel_scripts.publishing.space_release import HEADER, import_closure, space_release

REPO = "observer/ariel-space"

# As a Space runs it: only site-packages and the repository; -I -S leaves out what .pth files add, the checkout.
START = """\
import importlib.util, os, runpy, sys
sys.path.append({site!r})
names = ("hf_dataset", "modeling_ariel", "ariel_scripts", "engine")
found = [name for name in names if importlib.util.find_spec(name)]
if found:
    raise SystemExit(f"expected a process without {{found}}")
sys.path.insert(0, os.getcwd())
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


FIT = (
    START.split("sys.argv")[0]
    + """\
from pathlib import Path
from engine.telescope import fit
from engine.telescope_examples import KNOWN, write_example
from uploads.curves import observation_of, read_curves

out = Path({out!r})
path = write_example("hubble", out)
print(fit([observation_of(row) for row in read_curves(path, {{}})], KNOWN, path.name, out))
"""
)


@pytest.fixture(scope="module")
def sample() -> Path:
    """The sample; a stand-in for its ranking, which takes half a minute to make."""
    folder = sample_folder()
    (folder / "scores.json").write_text("{}\n")
    return folder


@pytest.fixture
def release(repository: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setattr(_space_release, "sample_folder", lambda folder: sample)
    return space_release(repository / "space", REPO)


@pytest.fixture
def space(repository: Path, tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the Space's folder, to be spoiled."""
    monkeypatch.setattr(_space_release, "sample_folder", lambda folder: sample)
    return Path(shutil.copytree(repository / "space", tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__")))


# --- what it holds -------------------------------------------------------------------------------------------------


def test_it_holds_the_app_the_modules_that_it_needs_the_checkpoint_and_the_sample(release: Release) -> None:
    paths = set(release.files)
    assert {"README.md", "requirements.txt", "app.py", "engine/sample.py", "hf_dataset/__init__.py"} <= paths
    assert {"modeling_ariel/modeling_ariel.py", "modeling_ariel/released/model.safetensors"} <= paths
    assert "modeling_ariel/transients/released/model.safetensors" in paths
    assert {"sample_data/sample.json", "sample_data/scores.json"} <= paths
    assert any(path.startswith("sample_data/data/light_curves/") for path in paths)
    assert "hf_dataset/simulation/light_curves.py" in paths
    assert {"ariel_scripts/telescope_fit/tables.py", "ariel_scripts/light_curves/hdf5.py"} <= paths
    assert {f"ariel_scripts/report/templates/{name}" for name in ("page.html.j2", "sections/orbit.html.j2")} <= paths
    for unwanted in (
        "hf_dataset/build/run.py",
        "hf_dataset/build/ray_executor.py",
        "hf_dataset/build/worker.py",
        "ariel_scripts/cli.py",
    ):
        assert unwanted not in paths
    assert not [path for path in paths if path.startswith(("tests/", "scripts/", "bench/")) or "__pycache__" in path]


def test_modules_are_found_at_any_depth_and_inside_functions(tmp_path: Path) -> None:
    package = tmp_path / "hf_dataset"
    (package / "deep").mkdir(parents=True)
    for name, text in {
        "__init__.py": "", "a.py": "def later():\n    from hf_dataset.deep import b\n", "c.py": "", "d.py": "",
        "deep/__init__.py": "", "deep/b.py": "from ..c import anything\nfrom . import e\n", "deep/e.py": "",
    }.items():  # fmt: skip
        (package / name).write_text(text)
    (tmp_path / "app.py").write_text("import numpy\nimport hf_dataset.a\n")
    found = import_closure([tmp_path / "app.py"], tmp_path)
    assert set(found) == {
        "hf_dataset/__init__.py", "hf_dataset/a.py", "hf_dataset/c.py", "hf_dataset/deep/__init__.py",
        "hf_dataset/deep/b.py", "hf_dataset/deep/e.py",
    }  # fmt: skip


def test_alone_it_fits_light_curves_of_another_telescope(release: Release, tmp_path: Path) -> None:
    for name, content in release.files.items():
        path = tmp_path / "space" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    code = FIT.format(site=sysconfig.get_paths()["purelib"], out=str(tmp_path))
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "space", capture_output=True, text=True, timeout=300)
    assert "The error bars can be believed" in done.stdout, done.stderr
    assert "Transit fit of hubble" in (tmp_path / "index.html").read_text()


def test_its_header_names_thumbnail_model_and_dataset_of_the_repository(repository: Path, release: Release) -> None:
    plain = metadata_of(release)
    assert plain["thumbnail"] == f"https://huggingface.co/spaces/{REPO}/resolve/main/thumbnail.png"
    assert "thumbnail.png" in release.files
    assert not {"models", "datasets"} & set(plain)
    related = Related(model="observer/spectra", dataset="observer/curves")
    named = metadata_of(space_release(repository / "space", REPO, related))
    assert named == plain | {"models": ["observer/spectra"], "datasets": ["observer/curves"]}


def metadata_of(release: Release) -> dict[str, Any]:
    return dict(yaml.safe_load(release.files["README.md"].decode().split("---")[1]))


@pytest.mark.parametrize(
    ("kind", "named", "message"),
    [
        (Kind.space, {"space": "a/b"}, "--space: the card of a space names none"),
        (Kind.model, {"dataset": "a/b"}, "--dataset: the card of a model names none"),
        (Kind.space, {"model": "spectra"}, "expected OWNER/NAME, found 'spectra'"),
    ],
    ids=["space", "model", "nameless"],
)
def test_what_a_card_cannot_name_is_refused(kind: Kind, named: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        related_to(PushOptions(kind, REPO, **named))


def test_made_twice_it_has_the_same_files(release: Release, repository: Path) -> None:
    assert space_release(repository / "space", REPO).files == release.files


def test_its_header_has_what_a_space_needs(repository: Path) -> None:
    header = yaml.safe_load((repository / "space" / "README.md").read_text().split("---")[1])
    assert set(HEADER) <= set(header)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("README.md", "sdk: gradio", "sdk: docker", "expected gradio, found docker"),
        ("README.md", "app_file: app.py", "app_file: main.py", "expected a file of the folder, found main.py"),
        ("README.md", "license: apache-2.0\n", "", "missing license"),
        ("README.md", "license: apache-2.0", "license: mit", "license: expected apache-2.0, which the checkpoint has"),
        ("README.md", "---\ntitle", "title", "missing title, emoji"),
        ("requirements.txt", "torch==2.13.0", "torch>=2", "expected an exact version from PyPI, found 'torch>=2'"),
        ("requirements.txt", "torch==2.13.0", "torch @ https://example.org/torch.whl", "expected an exact version"),
        ("requirements.txt", "torch==2.13.0", "--index-url https://example.org", "expected NAME==VERSION in each line"),
        ("requirements.txt", "scipy==1.17.1\n", "", "expected a version of scipy, which"),
    ],
)
def test_a_space_that_would_not_start_is_refused(space: Path, file: str, old: str, new: str, message: str) -> None:
    text = (space / file).read_text()
    assert old in text
    (space / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=file) as error:
        space_release(space, REPO)
    assert message in str(error.value)


def test_what_it_carries_has_the_licence_that_its_header_states(
    space: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint trained on the challenge's data, put in the released one's place, cannot go out as apache-2.0."""
    monkeypatch.setattr(_space_release, "sample_folder", lambda folder: sample)
    monkeypatch.setattr(_space_release, "licence_of", lambda folder: "cc-by-nc-sa-4.0")
    with pytest.raises(ValueError, match=r"expected cc-by-nc-sa-4\.0, which the checkpoint has, found apache-2\.0"):
        space_release(space, REPO)


@pytest.mark.slow
def test_a_ranking_by_another_checkpoint_is_made_anew(
    repository: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    source = tmp_path / "space"
    shutil.copytree(repository / "space", source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "engine/sample.py").write_text(
        (source / "engine/sample.py").read_text()
        + f"\n\ndef ensure(*_):\n    return Path({str(tmp_path / 'made')!r})\n"
    )
    shutil.copytree(sample, tmp_path / "made")
    scores = tmp_path / "made" / "scores.json"
    scores.write_text('{"model_sha256": "another", "planets": {}}')
    # the ranking itself takes half a minute: here it only says that it was asked for
    (source / "engine/inference.py").write_text(
        (source / "engine/inference.py").read_text()
        + "\n\nEngine.rank_all = lambda self: self.catalogue.write_scores({})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(repository))
    assert _space_release.sample_folder(source) == tmp_path / "made"
    assert scores.read_text().strip() == "{}"


def test_a_sample_that_cannot_be_made_is_said(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (space / "engine/sample.py").write_text("raise SystemExit('no room')\n")
    with pytest.raises(ValueError, match=r"__main__\.py: expected it to make the sample") as error:
        _space_release.sample_folder(space)
    assert "no room" in str(error.value)


# --- through the Hub -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("online")
def test_pushed_and_downloaded_it_starts_without_the_package_and_answers_the_same(
    hub: LocalHub, release: Release, tmp_path: Path
) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from push_scenes import client

    from ariel_scripts.commands.push import push

    api: HfApi = client(hub)
    push(api, release, PushOptions(Kind.space, REPO))
    before = len(hub.uploads())
    push(api, release, PushOptions(Kind.space, REPO))
    assert len(hub.uploads()) == before, "pushed again without changes, nothing is sent"
    folder = Path(
        snapshot_download(
            REPO, repo_type="space", local_dir=tmp_path / "snapshot", endpoint=hub.endpoint, token=api.token
        )
    )
    (tmp_path / "start.py").write_text(START.format(site=sysconfig.get_paths()["purelib"]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ARIEL_", "PYTHON"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HOME": str(tmp_path / "home"), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    command = [sys.executable, "-I", "-S", "-u", str(tmp_path / "start.py")]
    with started(command, folder, environment, tmp_path / "app.log") as address:
        away = Client(address, verbose=False)
        answer = away.predict(str(planet()), "ppm", 50, api_name="/spectrum")
        assert len(away.predict(api_name="/planets")) == 24
    found = pd.DataFrame(answer["table"])
    expected = engine().spectrum(engine().visits(planet())).binned(50).table("ppm")
    assert list(found) == list(expected)
    np.testing.assert_allclose(found["mean_ppm"], expected["mean_ppm"], rtol=1e-9)
    np.testing.assert_allclose(found["sigma_ppm"], expected["sigma_ppm"], rtol=1e-9)
    assert not (tmp_path / "home" / ".cache" / "ariel-hf").exists(), "the bundled sample is used"
