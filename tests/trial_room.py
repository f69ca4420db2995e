"""A room for replays in a folder of a test: real processes, a small dataset, nothing else."""

from pathlib import Path

from forewatt.config import Config, load_config
from forewatt.trials import TrialRoom

CONFIG = """
[site]
country = "CN"
[database]
url = "postgresql://nobody@127.0.0.1:1/none"
[network]
path = "datasets/clamp"
[[mqtt]]
url = "mqtt://127.0.0.1:1883"
[trials]
datasets = "datasets"
"""


def a_config(folder: Path) -> Config:
    """A configuration whose servers are never asked."""
    (folder / "datasets").mkdir(parents=True, exist_ok=True)
    path = folder / "forewatt.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return load_config(path)


def a_room(folder: Path) -> TrialRoom:
    """A room whose datasets lie in `folder`/datasets."""
    return TrialRoom(folder / "trials", a_config(folder))
