"""A dataset cut into steps of the shared clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from forewatt.stepping import STEP_US, _steps, prepare_clock
from grid.clock import SimulatedClock
from grid.dataset import read_dataset
from grid.readings import ReadingBatch
from simulators.reel import numbered


def test_the_clock_stands_at_the_first_arrival(town: Path, tmp_path: Path) -> None:
    clock = prepare_clock(town, tmp_path / "clock.json")

    first = int(next(iter(read_dataset(town).batches())).received[0])
    assert first == clock.now_us() == SimulatedClock(clock.path).now_us()


def test_steps_take_every_row_once_and_never_before_its_arrival() -> None:
    received = np.array([1, STEP_US, STEP_US + 1, 5 * STEP_US], np.int64)
    batch = ReadingBatch.of(["M"], [0, 0, 0, 0], received - 1, {"v_a": 230.0}, received=received)

    steps = list(_steps(batch))

    assert [(STEP_US, 0, 2), (2 * STEP_US, 2, 3), (5 * STEP_US, 3, 4)] == [
        (end, part.start, part.stop) for end, part in steps
    ]


def test_readings_of_a_device_are_numbered_without_a_hole(town: Path) -> None:
    numbers: dict[str, list[int]] = {}
    for batch, seq in numbered(read_dataset(town), None, None):
        for name, event, number in zip(
            batch.device_names(), batch.event, seq.tolist(), strict=True
        ):
            if not event:
                numbers.setdefault(str(name), []).append(number)

    assert 52 == len(numbers)
    assert all(n == list(range(len(n))) for n in numbers.values())
