"""The local Hub, seen by the real clients: what they put there comes back, and what they may not do is refused."""

from __future__ import annotations

import json
from pathlib import Path

from local_hub import READ_TOKEN, VISITOR_TOKEN, Fault, LocalHub

UPLOAD = """
import json, sys
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
api, repo = HfApi(), dict(repo_id="observer/things", repo_type="dataset")
api.create_repo(**repo)
api.create_repo(**repo, exist_ok=True)
large = bytes(range(256)) * 50_000
files = {"README.md": b"---\\nlicense: mit\\n---\\n# Things\\n", "data/a.parquet": b"PAR1" * 9, "large.txt": large,
         "notes/a.txt": b"a", "notes/b.txt": b"b"}
add = [CommitOperationAdd(path, content) for path, content in files.items()]
first = api.create_commit(**repo, operations=add, commit_message="first")
api.create_tag(**repo, tag="v1")
api.create_branch(**repo, branch="draft", revision=first.oid)
change = [CommitOperationAdd("notes/a.txt", b"changed"), CommitOperationDelete("notes/b.txt")]
api.create_commit(**repo, operations=change, commit_message="second", parent_commit=first.oid)
pull = api.create_commit(**repo, operations=[CommitOperationAdd("new.txt", b"new")], commit_message="ask", create_pr=True)
open_pulls = [found.num for found in api.get_repo_discussions(**repo, discussion_status="open")]
refs = api.list_repo_refs(**repo, include_pull_requests=True)
api.merge_pull_request(**repo, discussion_num=pull.pr_num)
print(json.dumps({
    "name": api.whoami()["name"], "pr": [pull.pr_num, pull.pr_revision], "open": open_pulls,
    "refs": [[ref.name for ref in refs.branches], [ref.name for ref in refs.tags], len(refs.pull_requests)],
    "titles": [commit.title for commit in api.list_repo_commits(**repo)],
    "files": api.list_repo_files(**repo), "license": api.dataset_info(repo["repo_id"]).card_data.license,
    "lfs": [file.path for file in api.list_repo_tree(**repo, recursive=True) if getattr(file, "lfs", None)],
    "info": [path.size for path in api.get_paths_info(**repo, paths=["notes/a.txt", "none", "notes"]) if path.path == "notes/a.txt"],
}))
"""  # noqa: E501

DOWNLOAD = """
import json
from pathlib import Path
from huggingface_hub import HfFileSystem, file_exists, hf_hub_download, snapshot_download
repo = dict(repo_id="observer/things", repo_type="dataset")
def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
whole, tagged = snapshot_download(**repo), snapshot_download(**repo, revision="v1", allow_patterns="notes/*")
with HfFileSystem().open("datasets/observer/things@main/large.txt", "rb", block_size=1000) as file:
    file.seek(12_799_900)
    end = list(file.read(50))
print(json.dumps({
    "whole": listed(whole), "tagged": listed(tagged), "end": end, "a": Path(whole, "notes/a.txt").read_text(),
    "old": Path(hf_hub_download(**repo, filename="notes/a.txt", revision="refs/pr/1")).read_text(),
    "absent": file_exists(**repo, filename="absent"), "size": Path(whole, "large.txt").stat().st_size,
}))
"""

REFUSED = """
import json, sys
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
api, repo, said = HfApi(), dict(repo_id="observer/secret", repo_type="model"), {}
def attempt(name, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except HfHubHTTPError as error:
        said[name] = [type(error).__name__, error.response.status_code]
def commit(content=b"a", **options):
    api.create_commit(**repo, operations=[CommitOperationAdd("a.txt", content)], commit_message="a", **options)
attempt("info", api.repo_info, **repo)
attempt("create", api.create_repo, "observer/other")
attempt("commit", commit)
attempt("revision", api.repo_info, "observer/open", revision="none")
attempt("entry", hf_hub_download, "observer/open", "none.txt")
attempt("repo", api.repo_info, "observer/none")
repo["repo_id"] = "observer/open"
attempt("foreign", commit)
attempt("stale", commit, b"b", parent_commit="0" * 40)
if "visitor" in sys.argv:
    commit(create_pr=True)
print(json.dumps(said))
"""


def said(hub: LocalHub, code: str, home: Path, token: str | None = "token-that-writes") -> dict:
    return json.loads(hub.run(code, home, token=token).stdout.splitlines()[-1])


