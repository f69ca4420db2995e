"""One box for account, phone, name, address, meter and ticket number."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from alerts.apply import apply_events
from alerts.memory import MemoryLedger
from desk.counter import Counter
from desk.search import CustomerIndex
from grid.network import Alias, Customer, Network
from tests.unit.alerts.town import StandingClock, raised, town


def index() -> CustomerIndex:
    network = town()
    alias = Alias("device", "M-T1-B1-2", "ami", "0000123456")
    return CustomerIndex(replace(network, aliases=(alias,)))


@pytest.mark.parametrize(
    ("text", "by", "account"),
    [
        ("A11", "account", "A11"),
        ("a11", "account", "A11"),
        ("13900000012", "phone", "A12"),
        ("139 0000 0012", "phone", "A12"),
        ("+86 13900000012", "phone", "A12"),
        ("0012", "phone", "A12"),
        ("王小13", "name", "A13"),
        ("第一", "name", "A22"),
        ("中山路14号", "address", "A14"),
        ("路15", "address", "A15"),
        ("M-T2-B1-1", "meter", "A17"),
        ("0000123456", "meter", "A12"),
    ],
)
def test_a_customer_is_found_by_whatever_is_typed(text: str, by: str, account: str) -> None:
    best = index().find(text)[0]

    assert (by, account) == (best.by, best.account)


@pytest.mark.parametrize("text", ["", "  ", "王", "没有此人", "A999", "0999", "中山号路"])
def test_what_is_not_there_is_not_found(text: str) -> None:
    assert [] == index().find(text)


def test_a_name_that_many_bear_gives_no_more_than_asked() -> None:
    assert 5 == len(index().find("王小", limit=5))
    assert 11 == len(index().find("王小", limit=50))


def test_the_exact_one_comes_before_those_that_only_contain_it() -> None:
    people = tuple(Customer(f"B{i}", f"李明{'华' * (i % 2)}", "", "") for i in range(4))
    found = CustomerIndex(Network(customers=people)).find("李明")

    assert ["李明", "李明", "李明华", "李明华"] == [
        h.customer.name for h in found if h.customer is not None
    ]


def test_a_ticket_is_found_by_its_number_and_an_inspection_is_not() -> None:
    ledger = MemoryLedger()
    events = [raised("outage"), raised("energy_loss", ("transformer", "T2"))]
    apply_events(events, ledger, town())
    counter = Counter(ledger, town(), StandingClock())
    with ledger.reading() as r:
        shown, hidden = sorted(r.tickets(), key=lambda t: t.fault, reverse=True)

    (hit,) = counter.find(shown.number)
    assert ("ticket", shown.id) == (hit.kind, hit.ticket_id)
    assert [] == counter.find(hidden.number)


def test_a_telephone_system_asks_by_number_only() -> None:
    counter = Counter(MemoryLedger(), town(), StandingClock())

    assert ["A12"] == [h.account for h in counter.by_phone("013900000012")]


def test_two_characters_are_found_within_the_budget() -> None:
    """Twenty thousand customers here; a million in benchmarks/bench_desk.py, by the same index."""
    streets = ("中山", "解放", "河坊", "柳浪", "桃源")
    people = tuple(
        Customer(f"3307{n:08d}", f"王{n}", f"139{n:08d}", f"{streets[n % 5]}路{n}号")
        for n in range(20_000)
    )
    index = CustomerIndex(Network(customers=people))
    index.warm()
    took = []
    for n in range(50):
        began = time.perf_counter()
        hits = index.find(streets[n % 5])
        took.append(time.perf_counter() - began)
        assert len(hits) == 20

    assert sorted(took)[25] < 0.01
