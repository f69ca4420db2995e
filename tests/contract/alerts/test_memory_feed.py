"""The feed, on the ledger in memory."""

from __future__ import annotations

import pytest

from alerts.ledger import Ledger
from alerts.memory import MemoryLedger
from tests.contract.alerts.feed_contract import FeedContract


class TestMemoryFeed(FeedContract):
    """See `FeedContract`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger("test")
