"""A time budget: read from words, counted down, and ended like a Ctrl-C that knows that it was the clock."""

from __future__ import annotations

import contextlib
import math
import re
import signal
import threading
import time
from collections.abc import Iterator

_NUMBER = r"(\d+(?:\.\d+)?)"
_TIME = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
_UNITS = (3600.0, 60.0, 1.0)
_LONGEST = 1e8  # seconds that every system's timer takes: three years


def seconds_of(text: str) -> float:
    """Seconds of a budget such as 9h, 45m, 1h30m or 90s; ValueError where it is none."""
    found = _TIME.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        raise ValueError(f"--budget: expected a time such as 9h, 45m, 1h30m or 90s, found {text!r}")
    total = sum(float(number) * unit for number, unit in zip(found.groups("0"), _UNITS, strict=True))
    if not total:
        raise ValueError(f"--budget: expected more than no time, found {text!r}")
    return total


def in_words(seconds: float) -> str:
    """`1 h 30 min`, `4 min 5 s`, `12 s`."""
    whole = round(max(seconds, 0.0))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


class Clock:
    """What is left of the ``budget`` [s] of this call, of which some is ``used`` already; None for no end."""

    def __init__(self, budget: float | None, used: float = 0.0) -> None:
        self.budget, self.reserve = budget, 0.0  # seconds kept for the last submission
        self.ended = False
        self._began = time.monotonic() - used

    @property
    def used(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds for building and predicting; infinity without a budget."""
        return math.inf if self.budget is None else self.budget - self.used - self.reserve

    @contextlib.contextmanager
    def alarm(self) -> Iterator[None]:
        """Raise KeyboardInterrupt in the block when nothing is left; then ``ended`` is true.

        It comes as SIGINT, so that it is held where an interruption would have to be. Threads have no alarm: there the
        budget ends between two steps.
        """
        if self.budget is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def end(*_: object) -> None:
            self.ended = True
            signal.raise_signal(signal.SIGINT)

        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as in a job in the background of a shell
        before = signal.signal(signal.SIGALRM, end)
        if ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, min(max(self.left, 1e-3), _LONGEST))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)
            if ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
