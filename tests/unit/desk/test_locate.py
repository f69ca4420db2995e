"""An incident with its signs: odds, suspects, a person's word, and asking meters now."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from alerts.apply import apply_events
from alerts.errors import Conflict, MissingDetail, WrongRole
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.storm import StormDesk
from alerts.tickets import TicketDesk
from desk.counter import Counter
from desk.locate import LocateDesk, Picture, UnknownIncident
from desk.read_now import Answered, HeadEndFailed, HttpHeadEnd, ReadNow, TooOften
from grid.errors import ForewattError
from grid.network import Device, Section
from grid.records import Contact
from storage.desk_records import LastSeen, SwitchState
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, after, raised, town

CHIEF, CLERK = Actor("赵值班", "operator"), Actor("王芳", "clerk")
T1 = ("transformer", "T1")


class Meters:
    """T1 sent last gasps, but for those that the test lets live; T2 reports."""

    def __init__(self, dark: str = "T1") -> None:
        self.dark = dark
        self.alive: set[str] = set()
        self.told: dict[str, SwitchState] = {}
        self.lost: dict[str, int] = {}
        self.past: Meters | None = None  # what they had told in the middle of the outage
        self.asked_at_us = 0

    def switches(self, devices: Sequence[str]) -> Mapping[str, SwitchState]:
        return {d: self.told[d] for d in devices if d in self.told}

    def last_seen_at(self, devices: Sequence[str], at_us: int) -> Mapping[str, LastSeen]:
        self.asked_at_us = at_us
        return self.past.last_seen(devices) if self.past else {}

    def power_words(self, devices: Sequence[str], since_us: int) -> Mapping[str, LastSeen]:
        return self.last_seen(devices)

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        gasp = LastSeen(START - MINUTE, 230.0, lost_us=START)
        well = LastSeen(START + 50 * MINUTE, 229.0)
        own = {d: LastSeen(START - MINUTE, 230.0, lost_us=t) for d, t in self.lost.items()}
        return {
            d: own.get(d, gasp if self.dark in d and d not in self.alive else well) for d in devices
        }


class Asked:
    """A head-end where only some meters live."""

    def __init__(self) -> None:
        self.alive: set[str] = set()
        self.broken = False

    def read(self, devices: Sequence[str], request_id: str) -> Sequence[Answered]:
        if self.broken:
            raise ForewattError("no route")
        return [Answered(d, True, volts=229.0) for d in devices if d in self.alive]


class Room:
    """An outage at T1, an hour old."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + HOUR)
        self.meters, self.head_end = Meters(), Asked()
        self.event = raised("outage", T1)
        apply_events([self.event], self.ledger, town())
        self.desk = LocateDesk(self.ledger, town(), self.clock, self.meters)
        self.read_now = ReadNow(self.head_end, self.ledger, town(), self.clock, per_minute=8)


@pytest.fixture
def room() -> Room:
    return Room()


def test_the_operator_sees_places_with_their_odds_and_the_signs(room: Room) -> None:
    seen = room.desk.picture(1, "operator")

    assert seen.candidates[0].asset == T1
    assert seen.candidates[0].odds > 0.99
    assert seen.signs == {"gasp": 6, "silent": 6, "alive": 6}
    assert len(seen.silent) == 6


def test_one_meter_of_each_branch_is_asked_first_and_in_a_storm_alone(room: Room) -> None:
    asked = room.desk.picture(1, "operator").silent
    StormDesk(room.ledger, town(), room.clock).declare(CHIEF, "台风", START + 9 * HOUR)
    stormy = room.desk.picture(1, "operator").silent

    assert [a.rsplit("-", 1)[0] for a in asked[:2]] == ["M-T1-B1", "M-T1-B2"]
    assert (len(asked), stormy) == (6, asked[:2])


def test_a_living_meter_within_is_listed_as_a_suspect(room: Room) -> None:
    room.meters.alive.add("M-T1-B2-3")

    (suspect,) = room.desk.picture(1, "operator").suspects

    assert (suspect.device, suspect.says) == ("M-T1-B2-3", "alive")


