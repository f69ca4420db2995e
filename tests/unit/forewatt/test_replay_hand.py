"""Keys and commands that a person gives a running replay."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from forewatt.replay_hand import Hand, moment_us
from grid.errors import BadInput
from simulators.pace import Controls

START_US = 1_772_380_800_000_000  # 2026-03-02T00:00:00+08:00
HOUR_US = 3_600_000_000


class Standing:
    """A clock that remembers how it was moved."""

    def __init__(self) -> None:
        self.site_us, self.speed = START_US, 60.0

    def now_us(self) -> int:
        return self.site_us

    def real_seconds_until(self, site_us: int) -> float:
        return 0.0 if site_us <= self.site_us else float("inf")

    def run(self, speed: float, site_us: int | None = None) -> None:
        self.speed, self.site_us = speed, self.site_us if site_us is None else site_us


@pytest.fixture
def hand() -> Any:
    """A hand on controls whose clock stands two hours after the start."""
    controls, clock = Controls(), Standing()
    controls.bind(clock, 60.0, 300_000_000)
    controls.begin(START_US + 1, jump=False)
    clock.site_us = START_US + 2 * HOUR_US
    controls.reached(clock.site_us + 1)
    made = Hand(controls, threading.Event(), START_US, commands=True)
    made.clock, made.controls = clock, controls  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("text", "after_us"),
    [
        ("2026-03-02T06:30:00+08:00", 6.5 * HOUR_US),
        ("2026-03-01T22:30:00Z", 6.5 * HOUR_US),
        ("06:30", 6.5 * HOUR_US),
        ("2d 06:30", 54.5 * HOUR_US),
        ("1d", 24 * HOUR_US),
    ],
)
def test_a_time_is_written_with_zone_or_from_the_beginning(text: str, after_us: float) -> None:
    assert START_US + after_us == moment_us(text, START_US)


@pytest.mark.parametrize("text", ["", "noon", "2026-03-02T06:30:00", "-1d"])
def test_what_is_no_time_is_answered_with_both_ways(text: str) -> None:
    with pytest.raises(BadInput, match="2d 06:30"):
        moment_us(text, START_US)


def test_space_pauses_and_goes_on(hand: Any) -> None:
    hand.key(b" ")
    assert (True, 0.0) == (hand.controls.held, hand.clock.speed)

    hand.key(b" ")
    assert (False, 60.0) == (hand.controls.held, hand.clock.speed)


def test_a_step_stands_at_the_end_of_the_next_tick(hand: Any) -> None:
    hand.key(b"s")

    assert (0.0, START_US + 2 * HOUR_US + 300_000_000) == (hand.clock.speed, hand.clock.site_us)


@pytest.mark.parametrize(
    ("key", "hours"), [(b"\x1b[C", 1), (b"\x1b[D", -1), (b"]", 24), (b"[", -24)]
)
def test_arrows_and_brackets_move_by_an_hour_and_a_day(hand: Any, key: bytes, hours: int) -> None:
    hand.key(key)

    assert START_US + (2 + hours) * HOUR_US + 1 == hand.controls.target()


def test_plus_and_minus_change_the_speed(hand: Any) -> None:
    for key, speed in ((b"+", 120.0), (b"+", 240.0), (b"-", 120.0)):
        hand.key(key)
        assert speed == hand.clock.speed


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("stop now", "is no command"), ("seek", "is no time"), ("speed fast", "is no speed")],
)
def test_a_line_that_is_no_command_is_answered_and_changes_nothing(
    hand: Any, line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hand.command(line)

    assert complaint in capsys.readouterr().err
    assert (60.0, None) == (hand.clock.speed, hand.controls.target())


def test_commands_do_what_keys_do(hand: Any) -> None:
    hand.command("seek 1d 00:30")
    hand.command("speed 600")
    hand.command("pause")

    assert START_US + 24.5 * HOUR_US == hand.controls.target()
    assert (600.0, True) == (hand.controls.speed, hand.controls.held)
