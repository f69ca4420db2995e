"""Journal to database: each record once, whatever comes twice, late, broken or in between."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from grid.journal import Quarantined, Record
from grid.network import Device, Network
from grid.quantities import EVENT_CODE, NAMES
from grid.readings import Quality, ReadingBatch
from storage import historian as historian_module
from storage.database import Database
from storage.errors import DatabaseUnavailable, JournalMismatch
from storage.fleet import gaps, journal_positions, latest, quarantine_rows
from storage.historian import Historian, adopt_journal
from storage.read_back import read_back
from storage.rollups import RollupWorker
from tests.integration.storage.memory_journal import MINUTE_US, START_US, MemoryJournal

NAN = float("nan")


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def count(database: Database, table: str) -> int:
    return int(rows(database, f"SELECT count(*) FROM {table}")[0][0])


def network(interval_s: float = 60.0, *names: str) -> Network:
    return Network(devices=tuple(Device(n, interval_s=interval_s) for n in names))


def minutes(*numbers: int) -> list[int]:
    return [START_US + n * MINUTE_US for n in numbers]


def test_every_quantity_is_stored_as_it_came(database: Database, journal: MemoryJournal) -> None:
    """All columns, NaN as NULL, registers in double precision, order of rows free."""
    rng = np.random.default_rng(3)
    n = 400
    values: dict[str, Any] = {q: rng.normal(100, 30, n) for q in NAMES}
    for v in values.values():
        v[rng.random(n) < 0.3] = NAN
    values["e_import"] = np.arange(n) + 1e11 + 0.125
    device = rng.permutation(n) % 7
    time = START_US + rng.permutation(n) * MINUTE_US
    seq = np.where(device % 2, np.arange(n), -1)
    quality = np.where(device == 3, int(Quality.LATE), 0)
    names = [f"表计-{i}" for i in range(7)]
    journal.readings(names, device, time, seq=seq, quality=quality, received=time + 5, **values)

    step = Historian(database, journal).run_once()

    sent = ReadingBatch.concat([e.record.batch for e in journal.read(0, 9)]).sort()
    got = ReadingBatch.concat(list(read_back(database, START_US, START_US + n * MINUTE_US)))
    assert (step.rows, step.duplicates, step.quarantined, step.offset) == (n, 0, 0, 1)
    assert got.device_names().tolist() == sent.device_names().tolist()
    for column in ("time", "received", "seq", "quality"):
        assert getattr(got, column).tolist() == getattr(sent, column).tolist(), column
    for q in NAMES:
        np.testing.assert_array_equal(got.value(q), sent.value(q), err_msg=q)


def test_an_empty_journal_is_an_empty_step(database: Database, journal: MemoryJournal) -> None:
    step = Historian(database, journal).run_once()

    assert (step.rows, step.entries, step.offset) == (0, 0, 0)


def test_the_position_moves_with_the_rows_and_a_new_historian_goes_on_from_it(
    database: Database, journal: MemoryJournal
) -> None:
    for k in range(3):
        journal.readings(["M1"], [0], [START_US + k * MINUTE_US], v_a=[230 + k])
    Historian(database, journal).run_once(limit=2)

    step = Historian(database, journal).run_once()

    assert (step.rows, step.offset) == (1, 3)
    assert journal_positions(database)["historian"].offset == 3
    assert count(database, "reading") == 3


def test_another_journal_is_refused_until_a_person_adopts_it(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M1"], [0], [START_US], v_a=[230])
    Historian(database, journal).run_once()
    other = MemoryJournal("journal-2")
    other.readings(["M1"], [0], [START_US + MINUTE_US], v_a=[231])

    with pytest.raises(JournalMismatch, match=r"journal-1.*journal-2"):
        Historian(database, other).run_once()
    adopt_journal(database, other)

    assert Historian(database, other).run_once().rows == 1


def test_two_consumers_keep_their_own_journals(database: Database, journal: MemoryJournal) -> None:
    other = MemoryJournal("journal-2")
    journal.readings(["M1"], [0], [START_US], v_a=[230])
    other.readings(["M2"], [0], [START_US], v_a=[231])

    Historian(database, journal, consumer="historian/a").run_once()
    Historian(database, other, consumer="historian/b").run_once()

    assert count(database, "reading") == 2


def test_a_reading_sent_again_is_stored_once(database: Database, journal: MemoryJournal) -> None:
    """In the same step, in a later one, and among new rows."""
    historian = Historian(database, journal)
    journal.readings(["M1", "M2"], [0, 1, 0], minutes(0, 0, 0), v_a=[230, 231, 230])
    first = historian.run_once()
    journal.readings(["M2", "M1"], [0, 1, 1], minutes(0, 0, 1), v_a=[231, 230, 232])
    second = historian.run_once()

    assert (first.rows, first.duplicates, first.conflicts) == (2, 1, 0)
    assert (second.rows, second.duplicates, second.conflicts) == (1, 2, 0)
    assert count(database, "reading") == 3


def test_a_different_value_for_a_stored_reading_is_recorded_and_changes_nothing(
    database: Database, journal: MemoryJournal
) -> None:
    historian = Historian(database, journal)
    journal.readings(["M1"], [0], [START_US], v_a=[230], i_a=[5])
    historian.run_once()
    journal.readings(["M1"], [0], [START_US], v_a=[240], p=[900])
    journal.readings(["M1"], [0], [START_US], v_a=[240], p=[900])

    step = historian.run_once()

    assert (step.rows, step.duplicates, step.conflicts) == (0, 2, 1)
    assert rows(database, "SELECT v_a, i_a, p FROM reading") == [(230.0, 5.0, None)]
    assert rows(database, "SELECT arrived, stored FROM reading_conflict") == [
        ({"v_a": 240.0, "p": 900.0}, {"v_a": 230.0, "i_a": 5.0})
    ]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_mended_reading_takes_the_place_of_the_stored_one(
    database: Database, journal: MemoryJournal, steps: int
) -> None:
    """In the same step as the first version or later; what it was is kept as a conflict."""
    historian = Historian(database, journal)
    journal.readings(["M1", "M2"], [0, 1], minutes(0, 0), v_a=[230, 9], i_a=[5, 6])
    if steps == 2:
        historian.run_once()
    mended = int(Quality.REPLACES | Quality.BACKFILL)
    journal.readings(["M2"], [0, 0], minutes(0, 1), v_a=[228, 227], quality=[mended] * 2)
    journal.readings(["M2"], [0], minutes(0), v_a=[229], quality=[mended])

    step = historian.run_once()

    assert step.rows == (3 if steps == 1 else 1)
    assert rows(database, "SELECT d.name, v_a, i_a FROM reading r JOIN device d ON d.id = r.device"
                " ORDER BY d.name, time") == [
        ("M1", 230.0, 5.0), ("M2", 229.0, 6.0), ("M2", 227.0, None)
    ]  # fmt: skip
    assert rows(database, "SELECT stored->'v_a' FROM reading_conflict ORDER BY noted_at") != []
    newest = latest(database, ["M2"])
    assert (newest.time.tolist(), newest.values["v_a"].tolist()) == (minutes(1), [227.0])


def test_a_mended_newest_reading_is_what_latest_shows(
    database: Database, journal: MemoryJournal
) -> None:
    historian = Historian(database, journal)
    journal.readings(["M1"], [0], minutes(0), v_a=[9])
    historian.run_once()
    journal.readings(["M1"], [0], minutes(0), v_a=[229], quality=[int(Quality.REPLACES)])

    historian.run_once()

    assert [229.0] == latest(database, ["M1"]).values["v_a"].tolist()


def withdraw(journal: MemoryJournal, device: str, minute: int, *quantities: str) -> None:
    gone = ReadingBatch.of(
        [device, "never-heard"],
        [0, 1],
        minutes(minute, minute),
        {q: [1, 1] for q in quantities},
        quality=[int(Quality.REPLACES | Quality.BACKFILL)] * 2,
    )
    journal.append([Record("files x", withdrawn=gone)])


def test_values_that_a_mended_export_has_emptied_no_longer_stand(
    database: Database, journal: MemoryJournal
) -> None:
    """Not in the history, not as the newest, not in the rollups; what they were is on record."""
    historian = Historian(database, journal)
    journal.readings(["M1"], [0, 0], minutes(0, 1), v_a=[230, 9], i_a=[5, 6])
    historian.run_once()
    RollupWorker(database, settle_s=0.0).run_once()
    withdraw(journal, "M1", 1, "v_a")

    step = historian.run_once()
    RollupWorker(database, settle_s=0.0).run_once()

    assert (0, 1) == (step.rows, step.conflicts)
    assert [(230.0, 5.0, 0), (None, 6.0, 192)] == rows(
        database, "SELECT v_a, i_a, quality FROM reading ORDER BY time"
    )
    newest = latest(database, ["M1"])
    assert (minutes(1), [6.0]) == (newest.time.tolist(), newest.values["i_a"].tolist())
    assert "v_a" not in newest.values or np.isnan(newest.values["v_a"]).all()
    assert [(230.0, 230.0, 1)] == rows(database, "SELECT min_v_a, max_v_a, n_v_a FROM reading_hour")
    assert [({"v_a": None}, {"v_a": 9.0, "i_a": 6.0})] == rows(
        database, "SELECT arrived, stored FROM reading_conflict"
    )


def test_a_value_given_again_after_it_was_withdrawn_stands_whatever_the_steps(
    database: Database, journal: MemoryJournal
) -> None:
    """Emptied by the first mending, filled by the second; all of it waits in the journal."""
    journal.readings(["M1"], [0], minutes(0), v_a=[9])
    withdraw(journal, "M1", 0, "v_a")
    journal.readings(["M1"], [0], minutes(0), v_a=[229], quality=[int(Quality.REPLACES)])
    historian = Historian(database, journal)

    while historian.run_once().entries:
        pass

    assert [(229.0,)] == rows(database, "SELECT v_a FROM reading")
    assert [229.0] == latest(database, ["M1"]).values["v_a"].tolist()


@pytest.mark.parametrize(("p", "left"), [(600.0, None), (650.0, 650.0)])
def test_a_sum_of_phases_goes_with_a_phase_and_a_measured_total_stays(
    database: Database, journal: MemoryJournal, p: float, left: float | None
) -> None:
    journal.readings(["M1"], [0], minutes(0), p_a=[100], p_b=[200], p_c=[300], p=[p])
    withdraw(journal, "M1", 0, "p_b")
    historian = Historian(database, journal)

    while historian.run_once().entries:
        pass

    assert [(100.0, None, left)] == rows(database, "SELECT p_a, p_b, p FROM reading")


def test_a_conflict_within_one_step_is_recorded_too(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M1"], [0, 0], minutes(0, 0), v_a=[230, 240])

    step = Historian(database, journal).run_once()

    assert (step.rows, step.conflicts) == (1, 1)
    assert rows(database, "SELECT arrived, stored FROM reading_conflict") == [
        ({"v_a": 240.0}, {"v_a": 230.0})
    ]


def test_parts_of_a_reading_from_different_messages_complete_each_other(
    database: Database, journal: MemoryJournal
) -> None:
    historian = Historian(database, journal)
    journal.readings(["M1"], [0], [START_US], v_a=[230])
    historian.run_once()
    journal.readings(["M1", "M2"], [0, 1], minutes(0, 0), i_a=[5, 6])

    step = historian.run_once()

    assert (step.rows, step.conflicts) == (1, 0)
    assert rows(database, "SELECT v_a, i_a FROM reading ORDER BY i_a") == [(230, 5), (None, 6)]


def test_a_row_that_the_table_refuses_fails_alone(
    database: Database, journal: MemoryJournal
) -> None:
    """Found by bisection among its neighbours, kept with reason and values."""
    with database.connection() as connection:
        connection.execute("ALTER TABLE reading ADD CONSTRAINT sane CHECK (v_a < 1000)")
    v_a = np.full(1000, 230.0)
    v_a[[17, 803]] = 5000
    journal.readings(["M1"], np.zeros(1000, int), minutes(*range(1000)), v_a=v_a)

    step = Historian(database, journal).run_once()

    assert (step.rows, step.quarantined, step.offset) == (998, 2, 1)
    assert count(database, "reading") == 998
    refused = quarantine_rows(database)
    assert [json.loads(r.payload)["v_a"] for r in refused] == [5000, 5000]
    assert "violates check constraint" in refused[0].reason
    assert latest(database).time.tolist() == [minutes(999)[0]]


def test_a_refused_row_among_duplicates_fails_alone(
    database: Database, journal: MemoryJournal
) -> None:
    with database.connection() as connection:
        connection.execute("ALTER TABLE reading ADD CONSTRAINT sane CHECK (v_a < 1000)")
    historian = Historian(database, journal)
    journal.readings(["M1"], [0] * 3, minutes(0, 1, 2), v_a=[230] * 3)
    historian.run_once()
    journal.readings(["M1"], [0] * 5, minutes(0, 1, 2, 3, 4), v_a=[230, 230, 230, 5000, 231])

    step = historian.run_once()

    assert (step.rows, step.duplicates, step.quarantined) == (1, 3, 1)


def test_readings_and_events_from_a_broken_clock_go_to_quarantine(
    database: Database, journal: MemoryJournal
) -> None:
    times = [START_US, -(2**63), 2**63 - 1, 0, 2**62]
    journal.readings(["M1"], [0] * 5, times, received=START_US, v_a=[1, 2, 3, 4, 5])
    journal.readings(["M1"], [0], [2**62], received=START_US, event=[EVENT_CODE["last_gasp"]])

    step = Historian(database, journal).run_once()

    assert (step.rows, step.events, step.quarantined) == (1, 0, 5)
    assert "clock" in quarantine_rows(database)[0].reason


def test_a_device_with_an_endless_name_is_refused_and_its_neighbours_stored(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["x" * 60_000, "M1"], [0, 1], minutes(0, 0), v_a=[230, 231])

    step = Historian(database, journal).run_once()

    assert (step.rows, step.quarantined) == (1, 1)
    assert "name" in quarantine_rows(database)[0].reason


def test_quarantined_payloads_are_kept_whole_and_counted_when_they_come_again(
    database: Database, journal: MemoryJournal
) -> None:
    refused = Quarantined("mqtt a/b", "no JSON: \0", b'{"v_a": \xff\x00', START_US, "M\0x")
    historian = Historian(database, journal)
    journal.append([Record("test", quarantined=(refused, refused))])
    historian.run_once()
    journal.append([Record("test", quarantined=(refused,))])
    historian.run_once()

    (row,) = quarantine_rows(database)
    assert (row.payload, row.times, row.hash) == (refused.payload, 3, refused.hash)
    assert (row.reason, row.device) == ("no JSON: \\0", "M\\0x")


def test_events_are_stored_once_and_never_as_readings(
    database: Database, journal: MemoryJournal
) -> None:
    gasp = EVENT_CODE["last_gasp"]
    journal.readings(
        ["M1"], [0, 0, 0], minutes(0, 1, 1), event=[0, gasp, gasp], v_a=[230, NAN, NAN]
    )

    step = Historian(database, journal).run_once()

    assert (step.rows, step.events) == (1, 1)
    (got,) = read_back(database, START_US, START_US + 2 * MINUTE_US)
    assert got.event.tolist() == [0, gasp]


def test_latest_holds_the_newest_reading_in_event_time(
    database: Database, journal: MemoryJournal
) -> None:
    historian = Historian(database, journal)
    journal.readings(["M1", "M2"], [0, 0, 1], minutes(5, 6, 5), v_a=[230, 231, 232], i_a=[1, 2, 3])
    historian.run_once()
    journal.readings(["M1", "M2"], [0, 1], minutes(2, 7), v_a=[200, 233])
    historian.run_once()

    got = latest(database)

    assert dict(zip(got.device_names(), got.time.tolist(), strict=True)) == {
        "M1": minutes(6)[0],
        "M2": minutes(7)[0],
    }
    by_name = dict(zip(got.device_names(), got.value("v_a").tolist(), strict=True))
    assert by_name == {"M1": 231.0, "M2": 233.0}
    # M2's newest row had no current: an old value is not passed off as new.
    assert np.isnan(got.value("i_a")[got.device_names() == "M2"]).all()
    assert len(latest(database, ["M2"])) == 1
    assert len(latest(database, [])) == len(latest(database, ["nobody"])) == 0


def test_realms_do_not_see_each_other(database: Database, journal: MemoryJournal) -> None:
    journal.readings(["M1"], [0], [START_US], v_a=[230])
    Historian(database, journal).run_once()
    Historian(database, journal, consumer="drill", realm="drill-1").run_once()

    assert count(database, "reading") == 2
    assert len(latest(database)) == len(latest(database, realm="drill-1")) == 1
    assert list(read_back(database, START_US, START_US + 1, "drill-2")) == []


def test_late_readings_may_unpack_as_much_of_compressed_chunks_as_they_must(
    database: Database, journal: MemoryJournal
) -> None:
    """The community edition's limit on that would make a step fail again and again."""
    limit = "timescaledb.max_tuples_decompressed_per_dml_transaction"
    with database.connection() as connection:
        connection.execute("CREATE TABLE seen (value text)")
        connection.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"INSERT INTO seen VALUES (current_setting('{limit}')); RETURN NULL; END $$".encode()
        )
        connection.execute(
            "CREATE TRIGGER note AFTER INSERT ON reading FOR EACH ROW EXECUTE FUNCTION note()"
        )
    journal.readings(["M1"], [0], minutes(0), v_a=[230])

    Historian(database, journal).run_once()

    assert [("0",)] == rows(database, "SELECT value FROM seen")


