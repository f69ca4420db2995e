"""Where the work stands still, what repeats, and how far each detector can be trusted.

Everything is counted from the append-only history of tickets, so a report of last month says
today what it said then.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from alerts.incidents import class_of, same_cause
from alerts.ledger import FINAL_STATES, Ledger
from alerts.service import Metric, ServiceLevel, clocks
from alerts.states import OPEN_STATES, STATES
from desk.queues import HandOver, hand_overs
from desk.ratings import Satisfaction, ratings, satisfaction
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Alert, Incident, Ticket, TicketState, Verdict
from storage.desk_records import HumanInput, Step

TRUE: Final[frozenset[Verdict]] = frozenset({"confirmed_fault", "confirmed_precursor"})
FALSE: Final[frozenset[Verdict]] = frozenset(
    {"no_fault", "planned_work", "data_or_mapping_error", "customer_side"}
)
LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TimeInState:
    """How long tickets of a team stayed in a state; hours. `open_h` is the longest still there."""

    team: str
    state: TicketState
    count: int
    p50_h: float
    p90_h: float
    open_h: float


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was not kept, with what people noted afterwards."""

    number: str
    metric: Metric
    late_min: float
    team: str
    reason: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same fault at the same asset, again and again."""

    fault: str
    asset_kind: str
    asset: str
    count: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Avoided:
    """What knowing first was worth.

    before_first_call : incidents with calls that were known before the first of them
    never_called : incidents with a confirmed fault that nobody had to call about
    calls_known : calls that hung on what was known and so opened no ticket
    lead_p50_min : how long before the first call, in the middle; None without any
    """

    before_first_call: int
    after_first_call: int
    never_called: int
    calls_known: int
    lead_p50_min: float | None


@dataclass(frozen=True, slots=True)
class DetectorQuality:
    """Verdicts about one detector's tickets, by the version that was running; precision None
    before the first. Version 0: from before versions were noted."""

    detector: str
    version: int
    true: int
    false: int
    undecided: int

    @property
    def precision(self) -> float | None:
        """Share of decided tickets that were real."""
        decided = self.true + self.false
        return self.true / decided if decided else None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about the tickets opened in [since, until)."""

    since_us: int
    until_us: int
    tickets: int
    closed: int
    times: list[TimeInState]
    breaches: list[Breach]
    repeated: list[Repeated]
    detectors: list[DetectorQuality]
    verdicts: Mapping[str, int]
    causes: Mapping[str, int]
    satisfaction: Satisfaction
    avoided: Avoided
    hand_overs: list[HandOver]


def report(
    ledger: Ledger,
    network: Network,
    since_us: int,
    until_us: int,
    *,
    level: str | ServiceLevel = "promise",
    hidden_work: str | None = "inspection",
) -> Report:
    """The report of a period; `hidden_work` is left out (None for those who may see it)."""
    with ledger.reading() as reading:
        found = reading.tickets(states=list(STATES), without_work=hidden_work, limit=LIMIT)
        tickets = [t for t in found if since_us <= t.opened_us < until_us]
        steps = reading.steps_of([t.id for t in tickets])
        ids = list(dict.fromkeys(t.incident_id for t in tickets))
        alerts = reading.alerts_of(ids)
        incidents = reading.incidents_by_id(ids)
        contacts = [c for c in reading.contacts(limit=LIMIT) if c.time_us >= since_us]
        said = ratings(reading)
        versions = reading.human_inputs(kinds=("detector_version",), limit=10_000)
    done = [t for t in tickets if t.state == "closed"]
    return Report(
        since_us,
        until_us,
        len(tickets),
        len(done),
        times_in_state(tickets, steps, until_us),
        breaches(tickets, steps, network, until_us, level),
        repeated(tickets),
        detector_quality(tickets, alerts, versions),
        dict(Counter(t.verdict for t in done if t.verdict)),
        dict(Counter(t.cause_code for t in done if t.cause_code)),
        satisfaction(said, tickets, contacts),
        avoided(tickets, incidents),
        hand_overs(tickets, steps, until_us),
    )


def times_in_state(
    tickets: Iterable[Ticket], steps: Mapping[int, Sequence[Step]], now_us: int
) -> list[TimeInState]:
    """Time in each state by team: where tickets wait is where the process has its bottleneck."""
    spent: dict[tuple[str, TicketState], list[float]] = defaultdict(list)
    still: dict[tuple[str, TicketState], float] = defaultdict(float)
    for ticket in tickets:
        team = ticket.team or ""
        history = [s for s in steps.get(ticket.id, ()) if s.from_state != s.to_state]
        for this, following in zip(history, [*history[1:], None], strict=True):
            if this.to_state in FINAL_STATES:
                continue
            end_us = now_us if following is None else following.at_us
            hours = max(0, end_us - this.at_us) / 3600e6
            spent[team, this.to_state].append(hours)
            if following is None:
                still[team, this.to_state] = max(still[team, this.to_state], hours)
    order = {state: i for i, state in enumerate(OPEN_STATES)}
    return [
        TimeInState(
            team,
            state,
            len(hours),
            float(np.quantile(hours, 0.5)),
            float(np.quantile(hours, 0.9)),
            still[team, state],
        )
        for (team, state), hours in sorted(spent.items(), key=lambda i: (i[0][0], order[i[0][1]]))
    ]