@pytest.mark.parametrize("closed", [False, True], ids=["supply is back", "incident closed"])
def test_suspects_stay_when_the_outage_has_ended(closed: bool, room: Room) -> None:
    """The records are mended afterwards: what the outage told of them must not go with it."""
    room.meters.past = Meters()
    room.meters.past.alive.add("M-T1-B2-3")
    room.meters.dark = "nobody"
    apply_events([after(room.event, "cleared", 50 * MINUTE)], room.ledger, town())
    if closed:
        with room.ledger.transaction() as tx:
            incident = tx.incident(1)
            assert incident is not None
            tx.put_incident(replace(incident, closed_us=START + 55 * MINUTE))

    seen = room.desk.picture(1, "operator")

    assert [(s.device, s.says) for s in seen.suspects] == [("M-T1-B2-3", "alive")]
    assert room.meters.asked_at_us == START + 25 * MINUTE  # surely dark, and the living have spoken
    assert seen.silent == ()
    assert bool(seen.candidates) is not closed


def dark_section(*told: SwitchState) -> Picture:
    """What is seen of an outage of section S1 whose every meter gasped and whose switch told so."""
    network = replace(
        town(),
        sections=(Section("S1", "F1", None, "SW1"),),
        devices=(*town().devices, Device("SW1", "switch", section="S1")),
    )
    ledger, meters = MemoryLedger(), Meters("T")
    meters.told = dict.fromkeys(["SW1"], told[-1]) if told else {}
    apply_events([raised("outage", ("section", "S1"))], ledger, network)
    desk = LocateDesk(ledger, network, StandingClock(START + HOUR), meters)
    return desk.picture(1, "operator")


def test_a_switch_that_has_opened_speaks_for_its_section() -> None:
    def odds(seen: Picture) -> float:
        return next(c.odds for c in seen.candidates if c.asset == ("section", "S1"))

    opened = dark_section(SwitchState(closed=False, at_us=START))

    assert opened.signs["opened"] == 1
    assert odds(opened) > odds(dark_section())
    assert dark_section(SwitchState(closed=False, at_us=START - HOUR)).signs.get("opened") is None


def test_a_section_whose_switch_is_telemetered_closed_is_never_predicted() -> None:
    closed = dark_section(SwitchState(closed=True, at_us=START - 30 * HOUR))
    unheard = dark_section(SwitchState(closed=True, at_us=START - 30 * HOUR, heard=False))

    assert closed.closed == (("section", "S1"),)
    assert ("section", "S1") not in [*closed.faults, *(c.asset for c in closed.candidates)]
    assert unheard.closed == ()
    assert ("section", "S1") in [c.asset for c in unheard.candidates]


def test_a_call_counts_unless_the_callers_own_meter_lives(room: Room) -> None:
    room.meters.alive.add("M-T1-B1-2")
    counter = Counter(room.ledger, town(), room.clock, room.meters)
    for account in ("A11", "A12"):
        counter.report(Contact("phone", account, START + 5 * MINUTE, account=account))

    assert room.desk.picture(1, "operator").signs["call"] == 1


def test_a_meter_that_went_dark_with_another_outage_may_be_recorded_at_the_wrong_place() -> None:
    ledger, meters, second = MemoryLedger(), Meters(), 1_000_000
    meters.lost = {"M-T2-B1-1": START + second, "M-T2-B2-2": START + 90 * second}
    alone = [("usage_point", "T2-B1-1"), ("usage_point", "T2-B2-2")]
    apply_events([raised("outage", at) for at in (T1, *alone)], ledger, town())
    desk = LocateDesk(ledger, town(), StandingClock(START + HOUR), meters)

    with ledger.reading() as r:
        found = {
            i.asset: [(s.device, s.perhaps) for s in desk.picture(i.id, "operator").suspects]
            for i in r.incidents()
        }

    assert found == {"T1": [("M-T2-B1-1", T1)], "T2-B1-1": [("M-T2-B1-1", T1)], "T2-B2-2": []}


def test_a_persons_word_moves_the_incident_and_the_machine_leaves_it(room: Room) -> None:
    made = room.desk.place(1, ("branch", "T1-B1"), CHIEF, "现场确认分支熔断")

    with room.ledger.reading() as r:
        (ticket,) = r.tickets()
        (move,) = r.moves(1)
    assert (ticket.number, ticket.asset) == ("20260301-0001", "T1-B1")
    assert (made.stage, made.located_by, made.customers) == ("confirmed", "赵值班", 3)
    assert move.reason == "现场确认分支熔断"

    apply_events([after(room.event, "updated", 2 * HOUR, score=3.0)], room.ledger, town())
    with room.ledger.reading() as r:
        found = r.incident(1)
    assert found is not None
    assert found.asset == "T1-B1"


def test_a_persons_rank_stays_when_a_person_says_the_place(room: Room) -> None:
    ranks = TicketDesk(room.ledger, town(), StandingClock(START + HOUR))
    ranks.prioritise(1, CHIEF, 1, 123, "last of all")

    room.desk.place(1, ("branch", "T1-B1"), CHIEF, "现场确认分支熔断")

    with room.ledger.reading() as r:
        (ticket,) = r.tickets()
    assert (ticket.asset, ticket.priority) == ("T1-B1", 123)


