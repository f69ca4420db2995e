"""Waiting for the outbox: one listening thread for all who wait, with a look now and then.

A notice only says "look": the rows are the data, so a lost connection loses nothing, it only
makes the next look come a second later.
"""

import time
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import TypeVar

from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.listen import listen

CHANNEL = "forewatt_outbox"
LOOK_S = 1.0  # how long a lost notice can delay a message
RETRY_S = 1.0

T = TypeVar("T")


class OutboxStream:
    """Wakes those who wait for new messages; the thread starts with the first of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = Condition()
        self._stop = Event()
        self._thread: Thread | None = None
        self._turn = 0

    def wait(self, read: Callable[[], list[T]], timeout_s: float) -> list[T]:
        """What `read` gives as soon as it gives anything; [] after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        self._start()
        while True:
            with self._changed:
                turn = self._turn
            found = read()
            left_s = deadline - time.monotonic()
            if found or left_s <= 0 or self._stop.is_set():
                return found
            with self._changed:
                if self._turn == turn:
                    self._changed.wait(min(left_s, LOOK_S))

    def _start(self) -> None:
        with self._changed:
            if self._thread is None and not self._stop.is_set():
                self._thread = Thread(target=self._run, name="outbox-listener", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with listen(self._database, CHANNEL) as listener:
                    self._wake()  # what came before we listened
                    while not self._stop.is_set():
                        if listener.wait(LOOK_S):
                            self._wake()
            except DatabaseUnavailable:
                # Waiters look for themselves every LOOK_S and get the error from their own query.
                self._stop.wait(RETRY_S)

    def _wake(self) -> None:
        with self._changed:
            self._turn += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the thread; those who wait return what there is."""
        self._stop.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
