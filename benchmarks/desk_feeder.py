"""A whole feeder out: how many tickets and notices, how quick the pages are over real HTTP."""

import time

import httpx

from alerts.announce import Receiver, announce
from alerts.apply import apply_events
from alerts.episodes import Book
from alerts.notices import NoticeDesk, draft_notices
from alerts.places import Places
from alerts.roles import Actor
from benchmarks.desk_grid import MINUTE_US, START_US, finding, grid, timed
from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.network import Network
from storage.database import Database
from storage.desk_supply import Supply
from storage.ledger import PostgresLedger
from storage.migrate import migrate
from storage.people import People
from tests.unit.web.server import Server
from web.readings import StoredReadings
from web.settings import WebSettings

CHIEF = Actor("chief", "operator")


def feeder(services: PrivateServices, quick: bool) -> None:
    network = grid(1, 34, customers=True)  # 2,040 meters
    calls = 40 if quick else 200
    url = services.new_database("bench_feeder")
    with Database(url) as database, Database(url, connections_max=16) as theirs:
        migrate(database)
        ledger, places = PostgresLedger(database), Places(network)
        found = [
            finding("outage", ("usage_point", p.id), START_US + n % 7)
            for n, p in enumerate(network.usage_points)
        ]
        found.append(finding("outage", ("feeder", "F0"), START_US + 7))
        found.sort(key=lambda f: f.tick_us)
        began = time.perf_counter()
        book = Book(network)
        for at in range(0, len(found), 200):
            apply_events(book.judge(found[at : at + 200]), ledger, network, places=places)
        took_s = time.perf_counter() - began
        drafts = draft_notices(ledger, network, START_US + MINUTE_US)
        again = draft_notices(ledger, network, START_US + 2 * MINUTE_US)
        sent = NoticeDesk(ledger, network, RealClock()).approve(drafts[0].id, CHIEF)
        told = announce(ledger, [Receiver("noc", "noc")], START_US + MINUTE_US)
        with ledger.reading() as reading:
            tickets = len(reading.tickets(limit=100_000))
        print(
            f"a feeder out: {len(network.devices):,} meters, {len(found):,} findings in "
            f"{took_s:.1f} s\n  open tickets {tickets}, drafts to customers {len(drafts)} and then "
            f"{len(again)}, notices of the approved one {sent:,}, told to a system {told}"
        )
        pages(theirs, network, calls)


def pages(database: Database, network: Network, calls: int) -> None:
    """The time from request to the last byte, one at a time, signed in as an operator."""

    def settings() -> WebSettings:
        clock = RealClock()
        return WebSettings(
            ledger=PostgresLedger(database),
            network=network,
            clock=clock,
            people=People(database),
            readings=StoredReadings(database, network, clock),
            supply=Supply(database),
        )

    people = People(database)
    person = people.create("operator", "operator", "operator")
    with Server(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        client.get(f"/signin/{people.sign_in_link(person.id, 86_400)}")
        for title, path in (
            ("queue of tickets", "/tickets"),
            ("feed of alerts", "/"),
            ("queue as JSON", "/api/v1/tickets"),
        ):
            answer = client.get(path)
            answer.raise_for_status()

            def once(_: int, path: str = path) -> None:
                client.get(path).raise_for_status()

            p50, p95, p99 = timed(once, calls)
            size = len(answer.content) / 1024
            print(
                f"  {title} over HTTP ({size:.0f} KiB): p50 {p50:.0f}, p95 {p95:.0f}, "
                f"p99 {p99:.0f} ms"
            )
    print()
