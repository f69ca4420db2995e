"""Which programs are good enough to be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewatt.services import toolchain
from forewatt.services.errors import FetchError
from forewatt.services.fetch import fetch_prefix
from forewatt.services.toolchain import find, postgres_in, system_mosquitto


def _program(path: Path, says: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="ascii")
    path.chmod(0o755)


def _postgres(base: Path, version: str, *, timescaledb: bool = True) -> None:
    for name in ("postgres", "initdb", "psql", "pg_isready"):
        _program(base / "bin" / name, f"{name} (PostgreSQL) {version} (Debian)")
    extensions = base / "extension"
    extensions.mkdir()
    if timescaledb:
        (extensions / "timescaledb.control").write_text(
            "default_version = '2.19.3'\n", encoding="ascii"
        )


@pytest.mark.parametrize(
    ("version", "timescaledb", "expected"),
    [("17.12", True, "17.12"), ("14.9", True, None), ("17.12", False, None)],
    ids=["new with extension", "too old", "no extension"],
)
def test_postgresql_needs_a_new_version_and_timescaledb(
    tmp_path: Path, version: str, timescaledb: bool, expected: str | None
) -> None:
    _postgres(tmp_path, version, timescaledb=timescaledb)

    found = postgres_in(tmp_path / "bin", tmp_path / "extension", tmp_path / "lib")

    assert expected == (found.version if found else None)


@pytest.mark.parametrize(
    ("version", "expected"), [("2.0.11", None), ("2.0.18", None), ("2.0.19", "2.0.19")]
)
def test_an_old_mosquitto_that_loses_messages_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, expected: str | None
) -> None:
    _program(tmp_path / "mosquitto", f"mosquitto version {version}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    found = system_mosquitto()

    assert expected == (found.version if found else None)


def test_without_apt_the_error_names_the_three_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forewatt.services.fetch.shutil.which", lambda name: None)

    with pytest.raises(FetchError, match="Three ways out") as caught:
        fetch_prefix(tmp_path / "cache" / "prefix")

    assert "apt-get" in caught.value.reason


def test_a_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 12_000_000

    monkeypatch.setattr("forewatt.services.fetch.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("forewatt.services.fetch.shutil.disk_usage", lambda path: Usage)

    with pytest.raises(FetchError, match="12 MB free and 700 MB are needed; make room"):
        fetch_prefix(tmp_path / "cache" / "prefix")


def test_an_unfinished_prefix_is_not_taken_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWATT_CACHE", str(tmp_path))
    monkeypatch.setattr(toolchain, "system_postgres", lambda: None)
    (tmp_path / f"{toolchain.PREFIX_NAME}.building" / "usr").mkdir(parents=True)

    assert find() is None
