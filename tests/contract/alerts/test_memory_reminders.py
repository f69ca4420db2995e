"""Reminders, on the ledger in memory."""

from __future__ import annotations

import pytest

from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from tests.contract.alerts.reminders_contract import RemindersContract


class TestMemoryReminders(RemindersContract):
    """See `RemindersContract`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger("test")
