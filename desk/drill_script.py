"""What happens in a drill: a fault on the site's own network, what meters tell, who calls.

A script is a pure function of network, kind and seed, so a drill can be repeated, continued after
a restart and scored against what it knows to be true.
"""

import random
from dataclasses import dataclass, replace
from typing import Final, Literal

from alerts.episodes import alert_id, event_id
from alerts.errors import MissingDetail
from alerts.places import Asset, places_of
from alerts.settings import HOUR_US, MINUTE_US
from grid.faults import FAULTS
from grid.network import Network
from grid.records import AlertEvent, Contact, Evidence, Finding, Verdict

Scene = Literal["outage", "neutral", "joint", "false_alarm", "storm"]

SCENES: Final[dict[Scene, tuple[str, str]]] = {
    "outage": ("An area loses supply; some meters stay silent", "台区停电，部分表计失联"),
    "neutral": ("A neutral grows loose, then breaks", "零线虚接发展为断线"),
    "joint": ("A joint heats up on a branch", "分支接头过热"),
    "false_alarm": ("An alarm with nothing behind it", "误报一例"),
    "storm": ("A storm: many faults at once", "恶劣天气多点故障"),
}
STORM_AREAS: Final = 6
CALLERS: Final = 5
_SEEN: Final[dict[str, tuple[str, str]]] = {
    "outage": (
        "Last gasps from most meters of the area, nothing since.",
        "台区多数表计上报停电，此后无数据。",
    ),
    "neutral_loose": (
        "Phase voltages move apart in step with load.",
        "三相电压随负荷此升彼降。",
    ),
    "neutral_broken": (
        "Phase voltages far apart: one high, others low.",
        "三相电压严重偏移，一相偏高、其余偏低。",
    ),
    "joint_resistance": (
        "Voltage falls with current on this branch only.",
        "仅该分支电压随电流下降。",
    ),
}


@dataclass(frozen=True, slots=True)
class Truth:
    """What is really wrong: where, since when, and which verdicts are right.

    Nobody who plays the drill sees it before it has ended."""

    fault: str
    asset: Asset
    at_us: int
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """One drill, from `start_us` on."""

    scene: Scene
    seed: int
    start_us: int
    events: tuple[AlertEvent, ...]
    contacts: tuple[Contact, ...]
    truths: tuple[Truth, ...]

    @property
    def end_us(self) -> int:
        """When the last thing of the script happens."""
        times = [e.finding.known_us for e in self.events]
        return max([*times, *(c.time_us for c in self.contacts)], default=self.start_us)


def write_script(network: Network, scene: Scene, seed: int, start_us: int) -> Script:
    """The drill of a scene on this network; MissingDetail for an unknown scene or an empty grid."""
    if scene not in SCENES:
        raise MissingDetail(
            "scene", f"There is no scene '{scene}'.", f"没有“{scene}”这个演练。", tuple(SCENES)
        )
    places = places_of(network)
    areas = [t.id for t in network.transformers if places.customers(("transformer", t.id))]
    if not areas:
        raise MissingDetail(
            "network", "A drill needs an area with customers.", "台账中没有可演练的台区。"
        )
    dice = random.Random(f"{scene}:{seed}")
    return _Writer(network, dice, start_us).write(scene, seed, areas)


