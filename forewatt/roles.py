"""`forewatt child ROLE`: one supervised process; which function serves each role."""

import argparse
import fcntl
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import TracebackType

from forewatt.child import begin
from forewatt.config import Config, load_config
from forewatt.health import HealthFile
from forewatt.site import Place
from grid.errors import BadInput, ForewattError

_SERVE = {
    "collect": "forewatt.collect",
    "historian": "forewatt.historian",
    "watch": "forewatt.watch",
    "web": "forewatt.serve",
}
QUIET = ("psycopg.pool", "uvicorn.access")  # we say once what they say at every attempt
TAKE_OVER_S = 15.0  # processes of a killed parent need a moment to notice


def child(args: argparse.Namespace) -> int:
    """Serve one role until asked to stop."""
    kind = args.role.partition("-")[0]  # collect-2 is another collect
    if kind not in _SERVE:
        raise BadInput(f"no process is called {args.role!r}", fix=f"use {', '.join(_SERVE)}")
    stop = begin(args.role, args.parent)
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("FOREWATT_LOG", "INFO").upper(),
        format=f"%(asctime)s {args.role} %(levelname)s %(message)s",
    )
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    config = load_config(args.config)
    place = Place.of(config)
    health = HealthFile(place.health, args.role)
    serve: Callable[[Config, Place, HealthFile, threading.Event], None]
    serve = import_module(_SERVE[kind]).serve
    with OnlyOne(place.folder / f"{args.role}.lock", stop):
        health.say(ready=False)
        try:
            serve(config, place, health, stop)
        except ForewattError as error:
            print(f"forewatt {args.role}: {error}", file=sys.stderr)
            return error.exit_status
    health.remove()
    return 0


class OnlyOne(AbstractContextManager["OnlyOne"]):
    """Holds a lock file, so that two installations never share one journal."""

    def __init__(self, path: Path, stop: threading.Event) -> None:
        self._path = path
        self._file = path.open("a+")
        deadline = time.monotonic() + TAKE_OVER_S
        while not self._try() and not stop.wait(0.1):
            if time.monotonic() > deadline:
                raise ForewattError(
                    f"another forewatt process holds {path}; stop it, or name another "
                    "[journal] path"
                )

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
