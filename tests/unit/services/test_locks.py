"""What the build pins, and that the lists which must agree do."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LOCKS = ["bootstrap", "npm", "runtime", "dev"]


def test_pyproject_and_runtime_requirements_name_the_same() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (REPOSITORY / "requirements/runtime.in").read_text(encoding="utf-8").splitlines()

    wanted = [line for line in lines if line and not line.startswith("#")]

    assert sorted(project["project"]["dependencies"]) == sorted(wanted)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_place(name: str) -> None:
    text = (REPOSITORY / f"requirements/{name}.txt").read_text(encoding="utf-8")

    lines = text.replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line and not line.lstrip().startswith("#")]
    pinned = re.compile(r"[a-z0-9.\[\],-]+==\S+( ; [^/]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert entries
    assert [] == [entry for entry in entries if not pinned.fullmatch(entry)]
    assert not re.search(r"://|file:|--index|--find-links", text)


def test_the_npm_lock_has_hashes_and_no_address() -> None:
    text = (REPOSITORY / "web/package-lock.json").read_text(encoding="utf-8")

    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert packages
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert "resolved" not in text
    assert "://" not in text


def test_the_shipped_broker_configuration_agrees_with_the_private_one() -> None:
    """What the demo and the tests run is what an operator is told to run."""
    from forewatt.services.mosquitto import _SETTINGS

    differ = {"listener", "allow_anonymous", "persistence_location", "log_dest"}

    def settings(text: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key and not key.startswith("#") and key not in differ:
                found.setdefault(key, []).append(value)
        return found

    shipped = settings((REPOSITORY / "docs/mosquitto.conf").read_text(encoding="utf-8"))
    private = settings(_SETTINGS)

    assert private == {key: value for key, value in shipped.items() if key in private}
