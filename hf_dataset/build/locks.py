"""One build at a time in an output folder: a lock of the operating system in a folder, a lease on a URL."""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from upath import UPath

from hf_dataset.folders import Folder, read_json

LEASE_S, RENEW_S = 180.0, 60.0

logger = logging.getLogger(__name__)


class FolderInUse(RuntimeError):
    """Another build is writing the output folder."""


@contextlib.contextmanager
def hold(path: Folder) -> Iterator[None]:
    """Hold `path` for this process alone while the block runs; FolderInUse where another process holds it.

    In a folder the lock ends with the process. On a URL it is an object that names its holder, renewed every minute and
    void three minutes after the last renewal, so a killed build locks others out for that long. Two builds
    that take over a void lease in the same instant, or on machines whose clocks differ by minutes, may both begin; the
    one whose lease was overwritten stops at its next renewal. So does one that could not renew its own in time.
    """
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise FolderInUse("another build is writing it; wait for it or choose another folder") from None
        try:
            yield
        finally:
            lock.release()
        return
    lease = _Lease(path)
    lease.take()
    try:
        with lease.renewed():
            yield
    except KeyboardInterrupt:
        if lease.lost:
            raise FolderInUse(f"the lease {lease.lost}: this build has stopped") from None
        raise


class _Lease:
    """An object that names the writer and when its lock expires."""

    def __init__(self, path: UPath) -> None:
        self.path, self.token = path, uuid.uuid4().hex
        self.lost = ""  # how, where it is no longer held

    def take(self) -> None:
        """Write the lease unless a valid one exists."""
        holder = read_json(self.path)
        if holder is not None:
            if holder["until"] > time.time():
                raise FolderInUse(f"{_words(holder)} is writing it; wait for it or choose another folder")
            logger.warning("the lease of %s is void: taken over", _words(holder))
            self.path.unlink(missing_ok=True)
        try:
            self.path.fs.pipe_file(self.path.path, self._content(), mode="create")
        except FileExistsError:
            raise FolderInUse("another build has just begun to write it") from None

    def _content(self) -> bytes:
        until = time.time() + LEASE_S
        return json.dumps(
            {"host": platform.node(), "pid": os.getpid(), "token": self.token, "until": round(until, 1)}
        ).encode()

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease while the block runs, then give it back."""
        ended = threading.Event()
        thread = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        thread.start()
        try:
            with _interruptible():
                yield
        finally:
            ended.set()
            thread.join()
            if not self.lost:
                self.path.unlink(missing_ok=True)

    def _renew(self, ended: threading.Event) -> None:
        renewed = time.monotonic()
        while not self.lost and not ended.wait(RENEW_S):
            began = time.monotonic()
            try:
                holder = read_json(self.path)
                if holder is not None and holder["token"] != self.token:
                    self.lost = f"was taken over by {_words(holder)}"
                else:
                    self.path.fs.pipe_file(self.path.path, self._content())
                    renewed = began
            except Exception as error:  # whatever the storage's library raises
                logger.warning("%s: the lease could not be renewed: %s", self.path, error)
                if time.monotonic() - renewed > LEASE_S:
                    self.lost = f"could not be renewed for {LEASE_S:g} s ({error})"
        if self.lost:
            _thread.interrupt_main()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT end the block even if it was ignored, as in background jobs of a shell.

    Otherwise the thread that renews the lease could not stop a build that has lost it.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _words(holder: dict[str, Any]) -> str:
    until = datetime.fromtimestamp(holder["until"], UTC).isoformat(timespec="seconds")
    return f"a build on {holder['host']} (process {holder['pid']}, lease until {until})"
