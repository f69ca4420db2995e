"""Callers who wait for a clerk: the first who takes a call has it, the others see who did.

A telephone system that says to whom it gave a call (`clerk`) leaves nothing to take; one that only
announces the caller leaves it to whoever picks up.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerts.errors import Conflict, UnknownContact
from alerts.ledger import Ledger, Reading
from alerts.roles import Actor
from grid.clock import Clock
from grid.records import Contact

RINGS_S: Final = 600.0  # nobody waits longer; the call stays in the list
LOOKED_THROUGH: Final = 200


def ringing(calls: Sequence[Contact], clock: Clock) -> list[Contact]:
    """Of the newest contacts the calls that nobody has taken yet, the longest waiting first."""
    waiting = [
        c
        for c in calls
        if c.channel == "phone" and c.taken_by is None and _waited_s(c, clock) <= RINGS_S
    ]
    return sorted(waiting, key=lambda c: (c.time_us, c.id))


def _waited_s(call: Contact, clock: Clock) -> float:
    """How long a call has been waiting for the people at the desks, whose time is the real one
    however fast site time runs; as long for a call whose time is ahead of the site's."""
    now_us = clock.now_us()
    past_us = abs(now_us - call.time_us)
    waited_s = clock.real_seconds_until(now_us + past_us)
    return waited_s if waited_s != float("inf") else past_us / 1e6  # the clock is held


class CallDesk:
    """The calls of one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock

    def take(self, contact_id: int, actor: Actor) -> Contact:
        """Take a call; again by the same person changes nothing. Conflict names who was faster."""
        with self.ledger.transaction() as tx:
            call = _call(tx, contact_id)
            if call.taken_by == actor.name:
                return call
            if call.taken_by is not None:
                raise Conflict(
                    f"{call.taken_by} has taken this call.", f"该来电已由{call.taken_by}接听。"
                )
            taken = replace(call, taken_by=actor.name)
            tx.put_contact(taken)
            data = {
                "channel": taken.channel,
                "kind": taken.kind,
                "account": taken.account,
                "incident_id": taken.incident_id,
                "ticket_id": taken.ticket_id,
                "known": taken.incident_id is not None,
                "taken_by": actor.name,
            }
            key = f"{taken.channel}:{taken.external_id}"
            tx.publish("contact", key, self.clock.now_us(), data)
            return taken


def _call(reading: Reading, contact_id: int) -> Contact:
    found = reading.contacts(limit=LOOKED_THROUGH)
    call = next((c for c in found if c.id == contact_id and c.channel == "phone"), None)
    if call is None:
        raise UnknownContact(contact_id)
    return call
