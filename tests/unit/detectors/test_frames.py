"""Frames: which reading belongs to which tick, whatever the order in which they came."""

from dataclasses import replace

import numpy as np
import pytest

from detectors.currents import phase_current
from detectors.engine import Engine
from detectors.frames import NEVER, Frame, Frames
from detectors.layout import CHANNEL
from detectors.settings import DetectorSettings
from grid.readings import ReadingBatch
from grid.records import Finding
from tests.unit.detectors.street import START_US, STEP_US, network

SECOND = 1_000_000


class Watching:
    """Collects the frames an engine judges."""

    name, version = "watching", 1
    nbytes = 0
    gate = spoils = beside = False

    def __init__(self, engine: Engine) -> None:
        self.seen: list[tuple[int, dict[str, tuple[int, float]]]] = []
        engine.families.outage = None
        for group in engine.families.groups:
            group.clear()
            group.append(self)  # type: ignore[arg-type]

    def step(self, frame: Frame) -> list[Finding]:
        row = {
            name: (int(frame.time[p]), float(frame.values[p, CHANNEL["v_a"]]))
            for p, name in enumerate(frame.layout.names)
            if frame.time[p] > NEVER
        }
        self.seen.append((frame.tick_us, row))
        return []


def watched(**settings: float) -> tuple[Engine, Watching]:
    engine = Engine(network(areas=1, branches=1, meters=2), DetectorSettings(**settings))  # type: ignore[arg-type]
    return engine, Watching(engine)


def one(device: str, seconds: float, volt: float) -> ReadingBatch:
    return ReadingBatch.of([device], [0], [START_US + round(seconds * SECOND)], {"v_a": [volt]})


