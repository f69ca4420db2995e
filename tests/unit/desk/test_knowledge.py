"""Checklists and articles: written by some, reviewed by others, every version kept."""

from __future__ import annotations

import pytest

from alerts.apply import apply_events
from alerts.errors import Conflict, MissingDetail, WrongRole
from alerts.memory import MemoryLedger
from alerts.roles import Actor
from alerts.tickets import TicketDesk
from desk.board import Board
from desk.cases import case, cases
from desk.checklist import ChecklistDesk
from desk.knowledge import KnowledgeDesk, UnknownArticle, Version
from desk.procedures import LANGUAGES, PARTS, procedure
from grid.records import Contact
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, raised, town

FANG, LI = Actor("王芳", "clerk"), Actor("李静", "clerk")
CHIEF = Actor("赵值班", "operator")


class Library:
    """Knowledge of a small town with one loosening neutral."""

    def __init__(self) -> None:
        self.ledger, self.clock = MemoryLedger(), StandingClock(START + HOUR)
        self.desk = KnowledgeDesk(self.ledger, self.clock)
        self.tickets = TicketDesk(self.ledger, town(), self.clock, checklist=self.desk.used_version)
        self.board = Board(self.ledger, town(), knowledge=self.desk)
        apply_events([raised("neutral_loose")], self.ledger, town())

    def article(self, key: str | None = None, body: str = "check the neutral bar") -> Version:
        return self.desk.propose_article(
            FANG,
            key=key,
            title="Flicker",
            title_zh="灯光闪烁",
            body=body,
            body_zh="先查零排",
            faults=["neutral_loose", "nonsense"],
        )

    def checklist(self, first_line: str) -> Version:
        now = {spoken: procedure("neutral_loose", spoken) for spoken in LANGUAGES}
        content = {
            spoken: {"title": p.title, **{name: list(getattr(p, name)) for name in PARTS}}
            for spoken, p in now.items()
        }
        content["en"]["crew"] = [first_line]
        return self.desk.propose_procedure(FANG, "neutral", content, "shorter")

    def act(self, action: str, **details: object) -> None:
        with self.ledger.reading() as r:
            ticket = r.ticket(1)
        assert ticket is not None
        self.tickets.perform(action, 1, CHIEF, ticket.version, **details)


@pytest.fixture
def library() -> Library:
    return Library()


def test_an_article_is_in_use_once_somebody_else_has_accepted_it(library: Library) -> None:
    made = library.article()
    assert library.desk.articles() == []
    assert library.desk.waiting() == [made]

    done = library.desk.review(LI, "article", made.key, 1, accept=True)

    assert (done.state, done.reviewer, done.faults) == ("published", "李静", ("neutral_loose",))
    assert library.desk.articles(fault="neutral_loose") == [done]
    assert library.desk.articles(text="零排") == [done]
    assert library.desk.articles(text="变压器") == []


def test_nobody_reviews_what_they_wrote(library: Library) -> None:
    made = library.article()

    with pytest.raises(Conflict):
        library.desk.review(FANG, "article", made.key, 1, accept=True)
    assert library.desk.waiting() == [made]


def test_a_better_version_replaces_the_one_in_use_and_both_stay(library: Library) -> None:
    first = library.article()
    library.desk.review(LI, "article", first.key, 1, accept=True)

    second = library.article(first.key, "check the star point first")
    library.desk.review(LI, "article", first.key, 2, accept=True)

    assert second.number == 2
    states = [(v.number, v.state) for v in library.desk.versions("article", first.key)]
    assert states == [(2, "published"), (1, "replaced")]


def test_an_edit_of_an_overtaken_version_is_not_accepted_over_the_newer_one(
    library: Library,
) -> None:
    first = library.article()
    library.desk.review(LI, "article", first.key, 1, accept=True)
    library.article(first.key, "one")
    library.article(first.key, "other")
    library.desk.review(LI, "article", first.key, 2, accept=True)

    with pytest.raises(Conflict):
        library.desk.review(LI, "article", first.key, 3, accept=True)


def test_a_refusal_says_why_and_a_decision_is_made_once(library: Library) -> None:
    made = library.article()
    with pytest.raises(MissingDetail):
        library.desk.review(LI, "article", made.key, 1, accept=False)

    library.desk.review(LI, "article", made.key, 1, accept=False, remark="too short")

    with pytest.raises(Conflict):
        library.desk.review(LI, "article", made.key, 1, accept=True)
    assert library.desk.articles(states=("refused",))[0].remark == "too short"


