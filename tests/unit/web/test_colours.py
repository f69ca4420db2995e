"""Colours can be told from their ground, in the light and in the dark, canvas included: axe cannot
look into a chart."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[3] / "web" / "static" / "app.css").read_text("utf-8")
LIGHT, _, REST = CSS.partition("@media (prefers-color-scheme: dark)")
DARK = REST.partition("*, *::before")[0]
DECLARED = re.compile(r"--([\w-]+):\s*#([0-9a-f]{6});")
SEVERITIES = ("p1", "p2", "p3", "p4")
LINES = ("phase-a", "phase-b", "phase-c", "phase-n", "series-1", "series-2", "series-3")


def palette(dark: bool) -> dict[str, str]:
    return dict(DECLARED.findall(LIGHT)) | (dict(DECLARED.findall(DARK)) if dark else {})


def luminance(colour: str) -> float:
    def part(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)

    red, green, blue = (part(int(colour[i : i + 2], 16)) for i in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_gives_the_known_ratio_of_black_and_white() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21)


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_every_ground(dark: bool) -> None:
    p = palette(dark)
    pairs = [(ink, ground) for ink in ("ink", "ink-2", "ink-3", "accent") for ground in
             ("ground", "surface", "raised", "accent-soft")]  # fmt: skip
    pairs += [(s, f"{s}-soft") for s in SEVERITIES] + [(s, "surface") for s in SEVERITIES]
    pairs += [(s, "accent-soft") for s in SEVERITIES]
    pairs += [("ok", "ok-soft"), ("amber-ink", "amber-ground"), ("accent-ink", "accent")]

    dim = {pair: contrast(p[pair[0]], p[pair[1]]) for pair in pairs}

    assert {k: round(v, 2) for k, v in dim.items() if v < 4.5} == {}


@pytest.mark.parametrize("dark", [False, True])
def test_lines_of_a_chart_stand_out(dark: bool) -> None:
    p = palette(dark)

    dim = {name: contrast(p[name], p["surface"]) for name in (*LINES, "peer")}

    assert {k: round(v, 2) for k, v in dim.items() if v < 3} == {}


def test_phases_differ_by_dash_as_well_as_by_colour() -> None:
    script = (Path(__file__).resolve().parents[3] / "web" / "static" / "chart.js").read_text(
        "utf-8"
    )
    dashes = re.findall(r'"(phase-[abcn])": \["--phase-[abcn]", (\[[^]]*\])\]', script)

    assert len(dashes) == len({dash for _, dash in dashes}) == 4


def test_dark_names_every_colour_that_light_does() -> None:
    light, dark = dict(DECLARED.findall(LIGHT)), dict(DECLARED.findall(DARK))

    assert set(light) == set(dark)
