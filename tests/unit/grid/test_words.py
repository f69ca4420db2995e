"""The vocabulary, the fault catalogue, the journal's record and the clock."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.clock import RealClock, SimulatedClock
from grid.faults import FAULTS
from grid.journal import Quarantined, Record, Tick
from grid.quantities import HIGH, LOW, NAMES, quantity
from grid.readings import ReadingBatch


def test_quantities_stand_in_the_public_order() -> None:
    public = (
        "v_a v_b v_c v_n i_a i_b i_c i_n i_residual p_a p_b p_c p q pf f e_import e_export "
        "t_terminal t_oil t_winding t_ambient thd_v sags power_downs v_a_min v_b_min v_c_min"
    ).split()

    assert public == list(NAMES)
    assert (LOW < HIGH).all()
    assert "Wh" == quantity("e_import").unit


def test_confusion_is_mutual_or_leads_to_the_same_incident() -> None:
    for fault in FAULTS.values():
        for other in fault.confusables:
            assert fault.incident_class == FAULTS[other].incident_class


def test_every_fault_of_the_contract_is_in_the_catalogue() -> None:
    public = (
        "over_voltage under_voltage neutral_loose neutral_broken joint_resistance "
        "transformer_overload transformer_thermal transformer_winding unbalance hot_terminal "
        "outage phase_loss momentary energy_loss insulation_leakage meter_health sensor_fault "
        "comms_failure unknown"
    ).split()

    assert set(public) == set(FAULTS)
    assert {"inspection"} == {FAULTS["energy_loss"].work}
    assert all(f.name_zh and f.name for f in FAULTS.values())


def test_a_journal_record_survives_its_bytes() -> None:
    batch = ReadingBatch.of(["M1"], [0], [5], {"v_a": [230.0]})
    poison = Quarantined("mqtt 主题", "not JSON", b"\x00{\xff", 7, "M1")
    record = Record("mqtt-1", batch, (poison,), (Tick("mqtt-1", 4),))

    back = Record.from_bytes(record.to_bytes())

    assert record.source == back.source
    assert (poison,) == back.quarantined
    assert (Tick("mqtt-1", 4),) == back.ticks
    assert 230.0 == back.batch.values["v_a"][0]


def test_a_record_cut_short_is_refused() -> None:
    data = Record("s", ReadingBatch.of(["M1"], [0], [5], {"v_a": [1.0]})).to_bytes()

    with pytest.raises(ValueError):
        Record.from_bytes(data[:-1])


@given(st.binary(), st.binary())
def test_the_quarantine_hash_tells_payloads_apart(a: bytes, b: bytes) -> None:
    first, second = (Quarantined("s", "r", p, 0).hash for p in (a, b))

    assert (a == b) == (first == second)


def test_a_held_clock_stands_still_and_a_running_one_keeps_its_speed(tmp_path: Path) -> None:
    clock = SimulatedClock.create(tmp_path / "clock.json", 1_000_000)
    other = SimulatedClock(tmp_path / "clock.json")
    assert 1_000_000 == clock.now_us() == other.now_us()
    assert float("inf") == clock.real_seconds_until(2_000_000)

    clock.run(3600.0)
    started = time.monotonic()
    first = clock.now_us()
    assert clock.real_seconds_until(first + 3600_000_000) == pytest.approx(1.0, abs=0.2)
    while clock.now_us() < first + 360_000_000:
        assert time.monotonic() - started < 5.0

    clock.hold()
    assert clock.now_us() == clock.now_us()


def test_the_real_clock_is_the_machines() -> None:
    assert abs(RealClock().now_us() - time.time() * 1e6) < 1e6
    assert 0.0 == RealClock().real_seconds_until(0)
