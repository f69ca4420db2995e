"""A crew works by a signed link: no account, every report once, late ones welcome."""

import re
from typing import Any

import pytest

from alerts.roles import Actor
from alerts.states import CAUSES
from tests.unit.web.test_pages import text_of
from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import NOW, World
from web.app import create_app
from web.crew import link_token
from web.jpeg import NoJpeg, without_metadata
from web.links import read, sign

CHIEF = Actor("赵调度", "dispatcher")
OUTAGE = 3  # the ticket of T7's outage
EXIF = b"\xff\xe1\x00\x0aExif\0\0GPS"[:12]
JPEG = b"\xff\xd8" + EXIF + b"\xff\xdb\x00\x04\x00\x01" + b"\xff\xda\x00\x02picture\xff\xd9"


class Phone(Visitor):
    """A phone that has nothing but the link."""

    link = ""

    def report(self, action: str, **fields: str) -> Any:
        headers = {"origin": HOST, "accept": "application/json"}
        return self.post(f"{self.link}/{action}", data=fields, headers=headers)


def sent_out(world: World, crew: str = "王师傅", ticket_id: int = OUTAGE) -> None:
    """A ticket, the outage's if no other is named, dispatched and assigned."""
    desk = create_app(world.settings).state.site.tickets
    for action, details in (
        ("take", {}),
        ("dispatch", {"team": "crew-1"}),
        ("assign", {"crew": crew}),
    ):
        with world.ledger.reading() as r:
            ticket = r.ticket(ticket_id)
        assert ticket is not None
        desk.perform(action, ticket_id, CHIEF, ticket.version, **details)


@pytest.fixture
def phone(world: World, visit: Visit) -> Phone:
    """The phone of the crew that the ticket was given to, with the link the desk has made."""
    sent_out(world)
    page = visit("dispatcher").change(f"/tickets/{OUTAGE}/crew-link").text
    found = re.search(r'value="http://testserver(/crew/[^"]+)"', page)
    assert found is not None
    made = Phone(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})
    made.link = found[1]
    return made


@pytest.mark.parametrize(
    ("language", "there"), [("en", "Also at this place:"), ("zh-CN", "同处另有工单：")]
)
def test_a_crew_sees_what_else_is_known_at_its_place(
    language: str, there: str, world: World, visit: Visit
) -> None:
    form = {"account": "330720001", "external_id": "y", "symptom": "no_light", "since": "8"}
    said = visit("clerk").change("/desk/contacts", **form)
    found = re.search(r'linked to what was known:.*?/tickets/(\d+)">(\S+)', said.text, re.S)
    assert found is not None
    with world.ledger.reading() as r:
        known = r.ticket(int(found[1]))
        (own,) = [t for t in r.tickets() if t.asset.endswith("-001") and t.severity == "P1"]
    assert known is not None
    sent_out(world, ticket_id=own.id)
    page = visit("dispatcher").change(f"/tickets/{own.id}/crew-link").text
    link = re.search(r'value="http://testserver(/crew/[^"]+)"', page)
    assert link is not None

    crew = visit("", language).get(link[1]).text

    assert there in text_of(crew) and known.number in crew
    assert f'href="/tickets/{known.id}"' not in crew  # a link opens its own ticket alone


def ticket(world: World) -> Any:
    with world.ledger.reading() as r:
        return r.ticket(OUTAGE)


def notes(world: World) -> list[str]:
    with world.ledger.reading() as r:
        return [s.reason for s in r.steps(OUTAGE) if s.actor == "王师傅"]


def test_the_link_shows_what_where_why_and_safety_without_sign_in(phone: Phone) -> None:
    page = phone.get(phone.link).text

    for part in ("Power outage", "transformer T7", "41 of 48 meters", "Safety first"):
        assert part.lower() in page.lower()
    assert "forewatt-session" not in phone.cookies


def test_a_crew_accepts_arrives_and_reports_the_work_done(phone: Phone, world: World) -> None:
    for action, fields in (
        ("accept", {}),
        ("arrive", {"minutes": "60"}),
        ("restore", {"cause_code": "fuse_or_breaker", "note": "fuse renewed"}),
    ):
        assert phone.report(action, key=action, **fields).json() == {"done": True, "detail": ""}

    made = ticket(world)
    assert ("restored", NOW + 3_600_000_000) == (made.state, made.estimated_restoration_us)
    assert "fuse renewed" in notes(world)[-1] and CAUSES["fuse_or_breaker"].name in notes(world)[-1]


def test_a_report_sent_twice_is_one(phone: Phone, world: World) -> None:
    for _ in range(2):
        phone.report("note", key="k1", note="the gate is locked")
    for _ in range(2):
        phone.report("arrive", key="k2")

    assert ["the gate is locked", ""] == notes(world)


