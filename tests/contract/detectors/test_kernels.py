"""Every compiled kernel says what its Python text says, bit for bit, on a street where much goes
wrong: wrapped indexes, overflowing counters and divisions by zero would show here."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

import detectors
import detectors.odd
from detectors.engine import Engine
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.readings import ReadingBatch
from tests.unit.detectors.street import START_US, Street, growing, network
from tests.unit.detectors.test_star import BEGINS, nameless

# What has an oracle of its own: `scatter` and what it calls (`test_frames`), whose arguments share
# memory, as copies would not; what runs at the end of a day only (`test_daily`).
ELSEWHERE = {"scatter.scatter", "scatter.mark_of", "scatter.write_rows", "daily.mean_power"}
DAY_US = 86_400_000_000
CALLS_KEPT = 24
EVERY = 61  # a call of so many is kept: early, learned and faulty frames


def kernels() -> dict[str, CPUDispatcher]:
    """Kernels by module and name, where they are defined."""
    found = {}
    for info in pkgutil.iter_modules(detectors.__path__):
        module = importlib.import_module(f"detectors.{info.name}")
        for name, value in vars(module).items():
            mine = isinstance(value, CPUDispatcher) and value.py_func.__module__ == module.__name__
            if mine and f"{info.name}.{name}" not in ELSEWHERE:
                found[f"{info.name}.{name}"] = value
    return found


def copies(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(v.copy() if isinstance(v, np.ndarray) else v for v in values)


class Recorder:
    """Stands in for a kernel: keeps copies of what some of its calls were given and gave back."""

    def __init__(self, kernel: CPUDispatcher) -> None:
        self.kernel = kernel
        self.calls: list[tuple[tuple[Any, ...], tuple[Any, ...], Any]] = []
        self.count = 0

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        if len(self.calls) >= CALLS_KEPT or self.count % EVERY != 1:
            return self.kernel(*args)
        before = copies(args)
        result = self.kernel(*args)
        self.calls.append((before, copies(args), result))
        return result


def put_in_place_of(patch: pytest.MonkeyPatch, stand_ins: dict[int, Any]) -> None:
    """Give every module of the room the stand-ins (by id of the kernel) instead of the kernels."""
    for info in pkgutil.iter_modules(detectors.__path__):
        module = importlib.import_module(f"detectors.{info.name}")
        for name, value in list(vars(module).items()):
            if id(value) in stand_ins:
                patch.setattr(module, name, stand_ins[id(value)])


def story() -> tuple[Network, ReadingBatch]:
    """Faults, holes, gasps, a sensor that leaps, warm terminals, registers that run back; panels
    that feed in beyond what an area draws."""
    street = Street(
        network(areas=2, rated_kva=30.0),
        5.0,
        neutral={"T1-B1": growing(2.5, 4.5, 1.5)},
        joint={"T2-B1-2": growing(2.5, 4.5, 2.0)},
        dark={"T2-B2": (3.3, 3.4)},
        oil={"T1": lambda d: np.where(d > 4.0, 75.0, 40.0)},
        gasps=0.7,
        missing=0.03,
    )
    rows = street.readings()
    rng = np.random.default_rng(5)
    shape, reading = len(rows), rows.event == 0
    leapt = (rows.device_names() == "T2-B1-1") & (rows.time > START_US + 2 * DAY_US)
    fed = (rows.device_names() == "T2-TM") & (rows.time < START_US + DAY_US // 24)
    powers = sum(rows.value(f"v_{x}") * rows.value(f"i_{x}") for x in "abc")
    handed_out = np.where(rows.device_names() == "T1-TM", powers, rows.value("p"))
    return street.net, replace(
        rows,
        values={
            **rows.values,
            "v_a": (rows.value("v_a") + np.where(leapt, 40.0, 0.0)).astype(np.float32),
            "p": np.where(fed, -9000.0, handed_out).astype(np.float32),
            "t_terminal": np.where(reading, rng.normal(30, 3, shape), np.nan).astype(np.float32),
            "e_import": np.where(reading, 9.95e6 + rng.normal(0, 1e5, shape), np.nan),
        },
    )


@pytest.fixture(scope="module")
def recorded() -> dict[str, Recorder]:
    recorders = {name: Recorder(k) for name, k in kernels().items()}
    stories = (story(), nameless(neutral={"T1-B1": growing(BEGINS, BEGINS + 2.0, 2.0)}))
    with pytest.MonkeyPatch.context() as patch:
        put_in_place_of(patch, {id(r.kernel): r for r in recorders.values()})
        patch.setattr(detectors.odd, "METERS_MIN", 10)  # a street is no crowd
        engines = [Engine(net, DetectorSettings()) for net, _ in stories]
        patch.setattr(detectors.odd, "METERS_MIN", 10_000)  # nobody is ranked, only summed up
        for engine, (_, rows) in zip(engines, stories, strict=True):
            for at in range(0, len(rows), 200):
                engine.feed("s", rows.select(slice(at, at + 200)))
            engine.flush()
    assert engines[0].stats.readings > 5000
    return recorders


def interpreted(args: tuple[Any, ...]) -> Iterator[Any]:
    """Arrays in float64: numpy rounds float32 at every step, compiled code only at the end."""
    for a in args:
        single = isinstance(a, np.ndarray) and a.dtype == np.float32
        yield a.astype(np.float64) if single else a


def test_every_kernel_equals_its_python_text(recorded: dict[str, Recorder]) -> None:
    ran = set[str]()

    def watched(name: str, kernel: CPUDispatcher) -> Any:
        def run(*args: Any) -> Any:
            ran.add(name)
            return kernel.py_func(*args)

        return run

    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        put_in_place_of(
            patch, {id(r.kernel): watched(name, r.kernel) for name, r in recorded.items()}
        )
        for name, recorder in recorded.items():
            for before, after, result in recorder.calls:
                args = tuple(interpreted(copies(before)))
                ran.add(name)
                got = recorder.kernel.py_func(*args)
                assert result == pytest.approx(got, nan_ok=True), name
                for k, (expected, found) in enumerate(zip(after, args, strict=True)):
                    if isinstance(found, np.ndarray):
                        np.testing.assert_allclose(
                            found, expected, rtol=1e-4, atol=1e-4, err_msg=f"{name}, argument {k}"
                        )

    assert set(recorded) == ran
