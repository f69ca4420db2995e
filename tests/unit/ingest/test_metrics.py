"""Counters of a collector: every reason that the decoders give has a name of its own."""

from __future__ import annotations

import pytest

from ingest.metrics import reason_kind
from ingest.payloads import decode

READINGS = "forewatt/v1/M1/readings"
BATCH = "forewatt/v1/gateway/batch"
CASES = [
    (READINGS, b'{"t":1,"v_a":NaN}', "not_finite"),
    (READINGS, b'{"t":1,"v_a":1e999}', "not_finite"),
    (READINGS, b'{"t":1,"v_a":' + b"9" * 400 + b"}", "not_finite"),
    (READINGS, b'{"t":1,"v_a":"231"}', "wrong_type"),
    (READINGS, b'{"t":1,"v_a":true}', "wrong_type"),
    (READINGS, b'{"t":1,"seq":-1,"v_a":1}', "wrong_type"),
    (READINGS, b"17", "wrong_type"),
    (READINGS, b"", "wrong_shape"),
    (READINGS, b"[]", "wrong_shape"),
    (READINGS, b"{", "not_json"),
    (READINGS, b'{"v_a":1}', "bad_time"),
    (READINGS, b'{"t":"yesterday","v_a":1}', "bad_time"),
    (BATCH, b'{"t":[1],"device":["M1","M2"],"v_a":[1,2]}', "wrong_shape"),
    (BATCH, b'{"t":1,"device":["M1"],"v_a":5}', "wrong_shape"),
    (BATCH, b'{"t":[],"device":[],"v_a":[]}', "wrong_shape"),
    (BATCH, b'{"t":1,"device":[5],"v_a":[5]}', "wrong_type"),
    ("forewatt/v1/gateway/packed", b"FWP", "wrong_shape"),
    ("forewatt/v1/M1/events", b'{"t":1,"event":"explode"}', "unknown_event"),
]


@pytest.mark.parametrize(("topic", "payload", "kind"), CASES)
def test_a_refusal_is_counted_by_what_was_wrong(topic: str, payload: bytes, kind: str) -> None:
    refused = decode(topic, payload, 0).quarantined

    assert [kind] == [reason_kind(q.reason) for q in refused]
