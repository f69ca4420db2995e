"""Attempts come further and further apart, up to a ceiling, and never in step with others'."""

from __future__ import annotations

import pytest

from ingest.backoff import Backoff


def test_waits_double_up_to_the_ceiling_and_begin_anew_after_success() -> None:
    backoff = Backoff(0.25, 15.0, seed=1)

    waits = [backoff.wait_s() for _ in range(9)]
    backoff.reset()

    steps = [0.25 * 2**n for n in range(6)] + [15.0] * 3
    assert all(step / 2 <= wait <= step for wait, step in zip(waits, steps, strict=True))
    assert 0.125 <= backoff.wait_s() <= 0.25


@pytest.mark.parametrize("attempt", range(4))
def test_a_hundred_collectors_do_not_knock_together(attempt: int) -> None:
    fleet = [Backoff(0.25, 15.0, seed=seed) for seed in range(100)]

    waits = [[backoff.wait_s() for _ in range(attempt + 1)][-1] for backoff in fleet]

    assert len(set(waits)) > 90
    assert max(waits) - min(waits) > 0.4 * max(waits)
