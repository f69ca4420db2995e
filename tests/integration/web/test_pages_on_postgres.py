"""Pages, API and stream on a real PostgreSQL: sign-in, news within moments, and what happens when
the database goes away under them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import orjson
import pytest

import web.stream
from alerts.apply import apply_events
from grid.network import Network
from storage.database import Database
from storage.desk_supply import Supply
from storage.ledger import PostgresLedger
from storage.migrate import migrate
from storage.people import People
from storage.photos import PHOTOS_MAX, Photos
from storage.realms import realm_names
from tests.unit.web.server import Server
from tests.unit.web.world import MINUTE, NEUTRAL, NOW, StandingClock, network, raised, story
from tests.waiting import wait_for
from web.readings import StoredReadings
from web.settings import WebSettings

pytestmark = pytest.mark.services


@dataclass
class Site:
    """The pages on a database, and a second connection on which things happen."""

    server: Server
    database: Database
    ledger: PostgresLedger
    people: People
    network: Network
    clock: StandingClock
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, login: str, role: str) -> httpx.Client:
        """Somebody who has followed a sign-in link."""
        person = self.people.find(login) or self.people.create(login, login.title(), role)
        client = httpx.Client(base_url=self.server.url, timeout=20, follow_redirects=True)
        self.clients.append(client)
        token = self.people.sign_in_link(person.id, 600)
        assert client.get(f"/signin/{token}").status_code == 200
        return client

    def happen(self, asset: str = "T1") -> None:
        event = raised("transformer_overload", "transformer", asset, NOW - MINUTE, NEUTRAL)
        apply_events([event], self.ledger, self.network)


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    grid, clock = network(), StandingClock()
    with (
        Database(database_url, application="test") as ours,
        Database(database_url, application="pages") as theirs,
    ):
        migrate(ours)
        ledger = PostgresLedger(ours, "live")
        apply_events(story(), ledger, grid)

        def settings() -> WebSettings:
            return WebSettings(
                ledger=PostgresLedger(theirs, "live"),
                network=grid,
                clock=clock,
                people=People(theirs),
                readings=StoredReadings(theirs, grid, clock),
                supply=Supply(theirs, "live"),
                heartbeat_s=0.5,
                ledger_of=lambda name: PostgresLedger(theirs, name),
                realms=lambda prefix: realm_names(theirs, prefix),
            )

        with Server(settings) as server:
            wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, 20)
            made = Site(server, ours, ledger, People(ours), grid, clock)
            yield made
            for client in made.clients:
                client.close()


def alert_of(lines: Iterator[str]) -> tuple[str, dict[str, object]]:
    """The next alert of an open stream: its id and its data."""
    seq = name = ""
    deadline = time.monotonic() + 20
    for line in lines:
        assert time.monotonic() < deadline, "no alert on the stream within 20 s"
        field, _, value = line.partition(": ")
        if field == "id":
            seq = value
        elif field == "event":
            name = value
        elif field == "data" and name == "alert":
            return seq, orjson.loads(value)
    raise AssertionError("the stream has ended")


def test_a_link_signs_in_and_every_page_of_the_role_opens(site: Site) -> None:
    pages = {"operator": ("/", "/tickets", "/tickets/1"), "clerk": ("/desk", "/desk?q=330740005"),
             "engineer": ("/engineer", "/devices/M-T3-010"), "admin": ("/admin",)}  # fmt: skip
    statuses = {
        (role, path): client.get(path).status_code
        for role, paths in pages.items()
        for client in [site.client(role, role)]
        for path in paths
    }

    assert {k: v for k, v in statuses.items() if v != 200} == {}


def test_a_drill_is_played_on_its_own_rows_and_streams_them(site: Site) -> None:
    client = site.client("operator", "operator")
    headers = {"origin": site.server.url, "accept-language": "en"}

    def csrf(path: str) -> str:
        return client.get(path).text.partition('data-csrf="')[2].partition('"')[0]

    token = csrf("/password")
    data = {"_csrf": token, "scene": "false_alarm", "seed": "3"}
    made = client.post("/drills", data=data, headers=headers)
    with site.ledger.reading() as r:
        before = repr((r.totals(), r.alerts(), r.tickets()))
    client.post(f"{made.url.path}/join", data={"_csrf": token}, headers=headers)
    site.clock.us += 3 * MINUTE

    with client.stream("GET", "/stream?after=0") as stream:
        seq, data_of = alert_of(stream.iter_lines())
    listed = client.get("/tickets", headers=headers).text
    with site.ledger.reading() as r:
        after = repr((r.totals(), r.alerts(), r.tickets()))

    assert before == after
    assert int(seq) > 0 and data_of["incident"]
    assert "DRILL: nothing on this page is real." in listed
    assert listed.count("data-href=") == 1


def test_signing_out_and_disabling_end_a_session_on_the_server(site: Site) -> None:
    client = site.client("clerk", "clerk")
    site.people.disable("clerk")

    assert client.get("/tickets").url.path == "/signin"


def test_what_is_committed_is_on_the_stream_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LISTEN brings it: the hub that looks by itself only every ten minutes has it all the same."""
    client = site.client("operator", "operator")
    with client.stream("GET", "/stream?after=0") as stream:
        lines = stream.iter_lines()
        seen = {str(alert_of(lines)[1]["key"]) for _ in range(3)}
        monkeypatch.setattr(web.stream, "WAIT_S", 600.0)
        site.happen("T5")
        alert_of(lines)
        site.happen()  # finds the hub in its long wait
        _, data = alert_of(lines)
        monkeypatch.undo()
        site.happen("T3")
        alert_of(lines)

    assert len(seen) == 3
    assert "Transformer overload" in str(data["html"]) or "配变过载" in str(data["html"])


