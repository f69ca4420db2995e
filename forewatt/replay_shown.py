"""How far a replay is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from forewatt.replay_hand import HELP
from simulators.pace import Controls
from simulators.replay import ReplayProgress

LINE_EVERY_S = 5.0
RATE_OVER_S = 2.0


class Shown:
    """Shows what `told` hears: event time, rate, lag, whether it is paused."""

    def __init__(self, controls: Controls, *, hinted: bool) -> None:
        self._controls = controls
        self._hinted = hinted
        self._last: ReplayProgress | None = None
        self._next = time.monotonic() + LINE_EVERY_S
        self._mark = (time.monotonic(), 0)
        self._rate = 0.0
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (BarColumn(24), TaskProgressColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("waiting for the first row", total=1.0)

    def __enter__(self) -> "Shown":
        if self._bar is not None:
            if self._hinted:
                self._bar.console.print(HELP, style="dim", highlight=False, markup=False)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def told(self, progress: ReplayProgress) -> None:
        """Called by the replay after each piece it sent."""
        self._last = progress

    def refresh(self) -> None:
        """Called a few times a second."""
        last, now = self._last, time.monotonic()
        if last is None:
            return
        since, rows = self._mark
        if now - since >= RATE_OVER_S:
            self._rate = max(last.rows - rows, 0) / (now - since)
            self._mark = (now, last.rows)
        if self._bar is not None:
            self._bar.update(self._task, completed=last.share, description=self._line(last))
        elif now >= self._next:
            print(f"replayed {100 * last.share:.0f} %, {self._line(last)}", file=sys.stderr)
            self._next = now + LINE_EVERY_S

    def _line(self, last: ReplayProgress) -> str:
        at = datetime.fromtimestamp(last.time_us // 1_000_000, UTC)
        if self._controls.held:
            return f"{at:%F %TZ}, {last.rows:,} rows sent, paused"
        return f"{at:%F %TZ}, {self._rate:,.0f} readings/s, {lag_text(last.lag_s)} behind"


def lag_text(lag_s: float) -> str:
    """Site time in words that stay short.

    >>> lag_text(0.26), lag_text(95.0), lag_text(9000.0)
    ('0.3 s', '95 s', '2.5 h')
    """
    lag_s = max(lag_s, 0.0)
    if lag_s < 10:
        return f"{lag_s:.1f} s"
    return f"{lag_s:.0f} s" if lag_s < 3600 else f"{lag_s / 3600:.1f} h"
