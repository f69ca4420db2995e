"""停电报备: the notice of an outage, ready to be copied by one key.

Line, switch, areas, customers, customer-hours, expected restoration and the sentence for agents,
in the words of the office that receives it.
"""

from collections.abc import Sequence

from alerts.ledger import Ledger
from alerts.notice_people import outages_in
from alerts.places import Places, names_in, places_of
from desk.answer import day_time, until_words
from grid.faults import FAULTS
from grid.network import Network
from grid.records import Incident, Ticket


def outage_notice(
    ledger: Ledger,
    network: Network,
    ticket_id: int,
    now_us: int,
    *,
    language: str = "zh-CN",
    time_zone: str = "Asia/Shanghai",
) -> str | None:
    """The notice for a ticket; None if there is no such ticket or it is about no outage."""
    with ledger.reading() as reading:
        ticket = reading.ticket(ticket_id)
        incident = reading.incident(ticket.incident_id) if ticket else None
        merged = outages_in(reading, ticket) if ticket else ()
    if ticket is None or incident is None or incident.incident_class != "supply":
        return None
    lines = _lines(network, places_of(network), incident, ticket, merged, now_us, time_zone)
    spoken = 1 if language.startswith("zh") else 0
    return "\n".join(line[spoken] for line in lines)


def _lines(
    network: Network,
    places: Places,
    incident: Incident,
    ticket: Ticket,
    merged: Sequence[Ticket],
    now_us: int,
    zone: str,
) -> list[tuple[str, str]]:
    here = (incident.asset_kind, incident.asset)
    above = dict(reversed(places.lineage(here)))  # the nearest of each kind wins
    feeder = next((f for f in network.feeders if f.id == above.get("feeder")), None)
    section = next((s for s in network.sections if s.id == above.get("section")), None)
    since = {(t.asset_kind, t.asset): t.opened_us for t in merged} | {here: incident.opened_us}
    dark = list(since)
    within = {dict(places.lineage(p)).get("transformer") for p in dark}
    areas = [
        names_in(t.name or t.id)
        for t in network.transformers
        if t.id in within or any(places.covers(p, ("transformer", t.id)) for p in dark)
    ]
    # The place itself last: its customers are dark since it is.
    customers = {c.account: us for p, us in since.items() for c in places.customers(p)}
    first = {c.account: c for p in dark for c in places.call_first(p)}
    until_us = ticket.closed_us if ticket.closed_us is not None else now_us
    hours = sum(max(0, until_us - us) for us in customers.values()) / 3600e6
    start, start_zh = day_time(incident.opened_us, now_us, zone)
    fault = FAULTS[incident.fault]
    shown = ", ".join(a[0] for a in areas[:8]) + (f" (+{len(areas) - 8})" if len(areas) > 8 else "")
    shown_zh = "、".join(a[1] for a in areas[:8]) + (
        f"等{len(areas)}个台区" if len(areas) > 8 else ""
    )
    line, line_zh = names_in(feeder.name or feeder.id if feeder else "-")
    switch, switch_zh = names_in((section.switch or section.name or section.id) if section else "-")
    out = [
        (f"Ticket: {ticket.number} ({fault.name})", f"工单：{ticket.number}（{fault.name_zh}）"),
        (f"Line: {line}; switch: {switch}", f"线路：{line_zh}；开关：{switch_zh}"),
        (f"Areas: {shown or '-'}", f"停电台区：{shown_zh or '-'}"),
        (
            f"Customers: {len(customers)}, to be called first: {len(first)}",
            f"影响客户：{len(customers)}户，其中重要及敏感客户{len(first)}户",
        ),
        (
            f"Since: {start}; customer-hours: {hours:.1f}",
            f"停电时间：{start_zh}；停电时户数：{hours:.1f}",
        ),
    ]
    if ticket.estimated_restoration_us is not None:
        end, end_zh = until_words(ticket, now_us, zone)
        end, end_zh = end.removeprefix("by "), end_zh.removesuffix("前")
        out.append((f"Restoration expected: {end}", f"预计恢复供电：{end_zh}"))
    else:
        out.append(("Restoration expected: not yet known", "预计恢复供电：尚未确定"))
    out.append(
        (
            "To say: the outage is known and being worked on; no further report is needed.",
            "答复口径：该停电我们已知悉并正在处理，无需重复报修。",
        )
    )
    return out
