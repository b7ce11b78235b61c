"""`ariel push` when the Hub refuses, breaks or goes away: what is said, what stays as it was, and that it goes on."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.utils import _http
from local_hub import READ_TOKEN, VISITOR_TOKEN, Fault, LocalHub
from push_scenes import FILES, REPO, pushed, traffic

from ariel_scripts.publishing import hub_errors
from ariel_scripts.publishing.hub_errors import LONGEST_WAIT, PublishError, failure

pytestmark = pytest.mark.usefixtures("online")

SECOND = FILES | {"README.md": b"---\nlicense: mit\n---\n", "data/train-2.parquet": b"PAR1 new",
                  "data/train-3.parquet": b"PAR1 newer"}  # fmt: skip
STAGES = {
    "who": "GET /api/whoami-v2",
    "refs": "GET */refs",
    "tree": "GET */tree/*",
    "preupload": "POST */preupload/*",
    "batch": "POST *.git/info/lfs/objects/batch",
    "put": "PUT /lfs/*",
    "verify": "POST /lfs/*/verify",
    "card": "POST /api/validate-yaml",
    "commit": "POST */commit/*",
    "tag": "POST */tag/*",
}
FAILURES: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "403": {"status": 403},
    "404": {"status": 404},
    "409": {"status": 409},
    "412": {"status": 412},
    "429": {"status": 429, "headers": {"Retry-After": "4000"}},
    "500": {"status": 500},
    "503": {"status": 503},
    "cut": {"close_after": 0},
}
ADVICE = {
    "401": "hf auth login",
    "403": "may not write to|token with the right",
    "404": "deleted or renamed",
    "409": "Somebody else changed",
    "412": "Somebody else changed",
    "429": r"try again after 20\d\d-",
    "500": "try again later",
    "503": "try again later",
    "cut": "Is the network up",
}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited for; nobody really waits."""
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append)
    monkeypatch.setattr(_http, "time", clock)
    monkeypatch.setattr(hub_errors, "time", clock)
    return waited


@pytest.fixture(scope="module")
def kept_hub() -> Iterator[LocalHub]:
    """One Hub for many cases, each with a repository of its own."""
    with LocalHub() as running:
        yield running


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_push_that_fails_for_good_publishes_nothing_says_so_and_goes_on_later(
    stage: str, failure: str, kept_hub: LocalHub, waits: list[float]
) -> None:
    hub, repo_id = kept_hub, f"observer/{stage}-{failure}"
    first = pushed(hub, repo_id=repo_id)
    repo, before = hub.repo("dataset", repo_id), hub.files("dataset", repo_id)
    hub.faults = [Fault(STAGES[stage], times=1000, **FAILURES[failure])]
    with pytest.raises(PublishError) as caught:
        pushed(hub, SECOND, repo_id=repo_id)
    hub.faults = []
    said = str(caught.value)
    assert re.search(ADVICE[failure], said), said
    assert "no answer from the Hub" in said if failure == "cut" else failure in said
    assert max(waits, default=0) <= 9
    assert repo.tags == {"v1": first.commit}
    if stage == "tag":
        assert f"Commit {repo.branches['main'][:12]} is published, without its tag v2" in said
    else:
        assert "Nothing was published." in said or f"'main' of dataset {repo_id} is as it was before." in said
        assert repo.branches == {"main": first.commit}
        assert hub.files("dataset", repo_id) == before
    if stage not in ("who", "refs", "tree"):
        assert "Run the same command again to go on." in said
    done = pushed(hub, SECOND, repo_id=repo_id)
    assert repo.branches == {"main": done.commit}
    assert repo.tags == {"v1": first.commit, "v2": done.commit}
    assert {path: hub.files("dataset", repo_id)[path] for path in SECOND} == SECOND
    assert traffic(hub, repo_id) == (4, 2)  # no large file twice, no commit twice


