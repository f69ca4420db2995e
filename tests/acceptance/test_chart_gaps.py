"""A line on a chart ends where its device fell silent, whatever others reported meanwhile."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.acceptance.browser import browser

__all__ = ["browser"]

pytestmark = pytest.mark.browser
CHART = Path(__file__).parents[2] / "web" / "static" / "chart.js"


def test_a_break_lasts_until_the_device_speaks_again(browser: Browser) -> None:
    """An outage drawn as a straight line looks like supply; uPlot breaks only at nulls."""
    panel = {
        "time": [0, 1, 2, 3, 4, 5],
        "lines": [
            {"at": [0, 1, 5], "mean": [229.0, None, 228.0]},
            {"at": [0, 2, 4], "mean": [230.0, 231.0, 230.5]},
        ],
    }
    page = browser.new_page()
    spread = page.evaluate(
        """async ([source, panel]) => {
            const file = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const lines = (await import(file)).spread(panel);
            return lines.map((line) => Array.from(line, (v) => (v === undefined ? "joined" : v)));
        }""",
        [CHART.read_text(encoding="utf-8"), panel],
    )

    assert spread == [
        [229.0, None, None, None, None, 228.0],
        [230.0, "joined", 231.0, "joined", 230.5, "joined"],
    ]
