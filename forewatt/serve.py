"""The process that serves pages, API and live stream."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import uvicorn

from desk.read_now import HttpHeadEnd
from forewatt.config import Config
from forewatt.config_lines import config_lines
from forewatt.health import HealthFile, read_reports
from forewatt.historian import hold
from forewatt.keeping import public_url
from forewatt.metrics import prometheus_text
from forewatt.notifying import CUSTOMERS, notice_settings
from forewatt.run import check_port
from forewatt.site import Place, site_network
from forewatt.trials import TrialRoom
from grid.clock import Clock, SimulatedClock
from grid.errors import ForewattError
from grid.network import Network
from storage.database import Database
from storage.desk_notices import NoticeQueue
from storage.desk_supply import Supply
from storage.kept_answers import KeptAnswers
from storage.ledger import PostgresLedger
from storage.loads import heavy_loads
from storage.migrate import migrate
from storage.people import People
from storage.photos import Photos
from storage.realms import realm_names
from web.app import create_app
from web.oidc import OidcSettings
from web.readings import StoredReadings
from web.settings import WebSettings

CONNECTIONS = 16
START_S = 30.0
LINK_S = 86_400
LAG_ENTRIES_MAX = 10_000
FINISH_S = 3
SECRET_BYTES = 32

log = logging.getLogger(__name__)


def serve(config: Config, place: Place, health: HealthFile, stop: threading.Event) -> None:
    """Until told to stop; open requests get a few seconds to finish."""
    check_port(*config.web.address)
    url = config.database_url()
    with Database(url, application="forewatt web", connections_max=CONNECTIONS) as database:
        if hold(stop, health, lambda: migrate(database)) is None:
            return
        network = site_network(config, database)
        _first_person(People(database), config)
        trials = TrialRoom(place.folder / "trials", config)
        app = create_app(replace(web_settings(config, place, database, network), trials=trials))
        # The first caller of the day must not wait for the customers' index.
        app.state.site.counter._index.warm()
        host, port = config.web.address
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                timeout_graceful_shutdown=FINISH_S,
                server_header=False,
            )
        )
        # Signals are ours: the server runs in a thread and is asked to end.
        worker = threading.Thread(target=server.run, name="http", daemon=True)
        worker.start()
        try:
            _watch_over(server, worker, health, stop)
        finally:
            trials.close()


def _watch_over(
    server: uvicorn.Server, worker: threading.Thread, health: HealthFile, stop: threading.Event
) -> None:
    deadline = time.monotonic() + START_S
    while not stop.wait(0.05 if not server.started else 0.5):
        if server.started:
            health.say(ready=True, commit_at=time.time())
        if not worker.is_alive() or (not server.started and time.monotonic() > deadline):
            raise SystemExit(70)
    server.should_exit = True
    worker.join(FINISH_S + 5)


def web_settings(config: Config, place: Place, database: Database, network: Network) -> WebSettings:
    """What the pages need of this installation."""
    clock = config.clock()
    realm = config.site.realm
    return WebSettings(
        ledger=PostgresLedger(database, realm),
        network=network,
        clock=clock,
        people=People(database),
        readings=StoredReadings(database, network, clock, realm=realm),
        supply=Supply(database, realm),
        site_name=config.site.name,
        time_zone=config.site.time_zone,
        language=config.site.language,
        country=config.site.country,
        public_url=config.web.public_url or "",
        metrics=lambda: prometheus_text(place.health),
        checks=tuple((role, _well(place, role)) for role in ("collect", "historian", "watch")),
        speed=_speed(clock),
        desk=config.desk.settings(config.site.time_zone),
        head_end=_head_end(config),
        notices=notice_settings(config),
        texts=any(receiver.what == CUSTOMERS for receiver in config.notify),
        kept=KeptAnswers(database),
        knowledge=PostgresLedger(database, "live") if realm != "live" else None,
        ledger_of=lambda name: PostgresLedger(database, name),
        realms=lambda prefix: realm_names(database, prefix),
        oidc=oidc_settings(config),
        configuration=lambda: config_lines(config),
        secret=site_secret(place),
        photos=Photos(database),
        delivery=NoticeQueue(database, realm),
        loads=lambda low_us, high_us: heavy_loads(database, network, low_us, high_us, realm=realm),
    )


def oidc_settings(config: Config) -> OidcSettings | None:
    """The provider of `[oidc]`, with its secret out of the file; None without one."""
    o = config.oidc
    if not o.issuer or not o.client_id or o.client_secret_file is None:
        return None
    secret = o.client_secret_file.read_text(encoding="utf-8").strip()
    roles = dict(pair.split("=") for pair in o.roles)
    return OidcSettings(o.issuer, o.client_id, secret, o.name, o.login_claim, o.roles_claim, roles)


def site_secret(place: Place) -> bytes:
    """What signs links, made at the first start; a file beside the journal that only we read."""
    with suppress(FileExistsError):
        descriptor = os.open(place.secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
    found = place.secret.read_bytes()
    if len(found) < SECRET_BYTES:
        raise ForewattError(f"{place.secret} is too short for a secret; remove it and start again")
    return found


def _well(place: Place, role: str) -> Callable[[], bool]:
    """Whether a process that was started here works and keeps up; true for one run elsewhere."""

    def check() -> bool:
        report = read_reports(place.health).get(role)
        return report is None or (report.healthy and (report.lag or 0) < LAG_ENTRIES_MAX)

    return check


def _head_end(config: Config) -> HttpHeadEnd | None:
    """Who reads meters now; None where nobody is named."""
    found = config.head_end
    if found is None:
        return None

    def secret(path: Path | None) -> str:
        return "" if path is None else path.read_text(encoding="utf-8").strip()

    return HttpHeadEnd(
        found.url, now_s=time.time, secret=secret(found.secret_file), token=secret(found.token_file)
    )


def _speed(clock: Clock) -> Callable[[], float] | None:
    if not isinstance(clock, SimulatedClock):
        return None
    return lambda: clock.state.speed


def _first_person(people: People, config: Config) -> None:
    """On an empty installation: a link that lets the first administrator in, once."""
    if people.any():
        return
    person = people.create("admin", "Administrator", "admin")
    token = people.sign_in_link(person.id, LINK_S, uses=1)
    print(f"admin: {public_url(config)}/signin/{token}", flush=True)
