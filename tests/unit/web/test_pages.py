"""What people see: the reasons, the sentence, the ticket; in both languages, and only what is
theirs to see."""

import html
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grid.errors import ForewattError
from grid.records import Contact
from storage.series import Series
from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import HOUR, MINUTE, NEUTRAL, NOW, World, network, raised
from web.app import create_app
from web.pages.engineer import READINGS_SHOWN

HOSTILE = '<script>document.title="owned"</script>"\'><img src=x onerror=alert(1)>'
EVERY_PAGE = {
    "operator": ("/", "/?show=all", "/tickets", "/tickets/1", "/tickets/3", "/devices/M-T3-010"),
    "clerk": ("/tickets", "/tickets/1", "/desk", "/desk?q=330740005", "/desk?phone=1394000"),
    "engineer": ("/", "/engineer", "/engineer?device=T3", "/devices/T3-monitor"),
    "admin": ("/", "/admin", "/password"),
}


def alert_id(world: World, fault: str) -> str:
    with world.ledger.reading() as r:
        return next(a.id for a in r.alerts() if a.fault == fault)


def ticket_id(world: World, fault: str) -> int:
    with world.ledger.reading() as r:
        return next(t.id for t in r.tickets() if t.fault == fault)


def text_of(page: str) -> str:
    """What is left when the markup is gone."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def ring(world: World, account: str = "330740005", at: int = NOW - 5 * MINUTE) -> None:
    app = create_app(world.settings)
    contact = Contact("phone", f"call-{account}-{at}", at, account=account, text="家里没电了")
    app.state.site.counter.report(contact)


# -- the operator ------------------------------------------------------------------------------


def test_the_feed_has_one_line_a_cause_with_word_shape_and_counts(visit: Visit) -> None:
    page = visit("operator").get("/").text

    lines = re.findall(r'<li class="feed-row.*?</li>', page, re.S)
    first = text_of(lines[0])
    assert len(lines) == 3
    assert "Critical" in first and "Power outage" in first and "41 meters" in first
    assert all("<svg" in line for line in lines)


def test_an_alert_gives_its_reason_in_the_readers_language(world: World, visit: Visit) -> None:
    path = f"/alerts/{alert_id(world, 'neutral_loose')}"

    english = text_of(visit("operator").get(path).text)
    chinese = text_of(visit("operator", "zh-CN").get(path).text)

    assert NEUTRAL.rule in english
    assert NEUTRAL.rule_zh in chinese
    assert "2.6 times the limit" in english and "为限值的 2.6 倍" in chinese


def test_an_alert_shows_its_place_from_the_feeder_down(world: World, visit: Visit) -> None:
    page = visit("operator").get(f"/alerts/{alert_id(world, 'outage')}").text

    assert "Feeder F12 城东线 › Section S1 › Section S2" in text_of(page)
    assert page.count('class="dot dark"') == 48


def test_acknowledging_keeps_who_and_why(world: World, visit: Visit) -> None:
    path = f"/alerts/{alert_id(world, 'outage')}"
    operator = visit("operator")

    answer = operator.change(f"{path}/ack", note="called the substation")

    text = text_of(answer.text)
    assert "王值班" in text and "called the substation" in text
    assert "2 oldest" in text


def test_an_acknowledgement_can_be_taken_back(world: World, visit: Visit) -> None:
    path = f"/alerts/{alert_id(world, 'outage')}"
    operator = visit("operator")
    operator.change(f"{path}/ack", note="too early")

    operator.change(f"{path}/ack", undo="1")

    with world.ledger.reading() as r:
        alert = r.alert(alert_id(world, "outage"))
    assert alert is not None and alert.handling == "new"


def test_with_no_alerts_the_page_says_that_measuring_goes_on() -> None:
    quiet = World(told=False)
    visitor = Visitor(create_app(quiet.settings), base_url=HOST, headers={"accept-language": "en"})
    visitor.get("/signin/link-operator")

    text = text_of(visitor.get("/").text)

    assert "No open alerts. Last reading 4 s ago; 147 of 196 meters heard in time." in text


def test_the_page_carries_the_number_from_which_the_stream_goes_on(
    world: World, visit: Visit
) -> None:
    with world.ledger.reading() as r:
        head = r.outbox_head()

    assert f'data-stream="/stream?after={head}&amp;realm=live"' in visit("operator").get("/").text


# -- tickets -----------------------------------------------------------------------------------


def test_the_queue_is_ranked_and_says_why(visit: Visit) -> None:
    page = visit("clerk").get("/tickets").text

    rows = [text_of(r) for r in re.findall(r"<tr class=.*?</tr>", page, re.S)]
    assert ["Power outage", "Loosening neutral", "Meter fault"] == [
        next(f for f in ("Power outage", "Loosening neutral", "Meter fault") if f in r)
        for r in rows
    ]
    assert "Supply lost; 48 customers" in rows[0]


def test_a_ticket_is_taken_noted_and_closed_with_a_verdict(world: World, visit: Visit) -> None:
    number = ticket_id(world, "neutral_loose")
    clerk = visit("clerk")

    def version() -> str:
        page = clerk.get(f"/tickets/{number}").text
        found = re.search(r'name="version" value="(\d+)"', page)
        assert found is not None
        return found[1]

    clerk.change(f"/tickets/{number}/take", version=version())
    clerk.change(f"/tickets/{number}/note", version=version(), text="客户询问进度")
    answer = clerk.change(
        f"/tickets/{number}/close",
        version=version(),
        verdict="confirmed_precursor",
        cause_code="loose_connection",
        note="joint renewed",
    )

    text = text_of(answer.text)
    assert "Developing fault confirmed" in text and "客户询问进度" in text
    with world.ledger.reading() as r:
        closed = r.ticket(number)
    assert closed is not None and (closed.state, closed.verdict) == (
        "closed",
        "confirmed_precursor",
    )


def test_a_ticket_cannot_be_closed_without_a_verdict(world: World, visit: Visit) -> None:
    number = ticket_id(world, "outage")

    answer = visit("clerk").change(f"/tickets/{number}/close", version="1", note="done it")

    assert answer.status_code == 422
    assert 'value="done it"' in answer.text
    with world.ledger.reading() as r:
        ticket = r.ticket(number)
    assert ticket is not None and ticket.closed_us is None


def test_the_slower_of_two_clerks_is_told_and_keeps_the_text(world: World, visit: Visit) -> None:
    number = ticket_id(world, "outage")
    first, second = visit("clerk"), visit("dispatcher")
    first.change(f"/tickets/{number}/take", version="1")

    answer = second.change(f"/tickets/{number}/note", version="1", text="a long and careful note")

    assert answer.status_code == 409
    assert "李柜员" in text_of(answer.text)
    assert "a long and careful note" in answer.text


def test_a_step_that_the_state_does_not_allow_changes_nothing(world: World, visit: Visit) -> None:
    number = ticket_id(world, "outage")

    answer = visit("operator").change(f"/tickets/{number}/restore", version="1")

    assert answer.status_code == 422
    assert "possible now" in answer.text


def test_a_call_about_a_known_fault_stands_on_its_ticket(world: World, visit: Visit) -> None:
    ring(world, at=NOW - 2 * MINUTE)

    text = text_of(visit("clerk").get(f"/tickets/{ticket_id(world, 'outage')}").text)

    assert "before the first call" in text
    assert "1 call" in text and "1 ticket" in text
    assert "家里没电了" in text


def test_many_calls_in_a_row_are_one_line_of_the_history(world: World, visit: Visit) -> None:
    for n in range(1, 8):
        ring(world, f"33074000{n}", NOW - (9 - n) * MINUTE)

    page = visit("clerk").get(f"/tickets/{ticket_id(world, 'outage')}").text

    history = text_of(page.partition('id="ticket-timeline"')[2])
    assert "7 calls since 18:16" in history
    assert history.count("reported a fault") == 0


# -- the counter -------------------------------------------------------------------------------


def test_the_answer_comes_first_and_enter_attaches_the_caller(world: World, visit: Visit) -> None:
    page = visit("clerk").get("/desk?q=330740005").text

    text = text_of(page)
    assert "No power" in text and "1 open ticket covers this" in text
    assert (
        re.search(r"<input[^>]*name=\"since\"[^>]*autofocus", page) and ">Attach the caller" in page
    )
    assert text.index("No power") < text.index("Phone")


def test_attaching_makes_no_second_ticket(world: World, visit: Visit) -> None:
    clerk = visit("clerk")
    form = {"account": "330740005", "external_id": "x1", "channel": "phone", "kind": "fault"}

    answer = clerk.change("/desk/contacts", **form)
    again = clerk.change("/desk/contacts", **form)

    assert "the cause is known, no new ticket" in text_of(answer.text)
    assert "had been recorded before" in text_of(again.text)
    with world.ledger.reading() as r:
        assert (len(r.tickets()), len(r.contacts())) == (3, 1)


def test_several_customers_of_a_street_are_a_choice(visit: Visit) -> None:
    page = visit("clerk").get("/desk?q=杏园").text

    assert page.count('href="/desk?account=') > 3
    assert "Attach the caller" not in page


def test_a_ringing_phone_opens_the_customer(world: World, visit: Visit) -> None:
    page = visit("clerk").get("/desk?phone=13930000004").text

    assert "330740005" in page and "Say" in page


def test_nobody_found_says_what_to_try(visit: Visit) -> None:
    text = text_of(visit("clerk").get("/desk?q=zzzzzz").text)

    assert "Nobody found." in text and "last four digits" in text


def test_looking_at_a_customer_is_written_down(world: World, visit: Visit) -> None:
    visit("clerk").get("/desk?account=330740005")

    assert ("clerk", "view_customer", "330740005") in world.people.audited


# -- the customer ------------------------------------------------------------------------------


def test_a_customer_reads_one_sentence_about_their_own_supply(world: World, visit: Visit) -> None:
    page = visit(language="zh-CN").get("/my/link-c-1").text

    others = [c for c in world.network.customers if c.account != "330720002"]
    assert "我的用电" in page
    assert len(page) < 60_000
    assert not any(c.phone in page or c.account in page for c in others)


def test_a_customer_can_say_that_there_is_still_no_power(world: World, visit: Visit) -> None:
    visitor = visit()

    answers = [
        visitor.post("/my/link-c-1/still-out", headers={"origin": HOST}).text for _ in range(6)
    ]

    # Known is a loosening neutral: that the light is out is new, and known from then on.
    assert "Your report is with the people who are working on it" in answers[0]
    assert "We know this fault; your report is noted with it" in answers[1]
    assert "We have your reports" in answers[5]
    with world.ledger.reading() as r:
        assert len(r.contacts(account="330720002")) == 5


def test_a_link_that_is_none_tells_nothing(visit: Visit) -> None:
    wrong, staff = visit().get("/my/guess"), visit().get("/my/link-clerk")

    assert (wrong.status_code, staff.status_code) == (404, 404)
    assert wrong.text.replace("guess", "") == staff.text.replace("link-clerk", "")


# -- what must hold on every page ----------------------------------------------------------------


@pytest.mark.parametrize("role", ["operator", "engineer", "read_only"])
def test_roles_without_need_see_no_customer_data(role: str, world: World, visit: Visit) -> None:
    ring(world)
    visitor = visit(role)
    paths = {p for pages in EVERY_PAGE.values() for p in pages} | {
        f"/alerts/{alert_id(world, 'neutral_loose')}",
        "/api/v1/alerts",
        "/api/v1/tickets",
        "/api/v1/tickets/1",
        f"/tickets/{ticket_id(world, 'outage')}",
    }
    seen = {p: visitor.get(p).text for p in paths}

    leaks = [
        (path, c.account)
        for path, page in seen.items()
        for c in world.network.customers
        if c.phone in page or (c.account in page and c.account not in path) or c.address in page
    ]
    assert leaks == []


def test_hostile_text_is_shown_as_text() -> None:
    grid = network()
    world = World(told=False)
    world.network = replace(
        grid,
        transformers=tuple(replace(t, name=HOSTILE) for t in grid.transformers),
        customers=tuple(replace(c, name=HOSTILE, address=HOSTILE) for c in grid.customers),
        teams=tuple(replace(t, name=HOSTILE) for t in grid.teams),
    )
    world.happen(
        raised(
            "outage",
            "transformer",
            "T7",
            NOW - HOUR,
            replace(NEUTRAL, rule=HOSTILE, rule_zh=HOSTILE, numbers={HOSTILE: HOSTILE}),
        )
    )
    app = create_app(world.settings)
    app.state.site.counter.report(
        Contact("phone", "x", NOW, account="330740005", text=HOSTILE, phone=HOSTILE)
    )
    found = []
    for role, pages in EVERY_PAGE.items():
        visitor = Visitor(app, base_url=HOST)
        visitor.get(f"/signin/link-{role}")
        more = (
            f"/alerts/{alert_id(world, 'outage')}",
            f"/desk?q={HOSTILE}",
            f"/engineer?device={HOSTILE}",
        )
        for path in (*pages, *more):
            page = visitor.get(path).text
            found += [(role, path) for bad in ("<script>document", "<img src=x") if bad in page]

    assert found == []


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_page_renders_in_both_languages(language: str, world: World, visit: Visit) -> None:
    ring(world)
    statuses = {
        (role, path): visit(role, language).get(path).status_code
        for role, pages in EVERY_PAGE.items()
        for path in pages
    }

    assert {k: v for k, v in statuses.items() if v != 200} == {}


def test_switching_the_language_keeps_the_page(visit: Visit) -> None:
    clerk = visit("clerk")
    page = clerk.get("/tickets?show=done").text
    switch = re.findall(r'href="(/language/zh-CN\?next=[^"]+)"', page)[0]

    answer = clerk.get(html.unescape(switch), follow_redirects=False)

    assert answer.headers["location"] == "/tickets?show=done"
    assert "已办结" in clerk.get("/tickets?show=done").text


def test_after_a_refused_form_the_language_switch_leads_to_the_page_with_the_form(
    visit: Visit,
) -> None:
    dispatcher = visit("dispatcher")
    stale = {"version": "0", "text": "x", "_csrf": dispatcher.csrf}
    head = {"referer": f"{HOST}/tickets/1?from=list"}
    refused = dispatcher.post("/tickets/1/note", data=stale, headers=head)

    switch = re.findall(r'href="(/language/zh-CN\?next=[^"]+)"', refused.text)[0]

    assert 409 == refused.status_code
    answer = dispatcher.get(html.unescape(switch), follow_redirects=False)
    assert answer.headers["location"] == "/tickets/1?from=list"


def test_what_readings_have_found_bears_a_badge_in_the_queues(visit: Visit) -> None:
    clerk = visit("clerk")
    sparks = {"account": "330710001", "external_id": "1", "channel": "phone", "kind": "fault",
              "symptom": "danger"}  # fmt: skip
    clerk.change("/desk/contacts", **sparks)

    tickets, queue = clerk.get("/tickets").text, clerk.get("/desk").text.partition('id="queue"')[2]

    found, all_ = tickets.count("found by system"), len(re.findall(r'id="ticket-\d', tickets))
    assert (found, queue.count("found by system")) == (all_ - 1, all_ - 1)
    assert found > 0


def test_pages_work_for_somebody_without_javascript(world: World, visit: Visit) -> None:
    """Every action of the pages is a form with an address, every line a link."""
    page = visit("operator").get(f"/alerts/{alert_id(world, 'outage')}").text

    forms = re.findall(r"<form[^>]*>", page)
    assert all('action="' in form or 'method="dialog"' in form for form in forms)
    assert all('href="' in a for a in re.findall(r"<a [^>]*>", page))
    assert "<noscript>" in page


def test_an_unknown_page_says_so_in_the_readers_language(visit: Visit) -> None:
    answer = visit("clerk", "zh-CN").get("/tickets/99999")

    assert (answer.status_code, "没有这张工单" in answer.text) == (404, True)


def test_readings_that_are_missing_and_refused_are_listed(visit: Visit) -> None:
    text = text_of(visit("engineer").get("/engineer").text)

    assert "time cannot be read" in text and '"<b>231</b>"' in text
    assert "M-T1-004" in text and "M-T5-007 never" in text


# -- when something is wrong with us -------------------------------------------------------------


def test_a_line_that_cannot_be_drawn_does_not_take_the_feed_with_it(
    world: World, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    broken = raised("outage", "transformer", "T1", NOW, replace(NEUTRAL, rule="late"))
    world.happen(replace(broken, finding=replace(broken.finding, severity="P1")))
    operator = visit("operator")
    app = operator.app
    site = app.state.site  # type: ignore[attr-defined]
    label = site.render.environment.globals["asset_label"]

    def fails(t: object, kind: str, asset: str) -> str:
        if asset == "T1":
            raise RuntimeError("no such name")
        return str(label(t, kind, asset))

    site.render.environment.globals["asset_label"] = fails
    site.render.environment.cache.clear()
    page = operator.get("/")

    assert page.status_code == 200
    assert page.text.count('class="feed-row') == 4
    assert "P1 outage" in page.text
    assert "cannot be drawn" in caplog.text


def test_a_mistake_of_ours_is_a_designed_page_and_a_line_in_the_log(
    world: World, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(device: str) -> int:
        raise RuntimeError("a broken invariant")

    world.readings.last_seen = fails  # type: ignore[method-assign]
    engineer = visit("engineer", "zh-CN")

    answer = engineer.get("/devices/M-T1-001")

    assert answer.status_code == 500
    assert "程序内部出错" in answer.text and "a broken invariant" not in answer.text
    assert "content-security-policy" in answer.headers
    assert "a broken invariant" in caplog.text


def test_a_device_that_left_out_some_values_shows_a_dash_for_each(
    world: World, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dark transformer's meters report no voltage: just then their pages are looked at."""
    whole = world.readings.series

    def with_holes(*asked: Any) -> Series:
        found = whole(*asked)
        dark = np.full(found.time.size, np.nan)
        return replace(found, values={**found.values, "v_a": (dark, dark, dark)})

    monkeypatch.setattr(world.readings, "series", with_holes)

    answer = visit("engineer").get("/devices/M-T1-001")

    assert 200 == answer.status_code
    assert READINGS_SHOWN == answer.text.count('<td class="num">–</td>')


def test_a_database_that_is_away_is_said_in_one_sentence(world: World, visit: Visit) -> None:
    operator = visit("operator")

    def away(token: str) -> None:
        raise ForewattError("the database does not answer")

    world.people.session = away  # type: ignore[method-assign]

    page, api = operator.get("/tickets"), operator.get("/api/v1/alerts")

    assert (page.status_code, api.status_code) == (503, 503)
    assert "does not answer just now" in page.text
    assert api.json()["error"] == "unavailable"
