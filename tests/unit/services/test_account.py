"""Under whom the services run and where their data can lie."""

from __future__ import annotations

import os
from pathlib import Path

from forewatt.services.account import Account, can_reach, service_account


def test_services_never_run_as_root() -> None:
    account = service_account()

    assert account.uid != 0
    assert account.uid == (os.geteuid() or account.uid)


def test_a_folder_below_a_closed_one_cannot_be_reached(tmp_path: Path) -> None:
    """The modes decide, not an attempt: the caller may be root, who can go anywhere."""
    stranger = Account("stranger", uid=54321, gid=54321)
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    inside = closed / "inside"
    inside.mkdir(parents=True)
    closed.chmod(0o700)

    reachable = [can_reach(Path("/"), stranger), can_reach(inside, stranger)]

    assert [True, False] == reachable


def test_the_owner_of_a_closed_folder_can_reach_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    info = tmp_path.stat()

    assert can_reach(tmp_path, Account("owner", info.st_uid, info.st_gid))
