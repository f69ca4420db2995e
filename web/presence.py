"""Who looks at the same thing now: names that end by themselves, in the memory of this process.

Colleagues of one site are served by one web process; nothing is lost when it forgets.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

HERE_S: Final = 25.0  # three calls of a page that says every 8 s that it is open
LOOKING_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody else on the same page; `writing` while they have typed something."""

    name: str
    writing: bool


class Presence:
    """People by what they look at.

    >>> p = Presence(now=lambda: 0.0)
    >>> p.here(3, "li", "李柜员", True), p.here(3, "wang", "王值班", False)
    ([], [Colleague(name='李柜员', writing=True)])
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[tuple[int, str], tuple[float, Colleague]] = {}
        self._lock = Lock()

    def here(self, ticket_id: int, login: str, name: str, writing: bool) -> list[Colleague]:
        """Note that somebody looks at a ticket; who else does."""
        with self._lock:
            now = self._now()
            self._seen = {k: v for k, v in self._seen.items() if now - v[0] <= HERE_S}
            if len(self._seen) < LOOKING_MAX:
                self._seen[ticket_id, login] = (now, Colleague(name, writing))
            return [
                who
                for (ticket, other), (_, who) in sorted(self._seen.items())
                if ticket == ticket_id and other != login
            ]
