"""One line after another: what the machine saw, what customers said, what people did."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from alerts.states import action_name, state_name
from grid.faults import FAULTS
from grid.network import AssetKind
from grid.records import Alert, Channel, Contact, ContactKind
from storage.desk_records import Move, Step

CHANNEL_NAMES: Final[dict[Channel, tuple[str, str]]] = {
    "phone": ("phone", "电话"),
    "counter": ("counter", "营业厅"),
    "web": ("web", "网站"),
    "app": ("app", "手机"),
    "import": ("import", "导入"),
}
CONTACT_NAMES: Final[dict[ContactKind, tuple[str, str]]] = {
    "fault": ("reported a fault", "故障报修"),
    "enquiry": ("asked", "咨询"),
    "complaint": ("complained", "投诉"),
    "opinion": ("gave an opinion", "意见"),
    "application": ("applied", "业务申请"),
}
ASSET_NAMES: Final[dict[AssetKind, tuple[str, str]]] = {
    "feeder": ("feeder", "线路"),
    "section": ("section", "线段"),
    "transformer": ("transformer", "配变"),
    "branch": ("branch", "分支"),
    "usage_point": ("usage point", "用电点"),
    "device": ("device", "终端"),
}


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a ticket's history, in both languages."""

    at_us: int
    kind: Literal["step", "contact", "alert", "move"]
    actor: str
    text: str
    text_zh: str
    reason: str = ""


def timeline(
    steps: Iterable[Step],
    contacts: Iterable[Contact] = (),
    alerts: Iterable[Alert] = (),
    moves: Iterable[Move] = (),
) -> list[TimelineEntry]:
    """All of it in order of time; at one moment the machine's words come first."""
    entries = [
        *(e for a in alerts for e in _alert(a)),
        *(_move(m) for m in moves),
        *(_contact(c) for c in contacts),
        *(_step(s) for s in steps),
    ]
    order = ("alert", "move", "contact", "step")
    return sorted(entries, key=lambda e: (e.at_us, order.index(e.kind)))


def _step(s: Step) -> TimelineEntry:
    name, name_zh = action_name(s.action)
    if s.from_state != s.to_state:
        state, state_zh = state_name(s.to_state)
        name, name_zh = f"{name} → {state}", f"{name_zh} → {state_zh}"
    return TimelineEntry(s.at_us, "step", s.actor, name, name_zh, s.reason)


def _contact(c: Contact) -> TimelineEntry:
    channel, kind = CHANNEL_NAMES[c.channel], CONTACT_NAMES[c.kind]
    who = c.account or c.phone[-4:] or "-"
    text = f"account {who} {kind[0]} ({channel[0]})"
    return TimelineEntry(
        c.time_us, "contact", who, text, f"户号{who}{kind[1]}（{channel[1]}）", c.text
    )


def _alert(a: Alert) -> list[TimelineEntry]:
    fault = FAULTS[a.fault]
    asset, asset_zh = ASSET_NAMES.get(a.asset_kind, (a.asset_kind, a.asset_kind))  # type: ignore[call-overload]
    raised = TimelineEntry(
        a.known_us,
        "alert",
        a.detector,
        f"{fault.name} found at {asset} {a.asset}",
        f"发现{asset_zh}{a.asset}{fault.name_zh}",
        a.evidence.rule,
    )
    if a.cleared_us is None:
        return [raised]
    ended = TimelineEntry(
        a.cleared_us,
        "alert",
        a.detector,
        f"{fault.name} at {asset} {a.asset} has ended",
        f"{asset_zh}{a.asset}{fault.name_zh}已消除",
    )
    return [raised, ended]


def _move(m: Move) -> TimelineEntry:
    return TimelineEntry(
        m.at_us,
        "move",
        "system",
        f"located at {m.to_kind} {m.to_asset} instead of {m.from_kind} {m.from_asset}",
        f"定位由{m.from_asset}改为{m.to_asset}",
        m.reason,
    )
