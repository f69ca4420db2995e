"""Who may do what, and what a browser may be made to do: deny by default, everywhere."""

import re

import pytest

from grid.errors import ForewattError
from tests.unit.web.visitor import HOST, TestClient, Visit
from tests.unit.web.world import World
from web import policy
from web.app import create_app
from web.guard import CONTENT_SECURITY_POLICY
from web.policy import POLICY, ROLES
from web.viewer import csrf_of

PAGES = (
    "/", "/?show=all", "/tickets", "/tickets?show=done", "/tickets/1", "/desk", "/engineer",
    "/desk?q=330710001", "/devices/M-T3-010", "/admin", "/password", "/signin", "/feed", "/nowhere",
)  # fmt: skip


def filled(path: str, world: World) -> str:
    """A route's template with values that exist."""
    with world.ledger.reading() as r:
        alert = r.alerts()[0].id
    values = {
        "token": "none", "language": "en", "path:path": "app.css", "alert_id": alert,
        "incident_id": "1",
        "silence_id": "1",
        "contact_id": "1", "draft_id": "1",
        "account": "330710001",
        "ticket_id": "1",
        "action": "note",
        "device": "M-T1-001",
        "digest": "00",
        "login": "nobody",
        "what": "link",
        "part": "times",
        "notice_id": "1", "kind": "checklists", "key": "neutral", "number": "1", "realm": "drill-1",
        "trial": "replay-1", "name": "readings.csv", "form": "png",
    }  # fmt: skip
    return re.sub(r"{([^}]+)}", lambda m: values[m[1]], path)


@pytest.mark.parametrize("role", ROLES)
def test_every_route_opens_to_the_roles_of_the_table_and_to_no_other(
    role: str, world: World, visit: Visit
) -> None:
    visitor = visit(role if role != "customer" else "")
    headers = {"origin": HOST, "x-csrf-token": visitor.csrf}
    if role == "customer":
        headers = {"authorization": "Bearer bearer-c-1"}
    wrong = []
    for (method, path), right in POLICY.items():
        if path in ("/stream", "/signout"):
            continue
        answer = visitor.request(
            method, filled(path, world), headers=headers, follow_redirects=False
        )
        refused = answer.status_code in (401, 403)
        if refused == policy.may(role, right) and right != policy.ANYBODY:
            wrong.append((method, path, answer.status_code))

    assert wrong == []


def test_nobody_sees_anything_but_sign_in(world: World, visit: Visit) -> None:
    open_to_all = []
    for (method, path), right in POLICY.items():
        answer = visit().request(
            method, filled(path, world), headers={"origin": HOST}, follow_redirects=False
        )
        sent_away = answer.headers.get("location", "").startswith("/signin?")
        if answer.status_code not in (401, 403) and not sent_away and right != policy.ANYBODY:
            open_to_all.append((method, path, answer.status_code))

    assert open_to_all == []


def test_a_route_that_is_not_in_the_table_keeps_the_site_from_starting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(POLICY, ("GET", "/engineer"))

    with pytest.raises(ForewattError, match="GET /engineer is in no policy"):
        create_app(world.settings)


def test_an_entry_without_a_route_keeps_the_site_from_starting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POLICY, ("GET", "/old"), policy.STAFF)

    with pytest.raises(ForewattError, match="GET /old has no route"):
        create_app(world.settings)


def test_a_page_asked_for_without_sign_in_is_opened_after_it(visit: Visit) -> None:
    answer = visit().get("/tickets?show=mine", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/signin?next=%2Ftickets%3Fshow%3Dmine",
    )


def test_the_api_says_how_to_sign_in_instead_of_redirecting(visit: Visit) -> None:
    answer = visit().get("/api/v1/alerts", follow_redirects=False)

    assert (answer.status_code, answer.json()["error"]) == (401, "sign_in")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://testserver.evil.example", ""]
)
def test_a_change_from_another_site_is_refused(origin: str, visit: Visit) -> None:
    clerk = visit("clerk")

    answer = clerk.post(
        "/tickets/1/note", data={"_csrf": clerk.csrf, "text": "x"}, headers={"origin": origin}
    )

    assert answer.status_code == 403
    assert "did not come from a page of this site" in answer.text


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_change_without_the_form_token_is_refused(token: str, visit: Visit) -> None:
    clerk = visit("clerk")

    answer = clerk.post(
        "/tickets/1/note", data={"_csrf": token, "text": "x"}, headers={"origin": HOST}
    )

    assert (answer.status_code, "form is too old" in answer.text) == (403, True)


def test_the_form_token_of_one_session_does_not_fit_another(visit: Visit) -> None:
    clerk, operator = visit("clerk"), visit("operator")

    answer = clerk.post(
        "/tickets/1/note", data={"_csrf": operator.csrf, "text": "x"}, headers={"origin": HOST}
    )

    assert answer.status_code == 403


def test_every_page_forbids_scripts_and_styles_of_its_own(visit: Visit) -> None:
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.I)
    found = []
    for role in ("operator", "clerk", "engineer", "admin"):
        visitor = visit(role)
        for path in PAGES:
            answer = visitor.get(path)
            found += [(role, path, m) for m in inline.findall(answer.text)]
            assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"

    assert found == []
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_a_larger_request_than_a_form_is_refused(visit: Visit) -> None:
    answer = visit("clerk").change("/tickets/1/note", text="x" * 100_000)

    assert answer.status_code == 413


def test_a_session_cookie_is_out_of_reach_of_scripts_and_bound_to_the_site(world: World) -> None:
    secure = World(public_url="https://forewatt.example")
    plain = TestClient(create_app(world.settings), base_url=HOST)
    https = TestClient(create_app(secure.settings), base_url="https://forewatt.example")

    given = plain.get("/signin/link-clerk", follow_redirects=False).headers["set-cookie"]
    safe = https.get("/signin/link-clerk", follow_redirects=False).headers["set-cookie"]

    assert given.startswith("forewatt-session=") and "HttpOnly" in given and "SameSite=lax" in given
    assert safe.startswith("__Host-forewatt=") and "Secure" in safe and "Path=/" in safe
    assert csrf_of("a") not in given


def test_static_files_may_be_kept_for_ever_because_their_address_changes(visit: Visit) -> None:
    page = visit().get("/signin").text
    address = re.findall(r'href="(/static/app\.css\?v=\w+)"', page)[0]

    assert "immutable" in visit().get(address).headers["cache-control"]
    assert visit().get("/static/app.css").headers["cache-control"] == "no-cache"


def test_files_outside_the_static_folder_cannot_be_had(visit: Visit) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert visit().get(path).status_code == 404
