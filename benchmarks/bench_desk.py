"""Does the desk keep its promises: where the fault is, one ticket soon, an answer at once?

Four tables. *Where*: 24,000 meters, three faults at once (feeder to branch) and three single-meter
faults, by how many last gasps arrive, how many live meters are fresh and how many meters hang
elsewhere than recorded; the model of losses is ours, independent by meter. *Finding to ticket*:
findings at 1,000 a second through episodes, incidents and tickets into a durable database, timed
from arrival to commit. *A feeder out*: 2,000 meters, tickets and notices counted, the queue's page
timed. *A million customers*: search and the answer, timed one call at a time.

Seeds are fixed; compiling, set-up and the first calls are left out.

    python benchmarks/bench_desk.py [--quick] [--only where,ticket,feeder,million]
"""

import argparse
import os
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.desk_feeder import feeder
from benchmarks.desk_million import million
from benchmarks.desk_tickets import ticket
from benchmarks.desk_where import where
from forewatt.services import PrivateServices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trials, 100,000 customers")
    parser.add_argument("--only", default="where,ticket,feeder,million")
    args = parser.parse_args()
    wanted = set(args.only.split(","))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}\n"
    )
    if "where" in wanted:
        where(args.quick)
    if not wanted - {"where"}:
        return
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="forewatt-bench-")))
        folder.chmod(0o711)
        services = ending.enter_context(PrivateServices.start(folder / "services", broker=False))
        for name, table in (("ticket", ticket), ("feeder", feeder), ("million", million)):
            if name in wanted:
                table(services, args.quick)


if __name__ == "__main__":
    main()
