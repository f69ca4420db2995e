"""Growth, heat, loads, callers: the models by themselves."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from simulators.area import HEALTHY_CONTACT_OHM, OPEN_OHM
from simulators.areas import source_voltage
from simulators.callers import stray_calls
from simulators.growth import contact_resistance
from simulators.loads import Loads, area_loads
from simulators.monitors import QUANTITIES
from simulators.registers import Register, RegisterMap, load_register_map
from simulators.spec import DAY_US, CallerSpec, LoadSpec, MvSpec, TownSpec, WeatherSpec, offset_us
from simulators.thermal import ThermalModel, temperatures
from simulators.town import build_town
from simulators.weather import make_weather

MINUTE_US = 60_000_000
START_US = round(datetime.fromisoformat("2026-03-02T00:00:00+08:00").timestamp()) * 1_000_000


@pytest.mark.parametrize("family", ["exponential", "step", "thermal_cycling"])
def test_a_contact_is_healthy_then_grows_then_opens_then_is_mended(family: str) -> None:
    """The four ages of a joint, whatever its family."""
    times = np.arange(0, 2000 * MINUTE_US, MINUTE_US, dtype=np.int64)
    marks = (200 * MINUTE_US, 1400 * MINUTE_US, 1800 * MINUTE_US)

    ohm = contact_resistance(times, *marks, family, 0.01, 1.0, 0.0, np.random.default_rng(1))

    assert np.all(ohm[:200] == HEALTHY_CONTACT_OHM)
    assert 0.005 < ohm[201] < 0.3
    assert np.median(ohm[1300:1400]) > 0.5 * np.median(ohm[1390:1400]) > 0.3
    assert np.all(ohm[1400:1800] == OPEN_OHM)
    assert np.all(ohm[1800:] == HEALTHY_CONTACT_OHM)


def test_families_grow_along_different_curves() -> None:
    """So that a detector cannot learn one: at half its life they differ by a factor."""
    times = np.arange(0, 10 * DAY_US, 15 * MINUTE_US, dtype=np.int64)

    half = [
        contact_resistance(
            times, 0, 10 * DAY_US, None, family, 0.01, 1.0, 0.0, np.random.default_rng(4)
        )
        for family in ("exponential", "step", "thermal_cycling")
    ]

    spread = [np.abs(np.log(a / b)).max() for a, b in ((half[0], half[1]), (half[0], half[2]))]
    assert min(spread) > 0.1


def test_oil_and_hot_spot_follow_the_iec_table_within_a_tenth_of_a_kelvin(
    shared_data: Path,
) -> None:
    """The published table, high-voltage winding: twelve hours of full load from cold, twelve idle.

    Its steady rises (oil 87.9 K loaded and 11.68 K idle, winding 29.01 K over oil) are read from
    its own plateaus; the time constants are those of the standard for power transformers.
    """
    table = pd.read_csv(
        shared_data / "iec60076_7" / "three_winding_validation_data.csv", sep=";", comment="#"
    )
    loss_ratio = (87.9 / 11.68) ** (1.0 / 0.8) - 1.0
    model = ThermalModel(
        oil_tau_min=150.0, winding_tau_min=7.0, k11=0.5, k21=2.0, k22=2.0, oil_rise_k=87.9,
        gradient_k=29.013, hot_spot_factor=1.0, loss_ratio=loss_ratio, oil_exponent=0.8,
    )  # fmt: skip
    load = np.concatenate([np.ones(47), np.zeros(48)])

    oil, hot = temperatures(load, np.full(95, 25.0), 900.0, model, cold_c=25.0)

    assert np.abs(oil - table["top_oil"][1:]).max() < 0.1
    assert np.abs(hot - table["hotspot_hs"][1:]).max() < 0.1


def _loads(days: float, mean_c: float = 12.0) -> tuple[Loads, NDArray[np.int64]]:
    town = build_town(TownSpec(feeders=1, transformers=1, customers=(80, 80)), 5)
    times = START_US + np.arange(0, int(days * DAY_US), 5 * MINUTE_US, dtype=np.int64)
    weather = make_weather(WeatherSpec(mean_c=mean_c), times, 28800, 29.0, 5)
    return area_loads(town.areas[0], times, 28800, weather, LoadSpec(), 5), times


def test_homes_peak_in_the_evening_at_half_to_two_kilowatt_each() -> None:
    """Diversified over eighty homes, half-hour means."""
    loads, _ = _loads(7)

    half_hours = loads.load_w.sum(axis=1).reshape(-1, 6).mean(axis=1) / 80.0
    by_hour = half_hours.reshape(7, 48).mean(axis=0)
    assert 500.0 < half_hours.max() < 2000.0
    assert 35 <= int(np.argmax(by_hour)) <= 43
    assert by_hour[4:8].mean() < 0.6 * by_hour.max()


def test_a_longer_scenario_begins_with_the_same_days() -> None:
    """Loads are drawn day by day: three days are the first three of five."""
    short, times = _loads(3)
    longer, _ = _loads(5)

    steps = times.size
    assert np.array_equal(short.load_w, longer.load_w[:steps])
    assert np.array_equal(short.pv_w, longer.pv_w[:steps])


def test_weather_moves_all_homes_together() -> None:
    """A cold week takes more than a mild one."""
    mild, _ = _loads(2, mean_c=18.0)
    cold, _ = _loads(2, mean_c=0.0)

    assert cold.load_w.mean() > 1.1 * mild.load_w.mean()


def test_the_seasons_move_a_long_scenario_on_from_its_mean() -> None:
    """Winter to summer and back; the first days keep the mean that was asked for."""
    times = START_US + np.arange(0, 365 * DAY_US, 6 * 60 * MINUTE_US, dtype=np.int64)
    spec = WeatherSpec(mean_c=8.0, season_swing_c=24.0, day_sigma_c=0.0, daily_swing_c=0.0)

    ambient = make_weather(spec, times, 28800, 29.0, 5).ambient_c

    assert ambient[0] == pytest.approx(8.0)
    assert np.ptp(ambient) == pytest.approx(24.0, abs=0.1)
    assert 140 < int(np.argmax(ambient)) / 4 < 155  # the end of July after the second of March


def test_the_sun_does_not_shine_at_night() -> None:
    """Panels give nothing between ten and four, something at noon."""
    loads, times = _loads(1)

    hour = (times - START_US) / 3.6e9
    assert 0.0 == loads.pv_w[(hour < 4) | (hour > 22)].max()
    assert loads.pv_w[(hour > 11) & (hour < 13)].min() > 0.0


def test_registers_encode_as_the_meter_answers() -> None:
    """Two words, high first; energy in kWh; a hole reads as zero."""
    registers = RegisterMap(
        (
            Register("v_a", 0, "float32"),
            Register("e_import", 4, "float32", scale=1000.0),
            Register("f", 8, "uint16", scale=0.01),
        )
    )

    words = registers.encode({"v_a": 230.0, "e_import": 1_500_000.0, "f": 50.02})

    assert {0: 0x4366, 1: 0x0000, 4: 0x44BB, 5: 0x8000, 8: 5002} == words
    assert registers.serves(4, 0, 9)
    assert not registers.serves(4, 0, 10)
    assert not registers.serves(3, 0, 2)


def test_the_profile_of_the_collectors_is_read_as_it_is() -> None:
    """Every quantity the simulated monitor has stands in the SDM630 profile."""
    registers = load_register_map(Path("ingest/profiles/sdm630.toml"))

    assert set(QUANTITIES["sdm630"]) == {r.quantity for r in registers.registers}


@pytest.mark.parametrize("text", ["", "tomorrow", "1x 00:30", "-1d"])
def test_an_offset_that_is_none_is_refused(text: str) -> None:
    """Times in a scenario are written one way."""
    with pytest.raises(ValueError, match="not an offset"):
        offset_us(text)


def test_some_call_wrongly_by_the_channels_they_have() -> None:
    """In-home faults and enquiries from anywhere, an outage from those cut off for arrears."""
    town = build_town(TownSpec(feeders=1, transformers=6, customers=(90, 90)), 3)
    spec = CallerSpec(wrong_per_day=20.0, channels=("phone", "counter"))

    calls = stray_calls(town, spec, START_US, START_US + 10 * DAY_US, 28800, 3)

    off = {
        u.person.phone
        for a in town.areas
        for u in a.usage_points
        if u.person.supply_status == "arrears_off"
    }
    dark = [c for c in calls if any(t in c.text for t in ("没电，邻居", "没来电", "neighbours"))]
    assert {"phone", "counter"} == {c.channel for c in calls}
    assert {"fault", "enquiry"} == {c.kind for c in calls}
    assert dark and {c.phone for c in dark} <= off


def test_a_tap_changer_holds_its_band_in_equal_steps_for_all_feeders() -> None:
    """Two feeders of the substation step together; the voltage comes back within the band."""
    spec = MvSpec(sigma_pu=0.008, daily_pu=0.02, tap_step_pu=0.0125, tap_band_pu=0.012)
    times = START_US + np.arange(0, 5 * DAY_US, 5 * MINUTE_US, dtype=np.int64)

    one, two, free = (
        source_voltage(s, feeder, times, 28800, 300, 9)
        for s, feeder in ((spec, "F1"), (spec, "F2"), (MvSpec(sigma_pu=0.008, daily_pu=0.02), "F1"))
    )

    jumps = [set(np.flatnonzero(np.abs(np.diff(v)) > 0.009).tolist()) for v in (one, two)]
    assert len(jumps[0] & jumps[1]) >= 4
    assert one.std() < 0.75 * free.std()