class _Writer:
    def __init__(self, network: Network, dice: random.Random, start_us: int) -> None:
        self.network, self.dice, self.start_us = network, dice, start_us
        self.places = places_of(network)
        self.events: list[AlertEvent] = []
        self.contacts: list[Contact] = []
        self.truths: list[Truth] = []

    def write(self, scene: Scene, seed: int, areas: list[str]) -> Script:
        area = self.dice.choice(areas)
        at_us = self.start_us + MINUTE_US
        if scene == "outage":
            self._outage(area, at_us)
        elif scene == "neutral":
            self._neutral(area, at_us)
        elif scene == "joint":
            self._local("joint_resistance", self._branch(area), at_us, ("confirmed_precursor",))
        elif scene == "false_alarm":
            self._local("joint_resistance", self._branch(area), at_us, ("no_fault",))
        else:
            for n, one in enumerate(self.dice.sample(areas, min(STORM_AREAS, len(areas)))):
                self._outage(one, at_us + n * self.dice.randint(1, 4) * MINUTE_US)
        self.events.sort(key=lambda e: (e.finding.known_us, e.event_id))
        self.contacts.sort(key=lambda c: (c.time_us, c.external_id))
        return Script(
            scene,
            seed,
            self.start_us,
            tuple(self.events),
            tuple(self.contacts),
            tuple(self.truths),
        )

    def _branch(self, area: str) -> Asset:
        points = self.network.usage_points_within("transformer", area)
        branches = sorted({p.branch for p in points if p.branch})
        return ("branch", self.dice.choice(branches)) if branches else ("transformer", area)

    def _outage(self, area: str, at_us: int) -> None:
        here: Asset = ("transformer", area)
        self._raise("outage", here, at_us, 8.0)
        points = self.network.usage_points_within(*here)
        for point in points[:3]:
            self._raise("comms_failure", ("usage_point", point.id), at_us + 20 * MINUTE_US, 1.5)
        self._calls(here, at_us + 4 * MINUTE_US)
        self.truths.append(Truth("outage", here, at_us, ("confirmed_fault",)))

    def _neutral(self, area: str, at_us: int) -> None:
        here: Asset = ("transformer", area)
        first = self._raise("neutral_loose", here, at_us, 1.4)
        later = at_us + 30 * MINUTE_US
        grave = replace(
            first.finding, fault="neutral_broken", detector="neutral_broken", severity="P1"
        )
        self._raise(grave.fault, here, later, 3.0)
        for point in self.network.usage_points_within(*here)[:2]:
            self._raise("over_voltage", ("usage_point", point.id), later + 2 * MINUTE_US, 1.3)
        self._calls(here, later + 6 * MINUTE_US)
        self.truths.append(Truth("neutral_broken", here, at_us, ("confirmed_fault",)))

    def _local(self, fault: str, here: Asset, at_us: int, verdicts: tuple[Verdict, ...]) -> None:
        self._raise(fault, here, at_us, 1.2)
        self.truths.append(Truth(fault, here, at_us, verdicts))

    def _raise(self, fault: str, here: Asset, at_us: int, score: float) -> AlertEvent:
        rule, rule_zh = _SEEN.get(fault, ("As in a real case.", "与实际案例一致。"))
        found = Finding(
            detector=fault,
            fault=fault,
            asset_kind=here[0],
            asset=here[1],
            tick_us=at_us,
            known_us=at_us + MINUTE_US // 2,
            score=score,
            severity=FAULTS[fault].severity,
            devices=tuple(d.id for d in self.network.devices_within(*here)[:20]),
            evidence=Evidence(rule, rule_zh, {"score": score}, 1.0, (at_us - HOUR_US, at_us)),
        )
        id_ = alert_id(fault, fault, *here, at_us)
        event = AlertEvent(event_id(id_, "raised", at_us), id_, "raised", found, at_us)
        self.events.append(event)
        return event

    def _calls(self, here: Asset, from_us: int) -> None:
        people = [c.account for c in self.places.customers(here) if c.supply_status == "active"]
        callers = self.dice.sample(people, min(CALLERS, len(people)))
        for n, account in enumerate(callers):
            wait_us = self.dice.randint(1, 5) * MINUTE_US
            self.contacts.append(
                Contact(
                    "phone",
                    f"drill:{self.start_us}:{here[1]}:{n}",
                    from_us + n * wait_us,
                    account=account,
                    text="家里没电了" if n % 2 == 0 else "灯忽明忽暗，家里电压不正常",
                )
            )
