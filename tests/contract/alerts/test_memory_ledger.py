"""The ledger in memory keeps the ledger's promises."""

from __future__ import annotations

import pytest

from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from tests.contract.alerts.ledger_contract import LedgerContract


class TestMemoryLedger(LedgerContract):
    """See `LedgerContract`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger("test")
