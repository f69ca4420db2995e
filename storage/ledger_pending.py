"""What a transaction of the ledger has put and not yet written, and what it knows to be so.

Pure bookkeeping, no statement. A put may wait when no order of writing can violate a constraint
on the way: `TableView._write` writes changed incidents, new incidents, new tickets, changed
tickets. So a change may wait that keeps a row's place in its unique index or frees it (an incident
ends, a ticket is done); one that takes a place in it (an incident moves, a ticket comes back) is
written at once, after all that waits.
"""

from collections import deque
from typing import Any, Final, Literal

from grid.records import Alert, Incident, Ticket
from storage.desk_records import Move, Mute, Step

Table = Literal["incident", "ticket"]
FINAL: Final = frozenset({"closed", "merged", "cancelled"})


class Pending:
    """The rows of one transaction that wait, by table, and the present state of those it has met.

    `incidents_known`, `tickets_known`, `alerts_known` : as last read or put
    `episodes` : which episodes have had a ticket, of those that were asked for
    """

    def __init__(self) -> None:
        self.incidents_known: dict[int, Incident] = {}
        self.incidents_new: dict[int, Incident] = {}
        self.incidents_changed: dict[int, Incident] = {}
        self.tickets_known: dict[int, Ticket] = {}
        self.tickets_new: dict[int, Ticket] = {}
        self.tickets_changed: dict[int, Ticket] = {}
        self.steps: list[Step] = []
        self.moves: list[Move] = []
        self.alerts_known: dict[str, Alert] = {}
        self.alerts: dict[str, Alert] = {}
        self.mutes: dict[tuple[str, str, str], Mute] = {}
        self.episodes: dict[str, bool] = {}
        self._days: dict[str, int] = {}
        self._days_new: set[str] = set()
        self._freed: set[int] = set()  # incidents whose open ticket is done, not yet written
        self._ids: dict[Table, deque[int]] = {"incident": deque(), "ticket": deque()}
        self._expected: dict[Table, int] = {"incident": 0, "ticket": 0}

    @property
    def any(self) -> bool:
        """Whether anything waits."""
        return bool(
            self.alerts
            or self.mutes
            or self.incidents_new
            or self.incidents_changed
            or self.tickets_new
            or self.tickets_changed
            or self.steps
            or self.moves
        )

    def written(self) -> None:
        """Nothing waits any more."""
        for waiting in (
            self.incidents_new,
            self.incidents_changed,
            self.tickets_new,
            self.tickets_changed,
            self.alerts,
            self.mutes,
        ):
            waiting.clear()
        self.steps.clear()
        self.moves.clear()
        self._days_new.clear()
        self._freed.clear()

    # -- ids and numbers -------------------------------------------------------------------

    def expect(self, table: Table, count: int) -> None:
        """So many more ids of a table will be asked for."""
        self._expected[table] = max(0, count - len(self._ids[table]))

    def wanted(self, table: Table) -> dict[str, int]:
        """How many ids of each table to reserve before one of this can be taken; {} if none."""
        if self._ids[table]:
            return {}
        wanted = {str(name): count for name, count in self._expected.items()}
        wanted[table] = max(1, wanted[table])
        self._expected = {"incident": 0, "ticket": 0}
        return wanted

    def reserve(self, table: Table, id_: int) -> None:
        """An id that is ours, each greater than the one before."""
        self._ids[table].append(id_)

    def take_id(self, table: Table) -> int:
        """The next of the reserved ids."""
        return self._ids[table].popleft()

    def knows_day(self, day: str) -> bool:
        """Whether the last number of a day is known."""
        return day in self._days

    def know_day(self, day: str, last: int) -> None:
        """The last ticket number that was given on a day."""
        self._days[day] = last

    def take_number(self, day: str) -> str:
        """The next ticket number of a day."""
        self._days[day] += 1
        self._days_new.add(day)
        return f"{day}-{self._days[day]:04d}"

    def days_to_write(self) -> list[dict[str, Any]]:
        """The numbers that days have reached since they were written."""
        return [{"day": day, "last": self._days[day]} for day in sorted(self._days_new)]

    # -- incidents and tickets -------------------------------------------------------------

    def put_incident(self, incident: Incident) -> bool:
        """Let a changed incident wait; False if it has to be written at once."""
        old = self.incidents_known.get(incident.id)
        if old is None:
            return False
        stays = (old.asset_kind, old.asset, old.incident_class) == (
            incident.asset_kind,
            incident.asset,
            incident.incident_class,
        )
        if incident.closed_us is None and not (stays and old.closed_us is None):
            return False
        self.incidents_known[incident.id] = incident
        waiting = (
            self.incidents_new if incident.id in self.incidents_new else self.incidents_changed
        )
        waiting[incident.id] = incident
        return True

    def add_ticket(self, ticket: Ticket, step: Step) -> bool:
        """Let a new ticket wait; False if what waits has to be written first."""
        if ticket.incident_id in self._freed:
            return False
        self.tickets_known[ticket.id] = self.tickets_new[ticket.id] = ticket
        self.episodes[ticket.episode] = True
        self.steps.append(step)
        return True

    def put_ticket(self, ticket: Ticket, step: Step) -> bool:
        """Let a changed ticket wait with its step; False if it has to be written at once."""
        old = self.tickets_known.get(ticket.id)
        if old is None:
            return False
        opens = ticket.state not in FINAL
        if opens and (old.incident_id != ticket.incident_id or old.state in FINAL):
            return False
        if not opens and old.state not in FINAL:
            self._freed.add(old.incident_id)
        self.tickets_known[ticket.id] = ticket
        waiting = self.tickets_new if ticket.id in self.tickets_new else self.tickets_changed
        waiting[ticket.id] = ticket
        self.steps.append(step)
        return True
