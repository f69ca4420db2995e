"""Time alone, on the ledger in PostgreSQL."""

from __future__ import annotations

from tests.contract.alerts.settle_contract import SettleContract


class TestPostgresSettle(SettleContract):
    """See `SettleContract`; the fixture `ledger` is this folder's."""
