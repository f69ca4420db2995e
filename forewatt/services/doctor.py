"""Look at this machine and say in plain words what is there, what is missing and the fix.

Changes nothing and fetches nothing. `forewatt doctor` prints the list.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forewatt.services.account import service_account
from forewatt.services.errors import ServicesError
from forewatt.services.fetch import os_release, patchelf
from forewatt.services.ports import LOOPBACK
from forewatt.services.toolchain import (
    MOSQUITTO_OLDEST,
    POSTGRES_OLDEST,
    PREFIX_NAME,
    cache_folder,
    private_mosquitto,
    private_postgres,
    system_mosquitto,
    system_postgres,
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PYTHON_OLDEST = (3, 11)
_DISK_WANTED_BYTES = 2_000_000_000
_MEMORY_WANTED_BYTES = 2_000_000_000
_CLOCK_SLACK = timedelta(days=1)
_COMPRESSION = {
    "Apache": "no compression, and Forewatt needs none",
    "community": "readings beyond 30 days are compressed",
}
_WEB = Path(__file__).resolve().parents[2] / "web"


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked for, whether it will do, what was found, the fix.

    `fix` is empty where nothing needs doing. Something optional that is missing is `ok` with a
    `fix` that says what it would be good for.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def check_machine() -> list[Check]:
    """Every check, in the order in which a person would mend things. Takes about a second."""
    return [
        _python(),
        *_machine(),
        _disk(Path.cwd(), "disk space here"),
        _cache(),
        _account(),
        *_database(),
        _broker(),
        _loopback(),
        _browser_libraries(),
        _time_zones(),
        _clock(),
        _browser(),
    ]


def find_browser() -> str | None:
    """The system's Chromium or Chrome; FOREWATT_BROWSER names another."""
    named = os.environ.get("FOREWATT_BROWSER")
    if named:
        return named
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info[:2] >= _PYTHON_OLDEST
    return Check("Python", ok, version, "" if ok else "install Python 3.11 or newer")


def _machine() -> list[Check]:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = memory >= _MEMORY_WANTED_BYTES
    return [
        Check("processor", True, f"{cores} cores", "" if cores > 1 else "two cores are better"),
        Check(
            "memory",
            enough,
            f"{memory / 2**30:.1f} GiB",
            "" if enough else "the demo wants 2 GB of memory; close other programs",
        ),
    ]


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _disk(folder: Path, name: str) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    ok = free >= _DISK_WANTED_BYTES
    fix = "" if ok else f"make room: 2 GB are wanted on the disk of {folder}"
    return Check(name, ok, f"{free / 1e9:.1f} GB free", fix)


def _cache() -> Check:
    folder = cache_folder()
    if not os.access(_existing(folder), os.W_OK):
        return Check(
            "cache folder",
            False,
            f"{folder} cannot be written",
            "set FOREWATT_CACHE to a folder that you may write",
        )
    disk = _disk(folder, "cache folder")
    return Check(disk.name, disk.ok, f"{folder}, {disk.found}", disk.fix)


def _account() -> Check:
    try:
        account = service_account()
    except ServicesError as error:
        return Check("account of the services", False, error.reason, "see the sentence before")
    return Check("account of the services", True, account.name)


def _fetchable() -> str:
    """Why the private prefix could not be fetched here; empty when it could."""
    missing = [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} missing"
    if os_release().get("ID") != "debian":
        return "this is not Debian"
    return "" if patchelf() else "patchelf missing (make install)"


def _absent(name: str, system_fix: str) -> Check:
    problem = _fetchable()
    if not problem:
        return Check(name, True, "not here yet; fetched at the first start (about 15 s, once)")
    return Check(
        name,
        False,
        f"not here, and cannot be fetched: {problem}",
        f"{system_fix}, or name your own server in forewatt.toml and use `forewatt run`",
    )


def _database() -> list[Check]:
    prefix = cache_folder() / PREFIX_NAME
    system = system_postgres()
    found = system or private_postgres(prefix)
    if found is None:
        fix = f"install PostgreSQL {POSTGRES_OLDEST} or newer with TimescaleDB"
        return [_absent("PostgreSQL", fix), _absent("TimescaleDB", fix)]
    origin = "the system's" if found is system else "private"
    return [
        Check("PostgreSQL", True, f"{found.version} ({origin}, {found.bin})"),
        Check(
            "TimescaleDB",
            True,
            f"{found.timescaledb_version} ({found.edition} edition: {_COMPRESSION[found.edition]})",
        ),
    ]


def _broker() -> Check:
    system = system_mosquitto()
    found = system or private_mosquitto(cache_folder() / PREFIX_NAME)
    if found is None:
        oldest = ".".join(map(str, MOSQUITTO_OLDEST))
        return _absent("Mosquitto", f"install Mosquitto {oldest} or newer")
    origin = "the system's" if found is system else "private"
    return Check("Mosquitto", True, f"{found.version} ({origin}, {found.program})")


def _loopback() -> Check:
    try:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
    except OSError as error:
        return Check(
            "loopback",
            False,
            f"no port on {LOOPBACK} ({error.strerror})",
            "bring the loopback interface up: ip link set lo up   (as root)",
        )
    return Check("loopback", True, f"ports on {LOOPBACK} can be opened")


def _browser_libraries() -> Check:
    name, fix = "browser libraries", "run: make web"
    checksums = _WEB / "assets.sha256"
    if not checksums.is_file():
        return Check(name, False, f"{checksums} is missing", "install Forewatt again")
    lines = checksums.read_text(encoding="ascii").splitlines()
    pinned = {file: value for value, file in (line.split() for line in lines if line.strip())}
    vendor = _WEB / "static" / "vendor"
    missing = [file for file in pinned if not (vendor / file).is_file()]
    if missing:
        return Check(name, False, f"missing: {', '.join(sorted(missing))}", fix)
    changed = [
        file
        for file, value in pinned.items()
        if hashlib.sha256((vendor / file).read_bytes()).hexdigest() != value
    ]
    if changed:
        return Check(name, False, f"not as pinned: {', '.join(sorted(changed))}", fix)
    return Check(name, True, f"{len(pinned)} files as pinned")


def _time_zones() -> Check:
    ok = Path("/usr/share/zoneinfo/UTC").exists()
    found = "the system's" if ok else "the system has none; times are kept in GMT"
    return Check("time zones", ok, found, "" if ok else "apt-get install tzdata   (as root)")


def _clock() -> Check:
    now = datetime.now(UTC)
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    ok = now > installed - _CLOCK_SLACK
    return Check(
        "clock",
        ok,
        f"{now:%Y-%m-%d %H:%M} UTC" + ("" if ok else ", earlier than the program's own files"),
        "" if ok else "set the clock: timedatectl set-ntp true   (as root)",
    )


def _browser() -> Check:
    browser = find_browser()
    if browser is None:
        return Check(
            "Chromium",
            True,
            "not here; only the tests of the pages need it",
            "for those tests: apt-get install chromium fonts-noto-cjk   (as root)",
        )
    try:
        done = subprocess.run(
            [browser, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("Chromium", False, f"{browser} does not run ({error})", "install it again")
    return Check("Chromium", True, done.stdout.strip() or browser)
