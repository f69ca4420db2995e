"""What every ledger promises of the feed; run over the one in memory and the one in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from alerts.ledger import Ledger, Transaction
from grid.records import Alert, Evidence, Incident, Ticket
from storage.desk_records import Step
from storage.feed_lines import Feed, rank_of

START, HOUR = 1_772_000_000_000_000, 3_600_000_000
STEP = Step(0, 1, "open", None, "assessing", "system", "system", START)


def an_alert(id_: str, incident: int | None = None, severity: str = "P2", **more: Any) -> Alert:
    made = Alert(
        id_, "outage", "usage_point", id_, severity, START, START, 1.5, (id_,),  # type: ignore[arg-type]
        Evidence("", ""), incident_id=incident,
    )  # fmt: skip
    if "cleared_us" in more:
        more["condition"] = "cleared"
    return replace(made, **more)


def an_incident(asset: str, **more: Any) -> Incident:
    made = Incident(0, "supply", "outage", "transformer", asset, "P2", START, START)
    return replace(made, **more)


def a_ticket(incident_id: int, work: str = "repair", number: str = "T") -> Ticket:
    return Ticket(
        0, "", incident_id, f"{number}{incident_id}", "assessing", work, "outage",  # type: ignore[arg-type]
        "transformer", "T1", "P2", 6, START,
    )  # fmt: skip


def keys(feed: Feed) -> list[str]:
    return [x.key for x in feed.lines]


class FeedContract:
    """Subclasses give a `ledger` fixture."""

    @contextmanager
    def told(self, ledger: Ledger, *alerts: Alert) -> Iterator[Transaction]:
        with ledger.transaction() as tx:
            for alert in alerts:
                tx.put_alert(alert)
            yield tx

    def incidents(self, ledger: Ledger, count: int, **more: Any) -> list[int]:
        with ledger.transaction() as tx:
            return [tx.add_incident(an_incident(f"A{n}", **more)).id for n in range(count)]

    def test_a_hundred_alerts_of_one_cause_are_one_line_with_a_count(self, ledger: Ledger) -> None:
        (cause,) = self.incidents(ledger, 1)
        alerts = [an_alert(f"{n:03d}", cause, devices=(f"M{n // 2}",)) for n in range(100)]
        with self.told(ledger, *alerts) as tx:
            feed = tx.feed()

        (line,) = feed.lines
        assert (line.key, line.alerts, line.devices) == (f"i{cause}", 100, 50)
        assert (feed.lines_all, feed.alerts_all) == (1, 100)

    def test_alerts_without_a_cause_stand_alone(self, ledger: Ledger) -> None:
        with self.told(ledger, an_alert("x", devices=()), an_alert("y")) as tx:
            assert [(x.key, x.devices) for x in tx.feed().lines] == [("ax", 0), ("ay", 1)]

    def test_the_gravest_alert_speaks_and_of_equals_the_one_that_opens_the_ticket(
        self, ledger: Ledger
    ) -> None:
        """A line called critical must not bear the name of the milder fault it grew from."""
        (cause,) = self.incidents(ledger, 1)
        alerts = [
            an_alert("over", cause, "P1", cleared_us=START + 1),
            an_alert("late", cause, "P1", raised_us=START + HOUR),
            an_alert("beside", cause, "P1", ticket=False),
            an_alert("speaks", cause, "P1"),
            an_alert("milder", cause),
        ]
        with self.told(ledger, *alerts) as tx:
            (line,) = tx.feed().lines

        assert (line.main, line.severity, line.raised_us) == (alerts[3], "P1", START)
        assert (line.cleared, line.unseen, line.no_data) == (False, True, False)

    def test_a_defect_that_went_on_as_an_outage_leaves_it_its_name(self, ledger: Ledger) -> None:
        """The defect has opened the ticket, but what is wrong now is that supply is lost."""
        (cause,) = self.incidents(ledger, 1)
        alerts = [
            an_alert("burnt", cause, "P1", fault="hot_terminal"),
            an_alert("dark", cause, "P1", ticket=False, raised_us=START + HOUR),
        ]
        with self.told(ledger, *alerts) as tx:
            (line,) = tx.feed().lines
            places = tx.line_places()

        assert line.main == alerts[1]
        assert places == {("usage_point", "dark"): 1}

    def test_lines_stand_by_seen_then_gravity_then_age_and_go_on_from_any_of_them(
        self, ledger: Ledger
    ) -> None:
        cleared, seen, light, old, new, silent = self.incidents(ledger, 6)
        alerts = [
            an_alert("0", cleared, "P1", cleared_us=START + 1, handling="new"),
            an_alert("1", seen, "P1", handling="acked"),
            an_alert("2", light, "P3"),
            an_alert("3", old, raised_us=START - HOUR),
            an_alert("4", new),
            an_alert("5", silent, condition="no_data"),
            an_alert("6"),
        ]
        order = [f"i{x}" for x in (old, light, seen, cleared)]
        order = ["a6", *sorted([f"i{new}", f"i{silent}"]), *order]
        with self.told(ledger, *alerts) as tx:
            whole = tx.feed()
            ranks = [str(x.rank) for x in whole.lines]
            parts = [keys(tx.feed(start=rank_of(r), limit=2)) for r in ranks]
            cut = tx.feed(start=rank_of(ranks[-1] + "x"))

        assert keys(whole) == order
        assert ranks == sorted(ranks)
        assert parts == [order[n : n + 2] for n in range(len(order))]
        assert (cut.lines, cut.lines_all, cut.alerts_all) == ([], 7, 7)
        assert [x.no_data for x in whole.lines] == [x == f"i{silent}" for x in order]

    def test_what_is_over_leaves_the_open_feed_when_seen_or_when_its_cause_is_closed(
        self, ledger: Ledger
    ) -> None:
        waiting, closed = self.incidents(ledger, 2)
        alerts = [
            an_alert("unseen", waiting, cleared_us=START + 1),
            an_alert("seen", waiting, cleared_us=START + 1, handling="acked"),
            an_alert("closed", closed, cleared_us=START + 1),
            an_alert("alone", cleared_us=START + 1),
        ]
        with self.told(ledger, *alerts) as tx:
            tx.put_incident(an_incident("A1", id=closed, closed_us=START + 2))
            now, ever = tx.feed(), tx.feed(open_only=False)

        assert [(x.key, x.alerts) for x in now.lines] == [("aalone", 1), (f"i{waiting}", 1)]
        assert sorted(keys(ever)) == ["aalone", *sorted([f"i{waiting}", f"i{closed}"])]
        assert (ever.lines_all, ever.alerts_all) == (3, 4)

    def test_the_stream_finds_the_same_lines_as_the_page(self, ledger: Ledger) -> None:
        one, two = self.incidents(ledger, 2)
        with self.told(ledger, an_alert("a", one), an_alert("b", two), an_alert("c")) as tx:
            whole = {x.key: x for x in tx.feed().lines}
            asked = [f"i{two}", "ac", "aa", "anothing", "i999999999"]

            found = tx.feed(only=asked)

        assert {x.key: x for x in found.lines} == {k: whole[k] for k in (f"i{two}", "ac")}
        assert found.lines_all == 2

    def test_work_that_a_role_is_not_shown_is_in_no_line_and_no_count(self, ledger: Ledger) -> None:
        mixed, hidden = self.incidents(ledger, 2)
        alerts = [
            an_alert("theft", mixed, "P1", work="inspection"),
            an_alert("outage", mixed),
            an_alert("other", hidden, work="inspection"),
        ]
        with self.told(ledger, *alerts) as tx:
            feed = tx.feed(without_work="inspection")
            names = tx.line_names(without_work="inspection")
            places = tx.line_places(without_work="inspection")
            worst = tx.worst_open(without_work="inspection")
            beside = tx.beside(alerts[1], without_work="inspection")
            totals = tx.totals()

        (line,) = feed.lines
        assert (line.key, line.alerts, line.severity) == (f"i{mixed}", 1, "P2")
        assert (feed.lines_all, feed.alerts_all) == (1, 1)
        assert [x.asset for x in names] == ["outage"]
        assert places == {("usage_point", "outage"): 1} and list(worst) == list(places)
        assert (beside.alerts, beside.first) == (0, ())
        assert (totals["lines"], totals["lines_without_inspection"]) == (2, 1)

    def test_a_search_knows_every_alert_of_a_line_and_the_ticket_of_its_cause(
        self, ledger: Ledger
    ) -> None:
        repair, theft = self.incidents(ledger, 2)
        with self.told(ledger, an_alert("x", repair), an_alert("y", repair), an_alert("z")) as tx:
            tx.put_alert(an_alert("v", theft))
            made = tx.add_ticket(a_ticket(repair), "20260301", STEP)
            tx.add_ticket(a_ticket(theft, "inspection"), "20260301", STEP)
            names = {x.devices: (x.key, x.ticket) for x in tx.line_names(without_work="inspection")}

        assert made is not None
        assert names == {
            ("x",): (f"i{repair}", made.number),
            ("y",): (f"i{repair}", made.number),
            ("z",): ("az", None),
            ("v",): (f"i{theft}", None),
        }

    def test_places_count_lines_by_who_speaks_for_them_and_the_worst_that_is_open(
        self, ledger: Ledger
    ) -> None:
        (cause,) = self.incidents(ledger, 1)
        at = {"asset_kind": "transformer", "asset": "T1"}
        alerts = [
            an_alert("top", cause, "P1", **at),
            an_alert("below", cause, "P2"),
            an_alert("alone", None, "P3", **at),
            an_alert("over", None, "P1", cleared_us=START + 1),
        ]
        with self.told(ledger, *alerts) as tx:
            places, worst = tx.line_places(), tx.worst_open()

        here = ("transformer", "T1")
        assert places == {here: 2, ("usage_point", "over"): 1}
        assert worst == {here: "P1", ("usage_point", "below"): "P2"}

    def test_lost_supply_is_what_goes_on_and_what_has_ended_lately(self, ledger: Ledger) -> None:
        alerts = [
            an_alert("on", None, fault="outage"),
            an_alert("lately", None, fault="outage", cleared_us=START + 9),
            an_alert("past", None, fault="outage", cleared_us=START + 5),
            an_alert("other", None, fault="neutral_loose"),
        ]
        with self.told(ledger, *alerts) as tx:
            found = tx.lost_supply(START + 5)

        assert {(x.asset, x.cleared_us) for x in found} == {("on", None), ("lately", START + 9)}
        assert {x.raised_us for x in found} == {a.raised_us for a in alerts[:2]}

    def test_however_long_supply_was_lost_it_counts(self, ledger: Ledger) -> None:
        before = START - 400 * 24 * HOUR
        alerts = [
            an_alert("on", None, fault="outage", raised_us=before),
            an_alert("lately", None, fault="outage", raised_us=before, cleared_us=START + 9),
        ]
        with self.told(ledger, *alerts) as tx:
            found = tx.lost_supply(START + 5)

        assert {x.asset for x in found} == {"on", "lately"}

    def test_the_others_of_a_cause_are_counted_all_and_shown_a_few(self, ledger: Ledger) -> None:
        (cause,) = self.incidents(ledger, 1)
        others = [
            an_alert(f"{n:02d}", cause, raised_us=START + n, handling="new" if n % 2 else "acked")
            for n in range(20)
        ]
        with self.told(ledger, *others, an_alert("alone")) as tx:
            found = tx.beside(others[3], limit=5)
            none = tx.beside(an_alert("alone"))

        assert (found.alerts, found.unseen) == (19, 9)
        assert [a.id for a in found.first] == ["00", "01", "02", "04", "05"]
        assert (none.alerts, none.unseen, none.first) == (0, 0, ())

    def test_the_story_is_of_the_most_called_then_the_newest_with_a_ticket(
        self, ledger: Ledger
    ) -> None:
        with ledger.transaction() as tx:
            given: list[dict[str, Any]] = [
                {"contacts": 9, "closed_us": START},  # long over: nobody has called lately
                {"contacts": 8, "fault": "energy_loss"},
                {"contacts": 1},
                {"contacts": 1},
                {"contacts": 7},  # without a ticket
            ]
            made = [
                tx.add_incident(an_incident(f"A{n}", known_us=START + n, **more))
                for n, more in enumerate(given)
            ]
            for incident in made[:4]:
                tx.add_ticket(a_ticket(incident.id), "20260301", STEP)
            tx.put_alert(an_alert("late", made[3].id, known_us=START + HOUR))
            tx.put_alert(an_alert("first", made[3].id, known_us=START - HOUR))
            told = tx.most_called(START, {"energy_loss"})
            nothing = tx.most_called(START, {"energy_loss", "outage"})
            known = (tx.first_known_us(made[3].id), tx.first_known_us(made[2].id))

        assert (told, nothing) == (made[3], None)
        assert known == (START - HOUR, None)

    def test_what_is_only_watched_and_what_is_new_can_be_asked_for(self, ledger: Ledger) -> None:
        watched, bearing = an_alert("watched", ticket=False), an_alert("bearing")
        with self.told(ledger, watched, bearing) as tx:
            old = tx.add_incident(an_incident("A0", opened_us=START - HOUR))
            new = tx.add_incident(an_incident("A1"))

            asked = [tx.alerts(ticket=t) for t in (False, True)]
            opened = [tx.incidents(opened_since_us=START - n * HOUR) for n in (0, 1)]

        assert asked == [[watched], [bearing]]
        assert opened == [[new], [old, new]]
