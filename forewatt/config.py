"""Configuration is a value: one frozen tree, read once from TOML, passed as arguments.

`load_config(path)` is the only way in. A file with `[database]`, one `[[mqtt]]` and `[network]`
runs on defaults. Each field's meaning stands beside it and in docs/configuration.md.
"""

# `setting` only makes a dataclass field with its documentation.
# ruff: noqa: RUF009

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from forewatt.desk_config import (
    DeskConfig,
    HeadEndConfig,
    NotifyConfig,
    check_head_end,
    check_notify,
)
from forewatt.shared_clock import SharedClock
from forewatt.toml_reader import Source, build, read_toml, setting
from grid.clock import Clock, RealClock
from grid.errors import BadInput

ROLES = ("collect", "historian", "watch", "web")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ClockFile:
    """A simulated clock that several processes read from one file."""

    file: Path = setting(doc="the clock file that the simulator or the demo writes")


@dataclass(frozen=True, slots=True)
class SiteConfig:
    name: str = setting("Forewatt", doc="what the pages call this installation")
    time_zone: str = setting("Asia/Shanghai", doc="IANA zone in which times are shown")
    language: Literal["zh-CN", "en"] = setting("zh-CN", doc="language of pages and notices")
    country: Literal["CN", "EU"] = setting("CN", doc="country profile: nominal voltage and limits")
    realm: str = setting("live", doc="realm of everything received: live, drill-..., replay-...")
    clock: Literal["real"] | ClockFile = setting(
        "real", doc='"real", or { file = "clock.json" } for a simulated clock'
    )


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    path: Path | None = setting(
        None, doc="folder of network CSV files; leave out once they are imported"
    )


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    url: str = setting(doc="postgresql://user@host:port/db, with TimescaleDB")
    password_file: Path | None = setting(
        None, doc="file that holds the password, mode 600", secret_file=True
    )
    history_days: float | None = setting(
        None, doc="days of raw readings kept; left out: for ever", low=1
    )
    gap_days: float = setting(
        40.0, doc="days after which readings that are owed are declared missing", low=1
    )


@dataclass(frozen=True, slots=True)
class JournalConfig:
    path: Path = setting(
        Path("journal"), doc="folder of the journal, snapshots and health files; on a local disk"
    )
    max_bytes: int = setting(
        20_000_000_000,
        doc="size at which the collector stops acknowledging and says so",
        low=10_000_000,
    )


@dataclass(frozen=True, slots=True)
class MqttConfig:
    url: str = setting(doc="mqtt://host:1883 or mqtts://host:8883")
    client_id: str | None = setting(
        None, doc="client id; left out: one that belongs to the journal"
    )
    username: str | None = setting(None, doc="user at the broker")
    password_file: Path | None = setting(
        None, doc="file that holds the password, mode 600", secret_file=True
    )
    ca: Path | None = setting(None, doc="certificate authority of the broker (mqtts)")
    cert: Path | None = setting(None, doc="client certificate (mqtts)")
    key: Path | None = setting(None, doc="client key, mode 600 (mqtts)", secret_file=True)
    topics: tuple[str, ...] = setting(
        (
            "forewatt/v1/+/readings",
            "forewatt/v1/+/batch",
            "forewatt/v1/+/packed",
            "forewatt/v1/+/events",
        ),
        doc="topic filters to subscribe",
    )
    mappings: tuple[str, ...] = setting(
        (), doc="mappings for other JSON: tasmota, shelly, zigbee2mqtt, or paths of TOML files"
    )
    sparkplug: Path | None = setting(
        None, doc="TOML file of metric and device names for Sparkplug B topics"
    )
    session_expiry_s: int = setting(
        604_800, doc="seconds the broker keeps our messages while we are away", low=60
    )
    receive_maximum: int = setting(
        5000, doc="messages in flight before the broker waits for us", low=1, high=65_535
    )
    keepalive_s: int = setting(
        30, doc="seconds of silence after which broker and collector look for each other", low=5
    )


