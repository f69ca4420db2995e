"""Which fault kinds the data of an area can show, and why not the others.

Receives facts about an area (who reports what, how often); hands on one judgement a kind of the
catalogue. Pure: whoever reads the data counts. The needs are those of the detectors here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from detectors.catalogue import FAMILIES
from detectors.outage import OutageDetector
from detectors.settings import DetectorSettings
from grid.faults import FAULTS

Seen = Literal["yes", "partly", "no"]

LEAST_SHARE: Final = 0.7  # of the meters, where a sum over them stands for the transformer
SOME_SHARE: Final = 0.1
BALANCE_SHARE: Final = 0.9  # of the meters, where what they lack is read as a loss
MIRROR_METERS: Final = 4  # of unknown phase, two of which must rise and two fall
INDICATIVE_S: Final = 900.0  # rules of voltage quality ask for 10-minute values


@dataclass(frozen=True, slots=True)
class AreaFacts:
    """What one transformer's area has and reports.

    Attributes
    ----------
    meters, heard : meters on record, and those of them that reported
    single_known, single_unknown : single-phase meters with and without a phase
    three_phase : three-phase meters
    monitor, rated : whether a monitor reported and the rating is on record
    interval_s, delivery_s : usual interval of the readings, and how far apart deliveries are
    meter_share : quantity to the share of heard meters that report it
    monitor_has : quantities that the monitor reports
    events : event to how many came, at the whole site
    """

    area: str
    meters: int
    heard: int
    single_known: int = 0
    single_unknown: int = 0
    three_phase: int = 0
    monitor: bool = False
    rated: bool = False
    interval_s: float | None = None
    delivery_s: float = 0.0
    meter_share: Mapping[str, float] = field(default_factory=dict)
    monitor_has: frozenset[str] = frozenset()
    events: Mapping[str, int] = field(default_factory=dict)

    def share(self, *names: str) -> float:
        """Largest share of meters that report one of these quantities."""
        return max((self.meter_share.get(n, 0.0) for n in names), default=0.0)

    def monitor_all(self, stem: str) -> bool:
        """Whether the monitor reports a quantity of all three phases."""
        return {f"{stem}_{c}" for c in "abc"} <= self.monitor_has


@dataclass(frozen=True, slots=True)
class Observable:
    """One kind: can it be seen here, and if not (or not fully), why; both languages."""

    fault: str
    seen: Seen
    why: str = ""
    why_zh: str = ""


def detected_kinds() -> frozenset[str]:
    """Kinds for which a detector runs."""
    return frozenset(OutageDetector.faults).union(*(f.faults for f in FAMILIES))


def observable(a: AreaFacts, settings: DetectorSettings) -> tuple[Observable, ...]:
    """Every kind of the catalogue, in its order, except `unknown`."""
    running = detected_kinds()
    out = []
    for kind in FAULTS:
        if kind == "unknown":
            continue
        if kind not in running:
            out.append(Observable(kind, "no", "no detector of this kind runs", "尚无此类检测"))
        elif not a.heard and not a.monitor:
            out.append(Observable(kind, "no", "no device of the area reports", "台区无设备上报"))
        else:
            out.append(Observable(kind, *_NEEDS[kind](a, settings)))
    return tuple(out)


Answer = tuple[Seen, str, str]
_YES: Final[Answer] = ("yes", "", "")


def _voltage(a: AreaFacts, _: DetectorSettings) -> Answer:
    if not a.share("v_a") and "v_a" not in a.monitor_has:
        return "no", "no voltages are reported", "无电压数据"
    if (a.interval_s or 0.0) > INDICATIVE_S:
        return (
            "partly",
            f"values every {a.interval_s:.0f} s are indicative only: the rules ask for 10 minutes",
            f"采集间隔 {a.interval_s:.0f} 秒，标准要求 10 分钟，仅供参考",
        )
    return _YES


def _phases(a: AreaFacts) -> bool:
    return a.monitor_all("v") or a.three_phase > 0 or a.single_known >= 3


def _phaseless(a: AreaFacts) -> bool:
    """Whether a monitor's three phases are known and nobody's below it."""
    return a.monitor_all("v") and a.three_phase == 0 and a.single_unknown > 2 * a.single_known


def _neutral(a: AreaFacts, _: DetectorSettings) -> Answer:
    if _phaseless(a):
        return _by_mirror(a, loose=False)
    if not a.share("v_a") and not a.monitor_all("v"):
        return "no", "no voltages are reported", "无电压数据"
    if not _phases(a):
        return (
            "no",
            "voltages of two phases or more are needed: no monitor or three-phase meter reports "
            "and the phase of the meters is not on record",
            "无监测终端或三相表，且户表相别未知，无法比较各相电压",
        )
    return _YES


def _by_mirror(a: AreaFacts, loose: bool) -> Answer:
    """Where no meter's phase is known: some meters rise while others fall."""
    if a.single_unknown < MIRROR_METERS:
        return (
            "partly",
            "the transformer's own neutral only: the phases of the meters are not known, and too "
            "few of them report to show that some rise while others fall",
            "户表相别未知且数量过少，仅能发现配变处的中性线故障",
        )
    if loose and not a.monitor_all("i"):
        return (
            "partly",
            "the transformer's own neutral only: the phases of the meters are not known, and the "
            "monitor does not tell the currents of its phases",
            "户表相别未知且监测终端无分相电流，仅能发现配变处的中性线松动",
        )
    return (
        "partly",
        "the phases of the meters are not known: a neutral is told where some meters rise while "
        "others fall, from about 1 V on, and on one branch of several only if it moves much",
        "户表相别未知：凭部分户表升高、部分降低判断，约 1 V 起可发现；仅一条支线时需位移较大",
    )


