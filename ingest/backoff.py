"""Waiting times between attempts: doubling, with a ceiling and jitter."""

import random


class Backoff:
    """Exponential back-off; jitter keeps a fleet of collectors from knocking all at once."""

    def __init__(self, first_s: float, most_s: float, *, seed: int | None = None) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._random = random.Random(seed)
        self._next_s = first_s

    def wait_s(self) -> float:
        """Seconds to wait before the next attempt: between half and all of the present step."""
        step = self._next_s
        self._next_s = min(self._most_s, 2 * step)
        return step * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """The last attempt went well."""
        self._next_s = self._first_s
