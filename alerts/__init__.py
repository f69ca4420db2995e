"""Findings to episodes to incidents to tickets: pure rules, one explained ticket a cause.

Receives `Finding`s and what people say; decides through a `Ledger` (a transaction on somebody's
tables). Knows nothing of HTTP, wire formats or databases.
"""
