"""What pages show: the feed, the queue, one alert, one ticket; each from one snapshot.

Read models only: nothing here changes anything. What a role may not see is absent, not greyed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alerts.ledger import FINAL_STATES, Ledger, Reading
from alerts.places import Places, places_of
from alerts.roles import Actor, Role, may_act_on, may_see
from alerts.states import ROUTE, allowed, state_name
from desk.checklist import Tick, ticked, used_version
from desk.knowledge import KnowledgeDesk
from desk.procedures import Procedure, procedure
from desk.ratings import ratings
from desk.timeline import TimelineEntry, timeline
from grid.network import Customer, Network, Transformer
from grid.records import Alert, AlertEvent, Contact, Incident, Ticket, TicketState
from storage.desk_records import Move, Mute, Step
from storage.feed_lines import LINES_MAX, Beside, FeedLine, Rank


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One alert with what hangs on it.

    opens_ticket : this line bears its cause's ticket; others of the same incident do not
    returned_unseen : it ended before anybody had seen it
    """

    alert: Alert
    incident: Incident | None
    ticket: Ticket | None
    mutes: tuple[Mute, ...]

    @property
    def opens_ticket(self) -> bool:
        return self.alert.ticket

    @property
    def returned_unseen(self) -> bool:
        return self.alert.condition == "cleared" and self.alert.handling == "new"

    @property
    def flapping(self) -> bool:
        return any(m.kind == "flapping" for m in self.mutes)


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of the feed with what hangs on the alert that speaks for it."""

    line: FeedLine
    incident: Incident | None
    ticket: Ticket | None
    mutes: tuple[Mute, ...]

    @property
    def customers(self) -> int:
        return max(self.line.main.customers, self.incident.customers if self.incident else 0)


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of the feed, the most urgent first, of how many lines and alerts they are, and
    the line after them, if there is one."""

    rows: list[LineRow]
    lines_all: int
    alerts_all: int
    next: Rank | None = None


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Everything about one alert; `call_first` are customers to be called before others.

    beside : the other alerts of its cause, the first of them and how many there are
    """

    row: FeedRow
    events: list[AlertEvent]
    beside: Beside
    transformer: Transformer | None
    customers: int
    call_first: list[Customer]
    procedure: Procedure


@dataclass(frozen=True, slots=True)
class TicketRow:
    """One line of the queue."""

    ticket: Ticket
    incident: Incident
    state_name: tuple[str, str]

    def overdue(self, now_us: int) -> bool:
        """Whether the work is late."""
        t = self.ticket
        return t.state not in FINAL_STATES and t.due_us is not None and t.due_us < now_us


@dataclass(frozen=True, slots=True)
class RouteStop:
    """One stop on a ticket's way, as it is drawn: done, now or next; who and when if done."""

    state: TicketState
    name: tuple[str, str]
    when: Literal["done", "now", "next"]
    at_us: int | None = None
    who: str | None = None


@dataclass(frozen=True, slots=True)
class TicketPage:
    """Everything about one ticket.

    allowed : actions of `alerts.states.ACTIONS` that the asking role may take now
    checklist_used : (key, version) that was worked by last; ticked : its lines that are done
    stars : what customers said, if it is closed
    linked : what else is known or reported at its place
    merged : its sub-tickets; main : the ticket it was merged into
    """

    ticket: Ticket
    incident: Incident
    state_name: tuple[str, str]
    alerts: list[Alert]
    contacts: list[Contact]
    timeline: list[TimelineEntry]
    route: list[RouteStop]
    allowed: tuple[str, ...]
    procedure: Procedure
    call_first: list[Customer]
    moves: list[Move]
    merged: list[Ticket] = field(default_factory=list)
    main: Ticket | None = None
    checklist_used: tuple[str, int] | None = None
    ticked: list[Tick] = field(default_factory=list)
    stars: list[int] = field(default_factory=list)
    linked: list[Ticket] = field(default_factory=list)

    @property
    def over_us(self) -> int | None:
        """Since when the readings tell that all of it is over, while the ticket is still open."""
        ends = [a.cleared_us for a in self.alerts if a.cleared_us is not None]
        over = bool(ends) and len(ends) == len(self.alerts) and self.ticket.closed_us is None
        return max(ends) if over else None