def test_what_real_clients_upload_is_listed_downloaded_and_read_in_ranges(hub: LocalHub, tmp_path: Path) -> None:
    found = said(hub, UPLOAD, tmp_path / "one")
    files = [".gitattributes", "README.md", "data/a.parquet", "large.txt", "new.txt", "notes/a.txt"]
    assert found == {
        "name": "observer", "pr": [1, "refs/pr/1"], "open": [1], "refs": [["main", "draft"], ["v1"], 1],
        "titles": ["Merge pull request 1: ask", "second", "first", "initial commit"], "files": files, "license": "mit",
        "lfs": ["data/a.parquet", "large.txt"], "info": [7],
    }  # fmt: skip
    assert len(hub.uploads()) == 2
    found = said(hub, DOWNLOAD, tmp_path / "two")
    assert found["whole"] == files
    assert found["tagged"] == ["notes/a.txt", "notes/b.txt"]
    assert (found["a"], found["old"], found["absent"], found["size"]) == ("changed", "changed", False, 12_800_000)
    assert found["end"] == [(12_799_900 + place) % 256 for place in range(50)]
    assert any(call.status == 206 for call in hub.calls("GET */large.txt"))


def test_readers_visitors_and_strangers_are_refused_as_the_hub_refuses_them(hub: LocalHub, tmp_path: Path) -> None:
    hub.run(
        "from huggingface_hub import create_repo\n"
        "create_repo('observer/secret', private=True)\ncreate_repo('observer/open')",
        tmp_path / "owner",
    )
    absent = {"revision": ["RevisionNotFoundError", 404], "entry": ["RemoteEntryNotFoundError", 404]}
    hidden = {"info": ["RepositoryNotFoundError", 404], "repo": ["RepositoryNotFoundError", 404]}
    found = said(hub, REFUSED, tmp_path / "reader", READ_TOKEN)
    assert found == absent | {
        "create": ["HfHubHTTPError", 403], "commit": ["HfHubHTTPError", 403], "foreign": ["HfHubHTTPError", 403],
        "stale": ["HfHubHTTPError", 403], "repo": hidden["repo"],
    }  # fmt: skip
    found = said(hub, REFUSED.replace('"visitor" in sys.argv', "True"), tmp_path / "visitor", VISITOR_TOKEN)
    assert found == absent | hidden | {
        "create": ["HfHubHTTPError", 403], "commit": ["RepositoryNotFoundError", 404],
        "foreign": ["HfHubHTTPError", 403], "stale": ["HfHubHTTPError", 403],
    }  # fmt: skip
    found = said(hub, REFUSED, tmp_path / "stranger", None)
    assert found["repo"] == found["info"] == ["RepositoryNotFoundError", 401]
    found = said(hub, REFUSED, tmp_path / "owner")
    assert found["stale"] == ["HfHubHTTPError", 412]
    found = said(hub, REFUSED, tmp_path / "mistaken", "no-such-token")
    assert found["repo"] == ["HfHubHTTPError", 401]


def test_planned_failures_happen_as_often_as_planned_and_the_state_outlives_a_stop(
    hub: LocalHub, tmp_path: Path
) -> None:
    code = "from huggingface_hub import HfApi\nprint(HfApi().whoami()['name'])"
    hub.faults = [Fault("GET /api/whoami-v2", 503), Fault("GET /api/whoami-v2", close_after=0)]
    failed = [hub.run(code, tmp_path, check=False).stderr for _ in range(2)]
    assert "503" in failed[0]
    assert "disconnected" in failed[1]
    hub.run("from huggingface_hub import create_repo\ncreate_repo('observer/kept')", tmp_path)
    port = hub.port
    hub.stop()
    assert "refused" in hub.run(code, tmp_path, check=False).stderr
    hub.start()
    assert hub.port == port
    assert hub.run(code, tmp_path).stdout == "observer\n"
    assert ("model", "observer/kept") in hub.repos


def test_a_process_without_the_package_runs_code_and_scripts(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("name = 'helper'")
    (tmp_path / "script.py").write_text("import sys, helper, huggingface_hub\nprint(helper.name, *sys.argv[1:])")
    assert hub.run([tmp_path / "script.py", "x"], tmp_path / "home", package=False).stdout == "helper x\n"
    code = "try:\n    import hf_dataset\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    assert hub.run(code, tmp_path / "home", package=False).stdout == "hf_dataset\n"
