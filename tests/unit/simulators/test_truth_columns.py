"""Truth by comparison with the healthy twin, when only one of the two reports a register."""

import numpy as np

from simulators.meters import Reports
from simulators.truth import differing


def reports(**columns: list[float]) -> Reports:
    """One device, three ticks."""
    times = (np.arange(3, dtype=np.int64) * 900_000_000)[:, None]
    table = {name: np.array(values)[:, None] for name, values in columns.items()}
    return Reports(["M1"], times, times, table, np.ones((3, 1), bool), [])


def test_a_register_that_only_the_faulted_twin_has_is_no_difference_by_itself() -> None:
    faulted = reports(v_a=[230.0, 230.0, 220.0], e_export=[0.0, 5.0, 9.0])

    differs = differing(faulted, reports(v_a=[230.0, 230.0, 230.0]))

    assert [False, False, True] == differs[:, 0].tolist()


def test_a_measured_quantity_that_only_the_faulted_twin_reports_is_a_difference() -> None:
    faulted = reports(v_a=[230.0] * 3, i_residual=[np.nan, 0.5, 0.5])

    differs = differing(faulted, reports(v_a=[230.0] * 3))

    assert [False, True, True] == differs[:, 0].tolist()
