"""What the business side remembers: findings, alerts, incidents, tickets, contacts.

Plain frozen values that every room may hold: detectors make findings, `alerts` decides what
follows, `storage` keeps it, `desk` and `web` show it. Times are microseconds UTC, event time
unless the name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from grid.faults import Severity, Work

Condition = Literal["pending", "active", "clearing", "cleared", "no_data"]
Handling = Literal["new", "acked", "shelved"]
Stage = Literal["predicted", "confirmed"]
TicketState = Literal[
    "received",  # 待受理: a contact that nobody has looked at
    "assessing",  # 待研判: made by the machine, waits for a person
    "dispatched",  # 已派单: to the unit
    "assigned",  # 已派工: to the crew
    "accepted",  # 已接单
    "on_site",  # 到场
    "restored",  # 已复电, or 已消缺 for preventive work
    "verified",  # 复电已核实
    "callback",  # 待回访
    "closed",  # 归档
    "on_hold",  # 挂起
    "merged",  # 并入主单
    "cancelled",  # 作废
]
Verdict = Literal[
    "confirmed_fault",
    "confirmed_precursor",
    "no_fault",
    "customer_side",
    "planned_work",
    "data_or_mapping_error",
    "duplicate",
]
# The evidence number that says why an alert has no ticket, and what a detector says there itself
# where the data show that something is wrong, but not what.
WATCH_LIST: Final = "watch_list"
NOT_ENOUGH: Final = "not enough to judge"
Channel = Literal["phone", "counter", "web", "app", "import"]
ContactKind = Literal["fault", "enquiry", "complaint", "opinion", "application"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why: the rule in words (both languages), its numbers, the limit, the window judged."""

    rule: str
    rule_zh: str
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    limit: float | None = None
    window: tuple[int, int] = (0, 0)
    peers: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()  # confusions ruled out, and by what
    next_check: str = ""
    next_check_zh: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One detector's judgement of one asset at one tick.

    `score` is normalised: 1.0 is the limit at which it would be raised, higher is worse; below
    `clear_below` the condition has gone. A detector reports an asset from the first tick with
    score >= 1 until the first tick below `clear_below`.
    """

    detector: str
    fault: str
    asset_kind: str
    asset: str
    tick_us: int
    known_us: int  # when the deciding input had arrived
    score: float
    severity: Severity
    devices: tuple[str, ...]
    evidence: Evidence
    clear_below: float = 0.8
    horizon_h: float | None = None  # expected time to failure, hours, only where growth allows


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A change of an alert's condition. `event_id` is a function of event time only, so a replay
    produces the same ids and the database ignores what it has."""

    event_id: str
    alert_id: str
    change: Literal["raised", "worsened", "updated", "moved", "cleared"]
    finding: Finding
    raised_us: int


@dataclass(frozen=True, slots=True)
class Alert:
    """The present state of one episode of one fault at one asset."""

    id: str
    fault: str
    asset_kind: str
    asset: str
    severity: Severity
    raised_us: int
    known_us: int
    score: float
    devices: tuple[str, ...]
    evidence: Evidence
    condition: Condition = "active"
    handling: Handling = "new"
    cleared_us: int | None = None
    ticket: bool = True
    work: Work = "repair"
    horizon_h: float | None = None
    detector: str = ""
    incident_id: int | None = None
    customers: int = 0
    acked_by: str | None = None
    acked_at_us: int | None = None
    ack_note: str = ""
    shelved_until_us: int | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause in the grid; alerts, contacts and one open ticket hang on it."""

    id: int
    incident_class: str
    fault: str
    asset_kind: str
    asset: str
    severity: Severity
    opened_us: int
    known_us: int
    stage: Stage = "predicted"
    closed_us: int | None = None
    customers: int = 0
    contacts: int = 0
    first_contact_us: int | None = None
    version: int = 1
    located_by: str | None = None  # who has said where it is; the machine leaves it there


@dataclass(frozen=True, slots=True)
class Ticket:
    """Work to be done about an incident; `number` is what people say aloud."""

    id: int
    number: str
    incident_id: int
    episode: str  # the alert id (or contact key) that opened it: unique for ever
    state: TicketState
    work: Work
    fault: str
    asset_kind: str
    asset: str
    severity: Severity
    customers: int
    opened_us: int
    team: str | None = None
    manager: str | None = None
    assignee: str | None = None
    priority: int = 0
    priority_reason: str = ""
    priority_reason_zh: str = ""
    due_us: int | None = None
    estimated_restoration_us: int | None = None
    estimated_latest_us: int | None = None  # an estimate is a range; None: the time alone
    merged_into: int | None = None
    verdict: Verdict | None = None
    cause_code: str | None = None
    closed_us: int | None = None
    contacts: int = 0
    version: int = 1

    @property
    def found_by_system(self) -> bool:
        """Whether readings opened it, before or without a call."""
        return not self.episode.startswith("contact:")


@dataclass(frozen=True, slots=True)
class Transition:
    """One step in a ticket's life, append-only: who moved it from where to where, and why."""

    ticket_id: int
    version: int
    from_state: TicketState | None
    to_state: TicketState
    actor: str
    at_us: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """A customer who called, walked in or wrote. Never deleted, attached to at most one
    incident."""

    channel: Channel
    external_id: str
    time_us: int
    kind: ContactKind = "fault"
    account: str | None = None
    phone: str = ""
    text: str = ""
    id: int = 0
    incident_id: int | None = None
    ticket_id: int | None = None
    taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """Something that happened, for the live stream and notices; `seq` follows commit order."""

    seq: int
    topic: Literal["alert", "incident", "ticket", "contact", "notice", "health"]
    key: str
    at_us: int
    data: Mapping[str, Any] = field(default_factory=dict)
