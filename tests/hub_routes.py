"""The local Hub's answers: one function a route, each a request's parts in, an `Answer` out or `Refused` raised.

The shapes are those that huggingface_hub 2.4 reads. `hub` is the `LocalHub` that was asked.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import yaml
from hub_store import Blob, Commit, PullRequest, Refused, Repo, git_oid, missing

if TYPE_CHECKING:
    from local_hub import LocalHub

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass(frozen=True)
class Account:
    """Who a token belongs to; role: `read` or `write`."""

    name: str
    role: str
    organisations: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        return repo_id.split("/")[0] in (self.name, *self.organisations)


@dataclass(frozen=True)
class Request:
    """What a handler sees: the parts of the path that its pattern names, the query, headers, body, account."""

    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    account: Account | None
    head: bool

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Answer:
    """A response; content that is not bytes is sent as JSON."""

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = []


def route(method: str, pattern: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Register a handler: `{name}` in `pattern` is one raw part of the path, `{id}` two (OWNER/NAME), `{path}` any."""
    parts = {"id": "[^/]+/[^/]+", "path": ".+", "plural": "models|datasets|spaces", "place": "|datasets/|spaces/"}
    text = re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>{parts.get(found[1], '[^/]+')})", pattern)
    return lambda handler: ROUTES.append((method, re.compile(text + r"\Z"), handler)) or handler


def readable(hub: LocalHub, request: Request) -> Repo:
    """The repository of a request, if its account may see it."""
    kind = KINDS.get(request.parts.get("plural") or request.parts["place"].strip("/") or "models", "")
    repo, account = hub.repos.get((kind, request.parts["id"])), request.account
    if repo is None or (repo.private and not (account and account.owns(repo.id))):
        if account is None:  # the Hub does not tell strangers what exists
            raise Refused(401, "Invalid username or password.", "RepoNotFound")
        raise missing("Repo", request.parts["id"])
    return repo


