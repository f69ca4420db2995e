"""The clocks of the player."""

from __future__ import annotations

from pathlib import Path

from forewatt.player import StoryClock
from forewatt.shared_clock import SharedClock
from grid.clock import SimulatedClock


def test_a_story_held_to_catch_up_goes_on_when_nothing_is_left_to_send(tmp_path: Path) -> None:
    shared = SharedClock(SimulatedClock.create(tmp_path / "clock.json", 0, 60.0).path)
    clock = StoryClock(shared, 60.0)
    shared.hold()

    held_at = clock.now_us()
    clock.real_seconds_until(held_at + 1_000_000)

    assert 60.0 == shared.state.speed
    assert 0.0 <= clock.real_seconds_until(shared.now_us() + 60_000_000) <= 1.0


def test_a_shared_clock_sees_the_change_of_another_process_at_once(tmp_path: Path) -> None:
    mine = SharedClock(SimulatedClock.create(tmp_path / "clock.json", 1_000_000).path)
    assert 1_000_000 == mine.now_us()

    SimulatedClock(mine.path).run(0.0, 7_000_000)

    assert 7_000_000 == mine.now_us()