def _loosening(a: AreaFacts, s: DetectorSettings) -> Answer:
    if _phaseless(a):
        return _by_mirror(a, loose=True)
    seen, why, zh = _neutral(a, s)
    if seen != "yes":
        return seen, why, zh
    if a.share("i_a", "p", "p_a") < SOME_SHARE:
        return (
            "partly",
            "without currents or powers only large shifts are told apart from load",
            "无电流、功率数据，仅能发现较大的中性点位移",
        )
    return _YES


def _joint(a: AreaFacts, _: DetectorSettings) -> Answer:
    if not a.share("v_a"):
        return "no", "the meters report no voltages", "户表无电压数据"
    if not a.monitor_all("v") and a.heard < 3:
        return (
            "no",
            "nothing to compare a meter with: no monitor and fewer than three meters",
            "无监测终端且户表少于三只，无可比对象",
        )
    if a.single_unknown and not a.monitor_all("v") and not a.single_known and not a.three_phase:
        return (
            "no",
            "the phase of the meters is unknown and no monitor's voltages can tell it",
            "户表相别未知，且无监测终端电压可供识别",
        )
    if a.share("i_a", "p", "p_a") < SOME_SHARE:
        return (
            "partly",
            "voltage only: a lasting shift is seen, not a resistance",
            "仅有电压：可发现持续偏移，无法求得电阻",
        )
    return _YES


def _load(a: AreaFacts) -> bool:
    from_monitor = a.monitor_all("i") or a.monitor_all("p") or "p" in a.monitor_has
    return from_monitor or a.share("p", "i_a", "p_a") >= LEAST_SHARE


def _overload(a: AreaFacts, _: DetectorSettings) -> Answer:
    if not a.rated:
        return "no", "rated_kva is not on record", "档案无额定容量"
    if not _load(a):
        return (
            "no",
            "the load is not known: no monitor reports it and fewer than 70 % of the meters do",
            "负荷未知：监测终端未上报，且上报的户表不足 70 %",
        )
    return _YES


def _thermal(a: AreaFacts, s: DetectorSettings) -> Answer:
    seen, why, zh = _overload(a, s)
    oil = "t_oil" in a.monitor_has
    if seen == "yes":
        if oil:
            return _YES
        return "partly", "modelled from the load: no oil temperature", "无油温，仅按负荷计算"
    if oil:
        return "partly", f"oil against limits only: {why}", f"仅按油温限值判断：{zh}"
    return "no", f"no oil temperature, and {why}", f"无油温；{zh}"


