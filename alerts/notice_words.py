"""What customers are told of an outage, by trigger: templates, and the facts that fill them.

Triggers are those of IEC CIM (power out, initial estimate, estimate changed, dispatched, power
restored).
"""

import string
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from alerts.errors import MissingDetail
from alerts.places import names_in
from grid.network import Network
from grid.records import Incident, Ticket

Trigger = Literal["power_out", "initial_etr", "etr_change", "inform_dispatched", "power_restored"]

TRIGGER_NAMES: Final[dict[Trigger, tuple[str, str]]] = {
    "power_out": ("power out", "停电告知"),
    "initial_etr": ("first estimate", "预计恢复时间"),
    "etr_change": ("estimate changed", "恢复时间变更"),
    "inform_dispatched": ("crew dispatched", "已派抢修"),
    "power_restored": ("power restored", "恢复供电"),
}
TEMPLATES: Final[dict[Trigger, tuple[str, str]]] = {
    "power_out": (
        "{place}: the supply has failed since {start}. We know about it and are working on it; "
        "you need not report it.",
        "{place}自{start}起停电，我们已知悉并正在处理，您无需报修。",
    ),
    "initial_etr": (
        "{place}: the supply is expected to be back {until}.",
        "{place}预计{until}恢复供电。",
    ),
    "etr_change": (
        "{place}: the supply is now expected to be back {until}. We are sorry.",
        "{place}恢复供电的预计时间调整为{until}，给您带来不便，敬请谅解。",
    ),
    "inform_dispatched": (
        "{place}: a crew is on its way.",
        "抢修人员已前往{place}。",
    ),
    "power_restored": (
        "{place}: the supply is back. If yours is not, please call us.",
        "{place}已恢复供电。如您家仍无电，请来电告知。",
    ),
}

NAMED_MAX: Final = 4


def render(template: str, facts: Mapping[str, str]) -> str:
    """Fill a template; MissingDetail names the field that no fact fills."""
    wanted = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    for name in wanted:
        if not facts.get(name):
            raise MissingDetail(
                name,
                f"The notice needs '{name}', which is not known; take it out of the text.",
                f"通知模板缺少“{name}”，请修改内容。",
                tuple(facts),
            )
    return template.format(**facts)


def local(time_us: int, zone: str) -> datetime:
    """A moment in local time."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(ZoneInfo(zone))


def told_facts(
    network: Network, incident: Incident, ticket: Ticket, zone: str, merged: Sequence[Ticket] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """What the templates may say of an outage, in English and in Chinese; `merged` are the outages
    that were merged into it."""
    place, place_zh = in_words(told_places(network, incident, merged))
    start_us = incident.opened_us
    if incident.fault != "outage" and merged:  # merged into its cause: dark since it began
        start_us = min(t.opened_us for t in merged)
    start = local(start_us, zone)
    english = {"place": place, "start": f"{start:%d %b %H:%M}"}
    chinese = {"place": place_zh, "start": f"{start.month}月{start.day}日{start:%H:%M}"}
    if ticket.estimated_restoration_us is not None:
        english["until"], chinese["until"] = until_words(ticket, zone)
    return english, chinese


def dark_places(incident: Incident, merged: Sequence[Ticket]) -> list[tuple[str, str]]:
    """Where supply is lost: at the incident, unless only what was merged into it is an outage."""
    own = [(incident.asset_kind, incident.asset)] if incident.fault == "outage" else []
    return [*own, *((t.asset_kind, t.asset) for t in merged)]


def told_places(
    network: Network, incident: Incident, merged: Sequence[Ticket] = ()
) -> list[tuple[str, str]]:
    """The places of an outage by the names that people know, each once."""
    dark = dark_places(incident, merged)
    outer = [p for p in dark if not set(network.ancestors(*p)) & set(dark) - {p}]
    return list(dict.fromkeys(n for p in outer if (n := told_place(network, *p))[0]))


def in_words(names: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Places as a text says them, in English and in Chinese; a message has room for a few.

    >>> in_words([("Fenglin Street", "枫林街"), ("Apricot Lane", "杏园路")])
    ('Fenglin Street and Apricot Lane', '枫林街、杏园路')
    """
    if not names:
        return "Your area", "您所在区域"
    english, chinese = [n[0] for n in names[:NAMED_MAX]], [n[1] for n in names[:NAMED_MAX]]
    if len(names) > NAMED_MAX:
        return ", ".join(english) + " and others", "、".join(chinese) + "等处"
    last = english.pop()
    return (f"{', '.join(english)} and {last}" if english else last), "、".join(chinese)


def told_place(network: Network, kind: str, asset: str) -> tuple[str, str]:
    """A place by the name that people know, (English, Chinese), empty if it has none; never an id,
    nor what staff calls its equipment."""
    area = network.transformer_of(kind, asset)
    above = dict(network.ancestors(kind, asset))
    line = next((f for f in network.feeders if f.id == above.get("feeder")), None)
    name = area.name if area else line.name if line else ""
    english, chinese = names_in(name)
    for ours in ("配变", "公变", "专变", "台区"):
        chinese = chinese.removesuffix(ours)
    return (chinese if english == name else english), chinese


def until_words(ticket: Ticket, zone: str) -> tuple[str, str]:
    """The estimate in words: a time, or a range where both of its ends are known."""
    assert ticket.estimated_restoration_us is not None
    until = local(ticket.estimated_restoration_us, zone)
    english, chinese = f"{until:%d %b %H:%M}", f"{until.month}月{until.day}日{until:%H:%M}"
    if ticket.estimated_latest_us is None:
        return f"by {english}", f"{chinese}前"
    latest = local(ticket.estimated_latest_us, zone)
    same = latest.date() == until.date()
    end = f"{latest:%H:%M}" if same else f"{latest:%d %b %H:%M}"
    end_zh = f"{latest:%H:%M}" if same else f"{latest.month}月{latest.day}日{latest:%H:%M}"
    return f"between {english} and {end}", f"{chinese}至{end_zh}"
