"""Time alone, on the ledger in memory."""

from __future__ import annotations

import pytest

from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from tests.contract.alerts.settle_contract import SettleContract


class TestMemorySettle(SettleContract):
    """See `SettleContract`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger("test")
