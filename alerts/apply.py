"""Alert events to alerts, incidents and tickets: everything that follows, in one transaction.

Effects follow only from events that the ledger did not know, so the same events may come again
after a restart or a replay. The result depends on the set of events, not on their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alerts.ledger import Advance, Ledger, Transaction
from alerts.nearby import open_incidents
from alerts.places import Places, places_of
from alerts.reconcile import Reconciler, publish_alert
from alerts.settings import DeskSettings
from alerts.silences import mute_of, silenced
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert, AlertEvent, Ticket
from storage.desk_records import Mute, Silence, altered

CHANGE_ORDER = {"raised": 0, "moved": 1, "worsened": 2, "updated": 3, "cleared": 4}


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch of events has changed.

    known : events the ledger had already; opened : tickets that are new
    """

    new: int
    known: int
    alerts: tuple[Alert, ...] = ()
    opened: tuple[Ticket, ...] = ()


def apply_events(
    events: Sequence[AlertEvent],
    ledger: Ledger,
    network: Network,
    *,
    settings: DeskSettings | None = None,
    places: Places | None = None,
    advance: Advance | None = None,
) -> Applied:
    """Store events and let follow what follows from the new ones, all in one transaction.

    `places` keeps answers about the network between calls; `advance` saves the offset of the
    consumer that the events come from in the same commit.
    """
    if not events and advance is None:
        return Applied(0, 0)
    with ledger.transaction(advance) as tx:
        fresh = tx.new_events(events)
        if not fresh:
            return Applied(0, len(events))
        places = places or places_of(network)
        ids = list(dict.fromkeys(e.alert_id for e in sorted(fresh, key=_event_order)))
        open_ = open_incidents(ledger, tx, places)
        before = tx.alerts_by_id(ids)
        history = _history(tx, fresh, before)
        worsened = {e.alert_id for e in fresh if e.change == "worsened"}
        near = {
            ((e.finding.asset_kind, e.finding.asset), FAULTS[e.finding.fault].incident_class)
            for e in fresh
        }
        also = {a.incident_id for a in before.values()}
        desk = Reconciler(tx, places, settings or DeskSettings(), open_.near(near, also))
        entered: dict[str, Alert] = {}
        times = [e.raised_us for e in fresh]
        silences = tx.silences(min(times), max(times))  # one question for the whole batch
        changed: dict[str, Alert] = {}
        for alert_id in ids:
            old = before.get(alert_id)
            alert = fold(history[alert_id], old)
            if old is None:
                entered[alert_id] = _enter(tx, alert, places, silences)
            elif alert != old:
                alert = _seen_anew(alert) if alert_id in worsened else alert
                changed[alert_id] = alert = replace(alert, version=old.version + 1)
                tx.put_alert(alert)
                _mute_flapping(tx, alert)
        desk.take(entered.values(), changed)
        now = tx.alerts_by_id(ids)
        for alert in now.values():
            publish_alert(tx, alert)
        opened = tuple(desk.opened.values())
        return Applied(len(fresh), len(events) - len(fresh), tuple(now.values()), opened)


def _history(
    tx: Transaction, fresh: Sequence[AlertEvent], before: Mapping[str, Alert]
) -> Mapping[str, Sequence[AlertEvent]]:
    """All events of the alerts that have new ones; of an alert not known before, these are all."""
    history: dict[str, list[AlertEvent]] = {}
    for event in fresh:
        if event.alert_id not in before:
            history.setdefault(event.alert_id, []).append(event)
    return {**history, **(tx.events_of(list(before)) if before else {})}


def _event_order(e: AlertEvent) -> tuple[int, str, int]:
    return e.raised_us, e.alert_id, e.finding.tick_us


def fold(events: Sequence[AlertEvent], before: Alert | None = None) -> Alert:
    """The state of an alert after all its events, whatever order they were stored in.

    What people did with it (`before`: handling, incident, version) stays as it was.
    """
    ordered = sorted(events, key=lambda e: (e.finding.tick_us, CHANGE_ORDER[e.change]))
    first = next((e for e in ordered if e.change == "raised"), ordered[0])
    cleared = next((e for e in ordered if e.change == "cleared"), None)
    telling = [e for e in ordered if e.change != "cleared"] or ordered
    last = telling[-1].finding
    now: dict[str, Any] = {
        "asset_kind": last.asset_kind,
        "asset": last.asset,
        "severity": min(e.finding.severity for e in ordered),  # "P1" < "P2": the gravest there was
        "known_us": first.finding.known_us,
        "score": last.score,
        "devices": last.devices,
        "evidence": last.evidence,
        "horizon_h": last.horizon_h,
        "work": FAULTS[last.fault].work,
        "condition": "active" if cleared is None else "cleared",
        "cleared_us": None if cleared is None else cleared.finding.tick_us,
    }
    if before is not None:
        return altered(before, **now)
    return Alert(
        id=first.alert_id,
        fault=last.fault,
        raised_us=first.raised_us,
        ticket=False,
        detector=last.detector,
        **now,
    )


def _seen_anew(alert: Alert) -> Alert:
    """Whoever saw it has seen something less grave: worse is news again."""
    if alert.handling == "acked":
        return replace(alert, handling="new", acked_by=None, acked_at_us=None)
    return alert


def _enter(tx: Transaction, alert: Alert, places: Places, silences: Sequence[Silence]) -> Alert:
    """A new alert, with its customers counted and what mutes it from the start."""
    here = (alert.asset_kind, alert.asset)
    for silence in silences:
        within = silence.start_us <= alert.raised_us < silence.end_us
        if within and silenced(alert, silence, places):
            tx.put_mute(mute_of(alert.id, silence))
    alert = altered(alert, customers=len(places.customers(here)))
    tx.put_alert(alert)
    for work in places.network.planned:
        if not work.start_us <= alert.raised_us < work.explains_until_us:
            continue
        if places.covers((work.asset_kind, work.asset), here):
            ref = planned_ref(work.asset_kind, work.asset, work.start_us)
            until_us = work.explains_until_us
            tx.put_mute(Mute(alert.id, "maintenance", ref, work.start_us, until_us, work.reason))
    _mute_flapping(tx, alert)
    return alert


def _mute_flapping(tx: Transaction, alert: Alert) -> None:
    since = alert.evidence.numbers.get("flapping_since_us")
    if isinstance(since, int):
        tx.put_mute(Mute(alert.id, "flapping", alert.id, since, alert.cleared_us))


def planned_ref(asset_kind: str, asset: str, start_us: int) -> str:
    """How a mute names an announced work."""
    return f"{asset_kind}:{asset}:{start_us}"
