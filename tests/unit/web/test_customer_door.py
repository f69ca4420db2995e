"""My supply without a link: the state of areas for everybody, one's own by a code; no name, no
script, small; and nobody learns who is a customer."""

import re
import time
from dataclasses import replace

import pytest

from grid.network import PlannedWork
from tests.unit.web.test_customer import ACCOUNT, BYTES_MAX
from tests.unit.web.visitor import HOST, Visitor
from tests.unit.web.world import DAY, HOUR, NOW, World, raised
from tests.unit.web.world import OUTAGE as SILENT
from web.app import create_app
from web.links import sign
from web.pages.customer_door import OWN

PHONE = "13930000004"  # in the records with ACCOUNT
TEXTS = pytest.mark.parametrize("world", [{"texts": True}], indirect=True)


@pytest.fixture
def anybody(world: World) -> Visitor:
    """Somebody with nothing at all."""
    return Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})


def codes(world: World) -> list[str]:
    """The codes on their way, the newest last."""
    with world.ledger.reading() as memory:
        texts = [str(n.payload["text"]) for n in memory.notice_rows.values()]
    return [re.findall(r"\d{6}", text)[0] for text in texts]


def test_everybody_sees_which_areas_are_dark_and_no_customer(
    anybody: Visitor, world: World
) -> None:
    page = anybody.get("/my").text

    assert "大学路7号" in page and "配变" not in page
    assert "no power since" in page and "48 customers" in page and ">Known<" in page
    assert "<script" not in page and len(page) < BYTES_MAX
    assert not any(c.account in page or c.phone in page for c in world.network.customers)


def test_an_area_whose_meters_have_power_again_is_not_said_to_be_dark_still(
    anybody: Visitor, world: World
) -> None:
    world.power_back()

    page = anybody.get("/my").text

    assert "The meters have power again since 18:23" in page and "18:13 – 18:23" in page
    assert ">Known<" not in page and "no power since" not in page


def test_a_single_dark_house_and_what_is_no_outage_are_nobodys_business(
    anybody: Visitor, world: World
) -> None:
    world.happen(raised("outage", "usage_point", "T1-004", NOW, SILENT, ("M-T1-004",)))

    page = anybody.get("/my").text

    assert "杏园路1号" not in page and "柳浪新村" not in page
    assert 1 == page.count("no power since")


def test_announced_work_of_the_week_is_told(world: World) -> None:
    works = (
        PlannedWork("transformer", "T5", NOW + DAY, NOW + DAY + HOUR, "new fuse gear"),
        PlannedWork("transformer", "T5", NOW + 20 * DAY, NOW + 21 * DAY, "far away"),
        PlannedWork("usage_point", "T5-001", NOW + DAY, NOW + DAY + HOUR, "one house"),
    )
    world.network = replace(world.network, planned=works)
    anybody = Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})

    page = anybody.get("/my").text

    assert "new fuse gear" in page and "河坊街5号" in page and "far away" not in page
    assert "one house" not in page


@TEXTS
def test_a_code_by_phone_opens_the_own_page_once(anybody: Visitor, world: World) -> None:
    asked = anybody.change("/my/code", account=ACCOUNT, phone=PHONE)
    right = codes(world)[-1]

    answer = anybody.post(
        "/my/enter",
        data={"account": ACCOUNT, "code": right},
        headers={"origin": HOST},
        follow_redirects=False,
    )

    assert "a code is on its way" in asked.text and right not in asked.text
    assert 303 == answer.status_code
    mine = anybody.get(answer.headers["location"]).text
    assert "without power since" in mine and "I still have no power" in mine
    assert (ACCOUNT, "sign_in", "code") in world.people.audited
    again = anybody.change("/my/enter", account=ACCOUNT, code=right)
    assert 422 == again.status_code and "That code is not right" in again.text


@TEXTS
def test_the_answer_is_the_same_whoever_was_meant(anybody: Visitor, world: World) -> None:
    """Right, wrong number, no such account: one page, but for the account that was typed."""
    asked = [(ACCOUNT, PHONE), (ACCOUNT, "13900000000"), ("999999999", PHONE)]

    pages = {
        anybody.change("/my/code", account=account, phone=phone).text.replace(account, "-")
        for account, phone in asked
    }

    assert 1 == len(pages)
    assert 1 == len(codes(world))


@TEXTS
def test_messages_and_guesses_are_limited(anybody: Visitor, world: World) -> None:
    for _ in range(6):
        anybody.change("/my/code", account=ACCOUNT, phone=PHONE)
    guesses = [
        anybody.change("/my/enter", account=ACCOUNT, code=f"{n:06d}").status_code for n in range(7)
    ]

    assert 3 == len(codes(world))
    assert [422] * 5 + [429] * 2 == guesses
    refused = anybody.change("/my/enter", account=ACCOUNT, code=codes(world)[-1])
    assert 429 == refused.status_code


@TEXTS
def test_who_knows_the_account_alone_uses_up_none_of_its_messages(
    anybody: Visitor, world: World
) -> None:
    for _ in range(5):
        anybody.change("/my/code", account=ACCOUNT, phone="13900000000")

    anybody.change("/my/code", account=ACCOUNT, phone=PHONE)

    assert 1 == len(codes(world))


def test_on_the_worst_night_the_areas_are_looked_up_once_for_all(
    anybody: Visitor, world: World
) -> None:
    first = anybody.get("/my").text
    with world.ledger.transaction() as memory:
        memory.incident_rows.clear()

    assert first.count("no power since") == anybody.get("/my").text.count("no power since") == 1


@TEXTS
def test_what_is_missing_is_asked_for_and_stays(anybody: Visitor) -> None:
    page = anybody.change("/my/code", account=ACCOUNT).text

    assert "give the account number and the telephone number" in page and ACCOUNT in page


def test_without_a_way_to_telephones_there_is_no_such_form(anybody: Visitor) -> None:
    assert "/my/code" not in anybody.get("/my").text
    assert 404 == anybody.change("/my/code", account=ACCOUNT, phone=PHONE).status_code


def test_a_forged_and_an_old_link_open_nothing(anybody: Visitor, world: World) -> None:
    facts = {"account": ACCOUNT}
    secret = world.settings.secret
    links = {
        "ours": sign(secret, OWN, facts, time.time() + 60),
        "old": sign(secret, OWN, facts, time.time() - 1),
        "another secret": sign(b"x", OWN, facts, time.time() + 60),
        "another purpose": sign(secret, "crew", facts, time.time() + 60),
    }

    opened = {name: anybody.get(f"/my/{link}").status_code for name, link in links.items()}

    assert {"ours": 200, "old": 404, "another secret": 404, "another purpose": 404} == opened