@dataclass(frozen=True, slots=True)
class UnitConfig:
    unit: int = setting(doc="Modbus unit address", low=0, high=255)
    device: str = setting(doc="device of the network that this unit is")
    profile: str = setting(doc="register map: a name such as sdm630, or a path")
    interval_s: float | None = setting(
        None, doc="seconds between polls; left out: the device's own", low=0.1, high=DAY_S
    )


@dataclass(frozen=True, slots=True)
class ModbusConfig:
    url: str = setting(doc="tcp://host:502, rtu+tcp://host:port or serial:///dev/ttyUSB0?baud=9600")
    units: tuple[UnitConfig, ...] = setting(doc="[{ unit = 1, device = ..., profile = ... }]")
    timeout_s: float = setting(
        2.0, doc="seconds until a silent unit is given up", low=0.05, high=60
    )


@dataclass(frozen=True, slots=True)
class FilesConfig:
    path: Path = setting(doc="folder that a head-end writes its exports to; never written to")
    mapping: str = setting(
        "long", doc="layout of the files: long, wide, or the path of a TOML file"
    )
    settle_s: float = setting(
        10.0, doc="seconds a file must not have changed before it is taken", low=0, high=DAY_S
    )
    every_s: float = setting(
        5.0, doc="seconds between two looks into the folder", low=0.1, high=DAY_S
    )


@dataclass(frozen=True, slots=True)
class CollectConfig:
    processes: int = setting(
        1, doc="collecting processes; the [[mqtt]] entries are dealt out to them", low=1, high=16
    )
    batch_messages: int = setting(
        2000, doc="messages that one append to the journal takes at most", low=1, high=100_000
    )
    linger_ms: float = setting(
        50.0, doc="milliseconds that an append waits for more messages", low=0, high=10_000
    )
    future_s: float = setting(
        300.0, doc="seconds a reading may be ahead of the site clock before it is refused", low=0
    )
    late_s: float = setting(
        300.0, doc="seconds beyond its delivery interval after which a reading is late", low=0
    )


@dataclass(frozen=True, slots=True)
class WatchConfig:
    snapshot_every_s: float = setting(
        60.0, doc="seconds between snapshots of the detectors' state", low=1, high=3600
    )
    snapshot_every_entries: int = setting(
        5000, doc="journal entries after which a snapshot is due earlier", low=1
    )


@dataclass(frozen=True, slots=True)
class WebConfig:
    listen: str = setting("127.0.0.1:8080", doc="host:port of the pages and the API")
    public_url: str | None = setting(None, doc="address people use, if it differs (behind a proxy)")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class OidcConfig:
    issuer: str | None = setting(
        None, doc="address of the OpenID Connect provider; left out: sign-in by Forewatt alone"
    )
    client_id: str | None = setting(None, doc="how the provider knows this installation")
    client_secret_file: Path | None = setting(
        None, doc="file that holds the client's secret, mode 600", secret_file=True
    )
    name: str = setting("OpenID Connect", doc="what the button on the sign-in page says")
    login_claim: str = setting("email", doc="claim whose value is the login here")
    roles_claim: str = setting("roles", doc="claim that names a person's groups or roles")
    roles: tuple[str, ...] = setting(
        (),
        doc="group=role, the first that fits; left out: only people entered here, with their role",
    )


