"""Silences, on the ledger in memory."""

from __future__ import annotations

import pytest

from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from tests.contract.alerts.silences_contract import SilencesContract


class TestMemorySilences(SilencesContract):
    """See `SilencesContract`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger("test")
