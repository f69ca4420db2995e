"""Wait for a condition with a deadline: the only place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_INTERVAL_S = 0.01
_INTERVAL_S_MAX = 0.2


def wait_for(condition: Callable[[], T], timeout_s: float = 30.0, message: str = "") -> T:
    """Call `condition` until it is true and return what it gave.

    Raises AssertionError with `message` and the last value after `timeout_s`; an exception of
    the condition itself is not caught, so a broken test fails at once.
    """
    deadline = time.monotonic() + timeout_s
    interval_s = _INTERVAL_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            what = message or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not within {timeout_s:g} s: {what} (last value: {value!r})")
        time.sleep(interval_s)
        interval_s = min(interval_s * 1.5, _INTERVAL_S_MAX)
