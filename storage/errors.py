"""What can be wrong between Forewatt and its database, each with the fix in its text."""

from grid.errors import ForewattError


class DatabaseUnavailable(ForewattError):
    """The database does not answer; nothing was committed and the same work may be tried again."""


class DatabaseBusy(DatabaseUnavailable):
    """The database answers but had to give up: a lock, a deadlock or a statement over its time."""


class MigrationError(ForewattError):
    """The schema in the database is not the one that this version of Forewatt expects."""


class JournalMismatch(ForewattError):
    """The journal at hand is not the one whose position the database remembers."""
