"""A time budget: counted down, and ended like a Ctrl-C that knows that it was the clock."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator

_LONGEST = 1e8  # seconds that every system's timer takes: three years


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
