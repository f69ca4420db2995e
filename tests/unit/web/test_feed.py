"""The feed of the pages: what the stream draws is what the page shows, and all that is in it."""

import re
from dataclasses import replace

import pytest

from tests.unit.web.visitor import Visit
from tests.unit.web.world import NOW, World
from web.app import create_app
from web.site import Site


def test_the_stream_draws_the_same_line_as_the_page(world: World, visit: Visit) -> None:
    page = visit("operator").get("/").text
    site: Site = create_app(world.settings).state.site
    with world.ledger.reading() as r:
        messages = r.outbox(0)

    drawn = [f.text["en"] for f in site.frames(messages, ["en"])]

    lines = [x.line for x in site.board.lines(role="operator").rows]
    assert lines
    for line in lines:
        assert f'data-rank="{line.rank}"' in page
        assert sum(f'"rank":"{line.rank}"'.encode() in x for x in drawn) == 1


@pytest.mark.parametrize("start", ["soon", "01P2%00", "01P200000000000000042i7%00", "i" * 2_000])
def test_a_list_goes_on_from_a_line_or_says_that_it_is_none(start: str, visit: Visit) -> None:
    assert 400 == visit("operator").get(f"/feed?from={start}").status_code


def test_silence_of_data_is_written_on_the_line(world: World, visit: Visit) -> None:
    operator = visit("operator")
    before = operator.get("/").text.count(">no data<")
    with world.ledger.transaction() as tx:
        alert = next(a for a in tx.alerts(open_only=True) if a.cleared_us is None)
        tx.put_alert(replace(alert, condition="no_data"))

    assert operator.get("/").text.count(">no data<") == before + 1


def test_a_line_says_feeder_phases_and_who_has_the_ticket(world: World, visit: Visit) -> None:
    dispatcher = visit("dispatcher")
    dispatcher.change("/tickets/1/take", version="1")

    rows = dict(
        re.findall(r'(?s)id="line-(\w+)".*?class="facts">(.*?)</a>', dispatcher.get("/").text)
    )

    texts = [re.sub(r"<[^>]+>", " ", row) for row in rows.values()]
    t3 = next(x for x in texts if "T3 柳浪" in x)
    meter = next(x for x in texts if "M-T5-007" in x)
    assert "城东线" in t3 and "赵调度" in t3 and "phase" not in t3
    assert "城东线" in meter and "phase A" in meter


def test_who_takes_a_ticket_is_news_of_its_line(world: World, visit: Visit) -> None:
    site: Site = create_app(world.settings).state.site
    before = site.outbox_head()
    visit("dispatcher").change("/tickets/1/take", version="1")
    with world.ledger.reading() as r:
        messages = r.outbox(before)

    drawn = [f.text["en"] for f in site.frames(messages, ["en"]) if f.topic == "ticket"]

    assert ["赵调度"] == [name for x in drawn for name in re.findall("赵调度", x.decode())]


def test_a_page_loaded_between_an_alert_and_who_took_its_ticket_learns_both(
    world: World, visit: Visit
) -> None:
    """Both come in one piece; what the page has seen already is not sent to it again."""
    site: Site = create_app(world.settings).state.site
    with world.ledger.reading() as r:
        ticket = r.ticket(1)
    assert ticket is not None
    before = site.outbox_head()
    with world.ledger.transaction() as tx:
        tx.publish("incident", str(ticket.incident_id), NOW, {})
        tx.publish("ticket", "1", NOW, {"incident_id": ticket.incident_id})
    seen = site.outbox_head()
    visit("dispatcher").change("/tickets/1/take", version="1")
    with world.ledger.transaction() as tx:
        tx.publish("ticket", "1", NOW + 1, {"incident_id": ticket.incident_id})
    with world.ledger.reading() as r:
        messages = r.outbox(before)

    frames = site.frames(messages, ["en"])

    drawn = [f.seq for f in frames if "赵调度" in f.text["en"].decode()]
    assert [before + 1, frames[-1].seq] == drawn
    assert drawn[-1] is not None and drawn[-1] > seen
    together = site.frames(messages[:2], ["en"])
    assert [True, False] == [b'"html"' in f.text["en"] for f in together]


def test_the_list_goes_on_from_any_line_and_says_what_comes_after(
    world: World, visit: Visit
) -> None:
    operator = visit("operator")
    ranks = re.findall(r'data-rank="([^"]+)"', operator.get("/").text)

    parts = [operator.get("/feed", params={"from": r, "limit": 1}).text for r in ranks]

    assert len(ranks) == 3
    assert [re.findall(r'data-rank="([^"]+)"', x) for x in parts] == [[r] for r in ranks]
    nexts = [re.findall(r'data-next="([^"]*)" data-total="3"', x) for x in parts]
    assert nexts == [[r] for r in (*ranks[1:], "")]
    assert operator.get("/feed", params={"from": "soon"}).status_code == 400
