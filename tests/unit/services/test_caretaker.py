"""Who looks after the private services: patience, a limit, a word to the person who watches."""

from __future__ import annotations

import pytest

from forewatt.services.caretaker import PAUSE_S, STEADY_S, TRIES, Caretaker
from forewatt.services.errors import ServicesError


class Services:
    """Services that have ended, and that start only after some tries."""

    def __init__(self, failures: int) -> None:
        self.failures, self.asked, self.runs = failures, 0, False

    def missing(self) -> tuple[str, ...]:
        return () if self.runs else ("PostgreSQL",)

    def revive(self) -> None:
        self.asked += 1
        if self.asked <= self.failures:
            raise ServicesError("PostgreSQL did not start (shared memory is still in use)")
        self.runs = True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_service_that_ended_is_started_again_after_some_tries_and_it_is_said() -> None:
    services, clock, said = Services(failures=2), Clock(), list[str]()
    caretaker = Caretaker(services, said.append, clock)

    for _ in range(3):
        caretaker.look()
        caretaker.look()  # too early: not asked again
        clock.now += PAUSE_S

    assert (3, True) == (services.asked, services.runs)
    assert ["PostgreSQL had ended; started again"] == said


def test_a_service_that_never_starts_is_an_error_after_the_last_try() -> None:
    services, clock = Services(failures=99), Clock()
    caretaker = Caretaker(services, print, clock)

    with pytest.raises(ServicesError, match="did not start"):
        for _ in range(99):
            caretaker.look()
            clock.now += PAUSE_S

    assert TRIES == services.asked


def test_a_service_that_keeps_ending_is_an_error_but_one_that_held_for_long_is_not() -> None:
    services, clock = Services(failures=0), Clock()
    caretaker = Caretaker(services, lambda _: None, clock)

    for _ in range(2 * TRIES):
        services.runs = False
        caretaker.look()
        caretaker.look()  # it runs
        clock.now += STEADY_S + 1
        caretaker.look()

    assert 2 * TRIES == services.asked
    with pytest.raises(ServicesError, match="is memory short"):
        for _ in range(TRIES):
            services.runs = False
            caretaker.look()
            clock.now += PAUSE_S
