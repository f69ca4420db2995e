"""Datasets pass the collectors' checks, so that backtest and live detectors see the same."""

import numpy as np
import pytest

from forewatt.admission import Admission
from grid.network import Device, Network
from grid.readings import Quality, ReadingBatch
from ingest.checks import Checks
from ingest.rows import Origin, Rows

MINUTE = 60_000_000
START = 1_770_000_000_000_000
NETWORK = Network(devices=(Device("M1", ct_ratio=40.0, wiring="3p4w"), Device("M2")))


def test_secondary_values_are_brought_to_the_primary_side() -> None:
    batch = ReadingBatch.of(
        ["M1", "M2"], [0, 1], [START, START], {"i_a": [2.0, 2.0], "v_a": [230.0, 231.0]}
    )

    admitted = Admission(NETWORK).admit(batch)

    assert [80.0, 2.0] == admitted.values["i_a"].tolist()
    assert [230.0, 231.0] == admitted.values["v_a"].tolist()


def test_impossible_values_go_and_their_neighbours_stay() -> None:
    batch = ReadingBatch.of(
        ["M2"],
        [0, 0],
        [START, START + MINUTE],
        {"v_a": [999.0, 230.0], "i_a": [1.0, 2.0]},
    )

    admitted = Admission(NETWORK).admit(batch)

    assert np.isnan(admitted.values["v_a"][0])
    assert [1.0, 2.0] == admitted.values["i_a"].tolist()
    assert [int(Quality.OUT_OF_RANGE), 0] == admitted.quality.tolist()


def test_strangers_and_repeats_are_counted_and_said() -> None:
    admission = Admission(NETWORK)
    batch = ReadingBatch.of(["M9", "M2"], [0, 1, 1], [START] * 3, {"v_a": [230.0, 231.0, 231.0]})

    admitted = admission.admit(batch)

    assert 1 == len(admitted)
    said = " / ".join(admission.sentences())
    assert "1 rows of devices that network/devices.csv does not have: M9" in said
    assert "1 exact repeats were left out" in said


class NoClock:
    """Rows are judged by their own arrival."""

    def now_us(self) -> int:
        return 0

    def real_seconds_until(self, site_us: int) -> float:
        return 0.0


FLEET = Network(
    devices=(
        Device("M1", ct_ratio=40.0, pt_ratio=10.0, wiring="3p4w", interval_s=60.0),
        Device("M2", interval_s=60.0),
        Device("M3", interval_s=60.0, delivery_s=3600.0),
        Device("M4"),
    )
)


def wild(rng: np.random.Generator, first: int, n: int) -> ReadingBatch:
    """Rows in order of arrival with everything that goes wrong on the way."""
    received = START + first * MINUTE + np.sort(rng.integers(0, 30 * MINUTE, n))
    time = received - rng.integers(0, 3, n) * MINUTE
    time += rng.choice([0, 0, 0, 0, 2, 200, -20, -600], n) * MINUTE // 6
    time[rng.random(n) < 0.02] = 0
    device = rng.integers(0, 4, n)
    values = {
        name: np.where(rng.random(n) < 0.3, np.nan, rng.choice([0.0, -0.0, 7.0, 230.0], n))
        for name in ("v_a", "i_a", "p_a", "p_b", "p_c", "p", "pf")
    }
    values["e_import"] = np.where(rng.random(n) < 0.5, np.nan, rng.integers(0, 50, n) * 10.0)
    event = np.where(rng.random(n) < 0.1, rng.integers(1, 4, n), 0)
    for column in values.values():
        column[event > 0] = np.nan
        column[rng.random(n) < 0.02] = np.inf
    quality = rng.choice([0, 0, 0, int(Quality.BACKFILL), int(Quality.REPLACES)], n)
    batch = ReadingBatch.of(
        ["M2", "M1", "M4", "M3"], device, time, values,
        received=received, event=event, quality=quality,
    )  # fmt: skip
    # Some rows come again at once, some after others of the same device.
    return batch.select(np.sort(np.r_[np.arange(n), rng.integers(0, n, n // 8)]))


@pytest.mark.parametrize("seed", range(12))
def test_the_compiled_rules_are_those_of_the_collectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    admission, checks = Admission(FLEET), Checks(FLEET, NoClock())
    refused = repeats = 0

    for k in range(6):
        batch = wild(rng, 30 * k, int(rng.integers(1, 120)))
        if k % 2:
            batch = ReadingBatch.concat([batch, batch.select(slice(0, 9))])  # redelivered
        admitted = admission.admit(batch)
        checked = checks.apply(
            Rows.of(
                batch.names, batch.device, batch.time, batch.values, received=batch.received,
                seq=batch.seq, event=batch.event, quality=batch.quality,
                origins=(Origin("dataset", None),),
            )
        )  # fmt: skip
        refused += len(checked.quarantined)
        repeats += checked.duplicates

        assert checked.batch.device_names().tolist() == admitted.device_names().tolist()
        for name in ("time", "received", "event", "quality"):
            expected, got = getattr(checked.batch, name), getattr(admitted, name)
            np.testing.assert_array_equal(expected, got, err_msg=name)
        for name in batch.values:
            expected, got = checked.batch.value(name), admitted.value(name)
            np.testing.assert_array_equal(expected, got, err_msg=name)
    assert (refused, repeats) == (admission.refused, admission.repeats)
    assert refused > 0
    assert repeats > 0
