"""A watched folder: each file once, whatever happens; a mended one replaces its rows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grid.clock import RealClock
from grid.network import Device, Network
from grid.readings import Quality
from ingest.file_ledger import FileLedger, Taken
from ingest.files import FileCollector
from ingest.layout_files import load_layout
from ingest.metrics import CollectorMetrics, SourceMetrics
from ingest.settings import CollectorSettings, FileSource
from tests.integration.ingest.rig import FussyJournal, entries, network_of, rows, running
from tests.waiting import wait_for

HEAD = "meter,time,v_a\n"
T1, T2 = 1_772_294_400_000, 1_772_295_300_000  # 2026-03-01T00:00+08:00, a quarter of an hour later
LINE1, LINE2 = "2026-03-01 00:00", "2026-03-01 00:15"


class Rig:
    """A folder, its collector, the journal behind it."""

    def __init__(self, folder: Path) -> None:
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.journal = FussyJournal(folder / "journal")
        self.network = network_of("M1", "M2")
        self.source = FileSource(
            self.inbox, load_layout("long"), folder / "files.sqlite", settle_s=0.0, every_s=0.02
        )

    def write(self, name: str, *lines: str, age_s: float = 10.0) -> Path:
        """A file that was last changed so long ago."""
        path = self.inbox / name
        path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
        stamp = time.time() - age_s
        os.utime(path, (stamp, stamp))
        return path

    @contextmanager
    def collecting(self) -> Iterator[SourceMetrics]:
        metrics = CollectorMetrics()
        collector = FileCollector(
            self.source, CollectorSettings(retry_s=0.02), self.journal, self.network, RealClock(),
            metrics,
        )  # fmt: skip
        with running(collector):
            yield metrics.source(collector.name)

    def take(self, files: int) -> SourceMetrics:
        """Run until so many files were taken."""
        with self.collecting() as metrics:
            wait_for(lambda: metrics.messages >= files, message="the files taken")
        return metrics

    def reasons(self) -> list[str]:
        return [q.reason for e in entries(self.journal) for q in e.record.quarantined]

    def qualities(self) -> list[int]:
        return [int(q) for e in entries(self.journal) for q in e.record.batch.quality]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_files_that_lie_ready_are_taken_in_order_of_time(rig: Rig) -> None:
    """Else event time would pass the second meter before its file is read."""
    rig.write("m1.csv", f"M1,{LINE1},230", f"M1,{LINE2},231")
    rig.write("m2.csv", f"M2,{LINE1},232", f"M2,{LINE2},233")

    rig.take(2)

    assert [("M1", T1), ("M2", T1), ("M1", T2), ("M2", T2)] == rows(rig.journal)


def test_a_file_is_never_taken_twice_not_even_by_a_new_collector_or_name(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},230")
    rig.take(1)
    os.utime(rig.inbox / "a.csv")  # touched, not changed
    rig.write("copy.csv", f"M1,{LINE1},230")

    metrics = rig.take(2)

    assert [("M1", T1)] == rows(rig.journal)
    assert 0 == metrics.readings


def test_a_mended_file_replaces_its_rows(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},230", f"M2,{LINE1},9")
    rig.take(1)
    rig.write("a.csv", f"M1,{LINE1},230", f"M2,{LINE1},229")

    rig.take(1)

    mended = rig.qualities()[2:]
    assert [("M1", T1), ("M2", T1)] == rows(rig.journal)[2:]
    assert all(q & Quality.REPLACES for q in mended)
    assert not any(q & Quality.REPLACES for q in rig.qualities()[:2])


def test_a_file_that_could_not_be_read_in_between_is_a_mended_one_all_the_same(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},9")
    rig.take(1)
    for broken in ("no heading\n", "none here either\n"):
        (rig.inbox / "a.csv").write_text(broken)
        rig.take(1)
    rig.write("a.csv", f"M1,{LINE1},230")

    rig.take(1)

    first, second = rig.qualities()
    assert [("M1", T1), ("M1", T1)] == rows(rig.journal)
    assert second & Quality.REPLACES and not first & Quality.REPLACES


def test_a_file_that_could_not_be_read_at_first_replaces_nothing(rig: Rig) -> None:
    (rig.inbox / "a.csv").write_text("no heading\n")
    rig.take(1)
    rig.write("a.csv", f"M1,{LINE1},230")

    rig.take(1)

    assert [int(Quality.GOOD)] == [q & int(Quality.REPLACES) for q in rig.qualities()]


def test_a_cell_that_a_mended_file_has_emptied_is_withdrawn(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},230", f"M2,{LINE1},9", f"M9,{LINE1},9")
    rig.take(1)
    rig.write("a.csv", f"M1,{LINE1},230", f"M2,{LINE1},", f"M9,{LINE1},")

    rig.take(1)

    batches = [e.record.withdrawn for e in entries(rig.journal) if len(e.record.withdrawn)]
    (gone,) = batches
    assert (["M2"], [T1 * 1000], ["v_a"]) == (
        gone.device_names().tolist(),
        gone.time.tolist(),
        list(gone.values),
    )
    assert all(q & Quality.REPLACES for q in gone.quality)


def test_a_file_that_still_grows_waits(rig: Rig) -> None:
    rig.source = FileSource(rig.inbox, rig.source.layout, rig.source.ledger, 60.0, 0.02)
    rig.write("growing.csv", f"M1,{LINE1},230", age_s=0.0)
    rig.write("whole.csv", f"M2,{LINE1},231", age_s=120.0)

    rig.take(1)

    assert [("M2", T1)] == rows(rig.journal)


@pytest.mark.parametrize("name", [".a.csv", "a.csv.part", "a.tmp", "readme.md"])
def test_what_is_no_finished_export_is_left_alone(rig: Rig, name: str) -> None:
    rig.write(name, f"M1,{LINE1},230")
    rig.write("b.csv", f"M2,{LINE1},231")

    rig.take(1)

    assert [("M2", T1)] == rows(rig.journal)


def test_a_broken_file_stands_in_quarantine_and_its_neighbour_is_stored(rig: Rig) -> None:
    (rig.inbox / "broken.xlsx").write_bytes(b"PK half of it")
    rig.write("good.csv", f"M1,{LINE1},230")

    rig.take(2)
    with rig.collecting():
        pass  # a second start does not read it again

    assert [("M1", T1)] == rows(rig.journal)
    (reason,) = rig.reasons()
    assert reason.startswith("it is no workbook that can be read")


def test_meters_that_the_network_lacks_are_named_and_taken_once_they_are_there(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},230", f"M9,{LINE1},231")
    rig.take(1)
    before = rows(rig.journal)
    rig.network = network_of("M1", "M2", "M9")

    rig.take(1)

    assert [("M1", T1)] == before
    assert ("M9", T1) in rows(rig.journal)[1:]
    (reason,) = rig.reasons()
    assert reason.startswith("1 meters are not in the network: M9; add them to devices.csv")


def test_a_full_disk_holds_the_file_until_there_is_room(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},230")
    rig.journal.full.set()
    with rig.collecting() as metrics:
        wait_for(lambda: metrics.holding, message="the collector holding")
        rig.journal.full.clear()
        wait_for(lambda: metrics.messages == 1, message="the file taken")

    assert [("M1", T1)] == rows(rig.journal)
    assert not metrics.holding


def test_a_collector_that_ends_in_the_middle_reads_the_file_again(rig: Rig) -> None:
    rig.write("a.csv", f"M1,{LINE1},230", f"M1,{LINE2},231")
    stop_at_second = rig.journal.append
    stopped = threading.Event()

    def append(records: object) -> int:
        if stopped.is_set():
            rig.journal.full.set()
        stopped.set()
        return stop_at_second(records)  # type: ignore[arg-type]

    rig.journal.append = append  # type: ignore[method-assign]
    with rig.collecting() as metrics:
        wait_for(lambda: metrics.holding, message="the second step held")
    del rig.journal.append
    rig.journal.full.clear()

    rig.take(1)

    # The first row twice in the journal: storage recognises it by its key.
    assert [("M1", T1), ("M1", T1), ("M1", T2)] == rows(rig.journal)


def test_a_folder_that_went_away_is_named_and_found_again(rig: Rig) -> None:
    with rig.collecting() as metrics:
        rig.inbox.rename(rig.inbox.with_name("away"))
        wait_for(lambda: "No such file" in metrics.trouble, message="the folder missed")
        rig.inbox.with_name("away").rename(rig.inbox)
        rig.write("a.csv", f"M1,{LINE1},230")
        wait_for(lambda: metrics.messages == 1, message="the file taken")

    assert "" == metrics.trouble
    assert [("M1", T1)] == rows(rig.journal)


def test_ratios_of_the_network_are_applied_to_secondary_values_only(
    rig: Rig, tmp_path: Path
) -> None:
    rig.network = Network(devices=(Device("M1", interval_s=900, pt_ratio=100.0),))
    (tmp_path / "primary.toml").write_text(
        'name = "primary"\ndevice = "meter"\nprimary = true\n'
        'time = { column = "time", zone = "Asia/Shanghai" }\n'
    )
    rig.write("secondary.csv", f"M1,{LINE1},2.3")
    rig.take(1)
    rig.source = FileSource(
        rig.inbox, load_layout(tmp_path / "primary.toml"), tmp_path / "second.sqlite", 0.0, 0.02
    )
    rig.write("secondary.csv", f"M1,{LINE2},230")

    rig.take(1)

    values = [e.record.batch.values["v_a"].tolist() for e in entries(rig.journal)]
    assert [[pytest.approx(230)], [230]] == values


def test_the_ledger_keeps_folders_apart(tmp_path: Path) -> None:
    first = FileLedger(tmp_path / "files.sqlite", "a")
    second = FileLedger(tmp_path / "files.sqlite", "b")

    first.note([Taken("x.csv", 1, 2, "digest", "", "stored", 3, 4)])

    assert ["x.csv"] == list(first.all())
    assert [] == list(second.all())
    first.close()
    second.close()
