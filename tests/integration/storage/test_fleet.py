"""Who reports, who is silent, what is owed; the network and the readings as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grid.network import (
    Alias,
    Customer,
    Device,
    Feeder,
    Network,
    PlannedWork,
    Section,
    Team,
    Transformer,
    UsagePoint,
)
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from storage import read_back as read_back_module
from storage.database import Database
from storage.fleet import (
    FleetHealth,
    fleet_health,
    forget_quarantine,
    gaps,
    give_up_gaps,
    quarantine_count,
    quarantine_rows,
    silent_devices,
)
from storage.historian import Historian
from storage.network_store import NetworkChange, load_stored_network, save_network
from storage.read_back import read_back, stored_span
from tests.integration.storage.memory_journal import HOUR_US, MINUTE_US, START_US, MemoryJournal

NETWORK = Network(
    feeders=(Feeder("F1", "十里线", "S1"),),
    sections=(Section("S-B", "F1", "S-A"), Section("S-A", "F1", None, "SW1", "first")),
    transformers=(Transformer("T1", "F1", "S-A", "台区一", 315, 230, team="team-1"),),
    usage_points=(
        UsagePoint("U2", "T1", "B1", "N1", "a", "A1"),
        UsagePoint("U1", "T1", "B1", None, "abc", None),
    ),
    devices=(
        Device("M2", usage_point="U2", interval_s=60),
        Device("M1", usage_point="U1", interval_s=900.0, ct_ratio=100.0, wiring="3p4w"),
        Device("X1", "transformer_monitor", transformer="T1", address="h:502", unit=3),
        Device("SW1", "switch", section="S-A"),
    ),
    customers=(Customer("A1", 'O\'Neil, "x"\t\\N', "138", flags=frozenset({"life_support", "b"})),),
    planned=(PlannedWork("transformer", "T1", 5, 9, "swap"),),
    teams=(Team("team-1", "East"),),
    aliases=(Alias("device", "M1", "ami", "0001"),),
)


def content(network: Network) -> tuple[object, ...]:
    """`Network` compares by identity; its parts by value."""
    names = ("feeders", "sections", "transformers", "usage_points", "devices")
    more = ("customers", "planned", "teams", "aliases")
    return tuple(getattr(network, n) for n in (*names, *more))


# -- health --------------------------------------------------------------------------------


def test_health_counts_the_devices_that_owe_readings(
    database: Database, journal: MemoryJournal
) -> None:
    now = START_US + HOUR_US
    journal.readings(["M2", "M1"], [0, 1], [now - MINUTE_US, now - 20 * MINUTE_US], v_a=[230, 231])
    Historian(database, journal).run_once()

    health = fleet_health(database, NETWORK, now)

    assert health == FleetHealth(3, 2, now - MINUTE_US, 60.0, None)
    assert [s.device for s in silent_devices(database, NETWORK, now)] == ["X1"]


def test_when_nothing_comes_any_more_health_says_since_when(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M2"], [0], [START_US], v_a=[230])
    Historian(database, journal).run_once()

    health = fleet_health(database, NETWORK, START_US + HOUR_US)

    assert (health.fresh, health.lag_s, health.delayed_since_us) == (0, 3600.0, START_US)


def test_health_before_the_first_reading(database: Database) -> None:
    assert fleet_health(database, NETWORK, START_US) == FleetHealth(3, 0, None, None, None)


def test_old_gaps_can_be_declared_missing(database: Database, journal: MemoryJournal) -> None:
    journal.readings(["M1"], [0, 0], [START_US, START_US + 9], seq=[1, 4], v_a=[1, 2])
    Historian(database, journal).run_once()

    assert give_up_gaps(database, START_US) == 0
    assert give_up_gaps(database, START_US + MINUTE_US) == 1
    assert gaps(database) == []
    (gap,) = gaps(database, open_only=False)
    assert (gap.missing, gap.filled) == (2, 0) and gap.closed_us is not None


def test_quarantine_is_read_by_pages_and_can_be_emptied(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M1"], [0] * 5, np.arange(5), v_a=np.arange(5))  # 1970: a broken clock
    Historian(database, journal).run_once()

    first = quarantine_rows(database, limit=3)
    second = quarantine_rows(database, limit=3, before_id=first[-1].id)

    assert (len(first), len(second), quarantine_count(database)) == (3, 2, 5)
    assert forget_quarantine(database, [r.id for r in first]) == 3
    assert quarantine_rows(database) == second


# -- the network ---------------------------------------------------------------------------


def test_a_network_comes_back_as_it_was_saved(database: Database) -> None:
    save_network(database, NETWORK)

    got = load_stored_network(database)

    assert content(got) == content(NETWORK)
    assert got.tree.ids == NETWORK.tree.ids


def test_saving_the_same_network_again_changes_nothing(database: Database) -> None:
    first = save_network(database, NETWORK)

    assert first == NetworkChange(14, 0)
    assert save_network(database, NETWORK) == NetworkChange(0, 0)
    assert save_network(database, load_stored_network(database)) == NetworkChange(0, 0)


def test_the_network_of_an_earlier_time_can_be_asked_for(database: Database) -> None:
    save_network(database, NETWORK, at_us=START_US)
    moved = replace(NETWORK.devices[0], usage_point="U1")
    edited = replace(NETWORK, devices=(*NETWORK.devices[1:], moved), teams=())

    change = save_network(database, edited, at_us=START_US + HOUR_US)

    assert change == NetworkChange(1, 2)
    assert content(load_stored_network(database)) == content(edited)
    early = load_stored_network(database, at_us=START_US + HOUR_US - 1)
    assert set(early.devices) == set(NETWORK.devices)
    assert early.teams == NETWORK.teams
    assert load_stored_network(database, at_us=START_US - 1).devices == ()


def test_a_database_without_a_network_gives_an_empty_one(database: Database) -> None:
    assert content(load_stored_network(database)) == content(Network())


# -- reading back --------------------------------------------------------------------------


def test_everything_stored_comes_back_in_order_of_time(
    database: Database, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings and events, across days, holes and steps of any size."""
    monkeypatch.setattr(read_back_module, "ROWS_WANTED", 50)
    rng = np.random.default_rng(7)
    n = 3000
    minute = rng.choice(4 * 1440, n, replace=False)
    minute[minute > 2000] += 40 * 1440  # more than a month of nothing
    time = START_US + minute * MINUTE_US
    event = np.where(rng.random(n) < 0.05, EVENT_CODE["power_down"], 0)
    v_a = np.where(event > 0, np.nan, rng.normal(230, 1, n))
    names = [f"M{i}" for i in range(20)]
    journal.readings(names, rng.integers(0, 20, n), time, event=event, v_a=v_a)
    Historian(database, journal).run_once()
    sent = ReadingBatch.concat([e.record.batch for e in journal.read(0, 9)]).sort()

    got = list(read_back(database, START_US, int(time.max()) + 1))

    assert len(got) > 5
    whole = ReadingBatch.concat(got)
    assert whole.time.tolist() == sent.time.tolist()
    assert whole.event.tolist() == sent.event.tolist()
    assert whole.device_names().tolist() == sent.device_names().tolist()
    np.testing.assert_array_equal(whole.value("v_a"), sent.value("v_a"))
    readings = sent.time[sent.event == 0]
    assert stored_span(database) == (int(readings[0]), int(readings[-1]))


def test_the_span_asked_for_has_its_start_but_not_its_end(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M1"], [0] * 3, START_US + np.arange(3) * MINUTE_US, v_a=[1, 2, 3])
    Historian(database, journal).run_once()

    (got,) = read_back(database, START_US + MINUTE_US, START_US + 2 * MINUTE_US)

    assert got.value("v_a").tolist() == [2.0]


def test_an_empty_realm_has_no_span(database: Database) -> None:
    assert stored_span(database) is None
    assert list(read_back(database, START_US, START_US + HOUR_US)) == []
