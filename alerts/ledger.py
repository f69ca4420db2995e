"""The ledger: what alerts, desk and web may ask of the place where the business side is kept.

`alerts.memory.MemoryLedger` (backtest, tests) and `storage.ledger.PostgresLedger` both keep to
this protocol and pass the same contract tests. All rows of one ledger belong to one realm.

Writing transactions of a realm run one after the other (an advisory lock in PostgreSQL), so the
rules need no retry, and the sequence of the outbox is the order of commits: a reader who asks for
`seq > last` misses nothing. Uniqueness is kept by constraints all the same, never by an `if`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from grid.faults import Severity
from grid.records import (
    Alert,
    AlertEvent,
    Channel,
    Contact,
    Incident,
    OutboxMessage,
    Ticket,
    TicketState,
)
from storage.desk_records import (
    Draft,
    HumanInput,
    LostSupply,
    Move,
    Mute,
    Notice,
    Silence,
    Step,
    Timer,
    ToldNotice,
    Waking,
)
from storage.feed_lines import LINES_MAX, Beside, Feed, LineName, Rank

Asset = tuple[str, str]  # (asset kind, asset id)
Advance = tuple[str, str, int]  # (consumer, journal uuid, offset)

FINAL_STATES: Final[frozenset[TicketState]] = frozenset({"closed", "merged", "cancelled"})


class Reading(Protocol):
    """Questions to the ledger, all answered from one consistent snapshot."""

    def alert(self, alert_id: str) -> Alert | None:
        """One alert in its present state."""

    def alerts(
        self,
        *,
        open_only: bool = False,
        handling: str | None = None,
        fault: str | None = None,
        assets: Sequence[Asset] | None = None,
        incident_id: int | None = None,
        ticket: bool | None = None,
        limit: int = 200,
        before: tuple[int, str] | None = None,
        during: tuple[int, int] | None = None,
    ) -> list[Alert]:
        """Alerts newest first by (raised, id); `before` is such a pair, for the next page.

        `open_only` leaves out what has cleared, except what cleared without anybody having seen
        it (*returned, not seen*): condition cleared, handling new, no ticket closed it. `ticket`
        keeps those that ask for one, or those that are only watched. `during` keeps what was there
        at some time of [since, until).
        """

    def alerts_by_id(self, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
        """Many alerts at once; unknown ids are absent."""

    def alerts_of(self, incident_ids: Sequence[int]) -> Mapping[int, tuple[Alert, ...]]:
        """All alerts of many incidents, oldest first; incidents without any are absent."""

    def feed(
        self,
        *,
        open_only: bool = True,
        without_work: str | None = None,
        only: Sequence[str] | None = None,
        start: Rank | None = None,
        limit: int = LINES_MAX,
    ) -> Feed:
        """Alerts folded by cause, the most urgent line first; `open_only` as for `alerts`.

        `only` keeps the lines with these keys, `start` the lines from that rank on. Of what has
        ended too, the newest `ALERTS_MAX` alerts are folded.
        """

    def line_names(
        self, *, open_only: bool = True, without_work: str | None = None
    ) -> list[LineName]:
        """What every alert of the feed may be called by, for a search."""

    def line_places(
        self, *, open_only: bool = True, without_work: str | None = None
    ) -> Mapping[Asset, int]:
        """How many lines of the feed stand at each asset."""

    def worst_open(self, *, without_work: str | None = None) -> Mapping[Asset, Severity]:
        """The worst severity that is open at each asset."""

    def lost_supply(self, since_us: int) -> list[LostSupply]:
        """Outages that are open, and those that have ended since a time."""

    def beside(self, alert: Alert, *, without_work: str | None = None, limit: int = 12) -> Beside:
        """The other alerts of the same incident: counted all, the first `limit` by time."""

    def first_known_us(self, incident_id: int) -> int | None:
        """When the first alert of an incident was known; None if it has none."""

    def events(self, alert_id: str) -> list[AlertEvent]:
        """Every change of one alert, in event time."""

    def events_of(self, alert_ids: Sequence[str]) -> Mapping[str, list[AlertEvent]]:
        """The changes of many alerts, each in event time."""

    def mutes(self, alert_ids: Sequence[str]) -> Mapping[str, tuple[Mute, ...]]:
        """Why these alerts are muted; alerts that are not muted are absent."""

    def released(self, alert_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """Incidents that some alerts were found to be no part of."""

    def waking(self, now_us: int, grace_us: int) -> list[Waking]:
        """Alerts whose mute or shelf has come to its end, with the reason; see `Waking`."""

    def silences(self, since_us: int, until_us: int) -> list[Silence]:
        """What was silenced or announced at some time in [since, until], the first to end first."""

    def silence(self, silence_id: int) -> Silence | None:
        """One of them."""

    def muted_by(self, kind: str, ref: str) -> list[str]:
        """Alerts muted for one reason, e.g. ("upstream", incident id)."""

    def incident(self, incident_id: int) -> Incident | None:
        """One incident."""

    def incidents(
        self,
        *,
        open_only: bool = True,
        assets: Sequence[Asset] | None = None,
        incident_class: str | None = None,
        opened_since_us: int | None = None,
        limit: int = 1000,
    ) -> list[Incident]:
        """Incidents, oldest first; `assets` keeps those that stand at one of them."""

    def incidents_since(self, change: int) -> tuple[int, list[Incident]]:
        """The number of the newest change of any incident, and those that have changed since
        number `change`, ended ones too; since 0, and where the numbers are below `change`, all
        that are open."""

    def incidents_by_id(self, incident_ids: Sequence[int]) -> Mapping[int, Incident]:
        """Many incidents at once; unknown ids are absent."""

    def most_called(self, since_us: int, without_faults: Collection[str]) -> Incident | None:
        """Of the incidents with a ticket that are open, or that customers have called about since:
        the one with most calls, else the newest known."""

    def moves(self, incident_id: int) -> list[Move]:
        """Where the incident was thought to be, in order."""

    def ticket(self, ticket_id: int) -> Ticket | None:
        """One ticket."""

    def ticket_numbered(self, number: str) -> Ticket | None:
        """The ticket with that number."""

    def ticket_of_episode(self, episode: str) -> Ticket | None:
        """The ticket an alert or contact has opened, ever."""

    def tickets_of_episodes(self, episodes: Sequence[str]) -> Mapping[str, Ticket]:
        """The tickets that some alerts or contacts have opened, ever, by episode."""

    def tickets_of_incident(self, incident_id: int) -> list[Ticket]:
        """All tickets of an incident, the open one first, then newest first."""

    def tickets_by_incident(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        """The ticket that stands for each of these incidents: the open one, else the newest."""

    def merged_into(self, ticket_id: int) -> list[Ticket]:
        """The sub-tickets of a ticket, oldest first."""

    def merged_by_people(self, ticket_ids: Sequence[int]) -> set[int]:
        """Those of these tickets into which a person (not the machine) has merged another."""

    def open_tickets(self, incident_ids: Sequence[int]) -> Mapping[int, Ticket]:
        """The open ticket of each of these incidents; incidents without one are absent."""

    def tickets(
        self,
        *,
        states: Iterable[TicketState] | None = None,
        work: str | None = None,
        without_work: str | None = None,
        team: str | None = None,
        assignee: str | None = None,
        assets: Sequence[Asset] | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> list[Ticket]:
        """Tickets by rank: most urgent first, then the earlier due, then the older.

        `states` None means all that are not final.
        """

    def steps(self, ticket_id: int) -> list[Step]:
        """The history of a ticket, oldest first."""

    def steps_of(self, ticket_ids: Sequence[int]) -> Mapping[int, list[Step]]:
        """The histories of many tickets, each oldest first."""

    def fired(self, ticket_ids: Sequence[int]) -> list[Timer]:
        """The reminders that were told about some tickets."""

    def contact(self, channel: Channel, external_id: str) -> Contact | None:
        """The contact a channel knows under that id."""

    def contacts(
        self,
        *,
        incident_id: int | None = None,
        ticket_id: int | None = None,
        account: str | None = None,
        limit: int = 500,
    ) -> list[Contact]:
        """Contacts, newest first."""

    def human_inputs(
        self,
        *,
        subject: str | None = None,
        kinds: Sequence[str] | None = None,
        limit: int = 500,
    ) -> list[HumanInput]:
        """The newest of what people did and said, oldest first."""

    def drafts(
        self, *, open_only: bool = True, incident_id: int | None = None, since_us: int = 0
    ) -> list[Draft]:
        """Notices to customers that were drafted at or after `since_us`, oldest first."""

    def draft(self, draft_id: int) -> Draft | None:
        """One of them."""

    def told(self, subject: str, trigger: str) -> set[str]:
        """Who has been told (or is to be told) of a trigger; not whose notice was withdrawn."""

    def waiting_notices(self, now_us: int) -> set[tuple[str, str, str]]:
        """(subject, trigger, milestone) of what has not been sent to everybody yet; in a drill what
        would wait for a later time than now."""

    def notices_to(self, recipient: str, limit: int = 100) -> list[ToldNotice]:
        """What a recipient was told or is to be told, newest first."""

    def outbox(self, after: int, limit: int = 500) -> list[OutboxMessage]:
        """Messages with seq > `after`, in commit order."""

    def outbox_head(self) -> int:
        """The newest sequence number, 0 when nothing has happened yet."""

    def offset(self, consumer: str, journal_uuid: str) -> int:
        """How far a consumer has come in a journal, 0 at the start."""

    def totals(self) -> Mapping[str, int]:
        """Counts for the operator's bar: `alerts_open`, `alerts_unseen`, `oldest_unseen_us`,
        `tickets_open`, `contacts`, `contacts_known`, `known_first`, `called_first`,
        `never_called`; and of the open feed's lines: `lines`, `lines_without_inspection`."""


