"""A million customers: search and the answer, one call at a time."""

import random
import time
from collections.abc import Callable

from alerts.apply import apply_events
from alerts.episodes import Book
from alerts.places import Places
from benchmarks.desk_grid import SEED, START_US, finding, timed
from desk.counter import Counter
from desk.search import CustomerIndex
from forewatt.services import PrivateServices
from grid.clock import RealClock
from grid.network import Customer, Device, Feeder, Network, Transformer, UsagePoint
from storage.database import Database
from storage.desk_supply import Supply
from storage.ledger import PostgresLedger
from storage.migrate import migrate

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰涛明超秀霞平刚桂英华建国文辉红玉兰海燕鹏飞云晓东"
PLACES = "中山解放人民建设新华和平文化学院河坊柳浪杏园桃源清泉龙翔凤起延安环城滨江"


def million(services: PrivateServices, quick: bool) -> None:
    count = 100_000 if quick else 1_000_000
    rng = random.Random(SEED)
    began = time.perf_counter()
    network = town(count, rng)
    index = CustomerIndex(network)
    index.warm()
    built_s = time.perf_counter() - began
    calls = 300
    people = network.customers
    chosen = [people[rng.randrange(count)] for _ in range(calls + 5)]
    streets = [PLACES[2 * i : 2 * i + 2] for i in range(len(PLACES) // 2)]
    print(f"{count:,} customers; network and index made in {built_s:.0f} s")
    print(f"{'search for':<46}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}")
    searches: dict[str, Callable[[int], object]] = {
        "account": lambda n: index.find(chosen[n].account),
        "the last six digits of a phone": lambda n: index.find(chosen[n].phone[-6:]),
        "meter number": lambda n: index.find(f"M{chosen[n].account}"),
        "two characters of an address": lambda n: index.find(streets[n % len(streets)]),
        "two characters of a name": lambda n: index.find(chosen[n].name[:2]),
        "two characters that do not occur": lambda n: index.find("龘龘"),
        "a longer part of an address": lambda n: index.find(chosen[n].address[:9]),
    }
    for title, work in searches.items():
        p50, p95, p99 = timed(work, calls)
        print(f"{title:<46}{p50:>9.2f}{p95:>9.2f}{p99:>9.2f}", flush=True)
    with Database(services.new_database("bench_million")) as database:
        migrate(database)
        ledger, places = PostgresLedger(database), Places(network)
        _fill(database, count)
        areas = [t.id for t in network.transformers[:200]]
        found = [finding("outage", ("transformer", t), START_US + n) for n, t in enumerate(areas)]
        apply_events(Book(network).judge(found), ledger, network, places=places)
        desk = Counter(ledger, network, RealClock(), Supply(database), places=places)
        desk._index = index
        below = [network.usage_points_within("transformer", t) for t in areas]
        dark = [p.account or "" for points in below for p in points]
        lit = timed(lambda n: desk.answer(chosen[n].account), calls)
        out = timed(lambda n: desk.answer(dark[(n * 37) % len(dark)]), calls)
    print(f"{'the answer: nothing known':<46}{lit[0]:>9.1f}{lit[1]:>9.1f}{lit[2]:>9.1f}")
    print(f"{'the answer: a known outage':<46}{out[0]:>9.1f}{out[1]:>9.1f}{out[2]:>9.1f}\n")


def town(count: int, rng: random.Random) -> Network:
    """So many customers in areas of a hundred."""
    transformers, points, devices, people = [], [], [], []
    for n in range(count):
        area, k = divmod(n, 100)
        if k == 0:
            transformers.append(Transformer(f"T{area}", f"F{area // 50}", None, f"T{area}配变"))
        account = f"33{n:010d}"
        at = 2 * rng.randrange(len(PLACES) // 2)
        address = f"{PLACES[at : at + 2]}路{n % 900 + 1}号{n % 40 + 1}幢{n % 30 + 1}0{n % 4 + 1}室"
        name = rng.choice(SURNAMES) + "".join(rng.choices(GIVEN, k=rng.randint(1, 2)))
        points.append(UsagePoint(f"U{n}", f"T{area}", f"T{area}B{k // 25}", None, "a", account))
        devices.append(Device(f"M{account}", usage_point=f"U{n}", interval_s=900.0))
        people.append(Customer(account, name, f"1{rng.randrange(10**10):010d}", address))
    feeders = tuple(Feeder(f"F{f}") for f in range(-(-len(transformers) // 50)))
    return Network(feeders, (), tuple(transformers), tuple(points), tuple(devices), tuple(people))


def _fill(database: Database, count: int) -> None:
    """A newest reading for every meter, as the historian leaves it."""
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO device (name) SELECT 'M33' || lpad(n::text, 10, '0') "
            "FROM generate_series(0, %s - 1) n",
            [count],
        )
        connection.execute("INSERT INTO realm (name) VALUES ('live') ON CONFLICT DO NOTHING")
        connection.execute(
            "INSERT INTO latest (realm, device, time, received, v_a) "
            "SELECT (SELECT id FROM realm WHERE name = 'live'), id, now(), now(), 230 FROM device"
        )
    with database.connection() as connection:
        connection.execute("ANALYZE device")
        connection.execute("ANALYZE latest")