class Board:
    """The read side of the desk for one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        *,
        places: Places | None = None,
        knowledge: KnowledgeDesk | None = None,
    ) -> None:
        self.ledger, self.network = ledger, network
        self.places = places or places_of(network)
        self.knowledge = knowledge

    def procedure(self, fault: str, language: str, version: int | None = None) -> Procedure:
        """The checklist in use (or that of a version), else the one that came with the program."""
        if self.knowledge is None:
            return procedure(fault, language)
        return self.knowledge.procedure(fault, language, version)

    # -- alerts ----------------------------------------------------------------------------

    def feed(
        self,
        *,
        role: Role,
        open_only: bool = True,
        fault: str | None = None,
        handling: str | None = None,
        ticket: bool | None = None,
        limit: int = 100,
        before: tuple[int, str] | None = None,
    ) -> list[FeedRow]:
        """Alerts, newest first; `before` is (raised_us, id) of the last row of the page above.

        At most `limit` rows are read, so a page may be shorter for who may not see all of them.
        """
        with self.ledger.reading() as reading:
            alerts = reading.alerts(
                open_only=open_only,
                fault=fault,
                handling=handling,
                ticket=ticket,
                limit=limit,
                before=before,
            )
            return self._rows(reading, [a for a in alerts if may_see(a.work, role)], role)

    def _rows(self, reading: Reading, alerts: Sequence[Alert], role: Role) -> list[FeedRow]:
        ids = list(dict.fromkeys(a.incident_id for a in alerts if a.incident_id is not None))
        incidents: Mapping[int, Incident] = reading.incidents_by_id(ids)
        tickets = reading.tickets_by_incident(ids)
        mutes = reading.mutes([a.id for a in alerts])
        return [
            FeedRow(
                a,
                incidents.get(a.incident_id or 0),
                _visible(tickets.get(a.incident_id or 0), role),
                mutes.get(a.id, ()),
            )
            for a in alerts
        ]

    def lines(
        self,
        *,
        role: Role,
        open_only: bool = True,
        only: Sequence[str] | None = None,
        start: Rank | None = None,
        limit: int = LINES_MAX,
    ) -> Lines:
        """The feed folded by cause; see `alerts.ledger.Reading.feed`."""
        with self.ledger.reading() as reading:
            found = reading.feed(
                open_only=open_only,
                without_work=hidden_work(role),
                only=only,
                start=start,
                limit=limit + 1,
            )
            rows = self._line_rows(reading, found.lines[:limit], role)
            more = found.lines[limit].rank if len(found.lines) > limit else None
            return Lines(rows, found.lines_all, found.alerts_all, more)

    def _line_rows(self, reading: Reading, lines: Sequence[FeedLine], role: Role) -> list[LineRow]:
        rows = self._rows(reading, [x.main for x in lines], role)
        return [
            LineRow(x, row.incident, row.ticket, row.mutes)
            for x, row in zip(lines, rows, strict=True)
        ]

    def alert(self, alert_id: str, role: Role, language: str = "zh-CN") -> AlertPage | None:
        """One alert, None if there is none or the role may not see it."""
        with self.ledger.reading() as reading:
            alert = reading.alert(alert_id)
            if alert is None or not may_see(alert.work, role):
                return None
            row = self._rows(reading, [alert], role)[0]
            here = (alert.asset_kind, alert.asset)
            return AlertPage(
                row,
                reading.events(alert_id),
                reading.beside(alert, without_work=hidden_work(role)),
                self.network.transformer_of(*here),
                len(self.places.customers(here)),
                self.places.call_first(here),
                self.procedure(alert.fault, language),
            )

    def cause(self, alert_id: str, role: Role) -> list[Alert]:
        """An alert and all that are folded with it, itself first; [] if there is none for the
        role. For who acts on all of them: a page counts them by `alert`."""
        with self.ledger.reading() as reading:
            alert = reading.alert(alert_id)
            if alert is None or not may_see(alert.work, role):
                return []
            if alert.incident_id is None:
                return [alert]
            found = reading.alerts_of([alert.incident_id]).get(alert.incident_id, ())
            return [alert, *(a for a in found if a.id != alert_id and may_see(a.work, role))]

    # -- tickets ---------------------------------------------------------------------------

    def tickets(
        self,
        *,
        role: Role,
        states: Iterable[TicketState] | None = None,
        work: str | None = None,
        team: str | None = None,
        assignee: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[TicketRow]:
        """The queue, most urgent first; without `states` all that are open."""
        with self.ledger.reading() as reading:
            found = reading.tickets(
                states=states,
                work=work,
                without_work=hidden_work(role),
                team=team,
                assignee=assignee,
                limit=limit,
                offset=offset,
            )
            incidents = reading.incidents_by_id([t.incident_id for t in found])
        return [TicketRow(t, incidents[t.incident_id], state_name(t.state, t.work)) for t in found]

    def ticket(
        self, ticket_id: int, role: Role, language: str = "zh-CN", *, team: str | None = None
    ) -> TicketPage | None:
        """One ticket, None if there is none or the role may not see it (a crew: its `team`'s)."""
        with self.ledger.reading() as reading:
            return self._page(reading, reading.ticket(ticket_id), role, language, team)

    def ticket_numbered(
        self, number: str, role: Role, language: str = "zh-CN", *, team: str | None = None
    ) -> TicketPage | None:
        """The same by the number people say."""
        with self.ledger.reading() as reading:
            return self._page(reading, reading.ticket_numbered(number), role, language, team)

    def _page(
        self,
        reading: Reading,
        ticket: Ticket | None,
        role: Role,
        language: str,
        team: str | None,
    ) -> TicketPage | None:
        if ticket is None or not may_act_on(ticket.work, ticket.team, Actor("", role, team)):
            return None
        incident = reading.incident(ticket.incident_id)
        assert incident is not None, f"ticket {ticket.number} has lost its incident"
        alerts = list(reading.alerts_of([incident.id]).get(incident.id, ()))
        contacts = reading.contacts(incident_id=incident.id)
        steps = reading.steps(ticket.id)
        moves = reading.moves(incident.id)
        here = (ticket.asset_kind, ticket.asset)
        used = used_version(steps)
        # What is done was done by the list of then; what is open goes by the list of now.
        version = used[1] if used and ticket.state in FINAL_STATES else None
        return TicketPage(
            ticket,
            incident,
            state_name(ticket.state, ticket.work),
            [a for a in alerts if may_see(a.work, role)],
            contacts,
            timeline(steps, contacts, alerts, moves),
            route(ticket, steps),
            allowed(ticket, role),
            self.procedure(ticket.fault, language, version),
            self.places.call_first(here),
            moves,
            [t for t in reading.merged_into(ticket.id) if may_see(t.work, role)],
            _visible(reading.ticket(ticket.merged_into) if ticket.merged_into else None, role),
            used,
            ticked(reading, ticket.number),
            [r.stars for r in ratings(reading, ticket.number)],
            [t for t in _linked(reading, steps) if may_see(t.work, role)],
        )


def _linked(reading: Reading, steps: Iterable[Step]) -> list[Ticket]:
    numbers = dict.fromkeys(s.reason for s in steps if s.action == "linked")
    return [t for number in numbers if (t := reading.ticket_numbered(number)) is not None]


def hidden_work(role: Role) -> str | None:
    """The kind of work that a role is not shown; None if it is shown all."""
    return None if may_see("inspection", role) else "inspection"


def _visible(ticket: Ticket | None, role: Role) -> Ticket | None:
    return ticket if ticket is not None and may_see(ticket.work, role) else None


def route(ticket: Ticket, steps: Sequence[Step]) -> list[RouteStop]:
    """The ticket's way: stops that were made, where it is, the straight way that is left."""
    reached = {s.to_state: s for s in steps if s.from_state != s.to_state}
    start = ROUTE.index("received") if "received" in reached else ROUTE.index("assessing")
    way = ROUTE[start:]
    if ticket.state in way:
        here = way.index(ticket.state)
        done, rest = way[:here], way[here + 1 :]
    else:  # on hold, merged or cancelled: beside the way
        made = [i for i, state in enumerate(way) if state in reached]
        last = max(made, default=0)
        done, rest = way[: last + 1], way[last + 1 :]
    if ticket.state in FINAL_STATES:
        rest = ()
    names = {state: state_name(state, ticket.work) for state in (*way, ticket.state)}
    now = reached.get(ticket.state)
    return [
        *(
            RouteStop(state, names[state], "done", reached[state].at_us, reached[state].actor)
            for state in done
            if state in reached
        ),
        RouteStop(
            ticket.state,
            names[ticket.state],
            "now",
            now.at_us if now else None,
            now.actor if now else None,
        ),
        *(RouteStop(state, names[state], "next") for state in rest),
    ]