def slow_frames(rows: list[tuple[str, int, float]]) -> dict[int, dict[str, tuple[int, float]]]:
    """What frames should hold: the reading nearest to the tick, the earlier of two equally near."""
    frames: dict[int, dict[str, tuple[int, float]]] = {}
    for device, time, volt in rows:
        ticks = [time // STEP_US * STEP_US, (time // STEP_US + 1) * STEP_US]
        tick = min(ticks, key=lambda x: (abs(x - time), x))
        held = frames.setdefault(tick, {})
        if device not in held or (abs(time - tick), time) < (
            abs(held[device][0] - tick),
            held[device][0],
        ):
            held[device] = (time, volt)
    return frames


@pytest.mark.parametrize("seed", range(5))
def test_frames_hold_what_the_plain_rule_says_for_any_arrival_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    time = START_US + rng.integers(0, 20 * STEP_US, n) // (30 * SECOND) * (30 * SECOND)
    names = ["T1-B1-1", "T1-B1-2", "T1-TM"]
    device = rng.integers(0, 3, n)
    volt = (device * 7 + time // SECOND % 13 + 220).astype(np.float32)
    expected = slow_frames(
        [(names[d], int(t), float(v)) for d, t, v in zip(device, time, volt, strict=True)]
    )
    engine, watch = watched(lateness_s=20 * 900.0)

    engine.feed("s", ReadingBatch.of(names, device, time, {"v_a": volt}).select(rng.permutation(n)))
    engine.flush()

    assert {t: row for t, row in watch.seen if row} == expected


def test_a_frame_closes_when_the_watermark_passes_its_end() -> None:
    engine, watch = watched(lateness_s=120.0)

    engine.feed("s", one("T1-B1-1", 900, 230.0))
    engine.tick("s", START_US + 1349 * SECOND + 120 * SECOND)
    before = len(watch.seen)
    engine.tick("s", START_US + 1350 * SECOND + 120 * SECOND)

    assert (before, len(watch.seen)) == (0, 1)


def test_a_slow_source_holds_frames_back_until_patience_ends() -> None:
    engine, watch = watched(lateness_s=60.0, patience_s=1800.0)
    engine.feed("slow", one("T1-B1-1", 0, 230.0))

    engine.feed("quick", one("T1-B1-2", 1800, 231.0))
    held = len(watch.seen)
    engine.feed("quick", one("T1-B1-2", 3600, 231.0))

    assert held == 0
    assert [t for t, _ in watch.seen] == [START_US + k * STEP_US for k in range(4)]


def test_a_reading_after_its_frame_is_counted_and_not_judged() -> None:
    engine, watch = watched(lateness_s=60.0)
    engine.feed("s", one("T1-B1-1", 0, 230.0))
    engine.feed("s", one("T1-B1-1", 1800, 230.0))

    engine.feed("s", one("T1-B1-2", 0, 199.0))
    engine.flush()

    assert engine.late == 1
    assert all("T1-B1-2" not in row for _, row in watch.seen)


def test_rows_of_one_time_are_merged_and_duplicates_change_nothing() -> None:
    engine, watch = watched()
    batch = ReadingBatch.of(
        ["T1-B1-1"],
        [0, 0, 0],
        [START_US] * 3,
        {"v_a": [np.nan, 230.0, 230.0], "p": [500.0, np.nan, np.nan]},
    )

    engine.feed("s", batch)
    engine.flush()

    assert watch.seen == [(START_US, {"T1-B1-1": (START_US, 230.0)})]


def test_a_clock_running_ahead_does_not_move_the_watermark() -> None:
    """One broken meter clock would otherwise make everybody else late for ever."""
    engine, _ = watched()
    engine.feed("s", one("T1-B1-1", 0, 230.0))
    far = START_US + 10 * 365 * 86400 * SECOND
    broken = ReadingBatch.of(["T1-B1-2"], [0], [far], {"v_a": [230.0]}, received=[START_US])

    engine.feed("s", broken)
    engine.feed("s", one("T1-B1-1", 900, 230.0))

    assert engine.stats.ahead == 1
    assert engine.late == 0


def test_a_drifting_clock_makes_nobody_late() -> None:
    """Ten minutes a day ahead: its readings count, the watermark goes by their arrival."""
    engine, watch = watched(lateness_s=120.0)
    for k in range(96):
        at = START_US + k * STEP_US
        ahead = at + 3000 * SECOND
        engine.feed(
            "s", ReadingBatch.of(["T1-B1-2"], [0], [ahead], {"v_a": [230.0]}, received=[at])
        )
        engine.feed("s", one("T1-B1-1", k * 900, 230.0))
    engine.flush()

    assert engine.late == 0
    assert sum("T1-B1-1" in row for _, row in watch.seen) == 96


def test_impossible_values_never_reach_a_frame() -> None:
    engine, watch = watched()

    engine.feed("s", one("T1-B1-1", 0, 9e5))
    engine.flush()

    assert np.isnan(watch.seen[0][1]["T1-B1-1"][1])


def test_values_are_primary_whatever_the_ratios_on_record() -> None:
    """The checks before the journal, and `forewatt.admission`, have brought them there."""
    net = network(areas=1, branches=1, meters=1)
    devices = tuple(replace(d, pt_ratio=2.0) if d.kind == "meter" else d for d in net.devices)
    engine = Engine(replace(net, devices=devices))
    watch = Watching(engine)

    engine.feed("s", one("T1-B1-1", 0, 230.0))
    engine.flush()

    assert watch.seen[0][1]["T1-B1-1"][1] == 230.0


def test_a_month_of_nothing_is_passed_without_judging_every_frame() -> None:
    engine, watch = watched(gap_days=2.0)
    engine.feed("s", one("T1-B1-1", 0, 230.0))
    engine.feed("s", one("T1-B1-1", 33 * 86400, 230.0))
    engine.flush()

    assert len(watch.seen) == 2 + 2 * 96


def test_a_frame_holds_nothing_of_the_one_whose_memory_it_takes() -> None:
    """Rows are not cleared between frames; silence and other channels must not show old values."""
    rng = np.random.default_rng(8)
    engine, watch = watched()
    held: list[tuple[int, dict[str, list[float]]]] = []

    def step(frame: Frame) -> list[Finding]:
        held.append((frame.tick_us, whole(frame)))
        return []

    watch.step = step  # type: ignore[method-assign]
    names = ["T1-B1-1", "T1-B1-2", "T1-TM"]
    expected = []
    for k in range(40):
        device = np.flatnonzero(rng.random(3) < 0.6)
        given = [q for q in ("v_a", "i_b", "p_b", "t_oil", "e_import") if rng.random() < 0.6]
        values = {q: rng.choice([10.0, 20.0, np.nan], device.size) for q in given}
        time = np.full(device.size, START_US + k * STEP_US)
        engine.feed("s", ReadingBatch.of(names, device, time, values))
        rows = {
            names[d]: [float(values[q][i]) if q in values else np.nan for q in SOME]
            for i, d in enumerate(device.tolist())
        }
        expected.append((START_US + k * STEP_US, rows))
        if k == 20:
            frames = engine.frames
            kept = frames.open_readings(0)
            engine.frames = Frames(engine.fleet, engine.settings)
            engine.frames.shape[:] = frames.shape
            engine.frames.reopen(0, *kept)
    engine.flush()

    filled = [(tick, rows) for tick, rows in expected if rows]
    assert str(filled) == str([(tick, rows) for tick, rows in held if rows])


SOME = ("v_a", "i_b", "p_b", "t_oil", "e_import")


def whole(frame: Frame) -> dict[str, list[float]]:
    """What a frame holds of each device, `SOME` of it told; nothing where it heard nothing."""
    silent = frame.time == NEVER
    values = np.concatenate((frame.values, frame.more), axis=1)
    assert np.isnan(values[silent][:, list(CHANNEL.values())]).all()
    assert np.isnan(frame.register[silent]).all()
    others = [x for q, x in CHANNEL.items() if q not in SOME]
    assert np.isnan(values[:, others]).all()
    return {
        name: [*(float(values[p, CHANNEL[q]]) for q in SOME[:-1]), float(frame.register[p])]
        for p, name in sorted(enumerate(frame.layout.names), key=lambda x: x[1])
        if not silent[p]
    }


def test_what_is_gathered_is_what_the_frame_holds() -> None:
    rng = np.random.default_rng(3)
    engine = Engine(network(areas=2, branches=2, meters=4))
    layout = engine.fleet.groups[0]
    names = tuple(x for x in layout.names if rng.random() < 0.8)
    phases = {f"v_{c}": rng.normal(230, 2, len(names)) for c in "abc"}
    time = np.full(len(names), START_US)
    values = {**phases, "i_a": time % 89, "p": time % 97}
    engine.feed("s", ReadingBatch.of(names, np.arange(len(names)), time, values))
    frame, _ = engine.frames.peek(0)
    device, slot, first = layout.slots

    def agrees() -> None:
        for beside, name in ((frame.v, "v_a"), (frame.i, "i_a"), (frame.p, "p")):
            np.testing.assert_array_equal(beside, frame.values[:, CHANNEL[name]])
        np.testing.assert_array_equal(frame.slot_v, frame.values[device, CHANNEL["v_a"] + slot])
        amps = [phase_current(frame.values, p, c, 230.0) for p, c in zip(device, slot, strict=True)]
        np.testing.assert_array_equal(frame.slot_i, amps)

    assert np.flatnonzero(frame.time > NEVER).tolist() == [layout.names.index(x) for x in names]
    assert np.diff(first).tolist() == [3 if x == 3 else 1 for x in layout.phase]
    assert frame.beyond  # all tell of three phases, most are held to have one
    agrees()
    frame.take_away(np.arange(3))
    agrees()
    assert np.isnan(frame.values[:3, CHANNEL["v_a"] :]).all() and np.isnan(frame.more[:3]).all()
    assert np.isnan(frame.register[:3]).all()
