"""Notices to customers: drafted by trigger, read by a person, then sent to each once.

Triggers are those of IEC CIM (power out, initial estimate, estimate changed, dispatched, power
restored). Nobody is told of an end whose beginning they were not told of, and nobody who is still
dark is told that the light is back. Ordinary notices wait through the night.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from alerts.errors import Conflict, MissingDetail, NotFound, WrongRole
from alerts.ledger import Ledger, Reading, Transaction
from alerts.places import Places, call_rank, places_of
from alerts.roles import Actor, Role
from alerts.settings import DAY_US, MINUTE_US
from grid.clock import Clock
from grid.network import Customer, Network
from grid.records import Incident, Ticket
from storage.desk_records import Draft, HumanInput, Notice
from storage.desk_text import plain

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
# Frequent changes cost trust: a smaller shift of the estimate is not told.
CHANGE_MIN_US: Final = 30 * MINUTE_US
NIGHT: Final = (22, 7)  # local hours in which ordinary notices wait
RECENT_US: Final = 14 * DAY_US
_ROLES: Final[tuple[Role, ...]] = ("operator", "dispatcher", "engineer", "admin", "supervisor")


class UnknownDraft(NotFound):
    """No draft bears that id."""

    def __init__(self, key: object) -> None:
        super().__init__("draft notice", "通知草稿", key)


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """How customers are told; `channel` names the sender that reaches phones."""

    time_zone: str = "Asia/Shanghai"
    language: str = "zh-CN"
    channel: str = "sms"
    night: tuple[int, int] = NIGHT
    change_min_us: int = CHANGE_MIN_US


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


def after_night(now_us: int, settings: NoticeSettings) -> int:
    """When an ordinary notice may go: now, or when the night has ended."""
    begin, end = settings.night
    now = local(now_us, settings.time_zone)
    asleep = now.hour >= begin or now.hour < end if begin > end else begin <= now.hour < end
    if not asleep:
        return now_us
    morning = now.replace(hour=end, minute=0, second=0, microsecond=0)
    if morning <= now:
        morning += timedelta(days=1)
    return round(morning.timestamp() * 1e6)


# -- drafting ------------------------------------------------------------------------------------


def draft_notices(
    ledger: Ledger, network: Network, now_us: int, *, settings: NoticeSettings | None = None
) -> list[Draft]:
    """Draft what has become due for open outages and for those that have just ended.

    Drafts that events have overtaken before anybody decided (the power is back) are withdrawn.
    """
    made: list[Draft] = []
    with ledger.reading() as reading:  # nothing to do is the rule: let no writer wait for it
        dark = reading.incidents(incident_class="supply", limit=1)
        if not dark and not reading.drafts(open_only=False, since_us=now_us - RECENT_US):
            return []
    with ledger.transaction() as tx:
        known = tx.drafts(open_only=False, since_us=now_us - RECENT_US)
        by_incident: dict[int, list[Draft]] = {}
        for d in known:
            by_incident.setdefault(d.incident_id, []).append(d)
        rows = {i.id: i for i in tx.incidents(incident_class="supply", limit=100_000)}
        rows.update(tx.incidents_by_id([i for i in by_incident if i not in rows]))
        tickets = tx.tickets_by_incident(list(rows))
        for incident in rows.values():
            ticket = tickets.get(incident.id)
            if ticket is None or not incident.customers or incident.fault != "outage":
                continue
            past = by_incident.get(incident.id, [])
            made += _draft_one(tx, network, incident, ticket, past, now_us, settings)
    return made


def _draft_one(
    tx: Transaction,
    network: Network,
    incident: Incident,
    ticket: Ticket,
    past: Sequence[Draft],
    now_us: int,
    settings: NoticeSettings | None,
) -> list[Draft]:
    chosen = settings or NoticeSettings()
    over = ticket.state in ("restored", "verified", "callback", "closed", "cancelled", "merged")
    if over:
        for d in past:
            if d.state == "draft" and d.trigger != "power_restored":
                gone = replace(d, state="withdrawn", decided_by="system", decided_us=now_us)
                tx.put_draft(gone)
    people = _recipients(tx, places_of(network), incident, over)
    made = []
    for trigger, milestone in _due(ticket, past, over, chosen):
        facts = _facts(network, incident, ticket, now_us, chosen.time_zone)
        text, text_zh = (render(t, f) for t, f in zip(TEMPLATES[trigger], facts, strict=True))
        draft = tx.add_draft(
            Draft(incident.id, trigger, milestone, text, text_zh, len(people), now_us)
        )
        if draft is not None:
            made.append(draft)
            data = {"kind": "draft", "trigger": trigger, "incident_id": incident.id}
            tx.publish("notice", f"draft:{draft.id}", now_us, {**data, "work": ticket.work})
    return made


def _due(
    ticket: Ticket, past: Sequence[Draft], over: bool, settings: NoticeSettings
) -> list[tuple[Trigger, str]]:
    had = {d.trigger for d in past}
    out: list[tuple[Trigger, str]] = []
    if over:
        told = any(d.state == "approved" for d in past)
        done = ticket.state in ("verified", "callback", "closed")
        real = ticket.verdict in (None, "confirmed_fault", "confirmed_precursor")
        return [("power_restored", "")] if told and done and real else []
    if "power_out" not in had:
        out.append(("power_out", ""))
    if ticket.state in ("dispatched", "assigned", "accepted") and "inform_dispatched" not in had:
        out.append(("inform_dispatched", ""))
    until_us = ticket.estimated_latest_us or ticket.estimated_restoration_us
    if until_us is not None:
        told_us = [int(d.milestone) for d in past if d.trigger in ("initial_etr", "etr_change")]
        if not told_us:
            out.append(("initial_etr", str(until_us)))
        elif abs(until_us - told_us[-1]) >= settings.change_min_us:
            out.append(("etr_change", str(until_us)))
    return out


def _facts(
    network: Network, incident: Incident, ticket: Ticket, now_us: int, zone: str
) -> tuple[dict[str, str], dict[str, str]]:
    place, place_zh = told_place(network, incident.asset_kind, incident.asset)
    start = local(incident.opened_us, zone)
    english = {"place": place or "Your area", "start": f"{start:%d %b %H:%M}"}
    chinese = {
        "place": place_zh or "您所在区域",
        "start": f"{start.month}月{start.day}日{start:%H:%M}",
    }
    if ticket.estimated_restoration_us is not None:
        english["until"], chinese["until"] = _until(ticket, zone)
    return english, chinese


def told_place(network: Network, kind: str, asset: str) -> tuple[str, str]:
    """A place by the name that people know, (English, Chinese), empty if it has none; never an id,
    nor what staff calls its equipment."""
    area = network.transformer_of(kind, asset)
    above = dict(network.ancestors(kind, asset))
    line = next((f for f in network.feeders if f.id == above.get("feeder")), None)
    name = area.name if area else line.name if line else ""
    chinese, _, english = name.partition(
        " / "
    )  # named in both languages: `枫林街台区 / Fenglin St`
    for ours in ("配变", "公变", "专变", "台区"):
        chinese = chinese.removesuffix(ours)
    return english or chinese, chinese


def _until(ticket: Ticket, zone: str) -> tuple[str, str]:
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


def _recipients(
    reading: Reading, places: Places, incident: Incident, over: bool
) -> dict[str, Customer]:
    """Who is to be told, by account: those below the fault and those who have reported it."""
    here = (incident.asset_kind, incident.asset)
    people = {c.account: c for c in places.customers(here)}
    known = places.network.customer_by_account
    for contact in reading.contacts(incident_id=incident.id, limit=100_000):
        customer = known.get(contact.account or "")
        if customer is not None:
            people[customer.account] = customer
    if over:
        dark = {
            c.account
            for a in reading.alerts(fault="outage", open_only=True, limit=100_000)
            if a.condition != "cleared"
            for c in places.customers((a.asset_kind, a.asset))
        }
        people = {a: c for a, c in people.items() if a not in dark}
    return {account: c for account, c in people.items() if c.phone}


# -- deciding ------------------------------------------------------------------------------------


class NoticeDesk:
    """A person's word on drafts: read, correct, approve or withdraw."""

    def __init__(
        self,
        ledger: Ledger,
        network: Network,
        clock: Clock,
        settings: NoticeSettings | None = None,
    ) -> None:
        self.ledger, self.network, self.clock = ledger, network, clock
        self.settings = settings or NoticeSettings()

    def drafts(self) -> list[Draft]:
        """What waits for a word, oldest first."""
        with self.ledger.reading() as reading:
            return reading.drafts()

    def preview(self, draft_id: int) -> tuple[Draft, list[Customer]]:
        """A draft and everybody who would get it."""
        with self.ledger.reading() as reading:
            draft = reading.draft(draft_id)
            if draft is None:
                raise UnknownDraft(draft_id)
            return draft, list(self._people(reading, draft).values())

    def approve(
        self, draft_id: int, actor: Actor, *, text: str | None = None, text_zh: str | None = None
    ) -> int:
        """Send it, as it is or corrected; how many notices are on their way."""
        with self.ledger.transaction() as tx:
            draft = self._open(tx, draft_id, actor)
            now_us = self.clock.now_us()
            draft = replace(
                draft,
                text=plain(text or draft.text),
                text_zh=plain(text_zh or draft.text_zh),
                state="approved",
                decided_by=actor.name,
                decided_us=now_us,
            )
            people = self._people(tx, draft)
            draft = replace(draft, recipients=len(people))
            tx.put_draft(draft)
            count = tx.add_notices([self._notice(draft, c, now_us) for c in people.values()])
            given = {"trigger": draft.trigger, "recipients": count}
            subject = f"incident:{draft.incident_id}"
            tx.add_human_input(HumanInput("approve_notice", subject, actor.name, now_us, given))
            return count

    def withdraw(self, draft_id: int, actor: Actor) -> Draft:
        """Do not send it."""
        with self.ledger.transaction() as tx:
            draft = self._open(tx, draft_id, actor)
            now_us = self.clock.now_us()
            gone = replace(draft, state="withdrawn", decided_by=actor.name, decided_us=now_us)
            tx.put_draft(gone)
            return gone

    def _open(self, reading: Reading, draft_id: int, actor: Actor) -> Draft:
        if actor.role not in _ROLES:
            raise WrongRole("notice", "decide on a notice", "审核通知", actor.role, _ROLES)
        draft = reading.draft(draft_id)
        if draft is None:
            raise UnknownDraft(draft_id)
        if draft.state != "draft":
            raise Conflict(
                f"This notice was {draft.state} by {draft.decided_by}; nothing was sent again.",
                f"该通知已由{draft.decided_by}处理，未重复发送。",
            )
        return draft

    def _people(self, reading: Reading, draft: Draft) -> dict[str, Customer]:
        incident = reading.incident(draft.incident_id)
        assert incident is not None, "a draft has its incident"
        over = draft.trigger == "power_restored"
        people = _recipients(reading, places_of(self.network), incident, over)
        if over:
            subject = f"incident:{incident.id}"
            told = reading.told(subject, "power_out") | reading.told(subject, "initial_etr")
            callers = {
                f"account:{c.account}"
                for c in reading.contacts(incident_id=incident.id, limit=100_000)
            }
            people = {a: c for a, c in people.items() if f"account:{a}" in told | callers}
        return people

    def _notice(self, draft: Draft, customer: Customer, now_us: int) -> Notice:
        urgent = call_rank(customer) == 0
        chosen = draft.text_zh if self.settings.language.startswith("zh") else draft.text
        payload: dict[str, Any] = {
            "to": customer.phone,
            "text": chosen,
            "trigger": draft.trigger,
            "account": customer.account,
        }
        return Notice(
            f"incident:{draft.incident_id}",
            f"account:{customer.account}",
            draft.trigger,
            draft.milestone,
            self.settings.channel,
            payload,
            now_us if urgent else after_night(now_us, self.settings),
            now_us,
        )
