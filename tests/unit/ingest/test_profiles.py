"""Meter profiles: golden registers, the fewest requests, and every mistake named."""

import json
import math
import struct
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import BadInput
from ingest.profile import TYPES, Block, Profile, Register
from ingest.profile_files import load_profile, profile_names

# Registers of a wired SDM630 as its protocol document shows them: address, two words, SI value.
SDM630_GOLDEN = [
    (0x0000, 0x4366, 0x3333, "v_a", 230.2),
    (0x0002, 0x4365, 0x4CCD, "v_b", 229.3),
    (0x0004, 0x4367, 0x0000, "v_c", 231.0),
    (0x0006, 0x41C8, 0x0000, "i_a", 25.0),
    (0x0008, 0x0000, 0x0000, "i_b", 0.0),
    (0x000A, 0xC120, 0x0000, "i_c", -10.0),
    (0x000C, 0x45B3, 0xB000, "p_a", 5750.0),
    (0x000E, 0x0000, 0x0000, "p_b", 0.0),
    (0x0010, 0xC510, 0x6000, "p_c", -2310.0),
    (0x0034, 0x4557, 0x0000, "p", 3440.0),
    (0x003C, 0x42C8, 0x0000, "q", 100.0),
    (0x003E, 0x3F7F, 0xBE77, "pf", 0.999),
    (0x0046, 0x4248, 0x0000, "f", 50.0),
    (0x0048, 0x4640, 0xE6B7, "e_import", 12_345_678.0),
    (0x004A, 0x3F80, 0x0000, "e_export", 1000.0),
    (0x00E0, 0x3FC0, 0x0000, "i_n", 1.5),
    (0x00F8, 0x4013, 0x3333, "thd_v", 2.3),
]


def image_of(golden: Sequence[tuple[int, int, int, str, float]]) -> dict[int, int]:
    image: dict[int, int] = {}
    for address, high, low, _, _ in golden:
        image |= {address: high, address + 1: low}
    return image


def test_sdm630_registers_decode_to_si_units() -> None:
    profile, image = load_profile("sdm630"), image_of(SDM630_GOLDEN)

    values: dict[str, float] = {}
    for block in profile.plan():
        values |= block.decode([image.get(block.address + i, 0) for i in range(block.count)])

    assert {q for _, _, _, q, _ in SDM630_GOLDEN} == set(values)
    for _, _, _, quantity, expected in SDM630_GOLDEN:
        assert expected == pytest.approx(values[quantity], rel=1e-6), quantity


def test_sdm630_needs_two_requests_for_all_its_values() -> None:
    blocks = load_profile("sdm630").plan()

    assert [(4, 0x0000, 76), (4, 0x00E0, 26)] == [(b.function, b.address, b.count) for b in blocks]


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_names_its_source_and_has_a_probe(name: str) -> None:
    profile = load_profile(name)

    assert name == profile.name
    assert len(profile.source) > 20
    assert profile.probe is not None
    assert all(block.count <= profile.max_words for block in profile.plan())


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", profile_names())
def test_golden_frames_decode_to_the_expected_values(name: str) -> None:
    """Words as they stand on the wire, one frame a request, and what they mean in SI units."""
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    image = {
        (frame["function"], int(frame["address"], 16) + i): int(word, 16)
        for frame in case["frames"]
        for i, word in enumerate(frame["words"].split())
    }

    values: dict[str, float] = {}
    for block in load_profile(name).plan():
        words = [image[block.function, block.address + i] for i in range(block.count)]
        values |= block.decode(words)

    assert case["expected"] == {q: pytest.approx(v, rel=1e-6) for q, v in values.items()}


@pytest.mark.parametrize("name", profile_names())
def test_all_ones_and_not_a_number_are_never_a_value(name: str) -> None:
    """What meters answer for "not available" must not become an impossible or a wrong reading."""
    for register in load_profile(name).registers:
        code, count = TYPES[register.type]
        if code in "fd":
            assert math.isnan(register.decode([0x7FC0] + [0] * (count - 1)))
        for sentinel in register.sentinels:
            words = list(struct.unpack(f">{count}H", struct.pack(f">{code}", sentinel)))
            ordered = words[::-1] if register.low_word_first else words
            assert math.isnan(register.decode(ordered)), register.quantity


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("low_word_first", [False, True])
def test_every_type_and_word_order_reads_back_what_was_written(
    kind: str, low_word_first: bool
) -> None:
    code, count = TYPES[kind]
    number = 12_345 if code in "hH" else 1_234_567
    words = list(struct.unpack(f">{count}H", struct.pack(f">{code}", number)))
    if low_word_first:
        words.reverse()
    register = Register("p", 0, kind, scale=0.1, sign=-1, low_word_first=low_word_first)

    assert -number * 0.1 == pytest.approx(register.decode(words))


