"""Photos of tickets, kept under the hash of their content: sending one twice changes nothing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from storage.database import Database
from storage.desk_text import plain
from storage.queries import queries

PHOTOS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a ticket; `digest` is the SHA-256 of the image, hexadecimal."""

    digest: str
    taken_by: str
    taken_us: int


class Photos:
    """The photos of all tickets; at most `PHOTOS_MAX` each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("photos")

    def add(self, ticket_id: int, image: bytes, taken_by: str, taken_us: int) -> str | None:
        """Keep a JPEG; its digest, None if the ticket has as many as it may have."""
        digest = hashlib.sha256(image).hexdigest()
        given = {
            "ticket_id": ticket_id,
            "digest": digest,
            "taken_by": plain(taken_by, 200),
            "taken_us": taken_us,
            "image": image,
            "most": PHOTOS_MAX,
        }
        with self._database.connection() as connection:
            connection.execute(self._queries["add"], given)
        return digest if any(p.digest == digest for p in self.list(ticket_id)) else None

    def list(self, ticket_id: int) -> Sequence[Photo]:
        """The photos of a ticket, oldest first."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Photo)) as cursor,
        ):
            return cursor.execute(self._queries["list"], [ticket_id]).fetchall()

    def image(self, ticket_id: int, digest: str) -> bytes | None:
        """The JPEG, None if the ticket has no such photo."""
        with self._database.connection() as connection:
            row = connection.execute(self._queries["image"], [ticket_id, digest]).fetchone()
        return None if row is None else bytes(row[0])
