"""A small town on a made-up evening, for the pages' tests and for looking at them: no database,
no broker. A neutral at T3 grows loose, T7 is out of supply, a meter is ill; customers have rung.
"""

import hashlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from alerts.apply import apply_events
from alerts.episodes import alert_id, event_id
from alerts.ledger import Advance
from alerts.memory import MemoryLedger
from grid.errors import BadInput
from grid.faults import FAULTS
from grid.network import (
    Customer,
    Device,
    Feeder,
    Network,
    Phase,
    Section,
    Team,
    Transformer,
    UsagePoint,
)
from grid.records import AlertEvent, Evidence, Finding, OutboxMessage
from storage.desk_records import LastSeen, SwitchState
from storage.fleet import FleetHealth, Gap, JournalPosition, QuarantineRow, Silent
from storage.people import AuditEntry
from storage.photos import PHOTOS_MAX, Photo
from storage.series import Series
from web.doors import PersonView
from web.settings import ConfigLine, WebSettings

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
NOW = int(datetime(2026, 11, 22, 10, 24, tzinfo=UTC).timestamp() * 1e6)  # 18:24 in Shanghai
AREAS = (
    ("T1", "杏园路1号配变", "S1", "Apricot Lane"),
    ("T3", "柳浪新村3号配变", "S1", "Willow Village"),
    ("T5", "河坊街5号配变", "S2", "River Street"),
    ("T7", "大学路7号配变", "S2", "University Road"),
)
PHASES: tuple[Phase, ...] = ("a", "b", "c")
CONFIGURATION = (
    ConfigLine("site", "name", "西湖供电所", False, "what the pages call this installation"),
    ConfigLine(
        "database", "url", "postgresql://fw:***@db/forewatt", False, "where history is kept"
    ),
    ConfigLine("detectors", "disabled", "thermal", False, "names of detectors that shall not run"),
)
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"


def network(points_per_area: int = 48) -> Network:
    """A feeder with two sections and four areas; four branches each."""
    points, devices, customers = [], [], []
    for a, (area, _, _, street) in enumerate(AREAS):
        devices.append(
            Device(
                f"{area}-monitor", "transformer_monitor", transformer=area, interval_s=60,
                wiring="3p4w", profile="sdm630", unit=a + 1,
            )
        )  # fmt: skip
        for n in range(points_per_area):
            branch = f"{area}-B{n * 4 // points_per_area + 1}"
            point, account = f"{area}-{n + 1:03d}", f"3307{a + 1}{n + 1:04d}"
            phase = PHASES[n % 3]
            points.append(UsagePoint(point, area, branch, f"{branch}-N{n % 4}", phase, account))
            devices.append(Device(f"M-{point}", "meter", usage_point=point, interval_s=900))
            name = SURNAMES[(a * 7 + n) % 20] + "秀英伟芳敏静丽强磊军洋勇"[n % 12]
            address = f"{street} {n + 1}" if n % 5 == 4 else f"{AREAS[a][1][:3]}小区{n + 1}幢101室"
            customers.append(Customer(account, name, f"139{a}000{n:04d}", address))
    customers[5] = replace(customers[5], name=customers[148].name)  # two of one name
    customers[49] = replace(customers[49], flags=frozenset({"life_support"}))
    customers[55] = replace(customers[55], flags=frozenset({"elderly"}))
    customers[60] = replace(customers[60], name="市第一医院", category="hospital")
    return Network(
        feeders=(Feeder("F12", "城东线", "城东变"),),
        sections=(Section("S1", "F12", switch="K1"), Section("S2", "F12", "S1", "K2")),
        transformers=tuple(
            Transformer(area, "F12", section, name, 400, 220, team="crew-1", manager="李台区")
            for area, name, section, _ in AREAS
        ),
        usage_points=tuple(points),
        devices=tuple(devices),
        customers=tuple(customers),
        teams=(Team("crew-1", "抢修一班"), Team("crew-2", "抢修二班")),
    )


NEUTRAL = Evidence(
    "Phase voltages move apart in step with load: the neutral's resistance is 0.31 Ω and rises, "
    "while the transformer's own voltages stay level.",
    "三相电压随负荷此升彼降：中性线电阻已达 0.31 Ω 并持续增大，而配变出口电压平稳。",
    {"neutral_ohm": 0.3127, "spread_v": 21.4, "meters_high": 13, "meters_low": 9},
    0.12,
    (NOW - 5 * HOUR, NOW - 3 * HOUR),
    ("M-T3-014", "M-T3-020"),
    ("unbalance: currents are level",),
    "Measure the neutral joint at the transformer's low-voltage terminal.",
    "现场测量配变低压侧中性线接头。",
)
OUTAGE = Evidence(
    "41 of 48 meters sent a last gasp within 20 s and none has been heard since.",
    "48 块电表中 41 块在 20 秒内发出停电告警，此后均无数据。",
    {"last_gasps": 41, "silent": 48, "log_odds": 37.2},
    3.0,
    (NOW - 12 * MINUTE, NOW - 11 * MINUTE),
)
METER = Evidence(
    "The clock of the meter jumps back by an hour every day.",
    "电表时钟每天回拨一小时。",
    {"jumps": 4},
    1.0,
    (NOW - 4 * DAY, NOW - HOUR),
)


