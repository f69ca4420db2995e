"""Which ticket is about which incident: contracts.md section 4, "Scored as found".

A ticket belongs to at most one incident. It counts as found when it names the fault or its
confusion pair, stands at the asset or a parent or child one step away, and was raised from the
onset until the failure (or, where nothing could be foreseen, the end).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from detectors.scoring.lines import ANY_FAULT, AlertLine, TruthLine
from detectors.scoring.places import Places

DAY_US = 86_400_000_000
PAIRS: tuple[frozenset[str], ...] = (
    frozenset({"neutral_loose", "neutral_broken"}),
    frozenset({"transformer_overload", "transformer_thermal"}),
    frozenset({"phase_loss", "outage"}),
    frozenset({"meter_health", "sensor_fault"}),
    frozenset({"hot_terminal", "joint_resistance"}),
    frozenset({"momentary", "joint_resistance"}),
)
LATE_GRACE_US = 3_600_000_000
"""A ticket this long after the end still speaks of the incident (one hourly reading)."""
LOST_SUPPLY = ("outage", "phase_loss")
EARLY_US = 7 * DAY_US

Verdict = Literal["found", "late", "wrong_family", "wrong_place", "benign", "early", "nothing"]
FALSE: tuple[Verdict, ...] = ("wrong_family", "wrong_place", "benign", "early", "nothing")


def same_family(alert_fault: str, true_fault: str) -> bool:
    """Whether an alert of one kind counts as found for an incident of another."""
    if alert_fault in (true_fault, ANY_FAULT):
        return True
    return frozenset({alert_fault, true_fault}) in PAIRS


@dataclass(frozen=True, slots=True)
class Judged:
    """One ticket with what it turned out to be; `incident` is the one it speaks of, if any."""

    alert: AlertLine
    verdict: Verdict
    incident: TruthLine | None = None
    steps: int | None = None

    @property
    def false(self) -> bool:
        """Whether a crew would have been sent for nothing, or for something else."""
        return self.verdict in FALSE


@dataclass(slots=True)
class Matching:
    """All tickets judged, by incident as well."""

    judged: list[Judged]
    truth: Sequence[TruthLine]
    by_incident: dict[str, list[Judged]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for j in self.judged:
            if j.incident is not None:
                self.by_incident.setdefault(j.incident.id, []).append(j)

    def first(self, incident: TruthLine) -> Judged | None:
        """The first ticket in time for an incident, by when it was known; None if missed."""
        found = [j for j in self.by_incident.get(incident.id, ()) if j.verdict == "found"]
        return min(found, key=lambda j: (j.alert.known_us, j.alert.id), default=None)


def match(
    alerts: Sequence[AlertLine], truth: Sequence[TruthLine], places: Places, end_us: int
) -> Matching:
    """Judge every ticket (lines with `ticket` true); the order of the lines changes nothing.

    Parameters
    ----------
    end_us : end of the data, microseconds UTC; incidents without an end last until then.
    """
    ordered = sorted((a for a in alerts if a.ticket), key=lambda a: (a.raised_us, a.id))
    index = _Index(truth, places)
    return Matching([_judge(a, index, places, end_us) for a in ordered], truth)


class _Index:
    """Incidents by the area they lie in, so that a large fleet is not searched for each ticket."""

    def __init__(self, truth: Sequence[TruthLine], places: Places) -> None:
        self._by_area: dict[str, list[TruthLine]] = {}
        self._above: list[TruthLine] = []
        for t in sorted(truth, key=lambda t: t.id):
            if t.asset_kind in ("feeder", "section"):
                self._above.append(t)
            else:
                area = places.area((t.asset_kind, t.asset))
                self._by_area.setdefault(area, []).append(t)
        self._all = sorted(truth, key=lambda t: t.id)

    def near(self, alert: AlertLine, places: Places) -> list[TruthLine]:
        if alert.asset_kind in ("feeder", "section"):
            return self._all
        area = places.area((alert.asset_kind, alert.asset))
        return self._by_area.get(area, []) + self._above


def _judge(alert: AlertLine, index: _Index, places: Places, end_us: int) -> Judged:
    best: tuple[tuple[int, int, int, int, str], Judged] | None = None
    for t in index.near(alert, places):
        here, there = (alert.asset_kind, alert.asset), (t.asset_kind, t.asset)
        steps = places.steps(here, there)
        if steps is None:
            continue
        close = steps <= 1 or places.below(here, there)
        verdict = _verdict(alert, t, steps, close, end_us)
        if verdict is None:
            continue
        rank = (
            _RANK[verdict],
            steps,
            int(alert.fault != t.fault),
            abs(alert.raised_us - t.onset_us),
            t.id,
        )
        if best is None or rank < best[0]:
            best = (rank, Judged(alert, verdict, t, steps))
    return best[1] if best else Judged(alert, "nothing")


_RANK: dict[Verdict, int] = {
    "found": 0,
    "late": 1,
    # Among these the nearest incident explains the ticket.
    "wrong_family": 2,
    "wrong_place": 2,
    "benign": 2,
    "early": 3,
    "nothing": 4,
}


def _verdict(
    alert: AlertLine, t: TruthLine, steps: int, close: bool, end_us: int
) -> Verdict | None:
    """What a ticket is, judged against one incident; None where it has nothing to do with it."""
    raised = alert.raised_us
    if raised < t.onset_us:
        near = t.onset_us - raised <= EARLY_US and not t.benign and steps <= 1
        return "early" if near and same_family(alert.fault, t.fault) else None
    if raised > max(t.over_us(end_us), t.deadline_us(end_us)) + LATE_GRACE_US:
        return None
    if t.benign:
        return "benign" if close else None
    if not same_family(alert.fault, t.fault):
        if close and _tells_failure(alert, t):
            return "late"
        return "wrong_family" if close else None
    if steps > 1:
        return "wrong_place"
    return "found" if raised <= t.deadline_us(end_us) else "late"


def _tells_failure(alert: AlertLine, t: TruthLine) -> bool:
    """A joint that opened is an outage: a ticket for lost supply after the failure is about it."""
    failed = t.failure_us is not None and alert.raised_us >= t.failure_us
    return failed and alert.fault in LOST_SUPPLY
