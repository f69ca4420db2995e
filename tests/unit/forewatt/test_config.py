"""The configuration file: what it accepts, and what it says when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewatt.config import ClockFile, load_config
from grid.clock import SimulatedClock
from grid.errors import BadInput

MINIMAL = """
[network]
path = "network/"
[database]
url = "postgresql://forewatt@127.0.0.1:5432/forewatt"
[[mqtt]]
url = "mqtt://127.0.0.1:1883"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "forewatt.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(BadInput) as caught:
        load_config(write(folder, text))
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_a_file_with_database_broker_and_network_runs_on_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))

    assert config.network.path == tmp_path / "network"
    assert config.journal.path == tmp_path / "journal"
    assert config.web.address == ("127.0.0.1", 8080)
    assert config.site.clock == "real"
    assert [m.url for m in config.mqtt] == ["mqtt://127.0.0.1:1883"]


def test_the_annotated_example_is_valid(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "docs" / "forewatt.toml"

    config = load_config(write(tmp_path, example.read_text(encoding="utf-8")))

    assert config.mqtt and config.modbus


def test_an_unknown_key_is_refused_with_the_nearest_valid_one(tmp_path: Path) -> None:
    said = refusal(tmp_path, MINIMAL + '[web]\nlistne = "127.0.0.1:1"\n')

    assert "forewatt.toml:9" in said
    assert "web.listne: unknown key" in said
    assert "Did you mean 'listen'?" in said


def test_the_line_of_a_mistake_is_that_of_the_right_table_of_several(tmp_path: Path) -> None:
    said = refusal(tmp_path, MINIMAL + '[[mqtt]]\nurl = "mqtt://b"\nreceive_maximum = 0\n')

    assert "forewatt.toml:10: mqtt[2].receive_maximum: is 0. Use 1 to 65535" in said


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ('[site]\nlanguage = "zh-cn"', "Did you mean 'zh-CN'?"),
        ("[site]\nname = 3", "site.name: is 3, expected a string"),
        ('[site]\ntime_zone = "Mars/Base"', "IANA"),
        ("[watch]\nsnapshot_every_s = true", "watch.snapshot_every_s: is true, expected a number"),
        ("[watch]\nsnapshot_every_s = nan", "expected a number"),
        ("[watch]\nsnapshot_every_entries = 1.5", "expected a whole number"),
        ('[web]\nlisten = "8080"', "web.listen: is '8080'. Write \"host:port\""),
        ('[modbus]\nurl = "tcp://h:1"', "expected [[modbus]] tables"),
        ('[[modbus]]\nurl = "tcp://h:1"', "modbus[1].units: is missing"),
        ('[[modbus]]\nurl = "udp://h:1"\nunits = []', "has the scheme 'udp'"),
        ('[[mqtt]]\nurl = "nats://h:1"', "NATS"),
        ('[[mqtt]]\nurl = "mqtt://h:99999"', "is not an address"),
        ("oops", "not valid TOML"),
    ],
)
def test_wrong_values_are_refused_with_the_fix(tmp_path: Path, extra: str, expected: str) -> None:
    assert expected in refusal(tmp_path, f"{MINIMAL}\n{extra}\n")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    assert "database: is missing" in refusal(tmp_path, '[[mqtt]]\nurl = "mqtt://h"\n')


def test_a_file_without_any_source_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, '[database]\nurl = "postgresql://h/d"\n')

    assert "nothing to collect from" in said


def test_a_file_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load_config(tmp_path / "absent.toml")


def test_a_secret_that_others_can_read_is_refused_with_the_command(tmp_path: Path) -> None:
    secret = tmp_path / "broker.password"
    secret.write_text("hush")
    secret.chmod(0o644)
    text = MINIMAL + f'username = "f"\npassword_file = "{secret}"\n'

    said = refusal(tmp_path, text)
    secret.chmod(0o600)

    assert f"chmod 600 {secret}" in said
    assert load_config(tmp_path / "forewatt.toml").mqtt[0].password_file == secret


def test_a_simulated_clock_is_read_from_its_file(tmp_path: Path) -> None:
    SimulatedClock.create(tmp_path / "clock.json", 1_000_000)
    config = load_config(write(tmp_path, MINIMAL + '[site]\nclock = { file = "clock.json" }\n'))

    assert config.site.clock == ClockFile(tmp_path / "clock.json")
    assert config.clock().now_us() == 1_000_000


def test_a_clock_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL + '[site]\nclock = { file = "absent.json" }\n'))

    with pytest.raises(BadInput, match=r"site.clock: .*absent.json is no clock file"):
        config.clock()
