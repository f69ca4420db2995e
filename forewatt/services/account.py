"""Under which account the services run, and whether that account can reach a folder.

PostgreSQL refuses to run as root, so root's services run as the machine's `nobody`; an ordinary
user's run as that user.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from forewatt.services.errors import ServicesError

RELOCATED = Path("/var/lib/forewatt")
_ORIGIN = "origin"


@dataclass(frozen=True)
class Account:
    """An unprivileged account: what the services' processes become."""

    name: str
    uid: int
    gid: int


def service_account() -> Account:
    """The caller itself, or for root the unprivileged `nobody`.

    Raises ServicesError where root's machine has no such account.
    """
    uid = os.geteuid()
    if uid != 0:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            raise ServicesError(
                f"user id {uid} has no name on this machine and PostgreSQL insists on one; "
                "add it to /etc/passwd"
            ) from None
        return Account(name, uid, os.getegid())
    for name in ("nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServicesError("root needs an unprivileged account for PostgreSQL; run: useradd nobody")


def can_reach(path: Path, account: Account) -> bool:
    """Whether `account` may walk through every folder above and including `path`."""
    for folder in (path, *path.parents):
        info = folder.stat()
        if info.st_uid == account.uid:
            bit = stat.S_IXUSR
        elif info.st_gid == account.gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not info.st_mode & bit:
            return False
    return True


def data_folder(folder: Path, account: Account) -> Path:
    """Where the services keep their data for `folder`: inside it, if the account can go there.

    As root below a closed folder (/root, pytest's own) it is a folder of RELOCATED named after
    the caller's; one whose caller's folder is gone is removed here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    if os.geteuid() != 0 or can_reach(folder, account):
        return folder
    _remove_forgotten()
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    elsewhere = RELOCATED / name
    elsewhere.mkdir(parents=True, exist_ok=True)
    RELOCATED.chmod(0o755)
    elsewhere.chmod(0o755)
    (elsewhere / _ORIGIN).write_text(str(folder), encoding="utf-8")
    return elsewhere


def relocated_folder(folder: Path) -> Path:
    """The folder of RELOCATED that would belong to `folder`, whether it exists or not."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return RELOCATED / name


def own_folder(path: Path, account: Account) -> None:
    """Make `path` a folder that only `account` (and root) can enter."""
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)


def _remove_forgotten() -> None:
    if not RELOCATED.is_dir():
        return
    for candidate in RELOCATED.iterdir():
        note = candidate / _ORIGIN
        if note.is_file() and not Path(note.read_text(encoding="utf-8")).exists():
            shutil.rmtree(candidate, ignore_errors=True)