def test_a_place_is_said_by_those_who_may_with_a_reason_once(room: Room) -> None:
    with pytest.raises(WrongRole):
        room.desk.place(1, T1, CLERK, "x")
    with pytest.raises(MissingDetail):
        room.desk.place(1, T1, CHIEF, " ")
    with pytest.raises(MissingDetail):
        room.desk.place(1, ("branch", "nowhere"), CHIEF, "x")
    with pytest.raises(UnknownIncident):
        room.desk.place(77, T1, CHIEF, "x")
    room.desk.place(1, ("branch", "T1-B1"), CHIEF, "x", version=1)
    with pytest.raises(Conflict):
        room.desk.place(1, ("branch", "T1-B2"), CHIEF, "x", version=1)


def test_two_open_incidents_are_not_put_at_one_place(room: Room) -> None:
    apply_events([raised("outage", ("transformer", "T2"), MINUTE)], room.ledger, town())

    with pytest.raises(Conflict) as e:
        room.desk.place(2, T1, CHIEF, "x")

    assert e.value.ticket is not None
    assert e.value.ticket.asset == "T1"


def test_an_inspection_is_not_pictured_for_a_clerk(room: Room) -> None:
    apply_events([raised("energy_loss", T1)], room.ledger, town())

    with pytest.raises(UnknownIncident):
        room.desk.picture(2, "clerk")


def test_an_answered_ping_is_a_sign_of_life_and_kept(room: Room) -> None:
    room.head_end.alive = {"M-T1-B2-1", "M-T1-B2-2"}

    answers = room.read_now.ask(["M-T1-B2-1", "M-T1-B2-2", "M-T1-B2-3"], CHIEF, incident_id=1)

    assert [a.answered for a in answers.values()] == [True, True, False]
    assert room.desk.picture(1, "operator").signs["answers"] == 2
    with room.ledger.reading() as r:
        (kept,) = r.human_inputs(kinds=("read_now",))
    assert (kept.actor, kept.subject) == ("赵值班", "incident:1")


def test_asking_is_limited_by_meter_and_by_minute(room: Room) -> None:
    meters = [f"M-T1-B{b}-{i}" for b in (1, 2) for i in (1, 2, 3)]
    room.read_now.ask(meters, CLERK)

    with pytest.raises(TooOften):
        room.read_now.ask(meters[:1], CLERK)
    with pytest.raises(TooOften):
        room.read_now.ask([f"M-T2-B1-{i}" for i in (1, 2, 3)], CLERK)
    room.clock.us += MINUTE
    room.read_now.ask(meters[:1], CLERK)


def test_a_head_end_that_fails_is_said_and_noted(room: Room) -> None:
    room.head_end.broken = True

    with pytest.raises(HeadEndFailed):
        room.read_now.ask(["M-T1-B1-1"], CHIEF)

    with room.ledger.reading() as r:
        (kept,) = r.human_inputs(kinds=("read_now",))
    assert kept.data["problem"] == "no route"
    assert "dead" not in room.desk.picture(1, "operator").signs


@pytest.mark.parametrize("devices", [[], ["M-none"], [f"M-{i}" for i in range(60)]])
def test_only_known_meters_and_not_too_many_are_asked(room: Room, devices: list[str]) -> None:
    with pytest.raises(MissingDetail):
        room.read_now.ask(devices, CHIEF)
    with pytest.raises(WrongRole):
        room.read_now.ask(["M-T1-B1-1"], Actor("x", "customer"))


@pytest.fixture
def address() -> Iterator[tuple[str, list[bytes]]]:
    """A head-end on this machine: what it will answer is put into the list."""
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = answers.pop(0)
            self.send_response(503 if body == b"" else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/read", answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_head_end_is_asked_over_http(address: tuple[str, list[bytes]]) -> None:
    url, answers = address
    answers += [
        b'{"results": [{"device": "M1", "answered": true, "v_a": 229.5}]}',
        b"",
        b'{"oops": 1}',
    ]
    head_end = HttpHeadEnd(url, now_s=lambda: 1.0, secret="s")

    assert head_end.read(["M1"], "r") == [Answered("M1", True, None, 229.5)]
    for message in ("answered 503", "answer is not"):
        with pytest.raises(ForewattError, match=message):
            head_end.read(["M1"], "r")
    head_end.close()
