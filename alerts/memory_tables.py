"""The tables of a ledger in memory, and how a failed transaction is taken back."""

from typing import Any, Final, TypeVar, cast

from grid.errors import ForewattError
from grid.records import (
    Alert,
    AlertEvent,
    Contact,
    Incident,
    OutboxMessage,
    Ticket,
)
from storage.desk_records import Draft, HumanInput, Move, Mute, Notice, Silence, Step, Timer

K = TypeVar("K")
V = TypeVar("V")

_GONE: Final = object()


class NotUnique(ForewattError):
    """A row would stand twice where only one may: the rules above the ledger are at fault."""


class Table(dict[K, V]):
    """A dict that can take back what was done since `mark`."""

    def __init__(self) -> None:
        super().__init__()
        self._undo: list[tuple[K, Any]] = []

    def __setitem__(self, key: K, value: V) -> None:
        self._undo.append((key, self.get(key, cast(V, _GONE))))
        super().__setitem__(key, value)

    def mark(self) -> None:
        self._undo.clear()

    def take_back(self) -> None:
        for key, value in reversed(self._undo):
            if value is _GONE:
                super().__delitem__(key)
            else:
                super().__setitem__(key, cast(V, value))
        self._undo.clear()


class MemoryTables:
    """All tables of one ledger; a transaction that fails is taken back in each of them."""

    def __init__(self) -> None:
        self.alert_rows: Table[str, Alert] = Table()
        self.event_rows: Table[str, AlertEvent] = Table()
        self.events_by_alert: Table[str, tuple[AlertEvent, ...]] = Table()
        self.mute_rows: Table[str, tuple[Mute, ...]] = Table()
        self.silence_rows: Table[int, Silence] = Table()
        self.release_rows: Table[str, frozenset[int]] = Table()
        self.incident_rows: Table[int, Incident] = Table()
        self.incident_alerts: Table[int, tuple[str, ...]] = Table()
        self.incident_changes: Table[int, int] = Table()  # number of a change -> incident
        self.open_incidents: Table[tuple[str, str, str], int | None] = Table()
        self.move_rows: Table[int, tuple[Move, ...]] = Table()
        self.ticket_rows: Table[int, Ticket] = Table()
        self.episodes: Table[str, int] = Table()
        self.sub_tickets: Table[int, tuple[int, ...]] = Table()
        self.incident_tickets: Table[int, tuple[int, ...]] = Table()
        self.step_rows: Table[int, tuple[Step, ...]] = Table()
        self.timer_rows: Table[tuple[int, str, int, int], Timer] = Table()
        self.numbers: Table[str, int] = Table()
        self.contact_rows: Table[int, Contact] = Table()
        self.contact_keys: Table[tuple[str, str], int] = Table()
        self.human_rows: Table[int, HumanInput] = Table()
        self.outbox_rows: Table[int, OutboxMessage] = Table()
        self.draft_rows: Table[int, Draft] = Table()
        self.draft_keys: Table[tuple[int, str, str], int] = Table()
        self.notice_rows: Table[tuple[str, str, str, str], Notice] = Table()
        self.withdrawn_rows: Table[tuple[str, str, str, str], str] = Table()
        self.offsets: Table[tuple[str, str], int] = Table()
        self._tables = [t for t in vars(self).values() if isinstance(t, Table)]

    def mark(self) -> None:
        for table in self._tables:
            table.mark()

    def take_back(self) -> None:
        for table in self._tables:
            table.take_back()
