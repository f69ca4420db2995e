"""Drills: a fault played into a realm of its own, worked like a real one, then scored.

The realm is in every key of the tables, so a drill cannot touch the live data and no notice leaves
it. What has been played is found in the ledger (an event has its effect once), so a drill goes on
after a restart where it was. Detectors take no part: the script says what they would have found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from alerts.apply import apply_events
from alerts.errors import Conflict, MissingDetail, WrongRole
from alerts.ledger import Ledger, Reading
from alerts.places import Places, places_of
from alerts.roles import SYSTEM, Actor, Role
from alerts.states import STATES
from desk.counter import Counter
from desk.drill_script import SCENES, Scene, Script, Truth, write_script
from desk.reports import TRUE
from grid.clock import Clock
from grid.network import Network
from grid.records import Ticket
from storage.desk_records import HumanInput, Step

PREFIX: Final = "drill-"
_LEADERS: Final[tuple[Role, ...]] = ("engineer", "dispatcher", "operator", "supervisor", "admin")
_SUBJECT: Final = "drill"


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill as it stands: who leads it, what is played, since when; `ended_us` None while on."""

    realm: str
    scene: Scene
    seed: int
    leader: str
    start_us: int
    ended_us: int | None


@dataclass(frozen=True, slots=True)
class Scored:
    """How one fault of a drill was handled; minutes from the moment it could be known.

    found : a ticket at the right asset (0 steps away) or one next to it (1), None if there is none
    verdict_right : None while no verdict is given
    points : 0 to 100, see `score`
    """

    fault: str
    asset_kind: str
    asset: str
    number: str | None
    found: int | None
    taken_min: float | None
    dispatched_min: float | None
    closed_min: float | None
    verdict: str | None
    verdict_right: bool | None
    actors: tuple[str, ...]
    points: int


@dataclass(frozen=True, slots=True)
class DrillScore:
    """The whole drill: `duplicates` are tickets beyond one a fault that nobody merged; `calls`
    callers, `attached` of them hung on a ticket."""

    faults: tuple[Scored, ...]
    duplicates: int
    calls: int
    attached: int
    points: int


# Points for each fault: taken and dispatched in time, at the right place, with the right verdict.
TAKE_MIN: Final = 5.0
DISPATCH_MIN: Final = 15.0


