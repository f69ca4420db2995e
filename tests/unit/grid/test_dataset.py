"""Dataset folders: arrival order, tolerant of cells, strict about what has no meaning."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid.dataset import read_dataset, write_events, write_readings
from grid.errors import BadInput
from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch

MINUTE = 60_000_000


def readings(n: int = 10) -> ReadingBatch:
    """Rows of two meters; the second half arrived in reverse order."""
    time = np.arange(n) * MINUTE
    received = time + np.where(np.arange(n) < n // 2, 0, (n - np.arange(n)) * 10 * MINUTE)
    return ReadingBatch.of(["M1", "M2"], np.arange(n) % 2, time, {"v_a": 230.0 + time / MINUTE},
                           received=received)  # fmt: skip


def test_rows_come_in_the_order_they_arrived(tmp_path: Path) -> None:
    write_readings(tmp_path, [readings()])

    got = ReadingBatch.concat(list(read_dataset(tmp_path).batches()))

    assert (np.diff(got.received) >= 0).all()
    assert sorted(readings().time.tolist()) == sorted(got.time.tolist())


def test_events_of_the_same_moment_come_before_readings(tmp_path: Path) -> None:
    write_readings(tmp_path, [readings().sort()])
    gasp = ReadingBatch.of(["M2"], [0], [2 * MINUTE], {}, event=[EVENT_CODE["last_gasp"]])
    write_events(tmp_path, gasp)

    got = ReadingBatch.concat(list(read_dataset(tmp_path).batches(chunk_rows=3)))

    assert 11 == len(got)
    at = int(np.flatnonzero(got.event)[0])
    assert 2 * MINUTE == got.received[at]
    assert 2 * MINUTE == got.received[at + 1]
    assert MINUTE == got.received[at - 1]


@pytest.mark.parametrize("chunk_rows", [1, 3, 1000])
def test_chunks_do_not_change_what_is_read(tmp_path: Path, chunk_rows: int) -> None:
    write_readings(tmp_path, [readings().sort(by="received")])
    events = ReadingBatch.of(["M1"] * 1, [0, 0], [MINUTE, 5 * MINUTE], {}, event=[1, 2])
    write_events(tmp_path, events)

    got = ReadingBatch.concat(list(read_dataset(tmp_path).batches(chunk_rows=chunk_rows)))
    whole = ReadingBatch.concat(list(read_dataset(tmp_path).batches()))

    np.testing.assert_array_equal(whole.time, got.time)
    np.testing.assert_array_equal(whole.event, got.event)


def test_a_span_of_event_time_can_be_chosen(tmp_path: Path) -> None:
    write_readings(tmp_path, [readings()])

    span = list(read_dataset(tmp_path).batches(start_us=2 * MINUTE, end_us=4 * MINUTE))

    assert {2 * MINUTE, 3 * MINUTE} == set(ReadingBatch.concat(span).time.tolist())


def test_a_bad_cell_costs_that_cell_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text(
        "time,device,v_a,i_a,colour\n"
        "2026-01-01T00:00:00Z,M1,abc,3,red\n"
        "2026-01-01T00:15:00,M1,230,3,red\n"
        "2026-01-01T08:30:00+08:00,M1,231,4,red\n"
    )
    dataset = read_dataset(tmp_path)

    got = ReadingBatch.concat(list(dataset.batches()))

    assert [3.0, 4.0] == got.values["i_a"].tolist()
    np.testing.assert_array_equal(np.array([np.nan, 231], np.float32), got.values["v_a"])
    assert 1 == dataset.notes.bad_rows
    assert "readings.csv:2, column v_a: 'abc'" in " ".join(dataset.notes.sentences)
    assert "left aside colour" in " ".join(dataset.notes.sentences)


def test_a_file_without_time_names_the_fix(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text("when,device,v_a\n1,M1,230\n")

    with pytest.raises(BadInput, match="column 'time' is missing"):
        list(read_dataset(tmp_path).batches())


def test_a_parquet_file_without_devices_names_the_fix(tmp_path: Path) -> None:
    time = pa.array([0], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"time": time, "v_a": [230.0]}), tmp_path / "readings.parquet")

    with pytest.raises(BadInput, match="column 'device' is missing"):
        list(read_dataset(tmp_path).batches())


@pytest.mark.parametrize("column", ["time", "received"])
def test_times_finer_than_a_microsecond_are_cut_off(tmp_path: Path, column: str) -> None:
    """As pandas writes them: nanoseconds, arrival measured to the last of them."""
    nanoseconds = pa.array([MINUTE * 1000 + 1, 2 * MINUTE * 1000 + 999], pa.timestamp("ns", "UTC"))
    table = pa.table({"time": nanoseconds, "device": ["M1", "M1"], "v_a": [230.0, 231.0]})
    if column == "received":
        table = table.append_column("received", nanoseconds)
    pq.write_table(table, tmp_path / "readings.parquet")

    got = ReadingBatch.concat(list(read_dataset(tmp_path).batches()))

    assert [MINUTE, 2 * MINUTE] == got.time.tolist()
    assert [MINUTE, 2 * MINUTE] == got.received.tolist()


@pytest.mark.parametrize(
    "names",
    [
        pa.array(["M1", "M2", "M1"]),
        pa.array(["M1", "M2", "M1"], pa.large_string()),
        pa.array(["M1", "M2", "M1"]).dictionary_encode(),
        pa.array([b"M1", b"M2", b"M1"]),
    ],
    ids=lambda names: str(names.type),
)
def test_device_names_are_text_however_a_parquet_file_keeps_them(
    tmp_path: Path, names: pa.Array
) -> None:
    time = pa.array([0, 1, 2], pa.timestamp("us", tz="UTC"))
    table = pa.table({"time": time, "device": names, "v_a": [230.0, 231.0, 232.0]})
    pq.write_table(table, tmp_path / "readings.parquet")

    got = ReadingBatch.concat(list(read_dataset(tmp_path).batches(chunk_rows=2)))

    assert ["M1", "M2", "M1"] == got.device_names().tolist()


def test_a_folder_without_readings_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Put the readings beside network/"):
        list(read_dataset(tmp_path).batches())


def test_contacts_are_read_with_their_time(tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_text(
        "time,channel,external_id,account\n"
        "2026-01-01T08:00:00+08:00,phone,C2,A1\n2025-12-31T23:00:00Z,web,C1,A2\n"
    )

    contacts = read_dataset(tmp_path).contacts()

    assert ["C1", "C2"] == contacts["external_id"].tolist()
    assert 1767225600000000 == contacts["time_us"].iloc[1]


def test_a_contact_without_zone_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_text("time,channel\n2026-01-01T08:00:00,phone\n")

    with pytest.raises(BadInput, match=r"contacts\.csv:2, column time"):
        read_dataset(tmp_path).contacts()


def test_the_real_station_area_streams(shared_data: Path) -> None:
    rows = sum(len(b) for b in read_dataset(shared_data / "station_area_1").batches())

    assert 66645 == rows
