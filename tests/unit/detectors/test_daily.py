"""The balance of a day by registers: found at its customer, and silent where nothing is lost."""

from dataclasses import replace

import numpy as np
import pytest

from detectors import daily
from detectors.compiled import F8
from detectors.daily import balance_days
from detectors.engine import Engine
from detectors.frames import NEVER
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch
from grid.records import NOT_ENOUGH, WATCH_LIST, Finding
from tests.unit.detectors.street import START_US, network, only

DAYS = 21
QUARTERS = 96
THIEF = "T1-B1-3"


def street() -> Network:
    """Twelve meters that are read once a day, and a monitor every quarter of an hour."""
    net = network(areas=1)
    meters = (replace(d, interval_s=86400.0) if d.kind == "meter" else d for d in net.devices)
    return replace(net, devices=tuple(meters))


def household_powers(net: Network, seed: int = 1) -> dict[str, F8]:
    """Watts of every meter, a value a quarter of an hour."""
    rng = np.random.default_rng(seed)
    evening = 0.6 + 0.5 * np.cos(2 * np.pi * (np.arange(DAYS * QUARTERS) / QUARTERS - 0.8)) ** 2
    weather = np.repeat(rng.uniform(0.85, 1.15, DAYS), QUARTERS)
    powers = {}
    for device in (d.id for d in net.devices if d.kind == "meter"):
        own = np.repeat(rng.uniform(0.7, 1.3, DAYS), QUARTERS)
        usual = rng.uniform(300.0, 900.0)
        powers[device] = usual * evening * weather * own * rng.gamma(3.0, 1 / 3.0, evening.size)
    return powers


def readings(
    net: Network,
    drawn: dict[str, F8],
    counted: dict[str, F8],
    by: str = "e_import",
    anew: dict[str, int] | None = None,
    copper: float = 4e-6,
) -> ReadingBatch:
    """What the meters count of what is drawn; the monitor tells power (`p`) or its register."""
    time = START_US + np.arange(DAYS * QUARTERS) * 900_000_000
    total = np.sum(list(drawn.values()), axis=0)
    handed = total + 40.0 + copper * total**2
    values = handed if by == "p" else 5e8 + np.cumsum(handed) / 4.0
    rows = [ReadingBatch.of(["T1-TM"], np.zeros(time.size, int), time, {by: values})]
    for n, (name, watts) in enumerate(counted.items()):
        register = np.floor((1e6 * (n + 1) + np.cumsum(watts) / 4.0) / 10.0) * 10.0
        midnight = slice(None, None, QUARTERS)
        mine = register[midnight].copy()
        if name in (anew or {}):
            mine[(anew or {})[name] :] -= mine[(anew or {})[name]]
        rows.append(
            ReadingBatch.of([name], np.zeros(DAYS, int), time[midnight], {"e_import": mine})
        )
    return ReadingBatch.concat(rows).sort()


def judged(batch: ReadingBatch, settings: DetectorSettings | None = None) -> list[Finding]:
    engine = Engine(street(), settings or only("energy"))
    return engine.feed("s", batch) + engine.flush()


def since(day: int, share: float) -> F8:
    """1 until a day begins, then a share."""
    return np.where(np.arange(DAYS * QUARTERS) >= day * QUARTERS, share, 1.0)


@pytest.mark.parametrize("by", ["p", "e_import"])
def test_a_meter_that_counts_a_quarter_is_found_at_its_customer(by: str) -> None:
    drawn = household_powers(street())
    counted = drawn | {THIEF: drawn[THIEF] * since(12, 0.25)}

    found = judged(readings(street(), drawn, counted, by), DetectorSettings())

    assert {(f.fault, f.asset) for f in found} == {("energy_loss", f"U-{THIEF}")}
    assert (found[0].tick_us - START_US) / 86400e6 <= 16.0
    numbers = found[-1].evidence.numbers
    assert numbers["counted_of_usual"] == pytest.approx(0.25, abs=0.12)
    lost = float(np.mean((drawn[THIEF] - counted[THIEF])[12 * QUARTERS :]))
    assert numbers["unmetered_w"] == pytest.approx(lost, rel=0.3)


@pytest.mark.parametrize("by", ["p", "e_import"])
@pytest.mark.parametrize("seed", range(4))
def test_an_honest_street_is_quiet(by: str, seed: int) -> None:
    drawn = household_powers(street(), seed)

    assert judged(readings(street(), drawn, drawn, by)) == []


def test_who_is_away_when_a_neighbour_steals_is_not_named() -> None:
    drawn = household_powers(street())
    drawn["T1-B2-2"] = drawn["T1-B2-2"] * since(10, 0.1)
    counted = drawn | {THIEF: drawn[THIEF] * since(13, 0.2)}

    found = judged(readings(street(), drawn, counted))

    assert {f.asset for f in found} == {f"U-{THIEF}"}


def test_a_diversion_that_no_meter_shows_is_found_at_the_transformer() -> None:
    counted = household_powers(street())
    drawn = counted | {THIEF: counted[THIEF] + 1500.0 * (since(12, 0.0) == 0.0)}

    found = judged(readings(street(), drawn, counted))

    assert {(f.asset_kind, f.asset) for f in found} == {("transformer", "T1")}
    assert {f.evidence.numbers.get(WATCH_LIST) for f in found} == {NOT_ENOUGH}


