"""The operator acts: shelves with an end, makes a ticket, says where it is, finds, hands over."""

from dataclasses import replace

import pytest

from alerts.apply import apply_events
from alerts.settings import DeskSettings
from storage.desk_records import LastSeen
from storage.feed_lines import LineName
from tests.unit.web.test_pages import alert_id, text_of
from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import HOUR, MINUTE, NEUTRAL, NOW, World, network, raised
from web.app import create_app
from web.diagram import Health, one_line
from web.feed import found_in


def test_a_shelf_has_an_end_a_reason_and_a_way_back(world: World, visit: Visit) -> None:
    operator = visit("operator")
    path = f"/alerts/{alert_id(world, 'meter_health')}"

    page = operator.change(f"{path}/shelve", hours="4", reason="spare part ordered").text

    assert "Shelved until 22:24 by 王值班 · spare part ordered" in text_of(page)
    operator.change(f"{path}/shelve", undo="1")
    with world.ledger.reading() as r:
        alert = r.alert(path.rpartition("/")[2])
    assert alert is not None and alert.handling == "new"


@pytest.mark.parametrize(
    ("since_us", "said"),
    [(None, "Newest reading 4 s"), (NOW - HOUR, "Readings delayed since 17:24")],
)
def test_the_figures_say_since_when_readings_are_delayed(
    world: World,
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
    since_us: int | None,
    said: str,
) -> None:
    health = replace(world.readings.health(), delayed_since_us=since_us)
    monkeypatch.setattr(type(world.readings), "health", lambda *_: health)

    assert said in text_of(visit("operator").get("/").text)


@pytest.mark.parametrize(("hours", "reason"), [("4", ""), ("0", "x"), ("9999", "x")])
def test_a_shelf_without_reason_or_near_end_is_refused(
    world: World, visit: Visit, hours: str, reason: str
) -> None:
    path = f"/alerts/{alert_id(world, 'meter_health')}/shelve"

    answer = visit("operator").change(path, hours=hours, reason=reason)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_the_pane_offers_to_take_back_what_was_just_done(world: World, visit: Visit) -> None:
    operator = visit("operator")
    path = f"/alerts/{alert_id(world, 'outage')}/ack"
    headers = {"hx-request": "true", "origin": "http://testserver", "x-csrf-token": operator.csrf}

    done = operator.post(path, data={"note": ""}, headers=headers).text
    undone = operator.post(path, data={"undo": "1"}, headers=headers).text

    assert 'data-undo="10"' in done and 'data-key="u"' in done
    assert 'data-undo="10"' not in undone and 'data-key="a"' in undone


def test_a_watched_alert_becomes_a_ticket_by_one_button(visit: Visit, world: World) -> None:
    event = raised("unbalance", "transformer", "T5", NOW - HOUR, NEUTRAL)
    watched = DeskSettings(watch_only=frozenset({"unbalance"}))
    apply_events([event], world.ledger, world.network, settings=watched)
    operator = visit("operator")
    assert "Make a ticket" in operator.get(f"/alerts/{event.alert_id}").text

    answer = operator.change(f"/alerts/{event.alert_id}/ticket")

    assert answer.url.path.startswith("/tickets/")
    with world.ledger.reading() as r:
        assert "unbalance" in {t.fault for t in r.tickets()}


def test_an_outage_shows_where_it_may_be_and_a_person_may_say_it(
    world: World, visit: Visit
) -> None:
    path = f"/alerts/{alert_id(world, 'outage')}"
    operator = visit("operator")
    page = text_of(operator.get(path).text)
    assert "Where it may be" in page and "%" in page

    refused = operator.change(f"{path}/place", place="transformer T7", reason="")
    operator.change(f"{path}/place", place="transformer T7", reason="the crew stands there")

    assert refused.status_code == 422
    with world.ledger.reading() as r:
        placed = next(i for i in r.incidents() if i.fault == "outage")
    assert (placed.stage, placed.located_by) == ("confirmed", "王值班")


def test_who_is_affected_and_who_looks_after_it_stand_beside_why(
    world: World, visit: Visit
) -> None:
    page = text_of(visit("operator").get(f"/alerts/{alert_id(world, 'outage')}").text)

    assert "Looked after by 抢修一班 · 李台区" in page
    assert "48 customers" in page and "41 of 48 meters" in page


def test_search_finds_by_place_name_fault_ticket_and_meter(world: World, visit: Visit) -> None:
    operator = visit("operator")
    for wanted in ("T7", "t7", "大学路", "power outage", "20261122-0003", "M-T7-011"):
        page = operator.get("/", params={"q": wanted}).text
        assert page.count('<li class="feed-row') == 1, wanted
        assert 'data-pane-line="i' in page
        assert "Power outage" in page


def test_search_without_a_find_says_so_and_shows_devices(visit: Visit) -> None:
    page = visit("operator").get("/?q=T1").text

    assert "No open alert at “T1”" in page
    assert 'href="/devices/T1-monitor"' in page


