"""How supply stands: storms, heavy loads, frequent outages, planned work, texts to customers."""

import csv
import io
import re
from dataclasses import replace

import pytest

from alerts.episodes import event_id
from grid.records import AlertEvent
from storage.desk_records import LeasedNotice
from storage.loads import Load
from tests.unit.web.visitor import Visit
from tests.unit.web.world import DAY, HOUR, MINUTE, NOW, OUTAGE, World, raised


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def outage(world: World, asset: str, at_us: int, hours: float = 2.0) -> None:
    """Supply lost and back."""
    begun = raised("outage", "transformer", asset, at_us, OUTAGE, (), 9.0)
    end_us = at_us + round(hours * HOUR)
    ended = replace(begun.finding, tick_us=end_us, known_us=end_us, score=0.0)
    over = AlertEvent(event_id(begun.alert_id, "cleared", end_us), begun.alert_id, "cleared", ended,
                      at_us)  # fmt: skip
    world.happen(begun)
    world.happen(over)


# -- storms --------------------------------------------------------------------------------------


def test_a_storm_stands_on_every_page_until_it_is_ended(visit: Visit) -> None:
    operator, clerk = visit("operator"), visit("clerk")
    operator.change("/supply/storm", reason="typhoon Kong-rey", until="2026-11-22T23:00")
    during = [clerk.get(p).text for p in ("/desk", "/tickets", "/knowledge")]

    operator.change("/supply/storm-end")

    assert all("Storm mode until 23:00 (王值班): typhoon Kong-rey" in page for page in during)
    assert "Storm mode until" not in operator.get("/supply").text


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"reason": "", "until": "2026-11-22T23:00"}, "Say why."),
        ({"reason": "typhoon", "until": "2026-12-22T23:00"}, "within the next 3 days"),
        ({"reason": "typhoon", "until": "soon"}, "within the next 3 days"),
    ],
)
def test_a_storm_needs_a_reason_and_an_end_and_what_was_typed_stays(
    given: dict[str, str], problem: str, visit: Visit
) -> None:
    answer = visit("operator").change("/supply/storm", **given)

    assert 422 == answer.status_code
    assert problem in answer.text
    assert f'value="{given["reason"]}"' in answer.text


def test_one_estimate_for_an_area_reaches_every_open_outage_in_it(
    world: World, visit: Visit
) -> None:
    answer = visit("dispatcher").change("/supply/estimate", asset_kind="feeder", asset="F12",
                                        earliest="2026-11-22T20:00", latest="2026-11-22T22:00",
                                        reason="one crew for all")  # fmt: skip

    assert "1 ticket has the new estimate." in answer.text
    (dark,) = [t for t in world.ledger_tickets() if t.asset == "T7"]
    assert dark.estimated_restoration_us is not None


def test_a_clerk_sees_the_situation_and_decides_nothing(visit: Visit) -> None:
    clerk = visit("clerk")

    assert "Switch storm mode on" not in clerk.get("/supply").text
    assert 403 == clerk.change("/supply/storm", reason="x", until="2026-11-22T23:00").status_code


# -- heavy loads ---------------------------------------------------------------------------------

HEAVY = {"loads": lambda low, high: [Load("T5", 1.12, NOW - 20 * HOUR, 5, 2)]}


@pytest.mark.parametrize("world", [HEAVY], indirect=True)
def test_the_heavy_loads_are_a_list_with_the_highest_hour(world: World, visit: Visit) -> None:
    page = text_of(visit("engineer").get("/supply").text)

    assert "河坊街5号配变 112 % 11-21 22:24 5 h 2 h" in page
    assert "4 of 4 transformers have a monitor and a rating" in page


def test_a_site_without_history_says_so(visit: Visit) -> None:
    assert "This site keeps no history of loads." in visit("engineer").get("/supply").text


# -- frequent outages ----------------------------------------------------------------------------


@pytest.fixture
def dark(world: World) -> World:
    """T1 four times within sixty days, T5 three times."""
    for day in (10, 20, 30, 40):
        outage(world, "T1", NOW - day * DAY)
    for day in (12, 24, 50):
        outage(world, "T5", NOW - day * DAY)
    return world


def test_the_daily_list_names_customers_at_the_counter_only(dark: World, visit: Visit) -> None:
    first = dark.network.customers[0]

    clerk = visit("clerk").get("/supply/frequent").text
    operator = visit("operator").get("/supply/frequent").text

    assert first.name in clerk and "over a limit: 48" in clerk and "at a limit: 48" in clerk
    assert "over a limit: 48" in operator and "杏园路1号配变" in operator
    assert not any(c.account in operator or c.name in operator for c in dark.network.customers)


