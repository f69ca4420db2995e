"""Contacts of other systems: columns under their own words, errors with their place, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.memory import MemoryLedger
from desk.calls import ringing
from desk.contact_files import ContactErrors, Mapped, read_contacts, read_mapping
from desk.counter import Counter
from grid.errors import BadInput
from tests.unit.alerts.town import HOUR, MINUTE, START, StandingClock, town

ACCOUNTS = {"A11", "A12"}


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "contacts.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_the_datasets_own_columns_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "time,channel,external_id,account,phone,kind,text\n"
        "2026-03-01T00:10:00Z,phone,c-2,A12,,enquiry,bill\n"
        "2026-03-01T08:00:00+08:00,web,c-1,A11,13900000000,fault,dark\n",
    )

    first, second = read_contacts(path, ACCOUNTS, "Asia/Shanghai")

    assert (first.external_id, first.time_us, first.kind) == ("c-1", START, "fault")
    assert (second.channel, second.account, second.text) == ("phone", "A12", "bill")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_an_export_in_its_own_words_needs_no_mapping(tmp_path: Path, encoding: str) -> None:
    path = written(
        tmp_path,
        "工单编号,受理时间,户号,业务类型,受理内容,受理渠道\n"
        "S1,2026/03/01 08:00:00,A11,故障报修,全家没电,95598\n",
        encoding,
    )

    (contact,) = read_contacts(path, ACCOUNTS, "Asia/Shanghai")

    assert (contact.time_us, contact.kind, contact.channel) == (START, "fault", "phone")
    assert contact.text == "全家没电"


def test_a_mapping_names_what_is_called_otherwise(tmp_path: Path) -> None:
    table = tmp_path / "map.toml"
    table.write_text(
        'time_format = "%d.%m.%Y %H:%M"\nzone = "UTC"\n'
        '[columns]\ntime = "When"\ntext = "What"\nkind = "Sort"\n[kinds]\noutage = "fault"\n'
    )
    path = written(tmp_path, "When,Sort,What\n01.03.2026 00:00,outage,dark\n")

    (contact,) = read_contacts(path, ACCOUNTS, "Asia/Shanghai", read_mapping(table))

    assert (contact.time_us, contact.kind, contact.account) == (START, "fault", None)


def test_every_mistake_is_named_with_line_column_and_fix(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "time,external_id,account,kind\n"
        "yesterday,c-1,A11,fault\n"
        "2026-03-01T00:00:00Z,c-2,A99,fault\n"
        "2026-03-01T00:00:00Z,c-3,A11,shouting\n"
        "2026-03-01T00:00:00Z,c-3,A11,fault\n",
    )

    with pytest.raises(ContactErrors) as e:
        read_contacts(path, ACCOUNTS, "UTC")

    said = str(e.value)
    assert len(e.value.errors) == 4
    for place in ("contacts.csv", "2", "time", "A99", "shouting", "line 4 as well"):
        assert place in said


@pytest.mark.parametrize("text", ["", "when,who\n1,2\n", 'time,text\n"2026'])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput):
        read_contacts(written(tmp_path, text), ACCOUNTS, "UTC")


@pytest.mark.parametrize(
    "text", ["nonsense = 1", '[kinds]\n"x" = "y"', "[columns", '[columns]\nx="y"']
)
def test_a_mapping_that_leads_nowhere_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)

    with pytest.raises(BadInput):
        read_mapping(path)
    with pytest.raises(BadInput):
        read_contacts(
            written(tmp_path, "time,text\n"), ACCOUNTS, "UTC", Mapped(columns={"kind": "Art"})
        )


def test_the_past_is_kept_and_the_present_is_reported(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "time,account,text\n"
        "2025-11-01T00:00:00Z,A11,dark last year\n"
        "2026-03-01T00:55:00Z,A12,dark\n",
    )
    ledger, clock = MemoryLedger(), StandingClock(START + HOUR)
    counter = Counter(ledger, town(), clock)
    contacts = read_contacts(path, ACCOUNTS, "UTC")

    first = counter.take_in(contacts)
    again = counter.take_in(contacts)

    assert (first.new, first.known, first.tickets) == (2, 0, 1)
    assert (again.new, again.known, again.tickets) == (0, 0, 0)
    with ledger.reading() as r:
        assert [t.asset for t in r.tickets()] == ["T1-B1-2"]
        assert [c.text for c in r.contacts(account="A11")] == ["dark last year"]
        assert ringing(r.contacts(), StandingClock(START + 56 * MINUTE)) == []
    assert clock.us - MINUTE > contacts[-1].time_us