def test_a_gap_is_opened_and_closed_by_the_readings_that_come_late(
    database: Database, journal: MemoryJournal
) -> None:
    historian = Historian(database, journal, expected=network(60.0, "M1"))
    journal.readings(["M1"], [0] * 4, minutes(0, 1, 2, 6), v_a=[230] * 4)
    opened = historian.run_once()
    (gap,) = gaps(database)
    journal.readings(["M1"], [0], minutes(4), v_a=[230])
    historian.run_once()
    (half,) = gaps(database)
    journal.readings(["M1"], [0, 0], minutes(3, 5), v_a=[230] * 2)
    closed = historian.run_once()

    assert (opened.gaps_opened, gap.missing, gap.filled, gap.reason) == (1, 3, 0, "interval")
    assert [gap.after_us, gap.before_us] == minutes(2, 6)
    assert (half.filled, half.closed_us) == (1, None)
    assert (closed.gaps_opened, closed.gaps_closed) == (0, 1)
    assert gaps(database) == []
    (whole,) = gaps(database, open_only=False)
    assert whole.filled == 3 and whole.closed_us is not None


def test_gaps_are_found_across_a_restart(database: Database, journal: MemoryJournal) -> None:
    expected = network(60.0, "M1")
    journal.readings(["M1"], [0] * 3, minutes(0, 1, 2), v_a=[230] * 3)
    Historian(database, journal, expected=expected).run_once()
    journal.readings(["M1"], [0], minutes(10), v_a=[230])

    step = Historian(database, journal, expected=expected).run_once()

    assert step.gaps_opened == 1
    assert gaps(database)[0].missing == 7