def test_what_is_wrong_is_taken_out_of_use(library: Library) -> None:
    made = library.article()
    library.desk.review(LI, "article", made.key, 1, accept=True)

    with pytest.raises(WrongRole):
        library.desk.withdraw(LI, "article", made.key, 1, "wrong")
    library.desk.withdraw(Actor("孙", "supervisor"), "article", made.key, 1, "wrong")

    assert library.desk.articles() == []


def test_an_article_is_written_in_both_languages_by_those_who_may(library: Library) -> None:
    with pytest.raises(MissingDetail):
        library.desk.propose_article(FANG, title="a", title_zh="", body="b", body_zh="丙")
    with pytest.raises(WrongRole):
        library.desk.propose_article(
            Actor("x", "customer"), title="a", title_zh="甲", body="b", body_zh="丙"
        )
    with pytest.raises(UnknownArticle):
        library.article(key="77")


def test_an_improved_checklist_is_shown_and_the_ticket_keeps_the_version_used(
    library: Library,
) -> None:
    library.act("take")
    before = library.desk.used_version("neutral_loose")
    library.checklist("measure first")
    library.desk.review(LI, "procedure", "neutral", before[1] + 1, accept=True)

    now = library.board.ticket(1, "operator", "en")
    assert now is not None
    assert (now.procedure.version, now.procedure.crew) == (before[1] + 1, ("measure first",))
    assert now.checklist_used == before

    library.act("close", verdict="confirmed_precursor", cause_code="loose_connection")
    library.checklist("measure twice")
    library.desk.review(LI, "procedure", "neutral", before[1] + 2, accept=True)

    done = library.board.ticket(1, "operator", "en")
    assert done is not None
    assert done.checklist_used == ("neutral", before[1] + 1)
    assert done.procedure.crew == ("measure first",)


def test_a_checklist_keeps_all_its_parts_in_both_languages(library: Library) -> None:
    with pytest.raises(MissingDetail):
        library.desk.propose_procedure(FANG, "neutral", {"en": {"title": "x"}}, "why")
    with pytest.raises(UnknownArticle):
        library.desk.propose_procedure(FANG, "magic", {}, "why")


def test_lines_are_ticked_off_until_the_ticket_is_done(library: Library) -> None:
    checks = ChecklistDesk(library.ledger, library.desk, library.clock)

    checks.tick(1, CHIEF, "crew", 1)
    checks.tick(1, CHIEF, "crew", 0)
    left = checks.tick(1, CHIEF, "crew", 1, done=False)

    assert [(t.part, t.index, t.actor) for t in left] == [("crew", 0, "赵值班")]
    with pytest.raises(MissingDetail):
        checks.tick(1, CHIEF, "crew", 99)
    library.act("close", verdict="no_fault", cause_code="unknown")
    with pytest.raises(Conflict):
        checks.tick(1, CHIEF, "crew", 1)


def test_a_closed_ticket_is_a_case_without_its_customers(library: Library) -> None:
    assert case(library.ledger, town(), "20260301-0001", "clerk") is None
    library.act("dispatch")
    library.clock.us += 30 * MINUTE
    library.act("arrive")
    library.act("restore", note="接头已更换")
    library.act(
        "close", verdict="confirmed_precursor", cause_code="loose_connection", note="线夹锈蚀"
    )

    found = case(library.ledger, town(), "20260301-0001", "clerk")

    assert found is not None
    assert found == cases(library.ledger, town(), "clerk", fault="neutral_loose")[0]
    assert found.cause[1] == "接头松动或锈蚀"
    assert found.hours == pytest.approx(1.5 - 30 / 3600)
    assert found.remark == "线夹锈蚀"
    assert [s.state[0] for s in found.steps][-1] == "closed"
    assert found.checklist == library.desk.used_version("neutral_loose")
    assert cases(library.ledger, town(), "clerk", fault="outage") == []


def test_knowledge_says_nothing_of_who_called(library: Library) -> None:
    fields = set(Contact.__dataclass_fields__) - {"kind"}
    library.act("close", verdict="confirmed_precursor", cause_code="loose_connection")
    found = case(library.ledger, town(), "20260301-0001", "clerk")

    assert found is not None
    assert not {"account", "phone", "text"} & fields & set(dir(found))
