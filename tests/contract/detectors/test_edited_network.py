"""The network is edited while the engine runs: what stayed goes on, all else begins anew.

Through the engine alone: an engine of the edited network restores the running one's snapshot, as
the watch does after an edit, and is fed what comes next.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from detectors.base import Stateful
from detectors.engine import Engine
from grid.network import Network, UsagePoint
from grid.readings import ReadingBatch
from tests.unit.detectors.street import START_US, Street, network, only

WHO, NEIGHBOUR = "T1-B1-2", "T1-B2-3"
CUT_US = START_US + 3 * 86_400_000_000
OWN_AXES = ("device", "three", "service", "lone")


@cache
def street() -> tuple[Network, ReadingBatch]:
    """Four days; on the fourth the register of one meter stands 20 kWh lower than before."""
    net = network(areas=2)
    batch = Street(net, 4.0).readings()
    register = 5e6 + 400.0 * (batch.time - START_US) / 3.6e9
    mine = batch.device == batch.names.index(WHO)
    register[mine & (batch.time >= CUT_US)] -= 20_000.0
    return net, ReadingBatch.of(
        batch.names, batch.device, batch.time, {**batch.values, "e_import": register}
    )


def without(net: Network, *devices: str) -> Network:
    return replace(net, devices=tuple(d for d in net.devices if d.id not in devices))


def placed(net: Network, **place: str) -> Network:
    """WHO's usage point elsewhere."""
    moved: tuple[UsagePoint, ...] = tuple(
        replace(u, **place) if u.id == f"U-{WHO}" else u  # type: ignore[arg-type]
        for u in net.usage_points
    )
    return replace(net, usage_points=moved)


def passed_through(*networks: Network) -> Engine:
    """Three days on the street, then one network after another takes over the state."""
    net, rows = street()
    engine = Engine(net)
    engine.feed("s", rows.select(rows.time < CUT_US))
    engine.tick("s", CUT_US)  # so that no reading of before waits to be judged after the edit
    for edited in networks:
        following = Engine(edited)
        following.restore(engine.snapshot())
        engine = following
    return engine


def said_next(engine: Engine) -> set[tuple[str, str]]:
    _, rows = street()
    found = engine.feed("s", rows.select(rows.time >= CUT_US)) + engine.flush()
    return {(f.fault, f.asset) for f in found if f.asset == WHO}


def test_a_meter_that_stayed_is_judged_by_what_it_showed_before() -> None:
    net, _ = street()
    edited = without(net, "T2-B2-6")

    assert said_next(passed_through(edited)) == {("meter_health", WHO)}


@pytest.mark.parametrize(
    "place",
    [
        {"phase": "c"},
        {"branch": "T1-B2"},
        {"transformer": "T2", "branch": "T2-B1"},
    ],
    ids=["phase", "branch", "transformer"],
)
def test_a_moved_meter_starts_afresh(place: dict[str, str]) -> None:
    """What stands in its register now is the first that is known of it there."""
    net, _ = street()

    assert said_next(passed_through(placed(net, **place))) == set()


def test_a_removed_meter_that_comes_back_starts_afresh() -> None:
    """Another meter may bear the name by then; of the old one nothing was kept."""
    net, _ = street()

    assert said_next(passed_through(without(net, WHO), net)) == set()


def test_a_removed_meter_is_never_missed() -> None:
    """It is silent from now on; its neighbour, silent as well but not removed, is reported."""
    net, rows = street()
    engine = Engine(without(net, WHO), only("meter"))
    before = Engine(net, only("meter"))
    before.feed("s", rows.select(rows.time < CUT_US))
    engine.restore(before.snapshot())
    gone = np.isin(rows.device, [rows.names.index(n) for n in (WHO, NEIGHBOUR)])

    found = engine.feed("s", rows.select((rows.time >= CUT_US) & ~gone)) + engine.flush()

    assert {(f.fault, f.asset) for f in found} == {("comms_failure", NEIGHBOUR)}


def parts(engine: Engine) -> list[Stateful]:
    return [part for _, part in engine.families.parts()]


def rows_of(part: Stateful, axis: str, device: str) -> list[int]:
    keys = part.keys(axis)  # type: ignore[arg-type]
    return [i for i, key in enumerate(keys) if key.split("\0")[0] == device]


def test_every_family_forgets_a_moved_meter_and_keeps_its_neighbour() -> None:
    net, _ = street()
    edited = placed(net, phase="c")

    kept, fresh, after = passed_through(), Engine(edited), passed_through(edited)

    compared = differing = 0
    for old, new, now in zip(parts(kept), parts(fresh), parts(after), strict=True):
        for name, axis in now.axes.items():
            if axis not in OWN_AXES or now.name == "outage":  # which asks by place of supply alone
                continue
            for row, same in zip(rows_of(now, axis, WHO), rows_of(new, axis, WHO), strict=True):
                np.testing.assert_array_equal(
                    now.state[name][row], new.state[name][same], f"{now.name}.{name} of {WHO}"
                )
                compared += 1
            for row, same in zip(
                rows_of(now, axis, NEIGHBOUR), rows_of(old, axis, NEIGHBOUR), strict=True
            ):
                np.testing.assert_array_equal(
                    now.state[name][row],
                    old.state[name][same],
                    f"{now.name}.{name} of {NEIGHBOUR}",
                )
                blank = new.state[name][rows_of(new, axis, NEIGHBOUR)[0]]
                differing += not np.array_equal(now.state[name][row], blank, equal_nan=True)

    assert compared >= 15
    assert differing >= 10  # else there would have been nothing to forget
