"""Customers who notice, wait, and call or walk in; some of them wrongly.

Receives what the voltage did at each usage point; hands on the rows of contacts.csv. The measure
"known before the first call" is counted from these.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulators.drive import Drive
from simulators.physics import AreaPhysics
from simulators.seeds import stream
from simulators.spec import DAY_US, CallerSpec
from simulators.town import Town, TownArea, UsagePoint
from simulators.truth import rfc3339
from simulators.weather import local_clock

TOO_HIGH_V, TOO_LOW_V = 252.0, 180.0
_SAYS = {
    "outage": (
        (
            "家里突然停电了，邻居家好像也没电。",
            "没电了，什么时候能来电？",
            "停电了，冰箱里的东西要坏了。",
        ),
        ("The power is out, the neighbours' too, I think.", "No power here. When will it be back?"),
    ),
    "high": (
        ("灯泡特别亮，还有股焦味，我怕电器烧坏。", "电视突然烧了，电压是不是不正常？"),
        ("The lights are far too bright and something smells burnt.",),
    ),
    "low": (
        ("灯很暗，空调启动不了。", "电压太低了，电饭煲都煮不熟饭。"),
        ("The lights are dim and the fridge will not start.",),
    ),
    "flicker": (("灯一闪一闪的，从刚才开始。",), ("The lights keep flickering.",)),
    "wrong": (
        ("家里跳闸了，合不上。", "插座没电，其他房间都正常。", "交了费还没复电。"),
        ("My breaker trips and will not stay in.", "One socket is dead, the rest works."),
    ),
    "arrears": (
        ("家里没电，邻居家有电，是不是线路坏了？", "交了电费怎么还没来电？"),
        ("I have no power and the neighbours have. Is the line broken?",),
    ),
    "enquiry": (
        ("想问一下上个月的电费怎么这么高。", "申请装充电桩要什么手续？"),
        ("Why is last month's bill so high?", "What do I need for a charging point?"),
    ),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One contact of a customer."""

    time_us: int
    channel: str
    account: str
    phone: str
    kind: str
    text: str


def area_calls(
    area: TownArea,
    physics: AreaPhysics,
    drive: Drive,
    spec: CallerSpec,
    zone_s: int,
    end_us: int,
    seed: int,
) -> list[Call]:
    """Calls of one area's customers; the same draws whatever the fault, by usage point."""
    calls: list[Call] = []
    for u in area.usage_points:
        rng = stream(seed, u.id, "caller")
        for what, at_us, until_us in _felt(u, physics, drive):
            delay = spec.delay_median_min * float(rng.lognormal(0.0, 0.7)) * 6e7
            share = spec.notice_share * _awake(at_us, zone_s)
            lost_interest = at_us + delay > until_us and rng.random() < 0.7
            if rng.random() < share and not lost_interest:
                first = at_us + int(delay)
                calls.append(_call(u, what, first, spec, rng))
                if what == "outage" and rng.random() < 0.2 and until_us > first + 3_600_000_000:
                    calls.append(_call(u, what, first + int(rng.uniform(4, 9) * 6e8), spec, rng))
                elif what in ("high", "low") and rng.random() < 0.3:
                    calls.append(_call(u, what, first + int(rng.uniform(2, 9) * 6e8), spec, rng))
    return [c for c in calls if c.time_us < end_us]


def stray_calls(
    town: Town, spec: CallerSpec, start_us: int, end_us: int, zone_s: int, seed: int
) -> list[Call]:
    """Calls that no fault of the network explains: in-home faults, arrears, enquiries."""
    rng = stream(seed, "town", "stray calls")
    points = [u for a in town.areas for u in a.usage_points]
    days = (end_us - start_us) / DAY_US
    calls = []
    for _ in range(int(rng.poisson(spec.wrong_per_day * days * len(points) / 200))):
        at = start_us + int(rng.uniform(0, 1) * (end_us - start_us))
        u = points[int(rng.integers(len(points)))]
        what = "wrong" if rng.random() < 0.6 else "enquiry"
        if rng.random() < _awake(at, zone_s):
            calls.append(_call(u, what, at, spec, rng))
    return calls + _in_arrears(points, spec, start_us, end_us, zone_s, seed)


