"""One score of one set of alerts: by fault kind, and what false tickets cost the fleet.

Receives alerts, truth, places, the exposure (which meters were watched how long) and the first
contacts of customers; hands on a `Score` whose `as_dict` is what `forewatt score --json` prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from detectors.scoring.intervals import Interval, middle, ratio, share
from detectors.scoring.lines import AlertLine, TruthLine
from detectors.scoring.matching import FALSE, Matching, Verdict, match
from detectors.scoring.places import Places
from detectors.scoring.ranking import top_of_day
from grid.errors import BadInput
from grid.faults import FAULTS, SEVERITY_NAMES

HOUR_US = 3_600_000_000
LONG_LEAD_H = 24.0
TRUE_RATE = 0.05
"""Faults per 1,000 meter-days of a real fleet, at which precision is restated."""


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """`true_rate`: faults per 1,000 meter-days of the fleet that precision is restated for."""

    true_rate: float = TRUE_RATE

    def __post_init__(self) -> None:
        if not 0 < self.true_rate < 1000:
            raise BadInput(
                f"a true rate of {self.true_rate} faults per 1,000 meter-days cannot be",
                fix="give a positive number such as 0.05",
            )


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much was watched: the data's span and the meters of each area (transformer)."""

    start_us: int
    end_us: int
    meters: Mapping[str, int]

    @property
    def days(self) -> float:
        """Length of the data in days."""
        return max(self.end_us - self.start_us, 0) / 86_400e6

    @property
    def meter_days(self) -> float:
        """Meters times days."""
        return self.days * sum(self.meters.values())


