"""Sending what is due: leased, at least once, slower after each failure, never for ever.

A notice keeps its id over all tries, so that a receiver can recognise one it has had. What a
receiver refuses for good, or has refused eight times, is dead and waits for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from grid.errors import ForewattError
from storage.desk_records import LeasedNotice

TRIES_MAX: Final = 8
BACKOFF_S: Final = 5.0
BACKOFF_MAX_S: Final = 3600.0
LEASE_S: Final = 120.0  # longer than any sender may take


class DeliveryFailed(ForewattError):
    """A receiver did not take a notice; `permanent` says that it never will."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(reason)


class Sender(Protocol):
    """One way out."""

    def send(self, notice: LeasedNotice) -> None:
        """Hand it over within its deadline, or raise DeliveryFailed."""


class Queue(Protocol):
    """Where notices wait; `storage.desk_notices.NoticeQueue` in production."""

    def lease(self, now_us: int, limit: int, lease_s: float) -> list[LeasedNotice]:
        """Take some that are due."""

    def sent(self, notice_id: int) -> None:
        """It has arrived."""

    def retry(self, notice_id: int, error: str, in_s: float) -> None:
        """Again later."""

    def bury(self, notice_id: int, error: str) -> None:
        """Never again by itself."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one round."""

    sent: int = 0
    retried: int = 0
    dead: int = 0


def deliver(
    queue: Queue, senders: Mapping[str, Sender], now_us: int, *, limit: int = 20
) -> Delivered:
    """Send at most `limit` notices that are due by site time `now_us`."""
    sent = retried = dead = 0
    for notice in queue.lease(now_us, limit, LEASE_S):
        sender = senders.get(notice.channel)
        try:
            if sender is None:
                raise DeliveryFailed(
                    f"no sender is configured for channel '{notice.channel}'", permanent=True
                )
            sender.send(notice)
        except DeliveryFailed as failed:
            if failed.permanent or notice.tries >= TRIES_MAX:
                queue.bury(notice.id, str(failed))
                dead += 1
            else:
                wait_s = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** (notice.tries - 1))
                queue.retry(notice.id, str(failed), wait_s)
                retried += 1
        else:
            queue.sent(notice.id)
            sent += 1
    return Delivered(sent, retried, dead)