def test_a_stream_resumes_from_the_last_event(site: Site) -> None:
    client = site.client("operator", "operator")
    with client.stream("GET", "/stream?after=0") as stream:
        last, _ = alert_of(stream.iter_lines())
    site.happen()

    with client.stream("GET", "/stream?after=0", headers={"last-event-id": last}) as stream:
        lines = stream.iter_lines()
        assets = {str(alert_of(lines)[1]["html"]).count("T1 ") > 0 for _ in range(3)}

    assert True in assets


def test_broken_connections_are_made_again_and_nothing_is_lost(site: Site) -> None:
    client = site.client("operator", "operator")
    with client.stream("GET", "/stream?after=0") as stream:
        lines = stream.iter_lines()
        for _ in range(3):
            alert_of(lines)
        with site.database.connection() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'pages'"
            )

        site.happen()

        assert alert_of(lines)[1]["html"]
    wait_for(lambda: httpx.get(f"{site.server.url}/readyz").status_code == 200, 20)


def test_a_call_from_another_system_is_kept_once(site: Site) -> None:
    person = site.people.create("callers", "95598", "clerk")
    token = site.people.api_token(person.id, "callers")
    call = {"channel": "phone", "external_id": "1", "account": "330740005", "text": "停电"}
    headers = {"authorization": f"Bearer {token}"}

    answers = [
        httpx.post(f"{site.server.url}/api/v1/contacts", json=call, headers=headers)
        for _ in range(2)
    ]

    assert [a.status_code for a in answers] == [201, 200]
    assert answers[0].json()["known"] is True
    assert answers[0].json()["ticket"]["asset"] == "T7"


def test_photos_of_a_ticket_are_kept_once_in_order_and_bounded(site: Site) -> None:
    with site.ledger.reading() as r:
        ticket = r.tickets()[0].id
    photos = Photos(site.database)

    first = photos.add(ticket, b"one", "王师傅", NOW)
    again = photos.add(ticket, b"one", "somebody else", NOW + MINUTE)
    for n in range(2, PHOTOS_MAX + 1):
        photos.add(ticket, str(n).encode(), "王师傅", NOW + n * MINUTE)
    one_too_many = photos.add(ticket, b"late", "王师傅", NOW)

    assert first is not None and first == again and one_too_many is None
    listed = photos.list(ticket)
    assert (PHOTOS_MAX, first, "王师傅") == (len(listed), listed[0].digest, listed[0].taken_by)
    assert (b"one", None) == (photos.image(ticket, first), photos.image(ticket + 1, first))
