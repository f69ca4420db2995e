"""A person's hand on a running replay: keys at a terminal, or lines of commands.

Receives what is typed; calls `Controls`. Keys are read only by the terminal's foreground process,
so a replay in the background is never stopped for wanting them.
"""

import os
import re
import select
import sys
import termios
import threading
import tty
from contextlib import suppress
from datetime import datetime

from grid.errors import BadInput
from simulators.pace import Controls
from simulators.spec import offset_us

HELP = "space pause, s step, arrows 1 h, [ ] 1 day, + - speed, q quit"
COMMANDS = "pause, resume, step, seek TIME, speed N, quit"
HOUR_US = 3_600_000_000
SPEED_LOW, SPEED_HIGH = 0.01, 1e6
_LOOK_S = 0.2
_LINE_MAX = 4096
_KEYS = re.compile(rb"\x1b\[[A-D]|.", re.DOTALL)


def moment_us(text: str, first_us: int) -> int:
    """Microseconds UTC of "2026-03-04T08:00:00+08:00", or of "2d 06:30" after `first_us`.

    Raises BadInput with the two ways to write it.
    """
    with suppress(ValueError):
        return first_us + offset_us(text)
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadInput(
            f"{text!r} is no time",
            fix='write 2026-03-04T08:00:00+08:00, or "2d 06:30" after the first reading',
        )
    return round(found.timestamp() * 1e6)


class Hand:
    """Reads standard input in a thread of its own while the replay runs."""

    def __init__(
        self, controls: Controls, stop: threading.Event, first_us: int, *, commands: bool
    ) -> None:
        self._controls, self._stop, self._first_us = controls, stop, first_us
        self._commands = commands
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> "Hand":
        wanted = self._commands
        if not wanted and sys.stdin.isatty():
            wanted = os.tcgetpgrp(0) == os.getpgrp()
            if wanted:
                self._before = termios.tcgetattr(0)
                tty.setcbreak(0)
        if wanted:
            self._thread = threading.Thread(target=self._read, name="hand", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5 * _LOOK_S)
        if self._before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _read(self) -> None:
        held = b""
        while not self._ended.is_set():
            if not select.select([0], [], [], _LOOK_S)[0]:
                continue
            came = os.read(0, _LINE_MAX)
            if not came:
                return  # nobody types any more; the replay goes on
            if self._commands:
                *lines, held = (held + came)[-_LINE_MAX:].split(b"\n")
                for line in lines:
                    self.command(line.decode(errors="replace"))
            else:
                for key in _KEYS.findall(came):
                    self.key(key)

    def command(self, line: str) -> None:
        """Carry out one line; what is not understood is answered on standard error."""
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "seek":
                self._controls.seek(moment_us(rest, self._first_us))
            elif word == "speed":
                self._controls.change_speed(_speed(rest))
            elif word in ("pause", "resume", "step") and not rest:
                getattr(self._controls, word)()
            elif word == "quit":
                self._stop.set()
            elif word:
                raise BadInput(f"{line.strip()!r} is no command", fix=f"write {COMMANDS}")
        except BadInput as wrong:
            print(f"forewatt: {wrong}", file=sys.stderr)

    def key(self, key: bytes) -> None:
        """Carry out one key; others mean nothing."""
        c = self._controls
        moves = {b"\x1b[C": 1, b"\x1b[D": -1, b"]": 24, b"[": -24}
        if key == b" ":
            c.resume() if c.held else c.pause()
        elif key in (b"s", b"."):
            c.step()
        elif key in moves:
            c.move(moves[key] * HOUR_US)
        elif key in (b"+", b"="):
            c.change_speed(min(2.0 * c.speed, SPEED_HIGH))
        elif key == b"-":
            c.change_speed(max(0.5 * c.speed, SPEED_LOW))
        elif key == b"q":
            self._stop.set()


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not SPEED_LOW <= value <= SPEED_HIGH:
        raise BadInput(f"{text!r} is no speed", fix="write a number such as 60")
    return value
