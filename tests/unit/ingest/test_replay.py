"""Quarantined payloads get another chance when what was missing is there."""

import dataclasses
import json

from grid.clock import RealClock
from grid.journal import Quarantined, Record
from grid.network import Device, Network
from ingest.checks import Checks
from ingest.codes import Meaning
from ingest.exports import Exports
from ingest.files import STRANGERS
from ingest.layout_files import load_layout
from ingest.payloads import PayloadDecoder
from ingest.replay import replay
from ingest.rows import refusal

EMPTY = Network()
KNOWN = Network(devices=(Device("M1"), Device("M2")))


def refused(topic: str, content: object) -> list[Quarantined]:
    clock = RealClock()
    decoder = PayloadDecoder()
    decoder.add(topic, json.dumps(content).encode(), clock.now_us())
    decoded = decoder.take()
    return decoded.quarantined + Checks(EMPTY, clock).apply(decoded.rows).quarantined


def now_ms() -> int:
    return RealClock().now_us() // 1000


def test_readings_of_a_device_added_later_are_recovered() -> None:
    t = now_ms()
    waiting = refused("forewatt/v1/M1/readings", {"t": t, "v_a": 230})
    waiting += refused("forewatt/v1/G/batch", {"t": t, "device": ["M1", "M2"], "v_a": [1, 2]})
    waiting += refused("forewatt/v1/M2/events", {"t": t, "event": "last_gasp"})
    assert 4 == len(waiting)

    done = replay(waiting, KNOWN, RealClock())

    assert ["M1", "M1", "M2", "M2"] == done.record.batch.device_names().tolist()
    assert [0, 0, 0, 1] == done.record.batch.event.tolist()
    assert tuple(q.hash for q in waiting) == done.mended
    assert () == done.still_bad
    assert len(Record.from_bytes(done.record.to_bytes()).batch) == 4


def test_what_is_still_wrong_stays_with_its_present_reason() -> None:
    waiting = refused("forewatt/v1/M1/readings", {"t": now_ms(), "volt": 230})
    waiting += [Quarantined("modbus 10.0.0.1:502 unit 3", "impossible", b"{}", 1, "M1")]

    done = replay(waiting, KNOWN, RealClock())

    assert 0 == len(done.record.batch)
    assert () == done.mended
    assert [q.hash for q in waiting] == [q.hash for q in done.still_bad]


def test_a_late_replay_keeps_the_first_arrival() -> None:
    """Arrival decides when something was known; a replay must not move it."""
    waiting = refused("forewatt/v1/M1/readings", {"t": now_ms(), "v_a": 230})

    done = replay(waiting, KNOWN, RealClock())

    assert [waiting[0].received_us] == done.record.batch.received.tolist()


def test_lines_of_an_export_are_read_again_by_a_mended_layout() -> None:
    layout = load_layout("wide")
    head = "meter,date,quantity," + ",".join(f"P{n}" for n in range(1, 97))
    line = "M1,2026-03-01,spannung," + ",".join(["230"] * 96)
    exports = Exports(now_ms() * 1000)
    exports.add(f"{head}\n{line}\n".encode("gb18030"), layout, "a.csv")
    mended = dataclasses.replace(layout, codes={"spannung": Meaning("v_a", 1)})

    before = replay(exports.refused, KNOWN, RealClock(), layouts={"wide": layout})
    after = replay(exports.refused, KNOWN, RealClock(), layouts={"wide": mended})

    assert ((), 0) == (before.mended, len(before.record.batch))
    assert tuple(q.hash for q in exports.refused) == after.mended
    assert 96 == len(after.record.batch)


def test_a_list_of_lacking_meters_is_settled_once_all_are_in_the_network() -> None:
    """Their readings come from the file itself, which is read again."""
    listed = refusal("file long a.csv", f"2 {STRANGERS}: M8, M9; add them", b"M8\nM9", 0)
    some = Network(devices=(*KNOWN.devices, Device("M8", interval_s=900)))
    every = Network(devices=(*some.devices, Device("M9", interval_s=900)))

    before = replay([listed], some, RealClock(), layouts={"long": load_layout("long")})
    after = replay([listed], every, RealClock(), layouts={"long": load_layout("long")})

    assert ((), (listed,)) == (before.mended, before.still_bad)
    assert ((listed.hash,), 0) == (after.mended, len(after.record.batch))


def test_a_row_of_an_export_that_the_checks_refused_is_replayed_alone() -> None:
    exports = Exports(now_ms() * 1000)
    exports.add(b"meter,time,v_a\nM9,2026-03-01,230\nM1,2026-03-01,231\n", load_layout("long"), "a")
    (rows,) = exports.steps()
    refused = Checks(KNOWN, RealClock()).apply(rows).quarantined
    known = Network(devices=(*KNOWN.devices, Device("M9", interval_s=900)))

    done = replay(refused, known, RealClock(), layouts={"long": load_layout("long")})

    assert ["M9"] == done.record.batch.device_names().tolist()
    assert 1 == len(done.mended)