@pytest.mark.parametrize("stage", [*STAGES, "create"])
@pytest.mark.parametrize("failure", ["429", "503", "cut", "lost"])
def test_a_passing_failure_is_waited_out(stage: str, failure: str, kept_hub: LocalHub, waits: list[float]) -> None:
    how: dict[str, Any] = {
        "429": {"status": 429, "headers": {"Retry-After": "7"}},
        "503": {"status": 503},
        "cut": {"close_after": 0},
        "lost": {"after": True},
    }[failure]
    hub, repo_id = kept_hub, f"observer/{stage}-{failure}-once"
    if stage != "create":
        pushed(hub, repo_id=repo_id)
    hub.faults = [Fault({**STAGES, "create": "POST /api/repos/create"}[stage], **how)]
    done = pushed(hub, SECOND, repo_id=repo_id)
    repo = hub.repo("dataset", repo_id)
    assert not hub.faults[0].times
    assert repo.branches == {"main": done.commit}
    assert repo.tags[str(done.tag)] == done.commit
    assert traffic(hub, repo_id)[1] == len(repo.commits) - 1 - (stage == "commit" and failure == "lost")
    assert len(repo.commits) == (2 if stage == "create" else 3)
    assert waits[0] in ((7, 8) if failure == "429" else (1, 2))


