"""What the counter learns from the tables of readings and events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grid.quantities import EVENT_CODE
from storage.database import Connection, Database
from storage.desk_records import LastSeen, SwitchState
from storage.desk_supply import Supply
from storage.migrate import migrate
from storage.realms import realm_id
from storage.times import moment

NOW = 1_772_323_200_000_000
MINUTE = 60_000_000


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    with Database(module_database_url) as opened:
        migrate(opened)
        yield opened


def reading(c: Connection, realm: int, device: int, at_us: int, **volts: float) -> None:
    columns = ", ".join(["realm", "device", "time", "received", *volts])
    marks = ", ".join(["%s"] * (4 + len(volts)))
    given = [realm, device, moment(at_us), moment(at_us), *volts.values()]
    c.execute(f"INSERT INTO latest ({columns}) VALUES ({marks})".encode(), given)


def event(c: Connection, realm: int, device: int, at_us: int, name: str) -> None:
    c.execute(
        "INSERT INTO device_event (realm, device, time, event, received) VALUES (%s,%s,%s,%s,%s)",
        [realm, device, moment(at_us), EVENT_CODE[name], moment(at_us)],
    )


def test_the_newest_reading_and_the_newest_events_are_found(database: Database) -> None:
    with database.connection() as c:
        live, drill = realm_id(c, "live"), realm_id(c, "drill-1")
        c.execute("INSERT INTO device (id, name) VALUES (1, 'M1'), (2, 'M2'), (3, 'M3'), (4, 'M4')")
        reading(c, live, 1, NOW, v_a=231.5)
        reading(c, live, 2, NOW, v_a=12.0, v_b=229.0)
        reading(c, drill, 1, NOW + MINUTE, v_a=0.0)
        event(c, live, 1, NOW - 9 * MINUTE, "last_gasp")
        event(c, live, 1, NOW - 5 * MINUTE, "power_down")
        event(c, live, 1, NOW - 2 * MINUTE, "power_up")
        event(c, live, 3, NOW - 3 * MINUTE, "relay_closed")
        event(c, live, 3, NOW - MINUTE, "relay_open")
        event(c, live, 2, NOW - 3 * MINUTE, "relay_open")
        event(c, live, 2, NOW - MINUTE, "relay_closed")
        event(c, live, 2, NOW - MINUTE, "cover_open")

    seen = Supply(database).last_seen(["M1", "M2", "M3", "M4", "nobody"])

    assert seen == {
        "M1": LastSeen(NOW, 231.5, NOW - 5 * MINUTE, NOW - 2 * MINUTE),
        "M2": LastSeen(NOW, 229.0),
        "M3": LastSeen(relay_open_us=NOW - MINUTE),
    }
    assert Supply(database).heard(["M1", "M3", "M4"]) == {"M1": NOW}


def test_the_state_of_a_switch_is_what_it_told_last(database: Database) -> None:
    with database.connection() as c:
        live = realm_id(c, "live")
        c.execute("INSERT INTO device (id, name) VALUES (11, 'S1'), (12, 'S2'), (13, 'S3')")
        event(c, live, 11, NOW - 9 * MINUTE, "switch_closed")
        event(c, live, 11, NOW - 5 * MINUTE, "switch_open")
        event(c, live, 12, NOW - 9 * MINUTE, "switch_open")
        event(c, live, 12, NOW - 5 * MINUTE, "switch_closed")
        event(c, live, 12, NOW - 2 * MINUTE, "comms_lost")
        event(c, live, 13, NOW - 9 * MINUTE, "switch_closed")
        event(c, live, 13, NOW - 8 * MINUTE, "comms_lost")
        event(c, live, 13, NOW - 7 * MINUTE, "comms_back")

    assert Supply(database).switches(["S1", "S2", "S3", "M1"]) == {
        "S1": SwitchState(False, NOW - 5 * MINUTE),
        "S2": SwitchState(True, NOW - 5 * MINUTE, heard=False),
        "S3": SwitchState(True, NOW - 9 * MINUTE),
    }
    assert Supply(database).switches([]) == {}


def test_what_devices_had_told_by_a_time_of_the_past(database: Database) -> None:
    with database.connection() as c:
        live = realm_id(c, "live")
        c.execute("INSERT INTO device (id, name) VALUES (31, 'A1'), (32, 'A2'), (33, 'A3')")
        for device, at, volts in ((31, -9, 230.0), (31, -4, 231.0), (31, 5, 232.0), (33, 1, 233.0)):
            c.execute(
                "INSERT INTO reading (realm, device, time, received, v_a) VALUES (%s,%s,%s,%s,%s)",
                [live, device, moment(NOW + at * MINUTE), moment(NOW), volts],
            )
        event(c, live, 32, NOW - 3 * MINUTE, "last_gasp")
        event(c, live, 32, NOW + 3 * MINUTE, "power_up")

    then = Supply(database).last_seen_at(["A1", "A2", "A3"], NOW)

    assert then == {
        "A1": LastSeen(NOW - 4 * MINUTE, 231.0),
        "A2": LastSeen(lost_us=NOW - 3 * MINUTE),
    }
    assert Supply(database).last_seen_at([], NOW) == {}


def test_words_of_power_are_those_asked_for_and_those_told_since(database: Database) -> None:
    with database.connection() as c:
        live = realm_id(c, "live")
        c.execute("INSERT INTO device (id, name) VALUES (21,'P1'),(22,'P2'),(23,'P3'),(24,'P4')")
        reading(c, live, 21, NOW, v_a=230.0)
        reading(c, live, 22, NOW, v_a=1.0, v_b=2.0)
        event(c, live, 22, NOW + 3 * MINUTE, "power_up")
        event(c, live, 22, NOW + 2 * MINUTE, "last_gasp")
        event(c, live, 23, NOW + MINUTE, "last_gasp")
        event(c, live, 24, NOW + 4 * MINUTE, "cover_open")
        event(c, live, 21, NOW - 9 * MINUTE, "power_down")

    found = Supply(database).power_words(["P1", "P4", "nobody"], NOW + 1)

    assert {k: v for k, v in found.items() if k.startswith("P")} == {
        "P1": LastSeen(NOW, 230.0),
        "P2": LastSeen(NOW, 2.0, NOW + 2 * MINUTE, NOW + 3 * MINUTE),
        "P3": LastSeen(lost_us=NOW + MINUTE),
        "P4": LastSeen(),
    }
    assert Supply(database, "drill-9").power_words([], NOW) == {}


def test_a_realm_without_readings_has_nothing_to_tell(database: Database) -> None:
    assert Supply(database, "drill-9").last_seen(["M1"]) == {}
    assert Supply(database).last_seen([]) == {}
