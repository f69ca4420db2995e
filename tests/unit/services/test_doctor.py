"""The doctor names each thing once and gives a fix for whatever is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from forewatt.services import doctor
from forewatt.services.doctor import Check, check_machine
from forewatt.services.toolchain import PostgresFound


def _named(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_every_check_has_its_own_name_and_what_is_wrong_has_a_fix() -> None:
    checks = check_machine()

    names = [check.name for check in checks]
    without_fix = [check for check in checks if not check.ok and not check.fix]
    assert len(names) == len(set(names))
    assert [] == without_fix
    assert {"Python", "PostgreSQL", "TimescaleDB", "Mosquitto", "clock"} <= set(names)


def test_an_empty_cache_on_a_machine_without_apt_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWATT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "system_mosquitto", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)

    broker = _named(check_machine(), "Mosquitto")

    assert not broker.ok
    assert "apt-get and dpkg missing" in broker.found
    assert "2.0.19" in broker.fix


@pytest.mark.parametrize(
    ("edition", "said"),
    [
        ("Apache", "2.19.3 (Apache edition: no compression, and Forewatt needs none)"),
        ("community", "2.19.3 (community edition: readings beyond 30 days are compressed)"),
    ],
)
def test_the_edition_of_timescaledb_says_whether_history_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edition: str, said: str
) -> None:
    server = PostgresFound(tmp_path, "17.2", "2.19.3", edition)
    monkeypatch.setattr(doctor, "system_postgres", lambda: server)

    assert said == _named(check_machine(), "TimescaleDB").found


def test_a_changed_browser_library_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = tmp_path / "static" / "vendor"
    vendor.mkdir(parents=True)
    (vendor / "a.js").write_text("changed", encoding="ascii")
    (tmp_path / "assets.sha256").write_text(f"{'0' * 64}  a.js\n", encoding="ascii")
    monkeypatch.setattr(doctor, "_WEB", tmp_path)

    libraries = _named(check_machine(), "browser libraries")

    assert Check("browser libraries", False, "not as pinned: a.js", "run: make web") == libraries
