"""Drills on the pages: what is played there looks like the site and never touches it."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI
from fastapi.responses import Response

from alerts.ledger import Ledger
from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import HOUR, MINUTE, LiveMemory, World
from web.app import create_app
from web.rehearsal import DrillSwitch, Rehearsals, answered_live
from web.settings import WebSettings
from web.site import Site


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def rows(ledger: Ledger) -> str:
    with ledger.reading() as r:
        return repr((r.totals(), r.alerts(), r.tickets(), r.contacts(), r.human_inputs(limit=1000)))


class Rooms(World):
    """A town with room for drills."""

    def __init__(self) -> None:
        super().__init__(ledger_of=self.room, realms=lambda prefix: list(self.rooms))
        self.rooms: dict[str, LiveMemory] = {}

    def room(self, realm: str) -> LiveMemory:
        return self.rooms.setdefault(realm, LiveMemory(realm))


@pytest.fixture
def world() -> Rooms:
    return Rooms()


def enter(visitor: Visitor, realm: str) -> None:
    """Take part; the pages of the drill have a form token of their own."""
    visitor.change(f"/drills/{realm}/join")
    page = visitor.get("/tickets").text
    visitor.csrf = page.partition('data-csrf="')[2].partition('"')[0]


def start(visitor: Visitor, scene: str = "outage") -> str:
    return str(visitor.change("/drills", scene=scene, seed="3").url).rpartition("/")[2]


def test_a_drill_is_started_played_ended_and_scored(world: Rooms, visit: Visit) -> None:
    leader, clerk = visit("supervisor"), visit("dispatcher")
    realm = start(leader)
    world.clock.us += 3 * MINUTE
    leader.get(f"/drills/{realm}")
    enter(clerk, realm)

    listed = clerk.get("/tickets").text
    address = re.findall(r'href="(/tickets/\d+)"', listed)[0]
    for action, fields in (
        ("take", {}),
        ("dispatch", {}),
        ("arrive", {}),
        ("restore", {}),
        ("close", {"verdict": "confirmed_fault", "cause_code": "weather"}),
    ):
        version = re.findall(r'name="version" value="(\d+)"', clerk.get(address).text)[0]
        clerk.change(f"{address}/{action}", version=version, **fields)
    before = text_of(clerk.get(f"/drills/{realm}").text)
    leader.change(f"/drills/{realm}/end")
    after = text_of(clerk.get(f"/drills/{realm}").text)

    assert 1 == len(re.findall(r'<tr class="P1"', listed))
    assert "赵调度" in after and "Faults found 1 / 1" in after and "Fault confirmed right" in after
    assert "Faults found" not in before  # a dispatcher plays
    assert "ended" in after


def test_who_plays_reads_the_truth_only_afterwards(world: Rooms, visit: Visit) -> None:
    leader, clerk = visit("operator"), visit("clerk")
    realm = start(leader)
    during = [visit(x).get(f"/drills/{realm}").text for x in ("clerk", "operator", "dispatcher")]
    refused = clerk.change(f"/drills/{realm}/end").status_code

    leader.change(f"/drills/{realm}/end")

    assert [False] * 3 == ["What was wrong" in page for page in during]
    assert [True] * 3 == ["shown here when the drill has ended" in page for page in during]
    assert 403 == refused
    assert "What was wrong" in clerk.get(f"/drills/{realm}").text


@pytest.mark.parametrize("role", ["engineer", "supervisor"])
def test_who_sets_a_drill_reads_the_truth_unless_they_take_part(
    role: str, world: Rooms, visit: Visit
) -> None:
    leader = visit(role)
    realm = start(leader)
    leading = leader.get(f"/drills/{realm}").text
    token = leader.csrf
    enter(leader, realm)

    playing = leader.get(f"/drills/{realm}").text
    leader.csrf = token
    leader.change(f"/drills/{realm}/leave")

    truth = ["What was wrong" in page for page in (leading, playing)]
    assert [True, False] == truth


def test_only_the_session_that_has_joined_is_in_the_drill(world: Rooms, visit: Visit) -> None:
    """Neither another person nor the same one at another browser is taken along."""
    realm = start(visit("operator"))
    playing, same_person, other = visit("dispatcher"), visit("dispatcher"), visit("clerk")
    enter(playing, realm)

    pages = [v.get("/tickets").text for v in (playing, same_person, other)]

    assert [True, False, False] == ["DRILL: nothing on this page is real." in p for p in pages]


def test_nobody_waits_for_the_pages_of_another_drill(world: Rooms, visit: Visit) -> None:
    operator = visit("operator")
    slow, quick = start(operator), start(operator)
    making, go_on = threading.Event(), threading.Event()

    def make(settings: WebSettings) -> FastAPI:
        if settings.drill == slow:
            making.set()
            assert go_on.wait(30)
        return create_app(settings)

    rehearsals = Rehearsals(world.settings, make)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(rehearsals.app, slow)
        assert making.wait(30)

        second = pool.submit(rehearsals.app, quick).result(30)

        go_on.set()
        assert second is not None and first.result(30) is rehearsals.app(slow)
    assert second is rehearsals.app(quick)


def test_a_drill_that_has_been_put_away_is_not_started_again(
    world: Rooms, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.rehearsal.APPS_MAX", 1)
    operator = visit("operator")
    first, second = start(operator), start(operator)
    rehearsals = Rehearsals(world.settings, create_app)
    app = rehearsals.app(first)
    assert app is not None

    rehearsals.app(second)
    monkeypatch.setattr(rehearsals, "app", lambda realm: app)  # looked up just before
    answer = asyncio.run(DrillSwitch(app, rehearsals, "forewatt-session")._answer(first))

    assert not app.state.site.hub.started
    assert isinstance(answer, Response) and 503 == answer.status_code


def test_nothing_that_is_done_in_a_drill_touches_the_site(world: Rooms, visit: Visit) -> None:
    clerk = visit("clerk")
    realm = start(visit("operator"))
    world.clock.us += 3 * MINUTE
    visit("operator").get(f"/drills/{realm}")
    before = rows(world.ledger)
    enter(clerk, realm)

    account = world.network.customers[150].account
    said = clerk.change("/desk/contacts", account=account, external_id="x1", symptom="no_light",
                        kind="fault", channel="phone")  # fmt: skip
    address = re.findall(r'href="(/tickets/\d+)"', clerk.get("/tickets").text)[0]
    clerk.change(f"{address}/take", version="1")

    assert 200 == said.status_code
    assert before == rows(world.ledger)


def test_every_page_of_a_drill_says_so_and_the_others_say_they_are_real(
    world: Rooms, visit: Visit
) -> None:
    clerk = visit("clerk")
    site = clerk.csrf
    realm = start(visit("operator"))
    enter(clerk, realm)

    for path in ("/", "/tickets", "/desk", "/handover", "/nowhere"):
        page = clerk.get(path).text
        assert "DRILL: nothing on this page is real." in page and "演练 DRILL" in page, path
    for path in ("/knowledge", "/drills", "/password"):
        page = clerk.get(path).text
        assert "what you see and change here is real" in page, path
    clerk.csrf = site
    clerk.change(f"/drills/{realm}/leave")
    assert "DRILL" not in clerk.get("/tickets").text


def test_a_form_of_the_site_is_refused_in_a_drill_and_the_other_way_round(
    world: Rooms, visit: Visit
) -> None:
    """Two tabs, one of them old: a ticket of one must never be changed by a form of the other."""
    dispatcher = visit("dispatcher")
    real = dispatcher.csrf
    realm = start(visit("operator"))
    world.clock.us += 3 * MINUTE
    enter(dispatcher, realm)
    in_drill = dispatcher.csrf

    dispatcher.csrf = real
    old_tab = dispatcher.change("/tickets/1/take", version="1")
    dispatcher.change(f"/drills/{realm}/leave")
    dispatcher.csrf = in_drill
    other_way = dispatcher.change("/tickets/1/take", version="1")

    assert (403, 403) == (old_tab.status_code, other_way.status_code)
    assert real != in_drill


def test_a_page_of_the_site_gets_nothing_of_a_drill_that_was_joined_in_another_tab(
    world: Rooms, visit: Visit
) -> None:
    """An operator's open feed must show no invented alarm, and a drill's page no real one."""
    operator = visit("operator")
    realm = start(operator)
    enter(operator, realm)
    piece = {"hx-request": "true"}

    page = operator.get("/tickets").text
    old_tab = operator.get("/desk", headers={**piece, "x-realm": "live"}).status_code
    own_tab = operator.get("/tickets", headers={**piece, "x-realm": realm}).status_code
    operator.csrf = re.findall(r'/leave"><input[^>]* value="(\w+)"', page)[0]
    operator.change(f"/drills/{realm}/leave")
    left = operator.get(f"/stream?after=0&realm={realm}")
    other_way = operator.get("/tickets", headers={**piece, "x-realm": realm}).status_code

    assert f'data-realm="{realm}"' in page and f"&amp;realm={realm}" in page
    assert (403, 200, 403, 409) == (old_tab, own_tab, other_way, left.status_code)


@pytest.mark.parametrize(
    ("path", "query", "live"),
    [
        ("/stream", b"after=5&realm=live", True),
        ("/stream", b"after=5&realm=drill-1", False),
        ("/stream", b"after=5", False),
        ("/tickets", b"realm=live", False),
        ("/engineer/watch", b"", True),
    ],
)
def test_the_stream_of_a_page_comes_from_where_the_page_came(
    path: str, query: bytes, live: bool
) -> None:
    assert live == answered_live({"path": path, "query_string": query})


def test_who_is_signed_out_in_a_drill_comes_back_to_the_drill_not_to_a_like_address(
    world: Rooms, visit: Visit
) -> None:
    clerk = visit("clerk")
    realm = start(visit("operator"))
    enter(clerk, realm)
    world.people.sessions.clear()

    answer = clerk.get("/tickets/1", follow_redirects=False)

    assert f"/signin?next=%2Fdrills%2F{realm}" == answer.headers["location"]


def test_a_cookie_of_a_drill_that_is_no_ascii_is_no_drill(world: Rooms, visit: Visit) -> None:
    clerk = visit("clerk")
    session = f"forewatt-session={clerk.cookies['forewatt-session']}"
    cookie = f"{session}; forewatt-drill=drill-x:é".encode("latin-1")

    answer = clerk.get("/tickets", headers=[(b"cookie", cookie)])

    assert (200, False) == (answer.status_code, "DRILL" in answer.text)


def test_similar_cases_in_a_drill_are_those_of_the_site_where_their_address_leads(
    world: Rooms, visit: Visit
) -> None:
    made = Rehearsals(world.settings, create_app)
    realm = start(visit("operator"))

    app = made.app(realm)

    assert app is not None and app.state.site.knowledge.ledger is world.ledger
    assert app.state.site.known_of("outage", "dispatcher") == Site(world.settings).known_of(
        "outage", "dispatcher"
    )


def test_a_drill_that_breaks_does_not_stop_the_others(
    world: Rooms, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm = start(visit("operator"))
    rehearsals = Rehearsals(world.settings, create_app)

    def broken(realm: str) -> None:
        raise KeyError(realm)

    monkeypatch.setattr(rehearsals, "desk", broken)

    rehearsals.advance(realm)  # what it raised would have ended the thread of all drills


def test_the_drill_ends_with_the_session_and_signing_out_works_from_within(
    world: Rooms, visit: Visit
) -> None:
    clerk = visit("clerk")
    enter(clerk, start(visit("operator")))
    page = clerk.get("/tickets").text
    token = re.findall(r'action="/signout"><input[^>]* value="(\w+)"', page)[0]
    kept = clerk.cookies["forewatt-drill"]

    clerk.post("/signout", data={"_csrf": token}, headers={"origin": HOST})
    clerk.get("/signin/link-operator")
    clerk.cookies.set("forewatt-drill", kept)

    assert "DRILL" not in clerk.get("/tickets").text


def test_a_drill_that_is_gone_is_left_and_the_site_is_not_changed_instead(
    world: Rooms, visit: Visit
) -> None:
    dispatcher = visit("dispatcher")
    realm = start(visit("operator"))
    data = {"_csrf": dispatcher.csrf}
    address = f"/drills/{realm}/join"
    dispatcher.post(address, data=data, headers={"origin": HOST}, follow_redirects=False)
    del world.rooms[realm]
    before = rows(world.ledger)

    answer = dispatcher.change("/tickets/1/take", version="1")

    assert answer.url.path == "/drills"
    assert before == rows(world.ledger)


def test_a_form_whose_session_ended_in_a_drill_is_not_kept_for_the_site(
    world: Rooms, visit: Visit
) -> None:
    clerk = visit("clerk")
    realm = start(visit("operator"))
    enter(clerk, realm)
    world.people.sessions.clear()

    answer = clerk.change("/tickets/1/note", version="1", text="seen the pole")

    assert (401, False) == (answer.status_code, "seen the pole" in answer.text)


def test_no_link_for_a_crew_leaves_a_drill(world: Rooms, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    realm = start(visit("operator"))
    world.clock.us += 3 * MINUTE
    visit("operator").get(f"/drills/{realm}")
    enter(dispatcher, realm)
    address = re.findall(r'href="(/tickets/\d+)"', dispatcher.get("/tickets").text)[0]
    for action in ("take", "dispatch"):
        version = re.findall(r'name="version" value="(\d+)"', dispatcher.get(address).text)[0]
        dispatcher.change(f"{address}/{action}", version=version)

    assert "/crew-link" not in dispatcher.get(address).text
    assert 404 == dispatcher.change(f"{address}/crew-link").status_code


@pytest.mark.parametrize("scene", ["", "earthquake"])
def test_an_unknown_scene_is_refused_and_nothing_begins(
    scene: str, world: Rooms, visit: Visit
) -> None:
    answer = visit("operator").change("/drills", scene=scene, name="x")

    assert (422, {}) == (answer.status_code, world.rooms)


def test_at_most_five_go_on_at_once(world: Rooms, visit: Visit) -> None:
    operator = visit("operator")
    for _ in range(5):
        start(operator)

    answer = operator.change("/drills", scene="outage")

    assert (409, 5) == (answer.status_code, len(world.rooms))


def test_a_site_without_drills_says_so() -> None:
    alone = Visitor(create_app(World().settings), base_url=HOST, headers={"accept-language": "en"})
    alone.get("/signin/link-operator")

    assert "This site keeps no drills." in alone.get("/drills").text


def test_what_a_drill_brings_next_comes_by_itself(world: Rooms) -> None:
    with Visitor(create_app(world.settings), base_url=HOST) as leader:
        leader.get("/signin/link-operator")
        page = leader.get("/password").text
        leader.csrf = page.partition('data-csrf="')[2].partition('"')[0]
        realm = start(leader)
        leader.change(f"/drills/{realm}/join")
        leader.get("/tickets")
        world.clock.us += HOUR

        found = world.rooms[realm].wait_outbox(0, 60.0)

    assert any(m.topic == "ticket" for m in found)
