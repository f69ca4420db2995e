"""Plain values of the repair desk that stand beside `grid.records`: steps, moves, mutes, inputs.

No SQL and no import of a driver: the ledger in memory (backtest, tests) keeps the same values as
the ledger in PostgreSQL. Times are microseconds UTC.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from grid.records import Evidence, Finding, TicketState, Transition

MuteKind = Literal["upstream", "maintenance", "silence", "flapping"]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a ticket's history, append-only; (ticket_id, version) is unique.

    `from_state == to_state` for what changes no state: a note, a reassignment, a worsening found
    by the machine. `data` holds what the action was given (team, cause code, target number...).
    """

    ticket_id: int
    version: int
    action: str
    from_state: TicketState | None
    to_state: TicketState
    actor: str
    role: str
    at_us: int
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def transition(self) -> Transition:
        """The step as the plain transition of `grid.records`."""
        return Transition(
            self.ticket_id,
            self.version,
            self.from_state,
            self.to_state,
            self.actor,
            self.at_us,
            self.reason,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """An incident found to be at another asset than thought; ticket and number stay."""

    incident_id: int
    at_us: int
    from_kind: str
    from_asset: str
    to_kind: str
    to_asset: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mute:
    """Why nobody is told of an alert for now; the alert itself is stored, counted and shown.

    `ref` names the reason's owner: an incident id, a planned work, a silence. `end_us` None means
    until the reason goes.
    """

    alert_id: str
    kind: MuteKind
    ref: str
    start_us: int
    end_us: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Waking:
    """An alert that has to be looked at again because time has passed.

    why : `shelf` its shelf has ended; `mute` a maintenance or silence has ended while the
        condition lasts; `left` it outlasts the cause that explained it; `nested` it outlasts the
        part of its own incident further up
    ref : the mute's ref, or the incident id
    """

    alert_id: str
    why: Literal["shelf", "mute", "left", "nested"]
    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class Silence:
    """What a person has silenced or announced, below an asset, until a stated end.

    kind : `silence` tells nobody, tickets are opened all the same; `maintenance` is announced
        work: what happens within it opens no ticket unless it outlasts it
    fault : only this kind of fault, None for all
    """

    kind: Literal["silence", "maintenance"]
    asset_kind: str
    asset: str
    owner: str
    reason: str
    start_us: int
    end_us: int
    fault: str | None = None
    id: int = 0

    @property
    def ref(self) -> str:
        """How a mute names it."""
        return f"silence:{self.id}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A notice to customers that waits for a person's word; (incident, trigger, milestone) once."""

    incident_id: int
    trigger: str
    milestone: str
    text: str
    text_zh: str
    recipients: int
    created_us: int
    state: Literal["draft", "approved", "withdrawn"] = "draft"
    decided_by: str | None = None
    decided_us: int | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one recipient; (subject, recipient, trigger, milestone) once.

    `not_before_us` is site time: ordinary notices wait through the night.
    """

    subject: str
    recipient: str
    trigger: str
    milestone: str
    channel: str
    payload: Mapping[str, Any]
    not_before_us: int
    created_us: int


@dataclass(frozen=True, slots=True)
class ToldNotice:
    """What somebody was told or is to be told; `state` as the queue has it."""

    subject: str
    trigger: str
    channel: str
    text: str
    created_us: int
    state: Literal["waiting", "sent", "dead", "withheld", "withdrawn"]


@dataclass(frozen=True, slots=True)
class LeasedNotice:
    """A notice that a worker is sending; `id` is stable over all its tries."""

    id: int
    subject: str
    recipient: str
    trigger: str
    milestone: str
    channel: str
    payload: Mapping[str, Any]
    not_before_us: int
    created_us: int
    tries: int
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Timer:
    """A rung of a ticket's service clock that was told; `start_us` is when the clock began."""

    ticket_id: int
    metric: str
    rung: int
    start_us: int
    fired_us: int


@dataclass(frozen=True, slots=True)
class HumanInput:
    """Something a person did or said, append-only, in its own order: the moves of incidents and
    the handling of alerts follow from it, alert ids never do."""

    kind: str
    subject: str
    actor: str
    at_us: int
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What a meter last told: newest reading and its highest phase voltage, newest power event.

    Attributes
    ----------
    read_us, volts : newest reading, None if there is none; volts None if it carried no voltage
    lost_us, back_us : newest last gasp or power-down, newest power-up
    relay_open_us : since when its relay is open, None if closed or unknown
    """

    read_us: int | None = None
    volts: float | None = None
    lost_us: int | None = None
    back_us: int | None = None
    relay_open_us: int | None = None


@dataclass(frozen=True, slots=True)
class LostSupply:
    """Where and when an outage alert says that supply was lost; `cleared_us` None: it still is."""

    asset_kind: str
    asset: str
    raised_us: int
    cleared_us: int | None


@dataclass(frozen=True, slots=True)
class SwitchState:
    """What telemetry said last of a switch.

    closed : else open, since `at_us`; heard : not since its communication was lost
    """

    closed: bool
    at_us: int
    heard: bool = True


def plain(value: Any) -> float | int | str | None:
    """A number or text as JSON can carry it; what is not finite becomes None.

    >>> plain(float("nan")) is None, plain(2.5), plain("T1")
    (True, 2.5, 'T1')
    """
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str) else None


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """A finding as plain JSON values; `finding_from_json` gives it back."""
    names = (f.name for f in fields(Finding))
    data = {name: getattr(finding, name) for name in names}
    return {
        **data,
        "devices": list(finding.devices),
        "evidence": evidence_to_json(finding.evidence),
    }


def finding_from_json(data: Mapping[str, Any]) -> Finding:
    """The finding that `finding_to_json` wrote."""
    evidence = evidence_from_json(data["evidence"])
    return Finding(**{**data, "devices": tuple(data["devices"]), "evidence": evidence})


def evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    """Evidence as plain JSON values; `evidence_from_json` gives it back."""
    data = {f.name: getattr(evidence, f.name) for f in fields(Evidence)}
    data["numbers"] = {name: plain(value) for name, value in evidence.numbers.items()}
    data["limit"] = plain(evidence.limit)
    return {**data, **{name: list(data[name]) for name in ("window", "peers", "excluded")}}


def evidence_from_json(data: Mapping[str, Any]) -> Evidence:
    """The evidence of a finding, lists made tuples again."""
    made = dict(data)
    for name in ("window", "peers", "excluded"):
        made[name] = tuple(made[name])
    return Evidence(**made)


_R = TypeVar("_R")
Slots = tuple[tuple[str, Callable[[Any], Any], Callable[[Any, Any], None]], ...]
_SLOTS: dict[type, Slots] = {}


def altered(record: _R, **changes: Any) -> _R:
    """`dataclasses.replace` for records with slots, at half its price: in a storm a finding makes
    a dozen copies, which were a third of all our processor time. A wrong name is an error.
    """
    cls = type(record)
    slots = _SLOTS.get(cls)
    if slots is None:
        members = [(f.name, getattr(cls, f.name)) for f in fields(cls)]  # type: ignore[arg-type]
        slots = _SLOTS[cls] = tuple((n, m.__get__, m.__set__) for n, m in members)
    made: _R = object.__new__(cls)
    for name, get, put in slots:
        put(made, changes.pop(name) if name in changes else get(record))
    if changes:
        raise TypeError(f"{cls.__name__} has no {', '.join(changes)}")
    return made
