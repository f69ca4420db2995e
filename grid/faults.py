"""The fault catalogue: what each kind is called, how grave it is, what it is mistaken for.

Limits and formulas live with the detectors; here stands what every room must agree on.
"""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["P1", "P2", "P3", "P4"]
Work = Literal["repair", "preventive", "maintenance", "inspection"]

SEVERITY_NAMES: Final[dict[str, tuple[str, str]]] = {
    "P1": ("critical", "危急"),
    "P2": ("serious", "严重"),
    "P3": ("general", "一般"),
    "P4": ("notice", "提示"),
}
WORK_NAMES: Final[dict[str, tuple[str, str]]] = {
    "repair": ("repair", "抢修"),
    "preventive": ("preventive repair", "检修"),
    "maintenance": ("maintenance", "运维"),
    "inspection": ("inspection", "稽查"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of the catalogue.

    Attributes
    ----------
    incident_class : faults of one class on one asset are one incident, hence one ticket
    severity : the usual severity; a detector may raise it with its reason
    work : kind of work its ticket asks for
    confusables : kinds that look alike; scored as found, merged into one incident
    procedure : key of the checklist for the crew and the clerk
    fast : judged after two intervals rather than a day
    """

    kind: str
    name: str
    name_zh: str
    incident_class: str
    severity: Severity
    work: Work
    procedure: str
    confusables: tuple[str, ...] = ()
    fast: bool = False


FAULTS: Final[dict[str, Fault]] = {
    f.kind: f
    for f in (
        Fault("over_voltage", "over-voltage", "电压偏高", "voltage", "P3", "preventive", "voltage"),
        Fault(
            "under_voltage", "under-voltage", "电压偏低", "voltage", "P3", "preventive", "voltage"
        ),
        Fault(
            "neutral_loose",
            "loosening neutral",
            "零线虚接",
            "neutral",
            "P2",
            "preventive",
            "neutral",
            ("neutral_broken",),
            True,
        ),
        Fault(
            "neutral_broken",
            "broken neutral",
            "零线断线",
            "neutral",
            "P1",
            "repair",
            "neutral",
            ("neutral_loose",),
            True,
        ),
        Fault(
            "joint_resistance",
            "heating joint",
            "接头过热（接触电阻增大）",
            "joint",
            "P2",
            "preventive",
            "joint",
            ("hot_terminal", "momentary"),
        ),
        Fault(
            "transformer_overload",
            "transformer overload",
            "配变过载",
            "thermal",
            "P2",
            "preventive",
            "overload",
            ("transformer_thermal",),
        ),
        Fault(
            "transformer_thermal",
            "transformer over-temperature",
            "配变油温异常",
            "thermal",
            "P2",
            "preventive",
            "thermal",
            ("transformer_overload",),
        ),
        Fault(
            "transformer_winding",
            "transformer winding fault",
            "配变绕组故障",
            "winding",
            "P2",
            "preventive",
            "winding",
        ),
        Fault(
            "unbalance",
            "load unbalance",
            "三相负荷不平衡",
            "unbalance",
            "P3",
            "preventive",
            "unbalance",
        ),
        Fault(
            "hot_terminal",
            "hot terminal",
            "接线端子过热",
            "joint",
            "P1",
            "repair",
            "joint",
            ("joint_resistance",),
        ),
        Fault(
            "outage",
            "power outage",
            "停电",
            "supply",
            "P1",
            "repair",
            "outage",
            ("phase_loss",),
            True,
        ),
        Fault(
            "phase_loss",
            "loss of a phase",
            "缺相",
            "supply",
            "P1",
            "repair",
            "phase_loss",
            ("outage",),
            True,
        ),
        Fault(
            "momentary",
            "momentary contact",
            "瞬时接触不良",
            "joint",
            "P3",
            "preventive",
            "joint",
            ("joint_resistance",),
        ),
        Fault("energy_loss", "energy loss", "线损异常", "loss", "P3", "inspection", "energy_loss"),
        Fault(
            "insulation_leakage",
            "rising leakage",
            "剩余电流增大",
            "insulation",
            "P2",
            "preventive",
            "leakage",
        ),
        Fault(
            "meter_health",
            "meter fault",
            "电能表异常",
            "meter",
            "P4",
            "maintenance",
            "meter",
            ("sensor_fault",),
        ),
        Fault(
            "sensor_fault",
            "sensor fault",
            "传感器异常",
            "meter",
            "P4",
            "maintenance",
            "meter",
            ("meter_health",),
        ),
        Fault(
            "comms_failure",
            "communication failure",
            "通信故障",
            "comms",
            "P4",
            "maintenance",
            "comms",
        ),
        Fault(
            "unknown",
            "unexplained behaviour",
            "原因不明",
            "unknown",
            "P4",
            "maintenance",
            "unknown",
        ),
    )
}

SUPPLY_FAULTS: Final = tuple(k for k, f in FAULTS.items() if f.incident_class == "supply")


def fault(kind: str) -> Fault:
    """The catalogue entry of a kind.

    >>> fault("neutral_loose").name_zh
    '零线虚接'
    """
    return FAULTS[kind]