def writable(hub: LocalHub, request: Request, pull_request: bool = False) -> Repo:
    """The repository of a request, if its account may write to it (or, with less right, open a pull request)."""
    repo, account = readable(hub, request), request.account
    if account is None:
        raise Refused(401, "Invalid username or password.")
    if account.role != "write":
        raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
    if not pull_request and not account.owns(repo.id):
        raise Refused(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
    return repo


# --- accounts, repositories ----------------------------------------------------------------------------------------


@route("GET", "/api/whoami-v2")
def whoami(hub: LocalHub, request: Request) -> Answer:
    if request.account is None:
        raise Refused(401, "Invalid username or password.")
    account = request.account
    token = {"displayName": "test", "role": account.role}
    return Answer({"type": "user", "name": account.name, "fullname": account.name, "isPro": False,
                   "orgs": [{"type": "org", "name": name, "roleInOrg": "write"} for name in account.organisations],
                   "auth": {"type": "access_token", "accessToken": token}})  # fmt: skip


@route("POST", "/api/repos/create")
def create(hub: LocalHub, request: Request) -> Answer:
    if request.account is None:
        raise Refused(401, "Invalid username or password.")
    wanted, account = request.json(), request.account
    kind = wanted.get("type") or "model"
    repo_id = f"{wanted.get('organization') or account.name}/{wanted['name']}"
    if not account.owns(repo_id):
        owner = repo_id.split("/")[0]
        raise Refused(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
    if account.role != "write":
        raise Refused(403, "You don't have the rights: this token is read-only")
    url = f"{hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
    if (kind, repo_id) in hub.repos:
        message = f"You already created this {kind} repo"
        return Answer({"error": message, "url": url}, 409, {"X-Error-Message": message})
    private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    hub.repos[kind, repo_id] = Repo(kind, repo_id, private, wanted.get("sdk"), account.name)
    return Answer({"url": url, "name": repo_id, "id": repo_id})


@route("POST", "/api/validate-yaml")
def validate(hub: LocalHub, request: Request) -> Answer:
    errors, warnings = card_problems(request.json()["content"], request.json().get("repoType") or "model")
    said = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return Answer(said, 400 if errors else 200)


def card_problems(text: str, kind: str) -> tuple[list[str], list[str]]:
    """What the Hub would say of a README's metadata: errors, warnings."""
    header = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    if header is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        card = yaml.safe_load(header[1]) or {}
    except yaml.YAMLError as error:
        return [f"invalid YAML: {error}"], []
    if not isinstance(card, dict):
        return ["metadata must be an object"], []
    errors = []
    if kind == "space" and card.get("sdk") not in ("gradio", "docker", "static"):
        errors.append('"sdk" must be one of [gradio, docker, static]')
    if kind == "space" and len(card.get("short_description") or "") > 60:
        errors.append('"short_description" length must be less than or equal to 60 characters long')
    if not isinstance(card.get("license", ""), str | list):
        errors.append('"license" must be a string')
    return errors, []


@route("GET", "/api/{plural}/{id}/revision/{revision}")
@route("GET", "/api/{plural}/{id}")
def info(hub: LocalHub, request: Request) -> Answer:
    repo = readable(hub, request)
    commit = repo.find(request.parts.get("revision", "main"))
    text = commit.files.get("README.md", Blob(b"")).content.decode(errors="replace")
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    card = (yaml.safe_load(header[1]) if header and not card_problems(text, repo.kind)[0] else None) or {}
    siblings = [{"rfilename": path} for path in commit.files]
    if "blobs" in request.query:
        siblings = [{"rfilename": path, **_entry(path, blob)} for path, blob in commit.files.items()]
    return Answer({"id": repo.id, "author": repo.id.split("/")[0], "sha": commit.id, "lastModified": commit.date,
                   "createdAt": repo.history(commit)[-1].date, "private": repo.private, "disabled": False,
                   "gated": False, "downloads": 0, "likes": 0, "tags": card.get("tags") or [], "cardData": card,
                   "siblings": siblings, "sdk": repo.sdk, "library_name": card.get("library_name"),
                   "pipeline_tag": card.get("pipeline_tag"), "model-index": card.get("model-index")})  # fmt: skip


# --- files ---------------------------------------------------------------------------------------------------------


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.oid}
    lfs = {"lfs": {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}}
    return entry | (lfs if blob.lfs else {})


def _entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Every file and folder of a tree, by path."""
    found = {path: _entry(path, blob) for path, blob in commit.files.items()}
    for path in commit.files:
        for end in [at.start() for at in re.finditer("/", path)]:
            inside = [blob.oid for name, blob in commit.files.items() if name.startswith(path[: end + 1])]
            oid = git_oid("tree", "".join(inside).encode())
            found.setdefault(path[:end], {"type": "directory", "path": path[:end], "size": 0, "oid": oid})
    last = {"id": commit.id, "title": commit.title, "date": commit.date}
    return {path: entry | {"lastCommit": last} for path, entry in sorted(found.items())}


@route("GET", "/api/{plural}/{id}/tree/{revision}/{path}")
@route("GET", "/api/{plural}/{id}/tree/{revision}")
def tree(hub: LocalHub, request: Request) -> Answer:
    folder = request.parts.get("path", "").strip("/")
    entries = _entries(readable(hub, request).find(request.parts["revision"]))
    if folder and entries.get(folder, {}).get("type") != "directory":
        raise missing("Entry", folder)
    inside = {path: entry for path, entry in entries.items() if not folder or path.startswith(folder + "/")}
    deep = request.query.get("recursive", "").lower() in ("true", "1")
    return Answer([entry for path, entry in inside.items() if deep or "/" not in path[len(folder) :].strip("/")])


@route("POST", "/api/{plural}/{id}/paths-info/{revision}")
def paths_info(hub: LocalHub, request: Request) -> Answer:
    entries = _entries(readable(hub, request).find(request.parts["revision"]))
    if request.headers.get("content-type", "").startswith("application/json"):
        wanted = request.json()["paths"]
    else:
        wanted = [value for name, value in parse_qsl(request.body.decode()) if name == "paths"]
    return Answer([entries[path.strip("/")] for path in wanted if path.strip("/") in entries])


@route("GET", "/{place}{id}/resolve/{revision}/{path}")
def resolve(hub: LocalHub, request: Request) -> Answer:
    commit = readable(hub, request).find(request.parts["revision"])
    blob = commit.files.get(request.parts["path"])
    if blob is None:
        refused = missing("Entry", request.parts["path"])
        said = {"X-Error-Code": "EntryNotFound", "X-Error-Message": refused.message, "X-Repo-Commit": commit.id}
        return Answer({"error": refused.message}, 404, said)
    size, etag = len(blob.content), f'"{blob.sha256 if blob.lfs else blob.oid}"'
    headers = {"X-Repo-Commit": commit.id, "ETag": etag, "Accept-Ranges": "bytes",
               "Content-Type": "application/octet-stream"}  # fmt: skip
    if blob.lfs:
        headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(size)}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is None or asked[0] == "bytes=-":
        return Answer(blob.content, 200, headers)
    start = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
    end = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
    if start >= size:
        return Answer(b"", 416, {"Content-Range": f"bytes */{size}"})
    return Answer(blob.content[start : end + 1], 206, headers | {"Content-Range": f"bytes {start}-{end}/{size}"})


# --- uploads -------------------------------------------------------------------------------------------------------


@route("POST", "/api/{plural}/{id}/preupload/{revision}")
def preupload(hub: LocalHub, request: Request) -> Answer:
    repo = writable(hub, request, "create_pr" in request.query)
    commit = repo.find(request.parts["revision"])
    asked = request.json()
    ignored = asked.get("gitIgnore", commit.files.get(".gitignore", Blob(b"")).content.decode()).split()
    answers = []
    for file in asked["files"]:
        path, known = file["path"], commit.files.get(file["path"])
        lfs = repo.uses_lfs(commit, path, file["size"], base64.b64decode(file.get("sample", "")))
        oid = {} if known is None else {"oid": known.sha256 if known.lfs else known.oid}
        ignore = any(fnmatchcase(path, pattern) for pattern in ignored)
        answers.append({"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": ignore, **oid})
    return Answer({"files": answers})


@route("POST", "/{place}{id}.git/info/lfs/objects/batch")
def lfs_batch(hub: LocalHub, request: Request) -> Answer:
    repo = writable(hub, request, pull_request=True)
    objects = []
    for wanted in request.json()["objects"]:
        there = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in repo.objects:
            place = f"{hub.endpoint}/lfs/{repo.kind}s/{repo.id}/{wanted['oid']}"
            there["actions"] = {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}
        objects.append(there)
    return Answer({"transfer": "basic", "objects": objects})


@route("PUT", "/lfs/{plural}/{id}/{oid}")
def lfs_put(hub: LocalHub, request: Request) -> Answer:
    # as on the real Hub, the address itself is the permission: the client sends no token with large files
    if Blob(request.body).sha256 != request.parts["oid"]:
        raise Refused(400, "the content has another hash than its address")
    repo = hub.repos[KINDS[request.parts["plural"]], request.parts["id"]]
    repo.objects[request.parts["oid"]] = request.body
    return Answer()


@route("POST", "/lfs/{plural}/{id}/{oid}/verify")
def lfs_verify(hub: LocalHub, request: Request) -> Answer:
    content = writable(hub, request, pull_request=True).objects.get(request.parts["oid"])
    if content is None or len(content) != request.json()["size"]:
        raise missing("Entry", request.parts["oid"])
    return Answer()


@route("POST", "/api/{plural}/{id}/commit/{revision}")
def commit(hub: LocalHub, request: Request) -> Answer:
    pull_request = request.query.get("create_pr") == "1"
    repo, revision = writable(hub, request, pull_request), request.parts["revision"]
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    if not repo.is_branch(revision):
        raise missing("Revision", revision)
    head, header = repo.find(revision), lines[0]["value"]
    parent = header.get("parentCommit")
    base = repo.find(parent) if parent and pull_request else head
    if parent and not base.id.startswith(parent):
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    assert request.account is not None
    made = repo.apply(base, lines, request.account.name)
    readme = made.files.get("README.md")
    if readme and (errors := card_problems(readme.content.decode(), repo.kind)[0]):
        raise Refused(400, f"Invalid metadata in README.md: {errors[0]}")
    place = f"{hub.endpoint}/{'' if repo.kind == 'model' else repo.kind + 's/'}{repo.id}"
    answer = {"success": True, "commitOid": made.id, "commitUrl": f"{place}/commit/{made.id}", "hookOutput": ""}
    if not pull_request:
        repo.move(revision, made)
        return Answer(answer)
    number = len(repo.pulls) + 1
    repo.pulls[number] = PullRequest(number, header["summary"], request.account.name, revision, base.id, made.id,
                                     made.date)  # fmt: skip
    return Answer(answer | {"pullRequestUrl": f"{place}/discussions/{number}"})


# --- branches, tags, history, pull requests ------------------------------------------------------------------------


@route("GET", "/api/{plural}/{id}/refs")
def refs(hub: LocalHub, request: Request) -> Answer:
    repo = readable(hub, request)

    def listed(kind: str, names: Mapping[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": id} for name, id in names.items()]

    pulls = {str(number): pull.head for number, pull in repo.pulls.items()}
    return Answer({"branches": listed("heads", repo.branches), "tags": listed("tags", repo.tags), "converts": [],
                   "pullRequests": listed("pr", pulls)})  # fmt: skip


@route("GET", "/api/{plural}/{id}/commits/{revision}")
def commits(hub: LocalHub, request: Request) -> Answer:
    repo = readable(hub, request)
    return Answer([{"id": one.id, "title": one.title, "message": one.message, "date": one.date,
                    "authors": [{"user": one.author}]}
                   for one in repo.history(repo.find(request.parts["revision"]))])  # fmt: skip


@route("POST", "/api/{plural}/{id}/branch/{name}")
def branch(hub: LocalHub, request: Request) -> Answer:
    repo, name = writable(hub, request), request.parts["name"]
    if name in repo.branches:
        raise Refused(409, f"Reference refs/heads/{name} already exists")
    repo.branches[name] = repo.find(request.json().get("startingPoint") or "main").id
    return Answer()


@route("POST", "/api/{plural}/{id}/tag/{revision}")
def tag(hub: LocalHub, request: Request) -> Answer:
    repo, name = writable(hub, request), request.json()["tag"]
    if name in repo.tags:
        raise Refused(409, f"Tag reference exists already: {name}")
    repo.tags[name] = repo.find(request.parts["revision"]).id
    return Answer()


@route("GET", "/api/{plural}/{id}/discussions")
def discussions(hub: LocalHub, request: Request) -> Answer:
    repo = readable(hub, request)
    wanted = [pull for pull in repo.pulls.values() if request.query.get("status") in (None, "all", pull.status)
              and request.query.get("author") in (None, pull.author)]  # fmt: skip
    name = {"name": repo.id, "type": repo.kind}
    listed = [{"num": pull.number, "title": pull.title, "author": {"name": pull.author}, "status": pull.status,
               "isPullRequest": True, "createdAt": pull.date, "repo": name, "numComments": 0}
              for pull in wanted]  # fmt: skip
    return Answer({"discussions": listed, "count": len(listed), "start": 0})


@route("POST", "/api/{plural}/{id}/discussions/{number}/merge")
def merge(hub: LocalHub, request: Request) -> Answer:
    repo = writable(hub, request)
    pull = repo.pulls[int(request.parts["number"])]
    start, theirs, ours = repo.commits[pull.start], repo.commits[pull.head], repo.find(pull.base)
    changed = {path for path in {**start.files, **theirs.files} if start.files.get(path) != theirs.files.get(path)}
    files = {path: blob for path, blob in ours.files.items() if path not in changed}
    files |= {path: blob for path, blob in theirs.files.items() if path in changed}
    title = f"Merge pull request {pull.number}: {pull.title}"
    assert request.account is not None
    repo.move(pull.base, repo.record(ours.id, files, title, "", request.account.name))
    pull.status = "merged"
    return Answer({})
