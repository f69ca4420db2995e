"""What happens in a judging or tuning town: which fault where, how strong, how it grows.

Everything is drawn from the seed's generator. Ten healthy days come first; nothing here knows a
detector or a threshold.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from simulators.spec import FaultSpec

AREAS = 16
GROWTHS = ("exponential", "step", "thermal_cycling")
GROWING = (
    "neutral_loose",
    "neutral_broken",
    "joint_resistance",
    "hot_terminal",
    "transformer_winding",
    "transformer_thermal",
    "insulation_leakage",
    "energy_loss",
)
_AT_TRANSFORMER: tuple[tuple[str, ...], ...] = (
    ("over_voltage",),
    ("under_voltage",),
    ("transformer_overload",),
    ("transformer_thermal",),
    ("transformer_winding",),
    ("unbalance",),
    ("outage", "phase_loss", "neutral_broken", "comms_failure"),
)
_BELOW: tuple[str, ...] = (
    "neutral_loose",
    "neutral_broken",
    "joint_resistance",
    "joint_resistance",
    "hot_terminal",
    "outage",
    "phase_loss",
    "momentary",
    "energy_loss",
    "insulation_leakage",
    "meter_health",
    "sensor_fault",
    "comms_failure",
    "unbalance",
)
_BENIGN_BELOW = ("new_ev", "new_pv", "moved_out", "meter_exchange")


def incidents(rng: np.random.Generator, seed: int, strength: float, areas: int) -> list[FaultSpec]:
    """The incidents of a town with so many areas; `strength` scales what grows."""
    out: list[FaultSpec] = []
    for n, kinds in enumerate(_AT_TRANSFORMER[:areas], 1):
        kind = kinds[seed % len(kinds)]
        out.append(_made(kind, f"T{n}", rng, strength))
    below = [_BELOW[i] for i in rng.permutation(len(_BELOW))]
    first = len(_AT_TRANSFORMER) + 1
    for k, kind in enumerate(below):
        area = first + k // 2
        if area > areas - 2:
            break
        out.append(_made(kind, _place(kind, area, 1 + k % 2, rng), rng, strength))
    if areas >= AREAS:
        out.append(_made("tap_change", f"T{areas - 1}", rng, 1.0))
        out.append(_made("planned_outage", f"T{areas}", rng, 1.0))
        for k, kind in enumerate(_BENIGN_BELOW):
            out.append(_made(kind, f"T{areas - k % 2}-U{5 + 6 * k:03d}", rng, 1.0))
        out.append(_made("feeder_switching", "F1", rng, 1.0))
        out += [_feeder_outage(f"F{n}-S2", n, rng) for n in (1, 2)]
    return out


def _place(kind: str, area: int, branch: int, rng: np.random.Generator) -> str:
    """A branch, or a usage point of its half of the area (branches follow each other in order)."""
    at_branch = {
        # The neutral of a single-phase service carries what its phase carries: readings cannot
        # tell its joint from the phase's, so neutrals fail where three phases share them.
        "neutral_loose": 1.0,
        "neutral_broken": 1.0,
        "joint_resistance": 0.35,
        "outage": 0.7,
        "phase_loss": 1.0,
        "momentary": 0.5,
        "insulation_leakage": 1.0,
        "unbalance": 1.0,
    }.get(kind, 0.0)
    if rng.random() < at_branch:
        return f"T{area}-B{branch}"
    number = int(rng.integers(1, 7)) + (20 if branch == 2 else 0)
    letter = "M" if kind in ("meter_health", "sensor_fault", "comms_failure") else "U"
    return f"T{area}-{letter}{number:03d}"


def _one_of(letters: str, rng: np.random.Generator) -> Any:
    return letters[int(rng.integers(len(letters)))]


def _offset(days: float) -> str:
    minutes = round(days * 1440)
    return f"{minutes // 1440}d {minutes % 1440 // 60:02d}:{minutes % 60:02d}"


def _made(kind: str, asset: str, rng: np.random.Generator, strength: float) -> FaultSpec:
    onset = float(rng.uniform(10.0, 12.0))
    life = float(rng.uniform(2.5, 6.0))
    growth: Any = GROWTHS[int(rng.integers(3))]
    named: Any = kind
    id_ = f"{kind}-{asset}"
    spec = FaultSpec(
        id_,
        named,
        asset,
        _offset(onset),
        cleared=_offset(onset + life + 1.0),
        growth=growth,
    )
    shape = _SHAPES.get(kind)
    made = shape(spec, onset, life, rng) if shape else spec
    if kind in GROWING and strength != 1.0:
        made = _weaker(made, strength, life)
    return made


def _weaker(f: FaultSpec, strength: float, life: float) -> FaultSpec:
    """Grown to a part of its strength and found or mended before it fails."""
    amount = f.amount * strength
    if f.kind == "transformer_thermal":
        amount = 1.0 + (f.amount - 1.0) * strength
    end = max(f.ohm_end * strength, f.ohm_start)
    return replace(f, ohm_end=end, amount=amount, failure="")


Shape = Callable[[FaultSpec, float, float, np.random.Generator], FaultSpec]


def _contact(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    """A contact that grows; a broken neutral, a joint and a terminal fail in the end."""
    depth = f.asset.count("-") + ("-U" in f.asset)  # 0 transformer, 1 branch, 2 usage point
    neutral = f.kind.startswith("neutral")
    end = {0: 0.35, 1: 1.2, 2: 3.0}[depth] if neutral else {0: 0.08, 1: 0.3, 2: 1.2}[depth]
    failure = "" if f.kind == "neutral_loose" else _offset(onset + life)
    cleared = _offset(onset + life + float(rng.uniform(0.1, 0.3)))
    end *= float(rng.uniform(0.8, 1.4))
    return replace(f, failure=failure, cleared=cleared, ohm_start=0.02 * end, ohm_end=end)


def _hot(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    return replace(
        f,
        failure=_offset(onset + life),
        cleared=_offset(onset + life + 0.2),
        ohm_start=0.002,
        ohm_end=0.08,
    )


def _short(low_h: float, high_h: float) -> Shape:
    def shape(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
        return replace(f, cleared=_offset(onset + float(rng.uniform(low_h, high_h)) / 24.0))

    return shape


def _amount(low: float, high: float, days: float = 0.0, **more: Any) -> Shape:
    def shape(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
        amount = float(rng.uniform(low, high))
        cleared = _offset(onset + days) if days else f.cleared
        return replace(f, amount=amount, cleared=cleared, **more)

    return shape


def _winding(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    return replace(
        f,
        amount=float(rng.uniform(0.012, 0.02)),
        conductor=_one_of("abc", rng),
        failure=_offset(onset + life),
        cleared=_offset(onset + life + 0.3),
    )


def _evening(customers: int, conductor: Any = "") -> Shape:
    def shape(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
        return replace(
            f,
            customers=customers + int(rng.integers(0, 4)),
            amount=7.0,
            conductor=conductor,
            between=("18:00", "22:30"),
        )

    return shape


def _phase(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    conductor = _one_of("abc", rng)
    hours = float(rng.uniform(2.0, 6.0))
    return replace(f, conductor=conductor, cleared=_offset(onset + hours / 24.0), mode="lv")


def _meter(f: FaultSpec, onset: float, life: float, rng: np.random.Generator) -> FaultSpec:
    mode = ("stuck", "reset", "drift")[int(rng.integers(3))]
    return replace(f, mode=mode, amount=600.0 if mode == "drift" else 0.0)


_SHAPES: dict[str, Shape] = {
    "neutral_loose": _contact,
    "neutral_broken": _contact,
    "joint_resistance": _contact,
    "hot_terminal": _hot,
    "over_voltage": _amount(0.06, 0.09),
    "under_voltage": _amount(0.16, 0.20),
    "transformer_overload": _evening(26),
    "unbalance": _evening(9, "a"),
    "transformer_thermal": _amount(2.5, 3.5),
    "transformer_winding": _winding,
    "outage": _short(1.0, 4.0),
    "phase_loss": _phase,
    "momentary": _amount(2.0, 4.0),
    "energy_loss": _amount(0.6, 0.9, days=9.5),
    "insulation_leakage": _amount(1.0, 3.0),
    "meter_health": _meter,
    "sensor_fault": _amount(30.0, 60.0),
    "comms_failure": _short(12.0, 48.0),
    "planned_outage": _short(2.0, 5.0),
    "tap_change": _amount(-0.0125, 0.0125, days=9.5),
    "feeder_switching": _amount(-0.015, 0.01),
    "new_ev": _amount(6.0, 7.4, days=9.5),
    "new_pv": _amount(3.0, 6.0, days=9.5),
}


def _feeder_outage(section: str, n: int, rng: np.random.Generator) -> FaultSpec:
    at = 19.5 + 0.3 * n + float(rng.uniform(0.0, 0.1))
    hours = float(rng.uniform(1.0, 3.0))
    return FaultSpec(
        f"outage-{section}", "outage", section, _offset(at), cleared=_offset(at + hours / 24.0)
    )
