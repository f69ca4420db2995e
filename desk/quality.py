"""How well the desk knew first: the headline, and the counts of the operator's bar."""

from dataclasses import dataclass
from typing import Final

from alerts.ledger import Ledger, Reading
from alerts.places import names_in
from alerts.settings import DAY_US
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Incident, Ticket

STORY_US: Final = DAY_US  # how long a story is told after its last call
_UNTOLD: Final = frozenset(name for name, fault in FAULTS.items() if fault.work == "inspection")


@dataclass(frozen=True, slots=True)
class Headline:
    """The story of the incident that most customers called about.

    known_before_s : by how much it was known before the first call; None if nobody has called,
        negative if a customer was first
    """

    incident: Incident
    ticket: Ticket | None
    known_before_s: float | None
    contacts: int
    tickets: int
    sentence: str
    sentence_zh: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The operator's counts.

    known_first, called_first : incidents with calls, by who was first
    never_called : incidents with a ticket that nobody had to call about
    contacts_known : contacts that hung on something known, so needed no ticket of their own
    lines : of the open feed; lines_without_inspection : of them, what every role may see
    """

    alerts_open: int
    alerts_unseen: int
    oldest_unseen_s: float | None
    tickets_open: int
    contacts: int
    contacts_known: int
    known_first: int
    called_first: int
    never_called: int
    lines: int
    lines_without_inspection: int


def bar(ledger: Ledger, now_us: int) -> Bar:
    """The counts, at one moment."""
    with ledger.reading() as reading:
        counts = dict(reading.totals())
    oldest_us = counts.pop("oldest_unseen_us")
    oldest_s = max(0.0, (now_us - oldest_us) / 1e6) if counts["alerts_unseen"] else None
    return Bar(oldest_unseen_s=oldest_s, **counts)


def headline(ledger: Ledger, network: Network, now_us: int) -> Headline | None:
    """The incident with most calls, else the newest one with a ticket; None without any.

    Open ones count, and for a day those that customers have called about: the story is still true
    when its ticket is closed.
    """
    with ledger.reading() as reading:
        chosen = reading.most_called(now_us - STORY_US, _UNTOLD)
        if chosen is None:
            return None
        ticket = reading.tickets_by_incident([chosen.id]).get(chosen.id)
        return _story(reading, chosen, ticket, network, now_us)


def _story(
    reading: Reading, incident: Incident, ticket: Ticket | None, network: Network, now_us: int
) -> Headline:
    first_known_us = reading.first_known_us(incident.id)
    known_us = incident.known_us if first_known_us is None else first_known_us
    first_us = incident.first_contact_us
    lead_s = None if first_us is None else (first_us - known_us) / 1e6
    fault = FAULTS[incident.fault]
    count = len(reading.tickets_of_incident(incident.id))
    calls = incident.contacts
    area = network.transformer_of(incident.asset_kind, incident.asset)
    place, place_zh = names_in(area.name or area.id if area else incident.asset)
    space = " " if place_zh[-1:].isascii() else ""
    what, what_zh = f"{fault.name} at {place}", f"{place_zh}{space}{fault.name_zh}"
    totals = (
        f"{calls} call{'s' if calls != 1 else ''}, {count} ticket{'s' if count != 1 else ''}",
        f"{calls}个来电，{count}张工单",
    )
    if lead_s is None:
        since, since_zh = span((now_us - known_us) / 1e6)
        sentence = f"{what}: known for {since}, nobody has called yet."
        sentence_zh = f"{what_zh}：已知{since_zh}，尚无客户来电。"
    elif lead_s > 0:
        lead, lead_zh = span(lead_s)
        sentence = f"{what}: known {lead} before the first call; {totals[0]}."
        sentence_zh = f"{what_zh}：比首个来电早{lead_zh}发现；{totals[1]}。"
    else:
        late, late_zh = span(-lead_s)
        sentence = f"{what}: the first call came {late} before it was known; {totals[0]}."
        sentence_zh = f"{what_zh}：首个来电早于系统发现{late_zh}；{totals[1]}。"
    return Headline(incident, ticket, lead_s, calls, count, sentence, sentence_zh)


def span(seconds: float) -> tuple[str, str]:
    """A length of time in words, (English, Chinese).

    >>> span(11520)
    ('3 h 12 min', '3小时12分')
    """
    minutes = int(max(0.0, seconds) // 60)
    if minutes < 1:
        return f"{int(max(0.0, seconds))} s", f"{int(max(0.0, seconds))}秒"
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h", f"{days}天{hours}小时"
    if hours:
        return f"{hours} h {minutes} min", f"{hours}小时{minutes}分"
    return f"{minutes} min", f"{minutes}分钟"
