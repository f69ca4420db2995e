"""`docs/detectors.md` speaks of every family: its limits, what it cannot see, its confusions."""

import re
from pathlib import Path

from detectors.base import Stateful
from detectors.catalogue import FAMILIES
from detectors.outage import OutageDetector

PAGE = Path(__file__).parents[3] / "docs" / "detectors.md"


def test_every_family_is_described_with_its_limits_blind_spots_and_confusions() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`: (.*?)(?=^###? )", text, re.M | re.S))
    families: list[type[Stateful]] = [OutageDetector, *FAMILIES]

    assert {f.name for f in families} == set(sections)
    for f in families:
        for word in ("*Limits*", "*Cannot see*", "*Confusions*", *f.faults):
            assert word in sections[f.name], f"{f.name}: {word}"
