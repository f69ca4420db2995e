"""The watch list, the knob with its preview, and what helps on a ticket."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from alerts.budget import BELOW_LIMIT, OVER_BUDGET
from alerts.roles import Actor
from alerts.states import STATES
from alerts.tickets import TicketDesk
from desk.read_now import Answered
from grid.errors import ForewattError
from grid.records import WATCH_LIST, Evidence
from storage.desk_records import LastSeen
from tests.unit.web.test_knowledge_pages import ARTICLE
from tests.unit.web.visitor import Visit
from tests.unit.web.world import (
    CONFIGURATION,
    DAY,
    HOUR,
    METER,
    MINUTE,
    NEUTRAL,
    NOW,
    World,
    raised,
)
from web.budget_preview import BudgetPreviews, preview_budgets
from web.settings import ConfigLine


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("&#39;", "'")


def held(why: str) -> Evidence:
    return replace(NEUTRAL, numbers={**NEUTRAL.numbers, WATCH_LIST: why})


def odd(meter: str, rank: int) -> Evidence:
    return Evidence(
        "least like all other meters yesterday: it dips below its area",
        "昨日与其他电能表差异最大：电压低于本台区的深度",
        {"rank": rank, "deviation_lowest_v": -14.2, "deviation_lowest_v_spreads": -8.3},
        1.0,
        (NOW - DAY, NOW),
    )


@pytest.fixture
def watched(world: World) -> World:
    """Two alerts without a ticket and two odd meters."""
    world.happen(
        raised("joint_resistance", "branch", "T1-B2", NOW - 4 * HOUR, held(OVER_BUDGET), (), 1.8),
        raised("unbalance", "transformer", "T5", NOW - 9 * HOUR, held(BELOW_LIMIT), (), 1.1),
        raised("unknown", "device", "M-T1-009", NOW - 16 * HOUR, odd("M-T1-009", 2), (), 1.2),
        raised("unknown", "device", "M-T1-004", NOW - 16 * HOUR, odd("M-T1-004", 1), (), 1.4),
    )
    return world


def test_the_watch_list_says_why_nothing_has_a_ticket_the_highest_score_first(
    watched: World, visit: Visit
) -> None:
    page = visit("engineer").get("/engineer/watch").text
    text = text_of(page)

    assert "1.8" in text and text.index("over the day's budget") < text.index(
        "below its calibrated limit"
    )
    assert "outage" not in re.findall(r'href="/alerts/[^"]*">([^<]+)', page)


def test_the_odd_meters_stand_in_the_order_of_the_night_and_lead_to_their_charts(
    watched: World, visit: Visit
) -> None:
    page = visit("engineer").get("/engineer/watch").text

    assert ["M-T1-004", "M-T1-009"] == re.findall(r'href="/devices/([^"]+)"', page)
    assert "Lowest below its area -14.2 V (-8.3 spreads)" in text_of(page)


def test_a_meter_that_lives_where_all_are_dark_is_a_suspect(world: World, visit: Visit) -> None:
    seen = world.supply.last_seen

    def last_seen(devices: Sequence[str]) -> dict[str, LastSeen]:
        return {**seen(devices), "M-T7-003": LastSeen(NOW - 40_000_000, 229.0)}

    world.supply.last_seen = last_seen  # type: ignore[method-assign]

    page = visit("engineer").get("/engineer/watch").text

    assert "/devices/M-T7-003" in page


def test_only_engineer_and_operator_open_it(visit: Visit) -> None:
    codes = {r: visit(r).get("/engineer/watch").status_code for r in ("operator", "clerk")}

    assert {"operator": 200, "clerk": 403} == codes


# -- the knob ------------------------------------------------------------------------------------


@pytest.fixture
def busy(world: World) -> World:
    """Three preventive causes a day, each at an area of its own, for twelve days."""
    for day in range(12, 0, -1):
        for n, area in enumerate(("T1", "T3", "T5")):
            at_us = NOW - day * DAY + n * HOUR
            world.happen(
                raised("transformer_thermal", "transformer", area, at_us, METER, (), 1.5 + n / 10)
            )
    return world


def test_a_lower_budget_gives_fewer_tickets_and_never_holds_back_danger(busy: World) -> None:
    found = preview_budgets(busy.ledger, busy.network, NOW, 2.0)
    rows = {r.budget: r for r in found.rows}

    a_day = [rows[b].a_day for b in (0.5, 1.0, 2.0, 5.0)]
    assert a_day == sorted(a_day) and a_day[0] < a_day[-1]
    assert {r.dangerous for r in found.rows} == {1 / 28}  # T7's outage
    assert rows[0.0].waiting == 0 and rows[0.5].waiting > 0
    assert rows[2.0].current and sum(r.current for r in found.rows) == 1


def test_without_a_bound_it_counts_the_tickets_that_were_opened(busy: World) -> None:
    unbound = preview_budgets(busy.ledger, busy.network, NOW, None).rows[-1]

    with busy.ledger.reading() as r:
        opened = len(r.tickets(states=list(STATES)))
    assert opened == round(unbound.a_day * 28)


def test_looking_changes_nothing(busy: World) -> None:
    def rows() -> str:
        with busy.ledger.reading() as r:
            return repr((r.totals(), r.alerts(), r.tickets()))

    before = rows()
    preview_budgets(busy.ledger, busy.network, NOW, 2.0)

    assert before == rows()


def test_the_budgets_are_judged_once_for_all_who_look(
    busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    previews = BudgetPreviews(busy.ledger, busy.network)
    first = previews.get(NOW, 2.0)
    again = previews.get(NOW + MINUTE, 2.0)
    other = previews.get(NOW + MINUTE, 3.0)
    monkeypatch.setattr("web.budget_preview.KEPT_S", -1.0)
    later = previews.get(NOW + DAY, 2.0)

    assert again is first
    assert [r.budget for r in other.rows if r.current] == [3.0]
    assert (first.at_us, other.at_us, later.at_us) == (NOW, NOW + MINUTE, NOW + DAY)


BUDGET = {
    "configuration": lambda: (
        *CONFIGURATION,
        ConfigLine("alerts", "budget", "2.0", False, "tickets a day"),
    )
}


@pytest.mark.parametrize("world", [BUDGET], indirect=True)
def test_the_knob_shows_the_budget_of_now_beside_the_others(world: World, visit: Visit) -> None:
    page = text_of(visit("admin").get("/admin/detectors").text)

    assert "2 now" in page and "no bound" in page and "Tickets a day" in page


# -- beside a ticket -----------------------------------------------------------------------------


def ticket_of(world: World, asset: str) -> int:
    return int(next(t.id for t in world.ledger_tickets() if t.asset == asset))


def test_the_notice_of_an_outage_lies_ready_to_be_copied_by_one_key(
    world: World, visit: Visit
) -> None:
    page = visit("dispatcher", "zh-CN").get(f"/tickets/{ticket_of(world, 'T7')}").text

    assert "停电台区：大学路7号配变" in page and "影响客户：48户" in page
    assert 'data-copy="outage-notice"' in page and 'data-key="c"' in page


def test_the_route_says_who_has_it_and_who_is_next(world: World, visit: Visit) -> None:
    page = visit("dispatcher").get(f"/tickets/{ticket_of(world, 'T7')}").text
    route = text_of(re.findall(r'<ol class="route".*?</ol>', page, re.S)[0])

    assert "To be assessed 抢修一班 18:13" in route
    assert "office" in route


def test_what_is_known_of_the_fault_stands_on_its_ticket(world: World, visit: Visit) -> None:
    clerk = visit("clerk")
    clerk.change("/knowledge/new", **ARTICLE)
    visit("engineer").change("/knowledge/articles/1/1/accept")

    assert "Where neutrals come loose" in clerk.get(f"/tickets/{ticket_of(world, 'T3')}").text
    assert "Where neutrals come loose" not in clerk.get(f"/tickets/{ticket_of(world, 'T7')}").text


def test_a_first_estimate_is_offered_and_told_to_nobody(world: World, visit: Visit) -> None:
    page = text_of(visit("dispatcher").get(f"/tickets/{ticket_of(world, 'T7')}").text)

    assert "Likely back" in page and "nobody is told" in page


def test_sub_tickets_are_named_on_their_main_ticket(world: World, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    desk = TicketDesk(world.ledger, world.network, world.clock)
    main = next(t for t in world.ledger_tickets() if t.asset == "T7")
    sub = next(t for t in world.ledger_tickets() if t.asset == "T3")
    desk.perform(
        "merge", sub.id, Actor("赵调度", "dispatcher"), sub.version, target_number=main.number
    )

    assert f"Merged into this one: {sub.number}" in text_of(
        dispatcher.get(f"/tickets/{main.id}").text
    )


class HeadEnd:
    """Reads meters: every second one answers."""

    def __init__(self) -> None:
        self.broken = False

    def read(self, devices: Sequence[str], request_id: str) -> Sequence[Answered]:
        if self.broken:
            raise ForewattError("the head-end cannot be reached")
        return [Answered(d, n % 2 == 0, None, 229.0) for n, d in enumerate(devices)]


HEAD_END = HeadEnd()


@pytest.mark.parametrize("world", [{"head_end": HEAD_END}], indirect=True)
def test_the_silent_meters_of_an_outage_are_asked_with_a_key(world: World, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    address = f"/tickets/{ticket_of(world, 'T7')}"
    button = 'data-key="r"' in dispatcher.get(address).text

    answer = dispatcher.change(f"{address}/read-now")
    again = dispatcher.change(f"{address}/read-now")

    assert button
    assert "24 of 48 meters answer" in answer.text
    assert (429, True) == (again.status_code, "within the last minute" in again.text)
    assert any(a == "read_now" for _, a, _ in world.people.audited)


@pytest.mark.parametrize("world", [{"head_end": HEAD_END}], indirect=True)
def test_a_head_end_that_fails_is_said_and_the_page_stands(
    world: World, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HEAD_END, "broken", True)

    answer = visit("dispatcher").change(f"/tickets/{ticket_of(world, 'T7')}/read-now")

    assert (502, True) == (answer.status_code, "Ask the silent meters now" in answer.text)


def test_without_a_head_end_there_is_no_button(world: World, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    address = f"/tickets/{ticket_of(world, 'T7')}"

    assert "Ask the silent meters now" not in dispatcher.get(address).text
    assert 404 == dispatcher.change(f"{address}/read-now").status_code
