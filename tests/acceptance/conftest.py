"""A small town and whole installations for acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.scenario import simulate
from tests.acceptance.house import House
from tests.integration.conftest import database_url, mqtt_url, services

__all__ = ["database_url", "mqtt_url", "services"]

SCENARIO = Path(__file__).parent / "town.toml"


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine days of two areas with two faults."""
    folder = tmp_path_factory.mktemp("town") / "data"
    simulate(SCENARIO, folder)
    return folder


@pytest.fixture
def house(tmp_path: Path, town: Path, database_url: str, mqtt_url: str) -> Iterator[House]:
    """An installation of this test alone, not yet started."""
    made = House(tmp_path, town, database_url, mqtt_url)
    try:
        yield made
    finally:
        made.stop()