@dataclass(frozen=True, slots=True)
class KindScore:
    """How one fault kind (or a group of them) fared; hours, shares with 95 % intervals."""

    name: str
    incidents: int
    found: int
    late: int
    recall: Interval
    right_asset: Interval
    tickets_a_cause: Interval
    lead_h: Interval
    attainable_h: Interval
    lead_share: Interval
    lead_share_p10: float | None
    delay_h: Interval
    known_before_contact: Interval
    ahead_of_contact_min: Interval

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {n: _plain(getattr(self, n)) for n in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Score:
    """The whole result of one set of alerts."""

    tickets: int
    watch_list: int
    meter_days: float
    days: float
    kinds: tuple[KindScore, ...]
    groups: tuple[KindScore, ...]
    precision: Interval
    precision_restated: float | None
    precision_restated_low: float | None
    true_rate: float
    false_per_1000: Mapping[str, Interval]
    false_in_healthy_areas: Interval
    false_by_cause: Mapping[str, int]
    benign: int
    benign_ticketed: Interval
    wrong_family: Interval
    top_of_day: Interval
    matching: Matching = field(repr=False)

    @property
    def overall(self) -> KindScore:
        """All incidents together."""
        return self.groups[-1]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; tickets and incidents by id."""
        names = [n for n in self.__dataclass_fields__ if n != "matching"]
        out: dict[str, Any] = {"summary": self.summary()}
        out |= {n: _plain(getattr(self, n)) for n in names}
        out["missed"] = [t.id for t in self.missed]
        out["verdicts"] = [
            {"alert": j.alert.id, "verdict": j.verdict, "incident": j.incident and j.incident.id}
            for j in self.matching.judged
        ]
        return out

    def summary(self) -> dict[str, float | None]:
        """The figures one quotes, without intervals; None where nothing was to be judged."""
        urgent, everything = self.groups
        values = {
            "recall": everything.recall.value,
            "recall_p1_p2": urgent.recall.value,
            "precision": self.precision.value,
            "precision_restated": self.precision_restated,
            "false_per_1000_meter_days": self.false_per_1000["all"].value,
            "false_p1_per_1000_meter_days": self.false_per_1000["P1"].value,
            "tickets_a_cause": everything.tickets_a_cause.value,
            "right_asset": everything.right_asset.value,
            "lead_share": everything.lead_share.value,
            "benign_ticketed": self.benign_ticketed.value,
            "known_before_contact": everything.known_before_contact.value,
            "top_of_day": self.top_of_day.value,
        }
        return {n: None if v is None else round(v, 4) for n, v in values.items()}

    @property
    def missed(self) -> list[TruthLine]:
        """Incidents that no ticket found in time."""
        return [t for t in self.matching.truth if not t.benign and self.matching.first(t) is None]

    def table(self) -> pd.DataFrame:
        """One row a kind and group, plain numbers, for notebooks and comparisons."""
        rows = []
        for k in (*self.kinds, *self.groups):
            row: dict[str, Any] = {}
            for name in k.__dataclass_fields__:
                value = getattr(k, name)
                row[name] = value.value if isinstance(value, Interval) else value
            rows.append(row)
        return pd.DataFrame(rows).set_index("name")


def score(
    alerts: Sequence[AlertLine],
    truth: Sequence[TruthLine],
    exposure: Exposure,
    places: Places,
    *,
    first_contact_us: Mapping[str, int] | None = None,
    settings: ScoreSettings | None = None,
) -> Score:
    """Score alerts against truth.

    Parameters
    ----------
    first_contact_us : incident id to when the first customer made contact, microseconds UTC.
    """
    settings = settings or ScoreSettings()
    # In one order, so that resampling draws the same whatever the order of the lines.
    alerts = sorted(alerts, key=lambda a: (a.raised_us, a.id))
    truth = sorted(truth, key=lambda t: (t.onset_us, t.id))
    matching = match(alerts, truth, places, exposure.end_us)
    real = [t for t in truth if not t.benign]
    contacts = first_contact_us or {}
    kinds = tuple(
        _kind(kind, [t for t in real if t.fault == kind], matching, contacts)
        for kind in FAULTS
        if any(t.fault == kind for t in real)
    )
    urgent = [t for t in real if FAULTS[t.fault].severity in ("P1", "P2")]
    groups = (
        _kind("P1 and P2 kinds", urgent, matching, contacts),
        _kind("all", real, matching, contacts),
    )
    rates = _false_rates(matching, exposure, places)
    found = settings.true_rate * (groups[-1].recall.value or 0.0)
    tickets = matching.judged
    return Score(
        tickets=len(tickets),
        watch_list=sum(not a.ticket for a in alerts),
        meter_days=exposure.meter_days,
        days=exposure.days,
        kinds=kinds,
        groups=groups,
        precision=_precision(matching, places),
        precision_restated=_restated(found, rates["all"].value),
        precision_restated_low=_restated(found, rates["all"].high),
        true_rate=settings.true_rate,
        false_per_1000=rates,
        false_in_healthy_areas=_healthy(matching, truth, exposure, places),
        false_by_cause={v: sum(j.verdict == v for j in tickets) for v in FALSE},
        benign=len(truth) - len(real),
        benign_ticketed=_benign(matching, truth),
        wrong_family=share([j.verdict == "wrong_family" for j in tickets]),
        top_of_day=top_of_day(alerts, truth, places, exposure.end_us),
        matching=matching,
    )


def _restated(found: float, false: float | None) -> float | None:
    """Precision where `found` true and `false` false tickets come per 1,000 meter-days."""
    return found / (found + false) if false is not None and found > 0 else None


def _kind(
    name: str, incidents: Sequence[TruthLine], matching: Matching, contacts: Mapping[str, int]
) -> KindScore:
    firsts = [(t, matching.first(t)) for t in incidents]
    found = [(t, j) for t, j in firsts if j is not None]
    late = sum(
        j is None and any(x.verdict == "late" for x in matching.by_incident.get(t.id, ()))
        for t, j in firsts
    )
    foretold = [(t, j) for t, j in found if t.failure_us is not None and t.foretellable]
    leads = [(_failure(t) - j.alert.known_us) / HOUR_US for t, j in foretold]
    attainable = [
        (_failure(t) - (t.onset_us if t.detectable_us is None else t.detectable_us)) / HOUR_US
        for t in incidents
        if t.foretellable
    ]
    shares = [
        lead / able
        for (t, _), lead in zip(foretold, leads, strict=True)
        if t.detectable_us is not None
        and (able := (_failure(t) - t.detectable_us) / HOUR_US) >= LONG_LEAD_H
    ]
    spoken = _COUNTED
    causes = [
        sum(j.verdict in spoken for j in matching.by_incident.get(t.id, ())) for t in incidents
    ]
    ticketed = [c for c in causes if c]
    called = [(t, j) for t, j in firsts if t.id in contacts]
    ahead = [(contacts[t.id] - j.alert.known_us) / 60e6 for t, j in called if j is not None]
    return KindScore(
        name=name,
        incidents=len(incidents),
        found=len(found),
        late=late,
        recall=share([j is not None for _, j in firsts]),
        right_asset=share([j.steps == 0 for _, j in found]),
        tickets_a_cause=ratio([float(c) for c in ticketed], [1.0] * len(ticketed)),
        lead_h=middle(leads),
        attainable_h=middle(attainable),
        lead_share=middle(shares),
        lead_share_p10=middle(shares, 10.0).value,
        delay_h=middle([(j.alert.known_us - t.onset_us) / HOUR_US for t, j in found]),
        known_before_contact=share(
            [j is not None and j.alert.known_us < contacts[t.id] for t, j in called]
        ),
        ahead_of_contact_min=middle(ahead),
    )


# Every ticket that one cause made counts, under whatever name and at whatever asset.
_COUNTED: tuple[Verdict, ...] = ("found", "late", "wrong_family", "wrong_place")


def _failure(t: TruthLine) -> int:
    if t.failure_us is None:
        raise ValueError(f"{t.id} has no failure")
    return t.failure_us


def _false_rates(matching: Matching, exposure: Exposure, places: Places) -> dict[str, Interval]:
    """False tickets per 1,000 meter-days, resampled by area: by severity, and all."""
    false = [j.alert for j in matching.judged if j.false]
    out = {}
    for name in (*SEVERITY_NAMES, "all"):
        chosen = [a for a in false if name in (a.severity, "all")]
        out[name] = _rate(chosen, exposure.meters, exposure, places)
    return out


def _rate(
    false: Sequence[AlertLine],
    meters: Mapping[str, int],
    exposure: Exposure,
    places: Places,
    *,
    only_these: bool = False,
) -> Interval:
    counts = dict.fromkeys(sorted(meters), 0.0)
    for a in false:
        area = places.area((a.asset_kind, a.asset))
        if area in counts or not only_these:
            counts[area] = counts.get(area, 0.0) + 1.0
    days = [meters.get(area, 0) * exposure.days for area in counts]
    return ratio(list(counts.values()), days, scale=1000.0)


def _healthy(
    matching: Matching, truth: Sequence[TruthLine], exposure: Exposure, places: Places
) -> Interval:
    """The false rate in areas where nothing at all happened."""
    touched: set[str] = set()
    for t in truth:
        if t.asset_kind in ("feeder", "section") and places.network is not None:
            touched |= {
                n.id
                for n in places.network.transformers
                if places.below(("transformer", n.id), (t.asset_kind, t.asset))
            }
        else:
            touched.add(places.area((t.asset_kind, t.asset)))
    meters = {a: n for a, n in exposure.meters.items() if a not in touched}
    false = [j.alert for j in matching.judged if j.false]
    return _rate(false, meters, exposure, places, only_these=True)


def _precision(matching: Matching, places: Places) -> Interval:
    tickets = matching.judged
    right = [not j.false for j in tickets]
    if len(set(right)) < 2:
        return share(right)
    areas: dict[str, list[bool]] = {}
    for j in tickets:
        area = places.area((j.alert.asset_kind, j.alert.asset))
        areas.setdefault(area, []).append(not j.false)
    of = ratio([float(sum(r)) for r in areas.values()], [float(len(r)) for r in areas.values()])
    return Interval(of.value, of.low, of.high, len(tickets))


def _benign(matching: Matching, truth: Sequence[TruthLine]) -> Interval:
    """Share of look-alikes that became a ticket."""
    ticketed = {
        j.incident.id for j in matching.judged if j.verdict == "benign" and j.incident is not None
    }
    return share([t.id in ticketed for t in truth if t.benign])


def _plain(value: Any) -> Any:
    if isinstance(value, Interval | KindScore):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value
