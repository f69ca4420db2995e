"""Reminders, on the ledger in PostgreSQL: workers that race and die tell each rung once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from alerts.apply import apply_events
from alerts.reminders import remind
from grid.network import Feeder, Network, Transformer
from storage.database import Database
from storage.ledger import PostgresLedger, Rows
from tests.contract.alerts.reminders_contract import RemindersContract
from tests.unit.alerts.town import HOUR, START, raised


class Dying(PostgresLedger):
    """Does its work and dies before the commit."""

    @contextmanager
    def transaction(self, advance: tuple[str, str, int] | None = None) -> Iterator[Rows]:
        with super().transaction(advance) as tx:
            yield tx
            raise RuntimeError("killed")


class TestPostgresReminders(RemindersContract):
    """See `RemindersContract`; the fixture `ledger` is this folder's."""


def test_four_workers_and_one_crash_tell_four_hundred_reminders(
    ledger: PostgresLedger, database: Database
) -> None:
    areas = [f"T{i}" for i in range(200)]
    network = Network(
        feeders=tuple(Feeder(f"F{a}") for a in areas),
        transformers=tuple(Transformer(a, f"F{a}") for a in areas),
    )
    apply_events([raised("outage", ("transformer", a)) for a in areas], ledger, network)

    crashing = Dying(database, ledger.realm)
    with ThreadPoolExecutor(5) as pool:
        dead = pool.submit(remind, crashing, network, START + HOUR)
        alive = [pool.submit(remind, ledger, network, START + HOUR) for _ in range(4)]
        told = [r for done in alive for r in done.result(timeout=60)]
        died = dead.exception(timeout=60)

    # The crashed one either died in its transaction or came when nothing was left to tell.
    assert died is None or isinstance(died, RuntimeError)
    assert 400 == len(told) == len({(r.ticket.id, r.metric) for r in told})
    with ledger.reading() as r:
        notices = [m for m in r.outbox(0, limit=10_000) if m.topic == "notice"]
    assert 400 == len(notices)
