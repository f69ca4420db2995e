"""ReadingBatch: the one type that travels."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grid.quantities import EVENT_CODE, NAMES, QUANTITIES
from grid.readings import BatchBuilder, Quality, ReadingBatch

MINUTE = 60_000_000


def sample() -> ReadingBatch:
    return ReadingBatch.of(
        ["M1", "M2"],
        [0, 1, 0, 1],
        [3 * MINUTE, MINUTE, 2 * MINUTE, MINUTE],
        {"v_a": [231.0, np.nan, 229.0, 228.0], "e_import": [1e9 + 0.25, np.nan, np.nan, 2.0]},
        event=[0, EVENT_CODE["last_gasp"], 0, 0],
        seq=[3, -1, 2, 7],
        quality=[0, 0, int(Quality.LATE), 0],
    )


def assert_same(a: ReadingBatch, b: ReadingBatch) -> None:
    assert list(a.device_names()) == list(b.device_names())
    for column in ("time", "received", "seq", "quality", "event"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
    assert list(a.values) == list(b.values)
    for name in a.values:
        assert a.values[name].dtype == b.values[name].dtype
        np.testing.assert_array_equal(a.values[name], b.values[name])


def test_values_have_the_dtypes_of_the_contract() -> None:
    batch = ReadingBatch.of(["M"], [0], [0], {name: [1.0] for name in reversed(NAMES)})

    assert list(NAMES) == list(batch.values)
    assert {q.name: q.dtype for q in QUANTITIES} == {k: v.dtype for k, v in batch.values.items()}
    assert batch.values["e_import"].dtype == np.float64


def test_an_unknown_quantity_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="volts"):
        ReadingBatch.of(["M"], [0], [0], {"volts": [1.0]})


@pytest.mark.parametrize("device", [[1], [-1], [0, 0]])
def test_a_device_index_that_does_not_fit_is_refused(device: list[int]) -> None:
    with pytest.raises(ValueError, match="device"):
        ReadingBatch.of(["M"], device, [0], {})


def test_bytes_give_back_the_same_batch() -> None:
    assert_same(sample(), ReadingBatch.from_bytes(sample().to_bytes()))


def test_arrow_and_parquet_give_back_the_same_batch(tmp_path: object) -> None:
    path = f"{tmp_path}/readings.parquet"
    sample().to_parquet(path)

    assert_same(sample(), ReadingBatch.from_arrow(sample().to_arrow()))
    assert_same(sample(), ReadingBatch.from_parquet(path))


def test_an_empty_batch_survives_every_form() -> None:
    empty = ReadingBatch.empty()

    assert len(ReadingBatch.from_bytes(empty.to_bytes())) == 0
    assert len(ReadingBatch.from_arrow(empty.to_arrow())) == 0
    assert len(empty.sort()) == 0
    assert len(ReadingBatch.concat([empty, empty])) == 0


@pytest.mark.parametrize("cut", [0, 3, 20, -1])
def test_cut_bytes_are_refused_not_misread(cut: int) -> None:
    with pytest.raises(ValueError):
        ReadingBatch.from_bytes(sample().to_bytes()[:cut])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_become_readings(data: bytes) -> None:
    with pytest.raises(ValueError):
        ReadingBatch.from_bytes(data)


def test_arrow_without_a_device_column_is_refused() -> None:
    with pytest.raises(ValueError, match="device"):
        ReadingBatch.from_arrow(pa.table({"time": pa.array([0], pa.timestamp("us", tz="UTC"))}))


def test_sorting_keeps_the_order_of_equal_times() -> None:
    ordered = sample().sort()

    assert [MINUTE, MINUTE, 2 * MINUTE, 3 * MINUTE] == ordered.time.tolist()
    assert [EVENT_CODE["last_gasp"], 0, 0, 0] == ordered.event.tolist()


def test_concat_merges_names_and_fills_absent_quantities_with_nan() -> None:
    other = ReadingBatch.of(["M2", "M3"], [1, 0], [0, 0], {"i_a": [5.0, 6.0]})

    joined = ReadingBatch.concat([sample(), other])

    assert ("M1", "M2", "M3") == joined.names
    assert ["M1", "M2", "M1", "M2", "M3", "M2"] == list(joined.device_names())
    assert math.isnan(joined.values["v_a"][4])
    assert 5.0 == joined.values["i_a"][4]


def test_readings_and_events_part_the_rows() -> None:
    assert 3 == len(sample().readings())
    assert 1 == len(sample().events())


def test_builder_makes_the_batch_that_the_rows_describe() -> None:
    builder = BatchBuilder()
    builder.add("M1", 1, {"v_a": 230.0}, received_us=9)
    builder.add("M2", 2, {"i_a": 4.0}, received_us=9, seq=5)

    batch = builder.take()

    assert ["M1", "M2"] == list(batch.device_names())
    np.testing.assert_array_equal(np.array([230.0, np.nan], np.float32), batch.values["v_a"])
    np.testing.assert_array_equal(np.array([np.nan, 4.0], np.float32), batch.values["i_a"])
    assert [-1, 5] == batch.seq.tolist()
    assert 0 == len(builder)


@given(
    hnp.arrays(np.int64, st.integers(0, 40), elements=st.integers(-(2**60), 2**60)),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_any_batch_survives_its_bytes(times: np.ndarray, n_names: int, random: object) -> None:
    rng = np.random.default_rng(abs(hash(str(random))) % 2**32)
    names = [f"表{i}" for i in range(n_names)]
    values = {"v_b": rng.normal(size=times.size), "e_export": rng.normal(size=times.size)}
    batch = ReadingBatch.of(names, rng.integers(0, n_names, times.size), times, values)

    assert_same(batch, ReadingBatch.from_bytes(batch.to_bytes()))