@dataclass(frozen=True, slots=True)
class TrialConfig:
    datasets: Path | None = setting(
        None, doc="folder whose dataset folders and reading files the engineer's page offers"
    )
    running: int = setting(1, doc="trials that run at once; more wait", low=1, high=16)
    kept: int = setting(20, doc="finished trials kept; the oldest are removed", low=1, high=1000)
    kept_bytes: int = setting(5_000_000_000, doc="disk that kept trials may take", low=100_000_000)
    minutes_max: float = setting(
        120.0, doc="minutes after which a trial is ended", low=1, high=10_080
    )


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    lateness_s: float = setting(
        120.0, doc="seconds a reading may come late and still be judged live", low=0.1, high=DAY_S
    )
    patience_s: float = setting(
        1800.0,
        doc="seconds after which a source that lags no longer holds up the others",
        low=1,
        high=7 * DAY_S,
    )
    interval_s: float = setting(
        900.0, doc="step of areas whose devices name no interval", low=1, high=DAY_S
    )
    gap_days: float = setting(
        40.0, doc="a longer hole in all data is jumped over, not judged", low=0.1, high=3650
    )
    slow_delivery_s: float = setting(
        14_400.0,
        doc="devices that deliver more rarely are not judged by their silence",
        low=60,
        high=30 * DAY_S,
    )
    disabled: tuple[str, ...] = setting((), doc="names of detectors that shall not run")
    rebuild_days: float = setting(
        40.0,
        doc="days of history judged again when the detectors' state is lost or of another version",
        low=1,
        high=3650,
    )