def test_an_exact_name_comes_before_a_part_of_one() -> None:
    names = [
        LineName("i1", "outage", "transformer", "T71", ("M-1",), None),
        LineName("i2", "outage", "transformer", "T7", (), None),
        LineName("i3", "outage", "transformer", "T3", (), None),
    ]

    found = found_in(names, "t7", lambda x: iter((x.asset, *x.devices)))
    both = found_in(names, "t7 m-1", lambda x: iter((x.asset, *x.devices)))

    assert (found, both) == ((["i2"], ["i1"]), ([], ["i1"]))


def test_the_hand_over_sheet_lists_causes_idle_alerts_and_notes(world: World, visit: Visit) -> None:
    operator = visit("operator")
    operator.change(f"/alerts/{alert_id(world, 'meter_health')}/ack", note="ordered a meter")
    operator.change("/handover", text="<b>keys</b> are in the drawer")

    page = operator.get("/handover").text

    assert "&lt;b&gt;keys&lt;/b&gt; are in the drawer" in page
    assert "ordered a meter" in page and "Power outage" in text_of(page)
    assert operator.change("/handover", text="").status_code == 422
    assert visit("clerk").get("/handover").status_code == 200


def test_every_node_of_the_diagram_has_a_state(world: World) -> None:
    silent = frozenset(f"M-T7-{n:03d}" for n in range(1, 49)) | {"T7-monitor", "M-T5-001"}

    low = one_line(world.network, "transformer", "T7", {}, silent)
    high = one_line(world.network, "transformer", "T3", {("transformer", "T3"): "P2"}, silent)

    states = {s.label: s.state for s in (*high.symbols, *low.symbols)}
    assert {k: states[k] for k in ("F12", "S2", "T1", "T3", "T5", "T7", "T7-B1")} == {
        "F12": "partly",
        "S2": "partly",
        "T1": "well",
        "T3": "alert",
        "T5": "partly",
        "T7": "silent",
        "T7-B1": "silent",
    }
    assert all(s.health.devices > 0 for s in low.symbols)


def test_the_headline_counts_no_meter_as_in_time_that_has_lost_supply(
    world: World, visit: Visit
) -> None:
    """An area has just gone dark: no reading is overdue yet, and yet none of it is in time."""
    world.readings.overdue = []
    operator = visit("operator")
    page = operator.get(f"/alerts/{alert_id(world, 'outage')}").text
    drawing = page.partition('<svg class="oneline"')[2].partition("</svg>")[0]
    table = page.partition('class="oneline-table"')[2].partition("</table>")[0]

    assert "147 / 196 · 49 without supply" in text_of(page)
    assert drawing.count("· without supply</title>") == 48
    assert drawing.count('class="dot dark"') == 48
    assert text_of(table).count("× without supply since 18:12") == 48
    assert "all 12 meters without supply" in text_of(table)


def test_meters_that_report_again_are_drawn_so_while_the_outage_is_open(
    world: World, visit: Visit
) -> None:
    world.readings.overdue = []
    back = LastSeen(NOW - MINUTE, 229.0)
    said = LastSeen(NOW - 20 * MINUTE, 228.0, NOW - 12 * MINUTE, NOW - MINUTE)
    world.supply.own = {"M-T7-001": back, "M-T7-002": said}

    page = visit("operator", "zh-CN").get(f"/alerts/{alert_id(world, 'outage')}").text

    drawing = page.partition('<svg class="oneline"')[2].partition("</svg>")[0]
    assert (46, 1, 1) == tuple(
        drawing.count(f'class="dot {state}"') for state in ("dark", "awaited", "well")
    )
    assert "停电 47 台 · 复电后未上送 1 台" in text_of(page)
    assert "49 块表计中： 47 停电 · 1 复电后尚无读数" in text_of(page)


def test_a_node_without_any_device_says_that_nothing_measures_it() -> None:
    grid = network()
    bare = replace(grid, devices=())

    drawing = one_line(bare, "transformer", "T7", {})

    assert {s.state for s in drawing.symbols} == {"unmetered"}
    assert Health(3, 3).state("") == "silent"


def test_a_note_of_the_shift_before_is_gone_after_twelve_hours(world: World, visit: Visit) -> None:
    operator = visit("operator")
    operator.change("/handover", text="watch T5 tonight")
    world.clock.us += 13 * HOUR + MINUTE

    assert "watch T5 tonight" not in operator.get("/handover").text


def test_a_storm_shows_the_gravest_and_where_most_of_them_are() -> None:
    world = World(told=False)
    world.network = network(110)
    late = [
        raised("meter_health", "device", d.id, NOW - n, NEUTRAL, (d.id,))
        for n, d in enumerate(world.network.devices)
        if d.kind == "meter"
    ]
    world.happen(raised("outage", "transformer", "T7", NOW - HOUR, NEUTRAL), *late)
    visitor = Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})
    visitor.get("/signin/link-operator")

    page = visitor.get("/").text

    assert page.count('<li class="feed-row') == 300
    assert "441 alerts of 331 causes: the 300 gravest are shown" in text_of(page)
    assert "Power outage" in page.partition('<li class="feed-row')[2].partition("</li>")[0]
    assert 'href="/?q=F12">F12 (331)' in page
