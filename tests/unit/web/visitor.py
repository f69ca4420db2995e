"""A browser without JavaScript that keeps its cookies and sends forms as pages do."""

import warnings
from collections.abc import Callable
from typing import cast

import httpx

with warnings.catch_warnings():
    # It would rather have httpx2, which is not among our locked requirements.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient as TestClient

HOST = "http://testserver"


class Visitor(TestClient):
    """A signed-in browser: sends Origin and form token with changes."""

    csrf = ""

    def change(self, path: str, /, **fields: str) -> httpx.Response:
        """Send a form."""
        data = {"_csrf": self.csrf, **fields}
        return cast(httpx.Response, self.post(path, data=data, headers={"origin": HOST}))


Visit = Callable[..., Visitor]
