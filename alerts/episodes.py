"""Findings to episodes: one raise, some news, one end, whatever a score does in between.

Receives `Finding`s in event time; hands on `AlertEvent`s whose ids are functions of event time
only, so a replay makes the same ids. Pure state: no clock, no ledger. `judge` may be called with
any slicing of the same findings and says the same.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any, Literal

from alerts.budget import BELOW_LIMIT, OVER_BUDGET, Budget, BudgetSettings
from alerts.settings import DAY_US, AlertSettings
from grid.errors import BadInput
from grid.faults import FAULTS
from grid.network import Network
from grid.records import NOT_ENOUGH, WATCH_LIST, AlertEvent, Finding
from storage.desk_records import altered, finding_from_json, finding_to_json, plain

SNAPSHOT_FORMAT = 1
MAX_SCORE = 1e6  # an infinite score is no JSON; beyond this it says nothing more
Change = Literal["raised", "worsened", "updated", "moved", "cleared"]
Key = tuple[str, str, str, str]  # detector, fault, asset kind, asset


def alert_id(detector: str, fault: str, asset_kind: str, asset: str, tick_us: int) -> str:
    """The id of an episode: a short hash of what was raised where, by whom, at which tick."""
    return _hash("alert", detector, fault, asset_kind, asset, tick_us)


def event_id(alert: str, change: str, tick_us: int) -> str:
    """The id of one change of an episode."""
    return _hash("event", alert, change, tick_us)


def _hash(*parts: object) -> str:
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(slots=True)
class _Episode:
    """The open episode of one key; times are microseconds of event time."""

    state: Literal["pending", "active", "clearing"]
    since_us: int  # first tick of this state
    id: str = ""
    raised_us: int = 0
    told: Finding | None = None  # what the last event said
    ended: Finding | None = None  # the finding that went below
    flapping: bool = False
    held: str = ""  # why it stands on the watch list; "" when it may have a ticket
    raises: deque[int] = field(default_factory=deque)  # ticks at which the score came back


class Book:
    """All open episodes of a site.

    The state of one key is bounded: an open episode and at most `settings.flaps` tick times;
    a key whose episode has ended keeps its tick times until `flap_window_us` has passed.
    """

    def __init__(
        self,
        network: Network,
        settings: AlertSettings | None = None,
        budget: BudgetSettings | None = None,
    ) -> None:
        self.network = network
        self.settings = settings or AlertSettings()
        self.budget = Budget(network, budget or BudgetSettings())
        self._episodes: dict[Key, _Episode] = {}
        self._past: dict[Key, deque[int]] = {}  # raise ticks of ended episodes
        # By cause, the open episodes that have their ticket; empty without a budget.
        self._tickets: dict[tuple[str, str], set[str]] = {}
        self._deadlines: list[tuple[int, Key]] = []  # heap; stale entries are skipped
        self._now_us = -(2**62)

    def judge(self, findings: Sequence[Finding], up_to_us: int | None = None) -> list[AlertEvent]:
        """The events that follow from more findings, in order of event time.

        `up_to_us` promises that no finding with an earlier or equal tick comes any more, so holds
        that end by then are decided without waiting for the next finding.
        """
        events: list[AlertEvent] = []
        for finding in findings:
            if finding.fault not in FAULTS:
                raise BadInput(
                    f"detector {finding.detector} found the unknown fault '{finding.fault}'",
                    fix="name a kind of grid/faults.py",
                )
            # A deadline at this very tick waits: this finding may still belong to the episode.
            self._pass(finding.tick_us - 1, events)
            self._take(finding, events)
        if up_to_us is not None:
            self._pass(up_to_us, events)
        return events

    @property
    def open(self) -> int:
        """How many episodes are raised and not ended."""
        return sum(e.state != "pending" for e in self._episodes.values())

    # -- one finding -----------------------------------------------------------------------

    def _take(self, f: Finding, events: list[AlertEvent]) -> None:
        key = (f.detector, f.fault, f.asset_kind, f.asset)
        episode = self._episodes.get(key)
        if f.score >= 1.0:
            if episode is None:
                episode = self._episodes[key] = _Episode("pending", f.tick_us)
                episode.raises = self._past.pop(key, deque())
            elif episode.state == "clearing":
                episode.state = "active"
                self._came_back(episode, f.tick_us)
            if episode.state == "pending":
                self._raise_if_due(episode, f, events)
            else:
                self._news(episode, f, events)
        elif episode is not None and f.score < f.clear_below:
            self._goes(key, episode, f, events)

    def _raise_if_due(self, episode: _Episode, f: Finding, events: list[AlertEvent]) -> None:
        if f.tick_us - episode.since_us < self.settings.hold_of(f.fault).raise_us:
            return
        episode.state = "active"
        episode.since_us = episode.raised_us = f.tick_us
        episode.id = alert_id(f.detector, f.fault, f.asset_kind, f.asset, f.tick_us)
        self._came_back(episode, f.tick_us)
        episode.held = self._hold(f, f.tick_us)
        self._tell(episode, "raised", self._marked(episode, f), events)

    def _news(self, episode: _Episode, f: Finding, events: list[AlertEvent]) -> None:
        told = episode.told
        assert told is not None
        waits = episode.held and episode.held != OVER_BUDGET  # which the next day decides
        if waits or (episode.held and f.severity == "P1"):
            before, episode.held = episode.held, self._hold(f, f.tick_us)
            # What waits for the next day's budget is judged by what was told last, so say it too.
            decided = episode.held in ("", OVER_BUDGET) and episode.held != before
            if decided and f.severity >= told.severity:
                self._tell(episode, "updated", self._marked(episode, f), events)
                return
        if f.severity < told.severity:  # "P1" < "P2": lower is worse
            self._tell(episode, "worsened", self._marked(episode, f), events)
            return
        grown = f.score >= told.score * self.settings.update_growth
        flaps = episode.flapping and "flapping_since_us" not in told.evidence.numbers
        waited = f.tick_us - told.tick_us >= self.settings.update_us
        if flaps or (grown and waited):
            self._tell(episode, "updated", self._marked(episode, f), events)

    def _goes(self, key: Key, e: _Episode, f: Finding, events: list[AlertEvent]) -> None:
        if e.state == "pending":
            del self._episodes[key]
            if e.raises:
                self._past[key] = e.raises
            return
        if e.state == "active":
            e.state, e.since_us, e.ended = "clearing", f.tick_us, f
            hold_us = self.settings.hold_of(f.fault).clear_us
            if e.flapping:
                hold_us = max(hold_us, self.settings.flap_quiet_us)
            if hold_us == 0:
                self._end(key, e, f.tick_us, events)
            else:
                self._wait(f.tick_us + hold_us, key)

    # -- budget ----------------------------------------------------------------------------

    def _hold(self, f: Finding, now_us: int) -> str:
        """Why an alert may have no ticket now; "" when it may."""
        if f.evidence.numbers.get(WATCH_LIST) == NOT_ENOUGH and f.severity != "P1":
            return NOT_ENOUGH  # the detector's own word
        if not self.budget.settings.on:
            return ""
        if self.budget.below(f):
            return BELOW_LIMIT
        if self._paid(f) or self.budget.take(f, now_us):
            return ""
        return OVER_BUDGET

    def _paid(self, f: Finding) -> bool:
        """Whether another alert of the same cause has its ticket already."""
        return bool(self._tickets.get(self._cause(f)))

    def _cause(self, f: Finding) -> tuple[str, str]:
        area = self.network.transformer_of(f.asset_kind, f.asset)
        return FAULTS[f.fault].incident_class, area.id if area else f"{f.asset_kind} {f.asset}"

    def _forget_ticket(self, e: _Episode, f: Finding) -> None:
        here = self._cause(f)
        if here in self._tickets:
            self._tickets[here].discard(e.id)
            if not self._tickets[here]:
                del self._tickets[here]

    def _new_day(self, day_us: int, events: list[AlertEvent]) -> None:
        """A day's budget for what has waited, the highest score first."""
        waiting = [
            (-self.budget.rank(e.told), key)
            for key, e in self._episodes.items()
            if e.held == OVER_BUDGET and e.state == "active" and e.told is not None
        ]
        for _, key in sorted(waiting):
            e = self._episodes[key]
            told = e.told
            assert told is not None
            e.held = self._hold(told, day_us)
            if not e.held:
                known_us = max(told.known_us, day_us)
                again = replace(told, tick_us=max(day_us, told.tick_us), known_us=known_us)
                self._tell(e, "updated", self._marked(e, again), events)

    # -- time ------------------------------------------------------------------------------

    def _wait(self, until_us: int, key: Key) -> None:
        heappush(self._deadlines, (until_us, key))

    def _pass(self, up_to_us: int, events: list[AlertEvent]) -> None:
        """Decide every hold that ended by `up_to_us`, in order of its end and its key."""
        if up_to_us <= self._now_us:
            return
        while self._now_us > 0:
            # One day after the other, each with the episodes that are open then. Whether any of
            # them waits is asked once a day: this runs for every finding.
            day_us = (self._now_us // DAY_US + 1) * DAY_US
            waits = day_us <= up_to_us and any(
                e.held == OVER_BUDGET for e in self._episodes.values()
            )
            if not waits:
                break
            self._end_holds(day_us - 1, events)
            self._new_day(day_us, events)
            self._now_us = day_us
        self._end_holds(up_to_us, events)
        self._now_us = up_to_us

    def _end_holds(self, up_to_us: int, events: list[AlertEvent]) -> None:
        while self._deadlines and self._deadlines[0][0] <= up_to_us:
            deadline_us, key = heappop(self._deadlines)
            episode = self._episodes.get(key)
            if episode is None or episode.state != "clearing":
                continue
            hold_us = self.settings.hold_of(key[1]).clear_us
            if episode.flapping:
                hold_us = max(hold_us, self.settings.flap_quiet_us)
            if episode.since_us + hold_us <= deadline_us:
                self._end(key, episode, deadline_us, events)

    def _end(self, key: Key, e: _Episode, at_us: int, events: list[AlertEvent]) -> None:
        ended = e.ended
        assert ended is not None
        known_us = max(ended.known_us, at_us)
        # The severity told last stays in the record: an ended P1 was a P1.
        severity = e.told.severity if e.told else ended.severity
        last = replace(self._marked(e, ended), tick_us=at_us, known_us=known_us, severity=severity)
        self._tell(e, "cleared", last, events)
        self._forget_ticket(e, last)
        del self._episodes[key]
        while e.raises and e.raises[0] <= at_us - self.settings.flap_window_us:
            e.raises.popleft()
        if e.raises:
            self._past[key] = e.raises
        if len(self._past) > 4 * len(self._episodes) + 1000:
            self._forget(at_us)

    def _forget(self, now_us: int) -> None:
        oldest = now_us - self.settings.flap_window_us
        self._past = {k: r for k, r in self._past.items() if r and r[-1] > oldest}

    def _came_back(self, episode: _Episode, tick_us: int) -> None:
        raises = episode.raises
        raises.append(tick_us)
        while raises[0] <= tick_us - self.settings.flap_window_us:
            raises.popleft()
        while len(raises) > self.settings.flaps:
            raises.popleft()
        episode.flapping = len(raises) >= self.settings.flaps

    @staticmethod
    def _marked(episode: _Episode, f: Finding) -> Finding:
        """The finding as it is told: numbers that JSON can carry, and the mark of flapping."""
        numbers = {name: plain(value) for name, value in f.evidence.numbers.items()}
        if episode.flapping:
            numbers["flapping_since_us"] = episode.raises[0]
        numbers.pop(WATCH_LIST, None)
        if episode.held:
            numbers[WATCH_LIST] = episode.held
        score = min(float(f.score), MAX_SCORE)
        return altered(f, score=score, evidence=altered(f.evidence, numbers=numbers))

    def _tell(self, e: _Episode, change: Change, f: Finding, events: list[AlertEvent]) -> None:
        e.told = f
        if self.budget.settings.on and not e.held:
            self._tickets.setdefault(self._cause(f), set()).add(e.id)
        events.append(AlertEvent(event_id(e.id, change, f.tick_us), e.id, change, f, e.raised_us))

    # -- snapshot --------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state as JSON."""
        data = {
            "format": SNAPSHOT_FORMAT,
            "now_us": self._now_us,
            "budget": self.budget.snapshot(),
            "deadlines": sorted(self._deadlines),
            "past": [[*k, list(r)] for k, r in sorted(self._past.items())],
            "episodes": [_pack(k, e) for k, e in sorted(self._episodes.items())],
        }
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()

    def restore(self, data: bytes) -> None:
        """Take over a state that `snapshot` wrote."""
        read: dict[str, Any] = json.loads(data)
        if read.get("format") != SNAPSHOT_FORMAT:
            raise BadInput(
                f"the snapshot of alert episodes has format {read.get('format')}, "
                f"this program reads {SNAPSHOT_FORMAT}",
                fix="delete the snapshot and run `forewatt rebuild`",
            )
        self._now_us = int(read["now_us"])
        self.budget.restore(read.get("budget", {}))
        self._deadlines = [(int(at), _key(k)) for at, k in read["deadlines"]]  # sorted is a heap
        self._past = {_key(row[:4]): deque(row[4]) for row in read["past"]}
        self._episodes = dict(_unpack(row) for row in read["episodes"])
        self._tickets = {}
        for e in self._episodes.values():
            if self.budget.settings.on and e.state != "pending" and not e.held and e.told:
                self._tickets.setdefault(self._cause(e.told), set()).add(e.id)


def _key(parts: Iterable[Any]) -> Key:
    detector, fault, kind, asset = parts
    return str(detector), str(fault), str(kind), str(asset)


def _pack(key: Key, e: _Episode) -> dict[str, Any]:
    return {
        "key": key,
        "state": e.state,
        "since_us": e.since_us,
        "id": e.id,
        "raised_us": e.raised_us,
        "told": finding_to_json(e.told) if e.told else None,
        "ended": finding_to_json(e.ended) if e.ended else None,
        "flapping": e.flapping,
        "held": e.held,
        "raises": list(e.raises),
    }


def _unpack(data: dict[str, Any]) -> tuple[Key, _Episode]:
    return _key(data["key"]), _Episode(
        state=data["state"],
        since_us=int(data["since_us"]),
        id=data["id"],
        raised_us=int(data["raised_us"]),
        told=finding_from_json(data["told"]) if data["told"] else None,
        ended=finding_from_json(data["ended"]) if data["ended"] else None,
        flapping=bool(data["flapping"]),
        held=str(data.get("held", "")),
        raises=deque(int(t) for t in data["raises"]),
    )
