"""What all pages share: the desks, the counter, the board, the renderer and the live hub."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from alerts.by_hand import TicketByHand
from alerts.handling import AlertDesk
from alerts.notices import NoticeDesk
from alerts.places import Places
from alerts.roles import Role, may_see
from alerts.settings import DAY_US, DeskSettings
from alerts.silences import SilenceDesk
from alerts.storm import Storm, StormDesk, declared, storm
from alerts.tickets import TicketDesk
from desk.board import Board, LineRow, hidden_work
from desk.calls import CallDesk
from desk.cases import Case, cases
from desk.checklist import ChecklistDesk
from desk.counter import Counter
from desk.estimates import Suggestion, suggest
from desk.handover import HandOverDesk
from desk.knowledge import KnowledgeDesk, Version
from desk.locate import LocateDesk
from desk.quality import bar, headline
from desk.ratings import RatingDesk
from desk.read_now import ReadNow
from desk.splitting import SplitDesk
from desk.without_supply import Unsupplied, covered, unsupplied
from grid.errors import ForewattError
from grid.records import OutboxMessage, Ticket
from storage.fleet import allowed_s
from web import evidence
from web.feed import shown_by
from web.i18n import Language
from web.lately import Lately
from web.names import asset_label, feeder_of, phases_of
from web.once import Kept, MemoryKept
from web.render import Renderer
from web.ring import Frame
from web.settings import WebSettings
from web.stream import Hub, Pass, event
from web.viewer import NOBODY

STATES_KEPT_S = 1.0
SUPPLY_KEPT_S = 2.0
STORM_KEPT_S = 3.0
KNOWN_KEPT_S = 60.0
KNOWN_MAX = 6
SUGGESTED_MAX = 500
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reports:
    """Devices heard in time, without supply, and not heard since supply may be back."""

    fresh: int
    dark: int
    awaited: int


class Site:
    """One running site; made once by `create_app`."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self.network = settings.network
        self.clock = settings.clock
        self.ledger = settings.ledger
        self.people = settings.people
        self.readings = settings.readings
        self.places = places = Places(self.network)
        desk = settings.desk or DeskSettings(time_zone=settings.time_zone)
        self.desk_settings = desk
        self.knowledge = KnowledgeDesk(settings.knowledge or self.ledger, self.clock)
        self.board = Board(self.ledger, self.network, places=places, knowledge=self.knowledge)
        self.alerts = AlertDesk(self.ledger, self.clock)
        self.tickets = TicketDesk(
            self.ledger,
            self.network,
            self.clock,
            checklist=self.knowledge.used_version,
            settings=desk,
        )
        self.calls = CallDesk(self.ledger, self.clock)
        self.checklists = ChecklistDesk(self.ledger, self.knowledge, self.clock)
        self.ratings = RatingDesk(self.ledger, self.network, self.clock)
        self.counter = Counter(
            self.ledger,
            self.network,
            self.clock,
            settings.supply,
            settings=desk,
            places=places,
        )
        self.locate = LocateDesk(
            self.ledger, self.network, self.clock, settings.supply, places=places, settings=desk
        )
        self.by_hand = TicketByHand(
            self.ledger, self.network, self.clock, places=places, settings=desk
        )
        self.splits = SplitDesk(self.ledger, self.network, self.clock, places=places, settings=desk)
        self.handover = HandOverDesk(self.ledger, self.clock)
        self.read_now = (
            ReadNow(settings.head_end, self.ledger, self.network, self.clock)
            if settings.head_end is not None
            else None
        )
        self.silences = SilenceDesk(self.ledger, self.network, self.clock)
        self.notices = NoticeDesk(self.ledger, self.network, self.clock, settings.notices)
        self.storm = StormDesk(self.ledger, self.network, self.clock)
        self._known: Lately[tuple[str, bool], tuple[list[Version], list[Case]]] = Lately()
        self._suggested: Lately[int, Suggestion | None] = Lately(SUGGESTED_MAX)
        self._storm: Lately[str, tuple[Storm | None, bool]] = Lately()
        self.kept: Kept = settings.kept or MemoryKept()
        self.render = Renderer(settings)
        self.render.environment.globals.update(
            team_name=self.team_name,
            row_html=self.row_html,
            monitor_of=self.monitor_of,
            storm_now=self.storm_now,
            transformer_of=self.network.transformer_of,
            asset_label=lambda t, kind, asset: asset_label(t, self.network, kind, asset),
            evidence_lines=lambda t, a: evidence.lines(t, a.fault, a.detector, a.evidence),
            number_name=evidence.called,
            number_said=evidence.said,
            detector_name=evidence.detector_name,
        )
        self._states: Lately[str | None, Mapping[tuple[str, str], str]] = Lately()
        self._feeders: Lately[tuple[str | None, bool], list[tuple[str, int]]] = Lately()
        self._supply: Lately[str, Unsupplied] = Lately()
        self.hub = Hub(
            self.ledger,
            self.frames,
            self.figure_frames,
            self.beat,
            self.roles_now,
            streams_max=settings.streams_max,
            heartbeat_s=settings.heartbeat_s,
        )

    @pass_context
    def team_name(self, context: Context, team: str | None) -> str:
        """What a team is called, in the language of the page."""
        name = next((x.name or x.id for x in self.network.teams if x.id == team), team or "")
        return cast(str, context["t"].pick_name(name))

    # -- figures and feed ------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """What stands under the header: counts, health, and the headline that stays true."""
        now = self.clock.now_us()
        try:
            story = headline(self.ledger, self.network, now)
        except Exception:
            log.exception("the headline cannot be told")
            story = None
        return {
            "bar": bar(self.ledger, now),
            "health": self.readings.health(),
            "reports": self.reports(),
            "headline": story,
        }

    def reports(self) -> Reports:
        """How many devices are heard in time, without those that have lost supply since they were
        heard: "in time" must not mean "its next reading is not due yet"."""
        supply = self.supply_now()
        silent = {s.device for s in self.readings.silent()}
        health = self.readings.health()
        doubtful = (supply.dark.keys() | supply.awaited) - silent
        return Reports(
            max(0, health.fresh - len(doubtful)),
            len(supply.dark),
            len(supply.awaited - silent),
        )

    def supply_now(self) -> Unsupplied:
        """Which devices are without supply, at most some seconds old: every page asks."""
        return self._supply.get("now", SUPPLY_KEPT_S, self._find_unsupplied)

    def _find_unsupplied(self) -> Unsupplied:
        # A device that is not silent yet was heard within its allowance; what it said of power
        # since then decides. What it said earlier matters only in an outage that is still open.
        since_us = self.clock.now_us() - max(DAY_US, self._allowance_us)
        with self.ledger.reading() as reading:
            outages = reading.lost_supply(since_us)
        below = covered(outages, self.places)
        told = self.settings.supply.power_words(list(below), since_us)
        return unsupplied(outages, below, told, self.places)

    @cached_property
    def _allowance_us(self) -> int:
        return int(max(map(allowed_s, self.network.devices), default=0) * 1e6)

    def figure_frames(self, languages: Sequence[Language]) -> list[Frame]:
        """The figures for every open page, with how many lines the feed has: for who is not shown
        inspections first, then for who is."""
        found = self.figures()
        bar = found["bar"]
        texts = {}
        for language in languages:
            reader = self.render.reader(language)
            told = {
                "html": self.render.html("_figures.html", reader, NOBODY, **found),
                "quiet": self.render.html("_quiet.html", reader, NOBODY, **found),
                "lines": bar.lines_without_inspection,
            }
            texts[language] = event("figures", told)
        frames = [Frame(None, "figures", texts)]
        if bar.lines != bar.lines_without_inspection:
            lines = event("lines", {"lines": bar.lines})
            frames.append(Frame(None, "lines", dict.fromkeys(languages, lines), "inspection"))
        return frames

    def row_html(self, group: LineRow, language: Language, selected: str | None = None) -> Markup:
        """One line of the feed. A line that cannot be drawn must not take the feed with it: it
        becomes a plain link, and the log says why."""
        reader = self.render.reader(language)
        alert = group.line.main
        values: dict[str, Any] = {"group": group, "selected": selected}
        try:
            values["feeder"] = feeder_of(self.network, alert.asset_kind, alert.asset)
            values["phases"] = phases_of(self.network, alert)
            return Markup(self.render.html("_feed_row.html", reader, NOBODY, **values))
        except Exception:
            log.exception("the feed's line %s cannot be drawn", group.line.key)
            return Markup(self.render.html("_feed_row_plain.html", reader, NOBODY, **values))

    def outbox_head(self) -> int:
        """Read before a page's data: the stream may repeat something, never miss it."""
        with self.ledger.reading() as r:
            return r.outbox_head()

    def states(self, role: Role) -> Mapping[tuple[str, str], str]:
        """Worst open severities as this role may see them, at most a second old: in a storm
        every pane asks, and the answer is the same for all."""

        def ask() -> Mapping[tuple[str, str], str]:
            with self.ledger.reading() as reading:
                return reading.worst_open(without_work=hidden_work(role))

        return self._states.get(hidden_work(role), STATES_KEPT_S, ask)

    def feeders(self, role: Role, open_only: bool) -> list[tuple[str, int]]:
        """Feeders with how many lines of the feed stand on each, most first; for the banner of a
        storm, so at most some seconds old."""

        def ask() -> list[tuple[str, int]]:
            with self.ledger.reading() as reading:
                places = reading.line_places(open_only=open_only, without_work=hidden_work(role))
            feeders: dict[str, int] = {}
            for (kind, asset), lines in places.items():
                chain = self.network.ancestors(kind, asset)
                if chain:
                    feeders[chain[-1][1]] = feeders.get(chain[-1][1], 0) + lines
            return sorted(feeders.items(), key=lambda x: (-x[1], x[0]))

        return self._feeders.get((hidden_work(role), open_only), STORM_KEPT_S, ask)

    @cached_property
    def _monitors(self) -> dict[str, str]:
        return {
            d.transformer: d.id
            for d in self.network.devices
            if d.kind == "transformer_monitor" and d.transformer
        }

    def monitor_of(self, transformer: str) -> str | None:
        """The monitor of a transformer."""
        return self._monitors.get(transformer)

    def storm_now(self) -> tuple[Storm | None, bool]:
        """The storm that somebody has declared, and whether it looks like one; for the banner on
        every page, so at most some seconds old, and no trouble of the page if it cannot be told."""
        try:
            return self._storm.get("now", STORM_KEPT_S, self._look_for_storm)
        except ForewattError:
            return None, False

    def _look_for_storm(self) -> tuple[Storm | None, bool]:
        now_us = self.clock.now_us()
        with self.ledger.reading() as reading:
            said = declared(reading, now_us)
            return said, said is not None or storm(reading, now_us, self.desk_settings)

    def known_of(self, fault: str, role: Role) -> tuple[list[Version], list[Case]]:
        """Articles and cases about a fault kind, for the page of somebody who has one before them;
        at most a minute old, because every ticket and alert that is opened asks."""

        def ask() -> tuple[list[Version], list[Case]]:
            articles = self.knowledge.articles(fault=fault, kind="article")[:KNOWN_MAX]
            # The site's own, in a drill too: that is where an address of a case leads.
            similar = cases(self.knowledge.ledger, self.network, role, fault=fault, limit=KNOWN_MAX)
            return articles, similar

        return self._known.get((fault, may_see("inspection", role)), KNOWN_KEPT_S, ask)

    def suggested(self, ticket: Ticket) -> Suggestion | None:
        """A first estimate from past repairs; the past is read at most once a minute a ticket."""
        return self._suggested.get(
            ticket.id,
            KNOWN_KEPT_S,
            lambda: suggest(
                self.ledger, self.network, ticket, self.clock.now_us(), settings=self.desk_settings
            ),
        )

    def forget_known(self) -> None:
        """An article has come into use or gone."""
        self._known.forget()

    def forget_storm(self) -> None:
        """It has been declared or ended just now."""
        self._storm.forget()

    def account_of_phone(self, phone: str) -> str | None:
        """The one customer with that number; None for none, several, or too few digits."""
        found = {h.account for h in self.counter.by_phone(phone)} if len(phone) >= 7 else set()
        return found.pop() if len(found) == 1 else None

    # -- the live stream -------------------------------------------------------------------

    def beat(self) -> dict[str, Any]:
        speed = self.settings.speed
        return {"now_us": self.clock.now_us(), "speed": speed() if speed else 1.0}

    def roles_now(self, passes: Collection[Pass]) -> Mapping[Pass, str]:
        """The roles that sessions and tokens stand for now; absent where that is nobody."""
        sessions = self.people.session_roles([secret for via, secret in passes if via == "session"])
        roles: dict[Pass, str] = {("session", token): role for token, role in sessions.items()}
        for via, secret in passes:
            person = self.people.bearer(secret) if via == "bearer" else None
            if person is not None and person.active:
                roles[via, secret] = person.role
        return roles

    def frames(
        self, messages: Sequence[OutboxMessage], languages: Sequence[Language]
    ) -> list[Frame]:
        """Messages as events; a line of the feed is rendered once, with the messages that show it
        as it is now (`web.feed.shown_by`)."""
        line_at = shown_by(messages)
        lines = sorted(set(line_at.values()))
        groups: dict[str, LineRow] = {}
        if lines and languages:
            found = self.board.lines(role="system", only=lines, limit=len(lines))
            groups = {x.line.key: x for x in found.rows}
        rows = {(k, x): self.row_html(group, x) for k, group in groups.items() for x in languages}
        frames = []
        for m in messages:
            incident = m.key if m.topic == "incident" else m.data.get("incident_id")
            data: dict[str, Any] = {"key": m.key, "incident": incident}
            if m.topic == "contact":
                data["ticket"] = m.data.get("ticket_id")
            line = line_at.get(m.seq)
            group = groups.get(line) if line else None
            texts = {}
            for language in languages:
                more = {"line": line, "merged": m.data.get("change") == "merged"} if line else {}
                if line and group is not None:
                    more |= {"rank": str(group.line.rank), "html": rows[line, language]}
                texts[language] = event(m.topic, data | more, m.seq)
            frames.append(Frame(m.seq, m.topic, texts, str(m.data.get("work") or "")))
        return frames

    @cached_property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return self.settings.cookie
