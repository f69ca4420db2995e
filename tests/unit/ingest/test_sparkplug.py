"""Sparkplug B: births give names to aliases, the sequence shows losses, history is marked."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.quantities import EVENTS
from grid.readings import Quality
from ingest import sparkplug
from ingest.payloads import Decoded, PayloadDecoder
from ingest.sparkplug import SparkplugHost, SparkplugRules, encode_metric, encode_payload

T = 1_700_000_000_000
FLOAT, DOUBLE, INT16, UINT32, INT64, STRING = 9, 10, 2, 7, 4, 12


class Host:
    """A host application and the node that speaks to it."""

    def __init__(self, rules: SparkplugRules | None = None) -> None:
        self.state = SparkplugHost(rules)
        self.decoder = PayloadDecoder(sparkplug=self.state)

    def hear(self, kind: str, payload: bytes, device: str = "") -> Decoded:
        topic = f"spBv1.0/area/{kind}/edge1" + (f"/{device}" if device else "")
        self.decoder.add(topic, payload, T * 1000 + 7)
        return self.decoder.take()

    def birth(self, seq: int = 0) -> None:
        """NBIRTH, and DBIRTH of M1 with two aliases."""
        rebirth = encode_metric(False, 11, name="Node Control/Rebirth")
        bdseq = encode_metric(0, 8, name="bdSeq")
        self.hear("NBIRTH", encode_payload(T, seq, [rebirth, bdseq]))
        metrics = [
            encode_metric(230.5, FLOAT, name="Phase/V_A", alias=1),
            encode_metric(1e9, DOUBLE, name="e_import", alias=2),
            encode_metric(1, UINT32, name="Firmware/revision", alias=3),
        ]
        self.hear("DBIRTH", encode_payload(T, (seq + 1) % 256, metrics), "M1")

    def data(self, seq: int, *metrics: bytes) -> Decoded:
        return self.hear("DDATA", encode_payload(T, seq, list(metrics)), "M1")


@pytest.fixture
def host() -> Host:
    return Host()


def values(found: Decoded) -> list[dict[str, Any]]:
    rows = found.rows
    return [
        {"device": rows.names[rows.device[i]], "t": int(rows.time[i]) // 1000}
        | {q: float(c[i]) for q, c in rows.values.items() if not math.isnan(c[i])}
        for i in range(len(rows))
        if not rows.event[i]
    ]


def events(found: Decoded) -> list[tuple[str, str]]:
    rows = found.rows
    return [
        (rows.names[rows.device[i]], EVENTS[rows.event[i]])
        for i in range(len(rows))
        if rows.event[i]
    ]


def test_a_birth_is_a_reading_of_all_its_metrics(host: Host) -> None:
    metrics = [encode_metric(230.5, FLOAT, name="V_A"), encode_metric(7, UINT32, name="other")]
    host.hear("NBIRTH", encode_payload(T, 0, []))

    found = host.hear("DBIRTH", encode_payload(T, 1, metrics), "M1")

    assert [{"device": "M1", "t": T, "v_a": 230.5}] == values(found)
    assert [] == host.state.take_requests()


def test_data_may_carry_aliases_without_names(host: Host) -> None:
    host.birth()

    found = host.data(
        2, encode_metric(229.5, FLOAT, alias=1), encode_metric(1e9 + 1, DOUBLE, alias=2)
    )

    assert [{"device": "M1", "t": T, "v_a": 229.5, "e_import": 1e9 + 1}] == values(found)
    assert ([], 0) == (host.state.take_requests(), host.state.gaps)


def test_metrics_of_different_times_are_different_readings(host: Host) -> None:
    host.birth()

    found = host.data(
        2,
        encode_metric(230.0, FLOAT, alias=1, timestamp_ms=T - 60_000, historical=True),
        encode_metric(229.0, FLOAT, alias=1, timestamp_ms=T),
        encode_metric(5.0, DOUBLE, alias=2, timestamp_ms=T - 60_000, historical=True),
    )

    expected = [
        {"device": "M1", "t": T - 60_000, "v_a": 230.0, "e_import": 5.0},
        {"device": "M1", "t": T, "v_a": 229.0},
    ]
    assert expected == values(found)
    assert [Quality.BACKFILL, Quality.GOOD] == found.rows.quality.tolist()


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [(-5, INT16, -5.0), (-5, INT64, -5.0), (65_531, 6, 65_531.0), (3_000_000_000, UINT32, 3e9)],
)
def test_integers_keep_their_sign(host: Host, value: int, datatype: int, expected: float) -> None:
    host.hear("NBIRTH", encode_payload(T, 0, []))

    found = host.hear(
        "DBIRTH", encode_payload(T, 1, [encode_metric(value, datatype, name="p")]), "M1"
    )

    assert [expected] == [row["p"] for row in values(found)]


def test_null_and_text_metrics_are_no_values(host: Host) -> None:
    host.birth()

    found = host.data(2, encode_metric(None, FLOAT, alias=1), encode_metric(1, STRING, alias=3))

    assert ([], []) == (values(found), found.quarantined)


def test_a_gap_in_the_sequence_is_counted_and_asks_for_a_rebirth_once(host: Host) -> None:
    host.birth()

    found = host.data(5, encode_metric(230.0, FLOAT, alias=1))
    host.data(9, encode_metric(231.0, FLOAT, alias=1))

    assert [230.0] == [row["v_a"] for row in values(found)]  # what arrived is kept
    assert 2 == host.state.gaps
    ((topic, payload),) = host.state.take_requests()
    assert "spBv1.0/area/NCMD/edge1" == topic
    (_sent, _seq, (metric,)) = sparkplug.read_payload(payload)
    assert "Node Control/Rebirth" == metric.name


def test_the_sequence_goes_round_from_255_to_0(host: Host) -> None:
    host.birth(seq=253)

    host.data(255, encode_metric(230.0, FLOAT, alias=1))
    host.data(0, encode_metric(230.0, FLOAT, alias=1))

    assert (0, []) == (host.state.gaps, host.state.take_requests())


def test_an_unknown_alias_is_quarantined_and_asks_for_a_rebirth(host: Host) -> None:
    """A collector that was started anew has not heard the births."""
    found = host.data(17, encode_metric(230.0, FLOAT, alias=1))

    assert 0 == len(found.rows)
    assert (
        "alias 1 was never announced; a rebirth has been requested" == found.quarantined[0].reason
    )
    assert 1 == len(host.state.take_requests())
    host.birth()
    assert [230.0] == [r["v_a"] for r in values(host.data(2, encode_metric(230.0, FLOAT, alias=1)))]


def test_a_new_birth_forgets_the_old_aliases(host: Host) -> None:
    host.birth()
    host.hear("NBIRTH", encode_payload(T, 0, []))

    found = host.data(1, encode_metric(230.0, FLOAT, alias=1))

    assert 1 == len(found.quarantined)


def test_the_death_of_a_node_is_lost_communication_of_its_devices(host: Host) -> None:
    host.birth()

    lost = host.hear("NDEATH", encode_payload(T, None, [encode_metric(0, 8, name="bdSeq")]))
    again = host.hear("NDEATH", encode_payload(T, None, []))
    host.hear("NBIRTH", encode_payload(T, 0, []))
    back = host.hear("DBIRTH", encode_payload(T, 1, [encode_metric(1.0, FLOAT, name="v_a")]), "M1")

    assert [("M1", "comms_lost")] == events(lost)
    assert [] == events(again)
    assert [("M1", "comms_back")] == events(back)


def test_the_death_of_one_device_is_its_own(host: Host) -> None:
    host.birth()
    host.hear("DBIRTH", encode_payload(T, 2, [encode_metric(1.0, FLOAT, name="v_a")]), "M2")

    lost = host.hear("DDEATH", encode_payload(T, 3, []), "M2")

    assert [("M2", "comms_lost")] == events(lost)


def test_names_follow_the_configured_rules() -> None:
    rules = SparkplugRules(
        {"Volts L1": ("v_a", 1.0), "kWh": ("e_import", 1000.0)}, {"edge1/M1": "T7"}
    )
    host = Host(rules)
    host.hear("NBIRTH", encode_payload(T, 0, []))
    metrics = [encode_metric(230.0, FLOAT, name="Volts L1"), encode_metric(2.5, DOUBLE, name="kWh")]

    found = host.hear("DBIRTH", encode_payload(T, 1, metrics), "M1")

    assert [{"device": "T7", "t": T, "v_a": 230.0, "e_import": 2500.0}] == values(found)


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/STATE/host1", "spBv1.0/area/NCMD/edge1", "spBv1.0/area/DCMD/edge1/M1", "spBv1.0/x"],
)
def test_states_and_commands_are_left_aside(host: Host, topic: str) -> None:
    host.decoder.add(topic, b'{"online": true}', 1)

    found = host.decoder.take()

    assert (0, []) == (len(found.rows), found.quarantined)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x08", "has no end"),
        (b"\x12\x7f\x00", "bytes announced"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x00", "field 0"),
        (b"\x08" + b"\xff" * 11, "has no end"),
        (b"\x12\x03\x0a\x01\xff", "utf-8"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "not in epoch milliseconds"),
    ],
)
def test_a_payload_that_is_not_protobuf_is_quarantined(
    host: Host, payload: bytes, reason: str
) -> None:
    found = host.hear("DDATA", payload, "M1")

    assert reason in found.quarantined[0].reason
    assert payload == found.quarantined[0].payload


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["NBIRTH", "DBIRTH", "DDATA", "NDEATH", "DDEATH"]), st.binary(max_size=80))
def test_no_bytes_raise(kind: str, payload: bytes) -> None:
    host = Host()
    host.birth()

    found = host.hear(kind, payload, "M1" if kind[0] == "D" else "")

    assert all(not len(c) or not math.isinf(c.max()) for c in found.rows.values.values())
