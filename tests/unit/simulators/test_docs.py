"""The documentation names every key, every kind and every story."""

import dataclasses
import typing
from pathlib import Path

import pytest

from simulators import spec
from simulators.gallery import stories
from simulators.scenario import SCENARIOS, check_scenario

TEXT = Path("docs/simulation.md").read_text(encoding="utf-8")
TABLES = (
    spec.Scenario,
    spec.TownSpec,
    spec.TransformerSpec,
    spec.WeatherSpec,
    spec.MvSpec,
    spec.LoadSpec,
    spec.DeliverySpec,
    spec.CallerSpec,
    spec.FaultSpec,
)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__name__)
def test_every_key_of_a_scenario_is_documented(table: type) -> None:
    """A key that nobody can look up is no key."""
    keys = [f.name for f in dataclasses.fields(table) if f.init]
    tables = {"town", "weather", "mv", "load", "delivery", "callers", "fault"}

    missing = [k for k in keys if f"`{k}`" not in TEXT and k not in tables]
    assert [] == missing


def test_the_town_of_the_ten_minutes_works(tmp_path: Path) -> None:
    """What the page tells to save is a scenario without a mistake."""
    file = tmp_path / "my-town.toml"
    file.write_text(TEXT.split("```toml\n")[1].split("```")[0], encoding="utf-8")

    town = check_scenario(spec.load_scenario(file), str(file))

    assert ["T1", "T2"] == [a.id for a in town.areas]
    assert (100.0, "rural") == (town.areas[1].area.rated_kva, town.areas[1].area_class)


def test_every_kind_of_fault_is_documented() -> None:
    """Its physical quantity stands in the table of kinds."""
    missing = [k for k in typing.get_args(spec.Kind) if f"`{k}`" not in TEXT]
    assert [] == missing


def test_every_story_has_its_picture_on_the_page_of_the_gallery() -> None:
    """`make gallery` draws them; the page shows each with its paragraph in both languages."""
    page = Path("docs/gallery/README.md").read_text(encoding="utf-8")

    assert set(stories()) == {p.stem for p in Path("docs/gallery").glob("*.svg")}
    for name in stories():
        told = spec.load_scenario(SCENARIOS / f"{name}.toml")
        assert told.story.en.strip() in page and told.story.zh.strip() in page, name
        assert f"({name}.svg)" in page
