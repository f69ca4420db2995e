"""A small simulated town for tests of the joined rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.scenario import simulate

SCENARIO = Path(__file__).parents[2] / "acceptance" / "town.toml"


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of nine days, 52 devices and two faults; about a second to make."""
    folder = tmp_path_factory.mktemp("town") / "data"
    simulate(SCENARIO, folder)
    return folder
