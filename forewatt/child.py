"""What every supervised process does before its own work: name, signals, end with the parent."""

import ctypes
import os
import signal
import threading
from types import FrameType

from setproctitle import setproctitle

PARENT_POLL_S = 1.0
LAST_BREATH_S = 10.0
_PR_SET_PDEATHSIG = 1


def begin(role: str, parent: int | None) -> threading.Event:
    """Set up this process for `role` and return the event that asks it to stop.

    SIGTERM and SIGINT set the event. When the parent goes, the kernel sends SIGTERM; where it
    cannot (not Linux, a parent that had gone before), a thread that looks every second does.
    """
    setproctitle(f"forewatt: {role}")
    stop = threading.Event()

    def ask(signum: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    if parent is not None:
        _die_with_parent()
        threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True).start()
    return stop


def _die_with_parent() -> None:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _watch_parent(parent: int, stop: threading.Event) -> None:
    while os.getppid() == parent:
        if stop.wait(PARENT_POLL_S):
            break
    orphaned = os.getppid() != parent
    stop.set()
    if orphaned:
        # Nobody is left to kill a process that does not come to its end.
        threading.Event().wait(LAST_BREATH_S)
        os._exit(1)
