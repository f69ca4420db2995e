"""From the configuration to what the collector is told: brokers, buses and folders.

Mappings, profiles and layouts are read here, so that a mistake in one shows before anything starts.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from forewatt.config import Config, FilesConfig, ModbusConfig, MqttConfig
from grid.errors import BadInput
from ingest.checks import CheckSettings
from ingest.layout_files import load_layout
from ingest.mapping_files import load_mappings, load_sparkplug
from ingest.modbus_link import link_for
from ingest.profile_files import load_profile
from ingest.settings import CollectorSettings, FileSource, ModbusBus, ModbusUnit, MqttSource
from ingest.sparkplug import SparkplugRules

# At sixty times real time a second is a minute in which nobody is told.
REAL = {"tick_s": 1.0, "settle_s": 1.0}
SIMULATED = {"tick_s": 0.2, "settle_s": 0.4}

G = TypeVar("G")
M = TypeVar("M")


class Share(NamedTuple):
    """Which of the collecting processes: brokers are dealt out, all else is the first one's."""

    place: int = 0
    of: int = 1

    def deal(self, config: Config) -> tuple[Config, list[tuple[MqttConfig, int]]]:
        """The buses and folders of this process, and its brokers with their numbers."""
        brokers = _numbered(config.mqtt)[self.place :: self.of]
        return (config if self.place == 0 else replace(config, modbus=(), files=())), brokers


WHOLE = Share()


def collector_settings(config: Config, journal: str, share: Share = WHOLE) -> CollectorSettings:
    """What the collector is told; `journal` names the broker session that belongs to it."""
    config, brokers = share.deal(config)
    return CollectorSettings(
        mqtt=tuple(mqtt_source(config, source, journal, nth) for source, nth in brokers),
        modbus=tuple(_modbus(config, bus) for bus in config.modbus),
        files=tuple(_files(config, files) for files in config.files),
        batch_messages=config.collect.batch_messages,
        linger_ms=config.collect.linger_ms,
        **(REAL if config.site.clock == "real" else SIMULATED),
        checks=CheckSettings(future_s=config.collect.future_s, late_s=config.collect.late_s),
    )


def realm_topics(topics: tuple[str, ...], realm: str) -> tuple[str, ...]:
    """Topic filters of a realm: another than live hears `forewatt replay --realm` as well.

    >>> realm_topics(("forewatt/v1/+/events",), "drill-1")
    ('forewatt/v1/+/events', 'drill-1/forewatt/v1/+/events')
    """
    if realm == "live":
        return topics
    return (*topics, *(f"{realm}/{t}" for t in topics if t.startswith("forewatt/")))


def check_parts(config: Config) -> None:
    """Read every mapping and profile that the configuration names; raises BadInput, with nothing
    started, for the first that is wrong."""
    collector_settings(config, "check")
    for bus in config.modbus:
        _checked_bus(config, bus)


def _numbered(sources: Iterable[MqttConfig]) -> list[tuple[MqttConfig, int]]:
    """Each entry with its number among those of its broker, from 1."""
    seen: Counter[str] = Counter()
    out = []
    for source in sources:
        seen[source.url] += 1
        out.append((source, seen[source.url]))
    return out


def mqtt_source(config: Config, source: MqttConfig, journal: str, nth: int = 1) -> MqttSource:
    """One broker with its mappings read; raises BadInput naming what is wrong in them."""
    more = f"-{nth}" if nth > 1 else ""
    return MqttSource(
        url=source.url,
        username=source.username,
        password_file=source.password_file,
        ca=source.ca,
        cert=source.cert,
        key=source.key,
        client_id=source.client_id or f"forewatt-{journal[:13]}{more}",
        label=f"#{nth}" if nth > 1 else "",
        topics=realm_topics(source.topics, config.site.realm),
        receive_maximum=source.receive_maximum,
        session_expiry_s=source.session_expiry_s,
        keepalive_s=source.keepalive_s,
        rules=tuple(
            rule
            for name in source.mappings
            for rule in _named(config, "[[mqtt]] mappings", name, load_mappings)
        ),
        sparkplug=load_sparkplug(source.sparkplug) if source.sparkplug else SparkplugRules(),
    )


def _modbus(config: Config, bus: ModbusConfig) -> ModbusBus:
    units = tuple(
        ModbusUnit(u.unit, u.device, config.named(u.profile), u.interval_s) for u in bus.units
    )
    return ModbusBus(url=bus.url, units=units, timeout_s=bus.timeout_s)


def _files(config: Config, files: FilesConfig) -> FileSource:
    return FileSource(
        path=files.path,
        layout=_named(config, "[[files]] mapping", files.mapping, load_layout),
        ledger=config.journal.path / "files.sqlite",
        settle_s=files.settle_s,
        every_s=files.every_s,
    )


def what_works(
    config: Config, old: CollectorSettings, journal: str, share: Share = WHOLE
) -> tuple[CollectorSettings, list[str]]:
    """What the collector is told when the configuration has changed, and what is wrong in it.

    A source that is wrong now keeps its old settings; a new one that is wrong is left out.
    """
    config, brokers = share.deal(config)
    troubles: list[str] = []
    mqtt = _each(
        "mqtt",
        [(f"{source.url}#{nth}", (source, nth)) for source, nth in brokers],
        lambda given: mqtt_source(config, given[0], journal, given[1]),
        {f"{source.url}{source.label or '#1'}": source for source in old.mqtt},
        troubles,
    )
    modbus = _each(
        "modbus",
        [(bus.url, bus) for bus in config.modbus],
        lambda bus: _checked_bus(config, bus),
        {bus.url: bus for bus in old.modbus},
        troubles,
    )
    files = _each(
        "files",
        [(str(folder.path), folder) for folder in config.files],
        lambda folder: _files(config, folder),
        {str(folder.path): folder for folder in old.files},
        troubles,
    )
    bare = collector_settings(replace(config, mqtt=(), modbus=(), files=()), journal)
    return replace(bare, mqtt=tuple(mqtt), modbus=tuple(modbus), files=tuple(files)), troubles


def _each(
    kind: str,
    given: Iterable[tuple[str, G]],
    make: Callable[[G], M],
    before: Mapping[str, M],
    troubles: list[str],
) -> list[M]:
    made = []
    for name, one in given:
        try:
            made.append(make(one))
        except BadInput as error:
            kept = "it goes on as it was" if name in before else "it is left out"
            troubles.append(f"[[{kind}]] {name}: {error} ({kept})")
            made += [before[name]] if name in before else []
    return made


def _checked_bus(config: Config, bus: ModbusConfig) -> ModbusBus:
    made = _modbus(config, bus)
    link_for(made.url)
    for unit in bus.units:
        _named(config, "[[modbus]] units profile", unit.profile, load_profile)
    return made


def _named(config: Config, key: str, name: str, read: Callable[[str], M]) -> M:
    """What a file that the configuration names holds.

    One that is not there is a mistake of the configuration, at the line that names it; a mistake
    in the file names its own place.
    """
    try:
        return read(config.named(name))
    except BadInput as error:
        if error.file is not None:
            raise
        lines = config.file.read_text(encoding="utf-8").splitlines()
        at = (n for n, text in enumerate(lines, 1) if f'"{name}"' in text or f"'{name}'" in text)
        raise BadInput(
            f"{key}: {error.problem}", file=str(config.file), line=next(at, None), fix=error.fix
        ) from error