def _winding(a: AreaFacts, _: DetectorSettings) -> Answer:
    if not a.monitor_all("v"):
        return (
            "no",
            "three phase voltages of the transformer are needed from its monitor",
            "监测终端未上报配变三相电压",
        )
    return _YES


def _unbalance(a: AreaFacts, _: DetectorSettings) -> Answer:
    if a.monitor_all("i"):
        return _YES
    return "no", "no monitor reports the current of each phase", "无监测终端分相电流"


def _terminal(a: AreaFacts, _: DetectorSettings) -> Answer:
    if a.share("t_terminal") > 0 or "t_terminal" in a.monitor_has:
        return _YES
    return "no", "no device reports t_terminal", "无端子温度数据"


def _silence(a: AreaFacts, s: DetectorSettings) -> Answer:
    if a.delivery_s > s.slow_delivery_s:
        return (
            "no",
            f"data comes every {a.delivery_s / 3600:.0f} hours: silence says nothing",
            f"数据每 {a.delivery_s / 3600:.0f} 小时送达一次，静默不能说明停电",
        )
    return _YES


def _outage(a: AreaFacts, s: DetectorSettings) -> Answer:
    seen, why, zh = _silence(a, s)
    gasps = a.events.get("last_gasp", 0) + a.events.get("power_down", 0)
    if seen != "yes":
        if gasps:
            return "partly", f"by last gasps only: {why}", f"仅凭失电上报：{zh}"
        return seen, why, zh
    if not gasps:
        return (
            "partly",
            "no last gasp came: judged by silence, two intervals later and less sure",
            "未见失电上报：仅凭静默判断，晚两个周期且把握较小",
        )
    return _YES


def _lost_phase(a: AreaFacts, s: DetectorSettings) -> Answer:
    if not _phases(a):
        return "no", "the phases are not told apart", "无法区分相别"
    return _outage(a, s) if not a.monitor_all("v") else _YES


def _momentary(a: AreaFacts, _: DetectorSettings) -> Answer:
    counters = a.share("power_downs", "sags", "v_a_min") > 0
    if counters or a.events.get("power_down") or a.events.get("power_up"):
        return _YES
    return (
        "no",
        "no device reports power_downs, sags, lowest voltages or power-down events",
        "无失电计数、暂降、最低电压或失电事件",
    )


def _balance(a: AreaFacts, _: DetectorSettings) -> Answer:
    power = "p" in a.monitor_has or a.monitor_all("p")
    if not power and "e_import" not in a.monitor_has:
        return "no", "no monitor reports power or energy", "无监测终端功率或电能示值数据"
    by_power = power and a.share("p", "p_a") >= BALANCE_SHARE
    if a.heard < BALANCE_SHARE * a.meters or (not by_power and a.share("e_import") < BALANCE_SHARE):
        return (
            "no",
            f"{a.heard} of {a.meters} meters report: the balance needs power or registers of nine "
            "of ten",
            f"{a.meters} 只户表中 {a.heard} 只上报，电量平衡需九成以上户表的功率或电能示值",
        )
    if by_power:
        return _YES
    return (
        "partly",
        "by registers alone, day by day: a loss shows after two days or more",
        "仅有电能示值，按日平衡：损失持续两日以上方可发现",
    )


def _leakage(a: AreaFacts, _: DetectorSettings) -> Answer:
    if "i_residual" in a.monitor_has:
        return _YES
    return "no", "no monitor reports i_residual", "监测终端无剩余电流数据"


def _meter(a: AreaFacts, _: DetectorSettings) -> Answer:
    return _YES


_NEEDS: Final = {
    "over_voltage": _voltage,
    "under_voltage": _voltage,
    "neutral_loose": _loosening,
    "neutral_broken": _neutral,
    "joint_resistance": _joint,
    "transformer_overload": _overload,
    "transformer_thermal": _thermal,
    "transformer_winding": _winding,
    "unbalance": _unbalance,
    "hot_terminal": _terminal,
    "outage": _outage,
    "phase_loss": _lost_phase,
    "momentary": _momentary,
    "energy_loss": _balance,
    "insulation_leakage": _leakage,
    "meter_health": _meter,
    "sensor_fault": _meter,
    "comms_failure": _silence,
}
