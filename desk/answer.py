"""What to tell a caller: is the power on, since when, is it known, what to say, what to do.

"Your meter" is said only on evidence of the caller's own meter; what follows from others is "your
area". No sentence promises more than the ticket's estimate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

from desk.outages import Frequent
from desk.words import told_name
from grid.network import Customer, PlannedWork, UsagePoint
from grid.records import Contact, Incident, Ticket
from storage.desk_records import LastSeen, SwitchState

Supply = Literal["on", "off", "unknown"]
Script = Literal["known", "planned", "arrears", "closed", "in_home", "unclear"]
MINUTE_US: Final = 60_000_000


class SupplyEvidence(Protocol):
    """Where the newest readings come from; `storage.desk_supply.Supply` in production."""

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        """What each device told last; devices never heard of are absent."""

    def switches(self, devices: Sequence[str]) -> Mapping[str, SwitchState]:
        """What telemetry said last of each switch; those that never said anything are absent."""

    def last_seen_at(self, devices: Sequence[str], at_us: int) -> Mapping[str, LastSeen]:
        """What each device had told by a time of the past."""

    def power_words(self, devices: Sequence[str], since_us: int) -> Mapping[str, LastSeen]:
        """What these devices told last, and all others that told of power since a time; power
        events of before are left out, and so is the relay."""


class NoReadings:
    """No meters at all: every answer rests on incidents and contacts alone."""

    def last_seen(self, devices: Sequence[str]) -> Mapping[str, LastSeen]:
        return {}

    def switches(self, devices: Sequence[str]) -> Mapping[str, SwitchState]:
        return {}

    def last_seen_at(self, devices: Sequence[str], at_us: int) -> Mapping[str, LastSeen]:
        return {}

    def power_words(self, devices: Sequence[str], since_us: int) -> Mapping[str, LastSeen]:
        return {}


@dataclass(frozen=True, slots=True)
class Judged:
    """The state of supply with its reason: since when, from the own meter or from the area."""

    supply: Supply
    since_us: int | None
    seen_us: int | None
    own_meter: bool


ON_VOLTS: Final = 90.0  # less than half of the nominal voltage: nothing works
# A reading says that supply was on then; the caller speaks of now. Older than one interval (and a
# little for its way), it no longer answers the caller.
FRESH_INTERVALS: Final = 1.2
FRESH_MIN_S: Final = 120.0
FRESH_MAX_S: Final = 1200.0


def judge_supply(
    seen: Sequence[tuple[LastSeen, float]], outage: Incident | None, now_us: int
) -> Judged:
    """The state of supply from the own meters (with their interval, seconds) and a known outage.

    A last gasp newer than every reading is off; a fresh reading with voltage is on, even inside
    a known outage; silence alone is unknown, it may be the modem. A meter that has told of its
    return is not called off by the outage it returned from, however old the telling.
    """
    newest = max((s.read_us for s, _ in seen if s.read_us is not None), default=None)
    lost = max((s.lost_us for s, _ in seen if s.lost_us is not None), default=None)
    back = max((s.back_us for s, _ in seen if s.back_us is not None), default=None)
    alive = max((t for t in (newest, back) if t is not None), default=None)
    dark = [
        s
        for s, _ in seen
        if s.read_us == newest and s.volts is not None and s.volts < ON_VOLTS and newest is not None
    ]
    if lost is not None and (alive is None or lost >= alive):
        return Judged("off", lost, newest, True)
    if dark:
        return Judged("off", outage.opened_us if outage else newest, newest, True)
    fresh = any(
        s.read_us is not None and now_us - s.read_us <= _fresh_s(interval_s) * 1e6
        for s, interval_s in seen
    )
    after_start = outage is None or (alive is not None and alive > outage.opened_us)
    if fresh and after_start:
        return Judged("on", back, newest, True)
    if back is not None and after_start and now_us - back <= 60 * MINUTE_US:
        return Judged("on", back, newest, True)
    returned = outage is not None and back is not None and back > outage.opened_us
    if outage is not None and not returned:
        return Judged("off", outage.opened_us, newest, False)
    return Judged("unknown", None, newest, False)


def _fresh_s(interval_s: float) -> float:
    return min(max(interval_s * FRESH_INTERVALS, FRESH_MIN_S), FRESH_MAX_S)


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything a clerk needs in the first second of a call.

    Attributes
    ----------
    supply, since_us : on, off or unknown, and since when as far as known
    seen_us : newest reading of the customer's meters
    own_meter : the state rests on the customer's own meter
    incident, ticket : the known cause, if there is one
    script : which sentence and steps are given
    steps : what to ask and do, (English, Chinese) each
    contacts : earlier contacts of this account, newest first
    frequent : rules about frequent outages that this customer has reached or passed
    """

    customer: Customer
    usage_points: tuple[UsagePoint, ...]
    supply: Supply
    since_us: int | None
    seen_us: int | None
    own_meter: bool
    incident: Incident | None
    ticket: Ticket | None
    known_us: int | None
    estimated_us: int | None
    script: Script
    sentence: str
    sentence_zh: str
    steps: tuple[tuple[str, str], ...]
    contacts: tuple[Contact, ...] = ()
    planned: PlannedWork | None = None
    frequent: tuple[Frequent, ...] = ()

    def sentence_in(self, language: str) -> str:
        """The sentence to say, in `zh-CN` or `en`."""
        return self.sentence_zh if language.startswith("zh") else self.sentence


