"""`forewatt reload`: let a running installation go on with a changed configuration.

The request is a file beside the journal that the processes look at; each answers in its health
file. The collector takes over brokers, buses, folders and the network without losing a message,
the historian the network; the rest is said to need a restart.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from forewatt.config import load_config
from forewatt.health import read_reports
from forewatt.site import Place
from grid.errors import ForewattError

ANSWER_S = 30.0
LOOK_S = 0.1
TAKES = ("collect", "historian")


class Request:
    """One process's view of the request: whether there is a new one since it began."""

    def __init__(self, place: Place) -> None:
        self._path = place.folder / "reload"
        self._token = self._read()

    def _read(self) -> str:
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    def is_new(self) -> bool:
        """True once for each request."""
        token = self._read()
        if token in ("", self._token):
            return False
        self._token = token
        return True

    def answer(self, troubles: Sequence[str]) -> dict[str, Any]:
        """What to put into the health report."""
        return {"token": self._token, "troubles": list(troubles)}


def reload_command(args: argparse.Namespace) -> int:
    """`forewatt reload`: status 1 when something could not be taken over."""
    config = load_config(args.config)
    place = Place.of(config)
    reports = read_reports(place.health)
    running = {role for role, r in reports.items() if r.alive and role.partition("-")[0] in TAKES}
    if "collect" not in running:
        raise ForewattError("no collector runs with this configuration; start it: forewatt run")
    token = str(time.time_ns())
    beside = place.folder / "reload.tmp"
    beside.write_text(token)
    beside.replace(place.folder / "reload")
    troubles = _answers(place, running, token)
    if args.json:
        print(json.dumps({"ok": not troubles, "troubles": troubles}, ensure_ascii=False))
    else:
        print("\n".join(troubles) or "taken over; nothing was lost")
        print("pages, database, detectors and alerts keep their settings until a restart")
    return 1 if troubles else 0


def _answers(place: Place, roles: set[str], token: str) -> list[str]:
    """The troubles of all that were asked, once they have answered."""
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        reports = read_reports(place.health)
        answers = {
            role: reports[role].reload
            for role in roles
            if role in reports and reports[role].reload.get("token") == token
        }
        if len(answers) == len(roles):
            return [str(t) for role in sorted(answers) for t in answers[role]["troubles"]]
        time.sleep(LOOK_S)
    raise ForewattError(f"no answer within {ANSWER_S:g} s; look at: forewatt status")
