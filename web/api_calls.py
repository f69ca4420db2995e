"""How every change through the API runs: body checked, done once, refused with one sentence."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from alerts.errors import DeskError
from web.api_json import object_of, refusal
from web.once import HEADER, once
from web.site import Site
from web.viewer import Viewer, viewer_of

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """The JSON object of a change: nothing unknown, no text without end."""

    model_config = ConfigDict(extra="forbid", str_max_length=20_000)


async def change(
    request: Request,
    site: Site,
    model: type[M],
    act: Callable[[Viewer, M], Any],
    status: int = 200,
) -> Response:
    """Read the body as `model`, let `act` do it in a worker thread, answer with what it gives.

    `act` returns what JSON can carry, or a Response; a DeskError becomes its refusal.
    """
    raw = await request.body()
    given = await object_of(request)
    try:
        body = model.model_validate(given)
    except ValidationError as e:
        errors = [{**x, "loc": ("body", *x["loc"])} for x in e.errors(include_url=False)]
        raise RequestValidationError(errors) from e
    viewer = viewer_of(request)

    def work() -> Response:
        try:
            made = act(viewer, body)
        except DeskError as e:
            return refusal(request, site, e)
        return made if isinstance(made, Response) else JSONResponse(made, status)

    return await run_in_threadpool(once, site.kept, request, viewer.login, raw, work)


_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "detail": {"type": "string"}},
    "required": ["error", "detail"],
}


def _refused(text: str, **more: Any) -> dict[str, Any]:
    schema = {**_ERROR, "properties": {**_ERROR["properties"], **more}}  # type: ignore[dict-item]
    return {"description": text, "content": {"application/json": {"schema": schema}}}


_TICKET: Final = {"type": "object", "description": "the ticket as it is now"}
_WORDS: Final = {"type": "array", "items": {"type": "string"}}


def writes(model: type[BaseModel], *, version: bool = False) -> dict[str, Any]:
    """What OpenAPI says of a change: body, headers, refusals."""
    headers: list[Mapping[str, Any]] = [
        {
            "name": HEADER.title(),
            "in": "header",
            "schema": {"type": "string", "maxLength": 200},
            "description": "A key of yours: sent again, the request is answered again, not redone.",
        }
    ]
    if version:
        headers.append(
            {
                "name": "If-Match",
                "in": "header",
                "schema": {"type": "string"},
                "description": "The version the change was decided on; instead, `version`.",
            }
        )
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "openapi_extra": {
            "parameters": headers,
            "requestBody": {"content": {"application/json": {"schema": schema}}},
        },
        "responses": {
            403: _refused("Not open to this role.", roles=_WORDS),
            404: _refused("There is no such thing in this realm."),
            409: _refused("Somebody was faster, or it is done already.", ticket=_TICKET),
            422: _refused(
                "Not possible as asked; `allowed` are the transitions that are.",
                allowed=_WORDS,
                choices=_WORDS,
                ticket=_TICKET,
            ),
        },
    }


def query(*names: str) -> dict[str, Any]:
    """What OpenAPI says of the query parameters of a list."""
    return {
        "openapi_extra": {
            "parameters": [
                {"name": name, "in": "query", "schema": {"type": "string"}} for name in names
            ]
        }
    }
