"""The feed, on the ledger in PostgreSQL."""

from __future__ import annotations

from tests.contract.alerts.feed_contract import FeedContract


class TestPostgresFeed(FeedContract):
    """See `FeedContract`; the fixture `ledger` is this folder's."""
