"""The administrator's people: who may sign in, as what."""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from alerts.roles import ROLE_NAMES
from web.site import Site


def register(app: FastAPI, site: Site) -> None:
    @app.get("/admin")
    def people(request: Request) -> Response:
        values = {"people": list(site.people.list()), "role_names": ROLE_NAMES}
        return site.render.page(request, "admin.html", values)
