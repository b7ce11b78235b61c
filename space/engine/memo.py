"""A bounded cache of results; concurrent requests for the same result compute it once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The ``size`` most recently used results by key. Errors are not kept.

    Results unused for ``seconds`` are dropped at the next request.
    """

    def __init__(self, size: int, seconds: float = 7200.0) -> None:
        self.size, self.seconds = size, seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Future[Value]] = OrderedDict()  # least recently used first
        self._used: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The cached result of this key, one that another thread is computing, or that of ``make()``."""
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