@pytest.mark.parametrize(
    ("kind", "words", "sentinels"),
    [
        ("int32", [0x7FFF, 0xFFFF], (0x7FFFFFFF,)),
        ("uint16", [0xFFFF], (0xFFFF,)),
        ("int16", [0x8000], (-32_768,)),
        ("float32", [0x7FC0, 0x0000], ()),
        ("float32", [0xFF80, 0x0000], ()),
    ],
)
def test_not_available_is_nan_and_is_left_out(
    kind: str, words: list[int], sentinels: tuple[int, ...]
) -> None:
    register = Register("p", 7, kind, sentinels=sentinels)

    assert math.isnan(register.decode(words))
    assert {} == Block(4, 7, len(words), (register,)).decode(words)


def profile_of(addresses: Sequence[int], **limits: Any) -> Profile:
    names = list(map(str, range(len(addresses))))
    registers = [Register(n, a, "uint16") for n, a in zip(names, addresses, strict=True)]
    return Profile("x", "x", "x", tuple(registers), **limits)


def test_a_forbidden_hole_is_never_read_across() -> None:
    profile = profile_of([0, 1, 5, 6], fill=10, forbidden=((3, 3),))

    assert [(0, 2), (5, 2)] == [(b.address, b.count) for b in profile.plan()]


def test_function_codes_are_not_mixed_in_a_request() -> None:
    registers = (Register("p", 0, "uint16", function=3), Register("q", 1, "uint16", function=4))

    assert [3, 4] == [b.function for b in Profile("x", "x", "x", registers).plan()]


def obvious_fewest(addresses: Sequence[int], fill: int, max_words: int) -> int:
    """The fewest blocks over all ways to cut the sorted addresses."""
    ordered = sorted(addresses)
    for cuts in range(len(ordered)):
        for places in combinations(range(1, len(ordered)), cuts):
            edges = [0, *places, len(ordered)]
            parts = [ordered[a:b] for a, b in pairwise(edges)]
            if all(
                part[-1] + 1 - part[0] <= max_words
                and all(b - a - 1 <= fill for a, b in pairwise(part))
                for part in parts
            ):
                return cuts + 1
    raise AssertionError("one block a register always fits")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True),
    st.integers(0, 6),
    st.integers(1, 12),
)
def test_the_plan_has_the_fewest_requests_that_the_limits_allow(
    addresses: list[int], fill: int, max_words: int
) -> None:
    plan = profile_of(addresses, fill=fill, max_words=max_words).plan()

    assert obvious_fewest(addresses, fill, max_words) == len(plan)
    assert sorted(addresses) == [r.address for b in plan for r in b.registers]
    assert all(b.count <= max_words for b in plan)


GOOD = """
name = "x"
title = "X"
source = "a document"
type = "uint16"
[[registers]]
quantity = "v_a"
address = 1
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("v_a", "v_aa", "register 1: quantity is 'v_aa'. Did you mean 'v_a'?"),
        ("address = 1", "addres = 1", "'addres' is no field of a profile. Did you mean 'address'?"),
        ("address = 1", "", "register 1: address is missing"),
        ("address = 1", "address = 70000", "register 1: address is 70000"),
        ("address = 1", "address = true", "register 1: address is True"),
        ('type = "uint16"', 'type = "u16"', "register 1: type is 'u16'. Known: int16"),
        (
            'type = "uint16"',
            'typ = "uint16"',
            "'typ' is no field of a profile. Did you mean 'type'?",
        ),
        ("address = 1", "address = 1\nfunction = 6", "function is 6. Write 3 (holding registers)"),
        ("address = 1", "address = 1\nscale = 0", "sign or scale is 0"),
        ("address = 1", 'address = 1\nscale = "k"', "scale is 'k'. Write a number"),
        ("address = 1", "address = 1\nscale = nan", "scale is nan"),
        ("address = 1", "address = 1\nsign = 2", "sign is 2"),
        ("address = 1", 'address = 1\nword_order = "mixed"', "word_order is 'mixed'"),
        ("address = 1", "address = 1\nsentinels = [1.5]", "sentinels are [1.5]"),
        ('name = "x"', "", "name is missing or empty"),
        ('source = "a document"', 'source = ""', "source is missing or empty"),
        ('title = "X"', 'title = "X"\nmax_words = 126', "max_words is 126"),
        ('title = "X"', 'title = "X"\nforbidden = [[5, 3]]', "forbidden holds [5, 3]"),
        ('title = "X"', 'title = "X"\nprobe = 3', "probe is not a table"),
        ("[[registers]]", "[[register]]", "is no field of a profile. Did you mean 'registers'?"),
        ('type = "uint16"', "type = ", "not a TOML file"),
    ],
)
def test_a_mistake_in_a_profile_names_file_field_and_fix(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "meter.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))

    with pytest.raises(BadInput) as caught:
        load_profile(path)

    assert str(path) == caught.value.file
    assert problem in str(caught.value)


def test_a_quantity_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meter.toml"
    path.write_text(GOOD + '[[registers]]\nquantity = "v_a"\naddress = 2\n')

    with pytest.raises(BadInput, match="register 2: quantity 'v_a' is already register 1"):
        load_profile(path)


def test_an_unknown_profile_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Did you mean 'sdm630'"):
        load_profile("sdm360")
