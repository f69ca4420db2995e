"""Mappings: other people's JSON becomes readings, and every mistake is named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grid.errors import BadInput
from ingest.mapping import Rule, TopicPattern
from ingest.mapping_files import load_mappings, mapping_names
from ingest.payloads import Decoded, PayloadDecoder
from ingest.settings import MqttSource
from ingest.try_mapping import try_mapping

NOW = 1_700_000_000_000_000


def send(rules: tuple[Rule, ...], topic: str, content: Any) -> Decoded:
    decoder = PayloadDecoder(rules=rules)
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    decoder.add(topic, payload, NOW)
    return decoder.take()


def table(found: Decoded) -> list[tuple[str, int, dict[str, float]]]:
    rows = found.rows
    return [
        (
            rows.names[rows.device[i]],
            int(rows.time[i]),
            {q: round(float(c[i]), 6) for q, c in rows.values.items() if not math.isnan(c[i])},
        )
        for i in range(len(rows))
    ]


# -- the shipped ones, with samples as the devices send them -----------------------------------

SAMPLES: list[tuple[str, str, dict[str, Any], tuple[str, int, dict[str, float]]]] = [
    (
        "tasmota",
        "tele/plug7/SENSOR",
        {
            "Time": "2023-11-14T22:13:20",
            "ENERGY": {
                "TotalStartTime": "2023-01-01T00:00:00", "Total": 12.345, "Yesterday": 0.1,
                "Power": 230, "ApparentPower": 240, "ReactivePower": 60, "Factor": 0.96,
                "Voltage": 231, "Current": 1.04,
            },
        },
        (
            "plug7", NOW,
            {"v_a": 231, "i_a": 1.04, "p": 230, "q": 60, "pf": 0.96, "e_import": 12_345},
        ),
    ),
    (
        "tasmota",
        "tele/hut/SENSOR",
        {
            "Time": "2023-11-14T22:13:20",
            "ENERGY": {
                "Total": 2.5, "Power": [100, 200, 300], "Voltage": [230, 231, 232],
                "Current": [1, 2, 3], "Frequency": 50,
            },
        },
        (
            "hut", NOW,
            {
                "v_a": 230, "v_b": 231, "v_c": 232, "i_a": 1, "i_b": 2, "i_c": 3,
                "p_a": 100, "p_b": 200, "p_c": 300, "f": 50, "e_import": 2500,
            },
        ),
    ),
    (
        "shelly",
        "shellypro3em-a1/status/em:0",
        {
            "id": 0, "a_current": 4.029, "a_voltage": 236.1, "a_act_power": 951.2, "a_pf": 1.0,
            "a_freq": 50, "b_current": 4.027, "b_voltage": 236.2, "b_act_power": -951.1,
            "c_current": 3.03, "c_voltage": 236.3, "c_act_power": 715.4, "n_current": 11.029,
            "total_act_power": 715.5, "user_calibrated_phase": [],
        },
        (
            "shellypro3em-a1", NOW,
            {
                "v_a": 236.1, "v_b": 236.2, "v_c": 236.3, "i_a": 4.029, "i_b": 4.027, "i_c": 3.03,
                "i_n": 11.029, "p_a": 951.2, "p_b": -951.1, "p_c": 715.4, "p": 715.5, "f": 50,
            },
        ),
    ),
    (
        "shelly",
        "shellypro3em-a1/status/emdata:0",
        {"id": 0, "a_total_act_energy": 1, "total_act": 5415.41, "total_act_ret": 0.5},
        ("shellypro3em-a1", NOW, {"e_import": 5415.41, "e_export": 0.5}),
    ),
    (
        "shelly",
        "plus1pm/status/switch:0",
        {
            "id": 0, "output": True, "apower": 8.9, "voltage": 237.5, "current": 0.03,
            "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141]}, "temperature": {"tC": 23.5},
        },
        (
            "plus1pm", NOW,
            {"v_a": 237.5, "i_a": 0.03, "p": 8.9, "e_import": 6.532, "t_ambient": 23.5},
        ),
    ),
    (
        "zigbee2mqtt",
        "zigbee2mqtt/meter 3",
        {
            "voltage_a": 230.1, "voltage_b": 229.9, "voltage_c": 231.0, "power_a": 10,
            "power_b": 20, "power_c": 30, "current_a": 0.1, "energy": 45.67,
            "ac_frequency": 49.98, "power": 60, "linkquality": 120,
        },
        (
            "meter 3", NOW,
            {
                "v_a": 230.1, "v_b": 229.9, "v_c": 231.0, "p_a": 10, "p_b": 20, "p_c": 30,
                "i_a": 0.1, "e_import": 45_670, "f": 49.98, "p": 60,
            },
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "topic", "sample", "expected"), SAMPLES)
def test_a_shipped_mapping_understands_what_its_devices_send(
    name: str, topic: str, sample: dict[str, Any], expected: tuple[str, int, dict[str, float]]
) -> None:
    found = send(load_mappings(name), topic, sample)

    assert [expected] == table(found)
    assert [] == found.quarantined


@pytest.mark.parametrize("name", mapping_names())
def test_shipped_mappings_subscribe_to_narrow_topics(name: str) -> None:
    filters = MqttSource("mqtt://h", topics=(), rules=load_mappings(name)).filters()

    assert filters
    assert all("#" not in f and "{" not in f for f in filters)


def test_other_sensors_on_the_same_topic_are_nothing_to_worry_about() -> None:
    found = send(load_mappings("tasmota"), "tele/door/SENSOR", {"Time": "x", "Switch1": "ON"})

    assert ([], []) == (table(found), found.quarantined)


# -- the language ------------------------------------------------------------------------------

HEAD = """
[[mapping]]
name = "concentrator"
topic = "area/{area}/in/#"
device_path = "meter.no"
each = "data.list"
sequence = "n"
time = { path = "ts", form = "epoch_s" }
[mapping.devices]
"0042" = "M1"
[mapping.values]
v_a = { path = "U.0", scale = 0.1, absent = [65535] }
t_oil = { path = "T", scale = 0.1, offset = -40 }
"""


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Rule, ...]:
    path = tmp_path / "own.toml"
    path.write_text(HEAD)
    return load_mappings(path)


def test_an_array_of_readings_names_its_devices_and_scales_its_values(
    rules: tuple[Rule, ...],
) -> None:
    items = [
        {"meter": {"no": "0042"}, "U": [2305], "T": 950, "ts": 1_700_000_000, "n": 7},
        {"meter": {"no": 43}, "U": [65535], "T": "400", "ts": 1_700_000_000.5},
    ]

    found = send(rules, "area/7/in/x/y", {"data": {"list": items}})

    expected = [
        ("M1", NOW, {"v_a": 230.5, "t_oil": 55.0}),
        ("43", NOW + 500_000, {"t_oil": 0.0}),
    ]
    assert expected == table(found)
    assert [7, -1] == found.rows.seq.tolist()


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"U": [2300], "ts": 1}, "there is no device name at 'meter.no'"),
        ({"meter": {"no": "a"}, "U": [2300]}, "there is no time at 'ts'"),
        ({"meter": {"no": "a"}, "U": [2300], "ts": "1"}, "is not in epoch seconds"),
        ({"meter": {"no": "a"}, "U": ["high"], "ts": 1}, "'high' at 'U.0' is no number"),
        ({"meter": {"no": "a"}, "U": [True], "ts": 1}, "'True' at 'U.0' is no number"),
        ({"meter": {"no": "a"}, "ts": 1}, "mapping 'concentrator' finds none of its values"),
        ("text", "finds none of its values"),
        (None, "finds none of its values"),
    ],
)
def test_a_bad_element_is_refused_and_its_neighbours_are_kept(
    rules: tuple[Rule, ...], item: Any, reason: str
) -> None:
    good = {"meter": {"no": "0042"}, "U": [2305], "ts": 1_700_000_000}

    found = send(rules, "area/7/in", {"data": {"list": [good, item, good]}})

    assert ["M1", "M1"] == [name for name, _, _ in table(found)]
    (bad,) = found.quarantined
    assert reason in bad.reason


def test_the_whole_message_is_refused_when_the_array_is_missing(rules: tuple[Rule, ...]) -> None:
    found = send(rules, "area/7/in", {"data": 3})

    assert "there is no array at 'data.list'" in found.quarantined[0].reason


def test_local_times_are_read_in_their_zone(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[[mapping]]\nname = "x"\ntopic = "x/{d}"\ndevice = "{d}"\n'
        'time = { path = "at", form = "local", zone = "Asia/Shanghai" }\n'
        '[mapping.values]\nv_a = "v"\n'
    )

    found = send(load_mappings(path), "x/M1", {"at": "2023-11-15 06:13:20", "v": 1})

    assert [NOW] == found.rows.time.tolist()


@pytest.mark.parametrize(
    ("pattern", "topic", "parts"),
    [
        ("tele/{device}/SENSOR", "tele/a b/SENSOR", {"device": "a b"}),
        ("tele/{device}/SENSOR", "tele/a/b/SENSOR", None),
        ("{device}/status/em:0", "x/status/em:0", {"device": "x"}),
        ("a.b/{x}-{y}/c", "a.b/1-2/c", {"x": "1", "y": "2"}),
        ("a.b/{x}", "aXb/1", None),
        ("a/+/{x}", "a/q/1", {"x": "1"}),
        ("a/{x}/#", "a/1/b/c", {"x": "1"}),
        ("a/{x}/#", "a/1", {"x": "1"}),
        ("a/{x}/#", "a/1x", {"x": "1x"}),
        ("#", "any/thing", {}),
    ],
)
def test_topic_patterns_match_as_mqtt_filters_do(
    pattern: str, topic: str, parts: dict[str, str] | None
) -> None:
    found = TopicPattern(pattern).regex.fullmatch(topic)

    assert parts == (None if found is None else found.groupdict())


def test_try_mapping_shows_a_sample_with_units(rules: tuple[Rule, ...]) -> None:
    item = {"meter": {"no": "0042"}, "U": [2305], "ts": 1_700_000_000}
    sample = json.dumps({"data": {"list": [item, {"ts": 1}]}}).encode()

    lines = try_mapping(rules, "area/7/in", sample, NOW)

    assert "device M1, time 2023-11-14T22:13:20.000000Z" == lines[0]
    assert "v_a" in lines[1] and "230.5 V" in lines[1]
    assert lines[2].startswith("refused: ")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "list", "meter", "no", "U", "T", "ts", "n"]), inner
        )
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(_json)
@example({"list": None, "data": {"list": []}})
def test_whatever_comes_is_a_row_or_a_reason(tmp_path_factory: Any, content: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(HEAD)

    found = send(load_mappings(path), "area/1/in", content)
    listed = send(load_mappings(path), "area/1/in", {"data": {"list": [content]}})

    empty = isinstance(content, dict) and content.get("data") == {"list": []}
    assert empty or len(found.rows) + len(found.quarantined) >= 1
    assert 1 == len(listed.rows) + len(listed.quarantined)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "concentrator"', "", "mapping 1: name is None"),
        ('topic = "area/{area}/in/#"', 'topic = "a/#/b"', "has a # before its end"),
        ('topic = "area/{area}/in/#"', 'topic = "{a}/{a}"', "names a part twice"),
        ('device_path = "meter.no"', "", "device must be given one way"),
        ('device_path = "meter.no"', 'device = "{meter}"', "which the topic does not name"),
        ('sequence = "n"', 'sequense = "n"', "Did you mean 'sequence'?"),
        ('form = "epoch_s"', 'form = "epoch"', "time: form is 'epoch'. Known: rfc3339"),
        ('path = "ts", ', "", "time has a form that does not fit its path"),
        ('form = "epoch_s"', 'form = "local", zone = "Mars/Base"', "'Mars/Base' is not known"),
        ("v_a = ", "va = ", "'va' is no quantity. Did you mean 'v_a'?"),
        ("scale = 0.1, absent", "scale = 0, absent", "values: v_a: scale is 0"),
        ("scale = 0.1, absent", "scael = 0.1, absent", "Did you mean 'scale'?"),
        ("absent = [65535]", "absent = 65535", "values: v_a: absent is 65535"),
        ('path = "U.0"', "path = []", "values: v_a: path is []"),
        ('"0042" = "M1"', '"0042" = 1', "devices is not a table of names"),
        ("[mapping.values]", "[mapping.value]", "Did you mean 'values'?"),
        ("[[mapping]]", "[mapping]", "it holds no [[mapping]] tables"),
        ('name = "concentrator"', "name = ", "not a TOML file"),
    ],
)
def test_a_mistake_names_file_mapping_field_and_fix(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "own.toml"
    assert old in HEAD
    path.write_text(HEAD.replace(old, new, 1))

    with pytest.raises(BadInput) as caught:
        load_mappings(path)

    assert str(path) == caught.value.file
    assert problem in str(caught.value)
