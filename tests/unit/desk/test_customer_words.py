"""To customers in their own words: everything they may read or hear, in both languages."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from alerts.notice_words import TEMPLATES, TRIGGER_NAMES, told_place
from alerts.notices import NoticeDesk, draft_notices
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.answer import Judged, Script, Supply, say
from desk.counter import TOLD_CLASSES
from desk.ratings import REASONS
from desk.words import told_name
from grid.faults import FAULTS, SEVERITY_NAMES
from grid.network import Network, PlannedWork
from grid.records import Incident, Ticket, TicketState
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, raised, town
from web.i18n import LANGUAGES, catalogue

DOCS = Path(__file__).parents[3] / "docs"
NOW = START + HOUR
# What staff says among itself, and names that only our records know.
OURS = (
    "复电", "零线", "台区", "配变", "公变", "召测", "研判", "派单", "派工", "接单", "消缺", "归档",
    "挂起", "主单", "子单", "作废", "稽查", "P1", "P2", "P3",
)  # fmt: skip
OUR_KEYS = re.compile(r"\b[a-z]+_[a-z_]+\b|\b(outage|neutral|dispatched|assessing) [A-Z]\d")
HERE = {
    "feeder": "F1",
    "section": "S1",
    "transformer": "T1",
    "branch": "T1-B1",
    "usage_point": "T1-B1-2",
}


def spoken() -> Iterator[str]:
    """Every sentence of the answer: scripts, faults, states of the ticket, own meter or area."""
    work = PlannedWork("transformer", "T1", START, START + HOUR, "")
    told = [f for f in FAULTS.values() if f.incident_class in TOLD_CLASSES]
    judgements = [
        Judged(supply, START, START, own)
        for supply, own in itertools.product(get_args(Supply), (True, False))
    ]
    for script, judged in itertools.product(get_args(Script), judgements):
        for fault in told:
            incident = Incident(
                1, fault.incident_class, fault.kind, "transformer", "T1", "P1", START, START
            )
            for state in (None, *get_args(TicketState)):
                ticket = None if state is None else a_ticket(incident, state)
                yield from say(script, judged, NOW, "Asia/Shanghai", incident, ticket, work)


def a_ticket(incident: Incident, state: TicketState) -> Ticket:
    return Ticket(
        1, "20260301-0001", 1, "e", state, "repair", incident.fault, incident.asset_kind,
        incident.asset, "P1", 6, START, estimated_restoration_us=NOW + HOUR,
        estimated_latest_us=NOW + 2 * HOUR,
    )  # fmt: skip


def notices(kind: str, network: Network) -> Iterator[str]:
    """Every notice about an outage at one kind of place, from beginning to end."""
    ledger, clock = MemoryLedger(), StandingClock(NOW)
    apply_events([raised("outage", (kind, HERE[kind]))], ledger, network)
    desk, chief = TicketDesk(ledger, network, clock), Actor("赵", "operator")
    number = 1
    steps: list[tuple[str, dict[str, object]]] = [
        ("note", {"text": "x"}),
        ("dispatch", {"team": "crew-1", "estimated_us": NOW + 2 * HOUR}),
        ("estimate", {"estimated_us": NOW + 4 * HOUR, "latest_us": NOW + 5 * HOUR}),
        ("arrive", {}),
        ("restore", {}),
        ("verify", {}),
    ]
    for action, details in steps:
        with ledger.reading() as r:
            ticket = r.ticket(number)
        assert ticket is not None
        desk.perform(action, number, chief, ticket.version, **details)
        for draft in draft_notices(ledger, network, clock.us):
            yield draft.text
            yield draft.text_zh
            NoticeDesk(ledger, network, clock).approve(draft.id, chief)
        clock.us += 10 * MINUTE


def everything() -> Iterator[str]:
    for language in LANGUAGES:
        yield from (s for k, s in catalogue(language).items() if k.startswith("my."))
    yield from spoken()
    yield from itertools.chain(*TEMPLATES.values(), *TRIGGER_NAMES.values(), *REASONS.values())
    yield from itertools.chain(*(told_name(f) for f in FAULTS))
    nameless = replace(
        town(),
        feeders=tuple(replace(f, name="") for f in town().feeders),
        transformers=tuple(replace(t, name="") for t in town().transformers),
    )
    for kind, network in itertools.product(HERE, (town(), nameless)):
        yield from notices(kind, network)


@pytest.fixture(scope="module")
def texts() -> set[str]:
    return set(everything())


def test_a_customer_reads_no_word_of_ours(texts: set[str]) -> None:
    found = {(word, text) for text in texts for word in OURS if word in text}

    assert len(texts) > 300
    assert found == set()


def test_a_customer_reads_no_key_and_no_id_of_ours(texts: set[str]) -> None:
    ids = {*HERE.values(), "M-T1-B1-2"}
    named = [re.sub(r"{\w+}", "", text) for text in texts]

    assert [t for t in named if OUR_KEYS.search(t)] == []
    assert [t for t in named if any(re.search(rf"\b{i}\b", t) for i in ids)] == []


def test_supply_that_is_back_is_said_in_the_customers_words(texts: set[str]) -> None:
    assert [t for t in texts if "恢复供电" in t] != []


def test_a_place_with_a_name_in_each_language_is_called_by_that_of_the_text() -> None:
    named = replace(town().transformers[0], name="枫林街台区 / Fenglin Street")
    network = replace(town(), transformers=(named, *town().transformers[1:]))

    assert ("Fenglin Street", "枫林街") == told_place(network, "transformer", named.id)


def test_every_trigger_is_told_at_every_place() -> None:
    for kind in HERE:
        said = list(notices(kind, town()))
        assert len(said) == 10, (kind, said)  # five triggers, two languages


@pytest.mark.parametrize(
    "word",
    [
        "台区", "配变", "台区总表", "重载", "过载", "三相负荷不平衡", "电压不平衡", "零线断线",
        "零线虚接", "中性线", "恢复供电", "复电", "危急", "严重", "一般", "重复停电", "频繁停电",
    ],
)  # fmt: skip
def test_the_glossary_has_the_fields_own_word(word: str) -> None:
    rows = (DOCS / "glossary.md").read_text(encoding="utf-8").splitlines()

    assert [r for r in rows if r.startswith("|") and word in r.split("|")[2]] != []


def test_grades_and_names_are_those_of_the_field() -> None:
    assert [SEVERITY_NAMES[s][1] for s in ("P1", "P2", "P3")] == ["危急", "严重", "一般"]
    assert FAULTS["unbalance"].name_zh == "三相负荷不平衡"
    assert FAULTS["neutral_broken"].name_zh == "零线断线"
    assert FAULTS["neutral_loose"].name_zh == "零线虚接"
    assert "过载" in FAULTS["transformer_overload"].name_zh
    assert told_name("neutral_broken")[1] == "中性线断线"
