"""Requests to the Hub: how long to be patient, and what to say when one fails.

huggingface_hub itself repeats listings and uploads: five times, on 429 and 5xx, waiting as Retry-After or RateLimit
ask. What creates something (repositories, branches, commits, tags) it tries once; `with_retries` repeats such calls.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from huggingface_hub import set_client_factory
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import parse_ratelimit_headers
from huggingface_hub.utils._http import default_client_factory

LONGEST_WAIT = 300  # s; the Hub counts requests over five minutes
CLOSED = "client has been closed"
PAUSES = (1, 2, 4)  # s before a call is repeated after a server's error or a lost connection

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class PublishError(RuntimeError):
    """A push that ended early; the message says why, what is on the Hub, and how to go on."""


class TooLongAWaitError(RuntimeError):
    """The Hub asks to wait longer than this command does."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many requests (429): the Hub asks to wait {seconds:.0f} s")
        self.seconds = seconds


def asked_wait(response: Any) -> float | None:
    """Seconds that a 429 or 503 asks to wait, by RateLimit or Retry-After (seconds or a date); None if it does not."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return int(value)
    try:
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None


@contextlib.contextmanager
def bounded_waits(longest: float = LONGEST_WAIT) -> Iterator[None]:
    """In the block huggingface_hub's own repetitions give up where the Hub asks for more than `longest` seconds."""

    def refuse(response: Any) -> None:
        if response.status_code == 429 and (seconds := asked_wait(response) or 0) > longest:
            raise TooLongAWaitError(seconds)

    def client() -> Any:
        made = default_client_factory()
        hooks = made.event_hooks
        made.event_hooks = {**hooks, "response": [*hooks.get("response", []), refuse]}
        return made

    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(default_client_factory)


