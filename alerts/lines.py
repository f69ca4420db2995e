"""Alerts as the public JSON lines of contracts.md, section 4: the final state of each."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from alerts.ledger import Ledger
from grid.records import Alert, Incident


def alert_lines(ledger: Ledger) -> list[dict[str, Any]]:
    """Every alert of a realm, sorted by raised and id; one line a cause bears `ticket: true`."""
    with ledger.reading() as reading:
        alerts = reading.alerts(limit=2**31 - 1)
        incidents = {i.id: i for i in reading.incidents(open_only=False, limit=2**31 - 1)}
    alerts.sort(key=lambda a: (a.raised_us, a.id))
    return [alert_line(a, incidents.get(a.incident_id or 0)) for a in alerts]


def alert_line(alert: Alert, incident: Incident | None = None) -> dict[str, Any]:
    """One alert as its public line.

    The line that bears the ticket names the asset where the cause was found to be in the end;
    the id stays that of the first raise.
    """
    kind, asset = alert.asset_kind, alert.asset
    if alert.ticket and incident is not None:
        kind, asset = incident.asset_kind, incident.asset
    return {
        "id": alert.id,
        "fault": alert.fault,
        "asset_kind": kind,
        "asset": asset,
        "severity": alert.severity,
        "raised": rfc3339(alert.raised_us),
        "known": rfc3339(alert.known_us),
        "cleared": None if alert.cleared_us is None else rfc3339(alert.cleared_us),
        "score": round(alert.score, 4),
        "devices": list(alert.devices),
        "ticket": alert.ticket,
        "work": alert.work,
        "horizon_h": alert.horizon_h,
        "evidence": _evidence(alert),
    }


def _evidence(alert: Alert) -> Mapping[str, Any]:
    e = alert.evidence
    return {
        "rule": e.rule,
        "rule_zh": e.rule_zh,
        "numbers": dict(e.numbers),
        "limit": e.limit,
        "window": [rfc3339(e.window[0]), rfc3339(e.window[1])],
        "peers": list(e.peers),
        "excluded": list(e.excluded),
        "next_check": e.next_check,
        "next_check_zh": e.next_check_zh,
    }


def rfc3339(time_us: int) -> str:
    """A moment in UTC, with microseconds only where there are some.

    >>> rfc3339(1_772_323_200_000_000)
    '2026-03-01T00:00:00Z'
    """
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat().replace("+00:00", "Z")
