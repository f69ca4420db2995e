"""Beside a ticket: who may decide what, and that nothing typed is lost."""

import re

import httpx
import pytest

from tests.unit.web.test_pages import ring, text_of
from tests.unit.web.visitor import Visit, Visitor
from tests.unit.web.world import World
from web.presence import HERE_S, Colleague, Presence

CALLED = "/tickets/1/called"  # T3: a household on life support, a hospital, an elderly person
CARED_FOR = "330720002"


def test_a_name_on_a_page_ends_by_itself() -> None:
    now = [0.0]
    presence = Presence(now=lambda: now[0])
    presence.here(3, "li", "李柜员", writing=True)

    at_once = presence.here(3, "wang", "王值班", writing=False)
    now[0] = HERE_S + 1
    later = presence.here(3, "wang", "王值班", writing=False)

    assert ([Colleague("李柜员", True)], []) == (at_once, later)


def test_colleagues_are_those_of_the_same_ticket(visit: Visit) -> None:
    clerk, dispatcher = visit("clerk"), visit("dispatcher")
    clerk.change("/tickets/1/here", writing="1")
    dispatcher.change("/tickets/3/here", writing="")

    elsewhere = dispatcher.change("/tickets/3/here").json()
    together = dispatcher.change("/tickets/1/here").json()

    assert ([], [{"name": "李柜员", "writing": True}]) == (
        elsewhere["others"],
        together["others"],
    )


def test_an_edit_that_came_too_late_shows_both_sides(visit: Visit) -> None:
    clerk, dispatcher = visit("clerk"), visit("dispatcher")
    clerk.change("/tickets/3/take", version="1")

    answer = dispatcher.change("/tickets/3/note", version="1", text="客户要求回电")

    merge = re.search(r'<section class="card merge".*?</section>', answer.text, re.S)
    assert (409, True) == (answer.status_code, merge is not None)
    assert merge is not None and "李柜员" in merge[0] and "客户要求回电" in merge[0]
    assert '<textarea name="text" required maxlength="2000">客户要求回电' in answer.text


def test_a_call_is_noted_with_who_made_it_and_what_came_of_it(visit: Visit) -> None:
    page = visit("clerk").change(CALLED, account=CARED_FOR, result="reached").text

    assert "1 of 3 reached" in page and "李柜员" in page


@pytest.mark.parametrize(
    ("account", "result"), [("330710001", "reached"), (CARED_FOR, "sold"), ("", "")]
)
def test_a_call_to_somebody_who_is_not_on_the_list_is_not_noted(
    account: str, result: str, visit: Visit
) -> None:
    assert visit("clerk").change(CALLED, account=account, result=result).status_code == 422


def test_whoever_sees_no_names_sees_how_many_are_to_be_called(visit: Visit) -> None:
    page = visit("engineer").get("/tickets/1").text

    assert "13910000001" not in page and "3 customers" in page


def test_a_line_of_the_checklist_that_is_not_there_is_refused(visit: Visit) -> None:
    clerk = visit("clerk")

    for part, index in (("safety", "99"), ("none", "0"), ("safety", "-1"), ("safety", "x")):
        answer = clerk.change("/tickets/3/tick", part=part, index=index, done="1")
        assert answer.status_code == 409


def test_only_who_may_decide_sends_texts_to_customers(world: World, visit: Visit) -> None:
    visit("dispatcher").change("/tickets/3/texts", what="draft")
    with world.ledger.reading() as r:
        (draft, *_) = r.drafts()

    refused = visit("clerk").change("/tickets/3/texts", what="approve", draft=str(draft.id))
    elsewhere = visit("dispatcher").change("/tickets/1/texts", what="approve", draft=str(draft.id))

    assert (409, 404) == (refused.status_code, elsewhere.status_code)
    with world.ledger.reading() as r:
        assert "draft" == r.drafts(open_only=False)[0].state


