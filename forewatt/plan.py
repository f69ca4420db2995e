"""What the demo's player shall play: written by the demo, read by the player."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """A town, where to speak, and when.

    The clock starts at `story_us`; `week_end_us` is the watermark that detectors reach when they
    have judged the healthy week before it. `token` lets the town's customers call in at `api`;
    texts to them come to `phones_port` and are written into `texts`.
    """

    town: str
    mqtt: str
    modbus_port: int
    clock: str
    health: str
    story_us: int
    week_end_us: int
    speed: float
    api: str
    token: str
    phones_port: int
    texts: str

    def write(self, path: Path) -> None:
        """For `load`; only the owner may read it, it holds a token."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """The plan that `write` wrote."""
        return cls(**json.loads(path.read_text()))
