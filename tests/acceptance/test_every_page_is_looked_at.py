"""No page is forgotten: each one of the policy table is among those that axe looks at."""

import re

from tests.acceptance import test_accessible_more, test_accessible_pages
from web.policy import POLICY

# What a browser is given that is no page: pieces, pictures, files, answers to programs.
NO_PAGE = {
    "/feed", "/stream", "/healthz", "/readyz", "/metrics", "/crew-worker.js",
    "/static/{path:path}", "/language/{language}",
    "/signin/{token}", "/signin/oidc", "/signin/oidc/back",
    "/alerts/{alert_id}/report.{form}", "/quality/{part}.csv", "/supply/frequent.csv",
    "/crew/{token}/photos/{digest}", "/tickets/{ticket_id}/photos/{digest}",
    "/engineer/replay/{trial}/status", "/engineer/replay/{trial}/chart",
    "/engineer/replay/{trial}/download/{name}",
}  # fmt: skip
# Looked at with a run in it, which takes a room of trials: test_replay_page.py.
IN_THE_REPLAY = {"/engineer/replay", "/engineer/replay/{trial}"}


def looked_at() -> set[str]:
    """The addresses that the tests of axe open, without what is asked for."""
    filled = {"crew": "/crew/t", "alert": "/alerts/a", "case": "1"}
    tables = (test_accessible_pages.PAGES, test_accessible_more.PAGES)
    paths = [path for table in tables for group in table.values() for path in group]
    return {path.format(**filled).partition("?")[0] for path in paths}


def test_axe_looks_at_every_page_of_the_policy_table() -> None:
    pages = {path for method, path in POLICY if method == "GET" and "/api/" not in path}
    opened = looked_at()

    forgotten = {
        page
        for page in pages - NO_PAGE - IN_THE_REPLAY
        if not any(re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", page), path) for path in opened)
    }

    assert forgotten == set()
    assert pages >= NO_PAGE | IN_THE_REPLAY
