"""`forewatt demo`: the whole house on this machine, with a simulated town before it.

Real PostgreSQL and Mosquitto as private children, the real processes of `forewatt run`, and one
more that plays meters and customers. Everything lies in one folder; every start begins anew.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from forewatt.config import Config, load_config
from forewatt.demo_town import TownData, Towns, demo_scenario, source_key
from forewatt.plan import Plan
from forewatt.run import catch_stop, check_port, child_spec
from forewatt.services import PrivateServices
from forewatt.services.caretaker import Caretaker
from forewatt.services.ports import free_port
from forewatt.site import Place
from forewatt.supervisor import ChildSpec, Supervisor
from grid.clock import SimulatedClock
from grid.errors import ForewattError
from storage.database import Database
from storage.migrate import migrate
from storage.network_store import save_network
from storage.people import People

FOLDER = Path("data/demo")
HOST = "127.0.0.1"
LINK_S = 30 * 86_400
STAFF = (
    ("operator", "Operator 值班员"),
    ("clerk", "Clerk 综合柜员"),
    ("engineer", "Engineer 工程师"),
    ("admin", "Administrator 管理员"),
)
WARM_UP_S = (90.0, 810.0)
"""Compiling takes minutes on a small or busy machine; who waits is told after the first span."""
SECOND_US = 1_000_000


def demo(args: argparse.Namespace) -> int:
    """Until Ctrl-C, SIGTERM or `--for` seconds after it was ready."""
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(args.data or FOLDER).resolve()
    if args.port:
        check_port(HOST, args.port)
    with ExitStack() as ending:
        _say("starting a database and a broker, and building the town ...")
        towns = Towns(folder / "towns")
        simulation = towns.start(args.scenario or demo_scenario())
        ending.callback(simulation.stop)
        warm = WarmUp(folder / "compiled")
        ending.callback(warm.stop)
        services = ending.enter_context(PrivateServices.start(folder / "services"))
        database_url = services.new_database("forewatt")
        town = simulation.wait()
        towns.forget_old()
        warm.wait()
        house = House.build(folder / "run", town, services.mqtt_url, database_url, args)
        _say("playing the healthy week before the story ...")
        house.live(args, Caretaker(services, _say))
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(sentence: str) -> None:
    print(f"forewatt: {sentence}", file=sys.stderr, flush=True)


class WarmUp:
    """Compiles the detectors' kernels in a process of its own, before several want them at once.

    Loading numba to find that nothing is to be done costs a second, so a marker says it.
    """

    def __init__(self, folder: Path) -> None:
        self._marker = folder / source_key("detectors")
        self._process: subprocess.Popen[bytes] | None = None
        if not self._marker.exists():
            words = (sys.executable, "-c", "from detectors import warm_up; warm_up()")
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    def wait(self) -> None:
        """Until the kernels are there; ForewattError when they cannot be compiled."""
        if self._process is None:
            return
        first, rest = WARM_UP_S
        status = _ended(self._process, first)
        if status is None:
            _say("still compiling the detectors, only this first time; Ctrl-C ends it ...")
            status = _ended(self._process, rest)
        if status is None:
            raise ForewattError(
                f"the detectors were not compiled within {first + rest:.0f} s; is the machine busy?"
            )
        if status:
            raise ForewattError(
                "the detectors could not be compiled, see above; run: forewatt doctor"
            )
        self._marker.parent.mkdir(parents=True, exist_ok=True)
        for old in self._marker.parent.iterdir():
            old.unlink()
        self._marker.touch()

    def stop(self) -> None:
        """End a compiler that nobody waits for any more."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def _ended(process: subprocess.Popen[bytes], within_s: float) -> int | None:
    """Its exit status, or None while it runs on."""
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        return None


