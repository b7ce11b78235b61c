"""`ariel push` when the Hub refuses, breaks or goes away: what is said, what stays as it was, and that it goes on."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import _http
from local_hub import READ_TOKEN, VISITOR_TOKEN, Fault, LocalHub
from push_scenes import FILES, PUSH, REPO, WITH_SCENES, pushed, sent_line, traffic

pytestmark = pytest.mark.usefixtures("online")

SECOND = FILES | {"README.md": b"---\nlicense: mit\n---\n", "data/train-2.parquet": b"PAR1 new",
                  "data/train-3.parquet": b"PAR1 newer"}  # fmt: skip
REFS, PREUPLOAD, COMMIT = "GET */refs", "POST */preupload/*", "POST */commit/*"
FAILURES: list[tuple[str, dict[str, Any], str]] = [
    (REFS, {"status": 401}, r"401 Unauthorized.*planned failure"),
    (PREUPLOAD, {"status": 403}, r"403 Forbidden: planned failure.*Make sure your token has the correct permissions"),
    (COMMIT, {"status": 404}, r"404 Not Found.*planned failure"),
    (COMMIT, {"status": 409}, r"409 Conflict.*planned failure"),
    (COMMIT, {"status": 413}, r"413 .*planned failure"),
    (REFS, {"status": 503}, r"503"),
    (COMMIT, {"status": 500}, r"500"),
    ("PUT /lfs/*", {"close_after": 0}, r"disconnected"),
    (COMMIT, {"close_after": 0}, r"disconnected"),
]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub repeats requests after a while: it does not really wait. Its `time` alone is another one."""
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.mark.parametrize(("request_", "failure", "said"), FAILURES)
def test_a_push_that_fails_publishes_nothing_says_why_and_goes_on_later(
    request_: str, failure: dict[str, Any], said: str, hub: LocalHub
) -> None:
    pushed(hub)
    repo, before = hub.repo("dataset", REPO), hub.files("dataset", REPO)
    branches, tags = dict(repo.branches), dict(repo.tags)
    hub.faults = [Fault(request_, times=1000, **failure)]
    with pytest.raises(RuntimeError, match=said) as caught:
        pushed(hub, SECOND)
    hub.faults = []
    assert re.search("Nothing was published|nothing is half published", str(caught.value))
    assert str(caught.value).endswith("Run the same command again to go on.")
    assert (repo.branches, repo.tags) == (branches, tags)
    assert hub.files("dataset", REPO) == before
    assert pushed(hub, SECOND) == sent_line(hub, "v2")
    assert repo.tags == {**tags, "v2": repo.branches["main"]}
    assert {path: hub.files("dataset", REPO)[path] for path in SECOND} == SECOND
    assert traffic(hub) == (4, 2)  # no large file twice, no commit twice


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub: LocalHub) -> None:
    pushed(hub)
    hub.faults = [Fault(COMMIT, after=True)]
    with pytest.raises(RuntimeError, match=r"nothing is half published"):
        pushed(hub, SECOND)
    assert pushed(hub, SECOND) == sent_line(hub, "v2", "nothing to send")
    assert traffic(hub) == (4, 1)


def test_a_commit_that_somebody_else_overtook_is_refused_and_the_next_push_sees_theirs(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(hub)
    commit = HfApi.create_commit

    def overtaken(api: HfApi, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(HfApi, "create_commit", commit)
        api.upload_file(repo_id=REPO, repo_type="dataset", path_in_repo="notes.txt", path_or_fileobj=b"mine")
        return commit(api, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", overtaken)
    with pytest.raises(RuntimeError, match=r"412 .*nothing is half published"):
        pushed(hub, SECOND)
    assert hub.repo("dataset", REPO).find("main").title == "Upload notes.txt with huggingface_hub"
    pushed(hub, SECOND)
    assert hub.files("dataset", REPO)["notes.txt"] == b"mine"
    assert hub.files("dataset", REPO)["data/train-3.parquet"] == SECOND["data/train-3.parquet"]
    assert len(hub.uploads()) == 4


def test_who_may_not_write_is_told_in_the_hubs_words_and_what_to_do(hub: LocalHub) -> None:
    pushed(hub)
    with pytest.raises(RuntimeError, match=r"dataset observer/curves: 403 Forbidden: .*permissions"):
        pushed(hub, SECOND, token=VISITOR_TOKEN)
    with pytest.raises(RuntimeError, match=r"dataset observer/new: 403 Forbidden: .*read-only"):
        pushed(hub, token=READ_TOKEN, repo_id="observer/new")
    with pytest.raises(RuntimeError, match=r'rights to create a dataset under the namespace "others"'):
        pushed(hub, repo_id="others/curves")
    with pytest.raises(RuntimeError, match=r"401 .*Invalid credentials"):
        pushed(hub, token="mistyped")
    assert set(hub.repos) == {("dataset", REPO)}
    assert len(hub.commits()) == 1


def test_the_server_stops_during_a_large_file_and_the_same_push_sends_only_what_is_missing(hub: LocalHub) -> None:
    pushed(hub)
    repo = hub.repo("dataset", REPO)
    branches = dict(repo.branches)
    large = SECOND | {f"data/large-{n}.parquet": b"PAR1" + bytes([n]) * 3_000_000 for n in range(3)}
    hub.faults = [Fault("PUT /lfs/*", close_after=1_000_000, skip=3, stop=True)]
    with pytest.raises(RuntimeError, match=r"Error while uploading 'data/.*\.parquet' to the Hub"):
        pushed(hub, large)
    assert len(hub.uploads()) < 7
    hub.start()
    assert repo.branches == branches
    assert pushed(hub, large) == sent_line(hub, "v2")
    assert len({call.path for call in hub.uploads()}) == len(hub.uploads()) == 7
    assert {path: hub.files("dataset", REPO)[path] for path in large} == large


# --- other processes -----------------------------------------------------------------------------------------------


def run(hub: LocalHub, home: Path) -> subprocess.CompletedProcess[str]:
    """Push in a process with errors reported as the command does."""
    return hub.run(PUSH, home, check=False, **WITH_SCENES)


def test_a_killed_push_goes_on_in_the_next_process(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults = [Fault("PUT /lfs/*", skip=1, hang=60)]
    environment = hub.environment(tmp_path) | WITH_SCENES
    with subprocess.Popen([sys.executable, "-c", PUSH], env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (hub.uploads() and not hub.faults[0].times) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
    assert set(hub.files("dataset", REPO)) == {".gitattributes"}
    assert len(hub.uploads()) == 1
    done = run(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    assert traffic(hub) == (2, 1)
    assert set(hub.repo("dataset", REPO).tags) == {"v1"}


def test_the_command_ends_with_code_1_and_one_sentence_where_it_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults = [Fault("POST */preupload/*", 403)]
    done = run(hub, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: dataset observer/curves: 403 Forbidden: planned failure")
    assert "Traceback" not in done.stderr
