"""The feed of the pages: what the stream draws is what the page shows, and all that is in it."""

from dataclasses import replace

from tests.unit.web.visitor import Visit
from tests.unit.web.world import World
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


def test_silence_of_data_is_written_on_the_line(world: World, visit: Visit) -> None:
    operator = visit("operator")
    before = operator.get("/").text.count(">no data<")
    with world.ledger.transaction() as tx:
        alert = next(a for a in tx.alerts(open_only=True) if a.cleared_us is None)
        tx.put_alert(replace(alert, condition="no_data"))

    assert operator.get("/").text.count(">no data<") == before + 1
