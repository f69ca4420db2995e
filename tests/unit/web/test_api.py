"""The API: the fields that scripts rely on, and refusals that say what to do."""

import json
from typing import Any

import pytest

from tests.unit.web.visitor import Visit, Visitor
from tests.unit.web.world import DAY, HOUR, MINUTE, NOW, World
from tests.waiting import wait_for
from web.charts import POINTS_MAX

ALERT_FIELDS = {
    "id", "fault", "asset_kind", "asset", "severity", "raised", "known", "cleared", "score",
    "devices", "ticket", "work", "horizon_h", "evidence",
}  # fmt: skip
TICKET_FIELDS = {"id", "number", "state", "work", "fault", "asset", "customers", "opened"}


def bearer(visit: Visit, login: str = "clerk") -> Visitor:
    visitor = visit()
    visitor.headers["authorization"] = f"Bearer bearer-{login}"
    return visitor


def call(**more: Any) -> dict[str, Any]:
    return {"channel": "phone", "external_id": "95598-1", "account": "330740005", **more}


def test_alerts_are_listed_with_the_public_fields(visit: Visit) -> None:
    items = visit("operator").get("/api/v1/alerts").json()["items"]

    assert len(items) == 3
    assert all(set(item) >= ALERT_FIELDS for item in items)
    assert {"rule", "numbers", "limit", "window"} <= set(items[0]["evidence"])
    assert items[0]["raised"].endswith("Z")
    assert sum(item["ticket"] for item in items) == 3


def test_tickets_are_listed_with_the_public_fields(visit: Visit) -> None:
    items = visit("operator").get("/api/v1/tickets").json()["items"]

    assert len(items) == 3
    assert all(set(item) >= TICKET_FIELDS for item in items)


def test_a_program_uses_a_bearer_token_instead_of_a_session(visit: Visit) -> None:
    assert bearer(visit).get("/api/v1/tickets").status_code == 200
    assert bearer(visit, "nobody").get("/api/v1/tickets").status_code == 401


def test_a_call_about_a_known_fault_is_answered_with_the_sentence(visit: Visit) -> None:
    answer = bearer(visit).post("/api/v1/contacts", json=call())

    body = answer.json()
    assert (answer.status_code, body["known"], body["created"]) == (201, True, False)
    assert body["incident"]["fault"] == "outage"
    assert body["ticket"]["asset"] == "T7"
    assert body["sentence"] and body["sentence_zh"]


def test_the_same_call_twice_is_one_contact(world: World, visit: Visit) -> None:
    caller = bearer(visit)
    first = caller.post("/api/v1/contacts", json=call())

    second = caller.post("/api/v1/contacts", json=call(text="again"))

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["repeated"] is True
    assert second.json()["contact"] == first.json()["contact"]
    with world.ledger.reading() as r:
        assert len(r.contacts()) == 1


def test_a_caller_is_known_by_the_telephone_number(world: World, visit: Visit) -> None:
    body = call(account=None, phone="+86 139 3000 0004")

    answer = bearer(visit).post("/api/v1/contacts", json=body).json()

    assert (answer["known"], answer["ticket"]["asset"]) == (True, "T7")
    with world.ledger.reading() as r:
        assert [c.account for c in r.contacts()] == ["330740005"]


def test_a_call_carries_its_own_time(world: World, visit: Visit) -> None:
    bearer(visit).post("/api/v1/contacts", json=call(time="2026-11-22T18:20:00+08:00"))

    with world.ledger.reading() as r:
        assert [c.time_us for c in r.contacts()] == [NOW - 4 * MINUTE]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"channel": "phone"}, 422, "external_id"),
        (call(channel="pigeon"), 422, "channel"),
        (call(account="no such"), 404, "no such"),
        (call(surprise=1), 422, "surprise"),
        (call(time="2026-11-22T18:20:00"), 422, "zone"),
        (call(text="x" * 3000), 422, "text"),
        ([], 422, ""),
    ],
)
def test_a_call_that_cannot_be_taken_says_why(
    body: Any, status: int, says: str, world: World, visit: Visit
) -> None:
    answer = bearer(visit).post("/api/v1/contacts", json=body)

    assert (answer.status_code, says in json.dumps(answer.json())) == (status, True)
    with world.ledger.reading() as r:
        assert r.contacts() == []


def test_a_ticket_is_acted_on_by_name_with_its_version(visit: Visit) -> None:
    clerk = bearer(visit)

    taken = clerk.post("/api/v1/tickets/1/take", headers={"if-match": '"1"'})
    noted = clerk.post("/api/v1/tickets/1/note", json={"version": 2, "text": "on the phone"})

    assert (taken.status_code, taken.json()["assignee"]) == (200, "李柜员")
    assert noted.json()["version"] == 3


