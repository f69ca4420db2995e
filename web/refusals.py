"""How an action that was refused is answered over HTTP."""

from alerts.errors import Conflict, DeskError, NotFound, StaleTicket, WrongRole
from desk.read_now import HeadEndFailed, TooOften


def status_of(error: DeskError) -> int:
    """The HTTP status of an action that was refused."""
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, StaleTicket | Conflict):
        return 409
    if isinstance(error, TooOften):
        return 429
    if isinstance(error, HeadEndFailed):
        return 502
    return 403 if isinstance(error, WrongRole) else 422