class DrillDesk:
    """One drill, on the ledger of its realm (`drill-...`)."""

    def __init__(self, ledger: Ledger, network: Network, clock: Clock) -> None:
        if not ledger.realm.startswith(PREFIX):
            raise MissingDetail(
                "realm",
                f"A drill plays in a realm named {PREFIX}..., not in '{ledger.realm}'.",
                f"演练只能在“{PREFIX}…”域中进行。",
            )
        self.ledger, self.network, self.clock = ledger, network, clock
        self.places: Places = places_of(network)

    def state(self) -> Drill | None:
        """The drill of this realm; None before it has been started."""
        with self.ledger.reading() as reading:
            return _drill(reading, self.ledger.realm)

    def start(self, actor: Actor, scene: str, seed: int = 1) -> Drill:
        """Begin now; a realm plays one drill."""
        _permit(actor)
        now_us = self.clock.now_us()
        script = write_script(self.network, cast(Scene, scene), seed, now_us)
        with self.ledger.transaction() as tx:
            if _drill(tx, self.ledger.realm) is not None:
                raise Conflict(
                    f"{self.ledger.realm} has been played; start a new one.",
                    f"{self.ledger.realm}已有演练，请另开一场。",
                )
            given = {"scene": script.scene, "seed": seed, "start_us": now_us}
            tx.add_human_input(HumanInput("drill_start", _SUBJECT, actor.name, now_us, given))
        self.advance()
        made = self.state()
        assert made is not None, "it was just started"
        return made

    def advance(self) -> int:
        """Play what has become due by now; call it now and then. How many things happened."""
        drill = self.state()
        if drill is None or drill.ended_us is not None:
            return 0
        now_us, script = self.clock.now_us(), self._script(drill)
        due = [e for e in script.events if e.finding.known_us <= now_us]
        done = apply_events(due, self.ledger, self.network, places=self.places).new if due else 0
        counter = Counter(self.ledger, self.network, self.clock, places=self.places)
        for contact in script.contacts:
            if contact.time_us <= now_us:
                done += not counter.report(contact, SYSTEM).repeated
        return done

    def end(self, actor: Actor) -> DrillScore:
        """No more of it; the score."""
        _permit(actor)
        with self.ledger.transaction() as tx:
            drill = _drill(tx, self.ledger.realm)
            if drill is not None and drill.ended_us is None:
                now_us = self.clock.now_us()
                tx.add_human_input(HumanInput("drill_end", _SUBJECT, actor.name, now_us))
        return self.score()

    def truths(self) -> tuple[Truth, ...]:
        """What was really wrong; Conflict while the drill goes on."""
        drill = self.state()
        if drill is None or drill.ended_us is None:
            raise Conflict("The drill goes on; end it first.", "演练尚未结束。")
        return self._script(drill).truths

    def _script(self, drill: Drill) -> Script:
        return write_script(self.network, drill.scene, drill.seed, drill.start_us)

    # -- scoring ---------------------------------------------------------------------------

    def score(self) -> DrillScore:
        """How it went so far; faults that nobody has found yet count nothing."""
        drill = self.state()
        if drill is None:
            return DrillScore((), 0, 0, 0, 0)
        script = self._script(drill)
        with self.ledger.reading() as reading:
            tickets = reading.tickets(states=list(STATES), limit=10_000)
            steps = {t.id: reading.steps(t.id) for t in tickets}
            contacts = reading.contacts(limit=10_000)
        taken: set[int] = set()
        scored = []
        for truth in script.truths:
            ticket = self._ticket_for(truth, tickets, taken)
            if ticket is not None:
                taken.add(ticket.id)
            scored.append(self._one(truth, ticket, steps.get(ticket.id, []) if ticket else []))
        spare = [t for t in tickets if t.id not in taken and t.state != "merged"]
        mean = round(sum(s.points for s in scored) / len(scored)) if scored else 0
        return DrillScore(
            tuple(scored),
            len(spare),
            len(contacts),
            sum(c.ticket_id is not None for c in contacts),
            max(0, mean - 10 * len(spare)),
        )

    def _ticket_for(
        self, truth: Truth, tickets: Sequence[Ticket], taken: set[int]
    ) -> Ticket | None:
        near = [
            (steps, t.state == "merged", t.id, t)
            for t in tickets
            if t.id not in taken
            and (steps := self.places.steps_between((t.asset_kind, t.asset), truth.asset))
            is not None
            and steps <= 1
        ]
        return min(near)[3] if near else None

    def _one(self, truth: Truth, ticket: Ticket | None, steps: Sequence[Step]) -> Scored:
        kind, asset = truth.asset
        if ticket is None:
            return Scored(truth.fault, kind, asset, None, None, None, None, None, None, None, (), 0)
        known_us = ticket.opened_us

        def minutes(*states: str) -> float | None:
            at = next((s.at_us for s in steps if s.action in states), None)
            return None if at is None else max(0.0, (at - known_us) / 60e6)

        took, sent = minutes("take", "dispatch"), minutes("dispatch")
        found = self.places.steps_between((ticket.asset_kind, ticket.asset), truth.asset)
        right = None if ticket.verdict is None else ticket.verdict in truth.verdicts
        real = any(v in TRUE for v in truth.verdicts)
        points = 25 * (found == 0) + 15 * (found == 1)
        points += 15 * (took is not None) + 10 * (took is not None and took <= TAKE_MIN)
        if real:
            points += 10 * (sent is not None) + 10 * (sent is not None and sent <= DISPATCH_MIN)
        else:
            points += 20 * bool(right)  # nobody had to be sent out for nothing
        points += 30 * bool(right)
        return Scored(
            truth.fault,
            kind,
            asset,
            ticket.number,
            found,
            took,
            sent,
            minutes("close", "cancel"),
            ticket.verdict,
            right,
            tuple(dict.fromkeys(s.actor for s in steps if s.role != "system")),
            points,
        )


def _drill(reading: Reading, realm: str) -> Drill | None:
    said = reading.human_inputs(subject=_SUBJECT, kinds=("drill_start", "drill_end"), limit=10)
    begun = next((s for s in said if s.kind == "drill_start"), None)
    if begun is None:
        return None
    ended = next((s.at_us for s in said if s.kind == "drill_end"), None)
    d = begun.data
    return Drill(
        realm, cast(Scene, d["scene"]), int(d["seed"]), begun.actor, int(d["start_us"]), ended
    )


def _permit(actor: Actor) -> None:
    if actor.role not in _LEADERS:
        raise WrongRole("drill", "lead a drill", "组织演练", actor.role, _LEADERS)


def new_realm(name: str, taken: Sequence[str]) -> str:
    """A realm for a new drill: the name made safe, with a number when it is taken.

    >>> new_realm("Storm 3!", ["drill-storm-3"])
    'drill-storm-3-2'
    """
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower()).strip("-")
    base = PREFIX + ("-".join(p for p in safe[:40].split("-") if p) or "1")
    found, n = base, 1
    while found in taken:
        n += 1
        found = f"{base}-{n}"
    return found


__all__ = ["SCENES", "Drill", "DrillDesk", "DrillScore", "Scene", "Scored", "new_realm"]
