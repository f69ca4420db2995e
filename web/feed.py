"""The feed folded by cause: one line an incident, however many alerts and meters it has."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.ledger import Reading
from grid.records import Alert, Incident, OutboxMessage, Ticket
from storage.desk_records import Mute

SEVERITY_ORDER: Final = ("P1", "P2", "P3", "P4")


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One alert with what hangs on it."""

    alert: Alert
    incident: Incident | None = None
    ticket: Ticket | None = None
    mutes: tuple[Mute, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedGroup:
    """One line of the feed.

    `key` names the line for the live stream; `main` is the alert that speaks for the cause: the
    one that opens the ticket, else the gravest, else the first.
    """

    key: str
    main: FeedItem
    items: tuple[FeedItem, ...]

    @property
    def devices(self) -> int:
        return len({d for item in self.items for d in item.alert.devices})

    @property
    def unseen(self) -> bool:
        return any(item.alert.handling == "new" for item in self.items)

    @property
    def cleared(self) -> bool:
        return all(item.alert.cleared_us is not None for item in self.items)

    @property
    def no_data(self) -> bool:
        """Whether nothing is heard any more of some of it: neither active for sure nor over."""
        return any(item.alert.condition == "no_data" for item in self.items)

    @property
    def raised_us(self) -> int:
        return min(item.alert.raised_us for item in self.items)

    @property
    def customers(self) -> int:
        incident = self.main.incident
        return max(self.main.alert.customers, incident.customers if incident else 0)

    @property
    def severity(self) -> str:
        return min(item.alert.severity for item in self.items)

    @property
    def rank(self) -> str:
        """Sorts lines as text, in the browser too: unseen, grave and new ones first."""
        newest_first = 10**17 - self.raised_us
        return f"{int(self.cleared)}{int(not self.unseen)}{self.severity}{newest_first:017d}"


def group_key(alert: Alert) -> str:
    """The line an alert belongs to."""
    return f"i{alert.incident_id}" if alert.incident_id is not None else f"a{alert.id}"


def fold(items: Iterable[FeedItem]) -> list[FeedGroup]:
    """Lines of the feed, most urgent first."""
    lines: dict[str, list[FeedItem]] = {}
    for item in items:
        lines.setdefault(group_key(item.alert), []).append(item)
    groups = [FeedGroup(key, _main(members), tuple(members)) for key, members in lines.items()]
    return sorted(groups, key=lambda g: g.rank)


def _main(items: Sequence[FeedItem]) -> FeedItem:
    def order(item: FeedItem) -> tuple[bool, bool, str, int]:
        a = item.alert
        return (a.cleared_us is not None, not a.ticket, a.severity, a.raised_us)

    return min(items, key=order)


def line_of(message: OutboxMessage) -> str | None:
    """The line that a message is about, None for messages about something else."""
    incident = message.data.get("incident_id")
    if message.topic == "incident":
        return f"i{message.key}"
    if message.topic == "alert":
        return f"i{incident}" if incident is not None else f"a{message.key}"
    return None


def group_of(reading: Reading, line: str) -> FeedGroup | None:
    """A line as it is now; None when nothing of it belongs in the feed any more."""
    if line.startswith("i"):
        alerts = reading.alerts(open_only=True, incident_id=int(line[1:]))
    else:
        alert = reading.alert(line[1:])
        wanted = alert and (alert.handling == "new" or alert.cleared_us is None)
        alerts = [alert] if alert and wanted and alert.incident_id is None else []
    if not alerts:
        return None
    incident_id = alerts[0].incident_id
    incident = reading.incident(incident_id) if incident_id is not None else None
    tickets = reading.tickets_of_incident(incident_id) if incident_id is not None else []
    mutes = reading.mutes([a.id for a in alerts])
    ticket = tickets[0] if tickets else None
    return fold(FeedItem(a, incident, ticket, mutes.get(a.id, ())) for a in alerts)[0]


def found_in(
    groups: Iterable[FeedGroup], wanted: str, names_of: Callable[[FeedItem], Iterable[str]]
) -> list[FeedGroup]:
    """Lines that somebody looks for, exact names first; `names_of` gives what an alert is called.

    Every word must be a part of one of the names.
    """
    words = wanted.casefold().split()
    exact: list[FeedGroup] = []
    partly: list[FeedGroup] = []
    for group in groups:
        names = {n.casefold() for item in group.items for n in names_of(item) if n}
        if all(any(word in name for name in names) for word in words):
            (exact if all(word in names for word in words) else partly).append(group)
    return exact + partly
