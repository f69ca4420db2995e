"""Articles, checklists and cases: written by one, reviewed by another, found by all."""

import re

import pytest

from alerts.roles import Actor
from alerts.tickets import TicketDesk
from tests.unit.web.visitor import Visit, Visitor
from tests.unit.web.world import HOUR, World

ARTICLE = {
    "title": "Where neutrals come loose",
    "title_zh": "零线虚接多发部位",
    "body": "First look at the clamp on the pole.\nThen at the meter box.",
    "body_zh": "先查杆上线夹。\n再查表箱。",
    "fault_neutral_loose": "1",
}


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def write(visitor: Visitor, **more: str) -> str:
    return str(visitor.change("/knowledge/new", **{**ARTICLE, **more}).url)


def test_an_article_is_in_use_once_somebody_else_has_accepted_it(visit: Visit) -> None:
    clerk, engineer = visit("clerk"), visit("engineer")

    written = write(clerk)
    own = clerk.change("/knowledge/articles/1/1/accept")
    before = "Where neutrals come loose" in clerk.get("/knowledge?fault=neutral_loose&q=pole").text
    engineer.change("/knowledge/articles/1/1/accept", remark="good")
    after = text_of(clerk.get("/knowledge?fault=neutral_loose&q=pole").text)

    assert "/knowledge/articles/1?version=1" in written
    assert (409, True) == (own.status_code, "Somebody else has to review" in own.text)
    assert before  # it stands among those that wait
    assert "Waiting for review" not in after and "Where neutrals come loose" in after


def test_it_is_found_in_chinese_by_two_characters_and_not_under_another_fault(visit: Visit) -> None:
    write(visit("clerk"))
    visit("engineer").change("/knowledge/articles/1/1/accept")
    reader = visit("operator", "zh-CN")

    assert "零线虚接多发部位" in reader.get("/knowledge?q=线夹").text
    assert "零线虚接多发部位" not in reader.get("/knowledge?fault=unbalance").text


def test_a_better_version_shows_what_changes_and_an_overtaken_one_is_refused(visit: Visit) -> None:
    clerk, engineer, dispatcher = visit("clerk"), visit("engineer"), visit("dispatcher")
    write(clerk)
    engineer.change("/knowledge/articles/1/1/accept")
    edit = clerk.get("/knowledge/articles/1/edit").text
    better = {**ARTICLE, "body": "First look at the clamp.\nThen at the meter box."}
    for writer in (clerk, dispatcher):
        writer.change("/knowledge/articles/1/edit", **better, reason="shorter")

    page = engineer.get("/knowledge/articles/1?version=2").text
    engineer.change("/knowledge/articles/1/2/accept")
    late = engineer.change("/knowledge/articles/1/3/accept")

    assert "First look at the clamp on the pole." in edit
    assert "<del>First look at the clamp on the pole.</del>" in page
    assert "<ins>First look at the clamp.</ins>" in page
    assert (409, True) == (late.status_code, "propose it again" in late.text)


def test_what_was_typed_stays_when_a_language_is_missing(visit: Visit) -> None:
    answer = visit("clerk").change("/knowledge/new", **{**ARTICLE, "title_zh": ""})

    assert 422 == answer.status_code
    assert "Write title and text in both languages." in answer.text
    assert "Then at the meter box." in answer.text and 'name="fault_neutral_loose"' in answer.text


def test_a_checklist_is_improved_by_version_and_tickets_get_the_new_one(visit: Visit) -> None:
    clerk, engineer = visit("clerk"), visit("engineer")
    form = dict(
        re.findall(
            r'<textarea name="([^"]+)"[^>]*>([^<]*)<',
            clerk.get("/knowledge/checklists/neutral/edit").text,
        )
    )
    titles = dict(
        re.findall(
            r'name="([\w-]+_title)"[^>]* value="([^"]+)"',
            clerk.get("/knowledge/checklists/neutral/edit").text,
        )
    )
    form["en_close"] += "\nTell the area's manager."
    form["zh-CN_close"] += "\n告知台区经理。"

    made = clerk.change("/knowledge/checklists/neutral/edit", **form, **titles, reason="manager")
    number = str(made.url).rpartition("=")[2]
    engineer.change(f"/knowledge/checklists/neutral/{number}/accept")

    assert "Tell the area&#39;s manager." in clerk.get("/tickets/1").text
    assert "Replaced by a newer version" in clerk.get("/knowledge/checklists/neutral").text


def test_a_reader_writes_nothing(visit: Visit) -> None:
    reader = visit("read_only")

    assert 200 == reader.get("/knowledge").status_code
    assert 403 == reader.get("/knowledge/new").status_code
    assert 403 == reader.change("/knowledge/new", **ARTICLE).status_code


