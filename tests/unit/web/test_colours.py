"""Colours can be told from their ground, in the light and in the dark, canvas included: axe cannot
look into a chart."""

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[3] / "web" / "static"
CSS, CHART = ((STATIC / name).read_text("utf-8") for name in ("app.css", "chart.js"))
LIGHT, _, REST = CSS.partition("@media screen and (prefers-color-scheme: dark)")
DARK = REST.partition("*, *::before")[0]
DECLARED = re.compile(r"--([\w-]+):\s*#([0-9a-f]{6});")
SHEER = re.compile(r"--([\w-]+):\s*rgb\((\d+) (\d+) (\d+) / ([\d.]+)\);")
SEVERITIES = ("p1", "p2", "p3", "p4")
LINES = ("phase-a", "phase-b", "phase-c", "phase-n", "series-1", "series-2", "series-3")


def palette(dark: bool) -> dict[str, str]:
    return dict(DECLARED.findall(LIGHT)) | (dict(DECLARED.findall(DARK)) if dark else {})


def sheers(dark: bool) -> dict[str, tuple[tuple[int, int, int], float]]:
    """Translucent colours: (red, green, blue), share that covers."""
    found = SHEER.findall(LIGHT) + (SHEER.findall(DARK) if dark else [])
    return {name: ((int(r), int(g), int(b)), float(a)) for name, r, g, b, a in found}


def laid_over(ground: str, *sheets: tuple[tuple[int, int, int], float]) -> str:
    """What is seen of a ground below translucent sheets, each laid over the last."""
    seen = [float(int(ground[i : i + 2], 16)) for i in (0, 2, 4)]
    for colour, share in sheets:
        seen = [share * c + (1 - share) * s for c, s in zip(colour, seen, strict=True)]
    return "".join(f"{round(x):02x}" for x in seen)


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
def test_marks_of_the_one_line_diagram_stand_out(dark: bool) -> None:
    p = palette(dark)

    dim = {name: contrast(p[name], p["surface"]) for name in ("dark", "amber", "ok", "ink-3")}

    assert {k: round(v, 2) for k, v in dim.items() if v < 4.5} == {}


@pytest.mark.parametrize("dark", [False, True])
def test_lines_of_a_chart_stand_out(dark: bool) -> None:
    p = palette(dark)

    dim = {name: contrast(p[name], p["surface"]) for name in (*LINES, "peer")}

    assert {k: round(v, 2) for k, v in dim.items() if v < 3} == {}


def test_laying_over_gives_the_known_grey_of_half_black_on_white() -> None:
    assert laid_over("ffffff", ((0, 0, 0), 0.5)) == "808080"


# Bands lie over each other: the judged span over truth, a label over both.
BANDS = ("band", "band-truth", "band-label", "band-benign")
STACKS = [*((b,) for b in BANDS), ("band-truth", "band"), ("band-label", "band-truth"),
          ("band-benign", "band")]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("stack", STACKS, ids="+".join)
def test_what_a_chart_draws_stands_out_from_its_translucent_bands(
    stack: tuple[str, ...], dark: bool
) -> None:
    p, sheer = palette(dark), sheers(dark)
    ground = laid_over(p["surface"], *(sheer[name] for name in stack))

    drawn = {name: contrast(p[name], ground) for name in (*LINES, "peer", "p1", "p2")}
    written = {name: contrast(p[name], ground) for name in ("ink-2", "p1")}

    assert {k: round(v, 2) for k, v in drawn.items() if v < 3} == {}
    assert {k: round(v, 2) for k, v in written.items() if v < 4.5} == {}


@pytest.mark.parametrize("dark", [False, True])
def test_a_band_has_an_edge_that_stands_out(dark: bool) -> None:
    """A tint alone is too faint to be a figure: each band is drawn with an opaque edge."""
    edges = set(re.findall(r'edge: "--([\w-]+)"', CHART))

    p = palette(dark)

    assert len(edges) == len(BANDS)
    assert {e: round(contrast(p[e], p["surface"]), 2) for e in edges
            if contrast(p[e], p["surface"]) < 3} == {}  # fmt: skip


def test_phases_differ_by_dash_as_well_as_by_colour() -> None:
    dashes = re.findall(r'"(phase-[abcn])": \["--phase-[abcn]", (\[[^]]*\])\]', CHART)

    assert len(dashes) == len({dash for _, dash in dashes}) == 4


def test_dark_names_every_colour_that_light_does() -> None:
    light, dark = dict(DECLARED.findall(LIGHT)), dict(DECLARED.findall(DARK))

    assert set(light) == set(dark)
