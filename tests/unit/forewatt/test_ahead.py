"""Items made ahead: in order, by a thread that leaves the processor to the others."""

import os

import pytest

from forewatt.ahead import ahead


def deny(*_: int) -> None:
    raise PermissionError("not in this sandbox")


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="no priorities here")
def test_a_thread_that_may_not_step_back_works_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "setpriority", deny)

    assert list(ahead(range(5))) == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="no priorities here")
def test_only_the_thread_that_makes_items_steps_back() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)

    made = list(ahead(os.getpriority(os.PRIO_PROCESS, 0) for _ in range(3)))

    assert before == os.getpriority(os.PRIO_PROCESS, 0)
    assert all(at >= before for at in made)
