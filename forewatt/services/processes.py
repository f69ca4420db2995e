"""Start, end and recognise child processes, also those of a run that was killed.

A process is known by its number, its start time and the machine's boot: a number used again by
another program is never taken for ours, so it is never killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from forewatt.services.account import Account, relocated_folder

RECORD = "services.json"
_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_S = 0.01


@dataclass(frozen=True)
class Identity:
    """One process for good: (pid, start in clock ticks since boot, boot)."""

    pid: int
    start: int
    boot: str


@lru_cache(maxsize=1)
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _state_and_start(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold spaces: count the fields behind it (proc(5): 3 and 22).
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def identity(pid: int) -> Identity | None:
    """Who `pid` is now; None when there is no such process, or only its remains (a zombie)."""
    found = _state_and_start(pid)
    if found is None or found[0] in "ZX":
        return None
    return Identity(pid, found[1], _boot())


def is_alive(who: Identity) -> bool:
    return identity(who.pid) == who


@lru_cache(maxsize=1)
def _spawner(_owner: int) -> ThreadPoolExecutor:
    """One thread that lives as long as the process (a forked child makes its own).

    The kernel sends the parent-death signal when the *thread* that made the child ends.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="services")


def spawn(
    command: Sequence[str | Path],
    *,
    account: Account,
    death_signal: signal.Signals,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` as `account`, in a session of its own, its output appended to `log`.

    It gets `death_signal` when this process dies, however that happens.
    """
    prefix = [sys.executable, "-I", "-S", str(_LAUNCH)]
    numbers = [account.uid, account.gid, int(death_signal), os.getpid()]
    words = [*prefix, *map(str, numbers), *map(str, command)]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**clean_environment(), **(environment or {})},
                start_new_session=True,
            )

    return _spawner(os.getpid()).submit(start).result(timeout=30)


def clean_environment() -> dict[str, str]:
    """What a service may know of the caller's environment: the way to programs, nothing else."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "TZ": "UTC"}


def end(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn and wait its seconds; SIGKILL when none of them worked."""
    for sent, patience_s in steps:
        if process.poll() is not None:
            return
        process.send_signal(sent)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait(10)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Replace the record of what runs for `folder` in one step."""
    beside = folder / f"{RECORD}.new"
    beside.write_text(json.dumps(record, indent=1), encoding="utf-8")
    beside.replace(folder / RECORD)


def read_record(folder: Path) -> dict[str, Any]:
    """What the last run wrote; empty when there was none or it was cut short in the writing."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def as_record(who: Identity | None) -> dict[str, Any] | None:
    return None if who is None else {"pid": who.pid, "start": who.start, "boot": who.boot}


def from_record(value: object) -> Identity | None:
    if not isinstance(value, dict):
        return None
    try:
        return Identity(int(value["pid"]), int(value["start"]), str(value["boot"]))
    except (KeyError, TypeError, ValueError):
        return None


def owner_alive(folder: Path) -> Identity | None:
    """The running process that keeps services in `folder`, if there is one."""
    owner = from_record(read_record(folder).get("owner"))
    return owner if owner is not None and is_alive(owner) else None


def clean_stale(folder: Path) -> list[str]:
    """End the services that a killed run left behind in `folder`; say what was ended.

    Services whose owner still lives are left alone. PostgreSQL gets the time for a clean end;
    every wait is bounded, at most about 20 s a process.
    """
    ended: list[str] = []
    for place in (folder, relocated_folder(folder)):
        record = read_record(place)
        owner = from_record(record.get("owner"))
        if not record or (owner is not None and is_alive(owner)):
            continue
        for name, gentle in (("mosquitto", signal.SIGTERM), ("postgres", signal.SIGINT)):
            who = from_record(record.get(name))
            if who is None or not is_alive(who):
                continue
            for sent, patience_s in ((gentle, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                if _signal_and_wait(who, sent, patience_s):
                    break
            ended.append(f"{name} (process {who.pid}) left by a killed run")
        if record.get("postgres") and from_record(record["postgres"]) is not None:
            # Its number may belong to somebody else by now, and PostgreSQL would refuse to start.
            (place / "postgres" / "postmaster.pid").unlink(missing_ok=True)
        (place / RECORD).unlink(missing_ok=True)
    return ended


def _signal_and_wait(who: Identity, sent: signal.Signals, patience_s: float) -> bool:
    try:
        # A descriptor names this very process: between check and kill the number cannot change.
        descriptor = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(who):
            return True
        try:
            signal.pidfd_send_signal(descriptor, sent)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not is_alive(who):
                return True
            time.sleep(_POLL_S)
        return not is_alive(who)
    finally:
        os.close(descriptor)
