"""Brokers, buses and folders are dealt out to collecting processes, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewatt.config import load_config
from forewatt.run import processes
from forewatt.sources import Share, check_parts, collector_settings, what_works
from grid.errors import BadInput

TEXT = """
[database]
url = "postgresql://a@b/c"
[[mqtt]]
url = "mqtt://broker"
topics = ["forewatt/v1/+/readings"]
[[mqtt]]
url = "mqtt://other"
[[mqtt]]
url = "mqtt://broker"
topics = ["forewatt/v1/+/batch"]
{more}
[[modbus]]
url = "tcp://10.0.0.1:502"
units = [{{ unit = 1, device = "T1", profile = "sdm630" }}]
[collect]
processes = 2
"""


def config_of(folder: Path, more: str = "") -> Path:
    path = folder / "forewatt.toml"
    path.write_text(TEXT.format(more=more))
    return path


def test_two_processes_share_the_sources_without_overlap(tmp_path: Path) -> None:
    config = load_config(config_of(tmp_path))

    first, second = (collector_settings(config, "journal", Share(n, 2)) for n in range(2))

    assert [("mqtt://broker", ""), ("mqtt://broker", "#2")] == [
        (source.url, source.label) for source in first.mqtt
    ]
    assert ["mqtt://other"] == [source.url for source in second.mqtt]
    assert (1, 0) == (len(first.modbus), len(second.modbus))
    ids = [source.client_id for source in (*first.mqtt, *second.mqtt)]
    assert ["forewatt-journal", "forewatt-journal-2", "forewatt-journal"] == ids
    assert ["collect", "web", "collect-2"] == processes(("collect", "web"), 2)


def test_a_broker_that_is_wrong_does_not_deal_the_others_anew(tmp_path: Path) -> None:
    config = load_config(config_of(tmp_path))
    old = collector_settings(config, "journal", Share(1, 2))
    changed = load_config(config_of(tmp_path, 'mappings = ["lost.toml"]'))

    first, troubles = what_works(
        changed, collector_settings(config, "journal"), "journal", Share(0, 2)
    )
    second, none = what_works(changed, old, "journal", Share(1, 2))

    assert ["", "#2"] == [source.label for source in first.mqtt]
    (trouble,) = troubles
    assert "[[mqtt]] mqtt://broker#2" in trouble and trouble.endswith("(it goes on as it was)")
    assert (old.mqtt, []) == (second.mqtt, none)


@pytest.mark.parametrize(
    ("changed", "key", "fix"),
    [
        (
            ("[collect]", '[[files]]\npath = "."\nmapping = "lang"\n[collect]'),
            "[[files]] mapping: no mapping 'lang'",
            "Did you mean 'long'",
        ),
        (
            ('"sdm630"', '"sdm360"'),
            "[[modbus]] units profile: no meter profile 'sdm360'",
            "'sdm630'",
        ),
        (
            ('url = "mqtt://other"', 'url = "mqtt://other"\nmappings = ["tasmoto"]'),
            "[[mqtt]] mappings: no mapping 'tasmoto'",
            "'tasmota'",
        ),
    ],
)
def test_a_file_that_is_not_there_is_named_with_the_line_that_wants_it(
    tmp_path: Path, changed: tuple[str, str], key: str, fix: str
) -> None:
    path = config_of(tmp_path)
    path.write_text(path.read_text().replace(*changed))
    wanted = key.rpartition(" ")[2].strip("'")
    line = next(n for n, t in enumerate(path.read_text().splitlines(), 1) if wanted in t)

    with pytest.raises(BadInput) as caught:
        check_parts(load_config(path))

    assert str(caught.value).startswith(f"{path}:{line}: {key}")
    assert fix in str(caught.value)
