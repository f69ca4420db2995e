"""What has made a text to customers wrong since it was drafted: a pure function of how things are.

A text waits for a person's word, and meanwhile the world goes on. Nobody is told of an outage
whose meters have power again, nor of a return to which the next loss has put an end, nor a place
or a time that has been corrected.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.notice_words import in_words, local, told_facts, told_places
from alerts.states import STATES
from grid.network import Network
from grid.records import Alert, Incident, Ticket, TicketState
from storage.desk_records import Draft

# The work is done, or there is none: no text about an outage is true any longer.
OVER: Final[tuple[TicketState, ...]] = (
    "restored",
    "verified",
    "callback",
    "closed",
    "cancelled",
    "merged",
)
_GONE_OUT: Final[tuple[TicketState, ...]] = ("dispatched", "assigned", "accepted", "on_hold")


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Why a text is no longer right, in both languages: a whole sentence."""

    text: str
    text_zh: str


def power_back_us(alerts: Iterable[Alert]) -> int | None:
    """When the last of an incident's outages ended by the readings; None while one lasts, or if no
    reading has told of one."""
    ends = [a.cleared_us for a in alerts if a.fault == "outage"]
    known = [e for e in ends if e is not None]
    return max(known) if known and len(known) == len(ends) else None


@dataclass(frozen=True, slots=True)
class Known:
    """An outage as it is known now.

    alerts : all of the incident; merged : outages that people have merged into its ticket
    """

    incident: Incident
    ticket: Ticket
    alerts: Sequence[Alert]
    merged: Sequence[Ticket] = ()


def overtaken(
    draft: Draft,
    network: Network,
    now: Known,
    time_zone: str,
    change_min_us: int,
    said: Sequence[tuple[str, str]] | None = None,
) -> Overtaken | None:
    """What has changed since; None while the text is right.

    `change_min_us` : a smaller shift of the estimate is not told; `said` : the places that an
    approved text was about, as a person may have put them in other words
    """
    ticket, back_us = now.ticket, power_back_us(now.alerts)
    if draft.trigger == "power_restored":
        if back_us is None and ticket.state not in OVER:
            return Overtaken("The supply has failed again.", "该处再次停电。")
        return _elsewhere(draft, network, now, said)
    if back_us is not None:
        at = f"{local(back_us, time_zone):%H:%M}"
        return Overtaken(
            f"By the readings the supply has been back since {at}.",
            f"用电数据显示{at}起已恢复供电。",
        )
    if ticket.state in OVER:
        state = STATES[ticket.state]
        return Overtaken(
            f"The state of ticket {ticket.number} is now: {state.name}.",
            f"工单{ticket.number}已为“{state.name_zh}”。",
        )
    if draft.trigger == "inform_dispatched" and ticket.state not in _GONE_OUT:
        state = STATES[ticket.state]
        return Overtaken(
            f"No crew is on its way: the state of the ticket is now {state.name}.",
            f"抢修人员已不在途中，工单已为“{state.name_zh}”。",
        )
    if draft.trigger in ("initial_etr", "etr_change"):
        until_us = ticket.estimated_latest_us or ticket.estimated_restoration_us
        if until_us is None or abs(until_us - until_of(draft)) >= change_min_us:
            facts, facts_zh = told_facts(network, now.incident, ticket, time_zone)
            until, until_zh = facts.get("until", "not known"), facts_zh.get("until", "尚未确定")
            return Overtaken(
                f"The estimate has changed; it is now: {until}.",
                f"预计恢复时间已变更，现为{until_zh}。",
            )
    return _elsewhere(draft, network, now, said)


def until_of(draft: Draft) -> int:
    """The estimate that a text was drafted for; what follows `~` tells apart that it was drafted
    again."""
    return int(draft.milestone.partition("~")[0])


def _elsewhere(
    draft: Draft, network: Network, now: Known, said: Sequence[tuple[str, str]] | None
) -> Overtaken | None:
    names = told_places(network, now.incident, now.merged)
    place, place_zh = in_words(names)
    if draft.state == "draft":
        # Every English text begins with the place: one name may be a part of another.
        right = draft.text.startswith(f"{place}:") and place_zh in draft.text_zh
    else:  # a place that was merged in since takes nothing from what was said of the first
        right = said is None or set(said) <= set(names)
    if right:
        return None
    if now.merged:
        return Overtaken(
            f"The places without supply are now: {place}.", f"停电范围现为{place_zh}。"
        )
    return Overtaken(
        f"The fault is located elsewhere now: {place}.", f"故障定位已变更为{place_zh}。"
    )