@dataclass(frozen=True)
class House:
    """One telling of the story: its configuration and its place; nothing runs yet."""

    folder: Path
    config: Config
    place: Place
    town: TownData
    url: str
    mqtt_url: str
    modbus_port: int
    phones_port: int
    speed: float

    @classmethod
    def build(
        cls, folder: Path, town: TownData, mqtt: str, database: str, args: argparse.Namespace
    ) -> "House":
        """Begin anew in `folder`, with the clock held before the first reading."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        SimulatedClock.create(folder / "clock.json", town.span_us[0])
        # The engineer may replay the town that is being played.
        (folder / "datasets").mkdir()
        (folder / "datasets" / "demo-town").symlink_to(town.folder.resolve())
        modbus_port, phones_port, port = free_port(), free_port(), args.port or free_port()
        path = folder / "forewatt.toml"
        path.write_text(
            _toml(town, database, mqtt, modbus_port, phones_port, port), encoding="utf-8"
        )
        config = load_config(path)
        url = f"http://{HOST}:{port}"
        return cls(
            folder, config, Place.of(config), town, url, mqtt, modbus_port, phones_port, args.speed
        )

    def live(self, args: argparse.Namespace, caretaker: Caretaker) -> None:
        """Run all processes until it ends; print the lines when everything serves."""
        stopping = catch_stop()
        lines: list[str] = []
        ends: list[float] = []

        def ready() -> None:
            print("\n".join(lines), flush=True)
            if args.run_s is not None:
                ends.append(time.monotonic() + args.run_s)
            if args.open:
                webbrowser.open(lines[1].partition(": ")[2])

        def done() -> bool:
            if stopping() or (ends and time.monotonic() >= ends[0]):
                return True
            caretaker.look()
            return False

        log_file = self.folder / "log.txt"
        with log_file.open("ab") as log:
            supervisor = Supervisor(
                [child_spec(role, self.config.file) for role in ("watch", "historian", "collect")],
                self.place.health,
                log=log,
                on_ready=ready,
            )
            try:
                # The processes load while people and network are written.
                supervisor.step()
                lines += self._furnish()
                # Not before there are people: pages without any make a first administrator.
                supervisor.add(child_spec("web", self.config.file))
                supervisor.add(self._player())
                supervisor.run(done)
            except ForewattError:
                print(_tail(log_file), file=sys.stderr)
                raise
            finally:
                supervisor.stop()

    def _furnish(self) -> list[str]:
        """Network, people and plan; returns the lines to print."""
        with Database(self.config.database_url(), application="forewatt demo") as database:
            migrate(database)
            save_network(database, self.town.network)
            links, token = _people(People(database), self.url, self.town)
        Plan(
            town=str(self.town.folder),
            mqtt=self.mqtt_url,
            modbus_port=self.modbus_port,
            clock=str(self.folder / "clock.json"),
            health=str(self.place.health),
            story_us=self.town.story_us,
            week_end_us=_week_end_us(self.town, self.config),
            speed=self.speed,
            api=self.url,
            token=token,
            phones_port=self.phones_port,
            texts=str(self.folder / "texts.txt"),
        ).write(self.folder / "plan.json")
        return [
            f"url: {self.url}",
            *links,
            f"database: {self.config.database.url}",
            f"broker: {self.mqtt_url}",
            f"texts: {self.folder / 'texts.txt'}",
        ]

    def _player(self) -> ChildSpec:
        plan = self.folder / "plan.json"
        argv = (sys.executable, "-m", "forewatt.player", "--plan", str(plan))
        return ChildSpec("play", argv, rank=0)


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _week_end_us(town: TownData, config: Config) -> int:
    """The watermark after the last reading before the story."""
    steps = [d.interval_s for d in town.network.devices if d.interval_s]
    step_us = round(min(steps, default=900.0) * SECOND_US)
    return town.story_us - step_us - round(config.detectors.lateness_s * SECOND_US)


def _people(people: People, url: str, town: TownData) -> tuple[list[str], str]:
    """Sign-in links, one line a role, and the token with which customers' calls come in."""
    lines = []
    for role, name in STAFF:
        person = people.create(role, name, role)
        lines.append(f"{role}: {url}/signin/{people.sign_in_link(person.id, LINK_S)}")
    account = town.affected_account()
    if account is not None:
        customer = people.create(f"customer-{account}", account, "customer", account=account)
        lines.append(f"customer: {url}/my/{people.sign_in_link(customer.id, LINK_S)}")
    callers = people.create("callers", "95598", "clerk")
    return lines, people.api_token(callers.id, "callers")


def quoted(path: Path) -> str:
    """A path as a TOML string, whatever characters its folders have."""
    # JSON's escapes are TOML's, but for DEL, which TOML wants written out.
    return json.dumps(str(path), ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(
    town: TownData, database: str, mqtt: str, modbus_port: int, phones_port: int, port: int
) -> str:
    """The configuration of the demo, as one would write it by hand."""
    units = [
        f'  {{ unit = {d.unit}, device = "{d.id}", profile = "{d.profile}" }},'
        for d in town.network.devices
        if d.profile and d.unit is not None
    ]
    bus = [
        "[[modbus]]",
        f'url = "tcp://{HOST}:{modbus_port}"',
        "units = [",
        *units,
        "]",
    ]
    return "\n".join(
        [
            "# Written by `forewatt demo` at each start.",
            "[site]",
            'name = "Forewatt"',
            'clock = { file = "clock.json" }',
            "[network]",
            f"path = {quoted(town.folder)}",
            "[database]",
            f'url = "{database}"',
            "[[mqtt]]",
            f'url = "{mqtt}"',
            "session_expiry_s = 3600",
            *(bus if units else []),
            # In the healthy week the meters' history comes hours (of site time) after the clock:
            # the pollers, who have nothing to do then, must not run ahead of it.
            "[detectors]",
            f"patience_s = {7 * 86_400}",
            "[trials]",
            'datasets = "datasets"',
            "[[notify]]",
            'name = "telephones"',
            'what = "customers"',
            f'url = "http://{HOST}:{phones_port}/texts"',
            "[web]",
            f'listen = "{HOST}:{port}"',
            "",
        ]
    )
