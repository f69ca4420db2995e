"""The engine: unknown devices, settings, snapshots of an edited network, stale snapshots."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.engine import Engine
from detectors.settings import DetectorSettings
from detectors.snapshots import StaleSnapshot
from grid.errors import BadInput
from grid.readings import ReadingBatch
from tests.unit.detectors.street import START_US, Street, growing, network


def test_unknown_devices_are_counted_and_left_aside() -> None:
    engine = Engine(network())

    found = engine.feed("s", ReadingBatch.of(["stranger"], [0], [START_US], {"v_a": [230.0]}))

    assert found == []
    assert engine.stats.unknown == 1


def test_a_batch_as_the_journal_gives_it_is_taken() -> None:
    """Its columns are read-only and lie at odd addresses."""
    net = network(areas=1)
    engine, other = Engine(net), Engine(net)
    rows = Street(net, 0.5).readings()
    registers = {"e_import": np.arange(len(rows), dtype=float)}
    rows = ReadingBatch.of(rows.names, rows.device, rows.time, {**rows.values, **registers})

    engine.feed("s", rows)
    other.feed("s", ReadingBatch.from_bytes(rows.to_bytes()))

    assert other.stats == engine.stats


def test_an_empty_network_and_an_empty_batch_do_nothing() -> None:
    from grid.network import Network

    engine = Engine(Network())

    assert engine.feed("s", ReadingBatch.empty()) == []
    assert engine.tick("s", START_US) == []
    assert engine.flush() == []


def test_settings_refuse_what_cannot_be() -> None:
    with pytest.raises(BadInput, match="lateness_s is -1"):
        DetectorSettings(lateness_s=-1)
    with pytest.raises(BadInput, match="no limits are known for country 'XX'"):
        DetectorSettings(country="XX")


def test_a_disabled_detector_is_silent() -> None:
    net = network()
    street = Street(net, 4.0, neutral={"T1-B1": growing(3.0, 3.5, 1.5)})
    engine = Engine(net, DetectorSettings(disabled=("neutral", "joint")))

    found = engine.feed("s", street.readings()) + engine.flush()

    assert found == []


def test_a_damaged_or_foreign_snapshot_is_refused_with_the_way_out() -> None:
    engine = Engine(network())

    with pytest.raises(StaleSnapshot, match="journal is replayed"):
        engine.restore(b"not a snapshot")


def test_a_restored_engine_has_nothing_left_of_what_it_was_fed_before() -> None:
    net = network(areas=1)
    rows = Street(net, 1.0).readings().sort()
    engine, other = Engine(net), Engine(net)
    engine.feed("s", rows.select(rows.device % 2 == 0))
    other.feed("s", rows)

    other.restore(engine.snapshot())

    assert other.snapshot() == engine.snapshot()


def test_a_snapshot_of_more_open_frames_than_the_settings_allow_is_refused() -> None:
    """Else the readings of two frames would be judged as those of one."""
    net = network(areas=1)
    rows = Street(net, 1.0).readings()
    patient = Engine(net, DetectorSettings(lateness_s=4 * 3600.0))
    patient.feed("s", rows)

    with pytest.raises(StaleSnapshot, match="waits longer for late readings"):
        Engine(net, DetectorSettings(lateness_s=900.0)).restore(patient.snapshot())
    hasty = Engine(net, DetectorSettings(lateness_s=900.0))
    hasty.feed("s", rows)
    Engine(net, DetectorSettings(lateness_s=4 * 3600.0)).restore(hasty.snapshot())


def test_an_edited_network_keeps_the_state_of_what_stayed() -> None:
    """T1 keeps what it learned; a meter moved to another phase starts afresh; removed ones go."""
    net = network(areas=2)
    street = Street(net, 5.0, neutral={"T1-B1": growing(3.2, 4.5, 1.5)})
    rows = street.readings()
    cut = rows.time < START_US + 3 * 86_400_000_000
    engine = Engine(net)
    engine.feed("s", rows.select(cut))
    points = tuple(
        replace(u, phase="b") if u.id == "U-T2-B1-1" else u
        for u in net.usage_points
        if u.id != "U-T2-B2-6"
    )
    devices = tuple(d for d in net.devices if d.id != "T2-B2-6")
    edited = replace(net, usage_points=points, devices=devices)

    moved = Engine(edited)
    moved.restore(engine.snapshot())
    found = moved.feed("s", rows.select(~cut)) + moved.flush()

    group = moved.fleet.groups[0]
    neutral = next(d for d in moved.families.groups[0] if d.name == "neutral")
    heard = dict(
        zip(
            group.names,
            neutral.state["heard"].tolist(),
            strict=True,
        )
    )
    # Two days fewer than a meter that was there all the time.
    assert heard["T1-B1-1"] - heard["T2-B1-1"] > 2.5 * 96
    assert {(f.fault, f.asset) for f in found} >= {("neutral_loose", "T1-B1")}


def test_a_snapshot_fits_the_memory_of_the_state() -> None:
    net = network(areas=3, branches=4)  # two meters a branch and phase: none has siblings
    engine = Engine(net)
    engine.feed("s", Street(net, 1.0).readings())

    meters = sum(g.size for g in engine.fleet.groups)

    assert engine.stats.state_bytes / meters < 2048
