"""A small street and hand-made truth and alerts, whose scores can be counted on fingers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from detectors.scoring import AlertLine, Exposure, Places, TruthLine
from grid.network import Customer, Device, Feeder, Network, Transformer, UsagePoint

HOUR = 3_600_000_000
DAY = 24 * HOUR
END = 30 * DAY


def street() -> Network:
    """Two transformers, each with branches B1 and B2 of two usage points with a meter."""
    points: list[UsagePoint] = []
    devices: list[Device] = []
    customers: list[Customer] = []
    for t in ("T1", "T2"):
        for b in ("B1", "B2"):
            for n in ("1", "2"):
                up = f"{t}-{b}-{n}"
                points.append(UsagePoint(up, t, f"{t}-{b}", phase="a", account=f"A-{up}"))
                devices.append(Device(f"M-{up}", usage_point=up))
                customers.append(Customer(f"A-{up}", phone=f"1{len(customers):010d}"))
    return Network(
        feeders=(Feeder("F1"),),
        transformers=(Transformer("T1", "F1"), Transformer("T2", "F1")),
        usage_points=tuple(points),
        devices=tuple(devices),
        customers=tuple(customers),
    )


PLACES = Places(street())
EXPOSURE = Exposure(0, END, {"T1": 4, "T2": 4})  # 240 meter-days


def truth(id_: str = "x", fault: str = "joint_resistance", **changes: Any) -> TruthLine:
    """A joint at T1-B1-1: onset day 10, detectable day 11, failure day 15, cleared day 16."""
    line = TruthLine(id_, fault, "usage_point", "T1-B1-1", 10 * DAY, 11 * DAY, 15 * DAY, 16 * DAY)
    return replace(line, **changes)


def alert(id_: str = "a", fault: str = "joint_resistance", **changes: Any) -> AlertLine:
    """A ticket for that joint, raised and known a day after it could be seen."""
    line = AlertLine(id_, fault, "usage_point", "T1-B1-1", "P2", 12 * DAY, 12 * DAY)
    return replace(line, **changes)


def perfect(happened: Sequence[TruthLine]) -> list[AlertLine]:
    """What an oracle would raise: each incident at its asset as soon as it can be seen."""
    return [
        AlertLine(
            f"oracle-{t.id}",
            t.fault,
            t.asset_kind,
            t.asset,
            "P2",
            t.onset_us if t.detectable_us is None else t.detectable_us,
            t.onset_us if t.detectable_us is None else t.detectable_us,
        )
        for t in happened
        if not t.benign
    ]