def test_a_dispatcher_takes_the_list_home_and_that_is_noted_a_clerk_does_not(
    dark: World, visit: Visit
) -> None:
    answer = visit("dispatcher").get("/supply/frequent.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))

    assert 96 == len(rows)
    assert {"60_days"} == {r["rule"] for r in rows}
    assert ("dispatcher", "export", "frequent") in dark.people.audited
    for role in ("clerk", "operator"):
        assert 403 == visit(role).get("/supply/frequent.csv").status_code
        assert "frequent.csv" not in visit(role).get("/supply/frequent").text


def test_the_callers_answer_bears_the_badge(dark: World, visit: Visit) -> None:
    page = text_of(visit("clerk").get("/desk?account=330710001").text)

    assert "Frequent outages over More than 3 in 60 days: 4" in page


def test_planned_work_is_announced_only_after_a_look_at_whom_it_makes_frequent(
    dark: World, visit: Visit
) -> None:
    operator = visit("operator")
    work = {"kind": "maintenance", "asset_kind": "transformer", "asset": "T5",
            "end": "2026-11-23T12:00", "reason": "new cable"}  # fmt: skip

    asked = operator.change("/silences", **work)
    before = "new cable" in text_of(operator.get("/silences").text)
    operator.change("/silences", **work, anyway="1")

    assert (409, False) == (asked.status_code, before)
    assert "would bring 48 customers to a limit or beyond it" in asked.text
    assert 'value="new cable"' in asked.text
    assert "new cable" in operator.get("/silences").text


def test_the_check_answers_for_a_place_and_knows_what_is_not_there(
    dark: World, visit: Visit
) -> None:
    operator = visit("operator")
    check = "/supply/frequent?asset_kind=transformer&asset="

    assert "brings nobody to a limit" in operator.get(f"{check}T3").text
    assert "would bring 48 customers" in operator.get(f"{check}T1").text
    assert "The network has no &#39;T99&#39;" in operator.get(f"{check}T99").text


# -- calls ---------------------------------------------------------------------------------------


def test_the_call_list_goes_over_all_outages_and_what_became_of_a_call_stays(
    world: World, visit: Visit
) -> None:
    """T3's outage touches the life-support and the elderly customer and the hospital."""
    outage(world, "T5", NOW - 4 * HOUR)
    world.happen(raised("outage", "transformer", "T3", NOW - MINUTE, OUTAGE, (), 9.0))
    clerk = visit("clerk")
    grid = world.network.customers
    ticket = next(t.id for t in world.ledger_tickets() if t.asset == "T3" and t.fault == "outage")

    before = clerk.get("/supply/calls").text
    after = clerk.change(f"/tickets/{ticket}/called", account=grid[49].account, result="reached",
                         next="/supply/calls")  # fmt: skip

    names = [grid[n].name for n in (49, 60, 55)]
    assert names == sorted(names, key=before.index)
    assert "0 of 3 reached" in before
    assert ("/supply/calls", True) == (after.url.path, "1 of 3 reached" in after.text)
    assert after.text.index(names[0]) > after.text.index(names[2])


def test_who_may_not_see_customers_has_no_call_list(visit: Visit) -> None:
    assert 403 == visit("operator").get("/supply/calls").status_code


# -- texts to customers --------------------------------------------------------------------------


def test_a_text_is_previewed_corrected_and_sent_once(world: World, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    dispatcher.change("/notices")
    preview = text_of(dispatcher.get("/notices/1").text)

    sent = dispatcher.change("/notices/1/approve", text="We know.", text_zh="我们已知悉。")
    again = dispatcher.change("/notices/1/approve", text="We know.", text_zh="我们已知悉。")

    assert "Customers who get it 48" in preview and "Send to 48 customers" in preview
    assert world.network.customers[150].name in preview
    assert (200, 409) == (sent.status_code, again.status_code)
    assert "sent 48" in text_of(dispatcher.get("/notices").text)


def test_a_text_that_waits_is_shown_however_old_it_is(world: World, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    dispatcher.change("/notices")
    world.clock.us += 8 * DAY

    assert 'href="/notices/1"' in dispatcher.get("/notices").text


def test_who_sees_no_customer_sees_how_many_and_no_name(world: World, visit: Visit) -> None:
    operator = visit("operator")
    operator.change("/notices")

    page = operator.get("/notices/1").text

    assert "48" in page
    assert not any(c.name in page for c in world.network.customers)


class Queue:
    """Notices on their way out: one could not be delivered."""

    def __init__(self) -> None:
        self.revived: list[int] = []

    def counts(self) -> dict[str, int]:
        return {"waiting": 2, "sent": 40, "dead": 1}

    def dead(self, limit: int = 100) -> list[LeasedNotice]:
        return [
            LeasedNotice(
                9,
                "incident:1",
                "account:1",
                "power_out",
                "",
                "sms",
                {},
                NOW,
                NOW,
                8,
                "the gateway answered 410",
            )
        ]

    def revive(self, notice_id: int) -> bool:
        self.revived.append(notice_id)
        return notice_id == 9


QUEUE = Queue()


@pytest.mark.parametrize("world", [{"delivery": QUEUE}], indirect=True)
def test_what_could_not_be_delivered_is_shown_and_can_be_tried_again(
    world: World, visit: Visit
) -> None:
    dispatcher = visit("dispatcher")

    page = text_of(dispatcher.get("/notices").text)
    dispatcher.change("/notices/dead/9")

    assert "could not be delivered 1" in page and "the gateway answered 410" in page
    assert [9] == QUEUE.revived
    assert 404 == dispatcher.change("/notices/dead/10").status_code


def test_a_text_that_is_not_there_is_a_plain_404(visit: Visit) -> None:
    dispatcher = visit("dispatcher")

    assert 404 == dispatcher.get("/notices/77").status_code
    assert 404 == dispatcher.change("/notices/77/approve", text="x", text_zh="x").status_code
    assert 403 == visit("clerk").get("/notices").status_code