@pytest.mark.parametrize(
    ("language", "waits", "refused", "beside"),
    [
        (
            "en",
            "By the readings the supply has been back since 18:23. The text is no longer right.",
            "The text was withdrawn and nothing was sent.",
            "What you wrote; it was not sent: 停电",
        ),
        (
            "zh-CN",
            "用电数据显示18:23起已恢复供电。 通知内容已不符合现状。",
            "原通知已撤回，未发送。",
            "您填写的内容（未发送）： 停电",
        ),
    ],
)
def test_a_text_that_was_overtaken_is_not_sent_and_says_what_has_changed(
    language: str, waits: str, refused: str, beside: str, world: World, visit: Visit
) -> None:
    dispatcher = visit("dispatcher", language)
    dispatcher.change("/tickets/3/texts", what="draft")
    with world.ledger.reading() as r:
        (draft, *_) = r.drafts()
    world.power_back()
    page = text_of(dispatcher.get("/tickets/3").text)
    list_page = text_of(dispatcher.get(f"/notices/{draft.id}").text)

    answer = dispatcher.change(
        "/tickets/3/texts", what="approve", draft=str(draft.id), text="out", text_zh="停电"
    )

    said = text_of(answer.text)
    assert waits in page and waits in list_page
    assert 409 == answer.status_code
    assert refused in said and beside in said
    with world.ledger.reading() as r:
        assert ["withdrawn"] == [d.state for d in r.drafts(open_only=False)]
        assert r.told(f"incident:{draft.incident_id}", "power_out") == set()


def test_whoever_was_told_of_an_outage_is_offered_its_end_on_the_list_of_texts(
    world: World, visit: Visit
) -> None:
    dispatcher = visit("dispatcher")
    dispatcher.change("/tickets/3/texts", what="draft")
    dispatcher.change("/notices/1/approve", text="out", text_zh="停电")
    dispatcher.change("/tickets/3/estimate", version="1", estimated="2026-11-22T22:00", reason="x")
    dispatcher.change("/notices")
    with world.ledger.reading() as r:
        (estimate,) = r.drafts()
    world.power_back()

    answer = dispatcher.change(f"/notices/{estimate.id}/approve", text="by 10", text_zh="十点前")

    assert (409, True) == (answer.status_code, "Read the text that is right now." in answer.text)
    with world.ledger.reading() as r:
        assert ["power_restored"] == [d.trigger for d in r.drafts()]


@pytest.mark.parametrize(
    ("since", "symptom", "text", "expected"),
    [
        ("8", "no_light", "", "No light at all since 08:00"),
        ("", "no_light", "the fridge is off", "the fridge is off"),
        ("昨天 21:30", "flicker", "", "Light flickers since 11-21 21:30"),
        ("long ago", "dim", "", "Light dim or too bright (long ago)"),
        ("", "", "", ""),
    ],
)
def test_what_was_said_becomes_one_sentence(
    since: str, symptom: str, text: str, expected: str, world: World, visit: Visit
) -> None:
    visit("clerk").change(
        "/desk/contacts",
        account="330740005",
        external_id="x",
        since=since,
        symptom=symptom,
        text=text,
    )

    with world.ledger.reading() as r:
        assert [expected] == [c.text for c in r.contacts()]


def test_sparks_open_a_ticket_whatever_the_meter_says(world: World, visit: Visit) -> None:
    before = len(world.ledger_tickets())

    visit("clerk").change("/desk/contacts", account="330710001", external_id="x", symptom="danger")

    assert before + 1 == len(world.ledger_tickets())


def test_hits_say_whose_trouble_is_known_before_one_is_chosen(visit: Visit) -> None:
    page = visit("clerk").get("/desk?q=杨敏").text

    lines = re.findall(r'<a class="hit".*?</a>', page, re.S)
    assert [False, True] == ["1 open ticket covers this" in x for x in lines if "杨敏" in x]


def test_the_areas_manager_stands_among_those_to_dispatch_to(visit: Visit) -> None:
    dispatcher = visit("dispatcher")

    page = dispatcher.get("/tickets/3").text
    dispatcher.change("/tickets/3/dispatch", version="1", team="李台区")

    assert '<option value="李台区">The area&#39;s manager, 李台区</option>' in page
    found = dispatcher.get("/api/v1/tickets/3").json()
    assert (found["team"], found["manager"], found["assignee"]) == ("crew-1", "李台区", "李台区")