@pytest.mark.parametrize("share", [0.02, 3.0], ids=["moved out", "new vehicle"])
def test_what_the_meter_counts_is_no_loss(share: float) -> None:
    drawn = household_powers(street())
    drawn[THIEF] = drawn[THIEF] * since(12, share)

    assert judged(readings(street(), drawn, drawn)) == []


def test_an_exchanged_meter_is_no_loss() -> None:
    drawn = household_powers(street())

    assert judged(readings(street(), drawn, drawn, anew={THIEF: 12})) == []


def test_meters_that_miss_a_day_count_as_usual_and_are_made_good_the_next() -> None:
    drawn = household_powers(street())
    batch = readings(street(), drawn, drawn)
    rng = np.random.default_rng(5)
    meter = batch.device != batch.names.index("T1-TM")

    assert judged(batch.select(~(meter & (rng.random(meter.size) < 0.05)))) == []


def slow_residuals(handed: F8, metered: F8) -> list[float]:
    """Each day's loss above the line of the days before, the plain way."""
    m_x, m_l, s_xx, s_xl, load = 0.0, 0.0, 0.0, 0.0, 0.0
    out = []
    for n, (m, s) in enumerate(zip(handed, metered, strict=True), 1):
        x, loss = m * m * 1e-6, m - s
        m_x, m_l, load = (x, loss, m) if n == 1 else (m_x, m_l, load)
        load += (1 - np.exp(-0.5)) * (m - load)
        slope = min(max(s_xl / (s_xx + 1e-9), 0.0), 0.08 * load / m_x)
        dx = x - m_x
        out.append(loss - m_l - slope * dx)
        m_x, m_l = m_x + dx / n, m_l + (loss - m_l) / n
        s_xx = (1 - 1 / n) * (s_xx + dx * dx / n)
        s_xl = (1 - 1 / n) * (s_xl + dx * (out[-1] + slope * dx) / n)
    return out


@pytest.mark.parametrize("seed", range(5))
def test_kernel_equals_the_plain_line_while_it_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days, n = 6, 4
    meters = rng.gamma(2.0, 400.0, (days, n))
    handed = meters.sum(1) * 1.03 + 40.0
    areas, when = np.zeros((1, daily.N_AREA_DAY)), np.full((1, 2), NEVER)
    energy, read = np.zeros((n + 1, 2)), np.full((n + 1, 3), NEVER)
    state, score = np.zeros((n + 1, daily.N_DEVICE_DAY), np.float32), np.zeros(1)
    values = np.full((n + 1, 32), np.nan, np.float32)
    register = np.concatenate([[5e6], rng.uniform(1e6, 2e6, n)])
    found = []
    for day in range(days + 1):
        if day:
            register = register + 24.0 * np.concatenate([[handed[day - 1]], meters[day - 1]])
        tick = START_US + day * daily.DAY_US
        balance_days(
            tick,
            daily.DAY_US,
            values,
            register,
            np.full(n + 1, tick),
            np.array([0, n + 1], np.int32),
            np.array([0], np.int32),
            np.zeros(n + 1, np.int64),
            np.ones(n + 1),
            np.full(1, NEVER),
            areas,
            when,
            energy,
            read,
            state,
            score,
        )
        if day:
            found.append(np.sqrt(areas[0, daily.V_R]))

    plain, square = [], 0.0
    for r in slow_residuals(handed, meters.sum(1)):
        square = square * np.exp(-0.2) + r * r
        plain.append(np.sqrt(square))
    assert found == pytest.approx(plain, abs=0.01)
    assert state[1:, daily.TODAY] == pytest.approx(meters[-1], rel=1e-5)


@pytest.mark.parametrize("by", ["p", "e_import"])
def test_a_transformer_that_hands_out_more_than_any_customer_draws_is_balanced(by: str) -> None:
    """Twelve workshops: 130 kW by the monitor's register are no leap of it."""
    drawn = {name: 20.0 * watts for name, watts in household_powers(street()).items()}
    counted = drawn | {THIEF: drawn[THIEF] * since(12, 0.25)}

    found = judged(readings(street(), drawn, counted, by, copper=2e-7))

    assert {f.asset for f in found} == {f"U-{THIEF}"}


def test_a_customer_on_current_transformers_may_draw_what_no_household_does() -> None:
    """75 kW of a factory are no leap of its register."""
    net = street()
    factory = "T1-B2-2"
    net = replace(
        net, devices=tuple(replace(d, ct_ratio=40.0) if d.id == factory else d for d in net.devices)
    )
    drawn = household_powers(net)
    drawn[factory] = drawn[factory] * (75_000.0 / float(np.mean(drawn[factory])))
    engine = Engine(net, only("energy"))
    engine.feed("s", readings(net, drawn, drawn))
    engine.flush()

    (detector,) = engine.families.groups[0]
    at = detector.layout.names.index(factory)
    usual = float(detector.state["days"][at, daily.USUAL])
    assert usual == pytest.approx(75_000.0, rel=0.2)
