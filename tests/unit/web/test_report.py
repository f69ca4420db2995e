"""The evidence as a picture: a phone's width, both languages, any text, nobody's name."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import font_manager
from PIL import Image

from forewatt.report import form_of, of_trial
from grid.errors import BadInput
from tests.unit.web.test_pages import HOSTILE, alert_id
from tests.unit.web.visitor import Visit
from tests.unit.web.world import NEUTRAL, NOW, World, raised
from web import report_picture
from web.report_picture import COLUMNS, DPI, WIDTH_IN, Sheet, draw, faces, folded

EMPTY = {"panels": [], "from": 0, "to": 1}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_picture_is_as_wide_as_a_phone_and_not_blank(
    language: str, world: World, visit: Visit
) -> None:
    path = f"/alerts/{alert_id(world, 'neutral_loose')}/report.png"

    answer = visit("operator", language).get(path)

    picture = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == "image/png"
    assert picture.width == WIDTH_IN * DPI
    colours = picture.convert("RGB").getcolors(10**7) or []
    assert len(colours) > 50  # letters, lines and bands, not one white page


def test_the_same_comes_as_a_pdf(world: World, visit: Visit) -> None:
    path = f"/alerts/{alert_id(world, 'outage')}/report.pdf"

    answer = visit("operator").get(path)

    assert answer.content.startswith(b"%PDF-")
    assert answer.headers["content-disposition"].endswith('.pdf"')


def test_any_other_form_and_an_unknown_alert_are_not_found(world: World, visit: Visit) -> None:
    operator = visit("operator")

    assert operator.get(f"/alerts/{alert_id(world, 'outage')}/report.exe").status_code == 404
    assert operator.get("/alerts/none/report.png").status_code == 404


def test_hostile_and_endless_text_is_drawn_as_text(world: World, visit: Visit) -> None:
    text = HOSTILE + r" $\frac{" + "x" * 500 + "‮ מחיר"
    evidence = replace(NEUTRAL, rule=text, rule_zh=text, numbers={"_$a": text})
    event = raised("unbalance", "transformer", "T1", NOW, evidence, ("M-T1-001",))
    world.happen(event)

    answer = visit("operator").get(f"/alerts/{event.alert_id}/report.png")

    assert Image.open(io.BytesIO(answer.content)).width == WIDTH_IN * DPI


def test_a_font_installed_since_the_list_was_made_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = font_manager.fontManager
    mono = next(f for f in fonts.ttflist if f.name == "DejaVu Sans Mono")
    system = [mono.fname, __file__]  # the second is no font
    monkeypatch.setattr(report_picture, "FACES", (mono.name,))
    monkeypatch.setattr(fonts, "ttflist", [f for f in fonts.ttflist if f.name != mono.name])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: system)
    faces.cache_clear()

    found = faces()
    faces.cache_clear()

    assert found == (mono.name, "DejaVu Sans")


def test_an_alert_without_readings_is_drawn_without_charts() -> None:
    made = draw(Sheet("P4", "title", "place", [("why", "because")], EMPTY, "foot"), "png")

    assert Image.open(io.BytesIO(made)).height < 500


def test_no_line_is_wider_than_the_page() -> None:
    texts = ("word " * 80, "中性线接触电阻增大。" * 20, "x" * 300, "")

    lines = [line for text in texts for line in folded(text)]

    assert max(len(x.encode("gbk")) for x in lines) <= COLUMNS
    assert "".join(folded(texts[1])) == texts[1]


def test_an_unknown_form_or_replay_is_refused_with_its_fix(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"neither .png nor .pdf"):
        form_of(Path("alert.doc"))
    with pytest.raises(BadInput, match="no alert"):
        of_trial(tmp_path, "a", "none", "en", "png")
