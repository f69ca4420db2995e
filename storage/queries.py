"""Named SQL from the files in `storage/sql/`.

    -- name: newest_reading
    -- The newest reading of one device.
    SELECT ...

A query ends where the next name begins. Parts that depend on the list of quantities stand in
braces and are filled by `compose`; values are always parameters.
"""

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from psycopg import sql

from grid.errors import ForewattError

FOLDER = Path(__file__).parent / "sql"


class Queries(Mapping[str, str]):
    """The queries of one file, by name; a name that is not there is an error with a suggestion."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._queries = _split(file, text)

    def __getitem__(self, name: str) -> str:
        try:
            return self._queries[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._queries, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"no query {name!r} in storage/sql/{self.file}.sql{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)

    def compose(self, name: str, **parts: sql.Composable) -> sql.Composed:
        """The query with its `{parts}` filled in."""
        return sql.SQL(self[name]).format(**parts)


@cache
def queries(file: str) -> Queries:
    """The queries of `storage/sql/<file>.sql`, read once."""
    return Queries(file, (FOLDER / f"{file}.sql").read_text(encoding="utf-8"))


def _split(file: str, text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("-- name:"):
            name = line.removeprefix("-- name:").strip()
            if name in found:
                raise ForewattError(f"storage/sql/{file}.sql names {name!r} twice. Rename one.")
            lines = found.setdefault(name, [])
        elif lines is not None:
            lines.append(line)
    out = {name: "\n".join(body).strip() for name, body in found.items()}
    for name, body in out.items():
        if not body.startswith("--"):
            raise ForewattError(f"{file}.sql: {name!r} lacks the comment that says what it is for.")
    return out