def test_what_is_about_energy_loss_alone_is_as_restricted_as_its_work(visit: Visit) -> None:
    engineer, clerk = visit("engineer"), visit("clerk")
    about = {k: v for k, v in ARTICLE.items() if not k.startswith("fault")}
    engineer.change("/knowledge/new", **about, fault_energy_loss="1")
    visit("supervisor").change("/knowledge/articles/1/1/accept")

    assert 200 == engineer.get("/knowledge/checklists/energy_loss").status_code
    assert "Where neutrals come loose" in engineer.get("/knowledge").text
    assert 404 == clerk.get("/knowledge/checklists/energy_loss").status_code
    assert 404 == clerk.get("/knowledge/articles/1").status_code
    assert 404 == clerk.change("/knowledge/articles/1/1/accept").status_code
    page = clerk.get("/knowledge").text
    assert not any(x in page for x in ("energy_loss", "Where neutrals come loose"))


def test_who_does_not_see_a_fault_kind_does_not_take_it_from_an_article(visit: Visit) -> None:
    engineer, clerk = visit("engineer"), visit("clerk")
    about = {k: v for k, v in ARTICLE.items() if not k.startswith("fault")}
    engineer.change("/knowledge/new", **about, fault_energy_loss="1", fault_neutral_loose="1")
    visit("supervisor").change("/knowledge/articles/1/1/accept")

    clerk.change("/knowledge/articles/1/edit", **about, fault_neutral_loose="1", reason="shorter")

    assert "fault=energy_loss" in engineer.get("/knowledge/articles/1?version=2").text


def test_each_version_is_restricted_by_what_it_is_about_itself(visit: Visit) -> None:
    """A proposal about something else must not open what was written about energy loss."""
    engineer, clerk = visit("engineer"), visit("clerk")
    about = {k: v for k, v in ARTICLE.items() if not k.startswith("fault")}
    engineer.change("/knowledge/new", **about, fault_energy_loss="1")
    visit("supervisor").change("/knowledge/articles/1/1/accept")
    other = {**about, "title": "Which seal is whose", "body": "The green one."}
    engineer.change("/knowledge/articles/1/edit", **other, fault_neutral_loose="1", reason="wider")

    pages = [clerk.get(f"/knowledge/articles/1?version={n}").text for n in (1, 2)]

    assert all("The green one." in page for page in pages)
    assert not any(about["body"] in page for page in pages)
    assert 404 == clerk.change("/knowledge/articles/1/1/withdraw", remark="x").status_code


@pytest.mark.parametrize(
    "path",
    [
        "/knowledge/articles/77",
        "/knowledge/checklists/none",
        "/knowledge/poems/1",
        "/cases/20200101-0001",
    ],
)
def test_what_is_not_there_is_a_plain_404(path: str, visit: Visit) -> None:
    assert 404 == visit("clerk").get(path).status_code


@pytest.fixture
def closed(world: World) -> World:
    """T3's ticket worked to its end."""
    desk = TicketDesk(world.ledger, world.network, world.clock)
    chief = Actor("赵调度", "dispatcher")
    ticket = next(t for t in world.ledger_tickets() if t.asset == "T3")
    for action, details in (
        ("take", {}),
        ("dispatch", {}),
        ("assign", {"crew": "李师傅"}),
        ("accept", {}),
        ("arrive", {}),
        ("restore", {}),
        ("verify", {}),
        (
            "close",
            {
                "verdict": "confirmed_precursor",
                "cause_code": "loose_connection",
                "note": "clamp tightened",
            },
        ),
    ):
        ticket = desk.perform(action, ticket.id, chief, ticket.version, **details)
        world.clock.us += HOUR // 6
    return world


def test_a_closed_ticket_is_a_case_that_names_no_customer(closed: World, visit: Visit) -> None:
    operator = visit("operator")

    listed = text_of(operator.get("/cases?fault=neutral_loose").text)
    number = re.findall(r"\d{8}-\d{4}", listed)[0]
    page = operator.get(f"/cases/{number}").text

    assert "the neutral's resistance is 0.31" in text_of(page).replace("&#39;", "'")
    assert "clamp tightened" in page and "after 4 h" in page
    assert not any(c.name in page or c.phone in page for c in closed.network.customers)


def test_the_open_ticket_is_no_case(world: World, visit: Visit) -> None:
    number = next(t.number for t in world.ledger_tickets())

    assert 404 == visit("operator").get(f"/cases/{number}").status_code
