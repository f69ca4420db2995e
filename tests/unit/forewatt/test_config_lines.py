"""The configuration as loaded, as the administrator sees it."""

from pathlib import Path

from forewatt.config import load_config
from forewatt.config_lines import config_lines


def test_every_key_is_a_line_with_its_meaning_and_no_password(tmp_path: Path) -> None:
    file = tmp_path / "forewatt.toml"
    file.write_text(
        '[database]\nurl = "postgresql://fw:hush@db/forewatt"\n'
        '[[mqtt]]\nurl = "mqtt://broker:1883"\n'
        '[detectors]\ndisabled = ["thermal", "outage"]\n'
    )

    lines = {(x.section, x.key): x for x in config_lines(load_config(file))}

    assert "postgresql://fw:***@db/forewatt" == lines["database", "url"].value
    assert "mqtt://broker:1883" == lines["mqtt[1]", "url"].value
    assert ("thermal, outage", False) == (
        lines["detectors", "disabled"].value,
        lines["detectors", "disabled"].default,
    )
    assert lines["site", "language"].default
    assert all(x.meaning for x in lines.values())
    assert "hush" not in str(lines)
