"""The packed form: what a concentrator packs is what arrives; broken bytes are named."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.quantities import NAMES
from ingest.packed import encode_packed
from ingest.payloads import Decoded, decode

TOPIC = "forewatt/v1/G1/packed"
T = 1_700_000_000_000
GOOD = encode_packed(
    ["M1", "M2"], [0, 1, 0], [T, T, T + 1], {"v_a": [230.5, np.nan, 231.0]}, seq=[1, 2, 3]
)


def unpack(payload: bytes) -> Decoded:
    return decode(TOPIC, payload, 9)


def test_rows_come_back_as_they_were_packed() -> None:
    rows = unpack(GOOD).rows

    assert ["M1", "M2", "M1"] == [rows.names[i] for i in rows.device]
    assert [T * 1000, T * 1000, T * 1000 + 1000] == rows.time.tolist()
    assert [1, 2, 3] == rows.seq.tolist()
    np.testing.assert_array_equal([230.5, np.nan, 231.0], rows.values["v_a"])


def test_registers_keep_their_last_watt_hour() -> None:
    payload = encode_packed(["M1"], [0], T, {"e_import": [987_654_321.0], "v_a": [230.0]})

    rows = unpack(payload).rows

    assert [987_654_321.0] == rows.values["e_import"].tolist()
    assert [-1] == rows.seq.tolist()


def test_the_layout_is_the_documented_one() -> None:
    """Written out by hand from docs/payloads.md: one row of M1 with v_a = 230.5."""
    by_hand = b"FWP1" + bytes([1, 0]) + struct.pack("<HIIQ", 1, 1, 2, 1 << NAMES.index("v_a"))
    by_hand += b"M1" + struct.pack("<H", 0) + struct.pack("<q", T) + struct.pack("<f", 230.5)

    assert by_hand == encode_packed(["M1"], [0], T, {"v_a": [230.5]})


def changed(at: int, form: str, value: Any) -> bytes:
    size = struct.calcsize(form)
    return GOOD[:at] + struct.pack(form, value) + GOOD[at + size :]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "too few for its head"),
        (b"FWP1", "too few for its head"),
        (b"FWP2" + GOOD[4:], "it begins with b'FWP2'"),
        (GOOD[:-1], "bytes where its head announces"),
        (GOOD + b"\x00", "bytes where its head announces"),
        (changed(4, "<B", 0xFF), "flags 0xff are not known"),
        (changed(16, "<Q", 1 << 60), "quantities that are not known"),
        (changed(8, "<I", 0), "0 rows"),
        (changed(8, "<I", 0xFFFFFFFF), "4,294,967,295 rows"),
        (changed(12, "<I", 0xFFFFFFFF), "announces"),
        (changed(6, "<H", 3), "device names where 3 are announced"),
        (GOOD.replace(b"M1\x00M2", b"M1\x00M1"), "1 device names where 2"),
        (GOOD.replace(b"M1\x00M2", b"\xff\xff\x00M2"), "utf-8"),
        (changed(29, "<H", 7), "device number 7 where 2 are named"),
        (changed(35, "<q", 1 << 62), "not in epoch milliseconds"),
    ],
)
def test_broken_bytes_are_quarantined_whole_with_the_reason(payload: bytes, reason: str) -> None:
    found = unpack(payload)

    assert 0 == len(found.rows)
    (bad,) = found.quarantined
    assert reason in bad.reason
    assert payload == bad.payload


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_changed_byte_gives_rows_or_a_reason_and_never_an_exception(at: int, byte: int) -> None:
    found = unpack(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])

    assert len(found.rows) in (0, 3)
    assert bool(len(found.rows)) != bool(found.quarantined)


def test_a_single_row_of_it_is_replayed_as_columns() -> None:
    rows = unpack(GOOD).rows

    alone = rows.refused(2, "for a try")
    again = decode(TOPIC, alone.payload, 9).rows

    assert (["M1"], [T * 1000 + 1000], [3]) == (
        list(again.names),
        again.time.tolist(),
        again.seq.tolist(),
    )
    assert [231.0] == again.values["v_a"].tolist()