def breaches(
    tickets: Iterable[Ticket],
    steps: Mapping[int, Sequence[Step]],
    network: Network,
    now_us: int,
    level: str | ServiceLevel,
) -> list[Breach]:
    """Promises that were not kept, the latest worst first; the reason is the next note."""
    out = []
    for ticket in tickets:
        area = network.transformer_of(ticket.asset_kind, ticket.asset)
        history = steps.get(ticket.id, ())
        area_class = area.area_class if area else "urban"
        for clock in clocks(ticket, history, area_class, now_us, level=level):
            if not clock.breached(now_us):
                continue
            late_us = (now_us if clock.met_us is None else clock.met_us) - clock.due_us
            notes = (s.reason for s in history if s.action == "note" and s.at_us >= clock.due_us)
            reason = next(notes, "")
            team = ticket.team or ""
            out.append(Breach(ticket.number, clock.metric, late_us / 60e6, team, reason))
    return sorted(out, key=lambda b: -b.late_min)


def repeated(tickets: Iterable[Ticket], at_least: int = 2) -> list[Repeated]:
    """Faults that came back at the same asset, most often first; merged ones count once."""
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for t in tickets:
        if t.state not in ("merged", "cancelled"):
            found[t.fault, t.asset_kind, t.asset].append(t.opened_us)
    rows = [
        Repeated(fault, kind, asset, len(times), max(times))
        for (fault, kind, asset), times in found.items()
        if len(times) >= at_least
    ]
    return sorted(rows, key=lambda r: (-r.count, -r.last_us, r.asset))


def avoided(tickets: Iterable[Ticket], incidents: Mapping[int, Incident]) -> Avoided:
    """What the customers of these tickets did not have to tell."""
    leads: list[float] = []
    after = never = known = 0
    seen: set[int] = set()
    for t in tickets:
        incident = incidents.get(t.incident_id)
        if incident is None or incident.id in seen or t.state == "merged":
            continue
        seen.add(incident.id)
        first_us = incident.first_contact_us
        if first_us is None:
            never += t.verdict in TRUE
        elif (known_us := min(incident.known_us, t.opened_us)) < first_us:
            leads.append((first_us - known_us) / 60e6)
            known += incident.contacts
        else:
            after += 1
            known += max(0, incident.contacts - 1)
    return Avoided(
        len(leads), after, never, known, float(np.quantile(leads, 0.5)) if leads else None
    )


def note_versions(ledger: Ledger, versions: Mapping[str, int], now_us: int) -> list[str]:
    """Note which version of each detector runs from now on; those that are new. Whoever runs
    detectors calls it at its start, so that verdicts can be told by version."""
    with ledger.transaction() as tx:
        said = tx.human_inputs(kinds=("detector_version",), limit=10_000)
        last = {s.subject: int(s.data["version"]) for s in said}
        new = [name for name, v in sorted(versions.items()) if last.get(f"detector:{name}") != v]
        for name in new:
            given = {"version": versions[name]}
            subject = f"detector:{name}"
            tx.add_human_input(HumanInput("detector_version", subject, "system", now_us, given))
    return new


def _version_of(alert: Alert, versions: Sequence[HumanInput]) -> int:
    mine = [
        int(v.data["version"])
        for v in versions
        if v.subject == f"detector:{alert.detector}" and v.at_us <= alert.known_us
    ]
    return mine[-1] if mine else 0


def detector_quality(
    tickets: Iterable[Ticket],
    alerts: Mapping[int, Sequence[Alert]],
    versions: Sequence[HumanInput] = (),
) -> list[DetectorQuality]:
    """Verdicts by detector and version: each incident counts once for each that took part in it.

    Duplicates and merged tickets say nothing about a detector.
    """
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    judged: set[int] = set()
    for t in sorted(tickets, key=lambda t: (t.closed_us or 0, t.id), reverse=True):
        if t.verdict is None or t.verdict == "duplicate" or t.incident_id in judged:
            continue
        judged.add(t.incident_id)
        what = "true" if t.verdict in TRUE else "false" if t.verdict in FALSE else "undecided"
        for key in {
            (a.detector, _version_of(a, versions))
            for a in alerts.get(t.incident_id, ())
            if _own(a, t)
        }:
            counts[key][what] += 1
    return [
        DetectorQuality(name, version, c["true"], c["false"], c["undecided"])
        for (name, version), c in sorted(counts.items())
    ]


def _own(alert: Alert, ticket: Ticket) -> bool:
    return same_cause(class_of(alert), FAULTS[ticket.fault].incident_class)


def to_csv(rows: Sequence[Any]) -> str:
    """Rows of one dataclass as CSV with its field names; spreadsheet formulas are defused."""
    if not rows:
        return ""
    out = io.StringIO()
    names = list(asdict(rows[0]))
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        values = asdict(row)
        writer.writerow([_plain(values[name]) for name in names])
    return out.getvalue()


def _plain(value: Any) -> str:
    text = "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    # A cell that begins like a formula would be run by the spreadsheet that opens it.
    return (
        f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _number(text) else text
    )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
