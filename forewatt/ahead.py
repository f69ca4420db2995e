"""Read ahead: the next items are made in a thread while this one is used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
END: Any = object()


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, at most `depth` of them made before they are asked for.

    Worth it where making them leaves the interpreter free: files, numpy, compiled kernels. What
    making an item raises is raised here, in its turn.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting = deque(pool.submit(next, source, END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not END:
            waiting.append(pool.submit(next, source, END))
            yield item
