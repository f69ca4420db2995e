"""The feed of the pages: which line a message is about, and which lines somebody looks for."""

from collections.abc import Callable, Iterable, Iterator

from grid.records import OutboxMessage
from storage.feed_lines import LineName


def line_of(message: OutboxMessage) -> str | None:
    """The line that a message is about, None for messages about something else."""
    incident = message.data.get("incident_id")
    if message.topic == "incident":
        return f"i{message.key}"
    if message.topic == "alert":
        return f"i{incident}" if incident is not None else f"a{message.key}"
    if message.topic == "ticket" and incident is not None:
        return f"i{incident}"  # the line says who has it
    return None


def shown_by(messages: Iterable[OutboxMessage]) -> dict[int, str]:
    """The messages, by number, that show a line as it is after all of them, and the line.

    The last one that is not a ticket's: who hears alerts alone misses none. A later one of its
    ticket as well, unless it came with it: a page that was loaded in between has seen the first.
    """
    alerts: dict[str, OutboxMessage] = {}
    tickets: dict[str, OutboxMessage] = {}
    for m in messages:
        line = line_of(m)
        if line is not None:
            (tickets if m.topic == "ticket" else alerts)[line] = m
    shown = {m.seq: line for line, m in alerts.items()}
    for line, m in tickets.items():
        before = alerts.get(line)
        if before is None or (m.seq > before.seq and m.at_us != before.at_us):
            shown[m.seq] = line
    return shown


def found_in(
    names: Iterable[LineName], wanted: str, names_of: Callable[[LineName], Iterator[str]]
) -> tuple[list[str], list[str]]:
    """Keys of the lines that somebody looks for: those so called, and those partly so called.

    Every word must be a part of one of the names that `names_of` gives an alert of the line.
    """
    words = wanted.casefold().split()
    called: dict[str, set[str]] = {}
    for name in names:
        called.setdefault(name.key, set()).update(n.casefold() for n in names_of(name) if n)
    exact: list[str] = []
    partly: list[str] = []
    for key, known in called.items():
        if all(any(word in name for name in known) for word in words):
            (exact if all(word in known for word in words) else partly).append(key)
    return exact, partly
