"""How often somebody may try: a bounded count of recent attempts by key."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock


class Limit:
    """At most `most` attempts in `window_s` for each key; the oldest keys are forgotten.

    >>> limit = Limit(2, 60.0, now=lambda: 0.0)
    >>> [limit.take("a"), limit.take("a"), limit.take("a"), limit.take("b")]
    [True, True, False, True]
    """

    def __init__(
        self,
        most: int,
        window_s: float,
        *,
        keys_max: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.window_s, self.keys_max, self._now = most, window_s, keys_max, now
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = Lock()

    def take(self, key: str) -> bool:
        """Count one attempt; False when there have been too many."""
        with self._lock:
            now = self._now()
            seen = self._seen.setdefault(key, deque(maxlen=self.most))
            self._seen.move_to_end(key)
            while len(self._seen) > self.keys_max:
                self._seen.popitem(last=False)
            while seen and seen[0] <= now - self.window_s:
                seen.popleft()
            if len(seen) >= self.most:
                return False
            seen.append(now)
            return True

    def forget(self, key: str) -> None:
        """Start again for a key that has proved itself."""
        with self._lock:
            self._seen.pop(key, None)