def test_a_call_about_something_else_is_taken_off_the_ticket(world: World, visit: Visit) -> None:
    ring(world)
    clerk = visit("clerk")
    with world.ledger.reading() as r:
        (call,) = r.contacts()
    empty = clerk.change("/tickets/3/split", contact=str(call.id), number="1", reason="")
    refused = clerk.change("/tickets/3/split", contact=str(call.id), number="1", reason="mine")

    moved = clerk.change("/tickets/3/split", contact=str(call.id), reason="own breaker")

    assert 422 == empty.status_code and "Say why" in empty.text
    assert 404 == refused.status_code and 'value="mine"' in refused.text
    assert "20261122-0004" in moved.text and "account=330740005" in moved.text
    old = text_of(clerk.get("/tickets/3").text)
    assert "A call was taken off this ticket" in old and "own breaker" in old
    assert "Not about this" not in visit("operator").get("/tickets/3").text


@pytest.mark.parametrize(
    ("language", "before", "after", "there"),
    [
        (
            "en",
            "No light at all, or danger, gets a ticket of its own",
            "Supply lost is new there; linked to what was known:",
            "Also at this place:",
        ),
        (
            "zh-CN",
            "全部没电或有危险时另开工单",
            "该处停电为新情况，已关联原有工单：",
            "同处另有工单：",
        ),
    ],
)
def test_a_caller_in_the_dark_at_a_known_defect_gets_a_ticket_that_names_it(
    language: str, before: str, after: str, there: str, visit: Visit
) -> None:
    clerk = visit("clerk", language)
    form = text_of(clerk.get("/desk?account=330720001").text)

    said = clerk.change(
        "/desk/contacts", account="330720001", external_id="y", symptom="no_light", since="8"
    )

    assert before in form
    assert after in text_of(said.text)
    known = re.search(after + r'.*?href="(/tickets/\d+)"', said.text, re.S)
    assert known is not None and there in text_of(clerk.get(known[1]).text)


def announce(visitor: Visitor, **more: str) -> httpx.Response:
    """A telephone system tells of a caller."""
    told = {"channel": "phone", "external_id": "r1", "account": "330740005", **more}
    headers = {"authorization": "Bearer bearer-clerk"}
    answer: httpx.Response = visitor.post("/api/v1/contacts", json=told, headers=headers)
    return answer


def test_a_call_that_nobody_has_is_announced_until_somebody_takes_it(visit: Visit) -> None:
    clerk, dispatcher = visit("clerk"), visit("dispatcher", "zh-CN")
    announce(visit())
    rings = clerk.get("/desk").text
    taken = re.search(r'action="(/desk/calls/\d+/take)"', rings)
    assert taken is not None and "Take the call" in rings and "接听" in dispatcher.get("/desk").text

    mine = clerk.change(taken[1])
    late = dispatcher.change(taken[1])

    assert "杨敏" in mine.text and "account=330740005" in str(mine.url)
    assert (409, True) == (late.status_code, "该来电已由李柜员接听。" in late.text)
    assert "data-ringing" not in clerk.get("/desk").text
    assert 404 == clerk.change("/desk/calls/9999/take").status_code
    assert 403 == visit("engineer").change(taken[1]).status_code


def test_a_call_that_was_given_to_a_clerk_is_theirs_alone(visit: Visit) -> None:
    given = announce(visit(), clerk="clerk")

    mine, theirs = visit("clerk").get("/desk").text, visit("dispatcher").get("/desk").text

    assert 201 == given.status_code
    assert "data-mine" in mine and "data-mine" not in theirs
    assert "data-ringing" not in mine + theirs


@pytest.mark.parametrize("login", ["nobody", "engineer", " "])
def test_a_call_given_to_nobody_at_the_counter_is_refused(login: str, visit: Visit) -> None:
    """An engineer has no counter page: it would ring nowhere."""
    refused = announce(visit(), clerk=login)

    assert (422, True) == (refused.status_code, "Nobody at the counter here" in refused.text)