def with_retries(call: Callable[[], Result], may_repeat: Callable[[HTTPError], bool] = lambda error: True) -> Result:
    """`call()`, repeated after 429 when the Hub says, and after 5xx and lost connections with `PAUSES`.

    may_repeat: asked before each repetition; where it says no, the error is raised.
    """
    pauses = list(PAUSES)
    while True:
        try:
            return call()
        except HTTPError as error:
            response = getattr(error, "response", None)
            if not pauses or not (response is None or response.status_code == 429 or response.status_code >= 500):
                raise
            pause = max(pauses.pop(0), (asked_wait(response) or 0) if response is not None else 0)
            if pause > LONGEST_WAIT:
                raise
            logger.warning("%s; trying again in %.0f s", reason(error), pause)
            time.sleep(pause)
            if not may_repeat(error):
                raise


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what caused it, from the outside in."""
    while error is not None:
        yield error
        error = error.__cause__


def root_of(error: BaseException) -> BaseException:
    """The answer or lost connection behind an error that a thread of huggingface_hub wrapped; else what began it."""
    known = (HfHubHTTPError, HTTPError, TooLongAWaitError)
    chain = list(causes(error))
    return next((found for found in chain if isinstance(found, known)), chain[-1])


def is_lost(root: BaseException) -> bool:
    """Whether an error without an answer is a lost connection.

    huggingface_hub closes the client of all its threads when one cannot connect: the others then fail as `CLOSED` says
    or on a socket that is gone.
    """
    of_socket = isinstance(root, OSError) and root.filename is None
    return isinstance(root, HTTPError) or of_socket or CLOSED in str(root)


def status_of(error: BaseException) -> int | None:
    """The HTTP status of the answer behind an error, if there was an answer."""
    root = root_of(error)
    response = getattr(root, "response", None)
    if response is not None:
        return int(response.status_code)
    found = re.search(r"HTTP status (?:client|server) error \((\d{3})\b", str(root))  # in the words of hf_xet
    return int(found[1]) if found else None


def reason(error: BaseException) -> str:
    """What went wrong with a request, in one line without its address."""
    root = root_of(error)
    if isinstance(root, TooLongAWaitError):
        return str(root)
    status, response = status_of(error), getattr(root, "response", None)
    if response is None:
        text = " ".join(str(root).split()) or type(root).__name__
        return f"no answer from the Hub ({text})" if is_lost(root) else text
    said = getattr(root, "server_message", None) or getattr(response, "reason_phrase", "")
    return f"the Hub answered {status} ({' '.join(str(said).split())})"


def advice(error: BaseException, target: str, user: str | None) -> str:
    """What a person can do about a failed request to write to `target`, as `user`."""
    status, root = status_of(error), root_of(error)
    if not isinstance(root, HTTPError) and "xet" in str(root).lower() and status not in (401, 403, 429):
        return "Large files go by Xet: is it reached and offered? With HF_HUB_DISABLE_XET=1 they go by LFS."
    if isinstance(root, TooLongAWaitError) or status == 429:
        response = getattr(root, "response", None)
        asked = None if response is None else asked_wait(response)
        seconds = root.seconds if isinstance(root, TooLongAWaitError) else asked
        if not seconds:
            return "Too many requests in a short time: try again in some minutes."
        at = datetime.now() + timedelta(seconds=seconds)
        return f"Too many requests in a short time: try again after {at:%Y-%m-%d %H:%M:%S}."
    if status == 401:
        return "The token is not accepted, or is for something else: log in with `hf auth login` (or correct HF_TOKEN)."
    if status == 403:
        who = f"{user!r}" if user else "This token"
        return (
            f"{who} may not write to {target}: use a token with the right to write there "
            "(https://huggingface.co/settings/tokens, `hf auth login`), or ask its owner."
        )
    if status == 404:
        return f"{target} is not there, or the token may not see it: was it deleted or renamed?"
    if status in (409, 412):
        return f"Somebody else changed {target} meanwhile."
    if status is not None and status >= 500:
        return "The Hub has a problem of its own: try again later."
    if status is None and is_lost(root):
        return "Is the network up, and HF_ENDPOINT right?"
    if isinstance(root, json.JSONDecodeError):
        return "The Hub's answer was not what this version of huggingface_hub reads: try again later."
    return ""


_states: list[str] = []  # of the `explained` blocks that run, the innermost last: what an interruption leaves behind


@contextlib.contextmanager
def explained(target: str, user: str | None, state: str, interrupted: str | None = None) -> Iterator[None]:
    """Turn an error of the block's requests into a PublishError: what failed, what to do, what the Hub holds.

    interrupted: the state that Ctrl-C leaves, where it is another.
    """
    _states.append(f"{target}: {interrupted or state}")
    try:
        yield
    except (PublishError, HFValidationError):
        raise
    except (HTTPError, RuntimeError, OSError, ValueError) as error:
        raise failure(target, user, error, state) from error
    finally:
        _states.pop()


@contextlib.contextmanager
def ended_at_once_by_ctrl_c(code: int) -> Iterator[None]:
    """For a command: in the block Ctrl-C ends the process with exit code `code` and says what the Hub holds.

    Python would wait until the uploads that huggingface_hub's threads have begun are through, for hours maybe; nothing
    of this process needs them to be.
    """

    def end(*_: object) -> None:
        logger.error("interrupted. %s", _states[-1] if _states else "Nothing was published.")
        with contextlib.suppress(RuntimeError, OSError, ValueError):  # it may have come in the middle of a line
            sys.stdout.flush()
        os._exit(code)

    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def failure(target: str, user: str | None, error: Exception, state: str) -> PublishError:
    """The error of `explained`. state: what the Hub holds, in a sentence."""
    where = f"{error} " if isinstance(error, RuntimeError) and error.__cause__ is not None else ""
    sentences = [f"{target}: {where}{reason(error)}.", advice(error, target, user), state]
    return PublishError(" ".join(sentence for sentence in sentences if sentence))
