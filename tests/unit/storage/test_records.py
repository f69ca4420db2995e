"""A record that is altered is what `dataclasses.replace` makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.desk_records import altered
from tests.contract.alerts.ledger_contract import INCIDENT, STEP, some_alert, some_ticket


@pytest.mark.parametrize("record", [INCIDENT, STEP, some_alert(), some_ticket(3)])
def test_an_altered_record_is_a_copy_with_other_values(record: object) -> None:
    name = "version" if hasattr(record, "version") else "reason"

    assert altered(record, **{name: 9}) == replace(record, **{name: 9})  # type: ignore[type-var]
    assert altered(record) == record


def test_a_field_that_a_record_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        altered(INCIDENT, colour="red")
