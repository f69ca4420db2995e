"""What follows from time alone: shelves and mutes end, and what outlasts its cause stands up.

Called now and then with site time by whoever keeps the site (the watch). Everything is found in
the ledger, so nothing is forgotten by a restart, and two who call at once do it once.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from alerts.incidents import class_of
from alerts.ledger import Ledger, Transaction
from alerts.nearby import OpenIncidents, open_incidents
from alerts.places import Places, places_of
from alerts.reconcile import Reconciler, publish_alert
from alerts.roles import SYSTEM
from alerts.settings import HOUR_US, DeskSettings
from grid.network import Network
from grid.records import Ticket
from storage.desk_records import Step, Waking

# After supply is back, meters report within two intervals of the slow ones.
GRACE_US: Final = HOUR_US


@dataclass(frozen=True, slots=True)
class Settled:
    """How many alerts woke, by reason (see `storage.desk_records.Waking`), and new tickets."""

    woken: dict[str, int] = field(default_factory=dict)
    opened: tuple[Ticket, ...] = ()


def settle(
    ledger: Ledger,
    network: Network,
    now_us: int,
    *,
    settings: DeskSettings | None = None,
    places: Places | None = None,
    grace_us: int = GRACE_US,
) -> Settled:
    """Do everything that is due by `now_us` (site time)."""
    with ledger.reading() as reading:
        if not reading.waking(now_us, grace_us):
            return Settled()
    with ledger.transaction() as tx:
        due = tx.waking(now_us, grace_us)
        count: Counter[str] = Counter(w.why for w in due)
        for waking in due:
            if waking.why == "shelf":
                _back_from_shelf(tx, waking.alert_id)
        again = [w for w in due if w.why != "shelf"]
        places = places or places_of(network)
        open_ = open_incidents(ledger, tx, places)
        opened = _place_again(tx, again, now_us, open_, settings or DeskSettings())
        return Settled(dict(count), opened)


def _back_from_shelf(tx: Transaction, alert_id: str) -> None:
    alert = tx.alert(alert_id)
    assert alert is not None, "it was found in this transaction"
    back = replace(alert, handling="new", shelved_until_us=None, version=alert.version + 1)
    tx.put_alert(back)
    publish_alert(tx, back)


def _place_again(
    tx: Transaction, due: list[Waking], now_us: int, open_: OpenIncidents, settings: DeskSettings
) -> tuple[Ticket, ...]:
    if not due:
        return ()
    alerts = dict(tx.alerts_by_id(list(dict.fromkeys(w.alert_id for w in due))))
    near = {((a.asset_kind, a.asset), class_of(a)) for a in alerts.values()}
    also = {a.incident_id for a in alerts.values()}
    for waking in due:
        if waking.why == "mute":
            tx.end_mutes(kind=waking.kind, ref=waking.ref, alert_id=waking.alert_id)
        else:
            tx.release(waking.alert_id, int(waking.ref), now_us)
            _note(tx, int(waking.ref), "nested", waking.alert_id, now_us)
    desk = Reconciler(tx, open_.places, settings, open_.near(near, also))
    out = {w.alert_id for w in due if w.why != "mute"}
    desk.take((), {}, again={i for i in alerts if i not in out}, out=[alerts[i] for i in out])
    for alert in tx.alerts_by_id(list(alerts)).values():
        publish_alert(tx, alert)
        if alert.id not in out and alert.incident_id is not None:
            _note(tx, alert.incident_id, "survived", alert.id, now_us)
    return tuple(desk.opened.values())


def _note(tx: Transaction, incident_id: int, action: str, alert_id: str, now_us: int) -> None:
    """A line in the history of the incident's open ticket, if it has one."""
    ticket = tx.open_tickets([incident_id]).get(incident_id)
    if ticket is None:
        return
    step = Step(
        ticket.id,
        0,
        action,
        ticket.state,
        ticket.state,
        SYSTEM.name,
        SYSTEM.role,
        now_us,
        "",
        {"alert": alert_id},
    )
    tx.change_ticket(ticket, ticket.version, step)
