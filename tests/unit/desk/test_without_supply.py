"""Who is without supply, by what meters said last and by the outages above them."""

import pytest

from alerts.places import Places
from desk.without_supply import Unsupplied, covered, unsupplied
from storage.desk_records import LastSeen, LostSupply
from tests.unit.web.world import MINUTE, NOW, network

BEGAN = NOW - 10 * MINUTE
GRID = network()
PLACES = Places(GRID)
METER = "M-T7-001"


def outage(
    kind: str = "transformer", asset: str = "T7", cleared_us: int | None = None
) -> LostSupply:
    return LostSupply(kind, asset, BEGAN, cleared_us)


def judged(alerts: list[LostSupply], **told: LastSeen) -> Unsupplied:
    words = {METER if k == "it" else k.replace("_", "-"): v for k, v in told.items()}
    return unsupplied(alerts, covered(alerts, PLACES), words, PLACES)


@pytest.mark.parametrize(
    ("open_outage", "last", "expected"),
    [
        # Below an open outage: dark until a reading says otherwise.
        (True, LastSeen(BEGAN - 5 * MINUTE, 229.0), "dark"),
        (True, LastSeen(), "dark"),
        (True, LastSeen(BEGAN + 5 * MINUTE, 229.0), "well"),
        (True, LastSeen(BEGAN + 5 * MINUTE, 3.0), "dark"),
        (True, LastSeen(BEGAN - 5 * MINUTE, 229.0, back_us=BEGAN + MINUTE), "awaited"),
        (True, LastSeen(BEGAN - 5 * MINUTE, 229.0, BEGAN - MINUTE, BEGAN - 30), "dark"),
        # The outage has ended: what was not heard since it began is not known to be well.
        (False, LastSeen(BEGAN - 5 * MINUTE, 229.0), "awaited"),
        (False, LastSeen(BEGAN + 9 * MINUTE, 229.0), "well"),
        (False, LastSeen(BEGAN - 5 * MINUTE, 229.0, lost_us=BEGAN), "dark"),
        # No outage at all: the meter's own words.
        (None, LastSeen(BEGAN, 229.0, lost_us=BEGAN + 1), "dark"),
        (None, LastSeen(BEGAN + 2, 229.0, lost_us=BEGAN + 1), "well"),
        (None, LastSeen(BEGAN, 229.0, BEGAN + 1, BEGAN + 2), "awaited"),
        (None, LastSeen(BEGAN, None, None, BEGAN - 1), "well"),
    ],
)
def test_the_last_word_decides(open_outage: bool | None, last: LastSeen, expected: str) -> None:
    alerts = [] if open_outage is None else [outage(cleared_us=None if open_outage else NOW)]

    found = judged(alerts, it=last)

    state = "dark" if METER in found.dark else "awaited" if METER in found.awaited else "well"
    assert state == expected


def test_everything_below_the_asset_is_dark_and_nothing_beside_it() -> None:
    found = judged([outage("branch", "T7-B2")])

    inside = {d.id for d in PLACES.devices_within(("branch", "T7-B2"))}
    assert set(found.dark) == inside
    assert found.below == frozenset(GRID.within("branch", "T7-B2"))
    assert set(found.dark.values()) == {BEGAN}


def test_an_outage_that_has_ended_darkens_no_place() -> None:
    found = judged([outage(cleared_us=NOW)])

    assert (found.below, dict(found.dark)) == (frozenset(), {})


def test_a_gasp_says_since_when() -> None:
    found = judged([outage()], it=LastSeen(BEGAN - MINUTE, 230.0, lost_us=BEGAN - 7))

    assert found.dark[METER] == BEGAN - 7
