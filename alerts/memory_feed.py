"""The feed, folded by cause, in memory."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from alerts.ledger import Asset
from alerts.memory_alerts import AlertMemory
from alerts.memory_tickets import TicketMemory
from grid.faults import Severity
from grid.records import Alert, Incident
from storage.desk_records import LostSupply
from storage.feed_lines import (
    ALERTS_MAX,
    LINES_MAX,
    Beside,
    Feed,
    FeedLine,
    LineName,
    Rank,
    line_key,
)


def fold(alerts: Sequence[Alert]) -> list[FeedLine]:
    """Lines of the feed, most urgent first."""
    lines: dict[str, list[Alert]] = {}
    for alert in alerts:
        lines.setdefault(line_key(alert), []).append(alert)
    return sorted((_line(key, mine) for key, mine in lines.items()), key=lambda x: x.rank)


def _line(key: str, alerts: Sequence[Alert]) -> FeedLine:
    return FeedLine(
        key,
        min(alerts, key=_speaks),
        len(alerts),
        len({d for a in alerts for d in a.devices}),
        any(a.handling == "new" for a in alerts),
        all(a.condition == "cleared" for a in alerts),
        any(a.condition == "no_data" for a in alerts),
        min(a.severity for a in alerts),
        min(a.raised_us for a in alerts),
    )


def _speaks(alert: Alert) -> tuple[bool, str, bool, bool, int, str]:
    over, defect = alert.condition == "cleared", alert.fault != "outage"
    return over, alert.severity, defect, not alert.ticket, alert.raised_us, alert.id


class FeedMemory(AlertMemory, TicketMemory):
    """What `alerts.ledger.Reading` asks about the feed."""

    def feed(
        self,
        *,
        open_only: bool = True,
        without_work: str | None = None,
        only: Sequence[str] | None = None,
        start: Rank | None = None,
        limit: int = LINES_MAX,
    ) -> Feed:
        wanted = None if only is None else set(only)
        most = ALERTS_MAX if not open_only and only is None else None
        lines = fold(
            [
                a
                for a in self._of_feed(open_only, without_work, most)
                if wanted is None or line_key(a) in wanted
            ]
        )
        shown = [x for x in lines if start is None or x.rank >= start]
        return Feed(shown[:limit], len(lines), sum(x.alerts for x in lines))

    def _of_feed(self, open_only: bool, without_work: str | None, most: int | None) -> list[Alert]:
        found = self.alerts(open_only=open_only, limit=len(self.alert_rows))
        return [a for a in found if without_work is None or a.work != without_work][:most]

    def line_names(
        self, *, open_only: bool = True, without_work: str | None = None
    ) -> list[LineName]:
        most = None if open_only else ALERTS_MAX
        found = self._of_feed(open_only, without_work, most)
        tickets = self.tickets_by_incident([a.incident_id for a in found if a.incident_id])
        shown = {i: t.number for i, t in tickets.items() if t.work != without_work}
        return [
            LineName(
                line_key(a),
                a.fault,
                a.asset_kind,
                a.asset,
                a.devices,
                shown.get(a.incident_id or 0),
            )
            for a in found
        ]

    def line_places(
        self, *, open_only: bool = True, without_work: str | None = None
    ) -> Mapping[Asset, int]:
        most = None if open_only else ALERTS_MAX
        lines = fold(self._of_feed(open_only, without_work, most))
        return Counter((x.main.asset_kind, x.main.asset) for x in lines)

    def worst_open(self, *, without_work: str | None = None) -> Mapping[Asset, Severity]:
        worst: dict[Asset, Severity] = {}
        for a in self._of_feed(True, without_work, None):
            if a.condition != "cleared":
                here = (a.asset_kind, a.asset)
                worst[here] = min(worst.get(here, a.severity), a.severity)
        return worst

    def lost_supply(self, since_us: int) -> list[LostSupply]:
        return [
            LostSupply(a.asset_kind, a.asset, a.raised_us, a.cleared_us)
            for a in self.alert_rows.values()
            if a.fault == "outage" and (a.cleared_us is None or a.cleared_us > since_us)
        ]

    def beside(self, alert: Alert, *, without_work: str | None = None, limit: int = 12) -> Beside:
        if alert.incident_id is None:
            return Beside()
        others = [
            a
            for a in self.alerts_of([alert.incident_id]).get(alert.incident_id, ())
            if a.id != alert.id and a.work != without_work
        ]
        return Beside(len(others), sum(a.handling == "new" for a in others), tuple(others[:limit]))

    def first_known_us(self, incident_id: int) -> int | None:
        own = self.alerts_of([incident_id]).get(incident_id, ())
        return min((a.known_us for a in own), default=None)

    def most_called(self, since_us: int, without_faults: Collection[str]) -> Incident | None:
        called = {c.incident_id for c in self.contact_rows.values() if c.time_us >= since_us}
        told = [
            i
            for i in self.incident_rows.values()
            if (i.closed_us is None or i.id in called)
            and i.fault not in without_faults
            and self.incident_tickets.get(i.id)
        ]
        return max(told, key=lambda i: (i.contacts, i.known_us, i.id), default=None)
