"""The one-line diagram shows where, and stays small whatever the size of the area."""

from grid.network import Feeder, Network, Transformer, UsagePoint
from tests.unit.web.world import network
from web.diagram import POINTS_MAX, TRANSFORMERS_MAX, WIDTH, one_line


def test_an_area_is_opened_into_its_branches_and_usage_points() -> None:
    drawing = one_line(network(), "transformer", "T3", {})

    assert [s.label for s in drawing.symbols if s.kind == "branch"] == [
        "T3-B1",
        "T3-B2",
        "T3-B3",
        "T3-B4",
    ]
    assert len(drawing.dots) == 48
    assert [s.label for s in drawing.symbols if s.here] == ["T3"]


def test_the_way_from_the_feeder_is_drawn() -> None:
    drawing = one_line(network(), "usage_point", "T7-011", {})

    assert [s.label for s in drawing.symbols if s.kind in ("feeder", "switch")] == [
        "F12",
        "S1",
        "S2",
    ]
    assert [d.usage_point for d in drawing.dots if d.here] == ["T7-011"]


def test_a_device_stands_where_its_usage_point_is() -> None:
    drawing = one_line(network(), "device", "M-T5-007", {("device", "M-T5-007"): "P4"})

    assert [(d.usage_point, d.cls) for d in drawing.dots if d.here] == [("T5-007", "P4")]


def test_silent_meters_are_told_from_those_that_speak() -> None:
    drawing = one_line(network(), "transformer", "T3", {}, frozenset({"M-T3-001", "M-T3-002"}))

    assert drawing.silent == 2
    assert [d.usage_point for d in drawing.dots if d.cls == "silent"] == ["T3-001", "T3-002"]


def test_nothing_is_drawn_outside_the_picture() -> None:
    for kind, asset in (("feeder", "F12"), ("section", "S2"), ("branch", "T3-B2")):
        drawing = one_line(network(), kind, asset, {})

        places = [(s.x, s.y) for s in drawing.symbols] + [(d.x, d.y) for d in drawing.dots]
        assert all(0 < x < WIDTH and 0 < y <= drawing.height for x, y in places)


def test_a_large_area_is_cut_and_says_how_much_is_missing() -> None:
    names = [f"T{i}" for i in range(40)]
    big = Network(
        feeders=(Feeder("F"),),
        transformers=tuple(Transformer(n, "F") for n in names),
        usage_points=tuple(UsagePoint(f"U{i}", "T30", "B") for i in range(400)),
    )

    drawing = one_line(big, "transformer", "T30", {})

    drawn = [s.label for s in drawing.symbols if s.kind == "transformer"]
    assert len(drawn) == TRANSFORMERS_MAX
    assert "T30" in drawn
    assert drawing.hidden_transformers == 40 - TRANSFORMERS_MAX
    assert drawing.hidden_points == 400 - POINTS_MAX


def test_an_asset_nobody_knows_gives_no_drawing() -> None:
    assert one_line(network(), "transformer", "nowhere", {}).symbols == []