def raised(
    fault: str,
    kind: str,
    asset: str,
    at: int,
    evidence: Evidence,
    devices: tuple[str, ...] = (),
    score: float = 1.6,
    horizon_h: float | None = None,
) -> AlertEvent:
    """The first event of an alert."""
    finding = Finding(
        fault, fault, kind, asset, at, at + 30_000_000, score, FAULTS[fault].severity, devices,
        evidence, horizon_h=horizon_h,
    )  # fmt: skip
    id_ = alert_id(fault, fault, kind, asset, at)
    return AlertEvent(event_id(id_, "raised", at), id_, "raised", finding, at)


def story() -> list[AlertEvent]:
    """What the detectors have found so far."""
    t3 = tuple(f"M-T3-{n:03d}" for n in range(8, 30))
    t7 = tuple(f"M-T7-{n:03d}" for n in range(1, 42))
    return [
        raised("neutral_loose", "transformer", "T3", NOW - 3 * HOUR, NEUTRAL, t3, 2.6, 30.0),
        raised("meter_health", "device", "M-T5-007", NOW - 2 * HOUR, METER, ("M-T5-007",), 1.1),
        raised("outage", "transformer", "T7", NOW - 11 * MINUTE, OUTAGE, t7, 12.4),
    ]


class LiveMemory(MemoryLedger):
    """The ledger in memory, with somebody to wake when something has happened."""

    def __init__(self, realm: str = "live") -> None:
        super().__init__(realm)
        self.changed = threading.Condition()
        self.broken: Exception | None = None

    @contextmanager
    def transaction(self, advance: Advance | None = None) -> Iterator[Any]:
        with super().transaction(advance) as tx:
            yield tx
        with self.changed:
            self.changed.notify_all()

    def wait_outbox(self, after: int, timeout_s: float) -> list[OutboxMessage]:
        def news() -> list[OutboxMessage]:
            if self.broken:
                raise self.broken
            with self.reading() as r:
                return r.outbox(after)

        with self.changed:
            self.changed.wait_for(lambda: bool(news()), timeout_s)
            return news()


@dataclass
class Person:
    """A person of the fake register; mutable, so that a test may disable it."""

    id: int
    login: str
    display_name: str
    role: str
    account: str | None = None
    active: bool = True
    password_hash: str | None = None
    team: str | None = None


