"""Where a trial's readings come from: a dataset, a scenario, one file, or the live past.

Everything is read before anything is judged, so a bad file leaves nothing half done: the first
bad row is named with its column and the fix.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forewatt.config import Config
from forewatt.site import site_network
from grid.dataset import Dataset, read_dataset
from grid.errors import BadInput
from grid.network import Network
from grid.network_files import load_network
from grid.readings import ReadingBatch

ROWS_MAX = 10_000_000
LIVE = "live"
FORMS = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True)
class Given:
    """What a trial is made of: the network, the rows in order of arrival, truth if there is.

    `primary`: the values have passed the ratios of the network's devices already.
    """

    network: Network
    batches: list[ReadingBatch]
    truth: str | None = None
    notes: tuple[str, ...] = ()
    primary: bool = False

    @property
    def span_us(self) -> tuple[int, int]:
        """First and last event time."""
        return (
            min(int(b.time.min()) for b in self.batches),
            max(int(b.time.max()) for b in self.batches),
        )

    @property
    def rows(self) -> int:
        """Rows of all batches."""
        return sum(len(b) for b in self.batches)


class OneFile(Dataset):
    """A single file of readings, taken for a dataset's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._path = path

    def file(self, stem: str) -> Path | None:
        return self._path if stem == "readings" else None


def load_source(
    source: str,
    work: Path,
    *,
    config: Config | None = None,
    network: Path | None = None,
    start_us: int | None = None,
    end_us: int | None = None,
    lenient: bool = False,
) -> Given:
    """Everything that is to be judged. Raises BadInput naming file, row, column and fix."""
    if source == LIVE:
        return _past(config, start_us, end_us)
    path = Path(source)
    if path.suffix == ".toml" and path.is_file():
        from simulators.scenario import simulate

        shutil.rmtree(work / "simulated", ignore_errors=True)
        simulate(path, work / "simulated")
        path = work / "simulated"
    if path.is_dir():
        dataset = read_dataset(path)
        grid = load_network(network) if network else dataset.network
    elif path.is_file() and path.name.endswith(FORMS):
        dataset = OneFile(path)
        grid = _network_for_file(network, config)
    else:
        raise BadInput(
            "no such dataset, scenario or file of readings",
            file=source,
            fix="name a folder, a .toml scenario, a .csv or .parquet file, or: live",
        )
    batches = _bounded(dataset, start_us, end_us)
    if dataset.notes.bad_cells or dataset.notes.bad_rows:
        bad = next((s for s in dataset.notes.sentences if "left" in s), "unreadable rows")
        if not lenient:
            raise BadInput(
                f"{bad}: nothing was judged",
                fix="correct them in the file, or run it with --lenient to leave them out",
            )
    truth = path / "truth.jsonl"
    known = truth.read_text(encoding="utf-8") if path.is_dir() and truth.is_file() else None
    shutil.rmtree(work / "simulated", ignore_errors=True)
    return Given(grid, batches, known, tuple(dataset.notes.sentences))


def _network_for_file(network: Path | None, config: Config | None) -> Network:
    if network is not None:
        return load_network(network)
    if config is not None:
        return site_network(config)
    raise BadInput("a single file says nothing of the network", fix="add --network DIR or --config")


def _bounded(dataset: Dataset, start_us: int | None, end_us: int | None) -> list[ReadingBatch]:
    batches, rows = [], 0
    for batch in dataset.batches(order="received", start_us=start_us, end_us=end_us):
        rows += len(batch)
        if rows > ROWS_MAX:
            raise BadInput(
                f"more than {ROWS_MAX:,} rows", fix="choose a shorter span with --from and --to"
            )
        batches.append(batch)
    if not rows:
        raise BadInput(
            "no readings in this span",
            file=str(dataset.folder),
            fix="choose another --from and --to",
        )
    return batches


def _past(config: Config | None, start_us: int | None, end_us: int | None) -> Given:
    from forewatt.history import in_received_order
    from storage.database import Database
    from storage.read_back import read_back

    if config is None or start_us is None or end_us is None or start_us >= end_us:
        raise BadInput(
            "the live past needs its bounds",
            fix="add --config forewatt.toml --from TIME --to TIME, the end after the start",
        )
    batches, rows = [], 0
    with Database(config.database_url(), application="forewatt trial") as database:
        network = site_network(config, database)
        stored = read_back(database, start_us, end_us, config.site.realm)
        for batch in in_received_order(stored, round(config.collect.future_s * 1e6)):
            rows += len(batch)
            if rows > ROWS_MAX:
                raise BadInput(f"more than {ROWS_MAX:,} rows", fix="choose a shorter span")
            batches.append(batch)
    if not rows:
        raise BadInput("nothing is stored in this span", fix="choose another --from and --to")
    return Given(network, batches, primary=True)  # the collectors' checks saw to it


def joined(given: Given) -> ReadingBatch:
    """All readings (no events) in one batch, for the charts."""
    whole = ReadingBatch.concat(given.batches)
    return whole.select(np.flatnonzero(whole.event == 0))
