"""The index of open incidents finds what looking at all of them would find."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from alerts.incidents import SPREADING
from alerts.memory import MemoryLedger
from alerts.nearby import OpenIncidents, open_incidents
from alerts.places import Asset, Places
from grid.records import Incident
from tests.integration.alerts.test_writers import district
from tests.unit.alerts.town import START

CLASSES = ("supply", "neutral", "joint", "thermal", "meter", "voltage")


def looked_at(
    rows: Iterable[Incident], near: Iterable[tuple[Asset, str]], places: Places
) -> list[int]:
    """The obvious way: join what lies on one line of supply until nothing more is joined."""

    def stands(asset: Asset, cls: str) -> tuple[Asset, ...]:
        line = places.lineage(asset)
        return tuple(line[:1] if cls in SPREADING else line[:2])

    def touch(nodes: set[Asset], i: Incident) -> bool:
        mine = stands((i.asset_kind, i.asset), i.incident_class)
        return any(n in places.lineage(m) or m in places.lineage(n) for n in nodes for m in mine)

    nodes = {n for asset, cls in near for n in stands(asset, cls)}
    left, found = list(rows), set()
    while joined := [i for i in left if touch(nodes, i)]:
        for i in joined:
            nodes |= set(stands((i.asset_kind, i.asset), i.incident_class))
            found.add(i.id)
        left = [i for i in left if i.id not in found]
    return sorted(found)


@pytest.mark.parametrize("seed", range(4))
def test_near_is_what_joins_on_the_lines_of_supply(seed: int) -> None:
    rng, network, ledger = random.Random(seed), district(), MemoryLedger()
    places = Places(network)
    assets: list[Asset] = [
        *(("transformer", t.id) for t in network.transformers),
        *(("usage_point", p.id) for p in network.usage_points),
        *(("device", d.id) for d in network.devices),
        ("unknown", "X"),
    ]
    index = OpenIncidents(places)
    for step in range(60):
        with ledger.transaction() as tx:
            index.catch_up(tx)
            rows = tx.incidents()
            asked = [(rng.choice(assets), rng.choice(CLASSES)) for _ in range(2)]
            assert [i.id for i in index.near(asked)] == looked_at(rows, asked, places), step
            taken = {(i.asset_kind, i.asset, i.incident_class) for i in rows}
            kind, asset = rng.choice(assets)
            cls = rng.choice(CLASSES)
            if rows and rng.random() < 0.3:
                tx.put_incident(replace(rng.choice(rows), closed_us=START))
            elif (kind, asset, cls) not in taken:
                made = Incident(0, cls, "outage", kind, asset, "P1", START, START)
                if rows and rng.random() < 0.3:
                    free = replace(rng.choice(rows), asset_kind=kind, asset=asset)
                    if (kind, asset, free.incident_class) not in taken:
                        tx.put_incident(free)
                else:
                    tx.add_incident(made)


def test_what_a_failed_transaction_did_is_not_known() -> None:
    ledger, places = MemoryLedger(), Places(district())
    made = Incident(0, "supply", "outage", "transformer", "T1", "P1", START, START)

    def fail() -> None:
        with ledger.transaction() as tx:
            open_incidents(ledger, tx, places)
            tx.add_incident(made)
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        fail()
    with ledger.transaction() as tx:
        assert open_incidents(ledger, tx, places).near([(("transformer", "T1"), "supply")]) == []
        added = tx.add_incident(made)
    with ledger.transaction() as tx:
        (found,) = open_incidents(ledger, tx, places).near([], [added.id, None])
    assert found == added
