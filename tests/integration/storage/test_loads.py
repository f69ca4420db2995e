"""Heavy loads, from what monitors measured, equal a computation by hand."""

from __future__ import annotations

import numpy as np

from grid.network import Device, Network, Transformer
from storage.database import Database
from storage.historian import Historian
from storage.loads import heavy_loads, judged
from storage.rollups import RollupWorker
from tests.integration.storage.memory_journal import HOUR_US, MINUTE_US, START_US, MemoryJournal

NAN = float("nan")
KVA = 100.0


def town() -> Network:
    areas = ("T1", "T2", "T3", "T4")
    return Network(
        transformers=(
            *(Transformer(a, rated_kva=KVA) for a in areas),
            Transformer("T5", rated_kva=None),
        ),
        devices=tuple(
            Device(f"{a}-monitor", "transformer_monitor", transformer=a) for a in (*areas, "T5")
        ),
    )


def test_two_heavy_hours_make_an_entry_the_heaviest_first(
    database: Database, journal: MemoryJournal
) -> None:
    """T1 85 % for two hours, T2 120 % for one and 90 % for one, T3 95 % for one hour only; T4 tells
    its power alone."""
    shares = {
        "T1": (0.5, 0.85, 0.85),
        "T2": (0.3, 1.2, 0.9),
        "T3": (0.2, 0.95, 0.4),
        "T4": (0.82, 0.81, 0.1),
        "T5": (2.0, 2.0, 2.0),
    }
    names = [f"{a}-monitor" for a in shares]
    minutes = np.arange(3 * 60)
    device = np.tile(np.arange(len(names)), minutes.size)
    time = START_US + np.repeat(minutes, len(names)) * MINUTE_US
    va = np.array([s[m // 60] * KVA * 1e3 for m in minutes for s in shares.values()])
    only_power = device == 3
    amps = np.where(only_power, NAN, va / 3 / 230).astype(np.float32)
    volts = np.where(only_power, NAN, 230.0).astype(np.float32)
    journal.readings(
        names, device, time,
        v_a=volts, v_b=volts, v_c=volts, i_a=amps, i_b=amps, i_c=amps,
        p=np.where(only_power, va, NAN).astype(np.float32),
    )  # fmt: skip
    Historian(database, journal).run_once()
    RollupWorker(database, settle_s=0.0).run_once(256)

    found = heavy_loads(database, town(), START_US, START_US + 3 * HOUR_US)

    assert [
        ("T2", 1.2, START_US + HOUR_US, 2, 1),
        ("T1", 0.85, START_US + HOUR_US, 2, 0),
        ("T4", 0.82, START_US, 2, 0),
    ] == [(x.transformer, round(x.peak, 4), x.peak_us, x.heavy_h, x.over_h) for x in found]
    assert 4 == judged(town())
    assert [] == heavy_loads(database, town(), START_US, START_US + HOUR_US, realm="drill-1")