def test_a_stale_version_gets_the_ticket_as_it_is_now(visit: Visit) -> None:
    clerk = bearer(visit)
    clerk.post("/api/v1/tickets/1/take", json={"version": 1})

    answer = clerk.post("/api/v1/tickets/1/note", json={"version": 1, "text": "late"})

    body = answer.json()
    assert (answer.status_code, body["error"]) == (409, "StaleTicket")
    assert body["ticket"]["version"] == 2


def test_a_forbidden_step_gets_the_possible_ones(visit: Visit) -> None:
    answer = bearer(visit, "operator").post("/api/v1/tickets/1/restore", json={"version": 1})

    body = answer.json()
    assert (answer.status_code, body["error"]) == (422, "ForbiddenTransition")
    assert "take" in body["allowed"]


def test_closing_without_a_verdict_gets_the_choices(visit: Visit) -> None:
    answer = bearer(visit).post("/api/v1/tickets/1/close", json={"version": 1})

    assert answer.status_code == 422
    assert "confirmed_fault" in answer.json()["choices"]


def test_an_alert_is_acknowledged_with_a_note(world: World, visit: Visit) -> None:
    operator = bearer(visit, "operator")
    alert = operator.get("/api/v1/alerts").json()["items"][0]["id"]

    answer = operator.post(f"/api/v1/alerts/{alert}/ack", json={"note": "seen"})

    assert (answer.json()["handling"], answer.json()["ack_note"]) == ("acked", "seen")


@pytest.mark.parametrize("path", ["/api/v1/alerts/none", "/api/v1/tickets/999", "/api/v1/nothing"])
def test_what_is_not_there_is_said_in_json(path: str, visit: Visit) -> None:
    answer = visit("operator").get(path)

    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "detail"}


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"x"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(content: bytes, visit: Visit) -> None:
    answer = bearer(visit).post(
        "/api/v1/tickets/1/take", content=content, headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.json()["error"]) == (422, "bad_json")


def test_a_series_never_has_more_than_two_thousand_points(visit: Visit) -> None:
    body = (
        visit("engineer")
        .get(
            "/api/v1/series",
            params={
                "device": "M-T1-001",
                "quantities": "v_a,p,nonsense",
                "from": NOW - 400 * DAY,
                "to": NOW,
                "max_points": 10**9,
            },
        )
        .json()
    )

    assert 0 < len(body["time_us"]) <= POINTS_MAX
    assert set(body["values"]) == {"v_a", "p"}
    assert all(len(v["mean"]) == len(body["time_us"]) for v in body["values"].values())


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"device": "none"}, 404),
        ({"device": "M-T1-001", "from": NOW, "to": NOW - HOUR}, 422),
        ({"device": "M-T1-001", "quantities": "nonsense"}, 422),
    ],
)
def test_a_series_that_cannot_be_had_is_refused(
    query: dict[str, Any], status: int, visit: Visit
) -> None:
    assert visit("engineer").get("/api/v1/series", params=query).status_code == status


def test_readings_that_are_missing_are_null_not_nan(visit: Visit) -> None:
    text = (
        visit("engineer")
        .get("/api/v1/series", params={"device": "M-T7-001", "quantities": "v_a", "span": "6h"})
        .text
    )

    assert "NaN" not in text and "null" in text


def test_the_chart_of_an_alert_is_ready_to_draw(visit: Visit) -> None:
    operator = visit("operator")
    alert = operator.get("/api/v1/alerts").json()["items"][-1]["id"]

    body = operator.get(f"/api/v1/alerts/{alert}/chart?span=24h").json()

    assert body["panels"] and body["raised"] and body["to"] > body["from"]


def test_readiness_follows_the_database_and_the_stream(world: World, visit: Visit) -> None:
    visitor = visit()
    before = visitor.get("/readyz")
    with visitor:
        wait_for(lambda: visitor.get("/readyz").status_code == 200, 10)
        world.readings.is_well = False
        after = visitor.get("/readyz")

    assert (before.status_code, before.json()["checks"]["stream"]) == (503, False)
    assert (after.status_code, after.json()["checks"]["database"]) == (503, False)


def test_health_and_figures_need_no_sign_in(visit: Visit) -> None:
    visitor = visit()

    assert visitor.get("/healthz").text == "ok\n"
    assert "forewatt_web_streams 0" in visitor.get("/metrics").text
