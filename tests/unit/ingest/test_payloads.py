"""Payload forms: what a device may send, and what becomes of each mistake."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.quantities import EVENTS, NAMES
from ingest.payloads import Decoded, PayloadDecoder, decode

T = 1_700_000_000_000  # ms
READINGS = "forewatt/v1/M1/readings"
BATCH = "forewatt/v1/G1/batch"
EVENT = "forewatt/v1/M1/events"


def one(topic: str, content: Any) -> Decoded:
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode(topic, payload, T * 1000 + 5)


def table(found: Decoded) -> list[tuple[str, int, dict[str, float]]]:
    """(device, time in µs, values) of each row, NaN left out."""
    rows = found.rows
    return [
        (
            rows.names[rows.device[i]],
            int(rows.time[i]),
            {name: float(c[i]) for name, c in rows.values.items() if not math.isnan(c[i])},
        )
        for i in range(len(rows))
    ]


def reasons(found: Decoded) -> list[str]:
    return [q.reason for q in found.quarantined]


# -- the forms ---------------------------------------------------------------------------------


def test_one_object_is_one_reading_of_the_device_in_the_topic() -> None:
    found = one(READINGS, {"t": T, "seq": 17, "v_a": 231.2, "e_import": 123456789.5})

    assert [("M1", T * 1000, {"v_a": 231.2, "e_import": 123456789.5})] == table(found)
    assert [17] == found.rows.seq.tolist()
    assert [T * 1000 + 5] == found.rows.received.tolist()
    assert [] == found.quarantined


@pytest.mark.parametrize("before", ["replay-may/", "bridge/north/"])
def test_levels_before_the_root_are_those_of_a_realm_or_a_bridge(before: str) -> None:
    found = [one(before + READINGS, {"t": T, "v_a": 231.2}), one(before + BATCH,
             {"t": T, "device": ["M1"], "v_a": [231.2]})]  # fmt: skip

    for each in found:
        assert [("M1", T * 1000, {"v_a": 231.2})] == [
            (name, at, {k: round(v, 1) for k, v in values.items()})
            for name, at, values in table(each)
        ]


def test_an_array_is_many_readings_in_their_order() -> None:
    found = one(READINGS, [{"t": T + 1, "v_a": 1.0}, {"t": T, "i_a": 2, "seq": 3}])

    expected = [("M1", (T + 1) * 1000, {"v_a": 1.0}), ("M1", T * 1000, {"i_a": 2.0})]
    assert expected == table(found)
    assert [-1, 3] == found.rows.seq.tolist()


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("2023-11-14T22:13:20Z", T * 1000),
        ("2023-11-15T06:13:20+08:00", T * 1000),
        ("2023-11-14 22:13:20.000123Z", T * 1000 + 123),
        ("2023-11-14T22:13:20.000123999z", T * 1000 + 123),
        ("2024-02-29T00:00:00-00:30", 1_709_166_600_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_999_999),
    ],
)
def test_time_may_be_rfc_3339_with_a_zone(text: str, expected_us: int) -> None:
    assert [expected_us] == one(READINGS, {"t": text, "v_a": 1}).rows.time.tolist()


def test_a_fraction_of_a_millisecond_is_kept() -> None:
    assert [T * 1000 + 250] == one(READINGS, {"t": T + 0.25, "v_a": 1}).rows.time.tolist()


def test_columns_of_many_devices_are_one_row_each() -> None:
    batch = {
        "t": [T, T, T + 1],
        "device": ["A", "B", "A"],
        "v_a": [1, None, 3.5],
        "seq": [1, None, 2],
    }

    found = one(BATCH, batch)

    expected = [
        ("A", T * 1000, {"v_a": 1.0}),
        ("B", T * 1000, {}),
        ("A", (T + 1) * 1000, {"v_a": 3.5}),
    ]
    assert expected == table(found)
    assert [1, -1, 2] == found.rows.seq.tolist()


def test_one_time_may_stand_for_all_rows_of_a_batch() -> None:
    found = one(BATCH, {"t": "2023-11-14T22:13:20Z", "device": ["A", "B"], "p": [1, 2]})

    assert [T * 1000, T * 1000] == found.rows.time.tolist()


def test_an_event_keeps_its_place_among_the_readings() -> None:
    decoder = PayloadDecoder()
    decoder.add(READINGS, json.dumps({"t": T, "v_a": 1}).encode(), 1)
    decoder.add(EVENT, json.dumps({"t": T + 1, "event": "last_gasp", "v": "x"}).encode(), 2)
    decoder.add(BATCH, json.dumps({"t": T + 2, "device": ["B"], "v_a": [2]}).encode(), 3)
    decoder.add(READINGS, json.dumps({"t": T + 3, "v_a": 3}).encode(), 4)

    rows = decoder.take().rows

    assert ["", "last_gasp", "", ""] == [EVENTS[e] for e in rows.event]
    assert ["M1", "M1", "B", "M1"] == [rows.names[d] for d in rows.device]
    assert [1, 2, 3, 4] == rows.received.tolist()
    assert 0 == len(decoder.take().rows)


def test_an_array_of_events_is_taken() -> None:
    found = one(EVENT, [{"t": T, "event": "power_down"}, {"t": T + 9, "event": "power_up"}])

    assert ["power_down", "power_up"] == [EVENTS[e] for e in found.rows.event]


def test_the_device_may_be_repeated_but_not_changed_in_the_payload() -> None:
    same = one(READINGS, {"t": T, "device": "M1", "v_a": 1})
    other = one(READINGS, {"t": T, "device": "M2", "v_a": 1})

    assert ["M1"] == [name for name, _, _ in table(same)]
    assert 0 == len(other.rows)
    assert ["the payload names device 'M2', but the topic belongs to 'M1'"] == reasons(other)


# -- the mistakes ------------------------------------------------------------------------------

POISON: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b"   ", "empty"),
    (b"{", "not JSON"),
    (b"hello", "not JSON"),
    (b"null", "the payload is null where an object"),
    (b"17", "is a number where an object"),
    (b'"text"', "is a text where an object"),
    (b"[]", "empty array"),
    (b"[1]", "row is a number"),
    (b"[[[[]]]]", "row is an array"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"t":' * 50_000, "nested too deeply"),
    (b"\xff\xfe\x00", "not UTF-8"),
    (b'{"t":1,"v_a":1}\x00', "not JSON"),
    (b'{"t":1,"v_a":1} trailing', "not JSON"),
    (b'{"t":1,"v_a":NaN}', "not a number (NaN)"),
    (b'{"t":1,"v_a":Infinity}', "infinite"),
    (b'{"t":1,"v_a":1e999}', "infinite"),
    (b'{"t":1,"v_a":' + b"9" * 400 + b"}", "too large"),
    (b'{"t":1,"v_a":' + b"9" * 5000 + b"}", "not usable JSON"),
    (b'{"t":1,"v_a":"231"}', "v_a is a text, not a number"),
    (b'{"t":1,"v_a":true}', "v_a is true/false, not a number"),
    (b'{"t":1,"v_a":[1]}', "v_a is an array, not a number"),
    (b'{"t":1,"v_a":{}}', "v_a is an object, not a number"),
    (b'{"t":1,"voltage":231}', "unknown quantity 'voltage'"),
    (b'{"t":1,"v_a\\u0000":231}', "unknown quantity"),
    (b'{"t":1,"\\ud800":231}', "unknown quantity"),
    (b'{"v_a":231}', "no time"),
    (b'{"t":null,"v_a":231}', "no time"),
    (b'{"t":true,"v_a":231}', "time is true/false"),
    (b'{"t":[],"v_a":231}', "time is a list"),
    (b'{"t":"yesterday","v_a":231}', "not RFC 3339"),
    (b'{"t":"2023-11-14T22:13:20","v_a":231}', "not RFC 3339 with a zone"),
    ('{"t":"٢٠٢٣-11-14T22:13:20Z","v_a":231}'.encode(), "not RFC 3339 with a zone"),
    (b'{"t":"2023-02-30T00:00:00Z","v_a":231}', "does not exist"),
    (b'{"t":"2023-02-20T00:00:61Z","v_a":231}', "does not exist"),
    (b'{"t":"2023-02-20T00:00:00+99:00","v_a":231}', "impossible zone"),
    (b'{"t":NaN,"v_a":231}', "not in epoch milliseconds"),
    (b'{"t":1e999,"v_a":231}', "not in epoch milliseconds"),
    (b'{"t":9223372036854775807,"v_a":231}', "not in epoch milliseconds"),
    (b'{"t":9223372036854775808,"v_a":231}', "not in epoch milliseconds"),
    (b'{"t":-9223372036854775809,"v_a":231}', "not in epoch milliseconds"),
    (b'{"t":1,"seq":"17","v_a":1}', "seq is a text"),
    (b'{"t":1,"seq":-1,"v_a":1}', "seq is -1; a whole number from 0"),
    (b'{"t":1,"seq":9223372036854775808,"v_a":1}', "seq is 9223372036854775808; a whole number"),
    (b'{"t":1,"seq":1.5,"v_a":1}', "seq is 1.5; a whole number from 0"),
    (b'{"t":1,"device":7,"v_a":1}', "names device '7'"),
]


@pytest.mark.parametrize(("payload", "reason"), POISON)
def test_a_poison_payload_is_quarantined_with_its_reason_and_its_neighbours_live(
    payload: bytes, reason: str
) -> None:
    decoder = PayloadDecoder()
    good = json.dumps({"t": T, "v_a": 230.0}).encode()
    decoder.add(READINGS, good, 1)
    decoder.add(READINGS, payload, 2)
    decoder.add(READINGS, good, 3)

    found = decoder.take()

    assert [1, 3] == found.rows.received.tolist()
    (bad,) = found.quarantined
    assert reason in bad.reason
    assert f"mqtt {READINGS}" == bad.source
    assert (b"M1", 2) == (str(bad.device).encode(), bad.received_us)
    if len(payload) > 4 and payload[:1] == b"{":
        assert payload == bad.payload
    bad.reason.encode()  # printable everywhere: no lone surrogate, no NUL
    assert "\x00" not in bad.reason


def test_one_bad_row_of_an_array_does_not_take_the_others_along() -> None:
    payload = b'[{"t":1,"v_a":1},{"t":2,"v_a":NaN},{"t":3,"volt":3},{"t":4,"v_a":4}]'

    found = one(READINGS, payload)

    assert [1000, 4000] == found.rows.time.tolist()
    assert [b'{"t":2,"v_a":NaN}', b'{"t":3,"volt":3}'] == [q.payload for q in found.quarantined]
    assert reasons(found)[0].startswith("row 1: v_a is not a number")


def test_a_bad_time_in_an_array_costs_only_its_row() -> None:
    found = one(READINGS, [{"t": T, "v_a": 1}, {"t": "noon", "v_a": 2}, {"t": T + 1, "v_a": 3}])

    assert [T * 1000, (T + 1) * 1000] == found.rows.time.tolist()
    assert [1.0, 3.0] == found.rows.values["v_a"].tolist()
    (bad,) = found.quarantined
    assert {"t": "noon", "v_a": 2} == json.loads(bad.payload)
    assert "not RFC 3339" in bad.reason


def test_one_bad_row_of_a_batch_is_refused_as_a_batch_of_one_that_can_be_replayed() -> None:
    batch = {"t": [T, T, T], "device": ["A", "B", "C"], "v_a": [1, "x", 3], "i_a": [1, 2, None]}

    found = one(BATCH, batch)

    assert ["A", "C"] == [name for name, _, _ in table(found)]
    (bad,) = found.quarantined
    assert "B" == bad.device
    assert {"t": [T], "device": ["B"], "v_a": ["x"], "i_a": [2]} == json.loads(bad.payload)
    assert "row 1: v_a is a text, not a number" == bad.reason
    mended = bad.payload.replace(b'"x"', b"2")
    assert [("B", T * 1000, {"v_a": 2.0, "i_a": 2.0})] == table(one(BATCH, mended))


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ([1], "the batch is an array"),
        ({"device": ["A"], "v_a": [1]}, "no column 't'"),
        ({"t": 1, "v_a": [1]}, "no column 'device'"),
        ({"t": [1, 2], "device": ["A"], "v_a": [1]}, "has 1 values where 't' has 2"),
        ({"t": 1, "device": "A", "v_a": 1}, "column 'v_a' is a number, not an array"),
        ({"t": 1, "device": "A"}, "no array"),
        ({"t": [], "device": [], "v_a": []}, "no rows"),
        ({"t": 1, "device": ["A"] * 10_001, "v_a": [1] * 10_001}, "10,001 rows in one message"),
    ],
)
def test_a_batch_without_a_usable_shape_is_refused_whole(batch: Any, reason: str) -> None:
    found = one(BATCH, batch)

    assert 0 == len(found.rows)
    assert reason in reasons(found)[0]
    assert json.dumps(batch).encode() == found.quarantined[0].payload


@pytest.mark.parametrize("device", [None, 7, "", ["A"], {}])
def test_a_batch_row_without_a_device_name_is_refused_alone(device: Any) -> None:
    found = one(BATCH, {"t": T, "device": ["A", device], "v_a": [1, 2]})

    assert ["A"] == [name for name, _, _ in table(found)][:1]
    stored = len(found.rows)
    assert 2 == stored + len(found.quarantined)
    if device != "":
        assert 1 == stored


def test_a_payload_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    text = b'{"t":1,"v_a":1' + b" " * ((1 << 20) - 15) + b"}"

    assert 1 == len(one(READINGS, text).rows)
    over = one(READINGS, text + b" ")

    assert 0 == len(over.rows)
    assert "message of 1,048,577 bytes; at most 1,048,576 are taken" == reasons(over)[0]
    assert len(over.quarantined[0].payload) < 70_000


def test_ten_thousand_rows_are_taken_and_one_more_is_not() -> None:
    row = {"t": T, "v_a": 1}

    assert 10_000 == len(one(READINGS, [row] * 10_000).rows)
    over = one(READINGS, [row] * 10_001)

    assert 0 == len(over.rows)
    assert ["10,001 rows in one message; at most 10,000 are taken"] == reasons(over)


def test_unknown_events_are_refused_with_the_known_ones() -> None:
    found = one(EVENT, {"t": T, "event": "explosion"})

    assert "event is 'explosion'; known are last_gasp, power_up" in reasons(found)[0]


@pytest.mark.parametrize(
    "topic",
    [
        "forewatt/v1/M1/other",
        "forewatt/v2/M1/readings",
        "x",
        "forewatt/v1//readings",
        "notforewatt/v1/M1/readings",
    ],
)
def test_an_unknown_topic_is_quarantined_and_not_guessed(topic: str) -> None:
    found = one(topic, {"t": T, "v_a": 1})

    assert 0 == len(found.rows)
    assert "nothing is known about topic" in reasons(found)[0]


def test_the_same_payload_gives_the_same_quarantine_hash() -> None:
    payload = b'[{"t":1,"v_a":NaN}, {"t":2,"v_a":1}]'

    assert one(READINGS, payload).quarantined[0].hash == one(READINGS, payload).quarantined[0].hash


# -- properties --------------------------------------------------------------------------------

_numbers = st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6) | st.none()
_good_rows = st.lists(
    st.tuples(st.integers(0, 4_000_000_000_000), st.dictionaries(st.sampled_from(NAMES), _numbers)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(_good_rows)
def test_array_columns_and_single_messages_tell_the_same(
    rows: list[tuple[int, dict[str, float | None]]],
) -> None:
    singles = PayloadDecoder()
    for t, values in rows:
        singles.add(READINGS, json.dumps({"t": t} | values).encode(), 9)
    array = one(READINGS, [{"t": t} | values for t, values in rows])
    names = {name for _, values in rows for name in values}
    columns = {name: [values.get(name) for _, values in rows] for name in names}
    batch = one(BATCH, {"t": [t for t, _ in rows], "device": ["M1"] * len(rows)} | columns)

    assert table(singles.take()) == table(array) == table(batch)
    assert [] == array.quarantined == batch.quarantined


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["t", "device", "seq", "v_a", "event", "x"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([READINGS, BATCH, EVENT]), _json.map(json.dumps) | st.text(max_size=30))
def test_whatever_comes_nothing_is_raised_and_nothing_vanishes(topic: str, text: str) -> None:
    """Each payload gives at least one row or one quarantine entry, and rows are finite."""
    found = decode(topic, text.encode("utf-8", "surrogatepass"), 1)

    assert len(found.rows) + len(found.quarantined) >= 1
    for column in found.rows.values.values():
        assert not np.isinf(column).any()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_quarantined(payload: bytes) -> None:
    found = decode(READINGS, payload, 1)

    assert len(found.rows) + len(found.quarantined) >= 1


def test_a_message_of_nothing_but_mistakes_is_kept_once_and_not_ten_thousand_times() -> None:
    """A device gone mad must not fill memory and quarantine with its rows."""
    rows = [{"t": T, "volt": i} for i in range(9_999)] + [{"t": T, "v_a": 230.0}]
    payload = json.dumps(rows).encode()

    found = one(READINGS, payload)

    assert 1 == len(found.rows)  # the good row among them is stored
    (kept,) = found.quarantined
    assert kept.reason.startswith("9,999 rows of this message are refused, the first: row 0: ")
    assert payload == kept.payload


def test_a_batch_of_nothing_but_mistakes_is_kept_once() -> None:
    batch = {"t": T, "device": ["A"] * 500, "v_a": ["x"] * 499 + [1]}

    found = one(BATCH, batch)

    assert (1, 1) == (len(found.rows), len(found.quarantined))
    assert json.dumps(batch).encode() == found.quarantined[0].payload
