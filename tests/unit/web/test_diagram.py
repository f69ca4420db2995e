"""The one-line diagram shows where, and stays small whatever the size of the area."""

from dataclasses import replace

import pytest

from desk.without_supply import Unsupplied
from grid.network import Feeder, Network, Transformer, UsagePoint
from tests.unit.web.world import NOW, network
from web.diagram import POINTS_MAX, TRANSFORMERS_MAX, WIDTH, Health, one_line
from web.diagram_labels import SUB_SIZE, Label, label, width_of
from web.i18n import Words

EN = Words("en")


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

    assert drawing.count("silent") == 2
    assert [d.usage_point for d in drawing.dots if d.state == "silent"] == ["T3-001", "T3-002"]


def test_what_has_no_supply_is_not_drawn_as_heard() -> None:
    dark = {f"M-T7-{n:03d}": NOW for n in range(1, 49)} | {"T7-monitor": NOW, "M-T3-005": NOW}
    supply = Unsupplied(dark, frozenset({"M-T3-006"}), frozenset())

    drawing = one_line(network(), "transformer", "T3", {}, frozenset({"M-T3-005"}), supply)

    states = {s.label: s.state for s in drawing.symbols}
    assert {k: states[k] for k in ("F12", "T1", "T3", "T3-B1", "T3-B2")} == {
        "F12": "partly", "T1": "well", "T3": "partly", "T3-B1": "partly", "T3-B2": "well",
    }  # fmt: skip
    assert [(d.usage_point, d.state, d.dark_us) for d in drawing.dots if d.state != "well"] == [
        ("T3-005", "dark", NOW),  # overdue by now, but its last word was a last gasp
        ("T3-006", "awaited", None),
    ]
    assert [(w.x1, w.y1) for w in drawing.wires if w.cls == "dark"] == [
        (w.x1, s.y) for s in drawing.symbols for w in drawing.wires
        if s.label == "T7" and w.y1 == w.y2 == s.y
    ]  # fmt: skip
    other = one_line(network(), "transformer", "T7", {}, frozenset(), supply)
    assert {s.label: s.state for s in other.symbols}["T7"] == "dark"
    assert "dark" in {w.cls for w in other.wires}


def test_below_an_outage_a_place_without_a_meter_is_dark_too() -> None:
    grid = replace(network(), devices=())
    below = frozenset(grid.within("transformer", "T7"))

    drawing = one_line(grid, "transformer", "T7", {}, supply=Unsupplied(below=below))

    states = {s.label: s.state for s in drawing.symbols}
    assert (states["T7"], states["T7-B1"], states["T5"]) == ("dark", "dark", "unmetered")
    assert {d.state for d in drawing.dots} == {"dark"}


def test_a_mixture_is_said_in_words_and_each_device_counted_once() -> None:
    supply = Unsupplied({"M-T3-001": 0}, frozenset({"M-T3-002", "M-T3-003"}), frozenset())
    silent = frozenset({"M-T3-001", "M-T3-002"})

    drawing = one_line(network(), "transformer", "T3", {}, silent, supply)

    t3 = next(s for s in drawing.symbols if s.label == "T3")
    assert t3.health == Health(49, silent=1, dark=1, awaited=1)


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


@pytest.mark.parametrize(
    "name",
    [
        "河坊街十五号小区东门公用配电变压器（二期）",
        "Riverside Street East Gate Public Distribution Transformer",
    ],
)
def test_long_names_of_transformers_are_drawn_whole(name: str) -> None:
    grid = network()
    named = replace(grid, transformers=tuple(replace(t, name=name) for t in grid.transformers))

    drawing = one_line(named, "usage_point", "T3-011", {})

    drawn = [s.words(EN) for s in drawing.symbols if s.kind == "transformer"]
    assert {(name, False)} == {(w.sub, w.cut) for w in drawn} and len(drawn) > 2
    assert not drawing.cut(EN)


def test_a_name_without_end_is_cut_where_its_room_ends_and_known_to_be() -> None:
    grid = network()
    long = replace(grid, transformers=tuple(replace(t, name="很" * 500) for t in grid.transformers))

    drawing = one_line(long, "usage_point", "T3-011", {})

    drawn = [s for s in drawing.symbols if s.kind == "transformer"]
    assert drawing.cut(EN) and all(s.words(EN).cut and s.words(EN).sub.endswith("…") for s in drawn)
    assert {s.open for s in drawn} == {s.words(EN).below is False for s in drawn} == {True, False}
    assert all(width_of(s.words(EN).sub, SUB_SIZE) + s.x + 20 <= WIDTH for s in drawn if not s.open)


def test_an_id_along_the_trunk_keeps_to_its_column() -> None:
    assert label("SECTION-WEST-0017", "", 50.0).cut
    assert Label("S2") == label("S2", "S2", 50.0)


def test_a_name_given_in_both_languages_is_drawn_in_the_readers() -> None:
    grid = network()
    both = tuple(replace(t, name="枫林街台区 / Fenglin Street") for t in grid.transformers)

    drawing = one_line(replace(grid, transformers=both), "transformer", "T3", {})

    drawn = [s for s in drawing.symbols if s.kind == "transformer"]
    assert {"Fenglin Street"} == {s.words(EN).sub for s in drawn}
    assert {"枫林街台区"} == {s.words(Words("zh-CN")).sub for s in drawn}
