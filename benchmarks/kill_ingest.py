"""Does a reading get lost or doubled when collector, historian and PostgreSQL are killed?

A publisher sends 5,000 messages a second (QoS 1, one reading each, all different keys) to a real
Mosquitto; `forewatt run --only collect,historian` takes them into a real PostgreSQL. At random
moments one of the three is killed with SIGKILL (PostgreSQL is started again by hand, as a service
manager would). When every message has been acknowledged to the publisher and the journal is empty,
the rows are counted by their keys, and each row's value is compared with what was sent. Exit
status 1 when anything is lost, doubled or different.

Run: python benchmarks/kill_ingest.py [--kills 50] [--rate 5000] [--seed 1]
"""

import argparse
import os
import platform
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ingest_site import BareSender, IngestSite, encoded
from forewatt.services import PrivateServices
from forewatt.services.errors import ServicesError
from storage.database import Database
from tests.waiting import wait_for

METERS = 5_000
BACK_S = 60.0
VICTIMS = ("collect", "historian", "postgres")


class Traffic:
    """A steady stream of readings until told to stop: reading k of meter m has v_a = 200 + k."""

    def __init__(self, url: str, rate: float) -> None:
        self._sender = BareSender(url, "kills")
        self._rate, self._stop = rate, threading.Event()
        self.start_ms = int(time.time() * 1000) - 3_600_000
        self.sent = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        step = 500
        began = time.perf_counter()
        while not self._stop.is_set():
            packets = encoded(map(self._message, range(self.sent, self.sent + step)), self.sent)
            self._sender.send(packets)
            self.sent += step
            ahead = self.sent / self._rate - (time.perf_counter() - began)
            if ahead > 0:
                time.sleep(ahead)

    def _message(self, number: int) -> tuple[str, bytes]:
        meter, k = number % METERS, number // METERS
        t = self.start_ms + 1000 * k + meter % 1000
        return f"forewatt/v1/M{meter}/readings", b'{"t": %d, "seq": %d, "v_a": %d}' % (
            t, k, 200 + k % 200,
        )  # fmt: skip

    def end(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self._sender.drain(self.sent)
        self._sender.close()


def started(services: PrivateServices) -> bool:
    """Start PostgreSQL; not yet while the killed one's children still end."""
    try:
        services.start_database()
    except ServicesError:
        return False
    return True


def disturb(site: IngestSite, services: PrivateServices, kills: int, seed: int) -> dict[str, int]:
    """Kill at random moments, never one that has not come back."""
    chance = random.Random(seed)
    done = dict.fromkeys(VICTIMS, 0)
    for _ in range(kills):
        time.sleep(chance.uniform(0.3, 2.0))
        victim = chance.choice(VICTIMS)
        if victim == "postgres":
            services.stop_database("kill")
            wait_for(lambda: started(services), BACK_S, "PostgreSQL is started again")
        else:
            wait_for(lambda role=victim: site.reports()[role].alive, BACK_S, f"{victim} is there")  # type: ignore[misc]
            before = site.pid(victim)
            site.kill(victim)
            wait_for(
                lambda role=victim, pid=before: site.pid(role) != pid,  # type: ignore[misc]
                BACK_S,
                f"{victim} is started again",
            )
        done[victim] += 1
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=5_000.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-kills-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services"))
        url = services.new_database("kills")
        site = IngestSite(folder / "site", url, services.mqtt_url, METERS)
        ending.enter_context(site)
        traffic = Traffic(services.mqtt_url, given.rate)
        began = time.perf_counter()
        try:
            done = disturb(site, services, given.kills, given.seed)
        finally:
            traffic.end()
        took = time.perf_counter() - began
        wait_for(lambda: all(map(site.well, ("collect", "historian"))), BACK_S, "both are back")
        drained = time.perf_counter()
        wait_for(lambda: site.rows() >= traffic.sent, 600, "all rows")
        drained = time.perf_counter() - drained
        time.sleep(3.0)  # whatever comes twice would come now
        with Database(url) as database, database.connection() as connection:
            found = connection.execute(
                "SELECT count(*), count(DISTINCT (device, time)), "
                "count(*) FILTER (WHERE v_a <> 200 + seq % 200) FROM reading"
            ).fetchone()
            refused = connection.execute("SELECT count(*) FROM quarantine").fetchone()
            conflicts = connection.execute("SELECT count(*) FROM reading_conflict").fetchone()
    assert found is not None and refused is not None and conflicts is not None
    rows, keys, different = found
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed "
        f"{given.seed}: {given.kills} kills ({', '.join(f'{n} {v}' for v, n in done.items())}) in "
        f"{took:.0f} s, {traffic.sent / took:,.0f} messages/s, drained {drained:.0f} s later"
    )
    lost = traffic.sent - keys
    print(f"sent {traffic.sent:,}, rows {rows:,}, lost {lost}, doubled {rows - keys}, different "
          f"{different}, refused {refused[0]}, conflicts {conflicts[0]}")  # fmt: skip
    return 1 if lost or rows != keys or different or refused[0] or conflicts[0] else 0


if __name__ == "__main__":
    sys.exit(main())
