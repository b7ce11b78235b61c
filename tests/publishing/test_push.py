"""`ariel push` when all goes well: what goes to the Hub, what stays there, what a second push sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from local_hub import VISITOR_TOKEN, WRITE_TOKEN, Fault, LocalHub
from push_scenes import FILES, REPO, client, pushed, sent_line, traffic

from ariel_scripts.commands.push import check_repo_id, make_release, push
from ariel_scripts.options.push import Kind, PushOptions
from ariel_scripts.publishing.release import Release, without_machine

pytestmark = pytest.mark.usefixtures("online")

# `ariel push dataset …` with one token after another, in one process: importing takes longer than refusing
CALLS = """
import os
from ariel_scripts import cli
codes = []
for os.environ["HF_TOKEN"], *words in {calls!r}:
    codes.append(cli.call("push", "dataset", *words))
print(codes)
"""


def test_a_first_push_makes_the_repository_one_commit_and_the_tag_v1(
    hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pushed(hub) == sent_line(hub, "v1")
    repo = hub.repo("dataset", REPO)
    assert not repo.private
    assert repo.tags == {"v1": repo.branches["main"]}
    assert traffic(hub) == (2, 1)
    files = hub.files("dataset", REPO)
    assert {path: files[path] for path in FILES} == FILES
    assert set(files) - set(FILES) == {".gitattributes"}
    assert "does not exist, will be made public" in capsys.readouterr().out


def test_pushed_again_without_changes_nothing_is_sent_committed_or_tagged(hub: LocalHub) -> None:
    first = pushed(hub)
    before = len(hub.requests)
    assert pushed(hub) == first.replace("published", "nothing to send") == sent_line(hub, "v1", "nothing to send")
    assert {call.method for call in hub.requests[before:]} == {"GET"}


def test_a_changed_file_goes_alone_and_makes_the_next_version(hub: LocalHub) -> None:
    pushed(hub)
    before = traffic(hub)
    assert pushed(hub, FILES | {"data/train-1.parquet": b"PAR1 changed"}) == sent_line(hub, "v2")
    assert traffic(hub) == (before[0] + 1, before[1] + 1)
    repo = hub.repo("dataset", REPO)
    assert repo.tags == {"v1": repo.find("main").parent, "v2": repo.branches["main"]}
    assert repo.find("main").title == "Publish dataset v2: 1 changed"
    assert hub.files("dataset", REPO)["data/train-1.parquet"] == b"PAR1 changed"
    assert hub.files("dataset", REPO, "v1")["data/train-1.parquet"] == FILES["data/train-1.parquet"]


def test_files_of_this_kind_that_are_gone_are_deleted_and_what_others_put_there_stays(hub: LocalHub) -> None:
    pushed(hub)
    hub_client = client(hub)
    hub_client.upload_file(repo_id=REPO, repo_type="dataset", path_in_repo="notes.txt", path_or_fileobj=b"mine")
    pushed(hub, {path: content for path, content in FILES.items() if path != "data/train-1.parquet"})
    assert set(hub.files("dataset", REPO)) == {".gitattributes", "README.md", "data/train-0.parquet", "notes.txt"}
    assert hub.repo("dataset", REPO).find("main").title == "Publish dataset v2: 1 deleted"


def test_an_interruption_between_commit_and_tag_is_made_good_by_the_next_push(hub: LocalHub) -> None:
    pushed(hub)
    hub.faults = [Fault("POST */tag/*", 403)]
    with pytest.raises(RuntimeError, match="is published, without its tag v2"):
        pushed(hub, FILES | {"data/train-2.parquet": b"PAR1 new"})
    before, repo = traffic(hub), hub.repo("dataset", REPO)
    assert set(repo.tags) == {"v1"}
    assert pushed(hub, FILES | {"data/train-2.parquet": b"PAR1 new"}) == sent_line(hub, "v2", "nothing to send")
    assert traffic(hub) == before
    assert repo.tags["v2"] == repo.branches["main"]


def test_a_tag_may_be_named_and_is_never_moved(hub: LocalHub) -> None:
    assert pushed(hub, tag="first") == sent_line(hub, "first")
    assert pushed(hub, tag="first") == sent_line(hub, "first", "nothing to send")
    before = len(hub.requests)
    with pytest.raises(ValueError, match="first is on the Hub already, of commit"):
        pushed(hub, FILES | {"README.md": b"# Other\n"}, tag="first")
    assert {call.method for call in hub.requests[before:]} == {"GET"}
    assert pushed(hub, tag="also") == sent_line(hub, "also", "nothing to send")
    with pytest.raises(ValueError, match="--tag: expected letters"):
        pushed(hub, tag="a b")
    assert pushed(hub, FILES | {"README.md": b"# Other\n"}) == sent_line(hub, "v1")


def test_a_dry_run_lists_exactly_what_would_go_and_changes_nothing(
    hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed(hub, dry_run=True, private=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"dataset {REPO}: does not exist, will be made private",
        "new             37 B  README.md",
        "new           3.0 kB  data/train-0.parquet",
        "new           4.0 kB  data/train-1.parquet",
        "3 files (7.0 kB) to send, 0 to delete, 0 unchanged",
        "tag v1",
        "dry run: nothing was changed",
    ]
    assert not hub.repos
    pushed(hub)
    commit = hub.repo("dataset", REPO).branches["main"]
    changed = {path: content for path, content in FILES.items() if "train-0" not in path}
    changed |= {"README.md": b"# Other\n", "data/train-2.parquet": b"PAR1"}
    capsys.readouterr()
    pushed(hub, changed, dry_run=True)
    assert capsys.readouterr().out.splitlines() == [
        f"dataset {REPO}: public, main at {commit[:12]}",
        "changed          8 B  README.md",
        "unchanged     4.0 kB  data/train-1.parquet",
        "new              4 B  data/train-2.parquet",
        "deleted       3.0 kB  data/train-0.parquet",
        "2 files (12 B) to send, 1 to delete, 1 unchanged",
        "tag v2",
        "dry run: nothing was changed",
    ]
    assert hub.repo("dataset", REPO).branches == {"main": commit}


def test_without_a_login_a_dry_run_works(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    pushed(hub, token=False, dry_run=True)
    assert "not logged in" in capsys.readouterr().out


def test_private_is_for_a_new_repository_alone(hub: LocalHub) -> None:
    pushed(hub, private=True)
    assert hub.repo("dataset", REPO).private
    pushed(hub, FILES | {"README.md": b"# Other\n"})
    assert hub.repo("dataset", REPO).private
    pushed(hub, repo_id="observer/open")
    with pytest.raises(ValueError, match="exists and is public"):
        pushed(hub, repo_id="observer/open", private=True)
    assert not hub.repo("dataset", "observer/open").private


def test_a_branch_is_made_from_main_and_gets_no_version_of_its_own(hub: LocalHub) -> None:
    pushed(hub)
    repo, draft = hub.repo("dataset", REPO), FILES | {"README.md": b"# Draft\n"}
    first = repo.branches["main"]
    assert pushed(hub, draft, revision="draft") == sent_line(hub, branch="draft")
    assert repo.branches["main"] == repo.find("draft").parent == first
    assert repo.tags == {"v1": first}
    said = pushed(hub, draft, revision="draft", tag="draft-1")
    assert said == sent_line(hub, "draft-1", "nothing to send", "draft")
    for revision in ("v1", first, "refs/pr/7"):
        with pytest.raises(ValueError, match="--revision: expected a branch"):
            pushed(hub, revision=revision)
    pushed(hub, repo_id="observer/new", revision="draft")
    assert set(hub.files("dataset", "observer/new")) == {".gitattributes"}
    assert set(hub.files("dataset", "observer/new", "draft")) == {".gitattributes", *FILES}


def test_a_pull_request_leaves_main_alone_and_is_tagged_once_it_is_merged(hub: LocalHub) -> None:
    with pytest.raises(ValueError, match="--create-pr: expected dataset observer/curves with a branch main"):
        pushed(hub, create_pr=True)
    pushed(hub)
    changed = FILES | {"README.md": b"# Other\n", "data/train-2.parquet": b"PAR1 new"}
    repo = hub.repo("dataset", REPO)
    branches, tags = dict(repo.branches), dict(repo.tags)
    said = pushed(hub, changed, create_pr=True, token=VISITOR_TOKEN)
    assert said.startswith(f"pull request {hub.endpoint}/datasets/{REPO}/discussions/1 (commit ")
    better = changed | {"README.md": b"# Better\n"}
    said = pushed(hub, better, revision="refs/pr/1")
    assert said.endswith(f" commit {repo.find('refs/pr/1').id}")
    assert (repo.branches, repo.tags) == (branches, tags)
    client(hub).merge_pull_request(REPO, 1, repo_type="dataset")
    assert pushed(hub, better) == sent_line(hub, "v2", "nothing to send")
    assert repo.tags["v2"] == repo.branches["main"]
    assert pushed(hub, better, create_pr=True).startswith("nothing to send")
    with pytest.raises(ValueError, match="a pull request gets no tag"):
        pushed(hub, create_pr=True, tag="mine")


def test_a_gitignore_on_the_hub_leaves_nothing_out(hub: LocalHub) -> None:
    pushed(hub)
    client(hub).upload_file(
        repo_id=REPO, repo_type="dataset", path_in_repo=".gitignore", path_or_fileobj=b"*.parquet\n"
    )
    pushed(hub, FILES | {"data/train-2.parquet": b"PAR1 new"})
    assert hub.files("dataset", REPO)["data/train-2.parquet"] == b"PAR1 new"


def test_a_new_space_runs_on_gradio(hub: LocalHub) -> None:
    files = {"README.md": b"---\ntitle: A\nsdk: gradio\n---\n", "app.py": b"print()\n"}
    push(client(hub), Release("space", "observer/app", files, ("*",)), PushOptions(Kind.space, "observer/app"))
    assert hub.repo("space", "observer/app").sdk == "gradio"
    assert hub.files("space", "observer/app") == hub.files("space", "observer/app") | files


# --- what is refused before anything is sent -----------------------------------------------------------------------


def test_what_its_kind_does_not_hold_is_refused() -> None:
    for files, message in (({"README.md": b"", ".env": b""}, "found .env"), ({}, "found none")):
        with pytest.raises(ValueError, match=rf"expected files README.md, data/\*, {message}"):
            Release("dataset", REPO, files, ("README.md", "data/*"))


@pytest.mark.parametrize("repo_id", ["curves", "a/b/c", "a/b--c", "a/b.git", "a/é", ""])
def test_ids_that_the_hub_does_not_know_are_refused(repo_id: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)repo(sitory)?[ _]id"):
        check_repo_id(repo_id)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/jane/run", "run"),
        ("/lustre/run/", "run"),
        ("ariel predict /home/jane/a /scratch/b --out ../c", "ariel predict a b --out ../c"),
        ("[Errno 2] No such file: '/home/jane/raw/axis.parquet'", "[Errno 2] No such file: 'axis.parquet'"),
        ("stopped in /gpfs/jane/x: no space left", "stopped in x: no space left"),
        *((text, text) for text in ("https://huggingface.co/home/x", "s3://bucket/a/b", "hf://datasets/a/b",
                                    "m/s", "erg/s/cm2/um", "2024/01/02", "~/curves", "runs/a/curves", "../a/b")),
    ],
)  # fmt: skip
def test_of_a_path_of_this_machine_a_record_keeps_the_last_name(text: str, left: str) -> None:
    assert without_machine({"a": [text, 1, None]}) == {"a": [left, 1, None]}


def test_a_dataset_needs_its_folder() -> None:
    with pytest.raises(Exception, match="expected the folder of a dataset"):
        make_release(Kind.dataset, None, REPO)


def test_the_command_explains_itself_and_what_it_misses(hub: LocalHub, tmp_path: Path) -> None:
    done = hub.run(["ariel", "push", "--help"], tmp_path)
    assert all(option in done.stdout for option in ("--private", "--revision", "--create-pr", "--dry-run", "--tag"))
    assert hub.run(["ariel", "push", "toy", REPO], tmp_path, check=False).returncode == 2
    refused = (
        ([REPO, tmp_path], "", "error: login: Token is required .*`hf auth login`.* Nothing was published"),
        (["curves", tmp_path], "any", "error: repository id: expected OWNER/NAME, found 'curves'"),
        ([REPO, tmp_path], "any", "error: login: Invalid user token.* Nothing was published"),
        ([REPO, tmp_path / "none"], WRITE_TOKEN, "error: .*/none: expected"),
    )
    calls = [(token, *map(str, words)) for words, token, _ in refused]
    done = hub.run(CALLS.format(calls=calls), tmp_path)
    assert done.stdout.splitlines()[-1] == "[1, 1, 1, 1]"
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for line, (*_, message) in zip(said, refused, strict=True):
        assert re.match(message, line)
    assert {call.path for call in hub.requests} == {"/api/whoami-v2"}
