"""Alerts to other systems: an end to whoever was told of the beginning, to nobody else.

Reads the outbox from where it stopped and adds notices in the same transaction, so a restart
neither loses nor repeats one. The payload is that of Alertmanager's webhook (version 4): what
receives that receives this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from alerts.incidents import primary
from alerts.ledger import Ledger, Transaction
from grid.faults import FAULTS, SEVERITY_NAMES, SUPPLY_FAULTS, Severity
from grid.records import Alert
from storage.desk_records import Notice

BATCH: Final = 500
BATCHES: Final = 40


@dataclass(frozen=True, slots=True)
class Receiver:
    """A system that wants to know; `channel` names its sender.

    severity : the least grave that is told; tickets_only : only the alert that bears the ticket,
        and the loss of supply in which what bears it has ended
    """

    name: str
    channel: str
    severity: Severity = "P3"
    tickets_only: bool = True
    faults: frozenset[str] | None = None

    def wants(self, alert: Alert, speaks: bool) -> bool:
        """Whether it is told of this alert, which `speaks` for a ticket or does not. Inspections
        leave only when named."""
        if FAULTS[alert.fault].work == "inspection" and alert.fault not in (self.faults or ()):
            return False
        return (
            alert.severity <= self.severity  # "P1" < "P3": as grave or graver
            and (speaks or not self.tickets_only)
            and (self.faults is None or alert.fault in self.faults)
        )


def announce(
    ledger: Ledger, receivers: Sequence[Receiver], now_us: int, *, site_url: str = ""
) -> int:
    """Add the notices that follow from what has happened since the last call; how many.

    At most `BATCHES` times `BATCH` messages are gone through: after a storm the next call goes on.
    """
    made = 0
    for _ in range(BATCHES):
        more = _announce(ledger, receivers, now_us, site_url)
        if more is None:
            break
        made += more
    return made


def _announce(
    ledger: Ledger, receivers: Sequence[Receiver], now_us: int, site_url: str
) -> int | None:
    """One batch, in one transaction with its offset; None when there is nothing new."""
    consumer, journal = f"announce:{ledger.realm}", f"outbox:{ledger.realm}"
    with ledger.reading() as reading:
        messages = reading.outbox(reading.offset(consumer, journal), BATCH)
    if not messages:
        return None
    ids = list(dict.fromkeys(m.key for m in messages if m.topic == "alert"))
    with ledger.transaction((consumer, journal, messages[-1].seq)) as tx:
        alerts = tx.alerts_by_id(ids)
        mutes = tx.mutes(ids)
        notices = []
        for alert in alerts.values():
            muted = any(m.end_us is None or m.end_us > now_us for m in mutes.get(alert.id, ()))
            speaks = alert.ticket or _ends_a_ticket(tx, alert)
            for receiver in receivers:
                notice = _notice(tx, alert, receiver, muted, speaks, now_us, site_url)
                if notice is not None:
                    notices.append(notice)
        return tx.add_notices(notices) if notices else 0


def _ends_a_ticket(tx: Transaction, alert: Alert) -> bool:
    """Whether it is the loss of supply that what bears the ticket has ended in: grave news, though
    the ticket is an old one."""
    if alert.fault not in SUPPLY_FAULTS or alert.incident_id is None:
        return False
    beside = tx.alerts_of([alert.incident_id]).get(alert.incident_id, ())
    first = primary(a for a in beside if a.fault in SUPPLY_FAULTS)
    growing = any(a.ticket and a.fault not in SUPPLY_FAULTS for a in beside)
    return growing and first is not None and first.id == alert.id


def _notice(
    tx: Transaction,
    alert: Alert,
    receiver: Receiver,
    muted: bool,
    speaks: bool,
    now_us: int,
    site_url: str,
) -> Notice | None:
    subject, recipient = f"alert:{alert.id}", f"receiver:{receiver.name}"
    if alert.condition == "cleared":
        if recipient not in tx.told(subject, "firing"):
            return None
        trigger, milestone = "resolved", str(alert.cleared_us)
    else:
        if muted or not receiver.wants(alert, speaks):
            return None
        trigger, milestone = "firing", alert.severity
    payload = webhook_payload(alert, receiver.name, site_url)
    return Notice(subject, recipient, trigger, milestone, receiver.channel, payload, now_us, now_us)


def webhook_payload(alert: Alert, receiver: str, site_url: str = "") -> dict[str, Any]:
    """One alert as Alertmanager's webhook message, version 4."""
    fault = FAULTS[alert.fault]
    status = "resolved" if alert.condition == "cleared" else "firing"
    labels = {
        "alertname": alert.fault,
        "severity": SEVERITY_NAMES[alert.severity][0],
        "priority": alert.severity,
        "asset_kind": alert.asset_kind,
        "asset": alert.asset,
        "detector": alert.detector,
    }
    annotations = {
        "summary": f"{fault.name} at {alert.asset_kind} {alert.asset}",
        "summary_zh": f"{alert.asset}{fault.name_zh}",
        "description": alert.evidence.rule,
        "description_zh": alert.evidence.rule_zh,
    }
    ends_us = alert.cleared_us
    url = f"{site_url}/alerts/{alert.id}" if site_url else ""
    return {
        "version": "4",
        "groupKey": f"{{}}:{{alert={alert.id}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": {"alertname": alert.fault},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": site_url,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": _moment(alert.raised_us),
                "endsAt": "0001-01-01T00:00:00Z" if ends_us is None else _moment(ends_us),
                "generatorURL": url,
                "fingerprint": alert.id,
            }
        ],
    }


def _moment(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat().replace("+00:00", "Z")
