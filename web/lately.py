"""What many pages ask at the same time is found out once, and stays true for some seconds."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lately(Generic[K, V]):
    """Answers by their question, the newest `keys_max` of them.

    Who asks while somebody else is finding out waits for that answer: ten pages opened at once
    cost one.
    """

    def __init__(self, keys_max: int = 64) -> None:
        self._keys_max = keys_max
        self._lock = threading.Lock()
        self._asking: dict[K, threading.Lock] = {}
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K, kept_s: float, ask: Callable[[], V]) -> V:
        """The answer, found out by `ask` if it is older than `kept_s`; what `ask` raises passes."""
        with self._lock:
            mine = self._asking.setdefault(key, threading.Lock())
        with mine:
            known = self._known.get(key)
            if known is not None and time.monotonic() - known[0] <= kept_s:
                return known[1]
            found = ask()
            with self._lock:
                self._known[key] = (time.monotonic(), found)
                self._known.move_to_end(key)
                while len(self._known) > self._keys_max:
                    self._asking.pop(self._known.popitem(last=False)[0], None)
            return found

    def forget(self) -> None:
        """Something has changed that every answer depends on."""
        with self._lock:
            self._known.clear()
