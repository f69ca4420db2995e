"""The administrator's pages: people, detectors, sources, silences, configuration, the audit."""

import re

import pytest

from alerts.roles import Actor
from grid.errors import BadInput
from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import HOUR, World
from web.app import create_app

CHIEF = Actor("赵调度", "dispatcher")


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


# -- people ------------------------------------------------------------------------------------


def test_a_new_person_gets_a_link_that_lets_them_in_once(world: World, visit: Visit) -> None:
    page = visit("admin").change("/admin/people", login="li", name="李新", role="clerk").text

    found = re.search(r'value="http://testserver(/signin/[^"]+)"', page)
    assert found is not None
    once = Visitor(create_app(world.settings), base_url=HOST)
    assert once.get(found[1]).url.path == "/desk"
    assert 401 == Visitor(create_app(world.settings), base_url=HOST).get(found[1]).status_code
    assert ("admin", "person_added", "li") in world.people.audited


@pytest.mark.parametrize(
    "fields",
    [
        {"login": "clerk", "role": "clerk"},
        {"login": "x", "role": "customer"},
        {"login": "x", "role": "system"},
        {"login": "x", "role": "crew"},
        {"login": "", "role": "clerk"},
    ],
)
def test_a_person_that_cannot_be_is_refused_and_what_was_typed_stays(
    fields: dict[str, str], world: World, visit: Visit
) -> None:
    before = len(world.people.people)

    answer = visit("admin").change("/admin/people", name="何人", **fields)

    assert (422, before) == (answer.status_code, len(world.people.people))
    assert 'value="何人"' in answer.text


def test_who_is_disabled_is_out_at_once_and_comes_back_when_enabled(
    world: World, visit: Visit
) -> None:
    clerk, admin = visit("clerk"), visit("admin")

    admin.change("/admin/people/clerk/disable")
    out = clerk.get("/desk", follow_redirects=False).status_code
    admin.change("/admin/people/clerk/enable")

    assert 303 == out
    assert 200 == visit("clerk").get("/desk").status_code


def test_nobody_locks_themselves_out(world: World, visit: Visit) -> None:
    admin = visit("admin")

    for what, fields in (("disable", {}), ("role", {"role": "clerk"})):
        assert 409 == admin.change(f"/admin/people/admin/{what}", **fields).status_code
    assert 200 == admin.get("/admin").status_code


def test_a_role_is_given_and_customers_and_crews_keep_theirs(world: World, visit: Visit) -> None:
    admin = visit("admin")

    admin.change("/admin/people/clerk/role", role="dispatcher")
    wrong = [
        admin.change(f"/admin/people/{login}/role", role=role).status_code
        for login, role in (("c-1", "admin"), ("crew", "admin"), ("operator", "customer"))
    ]

    clerk = world.people.find("clerk")
    assert clerk is not None and "dispatcher" == clerk.role
    assert [422, 422, 422] == wrong
    assert 404 == admin.change("/admin/people/nobody/disable").status_code


# -- detectors ---------------------------------------------------------------------------------


def test_the_preview_counts_what_would_be_missed(world: World, visit: Visit) -> None:
    desk = create_app(world.settings).state.site.tickets
    desk.take(3, CHIEF, 1)
    desk.close(3, CHIEF, 2, "confirmed_fault", "fuse_or_breaker")

    page = visit("engineer").get("/admin/detectors?days=7&off=outage").text

    text = text_of(page)
    assert "1 confirmed fault would not have been found." in text
    assert "0.43 tickets a day as it is, 0.29 without" in text
    assert "disabled = [&#34;outage&#34;, &#34;thermal&#34;]" in page


def test_looking_at_the_preview_changes_nothing(world: World, visit: Visit) -> None:
    before = world.ledger_tickets()

    visit("admin").get("/admin/detectors?off=outage&off=neutral&days=x")

    assert before == world.ledger_tickets()


# -- silences ----------------------------------------------------------------------------------