@dataclass(frozen=True, slots=True)
class AlertConfig:
    update_growth: float = setting(
        1.5, doc="factor by which a score must grow before the alert is updated", low=1.0, high=100
    )
    update_every_s: float = setting(
        3600.0, doc="seconds that must lie between two updates of one alert", low=0, high=7 * DAY_S
    )
    flaps: int = setting(
        4, doc="raises within the flap window after which an alert is held as one", low=2, high=100
    )
    flap_window_s: float = setting(DAY_S, doc="length of the flap window in seconds", low=60)
    flap_quiet_s: float = setting(
        21_600.0, doc="seconds of quiet that end a flapping alert", low=60, high=30 * DAY_S
    )
    budget: float = setting(
        0.0,
        doc="tickets a day for each team, P1 not counted; the rest is the watch list; 0 = no bound",
        low=0,
        high=10_000,
    )
    limits: Path | None = setting(
        None, doc="least scores of a ticket, written and accepted by `forewatt calibrate`"
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; `file` and `folder` say where it came from."""

    database: DatabaseConfig = setting(doc="the PostgreSQL with TimescaleDB that keeps history")
    site: SiteConfig = setting(default_factory=SiteConfig, doc="this installation")
    network: NetworkConfig = setting(default_factory=NetworkConfig, doc="what hangs where")
    journal: JournalConfig = setting(default_factory=JournalConfig, doc="the durable log")
    mqtt: tuple[MqttConfig, ...] = setting((), doc="brokers to collect from")
    modbus: tuple[ModbusConfig, ...] = setting((), doc="Modbus buses to poll")
    files: tuple[FilesConfig, ...] = setting((), doc="folders of head-end exports")
    collect: CollectConfig = setting(default_factory=CollectConfig, doc="the collecting process")
    watch: WatchConfig = setting(default_factory=WatchConfig, doc="the judging process")
    web: WebConfig = setting(default_factory=WebConfig, doc="pages and API")
    oidc: OidcConfig = setting(
        default_factory=OidcConfig, doc="sign-in at the organisation's own provider"
    )
    trials: TrialConfig = setting(default_factory=TrialConfig, doc="replays of the engineer")
    detectors: DetectorConfig = setting(default_factory=DetectorConfig, doc="detectors")
    alerts: AlertConfig = setting(default_factory=AlertConfig, doc="alerts and tickets")
    desk: DeskConfig = setting(default_factory=DeskConfig, doc="promises and notices")
    notify: tuple[NotifyConfig, ...] = setting((), doc="who is told")
    head_end: HeadEndConfig | None = setting(None, doc="who reads meters now")
    file: Path = dataclasses.field(default=Path("forewatt.toml"), init=False)

    def database_url(self) -> str:
        """The address with the password from its file, for the driver only; never print it."""
        secret = self.database.password_file
        if secret is None:
            return self.database.url
        parts = urlsplit(self.database.url)
        password = quote(secret.read_text(encoding="utf-8").strip(), safe="")
        place = parts.netloc.rpartition("@")
        user = place[0].partition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{place[2]}"))

    def named(self, text: str) -> str:
        """What comes with Forewatt by its name; a path relative to this configuration file."""
        if "/" not in text and not text.endswith(".toml"):
            return text
        return str(self.file.parent / Path(text).expanduser())

    def clock(self) -> Clock:
        """Site time as `[site] clock` says; BadInput when a clock file cannot be read."""
        chosen = self.site.clock
        if not isinstance(chosen, ClockFile):
            return RealClock()
        try:
            return SharedClock(chosen.file)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(
                f"site.clock: {chosen.file} is no clock file ({error})",
                file=str(self.file),
                fix="write it with `forewatt replay DIR --prepare --clock FILE`, or set it to real",
            ) from error


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises
    ------
    BadInput
        Naming file, line, key and fix; nothing is contacted here.
    """
    document, source = read_toml(path)
    config = build(Config, document, source)
    object.__setattr__(config, "file", path.resolve())
    _check(config, source)
    return config


def _check(config: Config, source: Source) -> None:
    """What one field alone cannot tell."""
    _zone(config.site.time_zone, source)
    _address(config.database.url, ("postgresql", "postgres"), "database.url", source)
    if not config.mqtt and not config.modbus and not config.files:
        raise BadInput(
            "nothing to collect from",
            file=source.file,
            fix='add [[mqtt]] with url = "mqtt://127.0.0.1:1883", a [[modbus]] bus or [[files]]',
        )
    for n, mqtt in enumerate(config.mqtt, 1):
        _address(mqtt.url, ("mqtt", "mqtts"), f"mqtt[{n}].url", source)
        if mqtt.password_file and not mqtt.username:
            raise source.error(f"mqtt[{n}].password_file", "has no username", "add username")
        if bool(mqtt.cert) != bool(mqtt.key):
            raise source.error(f"mqtt[{n}].cert", "needs its key", "give both cert and key")
        for field in ("ca", "cert"):
            file = getattr(mqtt, field)
            if file and not file.is_file():
                raise source.error(f"mqtt[{n}].{field}", f"no file {file}", "correct the path")
    for n, bus in enumerate(config.modbus, 1):
        if not bus.url.startswith("serial:///dev/"):
            _address(bus.url, ("tcp", "rtu+tcp", "serial"), f"modbus[{n}].url", source)
        if not bus.units:
            raise source.error(f"modbus[{n}].units", "is empty", "name the units on this bus")
    for n, files in enumerate(config.files, 1):
        if not files.path.is_dir():
            raise source.error(f"files[{n}].path", f"no folder {files.path}", "make it first")
    check_notify(config.notify, source)
    check_head_end(config.head_end, source)
    oidc = config.oidc
    if oidc.issuer:
        _address(oidc.issuer, ("https", "http"), "oidc.issuer", source)
        for key in ("client_id", "client_secret_file"):
            if not getattr(oidc, key):
                raise source.error("oidc.issuer", f"needs {key}", f"add {key}")
    for pair in oidc.roles:
        if pair.count("=") != 1 or not all(pair.split("=")):
            raise source.error("oidc.roles", f"has {pair!r}", 'write "group=role"')
    try:
        host, port = config.web.address
    except ValueError:
        host, port = "", -1
    if not host or not 0 < port < 65_536:
        raise source.error("web.listen", f"is {config.web.listen!r}", 'write "host:port"')


def _zone(name: str, source: Source) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise source.error(
            "site.time_zone", f"is {name!r}", 'use an IANA name such as "Asia/Shanghai"'
        ) from error


def _address(url: str, schemes: tuple[str, ...], path: str, source: Source) -> None:
    fix = f"write {schemes[0]}://host:port"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise source.error(path, f"is not an address ({error})", fix) from error
    if parts.scheme not in schemes:
        if parts.scheme == "nats":
            fix = "a NATS journal is not part of this version; " + fix
        raise source.error(path, f"has the scheme {parts.scheme or 'none'!r}", fix)
    if port == 0 or (not parts.hostname and not parts.scheme.startswith("postgres")):
        raise source.error(path, "names no host", fix)