def test_a_report_that_was_kept_on_the_phone_says_how_late_it_is(
    phone: Phone, world: World
) -> None:
    phone.report("restore", key="k", note="done", waited_s="1500", cause_code="")
    phone.report("arrive", key="l", waited_s="1600", minutes="60")

    assert ticket(world).state == "restored"
    assert any("sent 25 min later" in note for note in notes(world))


@pytest.mark.parametrize("waited", ["nan", "-5", "1e400", "soon"])
def test_a_wrong_clock_of_the_phone_spoils_nothing(waited: str, phone: Phone, world: World) -> None:
    assert phone.report("arrive", key="k", waited_s=waited, minutes="60").status_code == 200
    assert ticket(world).state == "on_site"


def test_a_link_ends_when_the_work_is_given_to_others(phone: Phone, world: World) -> None:
    sent = ticket(world)
    create_app(world.settings).state.site.tickets.assign(OUTAGE, CHIEF, sent.version, "李师傅")

    answer = phone.report("accept", key="k")

    assert (409, "assigned") == (answer.status_code, ticket(world).state)
    assert "no longer with you" in phone.get(phone.link).text


def test_a_link_that_was_not_made_here_opens_nothing(world: World, visit: Visit) -> None:
    sent_out(world)
    body = link_token(b"another secret", ticket(world), "王师傅", 4e9)

    for token in (body, "none", "a.b", "é.ü", "x" * 5_000):
        assert visit().get(f"/crew/{token}").status_code == 404


def test_a_link_ends_by_itself() -> None:
    token = sign(b"s", "crew", {"ticket": 1}, 1_000)

    assert read(b"s", "crew", token, now=lambda: 1_001.0) is None
    assert read(b"s", "other", token, now=lambda: 1.0) is None


def test_only_staff_who_may_act_makes_links_and_it_is_audited(world: World, visit: Visit) -> None:
    sent_out(world)

    assert visit("read_only").change(f"/tickets/{OUTAGE}/crew-link").status_code == 403
    visit("operator").change(f"/tickets/{OUTAGE}/crew-link")
    assert ("operator", "crew_link", ticket(world).number) in world.people.audited


def test_a_photo_is_kept_once_and_without_the_position_in_it(phone: Phone, world: World) -> None:
    headers = {"origin": HOST, "accept": "application/json", "content-type": "image/jpeg"}
    for _ in range(2):
        answer = phone.post(f"{phone.link}/photo", content=JPEG, headers=headers)
        assert answer.status_code == 200

    (photo,) = world.photos.list(OUTAGE)
    image = world.photos.image(OUTAGE, photo.digest)
    assert image is not None and b"Exif" not in image and b"picture" in image
    shown = phone.get(f"{phone.link}/photos/{photo.digest}")
    assert ("image/jpeg", image) == (shown.headers["content-type"], shown.content)


def test_a_photo_comes_in_by_a_plain_form_as_well(phone: Phone, world: World) -> None:
    answer = phone.post(
        f"{phone.link}/photo",
        files={"photo": ("p.jpg", JPEG, "image/jpeg")},
        headers={"origin": HOST},
    )

    assert answer.status_code == 200
    assert len(world.photos.list(OUTAGE)) == 1


@pytest.mark.parametrize(
    "image",
    [b"", b"<script>", JPEG[:-2], JPEG[:9], b"\xff\xd8\xff\xe1\x00\x01\xff\xd9", b"\x89PNG\r\n"],
)
def test_what_is_no_photo_is_refused_with_a_sentence(image: bytes, phone: Phone) -> None:
    headers = {"origin": HOST, "accept": "application/json", "content-type": "image/jpeg"}

    answer = phone.post(f"{phone.link}/photo", content=image, headers=headers)

    assert (422, True) == (answer.status_code, "JPEG" in answer.json()["detail"])
    with pytest.raises(NoJpeg):
        without_metadata(image)


def test_a_photo_too_many_is_refused(phone: Phone, world: World) -> None:
    headers = {"origin": HOST, "accept": "application/json", "content-type": "image/jpeg"}
    answers = [
        phone.post(
            f"{phone.link}/photo", content=JPEG.replace(b"picture", b"%07d" % n), headers=headers
        ).status_code
        for n in range(21)
    ]

    assert [200] * 20 + [409] == answers


def test_a_customer_or_stranger_cannot_report_from_another_site(phone: Phone) -> None:
    answer = phone.post(f"{phone.link}/accept", data={}, headers={"origin": "https://evil.example"})

    assert answer.status_code == 403


def test_a_crew_with_an_account_sees_its_own_teams_work_only(world: World, visit: Visit) -> None:
    sent_out(world)
    visitor = visit("crew")

    page = visitor.get("/crew").text

    assert ticket(world).number in page
    found = re.search(r'href="(/crew/[^"]+)"', page)
    assert found is not None
    assert "Safety first" in visitor.get(found[1]).text