class FakePeople:
    """People, sessions and links in dictionaries; the real ones are tested with the database."""

    def __init__(self) -> None:
        names = {
            "operator": "王值班", "clerk": "李柜员", "dispatcher": "赵调度",
            "engineer": "钱工", "admin": "管理员", "read_only": "参观", "supervisor": "孙班长",
        }  # fmt: skip
        self.people = [Person(i, role, name, role) for i, (role, name) in enumerate(names.items())]
        self.people.append(Person(99, "c-1", "客户", "customer", "330720002"))
        self.people.append(Person(98, "crew", "李师傅", "crew", team="crew-1"))
        self.made = 0
        self.sessions: dict[str, Person] = {}
        self.links: dict[str, tuple[Person, int | None]] = {
            f"link-{p.login}": (p, None) for p in self.people
        }
        self.audited: list[tuple[str, str, str]] = []

    def customer(self, login: str, account: str) -> None:
        """A customer with a link of their own."""
        person = Person(200 + len(self.people), login, account, "customer", account)
        self.people.append(person)
        self.links[f"link-{login}"] = (person, None)

    def find(self, login: str) -> Person | None:
        return next((p for p in self.people if p.login == login), None)

    def list(self) -> Sequence[PersonView]:
        return self.people

    def open_session(self, person_id: int, lifetime_s: float, *, user_agent: str = "") -> str:
        self.made += 1
        token = f"session-{self.made}-{person_id}"
        self.sessions[token] = next(p for p in self.people if p.id == person_id)
        return token

    def session(self, token: str) -> Person | None:
        return self.sessions.get(token)

    def session_roles(self, tokens: Sequence[str]) -> Mapping[str, str]:
        known = {t: self.sessions[t] for t in tokens if t in self.sessions}
        return {t: p.role for t, p in known.items() if p.active}

    def close_session(self, token: str) -> None:
        self.sessions.pop(token, None)

    def use_link(self, token: str) -> Person | None:
        person, uses = self.links.get(token, (None, 0))
        if person is None or uses == 0:
            return None
        self.links[token] = (person, None if uses is None else uses - 1)
        return person

    def bearer(self, token: str) -> Person | None:
        return self.find(token.removeprefix("bearer-")) if token.startswith("bearer-") else None

    def create(
        self, login: str, display_name: str, role: str, *, team: str | None = None
    ) -> Person:
        if self.find(login) or not login or (role == "crew") != (team is not None):
            raise BadInput(f"the login '{login}' is taken", fix="choose another")
        made = Person(300 + len(self.people), login, display_name, role, team=team)
        self.people.append(made)
        return made

    def change(
        self, login: str, *, display_name: str | None = None, role: str | None = None
    ) -> Person:
        person = self.find(login)
        assert person is not None
        person.display_name, person.role = display_name or person.display_name, role or person.role
        return person

    def disable(self, login: str) -> Person:
        person = self.change(login)
        person.active = False
        self.sessions = {t: p for t, p in self.sessions.items() if p is not person}
        return person

    def enable(self, login: str) -> Person:
        person = self.change(login)
        person.active = True
        return person

    def sign_in_link(self, person_id: int, lifetime_s: float, uses: int | None = None) -> str:
        self.made += 1
        person = next(p for p in self.people if p.id == person_id)
        self.links[f"made-{self.made}"] = (person, uses)
        return f"made-{self.made}"

    def audit_entries(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditEntry]:
        entries = [
            AuditEntry(n, NOW + n, actor, action, subject, {"n": n})
            for n, (actor, action, subject) in enumerate(self.audited, 1)
            if before is None or n < before
        ]
        return entries[::-1][:limit]

    def set_password(self, login: str, password_hash: str) -> Person:
        person = self.find(login)
        assert person is not None
        person.password_hash = password_hash
        self.sessions = {t: p for t, p in self.sessions.items() if p is not person}
        return person

    def audit(
        self, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        self.audited.append((actor, action, subject))


class FakeReadings:
    """Readings out of a formula: voltages with a daily load, T3's neutral growing loose."""

    def __init__(self, grid: Network, clock: "StandingClock") -> None:
        self.grid, self.clock = grid, clock
        self.is_well = True
        self.overdue = [Silent(f"M-T7-{n:03d}", NOW - 20 * MINUTE, 1830.0) for n in range(1, 49)]
        self.overdue.append(Silent("M-T5-007", None, 1830.0))

    def series(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int, max_points: int
    ) -> Series:
        step = max(60_000_000, -(-(end_us - start_us) // max_points) // MINUTE * MINUTE)
        first = -(-start_us // step) * step
        time = np.arange(first, end_us, step, dtype=np.int64)
        values = {q: self._values(device, q, time) for q in quantities}
        known = {q: v for q, v in values.items() if v is not None}
        return Series(time, step / 1e6, {q: (v, v, v) for q, v in known.items()})

    def _values(self, device: str, q: str, time: Any) -> Any:
        if device.endswith("monitor") and q == "v_n":
            return None
        seed = sum(map(ord, device + q))
        hours = (time % DAY) / HOUR + 8
        noise = np.sin(time / 7.3e8 + seed) * 0.8 + np.sin(time / 1.9e8 + 2 * seed) * 0.5
        evening = 1.2 + np.exp(-(((hours % 24 - 19) / 2.5) ** 2))
        shift = np.zeros(time.size)
        if "T3" in device and not device.endswith("monitor"):
            grown = np.clip((time - (NOW - 20 * HOUR)) / (18 * HOUR), 0, 1)
            shift = grown * evening * (9 if seed % 2 else -11)
        if q.startswith("v_"):
            made = 229 - 3 * evening + noise + shift + (seed % 5) * 0.4
        elif q.startswith("i_"):
            made = 6 * evening + noise
        elif q == "p":
            made = 1400 * evening + 90 * noise
        elif q == "t_oil" and device.endswith("monitor"):
            made = 48 + 9 * evening + noise
        else:
            return None
        if "T7" in device:
            made = np.where(time > NOW - 11 * MINUTE, math.nan, made)
        return made.astype(np.float32)

    def health(self) -> FleetHealth:
        fresh = 196 - len(self.overdue)
        return FleetHealth(196, fresh, self.clock.now_us() - 4_000_000, 4.0, None)

    def silent(self) -> Sequence[Silent]:
        return self.overdue

    def last_seen(self, device: str) -> int | None:
        return NOW - 4_000_000 if device in self.grid.device_index else None

    def gaps(self, limit: int) -> Sequence[Gap]:
        return [Gap(1, "M-T1-004", NOW - 5 * HOUR, NOW - 4 * HOUR, "sequence", 3, 1, NOW, None)]

    def refused(self, limit: int) -> Sequence[QuarantineRow]:
        payload = b'{"t": "yesterday", "v_a": "<b>231</b>"}'
        return [
            QuarantineRow(
                1, "ab", "mqtt", "time cannot be read", "M-T1-009", payload, NOW - HOUR, 4
            )
        ]

    def positions(self) -> Mapping[str, JournalPosition]:
        now_us = self.clock.now_us()
        return {
            "historian": JournalPosition("j", 90_210, now_us),
            "watch": JournalPosition("j", 90_188, now_us - MINUTE),
        }

    def well(self) -> bool:
        return self.is_well


class StandingClock:
    """Site time that stands where the test puts it."""

    def __init__(self, now_us: int = NOW) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def real_seconds_until(self, site_us: int) -> float:
        return max(0.0, (site_us - self.us) / 1e6)


class FakeSupply:
    """What meters told last: those of T7 a last gasp, all others a healthy reading; `own` says
    otherwise of some."""

    def __init__(self) -> None:
        self.own: dict[str, LastSeen] = {}

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        gasp = LastSeen(NOW - 20 * MINUTE, 228.0, lost_us=NOW - 12 * MINUTE)
        well = LastSeen(NOW - 40_000_000, 229.0)
        return {d: self.own.get(d, gasp if "T7" in d else well) for d in devices}

    def switches(self, devices: Sequence[str]) -> Mapping[str, SwitchState]:
        return {}

    def last_seen_at(self, devices: Sequence[str], at_us: int) -> Mapping[str, LastSeen]:
        return self.last_seen(devices)

    def power_words(self, devices: Sequence[str], since_us: int) -> Mapping[str, LastSeen]:
        gasped = [f"M-T7-{n:03d}" for n in range(1, 42)]
        return self.last_seen([*devices, *gasped])


class FakePhotos:
    """Photos in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[int, dict[str, tuple[Photo, bytes]]] = {}

    def add(self, ticket_id: int, image: bytes, taken_by: str, taken_us: int) -> str | None:
        kept = self.kept.setdefault(ticket_id, {})
        digest = hashlib.sha256(image).hexdigest()
        if len(kept) < PHOTOS_MAX:
            kept.setdefault(digest, (Photo(digest, taken_by, taken_us), image))
        return digest if digest in kept else None

    def list(self, ticket_id: int) -> Sequence[Photo]:
        return [photo for photo, _ in self.kept.get(ticket_id, {}).values()]

    def image(self, ticket_id: int, digest: str) -> bytes | None:
        found = self.kept.get(ticket_id, {}).get(digest)
        return found[1] if found else None


class World:
    """Everything `create_app` needs, with its parts in reach."""

    def __init__(self, *, told: bool = True, **settings: Any) -> None:
        self.network = network()
        self.clock = StandingClock()
        self.ledger = LiveMemory()
        self.people = FakePeople()
        self.readings = FakeReadings(self.network, self.clock)
        self.supply = FakeSupply()
        self.photos = FakePhotos()
        self.extra = settings
        if told:
            self.happen(*story())

    def happen(self, *events: AlertEvent) -> None:
        """Let the detectors find something."""
        apply_events(events, self.ledger, self.network)

    def power_back(self) -> None:
        """The meters of T7 have power again since a minute; nobody has reported any work."""
        with self.ledger.reading() as r:
            (outage,) = (a for a in r.alerts(fault="outage", open_only=True))
            finding = r.events(outage.id)[0].finding
        ended_us = NOW - MINUTE
        over = replace(finding, tick_us=ended_us, score=0.0)
        id_ = event_id(outage.id, "cleared", ended_us)
        self.happen(AlertEvent(id_, outage.id, "cleared", over, outage.raised_us))

    def ledger_tickets(self) -> Sequence[Any]:
        """All tickets that are open."""
        with self.ledger.reading() as r:
            return r.tickets()

    @property
    def settings(self) -> WebSettings:
        given: dict[str, Any] = {
            "site_name": "西湖供电所",
            "heartbeat_s": 1.0,
            "secret": b"a secret of the tests",
            "photos": self.photos,
            "configuration": lambda: CONFIGURATION,
            **self.extra,
        }
        return WebSettings(
            self.ledger, self.network, self.clock, self.people, self.readings, self.supply, **given
        )
