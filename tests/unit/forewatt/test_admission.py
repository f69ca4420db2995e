"""Datasets pass the collectors' checks, so that backtest and live detectors see the same."""

import numpy as np

from forewatt.admission import Admission
from grid.network import Device, Network
from grid.readings import Quality, ReadingBatch

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
