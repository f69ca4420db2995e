"""The feed is folded by cause: a hundred alerts of one fault are one line."""

from dataclasses import replace

from grid.records import Alert, Evidence
from tests.unit.web.visitor import Visit
from tests.unit.web.world import HOUR, NOW, World
from web.feed import FeedItem, fold, group_key, group_of


def an_alert(
    id_: str, incident: int | None, severity: str = "P2", raised: int = NOW, **more: object
) -> FeedItem:
    alert = Alert(
        id_, "outage", "usage_point", id_, severity, raised, raised, 1.5, (id_,), Evidence("", ""),  # type: ignore[arg-type]
        incident_id=incident, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return FeedItem(alert)


def test_a_hundred_alerts_of_one_cause_are_one_line_with_a_count() -> None:
    groups = fold(an_alert(str(n), 7) for n in range(100))

    assert [(g.key, len(g.items), g.devices) for g in groups] == [("i7", 100, 100)]


def test_alerts_without_a_cause_stand_alone() -> None:
    assert [g.key for g in fold([an_alert("x", None), an_alert("y", None)])] == ["ax", "ay"]


def test_the_alert_that_opens_the_ticket_speaks_for_the_cause() -> None:
    groups = fold([an_alert("grave", 1, "P1", ticket=False), an_alert("ticket", 1, "P2")])

    assert groups[0].main.alert.id == "ticket"
    assert groups[0].severity == "P1"


def test_unseen_comes_before_seen_and_grave_before_light_and_new_before_old() -> None:
    groups = fold(
        [
            an_alert("cleared", 1, "P1", cleared_us=NOW),
            an_alert("seen", 2, "P1", handling="acked"),
            an_alert("light", 3, "P3"),
            an_alert("old", 4, "P2", NOW - HOUR),
            an_alert("new", 5, "P2", NOW),
        ]
    )

    assert [g.main.alert.id for g in groups] == ["new", "old", "light", "seen", "cleared"]
    assert [g.rank for g in groups] == sorted(g.rank for g in groups)


def test_the_stream_finds_the_same_line_as_the_page() -> None:
    world = World()
    with world.ledger.reading() as r:
        alerts = r.alerts(open_only=True)

        found = [group_of(r, group_key(a)) for a in alerts]

    groups = fold(FeedItem(a) for a in alerts)
    assert {g.key: g.rank for g in groups} == {g.key: g.rank for g in found if g}


def test_a_line_of_which_nothing_is_heard_any_more_is_marked() -> None:
    silent = fold([an_alert("x", 1), an_alert("y", 1, condition="no_data"), an_alert("z", 2)])

    assert [g.no_data for g in sorted(silent, key=lambda g: g.key)] == [True, False]


def test_silence_of_data_is_written_on_the_line(world: World, visit: Visit) -> None:
    operator = visit("operator")
    before = operator.get("/").text.count(">no data<")
    with world.ledger.transaction() as tx:
        alert = next(a for a in tx.alerts(open_only=True) if a.cleared_us is None)
        tx.put_alert(replace(alert, condition="no_data"))

    assert operator.get("/").text.count(">no data<") == before + 1