class Transaction(Reading, Protocol):
    """One unit of work: all of it is committed when the context ends, or none of it."""

    def new_events(self, events: Sequence[AlertEvent]) -> list[AlertEvent]:
        """Store events and return only those that were not known: effects follow from these."""

    def put_alert(self, alert: Alert) -> None:
        """Insert or replace an alert."""

    def expect(self, *, incidents: int = 0, tickets: int = 0) -> None:
        """So many new ones are about to be added: the ledger may prepare for them at once."""

    def add_incident(self, incident: Incident) -> Incident:
        """Insert an incident (its id is given here). A second open one of a class at an asset
        violates a constraint."""

    def put_incident(self, incident: Incident) -> None:
        """Replace an incident."""

    def add_move(self, move: Move) -> None:
        """Note that an incident stands elsewhere than thought."""

    def add_ticket(self, ticket: Ticket, day: str, step: Step) -> Ticket | None:
        """Insert a ticket with its first step; id and number (`<day>-0001`...) are given here.

        None when its episode has had a ticket before: closed tickets stay closed for ever.
        """

    def change_ticket(self, ticket: Ticket, version: int, step: Step) -> Ticket | None:
        """Replace a ticket that still has `version`, with one more step; None if it has not."""

    def fire(self, timer: Timer) -> bool:
        """Note that a rung was told; False if it had been."""

    def add_contact(self, contact: Contact) -> tuple[Contact, bool]:
        """Insert a contact; (the one already there, False) if its channel and id are known."""

    def put_contact(self, contact: Contact) -> None:
        """Replace a contact's attachments; what was said and when stays as it was."""

    def attach_contacts(self, from_incident: int, to_incident: int, ticket_id: int | None) -> int:
        """Let all contacts of one incident follow to another; how many."""

    def add_silence(self, silence: Silence) -> Silence:
        """Insert a silence; its id is given here."""

    def end_silence(self, silence_id: int, end_us: int) -> None:
        """A silence ends earlier, and so do the mutes that follow from it."""

    def put_mute(self, mute: Mute) -> None:
        """Mute an alert for a reason (once for each kind and ref)."""

    def release(self, alert_id: str, incident_id: int, at_us: int) -> None:
        """Note that an alert is no part of an incident after all."""

    def end_mutes(self, *, kind: str, ref: str, alert_id: str | None = None) -> list[str]:
        """Take a reason away; the alerts it had muted."""

    def add_human_input(self, given: HumanInput) -> HumanInput:
        """Append what a person did or said."""

    def add_draft(self, draft: Draft) -> Draft | None:
        """Insert a draft; None if this trigger and milestone was drafted before."""

    def put_draft(self, draft: Draft) -> None:
        """Replace a draft."""

    def add_notices(self, notices: Sequence[Notice]) -> int:
        """Insert notices, each once; how many were new. In a realm that is not live they are
        kept as withheld: no notice leaves a drill."""

    def withdraw_notices(
        self, subject: str, trigger: str, milestone: str, now_us: int, why: str
    ) -> int:
        """Send no more of them: what waits or could not be delivered is withdrawn; how many."""

    def publish(self, topic: str, key: str, at_us: int, data: Mapping[str, Any]) -> None:
        """Append to the outbox; visible to readers when the transaction commits."""


class Ledger(Protocol):
    """A realm's ledger."""

    @property
    def realm(self) -> str:
        """`live`, `drill-...` or `replay-...`."""

    def transaction(self, advance: Advance | None = None) -> AbstractContextManager[Transaction]:
        """A writing transaction; `advance` saves a consumer's offset in the same commit."""

    def reading(self) -> AbstractContextManager[Reading]:
        """A consistent snapshot that changes nothing and waits for nobody."""
