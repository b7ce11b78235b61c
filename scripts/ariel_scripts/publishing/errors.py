"""What is said where a request to the Hub fails. huggingface_hub itself repeats what can be repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from huggingface_hub.errors import HfHubHTTPError, HTTPError

RERUN = "Run the same command again to go on."
HINTS = {
    401: "Log in with `hf auth login` (or correct HF_TOKEN).",
    403: "Use a token that may write there (`hf auth login`), or ask its owner.",
    409: "Somebody else changed it meanwhile.",
    412: "Somebody else changed it meanwhile.",
}


class PublishError(RuntimeError):
    """A push that ended early; the message says why, what is on the Hub, and how to go on."""


@contextlib.contextmanager
def explained(target: str, state: str) -> Iterator[None]:
    """Turn an error of the block's requests into a PublishError. state: what the Hub holds then."""
    try:
        yield
    except PublishError:
        raise
    except (HTTPError, RuntimeError, OSError) as error:
        raise PublishError(f"{target}: {reason(error)} {state} {RERUN}") from error


def reason(error: BaseException) -> str:
    """Why a request failed, in the Hub's own words, and what to do about it."""
    outer, cause = error, error  # threads of huggingface_hub wrap the answer in other errors
    while not isinstance(cause, HTTPError) and cause.__cause__ is not None:
        cause = cause.__cause__
    where = "" if cause is outer else f"{outer} "
    if isinstance(cause, HfHubHTTPError):
        said = " ".join((cause.server_message or cause.response.reason_phrase).split())
        status = cause.response.status_code
        return f"{where}the Hub answered {status} ({said}). {HINTS.get(status, '')}".rstrip()
    text = " ".join(str(cause).split()) or type(cause).__name__
    if not isinstance(cause, HTTPError):
        return f"{where}{text}."
    return f"{where}no answer from the Hub ({text}). Is the network up, and HF_ENDPOINT right?"
