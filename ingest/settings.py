"""What a collector needs to know, as plain values; `forewatt.config` fills them from TOML."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ingest.checks import CheckSettings
from ingest.layout import Layout
from ingest.mapping import Rule
from ingest.payloads import TOPICS
from ingest.sparkplug import SparkplugRules

MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class MqttSource:
    """One broker.

    `session_expiry_s` is how long the broker keeps messages while no collector is connected;
    `receive_maximum` how many it may send ahead of our acknowledgements (1..65535).
    """

    url: str  # mqtt://[user@]host[:port], or mqtts:// with TLS
    username: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    client_id: str = "forewatt-collect"
    label: str = ""  # tells several sessions with one broker apart
    topics: tuple[str, ...] = TOPICS
    receive_maximum: int = 5_000
    session_expiry_s: int = 7 * 86_400
    keepalive_s: int = 30
    rules: tuple[Rule, ...] = ()  # mappings for other JSON (ingest.mapping_files.load_mappings)

    sparkplug: SparkplugRules = field(
        default_factory=SparkplugRules
    )  # used when `topics` holds spBv1.0/#

    def filters(self) -> tuple[str, ...]:
        """What to subscribe to: the topics, and those of the mappings."""
        mapped = (rule.topic.subscription for rule in self.rules)
        return tuple(dict.fromkeys((*self.topics, *mapped)))


@dataclass(frozen=True, slots=True)
class ModbusUnit:
    """A device on a bus; `interval_s` None takes the device's own from the network."""

    unit: int  # 0..255
    device: str
    profile: str  # name of a shipped profile, or path of a profile file
    interval_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModbusBus:
    """One bus: a device, a gateway or a serial line; its units are polled one after the other."""

    url: (
        str  # tcp://host:port, rtu+tcp://host:port, serial:///dev/ttyUSB0?baud=9600&parity=N&stop=1
    )
    units: tuple[ModbusUnit, ...] = ()
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class FileSource:
    """A folder of exports; `ledger` is the file in which taken ones are remembered."""

    path: Path
    layout: Layout
    ledger: Path
    settle_s: float = 10.0
    every_s: float = 5.0


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """Everything one collector process does."""

    mqtt: tuple[MqttSource, ...] = ()
    modbus: tuple[ModbusBus, ...] = ()
    files: tuple[FileSource, ...] = ()
    batch_messages: int = 2_000  # one journal append (one fsync) takes at most so many
    linger_ms: float = 50.0  # and waits at most so long for more
    tick_s: float = 1.0  # real time between ticks of a source
    quiet_s: float = 0.2  # nothing received for this long: what was sent before has arrived
    settle_s: float = 1.0  # the same, after a (re)connection: redelivery must have drained
    retry_s: float = 1.0  # between attempts to append while the journal has no room
    stop_s: float = 10.0  # for threads to end after `stop`
    checks: CheckSettings = field(default_factory=CheckSettings)