def test_a_jump_of_the_sequence_is_a_gap_without_any_interval(
    database: Database, journal: MemoryJournal
) -> None:
    historian = Historian(database, journal)
    journal.readings(["M1"], [0, 0], minutes(0, 1), seq=[10, 14], v_a=[230] * 2)
    historian.run_once()
    (gap,) = gaps(database, device="M1")

    assert (gap.reason, gap.missing) == ("sequence", 3)


def test_after_a_failed_step_everything_known_is_read_again(
    database: Database, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolled-back step must leave no device key and no newest time in memory."""
    historian = Historian(database, journal, expected=network(60.0, "M1"))
    journal.readings(["M1"], [0] * 3, minutes(0, 1, 2), v_a=[230] * 3)

    def lost(*_: object) -> None:
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Historian, "_mark_dirty", lost)
        with pytest.raises(DatabaseUnavailable):
            historian.run_once()

    step = historian.run_once()

    assert (step.rows, step.gaps_opened, count(database, "latest")) == (3, 0, 1)


def test_a_step_takes_whole_entries_up_to_its_bound(
    database: Database, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(historian_module, "ROWS_MAX", 5)
    for k in range(3):
        journal.readings(["M1"], [0] * 3, minutes(*range(3 * k, 3 * k + 3)), v_a=[230] * 3)
    journal.readings(["M1"], [0] * 9, minutes(*range(9, 18)), v_a=[230] * 9)
    historian = Historian(database, journal)

    steps = [historian.run_once() for _ in range(5)]

    assert [s.rows for s in steps] == [3, 3, 3, 9, 0]


def test_a_second_historian_waits_for_the_first_and_repeats_nothing(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M1"], [0], [START_US], v_a=[230])
    first, second = Historian(database, journal), Historian(database, journal)

    steps = [first.run_once(), second.run_once()]

    assert [s.rows for s in steps] == [1, 0]
