"""Notices, on the ledger in PostgreSQL, and their queue."""

from __future__ import annotations

import contextlib

from alerts.announce import Receiver, announce
from alerts.apply import apply_events
from desk.delivery import DeliveryFailed, Sender, deliver
from desk.senders import EmailSender, WebhookSender
from storage.database import Database
from storage.desk_notices import NoticeQueue
from storage.desk_records import LeasedNotice, Notice
from storage.ledger import PostgresLedger
from tests.contract.alerts.notices_contract import NoticesContract
from tests.unit.alerts.town import START, raised, town
from tests.unit.desk.receivers import hook, mail_server

OPS = Receiver("ops", "ops", severity="P1")


class TestPostgresNotices(NoticesContract):
    """See `NoticesContract`; the fixture `ledger` is this folder's."""


class Told:
    """A receiver that refuses the first so many."""

    def __init__(self, refuse: int = 0, *, permanent: bool = False) -> None:
        self.refuse, self.permanent = refuse, permanent
        self.got: list[LeasedNotice] = []

    def send(self, notice: LeasedNotice) -> None:
        if self.refuse:
            self.refuse -= 1
            raise DeliveryFailed("busy", permanent=self.permanent)
        self.got.append(notice)


def waiting(database: Database, count: int = 2) -> NoticeQueue:
    """The live queue with so many notices and nothing else."""
    with database.connection() as c:
        c.execute("DELETE FROM notice")
    notices = [
        Notice(f"alert:{i}", "receiver:ops", "firing", "P1", "ops", {"n": i}, START, START)
        for i in range(count)
    ]
    with PostgresLedger(database).transaction() as tx:
        assert tx.add_notices([*notices, *notices]) == count
        assert tx.add_notices(notices) == 0
    return NoticeQueue(database)


def test_what_is_due_is_sent_once(database: Database) -> None:
    queue, told = waiting(database), Told()

    first = deliver(queue, {"ops": told}, START)
    second = deliver(queue, {"ops": told}, START)

    assert (first.sent, second.sent, len(told.got)) == (2, 0, 2)
    assert queue.counts() == {"sent": 2}
    assert [n.payload for n in told.got] == [{"n": 0}, {"n": 1}]


def test_nobody_gets_what_another_has_leased(database: Database) -> None:
    queue = waiting(database)

    mine = queue.lease(START, 1, 60)
    theirs = queue.lease(START, 9, 60)

    assert (len(mine), len(theirs)) == (1, 1)
    assert mine[0].id != theirs[0].id


def test_a_worker_that_dies_leaves_its_notice_to_another_under_the_same_id(
    database: Database,
) -> None:
    queue = waiting(database, 1)
    (dead,) = queue.lease(START, 9, 0.0)  # its lease has ended

    told = Told()
    deliver(queue, {"ops": told}, START)

    assert [(n.id, n.tries) for n in told.got] == [(dead.id, 2)]


def test_a_failure_waits_and_a_refusal_for_good_is_dead_until_a_person_wants_it(
    database: Database,
) -> None:
    queue = waiting(database, 1)

    busy = deliver(queue, {"ops": Told(refuse=1)}, START)
    assert (busy.retried, queue.lease(START, 9, 60)) == (1, [])
    with database.connection() as c:
        c.execute("UPDATE notice SET next_try_at = now()")
    refused = deliver(queue, {"ops": Told(refuse=1, permanent=True)}, START)
    (dead,) = queue.dead()

    assert (refused.dead, dead.last_error) == (1, "busy")
    assert queue.revive(dead.id)
    assert not queue.revive(dead.id)
    assert deliver(queue, {"ops": Told()}, START).sent == 1


def test_what_was_withdrawn_while_it_was_tried_is_neither_dead_nor_revived(
    database: Database,
) -> None:
    queue = waiting(database, 2)
    leased, other = queue.lease(START, 9, 60)
    queue.bury(other.id, "refused")
    with PostgresLedger(database).transaction() as tx:
        assert {("alert:0", "firing", "P1")} == tx.waiting_notices(START)
        for n in (leased, other):
            assert 1 == tx.withdraw_notices(n.subject, n.trigger, n.milestone, START, "over")

    queue.bury(leased.id, "refused")

    assert not any(queue.revive(n.id) for n in (leased, other))
    assert queue.counts() == {"withdrawn": 2}


def test_what_waits_for_the_morning_is_not_due_at_night(database: Database) -> None:
    queue = waiting(database, 1)
    with database.connection() as c:
        c.execute("UPDATE notice SET not_before_us = %s", [START + 10])

    assert queue.lease(START + 9, 9, 60) == []
    assert len(queue.lease(START + 10, 9, 60)) == 1


def test_no_notice_leaves_a_drill(database: Database) -> None:
    drill = PostgresLedger(database, "drill-notices")
    apply_events([raised("outage")], drill, town())

    assert announce(drill, [OPS], START) == 1
    assert NoticeQueue(database, "drill-notices").counts() == {"withheld": 1}
    assert NoticeQueue(database, "drill-notices").lease(START, 9, 60) == []


def test_an_alert_leaves_by_mail_and_webhook_whatever_other_receivers_do(
    database: Database, ledger: PostgresLedger
) -> None:
    """One takes it, one answers 500, one hangs, one redirects, a mail server refuses for now."""
    with database.connection() as c:
        c.execute("DELETE FROM notice")
    live = PostgresLedger(database)
    names = ("well", "broken", "slow", "moved", "mail", "full")
    with contextlib.ExitStack() as open_:
        hooks = {n: open_.enter_context(hook()) for n in ("well", "broken", "slow", "moved")}
        mail, full = open_.enter_context(mail_server()), open_.enter_context(mail_server())
        hooks["broken"].answer, hooks["slow"].hangs = 500, True
        hooks["moved"].answer, hooks["moved"].headers = 301, {"location": hooks["well"].url}
        full.refuses["RCPT"] = "452 mailbox full"
        senders: dict[str, Sender] = {
            n: WebhookSender(h.url, now_s=lambda: 1.0, timeout_s=0.3) for n, h in hooks.items()
        }
        for name, server in (("mail", mail), ("full", full)):
            senders[name] = EmailSender("127.0.0.1", server.port, "f@x.org", "o@x.org", tls=False)
        apply_events([raised("outage")], live, town())
        announce(live, [Receiver(n, n) for n in names], START)
        queue = NoticeQueue(database)

        first = deliver(queue, senders, START)
        (moved,) = queue.dead()
        hooks["broken"].answer, hooks["slow"].hangs = 200, False
        full.refuses.clear()
        hooks["slow"].over.set()
        hooks["moved"].answer = 200
        assert queue.revive(moved.id)
        with database.connection() as c:
            c.execute("UPDATE notice SET next_try_at = now()")
        second = deliver(queue, senders, START)

    assert (first.sent, first.retried, first.dead) == (2, 3, 1)
    assert (moved.channel, second.sent) == ("moved", 4)
    assert queue.counts() == {"sent": 6}
    assert [len(h.got) for h in hooks.values()] == [1, 2, 2, 2]
    keys = {
        h.got[0][0]["idempotency-key"] == h.got[-1][0]["idempotency-key"] for h in hooks.values()
    }
    assert keys == {True}
    assert (len(mail.got), len(full.got)) == (1, 1)
