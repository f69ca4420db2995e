"""Free ports on loopback, and waiting until somebody listens there."""

from __future__ import annotations

import socket
import time

LOOPBACK = "127.0.0.1"
_POLL_S = 0.01


def free_port() -> int:
    """A port that nobody held a moment ago. It can be lost again: whoever binds it must retry."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_listening(port: int, timeout_s: float = 1.0) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def pause(deadline: float) -> bool:
    """Sleep one short step; False once `deadline` (monotonic seconds) has passed."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        return False
    time.sleep(min(_POLL_S, left_s))
    return True
