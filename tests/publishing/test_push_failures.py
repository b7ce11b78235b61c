"""`ariel push` when the Hub refuses, breaks or goes away: what is said, what stays as it was, and that it goes on."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import _http
from local_hub import READ_TOKEN, VISITOR_TOKEN, Fault, LocalHub
from push_scenes import FILES, PUSH, REPO, WITH_SCENES, pushed, traffic

from ariel_scripts.publishing.errors import PublishError

pytestmark = pytest.mark.usefixtures("online")

SECOND = FILES | {"README.md": b"---\nlicense: mit\n---\n", "data/train-2.parquet": b"PAR1 new",
                  "data/train-3.parquet": b"PAR1 newer"}  # fmt: skip
REFS, PREUPLOAD, COMMIT = "GET */refs", "POST */preupload/*", "POST */commit/*"
FAILURES: list[tuple[str, dict[str, Any], str]] = [
    (REFS, {"status": 401}, r"answered 401 .*hf auth login"),
    (PREUPLOAD, {"status": 403}, r"answered 403 .*a token that may write there"),
    (COMMIT, {"status": 404}, r"answered 404"),
    (COMMIT, {"status": 409}, r"answered 409 .*Somebody else changed it"),
    (COMMIT, {"status": 413}, r"answered 413 \(planned failure\)"),
    (REFS, {"status": 503}, r"answered 503"),
    (COMMIT, {"status": 500}, r"answered 500"),
    ("PUT /lfs/*", {"close_after": 0}, r"no answer from the Hub .*Is the network up"),
    (COMMIT, {"close_after": 0}, r"no answer from the Hub .*Is the network up"),
]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub repeats requests after a while: nobody really waits."""
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(("request_", "failure", "said"), FAILURES)
def test_a_push_that_fails_publishes_nothing_says_why_and_goes_on_later(
    request_: str, failure: dict[str, Any], said: str, hub: LocalHub
) -> None:
    first = pushed(hub)
    repo, before = hub.repo("dataset", REPO), hub.files("dataset", REPO)
    hub.faults = [Fault(request_, times=1000, **failure)]
    with pytest.raises(PublishError, match=said) as caught:
        pushed(hub, SECOND)
    hub.faults = []
    assert re.search("Nothing was published|nothing is half published", str(caught.value))
    assert str(caught.value).endswith("Run the same command again to go on.")
    assert (repo.branches, repo.tags) == ({"main": first.commit}, {"v1": first.commit})
    assert hub.files("dataset", REPO) == before
    done = pushed(hub, SECOND)
    assert repo.tags == {"v1": first.commit, "v2": done.commit}
    assert {path: hub.files("dataset", REPO)[path] for path in SECOND} == SECOND
    assert traffic(hub) == (4, 2)  # no large file twice, no commit twice


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub: LocalHub) -> None:
    pushed(hub)
    hub.faults = [Fault(COMMIT, after=True)]
    with pytest.raises(PublishError, match=r"no answer from the Hub .* nothing is half published"):
        pushed(hub, SECOND)
    done = pushed(hub, SECOND)
    assert (done.fresh, done.tag, traffic(hub)) == (False, "v2", (4, 1))
    hub.faults = [Fault(COMMIT, after=True)]
    with pytest.raises(PublishError):
        pushed(hub, create_pr=True)
    assert pushed(hub, create_pr=True).pull_request == f"{hub.endpoint}/datasets/{REPO}/discussions/1"
    assert len(hub.repo("dataset", REPO).pulls) == 1


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
    with pytest.raises(PublishError, match=r"answered 412 .* Somebody else changed it meanwhile"):
        pushed(hub, SECOND)
    assert hub.repo("dataset", REPO).find("main").title == "Upload notes.txt with huggingface_hub"
    pushed(hub, SECOND)
    assert hub.files("dataset", REPO)["notes.txt"] == b"mine"
    assert hub.files("dataset", REPO)["data/train-3.parquet"] == SECOND["data/train-3.parquet"]
    assert len(hub.uploads()) == 4


def test_who_may_not_write_is_told_in_the_hubs_words_and_what_to_do(hub: LocalHub) -> None:
    pushed(hub)
    with pytest.raises(PublishError, match=r"dataset observer/curves: the Hub answered 403 .*token that may write"):
        pushed(hub, SECOND, token=VISITOR_TOKEN)
    with pytest.raises(PublishError, match=r"dataset observer/new: the Hub answered 403 .*read-only"):
        pushed(hub, token=READ_TOKEN, repo_id="observer/new")
    with pytest.raises(PublishError, match=r'rights to create a dataset under the namespace "others"'):
        pushed(hub, repo_id="others/curves")
    with pytest.raises(PublishError, match=r"answered 401 .*Log in with `hf auth login`"):
        pushed(hub, token="mistyped")
    assert set(hub.repos) == {("dataset", REPO)}
    assert len(hub.commits()) == 1


def test_the_server_stops_during_a_large_file_and_the_same_push_sends_only_what_is_missing(hub: LocalHub) -> None:
    first = pushed(hub)
    large = SECOND | {f"data/large-{n}.parquet": b"PAR1" + bytes([n]) * 3_000_000 for n in range(3)}
    hub.faults = [Fault("PUT /lfs/*", close_after=1_000_000, skip=3, stop=True)]
    with pytest.raises(PublishError, match=r"Error while uploading 'data/.*\.parquet' to the Hub"):
        pushed(hub, large)
    assert len(hub.uploads()) < 7
    hub.start()
    repo = hub.repo("dataset", REPO)
    assert repo.branches == {"main": first.commit}
    done = pushed(hub, large)
    assert len({call.path for call in hub.uploads()}) == len(hub.uploads()) == 7
    assert repo.tags == {"v1": first.commit, "v2": done.commit}
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
    assert done.stderr.splitlines()[-1].startswith("error: dataset observer/curves: the Hub answered 403")
    assert "Traceback" not in done.stderr