_STEPS: Final[dict[Script, tuple[tuple[str, str], ...]]] = {
    "known": (
        (
            "Note the call on the known ticket; open no second one.",
            "把来电挂到已知工单，不另开单。",
        ),
        ("Ask for anybody on medical devices.", "询问家中是否有人使用医疗设备。"),
    ),
    "planned": (
        ("Name the reason and the end of the announced work.", "告知计划停电的原因和结束时间。"),
    ),
    "arrears": (
        (
            "Say what is open and how it can be paid; supply returns after payment.",
            "告知欠费情况和缴费方式，缴清后恢复供电。",
        ),
        ("Open no repair ticket.", "不开抢修工单。"),
    ),
    "closed": (
        ("The account is closed: check name and address.", "该户已销户，请核对户名和地址。"),
    ),
    "in_home": (
        (
            "Have the main switch and the leakage breaker looked at.",
            "请客户查看总开关和漏电保护器。",
        ),
        (
            "Have all appliances unplugged and the breaker closed once.",
            "请客户拔下全部电器后合闸一次。",
        ),
        (
            "If it trips again, an electrician has to look at the house wiring.",
            "再次跳闸的，请联系电工检查户内线路。",
        ),
        ("If the customer sees smoke or sparks, open a ticket.", "有冒烟、火花的，立即开单。"),
    ),
    "unclear": (
        ("Ask whether the neighbours have power.", "询问邻居家是否有电。"),
        ("Ask whether the breaker at the meter has tripped.", "询问表箱开关是否跳闸。"),
        ("Take the report: the area is checked.", "登记报修，安排核查。"),
    ),
}


def steps_for(script: Script) -> tuple[tuple[str, str], ...]:
    """What to ask and do."""
    return _STEPS[script]


def day_time(time_us: int, now_us: int, zone: str) -> tuple[str, str]:
    """(English, Chinese) time, with the date when it is another day."""
    tz = ZoneInfo(zone)
    then = datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(tz)
    today = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(tz)
    hour = then.strftime("%H:%M")
    if then.date() == today.date():
        return hour, hour
    return f"{then.day} {then.strftime('%b')} {hour}", f"{then.month}月{then.day}日{hour}"


def until_words(ticket: Ticket, now_us: int, zone: str) -> tuple[str, str]:
    """The estimate of a ticket that has one: `by 14:30`, or `between 14:00 and 15:00`."""
    assert ticket.estimated_restoration_us is not None
    first, first_zh = day_time(ticket.estimated_restoration_us, now_us, zone)
    if ticket.estimated_latest_us is None:
        return f"by {first}", f"{first_zh}前"
    last, last_zh = day_time(ticket.estimated_latest_us, now_us, zone)
    return f"between {first} and {last}", f"{first_zh}至{last_zh}"


