"""Exports of head-ends: any layout, any encoding; a bad line costs only itself."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from grid.errors import BadInput
from grid.readings import Quality
from ingest.codes import Meaning, meaning
from ingest.exports import BadExport, Exports
from ingest.layout import Layout
from ingest.layout_files import load_layout
from ingest.rows import Rows

MIDNIGHT_US = 1_772_294_400_000_000  # 2026-03-01T00:00+08:00
QUARTER_US = 900_000_000
LONG = load_layout("long")
WIDE = load_layout("wide")
WIDE_HEAD = "meter,date,quantity," + ",".join(f"P{n}" for n in range(1, 97))


def read(text: str | bytes, layout: Layout = LONG, name: str = "a.csv") -> tuple[Exports, Rows]:
    exports = Exports(received_us=0)
    exports.add(text.encode() if isinstance(text, str) else text, layout, name)
    return exports, Rows.concat(list(exports.steps()))


def cells(rows: Rows) -> dict[tuple[str, int], dict[str, float]]:
    """(meter, quarter of an hour since midnight) to its values."""
    return {
        (rows.names[rows.device[i]], int(rows.time[i] - MIDNIGHT_US) // QUARTER_US): {
            name: float(column[i])
            for name, column in rows.values.items()
            if not np.isnan(column[i])
        }
        for i in range(len(rows))
    }


def layout_of(tmp_path: Path, text: str) -> Layout:
    path = tmp_path / "layout.toml"
    path.write_text(text, encoding="utf-8")
    return load_layout(path)


def workbook(rows: list[list[str | float]]) -> bytes:
    """The least that is a workbook."""
    lines = []
    for r, row in enumerate(rows, 1):
        line = "".join(
            f'<c r="{chr(65 + c)}{r}"><v>{cell}</v></c>'
            if isinstance(cell, float)
            else f'<c r="{chr(65 + c)}{r}" t="inlineStr"><is><t>{cell}</t></is></c>'
            for c, cell in enumerate(row)
        )
        lines.append(f'<row r="{r}">{line}</row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
        parts = {"workbook.xml": "sheet.main", "worksheets/sheet1.xml": "worksheet"}
        types = "".join(
            f'<Override PartName="/xl/{part}" ContentType="{kind}.{name}+xml"/>'
            for part, name in parts.items()
        )
        book.writestr(
            "[Content_Types].xml", f'<Types xmlns="{package}/content-types">{types}</Types>'
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{rels}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{rels}"><sheets>'
            '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{rels}/worksheet" Target="worksheets/sheet1.xml"/>'
            "</Relationships>",
        )
        book.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
        )
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_line_a_meter_and_time_in_any_encoding(encoding: str) -> None:
    text = "表号,采集时间,A相电压,总有功功率,1-0:52.7.0\nM1,2026-03-01 00:15:00,231.5,1.25,230\n"

    _, rows = read(text.encode(encoding))

    assert {("M1", 1): {"v_a": 231.5, "p": 1250.0, "v_b": 230.0}} == cells(rows)


def test_96_columns_a_meter_day_and_quantity_become_one_row_a_time() -> None:
    points = ",".join(str(n) for n in range(96))
    lines = [WIDE_HEAD] + [
        f"{meter},2026-03-01,{code},{points}"
        for code in ("02010100", "20040201", "1-0:1.8.0", "B相电压")
        for meter in ("M1", "M2")
    ]

    _, rows = read("\n".join(lines), WIDE)

    found = cells(rows)
    assert 2 * 96 == len(rows)
    assert {"v_a": 95.0, "v_b": 95.0, "p": 95.0, "e_import": 95_000.0} == found["M2", 95]
    assert (np.diff(rows.time) >= 0).all()


def test_registers_keep_their_last_digit() -> None:
    """In float32 a register of this size would step by 128 Wh."""
    _, rows = read("meter,time,e_import\nM1,2026-03-01,1234567891\n")

    assert [1234567891.0] == rows.values["e_import"].tolist()


def test_columns_of_several_quantities_a_line(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path,
        'name = "two"\ndevice = "no"\ntime = { column = "day", zone = "Asia/Shanghai" }\n'
        'points = { count = 24, first = 0, first_s = 900 }\n[values]\nv_a = "U{n}"\n'
        'p = { column = "P{n}", scale = 1000, absent = [-1] }\n',
    )
    head = ["no", "day", *(f"U{n}" for n in range(24)), *(f"P{n}" for n in range(24))]
    line = ["M1", "20260301", *(str(230 + n) for n in range(24)), *["-1"] * 23, "2"]

    _, rows = read(f"{';'.join(head)}\n{';'.join(line)}", layout)

    found = cells(rows)
    assert {"v_a": 230.0} == found["M1", 1]
    assert {"v_a": 253.0, "p": 2000.0} == found["M1", 1 + 23 * 4]


def test_a_line_a_meter_time_and_quantity(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path,
        'name = "tall"\ndevice = "no"\ncode = "obis"\npoints = { column = "value" }\n'
        'time = { column = "day", clock = "hour", zone = "Asia/Shanghai" }\n',
    )
    text = "no,day,hour,obis,value\nM1,2026-03-01,00:30,32.7.0,231\nM1,2026-03-01,00:30,13.7.0,0.9"

    _, rows = read(text, layout)

    assert {("M1", 2): {"v_a": 231.0, "pf": pytest.approx(0.9)}} == cells(rows)


def test_ratio_columns_bring_values_to_the_primary_side(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path,
        'name = "ratio"\ndevice = "no"\nct_ratio = "CT"\npt_ratio = "PT"\n'
        'time = { column = "t", zone = "Asia/Shanghai" }\n',
    )
    text = "no,t,CT,PT,v_a,i_a,p,pf\nM1,2026-03-01,40,100,1,2,3,0.5\nM2,2026-03-01,,,1,2,3,0.5"

    _, rows = read(text, layout)

    found = cells(rows)
    assert layout.primary
    assert {"v_a": 100.0, "i_a": 80.0, "p": 12_000.0, "pf": 0.5} == found["M1", 0]
    assert {"v_a": 1.0, "i_a": 2.0, "p": 3.0, "pf": 0.5} == found["M2", 0]


def test_a_workbook_is_read_like_text() -> None:
    book = workbook([["表号", "采集时间", "A相电压"], [10042.0, "2026-03-01 00:15:00", 231.5]])

    _, rows = read(book, name="a.xlsx")

    assert {("10042", 1): {"v_a": 231.5}} == cells(rows)


def test_absent_cells_are_no_values_and_a_line_of_nothing_is_no_reading() -> None:
    text = "meter,time,v_a,p\nM1,2026-03-01,--,\nM2,2026-03-01,NULL,1\n"

    exports, rows = read(text)

    assert {("M2", 0): {"p": 1.0}} == cells(rows)
    assert [] == exports.refused


REPLACES = int(Quality.REPLACES | Quality.BACKFILL)


def withdrawn(exports: Exports) -> dict[tuple[str, int], set[str]]:
    """(meter, quarter of an hour) to the quantities that no longer stand."""
    out: dict[tuple[str, int], set[str]] = {}
    for rows in exports.withdrawn():
        for key, values in cells(rows).items():
            out.setdefault(key, set()).update(values)
    return out


def test_emptied_cells_of_a_mended_file_are_withdrawn_and_bad_ones_are_not() -> None:
    text = (
        "meter,time,v_a,p\n"
        "M1,2026-03-01 00:15,231,1.5\n"
        "M1,2026-03-01 00:30,,1.5\n"
        "M2,2026-03-01 00:15,-,--\n"
        "M2,2026-03-01 00:30,2x0,\n"
    )
    exports = Exports(0)

    exports.add(text.encode(), LONG, "a.csv", quality=REPLACES)

    assert {
        ("M1", 2): {"v_a"},
        ("M2", 1): {"v_a", "p"},
        ("M2", 2): {"p"},  # 2x0 stands in quarantine; what it was meant to be is not known
    } == withdrawn(exports)


def test_empty_cells_of_a_new_file_withdraw_nothing() -> None:
    exports = Exports(0)

    exports.add(b"meter,time,v_a,p\nM1,2026-03-01 00:15,,1.5\n", LONG, "a.csv")

    assert {} == withdrawn(exports)


def test_what_another_line_gives_for_the_same_cell_is_not_withdrawn() -> None:
    """A mended day that holds a meter twice, once with its last two values missing."""
    whole = [str(n) for n in range(96)]
    short = [*whole[:94], "", ""]
    lines = [WIDE_HEAD]
    lines += [f"{m},2026-03-01,v_a,{','.join(short)}" for m in ("M1", "M2")]
    lines.append(f"M1,2026-03-01,v_a,{','.join(whole)}")
    exports = Exports(0)

    exports.add("\n".join(lines).encode(), WIDE, "a.csv", quality=REPLACES)

    assert {("M2", 94): {"v_a"}, ("M2", 95): {"v_a"}} == withdrawn(exports)


def test_a_total_that_was_never_given_stands_with_its_phases() -> None:
    """Three-phase meters that leave the column of the total empty: the checks sum it up."""
    text = (
        "meter,time,p_a,p_b,p_c,p\n"
        "M1,2026-03-01 00:15,100,200,300,\n"
        "M1,2026-03-01 00:30,100,,300,\n"
    )
    exports = Exports(0)

    exports.add(text.encode(), LONG, "a.csv", quality=REPLACES)

    assert {("M1", 2): {"p_b", "p"}} == withdrawn(exports)


def test_a_bad_cell_costs_itself_and_the_line_is_kept_for_those_who_look() -> None:
    text = "meter,time,v_a,p\nM1,2026-03-01,230,1\nM2,2026-03-01,abc,2\nM3,2026-03-01,231,3\n"

    exports, rows = read(text)

    assert {"v_a": 230.0, "p": 1.0} == cells(rows)["M1", 0]
    assert {"p": 2.0} == cells(rows)["M2", 0]
    assert {"v_a": 231.0, "p": 3.0} == cells(rows)["M3", 0]
    (refused,) = exports.refused
    assert "line 3: 'abc' under 'v_a' is no number; the rest of the line is taken" == refused.reason
    assert b"meter,time,v_a,p\nM2,2026-03-01,abc,2" == refused.payload


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("M2,2026-13-01,1", "line 3: time '2026-13-01' cannot be read as a date and time"),
        (",2026-03-01,1", "line 3: it names no meter"),
        ("M2,2026-03-01,1,9,9", "line 3: it has another number of columns than the heading"),
        ("M2", "line 3: it has another number of columns than the heading"),
    ],
)
def test_a_bad_line_is_refused_alone(line: str, reason: str) -> None:
    text = f"meter,time,v_a\nM1,2026-03-01,230\n{line}\nM3,2026-03-01,231\n"

    exports, rows = read(text)

    assert {("M1", 0), ("M3", 0)} == set(cells(rows))
    (refused,) = exports.refused
    assert reason == refused.reason
    assert refused.payload.endswith(line.encode())


def test_a_file_of_nothing_but_mistakes_is_kept_once() -> None:
    text = "meter,time,v_a\n" + "M1,never,1\n" * 500

    exports, rows = read(text)

    assert 0 == len(rows)
    (refused,) = exports.refused
    assert refused.reason.startswith("500 lines of this file are refused, the first: line 2: time")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it has no heading in line 1"),
        (b"a,b\n1,2\n", "no column for the meter: looked for 'device'"),
        (b"meter,time,what\nM1,2026-03-01,2\n", "no column is headed by a quantity"),
    ],
)
def test_a_file_of_another_layout_is_refused_with_what_was_looked_for(
    text: bytes, reason: str
) -> None:
    with pytest.raises(BadExport, match=reason):
        read(text)


def test_a_file_that_is_no_workbook_is_refused() -> None:
    with pytest.raises(BadExport, match="it is no workbook that can be read"):
        read(b"PK\x03\x04 half of it", name="a.xlsx")


def test_random_bytes_are_refused_and_nothing_else_is_raised() -> None:
    random = np.random.default_rng(5)
    for size in (1, 7, 100, 5_000):
        with pytest.raises(BadExport):
            read(random.bytes(size))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1-0:32.7.0", Meaning("v_a", 1)),
        ("1.0.72.7.0.255", Meaning("v_c", 1)),
        ("0-1:1.8.0*255", Meaning("e_import", 1000)),
        ("02030000", Meaning("p", 1000)),
        ("200a0201", Meaning("pf", 1)),
        ("V_A", Meaning("v_a", 1)),
        ("99.7.0", None),
        ("12345678", None),
        ("remark", None),
    ],
)
def test_codes_of_three_families_are_known(code: str, expected: Meaning | None) -> None:
    assert expected == meaning(code)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\nvalues = { v_q = "U" }', ":2: values: 'v_q' is no field of a layout"),
        ('name = "x"\ntime = { column = "t", zone = "Mars" }', ":2: time: zone 'Mars' is not"),
        ('name = "x"\npoints = { column = "P{n}", count = 95 }', ":2: points: count is 95"),
        ('name = "x"\npoints = { column = "P", count = 96 }', ":2: points: column lacks {n}"),
        ('name = "x"\ncodes = { U = "volt" }', ":2: codes: U names 'volt', which is no quantity"),
        ('name = "x"\nencodin = "auto"', ":2: 'encodin' is no field of a layout. Did you mean"),
        ('name = "x"\nencoding = "klingon"', ":2: encoding 'klingon' is not known"),
    ],
)
def test_a_mistake_in_a_layout_names_file_line_field_and_fix(
    tmp_path: Path, text: str, said: str
) -> None:
    more = 'device = "no"\n'
    if "time" not in text:
        more += 'time = "t"\n' if "zone" in text else 'time = { column = "t" }\n'
    if "points" in text:
        more += 'code = "c"\n'
    with pytest.raises(BadInput) as caught:
        layout_of(tmp_path, f"{text}\n{more}")

    assert said in str(caught.value)
