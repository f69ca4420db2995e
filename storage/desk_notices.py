"""The queue of notices on their way out: leases, retries, dead letters.

Sending happens outside any transaction. A worker that dies keeps its lease for a while, then the
notice is sent again under the same id: at least once, and recognisable.
"""

from collections.abc import Mapping, Sequence

from psycopg.rows import dict_row

from storage.database import Database
from storage.desk_records import LeasedNotice
from storage.queries import queries


class NoticeQueue:
    """Implements `desk.delivery.Queue` for one realm."""

    def __init__(self, database: Database, realm: str = "live") -> None:
        self._database, self.realm = database, realm
        self._queries = queries("desk_notices")

    def lease(self, now_us: int, limit: int, lease_s: float) -> list[LeasedNotice]:
        """At most `limit` due notices, ours for `lease_s` seconds (`now_us` is site time)."""
        given = {"realm": self.realm, "now_us": now_us, "limit": limit, "lease_s": lease_s}
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            found = cursor.execute(self._queries["lease"], given).fetchall()
        return sorted((LeasedNotice(**row) for row in found), key=lambda n: n.id)

    def sent(self, notice_id: int) -> None:
        """It has arrived."""
        self._do("sent", [notice_id])

    def retry(self, notice_id: int, error: str, in_s: float) -> None:
        """It has not; again after `in_s` seconds."""
        self._do("retry", [in_s, error[:1000], notice_id])

    def bury(self, notice_id: int, error: str) -> None:
        """It never will; a person has to look."""
        self._do("bury", [error[:1000], notice_id])

    def revive(self, notice_id: int) -> bool:
        """Try a dead one again; False if it is not dead."""
        return self._do("revive", [notice_id]) == 1

    def counts(self) -> Mapping[str, int]:
        """How many are waiting, sent, dead, withheld, withdrawn."""
        with self._database.connection() as connection:
            found = connection.execute(self._queries["counts"], [self.realm]).fetchall()
        return {state: int(count) for state, count in found}

    def dead(self, limit: int = 100) -> list[LeasedNotice]:
        """Those that could not be delivered, newest first."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            found = cursor.execute(self._queries["dead"], [self.realm, limit]).fetchall()
        return [LeasedNotice(**row) for row in found]

    def _do(self, name: str, given: Sequence[object]) -> int:
        with self._database.connection() as connection:
            return connection.execute(self._queries[name], given).rowcount
