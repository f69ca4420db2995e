"""The journal keeps what it acknowledged, in order, whatever is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from grid.journal import Quarantined, Record, Tick
from grid.readings import ReadingBatch
from ingest.journal import JournalError, JournalFull, SqliteJournal

REPOSITORY = Path(__file__).resolve().parents[3]


def record(time_us: int, device: str = "M1") -> Record:
    batch = ReadingBatch.of([device], [0], [time_us], {"v_a": [230.0]})
    return Record("mqtt test", batch, ticks=(Tick("mqtt test", time_us),))


def times(journal: SqliteJournal, after: int = 0, limit: int = 1000) -> list[int]:
    return [int(entry.record.batch.time[0]) for entry in journal.read(after, limit)]


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "journal")


def test_records_come_back_in_the_order_of_their_appends(journal: SqliteJournal) -> None:
    journal.append([record(1), record(2)])
    last = journal.append([record(3)])

    entries = journal.read(0, 10)

    assert [1, 2, 3] == [e.offset for e in entries] == [e.record.ticks[0].up_to_us for e in entries]
    assert 3 == last == journal.head()


def test_a_quarantined_payload_comes_back_byte_for_byte(journal: SqliteJournal) -> None:
    given = Quarantined("mqtt x", "not JSON", b"\x00\xff{", 5, "M1")

    journal.append([Record("mqtt x", quarantined=(given,))])

    assert (given,) == journal.read(0, 1)[0].record.quarantined


def test_what_is_withdrawn_comes_back_beside_everything_else(journal: SqliteJournal) -> None:
    given = Quarantined("mqtt x", "not JSON", b"{", 5, "M1")
    gone = ReadingBatch.of(["M2"], [0], [7], {"p": [1.0]})

    journal.append([Record("files x", record(3).batch, (given,), withdrawn=gone)])

    (entry,) = journal.read(0, 1)
    withdrawn = entry.record.withdrawn
    assert (given,) == entry.record.quarantined
    assert [3] == entry.record.batch.time.tolist()
    assert (["M2"], [7], [1.0]) == (
        withdrawn.device_names().tolist(),
        withdrawn.time.tolist(),
        withdrawn.values["p"].tolist(),
    )


def test_reads_are_limited_and_go_on_after_an_offset(journal: SqliteJournal) -> None:
    journal.append([record(t) for t in range(1, 11)])

    assert [4, 5, 6] == times(journal, after=3, limit=3)


def test_offsets_keep_growing_after_a_full_trim_and_a_restart(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "journal")
    first.append([record(t) for t in range(1, 1203)])
    assert 1202 == first.trim(1203)
    assert [] == first.read(0, 10)
    first.close()

    again = SqliteJournal(tmp_path / "journal")

    assert 1202 == again.head()
    assert 1203 == again.append([record(7)])
    assert first.uuid == again.uuid


def test_trimming_keeps_what_a_consumer_still_needs(journal: SqliteJournal) -> None:
    journal.append([record(t) for t in range(1, 6)])

    assert 3 == journal.trim(4)

    assert [4, 5] == times(journal)


def test_each_file_has_an_identity_of_its_own(tmp_path: Path) -> None:
    assert SqliteJournal(tmp_path / "a").uuid != SqliteJournal(tmp_path / "b").uuid


def test_a_damaged_entry_becomes_a_quarantine_row_and_its_neighbours_are_read(
    journal: SqliteJournal,
) -> None:
    journal.append([record(1), record(2), record(3)])
    with sqlite3.connect(journal.path) as raw:
        raw.execute("UPDATE entries SET payload = substr(payload, 1, 30) WHERE offset = 2")
    raw.close()

    one, two, three = journal.read(0, 10)

    assert [1, 3] == [int(e.record.batch.time[0]) for e in (one, three)]
    assert 0 == len(two.record.batch)
    assert "journal entry 2 is damaged" in two.record.quarantined[0].reason


def test_a_journal_at_its_limit_refuses_until_it_is_trimmed(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal", max_bytes=300_000)
    with pytest.raises(JournalFull, match="limit of 300,000 bytes"):
        for t in range(1, 10_000):
            journal.append([record(t)] * 50)
    kept = journal.head()

    journal.trim(kept + 1)

    assert kept + 1 == journal.append([record(1)])


def test_a_full_disk_is_told_apart_and_loses_nothing(journal: SqliteJournal) -> None:
    journal.append([record(1)])
    pages = journal._pragma(journal._writer, "page_count")
    journal._writer.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLITE_FULL as on a full disk

    with pytest.raises(JournalFull, match="the disk is full"):
        journal.append([record(t) for t in range(2, 500)])

    assert [1] == times(journal)
    journal._writer.execute("PRAGMA max_page_count=1000000")
    assert 2 == journal.append([record(2)])


def test_a_file_that_is_no_journal_is_refused_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is not a database, it is a letter\n" * 500)

    with pytest.raises(JournalError, match="Move it away"):
        SqliteJournal(path)


def test_a_folder_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalError, match="cannot open"):
        SqliteJournal(tmp_path / "file" / "journal")


def test_threads_may_append_and_read_at_the_same_time(journal: SqliteJournal) -> None:
    def append() -> None:
        for t in range(50):
            journal.append([record(t)])

    threads = [threading.Thread(target=append) for _ in range(3)]
    for t in threads:
        t.start()
    seen = 0
    while any(t.is_alive() for t in threads):
        offsets = [e.offset for e in journal.read(0, 1000)]
        assert list(range(1, len(offsets) + 1)) == offsets  # never a hole, never out of order
        assert len(offsets) >= seen
        seen = len(offsets)
    for t in threads:
        t.join(10)

    assert 150 == journal.head() == len(journal.read(0, 1000))


def test_a_second_process_reads_and_trims_while_the_first_appends(journal: SqliteJournal) -> None:
    journal.append([record(t) for t in range(1, 6)])
    code = (
        "import sys; from pathlib import Path; from ingest.journal import SqliteJournal\n"
        "j = SqliteJournal(Path(sys.argv[1])); print(len(j.read(0, 99)), j.trim(3), j.uuid)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(journal.path)],
        capture_output=True, text=True, timeout=60, cwd=REPOSITORY, check=True,
    )  # fmt: skip

    assert ["5", "2", journal.uuid] == done.stdout.split()
    assert 6 == journal.append([record(6)])
    assert [3, 4, 5, 6] == times(journal)


_WRITER = """
import sys
from pathlib import Path
from grid.journal import Record
from grid.readings import ReadingBatch
from ingest.journal import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
t = int(sys.argv[2])
while True:
    batch = ReadingBatch.of(["M1"], [0] * 50, range(t, t + 50), {"v_a": [1.0] * 50})
    journal.append([Record("s", batch), Record("s", batch)])
    print(t, flush=True)
    t += 50
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Ten killed writers on one file: each printed (acknowledged) append is there, whole."""
    path = tmp_path / "journal"
    next_t = 0
    for appends_before_kill in (1, 3, 7, 2, 20, 5, 1, 11, 4, 9):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(next_t)],
            stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(appends_before_kill)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait(10)
        process.stdout.close()

        journal = SqliteJournal(path)
        entries = journal.read(0, 100_000)
        starts = [int(e.record.batch.time[0]) for e in entries]
        assert all(e.record.quarantined == () and len(e.record.batch) == 50 for e in entries)
        assert set(acknowledged) <= set(starts)
        assert starts == sorted(starts)  # both records of each append, one after the other
        assert all(starts[i] == starts[i + 1] for i in range(0, len(starts), 2))
        next_t = starts[-1] + 50
        journal.close()
