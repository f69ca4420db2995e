"""The desk through the API: done once by key, refused with what is possible, described."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.notices import draft_notices
from desk.read_now import Answered
from tests.unit.web.test_api import bearer, call
from tests.unit.web.visitor import Visit
from tests.unit.web.world import DAY, HOUR, METER, MINUTE, NOW, World, raised
from web.policy import POLICY


def when(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


def test_a_change_sent_again_under_its_key_is_answered_again_not_made_again(visit: Visit) -> None:
    clerk = bearer(visit)
    headers = {"idempotency-key": "k-1", "if-match": '"1"'}

    first = clerk.post("/api/v1/tickets/1/take", headers=headers)
    again = clerk.post("/api/v1/tickets/1/take", headers=headers)

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert clerk.get("/api/v1/tickets/1").json()["version"] == 2


def test_a_refusal_is_answered_again_too(visit: Visit) -> None:
    clerk = bearer(visit)
    send: dict[str, Any] = {"json": {"version": 1}, "headers": {"idempotency-key": "k-2"}}

    answers = [clerk.post("/api/v1/tickets/1/close", **send) for _ in range(2)]

    assert [a.status_code for a in answers] == [422, 422]
    assert answers[0].json() == answers[1].json()


def test_a_key_is_for_one_request(visit: Visit) -> None:
    clerk = bearer(visit)
    headers = {"idempotency-key": "k-3"}
    clerk.post("/api/v1/contacts", json=call(), headers=headers)

    other = clerk.post("/api/v1/contacts", json=call(external_id="x"), headers=headers)
    wild = clerk.post("/api/v1/contacts", json=call(), headers={"idempotency-key": "k" * 300})

    assert (other.status_code, other.json()["error"]) == (422, "key_reused")
    assert (wild.status_code, wild.json()["error"]) == (422, "bad_key")


def test_a_key_belongs_to_who_sent_it(visit: Visit) -> None:
    headers = {"idempotency-key": "k-4"}
    bearer(visit).post("/api/v1/tickets/1/take", json={"version": 1}, headers=headers)

    answer = bearer(visit, "operator").post(
        "/api/v1/tickets/1/take", json={"version": 1}, headers=headers
    )

    assert answer.status_code == 409


def test_the_api_describes_itself_whole(visit: Visit) -> None:
    made = bearer(visit).get("/api/v1/openapi.json").json()

    described = {(method.upper(), path) for path, one in made["paths"].items() for method in one}
    assert described == {key for key in POLICY if key[1].startswith("/api/v1/")}
    take = made["paths"]["/api/v1/tickets/{ticket_id}/{action}"]["post"]
    assert {"200", "403", "404", "409", "422"} <= set(take["responses"])
    names = {p["name"].lower() for p in take["parameters"]}
    assert {"ticket_id", "action", "idempotency-key", "if-match"} <= names
    assert take["requestBody"]["content"]["application/json"]["schema"]["properties"]["verdict"]


def test_an_alert_explains_itself_in_both_languages(visit: Visit) -> None:
    alert = bearer(visit).get("/api/v1/alerts").json()["items"][-1]["id"]

    english = bearer(visit).get(f"/api/v1/alerts/{alert}/explain").json()
    chinese = (
        bearer(visit)
        .get(f"/api/v1/alerts/{alert}/explain", headers={"accept-language": "zh-CN"})
        .json()
    )

    assert "neutral" in english["rule"]
    assert "中性线" in chinese["rule"]
    assert english["checklist"] == {"key": "neutral", "version": 1}


def test_pages_of_alerts_go_on_where_they_stopped(visit: Visit) -> None:
    clerk = bearer(visit)
    first = clerk.get("/api/v1/alerts?limit=2").json()
    rest = clerk.get("/api/v1/alerts", params={"limit": 2, "before": first["next"]}).json()

    ids = [a["id"] for a in (*first["items"], *rest["items"])]
    assert len(ids) == len(set(ids)) == 3


def test_an_alert_is_shelved_until_a_time_and_brought_back(world: World, visit: Visit) -> None:
    operator = bearer(visit, "operator")
    alert = operator.get("/api/v1/alerts").json()["items"][0]["id"]
    path = f"/api/v1/alerts/{alert}"

    made = operator.post(
        f"{path}/shelve", json={"until": when(NOW + HOUR), "reason": "crew on its way"}
    )
    naive = operator.post(f"{path}/shelve", json={"until": "2026-11-22T11:00:00", "reason": "x"})
    back = operator.post(f"{path}/unshelve")

    assert (made.status_code, made.json()["handling"]) == (200, "shelved")
    assert (naive.status_code, naive.json()["error"]) == (422, "no_zone")
    assert back.json()["handling"] == "new"


def test_an_incident_shows_where_it_may_be_and_is_placed_by_a_person(visit: Visit) -> None:
    operator = bearer(visit, "operator")
    found = operator.get("/api/v1/incidents").json()["items"]
    outage = next(i for i in found if i["fault"] == "outage")
    path = f"/api/v1/incidents/{outage['id']}"

    candidates = operator.get(f"{path}/candidates").json()["items"]
    made = operator.post(
        f"{path}/place",
        json={"asset_kind": "branch", "asset": "T7-B1", "reason": "熔断器"},
        headers={"if-match": f'"{outage["version"]}"'},
    )
    stale = operator.post(
        f"{path}/place",
        json={"asset_kind": "branch", "asset": "T7-B2", "reason": "x"},
        headers={"if-match": f'"{outage["version"]}"'},
    )

    assert candidates[0]["asset"] == "T7"
    assert (made.json()["asset"], made.json()["located_by"]) == ("T7-B1", "王值班")
    assert stale.status_code == 409
    assert operator.get(path).json()["moves"][0]["to"] == "T7-B1"
    assert operator.get(f"{path}/evidence").json()["signs"]["gasp"] == 48


class HeadEnd:
    def read(self, devices: Sequence[str], request_id: str) -> Sequence[Answered]:
        return [Answered(devices[0], True, volts=230.0)]


def test_meters_are_read_now_only_where_a_head_end_is_configured(visit: Visit) -> None:
    send = {"devices": ["M-T7-001", "M-T7-002"]}
    without = bearer(visit, "operator").post("/api/v1/incidents/3/read-now", json=send)
    assert (without.status_code, without.json()["error"]) == (404, "no_head_end")


@pytest.mark.parametrize("world", [{"head_end": HeadEnd()}], indirect=True)
def test_a_meter_that_was_asked_is_not_asked_again_at_once(world: World, visit: Visit) -> None:
    operator = bearer(visit, "operator")
    send = {"devices": ["M-T7-001", "M-T7-002"]}

    made = operator.post("/api/v1/incidents/3/read-now", json=send)
    again = operator.post("/api/v1/incidents/3/read-now", json=send)

    assert [x["answered"] for x in made.json()["items"]] == [True, False]
    assert again.status_code == 429
    assert ("operator", "read_now", "incident:3") in world.people.audited


def test_search_masks_and_the_answer_is_audited(world: World, visit: Visit) -> None:
    clerk = bearer(visit)

    (hit,) = clerk.get("/api/v1/search", params={"q": "330740005"}).json()["items"]
    answer = clerk.get("/api/v1/customers/330740005/answer").json()

    assert "*" in hit["name"]
    assert "****" in hit["phone"]
    assert answer["script"] == "known"
    assert ("clerk", "view_customer", "330740005") in world.people.audited
    assert clerk.get("/api/v1/customers/77/answer").status_code == 404
    assert bearer(visit, "operator").get("/api/v1/search?q=3").status_code == 403


def test_a_customers_story_is_one_list_for_the_counter_only(world: World, visit: Visit) -> None:
    clerk = bearer(visit)
    clerk.post(
        "/api/v1/contacts",
        json={"channel": "phone", "external_id": "s1", "account": "330740005", "text": "没电了"},
    )

    story = clerk.get("/api/v1/customers/330740005/timeline").json()["items"]
    page = visit("clerk").get("/desk", params={"account": "330740005"}).text

    assert {"contact", "ticket", "outage"} <= {e["kind"] for e in story}
    assert [e["at"] for e in story] == sorted((e["at"] for e in story), reverse=True)
    assert [e["said"] for e in story if e["kind"] == "contact"][:1] == ["没电了"]
    assert "The customer&#39;s story" in page and "没电了" in page
    assert ("clerk", "view_customer", "330740005") in world.people.audited
    assert bearer(visit, "engineer").get("/api/v1/customers/1/timeline").status_code == 403


def test_a_silence_has_an_end_and_can_be_ended(visit: Visit) -> None:
    operator = bearer(visit, "operator")
    body = {"asset_kind": "transformer", "asset": "T7", "reason": "检修", "end": when(NOW + HOUR)}

    made = operator.post("/api/v1/silences", json=body)
    listed = operator.get("/api/v1/silences").json()["items"]
    ended = operator.post(f"/api/v1/silences/{made.json()['id']}/end")
    endless = operator.post("/api/v1/silences", json={**body, "end": when(NOW + 90 * DAY)})

    assert (made.status_code, made.json()["owner"]) == (201, "王值班")
    assert [s["id"] for s in listed] == [made.json()["id"]]
    assert ended.status_code == 200
    assert operator.get("/api/v1/silences").json()["items"] == []
    assert endless.status_code == 422


def test_one_estimate_for_an_area_in_a_storm(visit: Visit) -> None:
    operator = bearer(visit, "operator")
    operator.post("/api/v1/storm", json={"reason": "台风", "until": when(NOW + 5 * HOUR)})

    made = operator.post(
        "/api/v1/storm/estimate",
        json={
            "asset_kind": "feeder",
            "asset": "F12",
            "earliest": when(NOW + 2 * HOUR),
            "latest": when(NOW + 3 * HOUR),
        },
    )

    assert operator.get("/api/v1/storm").json()["declared"] is True
    assert [t["asset"] for t in made.json()["items"]] == ["T7"]
    assert (
        made.json()["items"][0]["estimated_latest"]
        > made.json()["items"][0]["estimated_restoration"]
    )
    operator.post("/api/v1/storm/end")
    assert operator.get("/api/v1/storm").json()["declared"] is False


def test_a_timeline_keeps_the_callers_words_from_who_may_not_read_them(visit: Visit) -> None:
    bearer(visit).post("/api/v1/contacts", json=call(text="我家停电，门牌18号"))
    ticket = next(
        t for t in bearer(visit).get("/api/v1/tickets").json()["items"] if t["asset"] == "T7"
    )
    path = f"/api/v1/tickets/{ticket['id']}/timeline"

    clerk = bearer(visit).get(path).json()["items"]
    operator = bearer(visit, "operator").get(path).json()["items"]

    assert any("门牌" in s["reason"] for s in clerk)
    assert not any("门牌" in s["reason"] for s in operator)


@pytest.mark.parametrize(
    "name",
    ["sla", "bottlenecks", "hand-overs", "repeated", "detectors", "frequent", "stuck", "queues"],
)
def test_every_report_is_a_list(name: str, visit: Visit) -> None:
    answer = bearer(visit, "supervisor").get(f"/api/v1/reports/{name}")

    assert answer.status_code == 200
    assert isinstance(answer.json()["items"], list)


def test_reports_come_as_csv_and_know_their_span(visit: Visit) -> None:
    chief = bearer(visit, "supervisor")
    table = chief.get("/api/v1/reports/bottlenecks?format=csv")
    wrong = chief.get("/api/v1/reports/sla", params={"from": when(NOW), "to": when(NOW - DAY)})

    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.startswith("team,state,count")
    assert wrong.status_code == 422
    assert chief.get("/api/v1/reports/nothing").status_code == 404
    assert bearer(visit).get("/api/v1/reports/sla").status_code == 403


def test_reliability_counts_the_outage_that_lasts(visit: Visit) -> None:
    made = bearer(visit, "supervisor").get("/api/v1/reports/reliability").json()

    assert made["all"]["customers"] == 192
    assert made["all"]["saifi"] == pytest.approx(48 / 192)
    assert made["all"]["saidi_min"] == pytest.approx(11 * 48 / 192)
    assert made["planned"]["saifi"] == 0


def test_the_summary_tells_satisfaction_and_calls_avoided(visit: Visit) -> None:
    made = bearer(visit, "supervisor").get("/api/v1/reports/summary").json()

    assert made["tickets"] == 3
    assert made["satisfaction"]["count"] == 0
    assert made["avoided"]["before_first_call"] == 0


def test_customers_learn_their_own_state_with_account_and_phone(visit: Visit) -> None:
    nobody = visit()
    right = nobody.post("/api/v1/public/status", json={"account": "330740005", "phone": "0004"})
    wrong = nobody.post("/api/v1/public/status", json={"account": "330740005", "phone": "1111"})
    unknown = nobody.post("/api/v1/public/status", json={"account": "1", "phone": "0004"})

    assert right.json()["supply"] == "off"
    assert (wrong.status_code, unknown.status_code) == (404, 404)
    assert wrong.json() == unknown.json()


def test_the_public_status_is_asked_now_and_then_not_all_the_time(visit: Visit) -> None:
    nobody = visit()
    send = {"account": "330740005", "phone": "1111"}

    last = [nobody.post("/api/v1/public/status", json=send).status_code for _ in range(31)][-1]

    assert last == 429


def test_a_notice_is_read_approved_once_and_not_again(world: World, visit: Visit) -> None:
    (draft,) = draft_notices(world.ledger, world.network, NOW)
    operator = bearer(visit, "operator")
    path = f"/api/v1/notices/{draft.id}"

    shown = operator.get(path).json()
    sent = operator.post(f"{path}/approve", json={"text_zh": "已知悉，正在抢修。"})
    again = operator.post(f"{path}/approve", json={})

    assert shown["recipients"] == 48
    assert sent.json()["sent"] == 48
    assert again.status_code == 409
    assert operator.get("/api/v1/notices").json()["items"] == []
    assert operator.get("/api/v1/notices/99").status_code == 404


def test_the_incident_of_an_inspection_is_not_listed_for_a_clerk(
    world: World, visit: Visit
) -> None:
    world.happen(raised("energy_loss", "transformer", "T5", NOW - MINUTE, METER))

    def faults(login: str) -> set[str]:
        items = bearer(visit, login).get("/api/v1/incidents").json()["items"]
        return {i["fault"] for i in items}

    assert "energy_loss" in faults("operator")
    assert "energy_loss" not in faults("clerk")
