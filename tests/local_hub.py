"""A Hugging Face Hub on this machine, for the real client libraries in tests: `LocalHub`.

It speaks, over HTTP on 127.0.0.1, what huggingface_hub 2.4, datasets 5.2 and transformers 5.23 ask of the Hub when they
create repositories, upload (by LFS and in commits), list, download, read ranges, branch, tag, and open, list and merge
pull requests. `hf-local-hub` of PyPI (3.0) was looked at: its wheel holds no server, only a client of a Go program.

Left out: Xet storage (clients run with HF_HUB_DISABLE_XET=1) and multipart uploads; pages (every listing is one page);
redirects of large files to another host; git over HTTP; search, likes, gated repositories, discussions without changes,
access by groups; the dataset viewer and its Parquet conversion; running Spaces; conflicts (what a pull request changed
wins when it is merged); most checks of a card's metadata.
Everything is in memory, and all requests are answered one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import uvicorn
import warm_python
from hub_routes import ROUTES, Account, Answer, Request
from hub_store import Refused, Repo, missing

USER, ORGANISATION, VISITOR = "observer", "ariel-team", "visitor"
WRITE_TOKEN, READ_TOKEN, VISITOR_TOKEN = "token-that-writes", "token-that-reads", "token-of-a-visitor"
PACKAGES = ("hf_dataset", "modeling_ariel", "ariel_scripts")

# Python started with -I -S knows the standard library and the site-packages alone that it is told, without what .pth
# files would add: this checkout.
AT_THE_END = "\nimport gc; gc.collect()\n"  # else a stream left early may hang the exit (arrow#45214)
WITHOUT_PACKAGES = """\
import importlib.util, sys
found = [name for name in {packages!r} if importlib.util.find_spec(name)]
if found:
    raise SystemExit(f"expected a process without {{found}}")
sys.argv = {argv!r}
"""
RUN_SCRIPT = """\
import os, runpy
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class Fault:
    """A planned failure of the requests `METHOD PATH` that `pattern` (fnmatch, `POST */commit/*`) matches.

    The first `skip` of them pass, the next `times` fail: with `status` and `headers`; or, where `close_after` is given,
    by cutting the connection after so many bytes of the request's body; where `after` is true the request is carried
    out first and only its answer lost; where `stop` is true the server stops as well; with `hang` [s] the answer comes
    so late, and the request is dropped if its sender has gone by then.
    """

    pattern: str
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "planned failure"
    skip: int = 0
    times: int = 1
    close_after: int | None = None
    after: bool = False
    stop: bool = False
    hang: float = 0


@dataclass(frozen=True)
class Call:
    """One request as it was answered; status 0 where the connection was cut. `sent`: bytes of its body."""

    method: str
    path: str
    status: int
    sent: int


