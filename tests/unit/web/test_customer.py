"""My supply: the answer first, without script, small, for one customer alone."""

import re
from dataclasses import replace
from typing import Any

import pytest

from alerts.roles import Actor
from grid.network import PlannedWork
from tests.unit.web.visitor import HOST, Visitor
from tests.unit.web.world import DAY, HOUR, MINUTE, NOW, World
from web.app import create_app

MY = "/my/link-c-2"  # a customer of T7, which is out of supply
ACCOUNT = "330740005"
BYTES_MAX = 60_000


@pytest.fixture
def customer(world: World) -> Visitor:
    """Somebody at T7 with nothing but their link."""
    world.people.customer("c-2", ACCOUNT)
    return Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})


def ticket(world: World) -> Any:
    with world.ledger.reading() as r:
        return r.ticket(3)


def go_on(world: World, *actions: str, **details: Any) -> None:
    desk = create_app(world.settings).state.site.tickets
    for action in actions:
        given = {"team": "crew-1"} if action == "dispatch" else details
        desk.perform(action, 3, Actor("赵调度", "dispatcher"), ticket(world).version, **given)


def test_the_page_with_all_it_needs_is_small_and_has_no_script(customer: Visitor) -> None:
    page = customer.get(MY)

    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    total = len(page.content) + sum(len(customer.get(a).content) for a in assets)
    assert len(assets) >= 3 and total <= BYTES_MAX
    assert "<script" not in page.text


@pytest.mark.parametrize(
    ("actions", "stop"),
    [
        ((), "Known"),
        (("take", "dispatch"), "Known"),
        (("take", "dispatch", "accept"), "Crew on its way"),
        (("take", "dispatch", "arrive"), "Crew on site"),
        (("take", "dispatch", "arrive", "restore"), "Restored"),
    ],
)
def test_the_way_of_the_repair_stands_under_the_sentence(
    actions: tuple[str, ...], stop: str, customer: Visitor, world: World
) -> None:
    go_on(world, *actions)

    page = customer.get(MY).text

    assert [stop] == re.findall(r'class="now" aria-current="step">([^<]+)<', page)


def test_an_estimate_says_when_it_was_made(customer: Visitor, world: World) -> None:
    assert "not known yet" in customer.get(MY).text
    go_on(world, "estimate", estimated_us=NOW + HOUR)

    page = re.sub(r"<[^>]+>", "", customer.get(MY).text)

    assert "19:24 as of 18:24" in page


def test_the_customer_is_told_when_they_hear_more(customer: Visitor, world: World) -> None:
    go_on(world, "estimate", estimated_us=NOW + HOUR)
    due = re.sub(r"<[^>]+>", "", customer.get(MY).text)
    go_on(world, "take", "dispatch", "arrive", "restore")

    assert "Next update" + "by 19:24 at the latest" in due.replace("\n", "")
    assert "Next update" not in customer.get(MY).text


def test_a_report_hangs_on_what_is_known(customer: Visitor, world: World) -> None:
    page = customer.change(f"{MY}/report", kind="fault", text="all dark").text

    with world.ledger.reading() as r:
        (contact,) = r.contacts()
    assert ("web", ACCOUNT, 3) == (contact.channel, contact.account, contact.ticket_id)
    assert "We know this fault" in page and "all dark" in page


def test_a_request_becomes_a_contact_without_a_ticket(customer: Visitor, world: World) -> None:
    page = customer.change(f"{MY}/report", kind="application", text="more power, please").text

    with world.ledger.reading() as r:
        (contact,) = r.contacts()
        assert 3 == len(r.tickets())
    assert ("application", None) == (contact.kind, contact.ticket_id)
    assert "will be answered" in page


def test_an_empty_report_is_asked_for_and_nothing_is_kept(customer: Visitor, world: World) -> None:
    for fields in ({"kind": "fault", "text": " "}, {"kind": "sabotage", "text": "x"}, {}):
        assert "say what it is about" in customer.change(f"{MY}/report", **fields).text

    with world.ledger.reading() as r:
        assert [] == r.contacts()


def test_reports_of_one_customer_are_limited(customer: Visitor, world: World) -> None:
    pages = [customer.change(f"{MY}/still-out").text for _ in range(7)]

    with world.ledger.reading() as r:
        assert 5 == len(r.contacts())
    assert "We have your reports" in pages[-1]


def test_one_address_cannot_try_links_without_end(customer: Visitor) -> None:
    answers = [customer.get(f"/my/guess-{n}").status_code for n in range(125)]

    assert ({404}, 429) == (set(answers[:120]), answers[-1])


def test_planned_work_is_told_to_whom_it_touches_and_to_nobody_else(world: World) -> None:
    works = (
        PlannedWork("transformer", "T7", NOW + DAY, NOW + DAY + 2 * HOUR, "new fuse gear"),
        PlannedWork("transformer", "T1", NOW + DAY, NOW + DAY + 2 * HOUR, "not mine"),
        PlannedWork("transformer", "T7", NOW - DAY, NOW - DAY + HOUR, "long over"),
    )
    world.network = replace(world.network, planned=works)
    world.people.customer("c-2", ACCOUNT)
    visitor = Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})

    page = visitor.get(MY).text

    assert "new fuse gear" in page
    assert "not mine" not in page and "long over" not in page


def test_a_repair_is_rated_by_who_reported_it(customer: Visitor, world: World) -> None:
    customer.change(f"{MY}/still-out")
    assert "Rate this repair" not in customer.get(MY).text
    world.clock.us += 30 * MINUTE
    go_on(world, "take", verdict="confirmed_fault", cause_code="fuse_or_breaker")
    go_on(world, "close", verdict="confirmed_fault", cause_code="fuse_or_breaker")
    assert "Rate this repair" in customer.get(MY).text

    page = customer.change(f"{MY}/rate", ticket="3", stars="4", reason="quick", text="ok").text

    assert "Thank you for the rating" in page
    with world.ledger.reading() as r:
        (said,) = r.human_inputs(kinds=("rating",))
    assert (4, ACCOUNT) == (said.data["stars"], said.data["account"])


@pytest.mark.parametrize(("which", "stars"), [("3", "9"), ("1", "5"), ("x", "5"), ("", "")])
def test_a_rating_that_cannot_be_is_refused_with_a_sentence(
    which: str, stars: str, customer: Visitor, world: World
) -> None:
    answer = customer.change(f"{MY}/rate", ticket=which, stars=stars)

    assert 422 == answer.status_code
    with world.ledger.reading() as r:
        assert [] == r.human_inputs(kinds=("rating",))


def test_no_other_customer_is_on_the_page(customer: Visitor, world: World) -> None:
    page = customer.get(MY).text

    others = [c for c in world.network.customers if c.account != ACCOUNT]
    assert [] == [c.account for c in others if c.account in page or c.phone in page]
    assert "杨敏" not in page and "杨*" in page
