"""The demo's town: kept by what it depends on."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from forewatt.demo import quoted
from forewatt.demo_town import KEPT, TownData, Towns, demo_scenario, story_of, town_key
from grid.errors import BadInput, ForewattError


def test_another_scenario_is_another_town(tmp_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(demo_scenario().read_text(encoding="utf-8") + "\n# changed\n")

    assert town_key(demo_scenario()) == town_key(demo_scenario())
    assert town_key(demo_scenario()) != town_key(changed)


def test_a_story_of_the_library_needs_its_name_only(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.touch()

    assert story_of(Path("storm_night")) == demo_scenario().with_name("storm_night.toml")
    assert story_of(own) == own
    with pytest.raises(BadInput, match="storm_night"):
        story_of(Path("strom_night"))


def test_a_kept_town_is_not_simulated_again(tmp_path: Path) -> None:
    (tmp_path / town_key(demo_scenario())).mkdir()

    simulation = Towns(tmp_path).start(demo_scenario())

    assert simulation.process is None


def test_a_simulator_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("schema = 1\n")

    with pytest.raises(ForewattError, match=r"broken\.toml"):
        Towns(tmp_path / "towns").start(broken).wait()


def test_only_the_newest_towns_are_kept(tmp_path: Path) -> None:
    for n in range(KEPT + 2):
        (tmp_path / f"town{n}").mkdir()

    Towns(tmp_path).forget_old()

    assert KEPT == len(list(tmp_path.iterdir()))


def test_the_story_begins_after_the_healthy_week(town: Path) -> None:
    data = TownData(town)

    first, last = data.span_us
    assert 7.0 == pytest.approx((data.story_us - first) / 86_400e6, abs=0.1)
    assert data.story_us < last


def test_the_customer_of_the_demo_is_one_who_will_notice(town: Path) -> None:
    data = TownData(town)

    account = data.affected_account()

    transformers = {
        point.transformer for point in data.network.usage_points if point.account == account
    }
    assert transformers <= {"T1", "T2"} and transformers


@pytest.mark.parametrize("name", ["town", "my town", "镇", 'a "b"', "back\\slash", "tab\tdel\x7f"])
def test_any_name_of_a_folder_can_stand_in_the_demos_configuration(name: str) -> None:
    path = Path("/home") / name

    read = tomllib.loads(f"path = {quoted(path)}")["path"]

    assert str(path) == read
