"""`Idempotency-Key`: a change that a program sends again is answered again, not made again."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from storage.desk_text import nameable
from storage.kept_answers import KeptAnswer

HEADER: Final = "idempotency-key"
KEY_MAX: Final = 200
KEPT_MAX: Final = 10_000


class Kept(Protocol):
    """Where answers are kept; `storage.kept_answers.KeptAnswers` in production."""

    def begin(self, actor: str, key: str, fingerprint: bytes) -> KeptAnswer | None: ...
    def keep(self, actor: str, key: str, status: int, body: bytes) -> None: ...
    def release(self, actor: str, key: str) -> None: ...


class MemoryKept:
    """Answers of one process, the newest `KEPT_MAX`; for a site without a database."""

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, str], KeptAnswer] = OrderedDict()
        self._lock = Lock()

    def begin(self, actor: str, key: str, fingerprint: bytes) -> KeptAnswer | None:
        with self._lock:
            found = self._rows.get((actor, key))
            if found is None:
                self._rows[actor, key] = KeptAnswer(fingerprint, None, None)
                if len(self._rows) > KEPT_MAX:
                    self._rows.popitem(last=False)
            return found

    def keep(self, actor: str, key: str, status: int, body: bytes) -> None:
        with self._lock:
            row = self._rows.get((actor, key))
            if row is not None:
                self._rows[actor, key] = KeptAnswer(row.fingerprint, status, body)

    def release(self, actor: str, key: str) -> None:
        with self._lock:
            self._rows.pop((actor, key), None)


def once(
    kept: Kept, request: Request, actor: str, body: bytes, act: Callable[[], Response]
) -> Response:
    """What `act` answers, or what it answered before under the request's key.

    The same key for another request is a mistake (422); while the first is being worked on, the
    second waits for nobody (409). An answer of ours that went wrong (5xx) is not kept.
    """
    key = request.headers.get(HEADER, "")
    if not key:
        return act()
    if len(key) > KEY_MAX or not nameable(key) or not key.isprintable():
        raise HTTPException(422, "bad_key")
    what = f"{request.method} {request.url.path}\0{request.headers.get('if-match', '')}\0"
    fingerprint = hashlib.sha256(what.encode() + body).digest()
    found = kept.begin(actor, key, fingerprint)
    if found is not None:
        return _again(found, fingerprint)
    try:
        answer = act()
    except Exception:
        kept.release(actor, key)
        raise
    if answer.status_code < 500:
        kept.keep(actor, key, answer.status_code, bytes(answer.body))
    else:
        kept.release(actor, key)
    return answer


def _again(found: KeptAnswer, fingerprint: bytes) -> Response:
    if found.fingerprint != fingerprint:
        raise HTTPException(422, "key_reused")
    if found.status is None or found.body is None:
        return JSONResponse(
            {"error": "in_progress", "detail": "This request is being worked on; ask again."},
            409,
            {"retry-after": "1"},
        )
    headers = {"idempotent-replayed": "true"}
    return Response(found.body, found.status, headers, media_type="application/json")
