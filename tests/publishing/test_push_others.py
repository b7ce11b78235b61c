"""`ariel push` where others work too: what it owns, what it warns of, whose commits get a version; and Xet, Ctrl-C."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from local_hub import Fault, LocalHub
from push_scenes import FILES, PUSH, REPO, WITH_SCENES, client, pushed, release, sent_line, traffic

from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.publishing import dataset_release, model_release, space_release
from ariel_scripts.publishing.plan import make_plan
from ariel_scripts.publishing.release import Release

pytestmark = pytest.mark.usefixtures("online")

KINDS = {
    "dataset": (
        dataset_release.ALLOWED,
        ["README.md", "dataset.json", "croissant.json", "report.md", "data/light_curves/train-0.parquet",
         "manifest/a.json"],
        ["docs/README.md", "notes.txt", "metadata/a.json", "manifest/figures/a.png", "old/report.md", "my_data/a"],
    ),
    "model": (
        model_release.ALLOWED,
        ["README.md", "model.safetensors", "config.json", "modeling_ariel.py", "noise.py", "old_ariel.py",
         "z.png"],
        ["examples/my_ariel.py", "config.json.bak", "onnx/model.safetensors", "train.py", "ariel.py", "predictions.py",
         "src/noise.py"],
    ),
    "space": (
        space_release.ALLOWED,
        ["app.py", "old.py", "hf_dataset/schema.py", "hf_dataset/simulation/light_curves.py",
         "sample_data/data/a.parquet", "engine/fit.py",
         "modeling_ariel/released/model.safetensors"],
        ["scripts/theirs.py", "assets/logo.png", "hf_dataset.md", "docs/README.md", "more/requirements.txt"],
    ),
}  # fmt: skip


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of warnings."""
    caplog.set_level(logging.WARNING)
    return caplog


def change(hub: LocalHub, title: str, add: dict[str, bytes] | None = None, delete: tuple[str, ...] = ()) -> None:
    """A commit that somebody makes by other means."""
    operations = [CommitOperationAdd(path, content) for path, content in (add or {}).items()]
    gone = [CommitOperationDelete(path) for path in delete]
    client(hub).create_commit(REPO, [*operations, *gone], commit_message=title, repo_type="dataset")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_owns_its_own_files_and_those_of_no_other_folder(kind: str) -> None:
    patterns, ours, others = KINDS[kind]
    made = Release(kind, REPO, dict.fromkeys(ours, b""), patterns)
    assert [path for path in ours if not made.owns(path)] == []
    assert [path for path in others if made.owns(path)] == []


# --- what others did -----------------------------------------------------------------------------------------------


def test_what_somebody_else_changed_since_the_last_push_is_told_with_who_and_when_before_it_is_overwritten(
    hub: LocalHub, warned: pytest.LogCaptureFixture
) -> None:
    pushed(hub)
    change(hub, "Gate the access", {"README.md": b"---\ngated: true\n---\n", "notes.txt": b"mine"})
    changed = FILES | {"data/train-1.parquet": b"PAR1 changed"}
    for dry_run in (True, False):
        warned.clear()
        pushed(hub, changed, dry_run=dry_run)
        assert warned.messages == [
            "last changed by observer (2026-01-01 00:00 UTC: 'Gate the access'), not by a push like this one"
        ]
    warned.clear()
    pushed(hub, FILES)
    assert not warned.messages  # the last commit is a push again


def test_a_first_push_into_an_empty_repository_warns_of_nothing(
    hub: LocalHub, warned: pytest.LogCaptureFixture
) -> None:
    client(hub).create_repo(REPO, repo_type="dataset")
    pushed(hub)
    assert not warned.messages


# --- versions ------------------------------------------------------------------------------------------------------


def test_what_others_made_of_it_gets_a_version_when_it_is_pushed(hub: LocalHub) -> None:
    pushed(hub)
    changed = FILES | {"README.md": b"# Other\n"}
    change(hub, "By hand", {"README.md": changed["README.md"]})
    assert pushed(hub, changed) == sent_line(hub, "v2", "nothing to send")
    with pytest.raises(ValueError, match="--tag: v1 is on the Hub already, of commit"):
        pushed(hub, changed, tag="v1")


# --- what is left behind -------------------------------------------------------------------------------------------


def test_a_repository_that_was_made_for_a_push_that_then_fails_is_used_by_the_next(hub: LocalHub) -> None:
    hub.faults = [Fault("POST */preupload/*", 403)]
    with pytest.raises(RuntimeError, match=r"403 Forbidden: .* nothing is half published. Run the same"):
        pushed(hub)
    assert set(hub.files("dataset", REPO)) == {".gitattributes"}
    assert pushed(hub) == sent_line(hub, "v1")


# --- Xet -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 403, 401])
def test_a_hub_without_xet_or_that_refuses_it_ends_the_push_before_anything_changes(
    status: int, hub: LocalHub, tmp_path: Path
) -> None:
    pytest.importorskip("hf_xet")
    hub.faults = [Fault("GET */xet-write-token/*", status, times=99)]
    done = hub.run(PUSH, tmp_path, check=False, **WITH_SCENES | {"HF_HUB_DISABLE_XET": "0"})
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert str(status) in last
    assert "nothing is half published" in last
    assert traffic(hub) == (0, 0)
    hub.faults = []
    assert pushed(hub) == sent_line(hub, "v1")
    assert traffic(hub) == (2, 1)


def test_the_plan_of_a_push_needs_no_xet(hub: LocalHub) -> None:
    plan = make_plan(client(hub), release(), PushOptions(Kind.dataset, REPO))
    assert not hub.calls("GET *xet*")
    assert plan.tag == "v1"


# --- what takes too long -------------------------------------------------------------------------------------------


def test_a_model_or_sample_that_takes_too_long_is_refused_with_what_to_do(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_release, "PATIENCE_S", 0.01)
    with pytest.raises(ValueError, match=r"my-model: expected a process .* in 0.01 s, found it unfinished"):
        model_release.predicted_alone(tmp_path / "stage", "ArielForPreTraining", {}, Path("my-model"))
    monkeypatch.setattr(space_release, "SAMPLE_SECONDS", 0.01)
    with pytest.raises(ValueError, match=r"__main__.py: expected the Space's sample in 0.01 s .* push again"):
        space_release.sample_folder(repository / "space")
