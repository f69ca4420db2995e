"""Fixtures for every distance of test: unit, contract, integration, acceptance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real measured data sets that lies beside the checkout, else a skip.

    FOREWATT_SHARED names it when it lies elsewhere.
    """
    named = os.environ.get("FOREWATT_SHARED")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no shared data at {folder}: real-data tests are skipped; set FOREWATT_SHARED to the "
            "folder that holds station_area_1 and the others"
        )
    return folder
