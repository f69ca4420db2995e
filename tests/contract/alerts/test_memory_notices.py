"""Notices, on the ledger in memory."""

from __future__ import annotations

import pytest

from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from tests.contract.alerts.notices_contract import NoticesContract


class TestMemoryNotices(NoticesContract):
    """See `NoticesContract`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger("test")