def say(
    script: Script,
    judged: Judged,
    now_us: int,
    zone: str,
    incident: Incident | None,
    ticket: Ticket | None,
    planned: PlannedWork | None,
) -> tuple[str, str]:
    """The sentence to say, in both languages."""
    if script == "arrears":
        return (
            "Your supply is switched off because of unpaid bills; it returns after payment.",
            "您的用电因欠费已停，缴清后即可恢复供电。",
        )
    if script == "closed":
        return ("This account is closed.", "该户已办理销户。")
    if script == "planned" and planned is not None:
        end, end_zh = day_time(planned.end_us, now_us, zone)
        why = planned.reason or "announced work"
        return (
            f"There is announced work in your area ({why}), planned until {end}.",
            f"您所在区域正在进行计划检修（{planned.reason or '计划工作'}），计划至{end_zh}结束。",
        )
    if script == "in_home":
        at, at_zh = day_time(judged.seen_us or now_us, now_us, zone)
        return (
            f"Your meter had power at {at}, so the trouble is probably inside the house; "
            "let us look at your switches together.",
            f"您的电能表{at_zh}供电正常，问题可能在户内，我们一起看看家里的开关。",
        )
    if script == "known" and incident is not None:
        return _known(judged, now_us, zone, incident, ticket)
    return (
        "We have no fault known in your area; I take your report and we check at once.",
        "您所在区域暂无已知故障，我为您登记并马上安排核查。",
    )


def _known(
    judged: Judged, now_us: int, zone: str, incident: Incident, ticket: Ticket | None
) -> tuple[str, str]:
    since_us = incident.known_us
    if judged.own_meter and judged.supply == "off" and judged.since_us is not None:
        since_us = judged.since_us  # the clerk reads this time beside the sentence
    known, known_zh = day_time(since_us, now_us, zone)
    if incident.incident_class == "supply":
        place, place_zh = (
            ("Your meter", "您的电能表") if judged.own_meter else ("Your area", "您所在区域")
        )
        if judged.supply == "on":
            first = f"Your area lost power at {known}; your meter has power again."
            first_zh = f"您所在区域{known_zh}起停电，您的电能表现已恢复供电。"
        elif judged.supply == "unknown":
            first = f"Your area lost power at {known} and your meter had it back since; we check."
            first_zh = f"您所在区域{known_zh}起停电，您的电能表此后恢复过供电，我们正在核查。"
        else:
            first = f"{place} has been without power since {known}; we know about it."
            first_zh = f"{place_zh}自{known_zh}起停电，我们已知悉。"
    else:
        name, name_zh = told_name(incident.fault)
        first = f"We have known of a fault in your area ({name}) since {known}."
        first_zh = f"您所在区域{known_zh}起有供电异常（{name_zh}），我们已知悉。"
        if incident.fault == "neutral_broken":  # voltages may rise by half: appliances burn
            first += " Please switch off at your main switch until it is mended."
            first_zh += "请先断开家中总开关，以免损坏电器。"
    doing, doing_zh = _doing(ticket)
    until, until_zh = "", ""
    if ticket is not None and ticket.estimated_restoration_us is not None:
        end, end_zh = until_words(ticket, now_us, zone)
        done_zh = "恢复供电" if incident.incident_class == "supply" else "处理完毕"
        until, until_zh = f" It is expected to be mended {end}.", f"预计{end_zh}{done_zh}。"
    return f"{first} {doing}{until}".strip(), f"{first_zh}{doing_zh}{until_zh}"


def _doing(ticket: Ticket | None) -> tuple[str, str]:
    if ticket is None:
        return "", ""
    return {
        "received": ("It is being looked at.", "正在核查。"),
        "assessing": ("It is being looked at.", "正在核查。"),
        "dispatched": ("A crew has been told.", "已通知抢修人员。"),
        "assigned": ("A crew has been told.", "已安排抢修人员。"),
        "accepted": ("A crew is on its way.", "抢修人员正在赶往现场。"),
        "on_site": ("A crew is on site.", "抢修人员已到现场。"),
        "restored": ("The work is done.", "现场已处理完毕。"),
        "verified": ("The work is done.", "现场已处理完毕。"),
        "callback": ("The work is done.", "现场已处理完毕。"),
        "on_hold": ("It is arranged for later.", "已登记，将另行安排。"),
    }.get(ticket.state, ("", ""))
