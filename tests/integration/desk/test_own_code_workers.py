"""A code lets in once, whichever web process takes it: the use is a row in the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from desk.own_code import OwnCode
from storage.database import Database
from storage.ledger import PostgresLedger
from storage.migrate import migrate
from tests.unit.alerts.town import START, StandingClock, town

ACCOUNT = "A11"
WORKERS = 4


def test_of_web_processes_that_are_given_one_code_at_once_a_single_one_takes_it(
    module_database_url: str,
) -> None:
    network = town()
    with Database(module_database_url, connections_max=2 * WORKERS) as database:
        migrate(database)
        ledgers = [PostgresLedger(database) for _ in range(WORKERS)]
        codes = [
            OwnCode(x, network, StandingClock(START), b"secret", now_s=lambda: 1e6) for x in ledgers
        ]
        codes[0].send(ACCOUNT, network.customer_by_account[ACCOUNT].phone)
        with ledgers[0].reading() as reading:
            (sent,) = reading.notices_to(f"code:{ACCOUNT}", 5)
        code = "".join(c for c in sent.text.partition("10")[0] if c.isdigit())

        with ThreadPoolExecutor(WORKERS) as together:
            took = list(together.map(lambda worker: worker.take(ACCOUNT, code), codes))

        later = [worker.take(ACCOUNT, code) for worker in codes]
        for ledger in ledgers:
            ledger.close()
    assert (1, 0) == (sum(took), sum(later))
