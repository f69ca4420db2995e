"""A session that ends in mid-form loses nothing that was typed."""

import html
import re
from typing import Any

import pytest

from tests.unit.web.visitor import HOST, Visit, Visitor
from tests.unit.web.world import World
from web.app import create_app
from web.pages.signin import HASHER

TYPED = {"text": '客户说"冒烟"<b>', "version": "1", "_csrf": "of the ended session"}


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the page's form, as a browser would send them."""
    forms = r'<form class="form".*?</form>|<form method="post" action="/tick.*?</form>'
    form = re.search(forms, page, re.S)
    assert form is not None
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form[0])
    return {k: html.unescape(v) for k, v in found}


def ended(world: World) -> tuple[Visitor, Any]:
    """A visitor whose session has ended, and what they get for the form they send."""
    clerk = world.people.find("clerk")
    assert clerk is not None
    clerk.password_hash = HASHER.hash("a long enough password")
    visitor = Visitor(create_app(world.settings), base_url=HOST, headers={"accept-language": "en"})
    return visitor, visitor.post("/tickets/3/note", data=TYPED, headers={"origin": HOST})


def test_what_was_typed_is_sent_after_signing_in_again(world: World) -> None:
    visitor, page = ended(world)
    assert 401 == page.status_code
    sign_in = {"login": "clerk", "password": "a long enough password", **hidden(page.text)}

    again = visitor.post("/signin", data=sign_in, headers={"origin": HOST})
    answer = visitor.post("/tickets/3/note", data=hidden(again.text), headers={"origin": HOST})

    assert 200 == answer.status_code
    with world.ledger.reading() as r:
        assert TYPED["text"] == r.steps(3)[-1].reason


def test_a_wrong_password_in_between_loses_nothing_either(world: World) -> None:
    visitor, page = ended(world)
    sign_in = {"login": "clerk", "password": "wrong", **hidden(page.text)}

    again = visitor.post("/signin", data=sign_in, headers={"origin": HOST})

    assert 401 == again.status_code
    assert hidden(page.text) == hidden(again.text)


def test_passwords_and_form_tokens_are_not_carried(visit: Visit) -> None:
    data = {"password": "a secret word", "again": "a secret word", "current": "x", "note": "y"}

    page = visit().post("/password", data=data, headers={"origin": HOST}).text

    assert "a secret word" not in page
    assert {"next": "", "resume": "/password", "kept:note": "y"} == hidden(page)


@pytest.mark.parametrize("origin", ["https://evil.example", ""])
def test_another_site_cannot_plant_a_form(origin: str, visit: Visit) -> None:
    answer = visit().post("/tickets/3/close", data=TYPED, headers={"origin": origin})

    assert (403, False) == (answer.status_code, "kept:" in answer.text)


def test_a_planted_address_leads_nowhere_else(world: World) -> None:
    visitor, _ = ended(world)
    planted = {
        "login": "clerk", "password": "a long enough password",
        "resume": "https://evil.example/x", "kept:text": "x",
    }  # fmt: skip

    page = visitor.post("/signin", data=planted, headers={"origin": HOST})

    assert "evil.example" not in page.text


def test_a_program_gets_its_401_as_before(visit: Visit) -> None:
    headers = {"origin": HOST, "accept": "application/json"}

    answer = visit().post("/tickets/3/note", data=TYPED, headers=headers)

    assert (401, "sign_in") == (answer.status_code, answer.json()["error"])


def test_a_form_too_large_to_carry_is_refused_without_it(visit: Visit) -> None:
    answer = visit().post("/tickets/3/note", data={"text": "x" * 100_000}, headers={"origin": HOST})

    assert (413, False) == (answer.status_code, "kept:" in answer.text)