class LocalHub:
    """A Hub with the user `observer` (of the organisation `ariel-team`) and a visitor.

    `faults` are planned failures, `requests` the log. `stop` and `start` keep the port and all that is stored.
    """

    def __init__(self) -> None:
        self.accounts = {
            WRITE_TOKEN: Account(USER, "write", (ORGANISATION,)),
            READ_TOKEN: Account(USER, "read", (ORGANISATION,)),
            VISITOR_TOKEN: Account(VISITOR, "write"),
        }
        self.repos: dict[tuple[str, str], Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[Call] = []
        self.port = 0
        self._down = False
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    # --- the server ------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> LocalHub:
        """Listen; on the port of the time before, if there was one."""
        self.stop()
        self._down = False
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms an answer
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._serve, interface="asgi3", log_config=None, lifespan="off", ws="none",
                                proxy_headers=False, timeout_graceful_shutdown=1)  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the local Hub did not start")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop listening and cut all connections; what is stored stays."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> LocalHub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, scope: dict, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["raw_path"].decode().split("?")[0]
        if self._down:
            _cut(send)
            return
        fault = self._fault(method, path)
        body = await _body(receive, fault)
        if body is None:
            return
        if fault is None or fault.after:
            answer = self._answer(method, path, scope, body)
        else:
            headers = {"X-Error-Message": fault.message, **fault.headers}
            answer = Answer({"error": fault.message}, fault.status, headers)
        if fault is not None and fault.stop and self._server is not None:
            self._down = self._server.should_exit = self._server.force_exit = True  # it ends within a tenth of a second
        lost = fault is not None and (fault.close_after is not None or fault.after)
        self.requests.append(Call(method, path, 0 if lost else answer.status, len(body)))
        if lost:
            _cut(send)
        else:
            await _send(send, answer, head=method == "HEAD")

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fnmatchcase(f"{method} {path}", fault.pattern):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _answer(self, method: str, path: str, scope: dict, body: bytes) -> Answer:
        headers = {key.decode().lower(): value.decode() for key, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode()))
        scheme, _, token = headers.get("authorization", "").partition(" ")
        try:
            if scheme and token not in self.accounts:
                raise Refused(401, "Invalid credentials in Authorization header")
            for wanted, pattern, handler in ROUTES:
                if (found := pattern.match(path)) and wanted == ("GET" if method == "HEAD" else method):
                    parts = {name: unquote(value) for name, value in found.groupdict().items()}
                    account = self.accounts.get(token)
                    return handler(self, Request(parts, query, headers, body, account, method == "HEAD"))
            raise missing("Repo", path)
        except Refused as refused:
            named = {"X-Error-Code": refused.code} if refused.code else {}
            return Answer({"error": refused.message}, refused.status, {"X-Error-Message": refused.message, **named})

    # --- for tests -------------------------------------------------------------------------------------------------

    def calls(self, pattern: str) -> list[Call]:
        """The logged requests `METHOD PATH` that an fnmatch pattern matches."""
        return [call for call in self.requests if fnmatchcase(f"{call.method} {call.path}", pattern)]

    def uploads(self) -> list[Call]:
        """Large files that arrived."""
        return [call for call in self.calls("PUT /lfs/*") if call.status == 200]

    def commits(self) -> list[Call]:
        """Commits that were made by request."""
        return [call for call in self.calls("POST /api/*/commit/*") if call.status == 200]

    def repo(self, kind: str, repo_id: str) -> Repo:
        """What is stored of a repository; kind: `model`, `dataset` or `space`."""
        return self.repos[kind, repo_id]

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Content of every file at a revision."""
        return {path: blob.content for path, blob in self.repo(kind, repo_id).find(revision).files.items()}

    def environment(self, home: Path, token: str | None = WRITE_TOKEN) -> dict[str, str]:
        """Variables of a process whose clients know this Hub only, with their cache in `home`."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("HF_", "HUGGING")) and not name.lower().endswith("_proxy")}  # fmt: skip
        ours = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip
        return kept | ours | ({} if token is None else {"HF_TOKEN": token})

    def run(
        self,
        what: str | list[Any],
        home: Path,
        check: bool = True,
        package: bool = True,
        token: str | None = WRITE_TOKEN,
        cwd: Path | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python code, `["ariel", …]`, a script with arguments, or any command, as a client of this Hub.

        package: whether the project's own packages can be imported; without them `what` is code or a script. check:
        raise where the exit code is not 0. cwd: where it runs, by default `home`, which is made.
        """
        home.mkdir(parents=True, exist_ok=True)
        argv = ["-c", what + AT_THE_END] if isinstance(what, str) else [str(part) for part in what]
        environment, site = self.environment(home, token) | variables, None
        if not package:
            site = sysconfig.get_path("purelib")
            said = {"packages": PACKAGES, "argv": argv[:1] if argv[0] == "-c" else argv}
            argv = ["-c", WITHOUT_PACKAGES.format(**said) + (argv[1] if argv[0] == "-c" else RUN_SCRIPT)]
        elif argv[0] == "ariel":
            argv = ["-m", "ariel_scripts.cli", *argv[1:]]
        if argv[0] in ("-c", "-m") or argv[0].endswith(".py"):
            done = warm_python.run(argv, cwd or home, environment, site)
        else:
            done = subprocess.run(argv, cwd=cwd or home, env=environment, capture_output=True, text=True, timeout=500)
        if check and done.returncode:
            raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done


async def _body(receive: Any, fault: Fault | None) -> bytes | None:
    """A request's body, or as much of it as a fault lets through; None where the client has gone."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if fault is not None and fault.close_after is not None and len(body) >= fault.close_after:
            return bytes(body)
    if fault is not None and fault.hang:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(receive(), fault.hang)  # nothing but a disconnect is left to receive
            return None
    return bytes(body)


async def _send(send: Any, answer: Answer, head: bool) -> None:
    content = answer.content if isinstance(answer.content, bytes) else json.dumps(answer.content).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **answer.headers}
    listed = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": listed})
    await send({"type": "http.response.body", "body": b"" if head else content})


def _cut(send: Any) -> None:
    """Close the connection without an answer: by uvicorn's own cycle, as ASGI has no word for it."""
    send.__self__.transport.abort()
