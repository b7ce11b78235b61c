"""Results kept for whoever asks for the same again: bounded, and made once when several ask at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The ``size`` results used last, by a key of their content. Errors are not kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Future[Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result of ``make()``, of an earlier call with this key, or of one that another thread is at."""
        with self._lock:
            future = self._known.get(key)
            mine = future is None
            if future is None:
                future = self._known[key] = Future()
                while len(self._known) > self.size:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    if self._known.get(key) is future:
                        del self._known[key]
                future.set_exception(error)
                raise
        return future.result()