def _in_arrears(
    points: list[UsagePoint], spec: CallerSpec, start_us: int, end_us: int, zone_s: int, seed: int
) -> list[Call]:
    """Customers cut off for arrears report an outage now and then, by the town's wrong calls."""
    rng = stream(seed, "town", "arrears calls")
    days = (end_us - start_us) / DAY_US
    calls = []
    for u in points:
        if u.person.supply_status == "arrears_off":
            for part in rng.random(int(rng.poisson(0.1 * spec.wrong_per_day * days))):
                at = start_us + int(part * (end_us - start_us))
                if rng.random() < _awake(at, zone_s):
                    calls.append(_call(u, "arrears", at, spec, rng))
    return calls


def _felt(u: UsagePoint, physics: AreaPhysics, drive: Drive) -> list[tuple[str, int, int]]:
    """(what, from, until) of each thing the customer could notice, a new one a quarter day."""
    times = drive.times_us
    v = physics.v[:, list(u.loads)]
    dead = ~physics.alive[:, u.service]
    high = (v > TOO_HIGH_V).any(axis=1) & ~dead
    low = (v < TOO_LOW_V).any(axis=1) & ~dead
    found: list[tuple[str, int, int]] = []
    for what, mask in (("outage", dead), ("high", high), ("low", low)):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
        last = -DAY_US
        for begin, end in edges.reshape(-1, 2).tolist():
            at = int(times[begin])
            if at - last < DAY_US // 4:
                continue
            last = at
            until = int(times[end]) if end < times.size else int(times[-1])
            if what != "outage":
                until += 3_600_000_000  # a burnt smell is worth a call an hour later
            found.append((what, at, until))
    seen = [m.time_us for k, m in enumerate(drive.moments) if physics.moment_v[k, u.loads[0]] < 120]
    if len(seen) >= 6:
        found.append(("flicker", seen[5], seen[-1] + 3_600_000_000))
    found.sort(key=lambda f: f[1])
    kept: list[tuple[str, int, int]] = []
    for item in found:
        if not kept or item[1] - kept[-1][1] > DAY_US // 8:
            kept.append(item)
    return kept


def _awake(at_us: int, zone_s: int) -> float:
    _, hour, _ = local_clock(np.array([at_us]), zone_s)
    return float(
        np.interp(
            hour[0], [0, 1, 5, 7, 9, 17, 19, 22, 24], [0.3, 0.05, 0.05, 0.7, 0.75, 0.8, 1, 1, 0.3]
        )
    )


def _call(u: UsagePoint, what: str, at_us: int, spec: CallerSpec, rng: np.random.Generator) -> Call:
    chinese, english = _SAYS[what]
    texts = english if u.person.name.isascii() else chinese
    kind = "enquiry" if what == "enquiry" else "fault"
    channel = spec.channels[int(rng.integers(len(spec.channels)))]
    account = "" if rng.random() < 0.25 else u.person.account
    text = texts[int(rng.integers(len(texts)))]
    return Call(at_us, channel, account, u.person.phone, kind, text)


def write_contacts(path: Path, calls: Iterable[Call]) -> int:
    """Write contacts.csv in the order of time; returns the number of rows."""
    ordered = sorted(calls, key=lambda c: (c.time_us, c.phone, c.text))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("time,channel,external_id,account,phone,kind,text".split(","))
        for n, c in enumerate(ordered, 1):
            row = (
                rfc3339(c.time_us),
                c.channel,
                f"SIM-{n:06d}",
                c.account,
                c.phone,
                c.kind,
                c.text,
            )
            writer.writerow(row)
    return len(ordered)
