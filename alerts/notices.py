"""Notices to customers: drafted by trigger, read by a person, then sent to each once.

Nobody is told of an end whose beginning they were not told of, and nobody who is still
dark is told that the light is back. Ordinary notices wait through the night.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from alerts.errors import Conflict, NotFound, WrongRole
from alerts.ledger import Ledger, Reading, Transaction
from alerts.notice_people import outages_in, recipients, told_of_beginning
from alerts.notice_words import TEMPLATES, Trigger, local, render, told_facts, told_places
from alerts.opening import main_of
from alerts.overtaken import OVER, Known, Overtaken, overtaken, power_back_us, until_of
from alerts.places import call_rank
from alerts.roles import SYSTEM, Actor, Role
from alerts.settings import DAY_US, MINUTE_US
from grid.clock import Clock
from grid.network import Customer, Network
from grid.records import Incident, Ticket
from storage.desk_records import Draft, HumanInput, Notice
from storage.desk_text import plain

# Frequent changes cost trust: a smaller shift of the estimate is not told.
CHANGE_MIN_US: Final = 30 * MINUTE_US
NIGHT: Final = (22, 7)  # local hours in which ordinary notices wait
RECENT_US: Final = 14 * DAY_US
_ROLES: Final[tuple[Role, ...]] = ("operator", "dispatcher", "engineer", "admin", "supervisor")
APPROVE: Final = "approve_notice"  # of an incident: who was told
APPROVED: Final = "notice_approved"  # of a draft: what it was about
WITHDRAWN: Final = "withdraw_notice"


class UnknownDraft(NotFound):
    """No draft bears that id."""

    def __init__(self, key: object) -> None:
        super().__init__("draft notice", "通知草稿", key)


class TextOvertaken(Conflict):
    """Nothing was sent: what the text says is no longer so.

    Attributes
    ----------
    offered : the texts that are right now and wait for a word; none where there is nothing to say
    """

    def __init__(self, why: Overtaken, offered: Sequence[Draft]) -> None:
        self.offered = tuple(offered)
        then = "Read the text that is right now." if offered else "There is nothing to tell now."
        then_zh = "请审核新拟的通知。" if offered else "目前无需通知客户。"
        super().__init__(
            f"{why.text} The text was withdrawn and nothing was sent. {then}",
            f"{why.text_zh}原通知已撤回，未发送。{then_zh}",
        )


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """How customers are told; `channel` names the sender that reaches phones."""

    time_zone: str = "Asia/Shanghai"
    language: str = "zh-CN"
    channel: str = "sms"
    night: tuple[int, int] = NIGHT
    change_min_us: int = CHANGE_MIN_US


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

    What events have overtaken (the power is back) is withdrawn: drafts that nobody has decided on,
    and approved texts that wait, for the morning or for a receiver. So it is asked before every
    round of sending.
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
        rows.update(_mains(tx, rows))
        waiting = tx.waiting_notices(now_us)
        for now in _all_known(tx, rows).values():
            past = by_incident.get(now.incident.id, [])
            made += _draft_one(tx, network, now, past, waiting, now_us, settings)
    return made


def _draft_one(
    tx: Transaction,
    network: Network,
    now: Known,
    past: Sequence[Draft],
    waiting: Container[tuple[str, str, str]],
    now_us: int,
    settings: NoticeSettings | None,
) -> list[Draft]:
    chosen, incident = settings or NoticeSettings(), now.incident
    if not incident.customers:
        return []
    if incident.fault != "outage" and not now.merged:
        return []
    past = [_still_right(tx, network, now, d, waiting, now_us, chosen) for d in past]
    ticket, back = now.ticket, power_back_us(now.alerts) is not None
    over = back or ticket.state in OVER
    decided = now.merged or any(d.state != "draft" for d in past)  # else nobody was told anything
    told = bool(over and decided and told_of_beginning(tx, incident, now.merged))
    made: list[Draft] = []
    due = _due(ticket, past, over, back, told, chosen)
    people = recipients(tx, network, incident, now.merged, over) if due else {}
    for trigger, milestone in due:
        facts = told_facts(network, incident, ticket, chosen.time_zone, now.merged)
        text, text_zh = (render(t, f) for t, f in zip(TEMPLATES[trigger], facts, strict=True))
        draft = tx.add_draft(
            Draft(incident.id, trigger, milestone, text, text_zh, len(people), now_us)
        )
        if draft is not None:
            made.append(draft)
            data = {"kind": "draft", "trigger": trigger, "incident_id": incident.id}
            tx.publish("notice", f"draft:{draft.id}", now_us, {**data, "work": ticket.work})
    return made


def _still_right(
    tx: Transaction,
    network: Network,
    now: Known,
    draft: Draft,
    waiting: Container[tuple[str, str, str]],
    now_us: int,
    settings: NoticeSettings,
) -> Draft:
    """The draft, withdrawn with its reason if what it says is no longer so before it was sent.

    Where it has reached some by then (who must know at once gets it at night), what is right now
    is due for all, them too.
    """
    said: list[tuple[str, str]] | None = None
    if draft.state == "approved":
        if (_subject(draft), draft.trigger, draft.milestone) not in waiting:
            return draft
        said = _said_places(tx, draft)
        if now.ticket.state == "merged":  # what has become of it, its main ticket knows
            now = _main(tx, now)
    elif draft.state != "draft":
        return draft
    why = overtaken(draft, network, now, settings.time_zone, settings.change_min_us, said)
    if why is None:
        return draft
    if draft.state == "approved":
        tx.withdraw_notices(_subject(draft), draft.trigger, draft.milestone, now_us, why.text)
    return _withdrawn(tx, draft, now.ticket, why, now_us)


def _withdrawn(tx: Transaction, draft: Draft, ticket: Ticket, why: Overtaken, now_us: int) -> Draft:
    gone = replace(draft, state="withdrawn", decided_by=SYSTEM.name, decided_us=now_us)
    tx.put_draft(gone)
    given = {"why": why.text, "why_zh": why.text_zh, "approved_by": draft.decided_by}
    tx.add_human_input(HumanInput(WITHDRAWN, f"notice:{draft.id}", SYSTEM.name, now_us, given))
    data = {"kind": "withdrawn", "trigger": draft.trigger, "incident_id": draft.incident_id}
    tx.publish("notice", f"draft:{draft.id}", now_us, {**data, "work": ticket.work})
    return gone


def known_now(reading: Reading, incident_id: int) -> Known | None:
    """An outage as it is known now; None without a ticket."""
    incident = reading.incident(incident_id)
    found = _all_known(reading, {incident_id: incident}) if incident is not None else {}
    return found.get(incident_id)


def _all_known(reading: Reading, incidents: Mapping[int, Incident]) -> dict[int, Known]:
    tickets = reading.tickets_by_incident(list(incidents))
    alerts = reading.alerts_of(list(tickets))
    main = reading.merged_by_people([t.id for t in tickets.values()])
    return {
        i: Known(incidents[i], t, alerts.get(i, ()), outages_in(reading, t) if t.id in main else ())
        for i, t in tickets.items()
    }


def _main(reading: Reading, now: Known) -> Known:
    ticket = main_of(reading, now.ticket)
    return (known_now(reading, ticket.incident_id) if ticket is not None else None) or now


def _mains(reading: Reading, incidents: Mapping[int, Incident]) -> dict[int, Incident]:
    """What some of these incidents have become part of; it need not be an outage itself."""
    merged = [t for t in reading.tickets_by_incident(list(incidents)).values() if t.merged_into]
    mains = {main.incident_id for t in merged if (main := main_of(reading, t)) is not None}
    return dict(reading.incidents_by_id([i for i in mains if i not in incidents]))


def _subject(draft: Draft) -> str:
    return f"incident:{draft.incident_id}"


def _said_places(reading: Reading, draft: Draft) -> list[tuple[str, str]] | None:
    """The places of a text when it was approved; None if that was not kept."""
    kept = reading.human_inputs(subject=f"notice:{draft.id}", kinds=(APPROVED,), limit=1)
    return [(str(n[0]), str(n[1])) for n in kept[-1].data["places"]] if kept else None


def _due(
    ticket: Ticket,
    past: Sequence[Draft],
    over: bool,
    back: bool,
    told: bool,
    settings: NoticeSettings,
) -> list[tuple[Trigger, str]]:
    """Triggers that nobody has had to decide on yet, each with the milestone that tells it apart.

    What the machine itself has withdrawn was never said: it is due again where it is true again.
    """
    said = [d for d in past if d.state != "withdrawn" or d.decided_by != SYSTEM.name]
    had = {d.trigger for d in said}

    def again(trigger: Trigger) -> tuple[Trigger, str]:
        before = sum(d.trigger == trigger for d in past)
        return trigger, str(before) if before else ""

    def until(trigger: Trigger, until_us: int) -> tuple[Trigger, str]:
        before = sum(d.trigger == trigger and until_of(d) == until_us for d in past)
        return trigger, f"{until_us}~{before}" if before else str(until_us)

    out: list[tuple[Trigger, str]] = []
    if over:
        done = back or ticket.state in ("verified", "callback", "closed")
        real = ticket.verdict in (None, "confirmed_fault", "confirmed_precursor")
        fresh = "power_restored" not in had
        return [again("power_restored")] if told and done and real and fresh else []
    if "power_out" not in had:
        out.append(again("power_out"))
    if ticket.state in ("dispatched", "assigned", "accepted") and "inform_dispatched" not in had:
        out.append(again("inform_dispatched"))
    until_us = ticket.estimated_latest_us or ticket.estimated_restoration_us
    if until_us is not None:
        told_us = [until_of(d) for d in said if d.trigger in ("initial_etr", "etr_change")]
        if not told_us:
            out.append(until("initial_etr", until_us))
        elif abs(until_us - told_us[-1]) >= settings.change_min_us:
            out.append(until("etr_change", until_us))
    return out


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

    def changed(self, drafts: Sequence[Draft]) -> dict[int, Overtaken]:
        """What has changed, by draft, for those that wait and say what is no longer so."""
        with self.ledger.reading() as reading:
            found = {d.id: self._overtaken(reading, d) for d in drafts if d.state == "draft"}
        return {id_: why for id_, why in found.items() if why is not None}

    def reasons(self, drafts: Sequence[Draft]) -> dict[int, tuple[str, str]]:
        """Why the machine has withdrawn texts, (English, Chinese) by draft."""
        gone = [d for d in drafts if d.state == "withdrawn" and d.decided_by == SYSTEM.name]
        with self.ledger.reading() as reading:
            said = {
                d.id: reading.human_inputs(subject=f"notice:{d.id}", kinds=(WITHDRAWN,), limit=1)
                for d in gone
            }
        return {
            i: (str(x[-1].data["why"]), str(x[-1].data["why_zh"])) for i, x in said.items() if x
        }

    def approve(
        self, draft_id: int, actor: Actor, *, text: str | None = None, text_zh: str | None = None
    ) -> int:
        """Send it, as it is or corrected; how many notices are on their way.

        TextOvertaken if what it says is no longer so: then it is withdrawn, nothing is sent, and
        what is right now is drafted.
        """
        with self.ledger.transaction() as tx:
            draft = self._open(tx, draft_id, actor)
            now_us = self.clock.now_us()
            why = self._overtaken(tx, draft)
            if why is None:
                return self._send(tx, draft, actor, now_us, text, text_zh)
            past = tx.drafts(open_only=False, incident_id=draft.incident_id)
            now = known_now(tx, draft.incident_id)
            assert now is not None, "what has overtaken it is known"
            waiting = tx.waiting_notices(now_us)
            offered = _draft_one(tx, self.network, now, past, waiting, now_us, self.settings)
        raise TextOvertaken(why, offered)

    def _send(
        self,
        tx: Transaction,
        draft: Draft,
        actor: Actor,
        now_us: int,
        text: str | None,
        text_zh: str | None,
    ) -> int:
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
        tx.add_human_input(HumanInput(APPROVE, _subject(draft), actor.name, now_us, given))
        now = known_now(tx, draft.incident_id)
        names = told_places(self.network, now.incident, now.merged) if now is not None else []
        about = {"places": [list(n) for n in names]}
        tx.add_human_input(HumanInput(APPROVED, f"notice:{draft.id}", actor.name, now_us, about))
        return count

    def _overtaken(self, reading: Reading, draft: Draft) -> Overtaken | None:
        now = known_now(reading, draft.incident_id)
        if now is None:
            return None
        zone, least_us = self.settings.time_zone, self.settings.change_min_us
        return overtaken(draft, self.network, now, zone, least_us)

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
        ticket = reading.tickets_by_incident([incident.id]).get(incident.id)
        merged = outages_in(reading, ticket) if ticket is not None else ()
        over = draft.trigger == "power_restored"
        return recipients(reading, self.network, incident, merged, over)

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
            _subject(draft),
            f"account:{customer.account}",
            draft.trigger,
            draft.milestone,
            self.settings.channel,
            payload,
            now_us if urgent else after_night(now_us, self.settings),
            now_us,
        )
