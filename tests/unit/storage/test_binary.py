"""The binary COPY stream against ten obvious lines of struct."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from storage import binary


def obvious(realm: int, columns: list[tuple[str, list[float | int | None]]]) -> bytes:
    """The stream as the PostgreSQL manual describes it, field by field."""
    out = [b"PGCOPY\n\xff\r\n\0", struct.pack(">ii", 0, 0)]
    for i in range(len(columns[0][1])):
        out.append(struct.pack(">hih", len(columns) + 1, 2, realm))
        for code, values in columns:
            value = values[i]
            if value is None:
                out.append(struct.pack(">i", -1))
            else:
                out.append(struct.pack(">i" + code, struct.calcsize(code), value))
    out.append(struct.pack(">h", -1))
    return b"".join(out)


def test_rows_with_and_without_null_equal_the_stream_of_the_manual() -> None:
    device = np.array([1, 2, -3], np.int32)
    time = np.array([0, 2**62, -1], np.int64)
    v_a = np.array([231.5, np.nan, -0.0], np.float32)
    e_import = np.array([np.nan, 1e12 + 0.125, np.nan])

    got = binary.pack(
        -7 & 0xFFFF,
        [
            binary.Field(device),
            binary.Field(time, np.array([False, True, False])),
            binary.floats(v_a),
            binary.floats(e_import),
        ],
    )

    assert got == obvious(
        -7,
        [
            ("i", [1, 2, -3]),
            ("q", [0, None, -1]),
            ("f", [231.5, None, -0.0]),
            ("d", [None, 1e12 + 0.125, None]),
        ],
    )


def test_a_stream_without_nan_takes_the_short_way_to_the_same_bytes() -> None:
    value = np.array([1.5, 2.5], np.float32)

    got = binary.pack(1, [binary.Field(np.array([5, 6], np.int32)), binary.floats(value)])

    assert got == obvious(1, [("i", [5, 6]), ("f", [1.5, 2.5])])


def test_what_the_journal_hands_out_is_packed_whatever_its_byte_order() -> None:
    big = np.array([1.5, 2.5], ">f4")

    got = binary.pack(1, [binary.floats(big)])

    assert got == obvious(1, [("f", [1.5, 2.5])])


def test_no_rows_are_a_stream_of_no_rows() -> None:
    assert binary.pack(1, [binary.Field(np.empty(0, np.int32))]) == obvious(1, [("i", [])])


def test_times_are_counted_from_the_year_2000() -> None:
    field = binary.timestamps(np.array([946_684_800_000_001], np.int64))

    assert field.values.tolist() == [1]


def test_unpack_gives_back_what_a_query_sent_in_any_blocks() -> None:
    # Without a leading int2: what SELECT device, time, v_a sends.
    rows = [(1, 5, 231.5), (2, -6, float("nan"))]
    body = b"".join(struct.pack(">hiiiqif", 3, 4, d, 8, t, 4, v) for d, t, v in rows)
    stream = b"PGCOPY\n\xff\r\n\0" + bytes(8) + body + b"\xff\xff"
    blocks = [stream[:7], memoryview(stream[7:40]), stream[40:]]

    got = binary.unpack(blocks, [("device", "i4"), ("time", "i8"), ("v_a", "f4")])

    assert got["device"].tolist() == [1, 2]
    assert got["time"].tolist() == [5, -6]
    np.testing.assert_array_equal(got["v_a"], np.array([231.5, np.nan], np.float32))


def test_a_stream_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="not a COPY stream"):
        binary.unpack([binary.pack(1, [binary.Field(np.zeros(1, np.int32))])], [("x", "i8")])


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="among 2 rows"):
        binary.pack(1, [binary.Field(np.zeros(2, np.int32)), binary.Field(np.zeros(3, np.int32))])
