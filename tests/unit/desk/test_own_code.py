"""A code by phone: to the number in the records, for ten minutes, once; and nothing is told."""

from __future__ import annotations

import pytest

from alerts.memory import MemoryLedger
from alerts.notices import NoticeSettings
from desk.own_code import LIFE_S, OwnCode
from tests.unit.alerts.town import START, StandingClock, town

ACCOUNT = "A11"


class Room:
    """The codes of a town, with a clock that can be turned."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.ledger, self.network = MemoryLedger(), town()
        self.codes = self.worker()
        self.phone = self.network.customer_by_account[ACCOUNT].phone

    def worker(self) -> OwnCode:
        """The codes as one web process more knows them."""
        return OwnCode(
            self.ledger,
            self.network,
            StandingClock(START),
            b"secret",
            NoticeSettings(language="en"),
            now_s=lambda: self.now_s,
        )

    def sent(self) -> list[str]:
        """The texts on their way, each behind the number it goes to."""
        with self.ledger.reading() as memory:
            notices = list(memory.notice_rows.values())
        return [f"{n.payload['to']} {n.payload['text']}" for n in notices]

    def code(self) -> str:
        """The code that was sent last."""
        return self.sent()[-1].split()[1]


@pytest.fixture
def room() -> Room:
    return Room()


def test_the_code_goes_to_the_number_in_the_records_and_lets_in_once(room: Room) -> None:
    room.codes.send(ACCOUNT, room.phone)

    (text,) = room.sent()
    code = room.code()
    assert text.startswith(f"{room.phone} {code} is your code") and len(code) == 6
    assert [True, False] == [room.codes.take(ACCOUNT, code), room.codes.take(ACCOUNT, code)]


def test_a_used_code_is_refused_by_every_web_process(room: Room) -> None:
    room.codes.send(ACCOUNT, room.phone)
    code, other = room.code(), room.worker()

    assert [True, False] == [room.codes.take(ACCOUNT, code), other.take(ACCOUNT, code)]
    room.now_s += LIFE_S  # nor is it good again in the ten minutes after its own
    assert not room.worker().take(ACCOUNT, code)


def test_after_a_code_was_used_the_next_one_is_another_and_good(room: Room) -> None:
    """Whoever signs in on the telephone may want the same on the desk a minute later."""
    room.codes.send(ACCOUNT, room.phone)
    first = room.code()
    room.codes.take(ACCOUNT, first)

    room.worker().send(ACCOUNT, room.phone)

    assert first != room.code()
    assert [False, True] == [room.codes.take(ACCOUNT, x) for x in (first, room.code())]


@pytest.mark.parametrize("typed", ["{p}", "+86 {p}", "{p} "])
def test_a_number_is_known_however_it_is_typed(typed: str, room: Room) -> None:
    room.codes.send(ACCOUNT, typed.format(p=room.phone))

    assert 1 == len(room.sent())


@pytest.mark.parametrize(
    ("account", "phone"), [(ACCOUNT, "13900000000"), (ACCOUNT, ""), ("A99", "1"), ("", "")]
)
def test_to_anybody_else_nothing_is_sent(account: str, phone: str, room: Room) -> None:
    room.codes.send(account, phone)

    assert [] == room.sent()


def test_the_last_digits_of_a_number_are_not_the_number(room: Room) -> None:
    room.codes.send(ACCOUNT, room.phone[-4:])

    assert [] == room.sent()


@pytest.mark.parametrize(("later_s", "good"), [(LIFE_S - 1, True), (2 * LIFE_S, False)])
def test_a_code_ends(later_s: float, good: bool, room: Room) -> None:
    room.codes.send(ACCOUNT, room.phone)
    code = room.code()
    room.now_s += later_s

    assert good == room.codes.take(ACCOUNT, code)


def test_a_code_is_for_one_account_and_guesses_are_none(room: Room) -> None:
    room.codes.send(ACCOUNT, room.phone)
    code = room.code()

    assert not room.codes.take("A12", code)
    assert not any(room.codes.take(ACCOUNT, guess) for guess in ("", "000000x", code[:5], "ß"))


def test_an_account_that_nobody_has_asked_about_cannot_be_opened_by_guessing(room: Room) -> None:
    """Else a million guesses at any account would find a code that nobody was ever sent."""
    room.codes.send(ACCOUNT, room.phone)
    code = room.code()
    room.ledger = MemoryLedger()
    other = OwnCode(
        room.ledger, room.network, StandingClock(START), b"secret", now_s=lambda: room.now_s
    )

    assert not other.take(ACCOUNT, code)
    other.send(ACCOUNT, room.phone)
    assert other.take(ACCOUNT, code)


def test_a_code_is_no_part_of_the_story_that_clerks_read(room: Room) -> None:
    room.codes.send(ACCOUNT, room.phone)

    with room.ledger.reading() as reading:
        assert [] == reading.notices_to(f"account:{ACCOUNT}")