def test_the_hubs_own_rate_limits_are_kept_and_too_long_ones_named(hub: LocalHub, waits: list[float]) -> None:
    limit = {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    hub.faults = [Fault("POST /api/repos/create", 429, limit), Fault("POST */commit/*", 429, limit)]
    pushed(hub)
    assert waits == [55, 55]
    for stage in ("POST */preupload/*", "POST */commit/*"):
        hub.faults = [Fault(stage, 429, {"Retry-After": str(LONGEST_WAIT + 1)}, times=1000)]
        with pytest.raises(PublishError, match=r"try again after 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"):
            pushed(hub, SECOND)
    assert waits == [55, 55]


def test_a_commit_that_somebody_else_overtook_is_refused_and_the_next_push_sees_theirs(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    pushed(hub)
    commit = HfApi.create_commit

    def overtaken(api: HfApi, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(HfApi, "create_commit", commit)
        api.upload_file(repo_id=REPO, repo_type="dataset", path_in_repo="notes.txt", path_or_fileobj=b"mine")
        return commit(api, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", overtaken)
    with pytest.raises(PublishError, match=r"answered 412 .* Somebody else changed dataset observer/curves meanwhile"):
        pushed(hub, SECOND)
    assert hub.repo("dataset", REPO).find("main").title == "Upload notes.txt with huggingface_hub"
    pushed(hub, SECOND)
    assert hub.files("dataset", REPO)["notes.txt"] == b"mine"
    assert hub.files("dataset", REPO)["data/train-3.parquet"] == SECOND["data/train-3.parquet"]
    assert len(hub.uploads()) == 4


def test_who_may_not_write_is_named_with_the_repository(hub: LocalHub) -> None:
    pushed(hub)
    with pytest.raises(PublishError, match="'visitor' may not write to dataset observer/curves"):
        pushed(hub, SECOND, token=VISITOR_TOKEN)
    with pytest.raises(PublishError, match=r"answered 403 .*read-only.*'observer' may not write to dataset observer/n"):
        pushed(hub, token=READ_TOKEN, repo_id="observer/new")
    with pytest.raises(PublishError, match=r'rights to create a dataset under the namespace "others"'):
        pushed(hub, repo_id="others/curves")
    with pytest.raises(PublishError, match=r"answered 401 .*log in with `hf auth login`"):
        pushed(hub, token="mistyped")
    assert set(hub.repos) == {("dataset", REPO)}
    assert len(hub.commits()) == 1


def test_a_pull_request_whose_answer_was_lost_is_not_opened_twice(hub: LocalHub, waits: list[float]) -> None:
    pushed(hub)
    hub.faults = [Fault("POST */commit/*", after=True)]
    done = pushed(hub, SECOND, create_pr=True)
    assert done.pull_request == f"{hub.endpoint}/datasets/{REPO}/discussions/1"
    assert len(hub.repo("dataset", REPO).pulls) == 1


def test_the_server_stops_during_a_large_file_and_the_same_push_sends_only_what_is_missing(
    hub: LocalHub, waits: list[float]
) -> None:
    first = pushed(hub)
    large = SECOND | {f"data/large-{n}.parquet": b"PAR1" + bytes([n]) * 3_000_000 for n in range(3)}
    hub.faults = [Fault("PUT /lfs/*", close_after=1_000_000, skip=3, stop=True)]
    with pytest.raises(PublishError) as caught:
        pushed(hub, large)
    said = str(caught.value)
    assert re.search(r"Error while uploading 'data/.*\.parquet' to the Hub\. no answer from the Hub", said)
    assert "'main' of dataset observer/curves is as it was before. Large files that have arrived are not sent" in said
    arrived = len(hub.uploads())
    assert arrived < 7
    hub.start()
    repo = hub.repo("dataset", REPO)
    assert repo.branches == {"main": first.commit}
    done = pushed(hub, large)
    assert [call.path for call in hub.uploads()] == list(dict.fromkeys(call.path for call in hub.uploads()))
    assert len(hub.uploads()) == 7
    assert repo.tags == {"v1": first.commit, "v2": done.commit}
    assert {path: hub.files("dataset", REPO)[path] for path in large} == large


@pytest.mark.parametrize(
    "began", [RuntimeError("Cannot send a request, as the client has been closed."), OSError(9, "x")]
)
def test_a_thread_whose_client_another_thread_closed_has_lost_its_connection(began: Exception) -> None:
    wrapped = RuntimeError("Error while uploading 'a' to the Hub.")
    wrapped.__cause__ = began
    said = str(failure("dataset a/b", "me", wrapped, "Nothing was published."))
    assert said.startswith("dataset a/b: Error while uploading 'a' to the Hub. no answer from the Hub (")
    assert said.endswith("Is the network up, and HF_ENDPOINT right? Nothing was published.")


def test_a_server_that_is_gone_when_the_commit_is_sent_leaves_it_open_whether_it_was_made(
    hub: LocalHub, waits: list[float]
) -> None:
    pushed(hub)
    hub.faults = [Fault("POST */commit/*", after=True, stop=True)]
    with pytest.raises(PublishError, match="Whether the commit to 'main' was made is not known; half of it was not"):
        pushed(hub, SECOND)
    hub.start()
    done = pushed(hub, SECOND)
    assert (done.fresh, done.tag, traffic(hub)) == (False, "v2", (4, 1))


# --- other processes -----------------------------------------------------------------------------------------------

PUSH = """
from huggingface_hub import HfApi
from push_scenes import release, FILES
from ariel_scripts.command_line import run_script
from ariel_scripts.publishing.push_plan import PushSettings
from ariel_scripts.commands.push import push
def main():
    '''Push.'''
    push(HfApi(), release(FILES), PushSettings())
run_script(main)
"""


def run(hub: LocalHub, home: Path) -> subprocess.CompletedProcess[str]:
    """Push in a process with errors reported as the command does."""
    return hub.run(PUSH, home, check=False, PYTHONPATH=str(Path(__file__).parent))


def test_a_killed_push_goes_on_in_the_next_process(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults = [Fault("PUT /lfs/*", skip=1, hang=60)]
    environment = hub.environment(tmp_path) | {"PYTHONPATH": str(Path(__file__).parent)}
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


def test_a_server_that_comes_back_soon_is_waited_for(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults = [Fault("POST *objects/batch", close_after=0, stop=True)]

    def come_back() -> None:
        until = time.monotonic() + 60
        while hub.faults[0].times and time.monotonic() < until:
            time.sleep(0.05)
        hub.stop()
        hub.start()

    again = threading.Thread(target=come_back)
    again.start()
    done = run(hub, tmp_path)
    again.join()
    assert done.returncode == 0, done.stderr
    assert traffic(hub) == (2, 1)


def test_the_command_ends_with_code_1_and_one_sentence_where_it_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults = [Fault("POST */preupload/*", 403)]
    done = run(hub, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: dataset observer/curves: the Hub answered 403")
    assert "Traceback" not in done.stderr
