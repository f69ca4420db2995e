"""What many ask is found out once."""

import threading

import pytest

from web.lately import Lately


def test_who_asks_meanwhile_waits_for_the_same_answer() -> None:
    lately: Lately[str, int] = Lately()
    asked: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        asked.append(1)
        begun.set()
        assert go_on.wait(10)
        return 7

    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(lately.get("a", 60, slow))) for _ in range(4)
    ]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    other = lately.get("b", 60, lambda: 8)  # another question does not wait
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert (found, len(asked), other) == ([7] * 4, 1, 8)


def test_an_error_is_not_kept_and_only_the_newest_answers_are() -> None:
    lately: Lately[int, int] = Lately(keys_max=2)
    answers = iter(range(10))

    def wrong() -> int:
        raise ValueError("asked wrongly")

    with pytest.raises(ValueError, match="wrongly"):
        lately.get(0, 60, wrong)
    kept = [lately.get(k, 60, lambda: next(answers)) for k in (1, 2, 3, 3, 2, 1)]
    stale = lately.get(1, -1, lambda: next(answers))
    lately.forget()

    assert (kept, stale) == ([0, 1, 2, 2, 1, 3], 4)
    assert lately.get(3, 60, lambda: next(answers)) == 5
