"""Summaries equal what plain Python computes from the readings, whatever came late."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from grid.errors import BadInput
from storage.database import Database
from storage.historian import Historian
from storage.maintain import compress, edition, retention
from storage.rollups import RollupWorker
from storage.series import Series, series
from tests.integration.storage.memory_journal import HOUR_US, MINUTE_US, START_US, MemoryJournal

NAN = float("nan")


def fetch(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def sum_all(database: Database) -> int:
    worker = RollupWorker(database, settle_s=0.0)
    taken = 0
    while more := worker.run_once(256):
        taken += more
    return taken


def minute_data(journal: MemoryJournal, hours: int, devices: int = 2, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    n = hours * 60 * devices
    time = START_US + np.arange(n) // devices * MINUTE_US
    v_a = rng.normal(230, 3, n).astype(np.float32)
    v_a[rng.random(n) < 0.1] = NAN
    energy = 1e9 + np.arange(n) // devices * 10.0
    device = np.arange(n) % devices
    names = [f"M{i}" for i in range(devices)]
    journal.readings(names, device, time, v_a=v_a, e_import=energy)
    return device, time, v_a


def test_both_summaries_equal_the_obvious_computation(
    database: Database, journal: MemoryJournal
) -> None:
    device, time, v_a = minute_data(journal, 3)
    Historian(database, journal).run_once()
    sum_all(database)

    for table, step in (("reading_5min", 5 * MINUTE_US), ("reading_hour", HOUR_US)):
        got = fetch(
            database,
            "SELECT name, extract(epoch FROM time)::bigint * 1000000, samples, min_v_a, max_v_a, "
            f"mean_v_a, n_v_a, first_e_import, last_e_import FROM {table} "
            "JOIN device ON id = device ORDER BY 1, 2",
        )
        at = 0
        for d in (0, 1):
            for start in range(START_US, START_US + 3 * HOUR_US, step):
                rows = (device == d) & (time >= start) & (time < start + step)
                x = v_a[rows][~np.isnan(v_a[rows])]
                name, bucket, samples, low, high, mean, n, first, last = got[at]
                assert (name, bucket, samples, n) == (f"M{d}", start, rows.sum(), x.size)
                assert (low, high) == (pytest.approx(x.min()), pytest.approx(x.max()))
                assert mean == pytest.approx(float(x.astype(float).mean()), rel=1e-6)
                minute = (start - START_US) // MINUTE_US
                assert first == 1e9 + minute * 10
                assert last == 1e9 + (minute + step // MINUTE_US - 1) * 10
                at += 1
        assert at == len(got)


def test_a_reading_that_comes_late_changes_its_hour_and_no_other(
    database: Database, journal: MemoryJournal
) -> None:
    minute_data(journal, 3, devices=1)
    historian = Historian(database, journal)
    historian.run_once()
    sum_all(database)
    before = fetch(database, "SELECT time, samples, max_v_a FROM reading_hour ORDER BY time")
    journal.readings(["M0"], [0], [START_US + HOUR_US + 30_000_000], v_a=[400])
    historian.run_once()

    taken = sum_all(database)

    after = fetch(database, "SELECT time, samples, max_v_a FROM reading_hour ORDER BY time")
    assert taken == 1
    assert [after[0], after[2]] == [before[0], before[2]]
    assert after[1][1:] == (61, 400.0)
    assert fetch(database, "SELECT max(max_v_a) FROM reading_5min") == [(400.0,)]


def test_devices_that_report_seldom_have_no_five_minute_rows(
    database: Database, journal: MemoryJournal
) -> None:
    """Their readings are the five-minute series: storing it twice would triple the size."""
    journal.readings(["Q"], [0] * 8, START_US + np.arange(8) * 15 * MINUTE_US, v_a=[230] * 8)
    Historian(database, journal).run_once()
    sum_all(database)

    assert fetch(database, "SELECT count(*) FROM reading_5min") == [(0,)]
    assert fetch(database, "SELECT samples FROM reading_hour") == [(4,), (4,)]


def test_an_hour_that_becomes_dense_gets_steps_with_all_it_holds(
    database: Database, journal: MemoryJournal
) -> None:
    """Voltages are summed up while the hour is sparse; a flood of currents makes it dense."""
    historian = Historian(database, journal)
    journal.readings(["M0"], [0] * 3, START_US + np.arange(3) * MINUTE_US, v_a=[230, 231, 232])
    historian.run_once()
    sum_all(database)
    time = START_US + np.arange(3, 60) * MINUTE_US
    journal.readings(["M0"], [0] * 57, time, i_a=np.arange(3, 60))
    historian.run_once()
    sum_all(database)

    got = fetch(database, "SELECT samples, n_v_a, max_v_a, n_i_a FROM reading_5min ORDER BY time")
    assert got[:2] == [(5, 3, 232.0, 2), (5, None, None, 5)]
    assert fetch(database, "SELECT samples, n_v_a, max_v_a, n_i_a FROM reading_hour") == [
        (60, 3, 232.0, 57)
    ]


def test_an_hour_still_being_filled_waits_until_it_has_settled(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(["M0"], [0], [START_US], v_a=[230])
    Historian(database, journal).run_once()
    worker = RollupWorker(database, settle_s=3600.0)

    assert worker.run_once() == 0
    assert worker.waiting()[0] == 1


def test_workers_and_a_historian_at_the_same_time_leave_summaries_right(
    database: Database, journal: MemoryJournal
) -> None:
    """Marks are taken while more readings of the same hours are being committed."""
    rng = np.random.default_rng(5)
    n, parts = 60 * 4 * 3, 40
    order = rng.permutation(n)
    for part in np.array_split(order, parts):
        time = START_US + part // 3 * MINUTE_US
        journal.readings(["M0", "M1", "M2"], part % 3, time, v_a=part.astype(float) / 10)
    stop = threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        worker = RollupWorker(database, settle_s=0.0)
        try:
            while not stop.is_set():
                worker.run_once(2)
        except Exception as e:
            errors.append(e)
            raise

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    historian = Historian(database, journal)
    for _ in range(parts):
        historian.run_once(limit=1)
    stop.set()
    for t in threads:
        t.join(30.0)
    sum_all(database)

    assert errors == []
    assert fetch(database, "SELECT sum(samples) FROM reading_hour") == [(n,)]
    wrong = fetch(
        database,
        "SELECT count(*) FROM reading_hour h JOIN (SELECT device, time_bucket('1 hour', time) AS t,"
        " count(*) AS n, max(v_a) AS high FROM reading GROUP BY 1, 2) r"
        " ON r.device = h.device AND r.t = h.time WHERE r.n <> h.samples OR r.high <> h.max_v_a",
    )
    assert wrong == [(0,)]


def test_retention_drops_whole_days_and_keeps_their_summaries(
    database: Database, journal: MemoryJournal
) -> None:
    """Even those not summed up yet, and against a reading that comes after the drop."""
    day = 24 * HOUR_US
    start = START_US // day * day
    time = start + np.arange(3 * 24) * HOUR_US
    journal.readings(["M0"], [0] * 72, time, v_a=np.arange(72))
    historian = Historian(database, journal)
    historian.run_once()

    dropped = retention(database, start + 2 * day)
    journal.readings(["M0"], [0], [start + MINUTE_US], v_a=[400])
    historian.run_once()
    sum_all(database)

    assert dropped == 2
    assert fetch(database, "SELECT count(*) FROM reading") == [(25,)]
    assert fetch(database, "SELECT count(*), max(max_v_a) FROM reading_hour") == [(72, 71.0)]


def test_the_apache_edition_compresses_nothing_and_says_so(database: Database) -> None:
    assert edition(database) == "apache"
    assert compress(database, START_US) == 0


# -- charts --------------------------------------------------------------------------------


def test_a_short_span_shows_the_readings_themselves(
    database: Database, journal: MemoryJournal
) -> None:
    device, time, v_a = minute_data(journal, 2)
    Historian(database, journal).run_once()

    got = series(database, "M1", ["v_a", "e_import"], START_US, START_US + HOUR_US)

    mine = (device == 1) & (time < START_US + HOUR_US)
    assert (got.step_s, got.time.tolist()) == (0.0, time[mine].tolist())
    for part in got.values["v_a"]:
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, v_a[mine])
    assert got.values["e_import"][1].dtype == np.float64


@pytest.mark.parametrize("summed", ["all", "half", "none"])
def test_a_chart_is_bounded_and_right_whatever_the_span_and_the_worker(
    database: Database, summed: str
) -> None:
    """Against plain numpy on the readings: extremes exact, means to rounding."""
    for hours in (2, 7, 30, 24 * 5):
        journal = MemoryJournal(f"journal-{hours}")
        device, time, v_a = minute_data(journal, hours, devices=2, seed=hours)
        realm = f"test-{hours}"
        Historian(database, journal, consumer=realm, realm=realm).run_once()
        if summed == "half":
            RollupWorker(database, settle_s=0.0).run_once(max(1, hours // 2))
        elif summed == "all":
            sum_all(database)

        end_us = START_US + hours * HOUR_US
        got = series(
            database, "M0", ["v_a", "e_import"], START_US, end_us, max_points=100, realm=realm
        )

        assert 20 <= got.time.size <= 101
        assert got.step_s > 0
        expect_equal(got, v_a[device == 0], time[device == 0])


def expect_equal(got: Series, v_a: Any, t: Any) -> None:
    """Every step of a chart against the readings of `minute_data` that lie in it."""
    x = v_a.astype(float)
    step = round(got.step_s * 1e6)
    low, mean, high = got.values["v_a"]
    first, _, last = got.values["e_import"]
    for i, start in enumerate(got.time.tolist()):
        inside = (t >= start) & (t < start + step)
        y = x[inside & ~np.isnan(x)]
        if y.size:
            assert (low[i], high[i]) == (y.min(), y.max())
            assert mean[i] == pytest.approx(y.mean(), rel=1e-6)
        else:
            assert np.isnan([low[i], mean[i], high[i]]).all()
        minute = (t[inside] - START_US) // MINUTE_US
        assert (first[i], last[i]) == (1e9 + minute[0] * 10, 1e9 + minute[-1] * 10)


def test_quarter_hourly_readings_keep_their_points_over_weeks(
    database: Database, journal: MemoryJournal
) -> None:
    n = 14 * 96
    time = START_US + np.arange(n) * 15 * MINUTE_US
    journal.readings(["Q"], [0] * n, time, v_a=np.arange(n) % 500)
    Historian(database, journal).run_once()
    sum_all(database)

    got = series(database, "Q", ["v_a"], START_US, START_US + n * 15 * MINUTE_US)

    assert got.time.tolist() == time.tolist()
    assert got.values["v_a"][1].tolist() == (np.arange(n) % 500).tolist()


def test_a_single_dip_of_a_season_is_on_the_chart(
    database: Database, journal: MemoryJournal
) -> None:
    n = 100 * 24
    v_a = np.full(n, 230.0)
    v_a[1711] = 97.5
    journal.readings(["Q"], [0] * n, START_US + np.arange(n) * HOUR_US, v_a=v_a)
    Historian(database, journal).run_once()
    sum_all(database)

    got = series(database, "Q", ["v_a"], START_US, START_US + n * HOUR_US)

    low, _, _ = got.values["v_a"]
    assert got.time.size <= 2000
    assert low.min() == 97.5
    start = got.time[low.argmin()]
    assert start <= START_US + 1711 * HOUR_US < start + got.step_s * 1e6


def test_rows_without_the_wanted_quantity_make_no_points(
    database: Database, journal: MemoryJournal
) -> None:
    journal.readings(
        ["M0"], [0] * 3, START_US + np.arange(3) * MINUTE_US, v_a=[230, NAN, NAN], i_a=[NAN, 5, NAN]
    )
    Historian(database, journal).run_once()

    got = series(database, "M0", ["i_a"], START_US, START_US + HOUR_US)

    assert got.time.tolist() == [START_US + MINUTE_US]


def test_a_device_never_heard_of_has_an_empty_chart(database: Database) -> None:
    got = series(database, "nobody", ["v_a"], START_US, START_US + HOUR_US)

    assert got.time.size == got.values["v_a"][0].size == 0


def test_an_unknown_quantity_is_named(database: Database) -> None:
    with pytest.raises(BadInput, match="unknown quantity 'volt'"):
        series(database, "M0", ["volt"], START_US, START_US + HOUR_US)
