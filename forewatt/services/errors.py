"""What can go wrong with the private services; each message says what to do."""

from __future__ import annotations

from pathlib import Path

from grid.errors import ForewattError

THREE_WAYS = (
    "Three ways out: name your own servers in forewatt.toml ([database] url, [[mqtt]] url) and use "
    "`forewatt run`; or install PostgreSQL >= 15 with TimescaleDB and Mosquitto >= 2.0.19 on this "
    "machine; or use Debian 12 or newer with its package archive in reach"
)


NO_SPACE = "free about 500 MB there, or put the data on another disk (demo: --data DIR)"


class FetchError(ForewattError):
    """PostgreSQL with TimescaleDB or Mosquitto is not here and could not be fetched."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}. {THREE_WAYS}.")


class ServicesError(ForewattError):
    """A private service did not start or stop; `log` tells more."""

    def __init__(self, reason: str, *, log: Path | None = None) -> None:
        self.reason, self.log = reason, log
        more = [NO_SPACE] if "No space left" in reason else []
        super().__init__("; ".join([reason, *more, *([f"see {log}"] if log else [])]))
