"""The counter: who calls, what is known already, what to say and do next.

Receives contacts of every channel and the questions of clerks; answers from the ledger, the
network and the latest readings. Knows nothing of HTTP.
"""