def test_a_silence_has_owner_reason_and_end_and_can_be_ended(world: World, visit: Visit) -> None:
    operator = visit("operator")

    page = operator.change(
        "/silences",
        kind="silence",
        asset_kind="transformer",
        asset="T7",
        end="2026-11-22T20:00",
        reason="switching work",
    ).text
    shown = text_of(page)
    ended = text_of(operator.change("/silences/1/end").text)

    assert "王值班 switching work" in shown and "20:00" in shown
    assert "Nothing is silenced, and no work is planned." in ended


@pytest.mark.parametrize(
    "fields",
    [
        {"asset": "T99"},
        {"end": "2026-11-22T10:00"},
        {"end": ""},
        {"end": "2027-11-22T10:00"},
        {"reason": ""},
        {"asset_kind": "town"},
        {"fault": "rust"},
    ],
)
def test_a_silence_that_cannot_be_says_why_and_keeps_what_was_typed(
    fields: dict[str, str], visit: Visit
) -> None:
    given = {
        "kind": "silence",
        "asset_kind": "transformer",
        "asset": "T7",
        "end": "2026-11-22T20:00",
        "reason": "switching work",
    } | fields

    answer = visit("operator").change("/silences", **given)

    assert 422 == answer.status_code
    assert f'name="asset" required maxlength="100" value="{given["asset"]}"' in answer.text


def test_a_silence_that_is_not_there_is_a_sentence(visit: Visit) -> None:
    answer = visit("operator").change("/silences/77/end")

    assert (404, True) == (answer.status_code, "There is no silence 77" in text_of(answer.text))


# -- sources, configuration, audit -----------------------------------------------------------------


def test_sources_show_each_area_with_its_silent_devices(visit: Visit) -> None:
    text = text_of(visit("engineer").get("/admin/sources").text)

    assert "Transformer T7 大学路7号配变 49 1" in text
    assert "journal entry 90,210" in text and "time cannot be read" in text


def test_the_configuration_is_shown_as_loaded_without_secrets(visit: Visit) -> None:
    text = text_of(visit("admin").get("/admin/configuration").text)

    assert "postgresql://fw:***@db/forewatt" in text
    assert 403 == visit("engineer").get("/admin/configuration").status_code


def test_the_audit_says_who_did_what_newest_first_and_pages_on(world: World, visit: Visit) -> None:
    for n in range(150):
        world.people.audit("clerk", "view_customer", f"account-{n}")
    admin = visit("admin")

    first = admin.get("/admin/audit").text
    older = re.search(r'href="(/admin/audit\?before=\d+)"', first)

    assert older is not None and "account-149" in first and "account-10<" not in first
    assert "account-10<" in admin.get(older[1]).text


def test_the_clock_of_the_silences_is_the_sites(world: World, visit: Visit) -> None:
    world.clock.us += HOUR

    answer = visit("operator").change(
        "/silences", kind="silence", asset_kind="feeder", asset="F12",
        end="2026-11-22T19:00", reason="x",
    )  # fmt: skip

    assert 422 == answer.status_code  # it is 19:24 there now


def test_bad_input_stands_in_a_frame_with_the_labels_of_the_reader(
    world: World, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[object]:
        raise BadInput(
            "the password is too short",
            file="people.csv",
            line=7,
            column="password",
            fix="give it at least 12 letters",
        )

    admin = visit("admin", "zh-CN")
    monkeypatch.setattr(world.people, "list", broken)

    page = admin.get("/admin")
    as_json = admin.get("/admin", headers={"accept": "application/json"}).json()

    text = text_of(page.text)
    assert 422 == page.status_code
    assert "文件 people.csv 行 7 列 password 处理方法 give it at least 12 letters" in text
    assert ("people.csv", 7) == (as_json["file"], as_json["line"])


def test_a_login_that_is_taken_is_said_in_the_frame_and_what_was_typed_stays(visit: Visit) -> None:
    answer = visit("admin", "zh-CN").change(
        "/admin/people", login="clerk", name="新人", role="clerk"
    )

    assert (422, True) == (answer.status_code, "处理方法" in answer.text)
    assert 'value="新人"' in answer.text
