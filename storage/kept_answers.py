"""Answers to requests that carry a key, kept for two days: what was done once is answered again.

Taking a key and keeping its answer are transactions of their own around the work. A process that
dies in between leaves a key without answer, which is free again after a minute; the work itself
guards against being done twice (versions, unique ids).
"""

from dataclasses import dataclass

from storage.database import Database
from storage.queries import queries


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What stands under a key; `status` None while somebody works on it."""

    fingerprint: bytes
    status: int | None
    body: bytes | None


class KeptAnswers:
    """The answers of a site."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("api")

    def begin(self, actor: str, key: str, fingerprint: bytes) -> KeptAnswer | None:
        """Take the key (None), or what stands under it already."""
        given = {"actor": actor, "key": key, "fingerprint": fingerprint}
        with self._database.connection() as connection:
            connection.execute(self._queries["forget"])
            if connection.execute(self._queries["begin"], given).fetchone() is not None:
                return None
            row = connection.execute(self._queries["kept"], [actor, key]).fetchone()
        # Released between the two statements: whoever held it has done nothing.
        return None if row is None else KeptAnswer(bytes(row[0]), row[1], row[2])

    def keep(self, actor: str, key: str, status: int, body: bytes) -> None:
        """The answer, for whoever asks again."""
        with self._database.connection() as connection:
            connection.execute(self._queries["keep"], [status, body, actor, key])

    def release(self, actor: str, key: str) -> None:
        """Nothing was done."""
        with self._database.connection() as connection:
            connection.execute(self._queries["release"], [actor, key])
