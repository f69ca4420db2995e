"""Silences, on the ledger in PostgreSQL."""

from __future__ import annotations

from tests.contract.alerts.silences_contract import SilencesContract


class TestPostgresSilences(SilencesContract):
    """See `SilencesContract`; the fixture `ledger` is this folder's."""
