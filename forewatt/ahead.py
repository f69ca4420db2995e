"""Read ahead: the next items are made in a thread while this one is used."""

import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
END: Any = object()


def step_back() -> None:
    """Leave the processor to the other threads, where the system lets a thread say so."""
    if sys.platform == "linux":
        # A sandbox may forbid it; raised here, it would break the pool.
        with suppress(OSError):
            nice = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, nice + 5))


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, at most `depth` of them made before they are asked for.

    Worth it where making them leaves the interpreter free: files, numpy, compiled kernels. What
    making an item raises is raised here, in its turn.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    source = iter(items)
    # What comes next can wait; whoever uses this one, with helpers, needs the cores now.
    with ThreadPoolExecutor(1, "ahead", step_back) as pool:
        waiting = deque(pool.submit(next, source, END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not END:
            waiting.append(pool.submit(next, source, END))
            yield item
