"""Results kept for whoever asks for the same again: bounded, and made once when several ask at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The ``size`` results used last, by a key of their content. Errors are not kept.

    A result that nobody has asked for in ``seconds`` goes when somebody asks for any.
    """

    def __init__(self, size: int, seconds: float = 7200.0) -> None:
        self.size, self.seconds = size, seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Future[Value]] = OrderedDict()  # used last comes last
        self._used: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result of ``make()``, of an earlier call with this key, or of one that another thread is at."""
        with self._lock:
            now = time.monotonic()
            future = self._known.pop(key, None)
            if future is not None and self._used[key] < now - self.seconds:
                future = None
            mine = future is None
            future = self._known[key] = future or Future()
            self._used[key] = now
            while len(self._known) > self.size or self._used[next(iter(self._known))] < now - self.seconds:
                oldest, _ = self._known.popitem(last=False)
                del self._used[oldest]
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    if self._known.get(key) is future:
                        del self._known[key], self._used[key]
                future.set_exception(error)
                raise
        return future.result()
