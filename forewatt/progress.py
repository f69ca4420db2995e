"""A progress bar over a dataset in event time: on a terminal; silence where nobody looks."""

from types import TracebackType

import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from grid.dataset import Dataset
from grid.readings import ReadingBatch


class Progress:
    """Rows done of those in the dataset's files; the day that is being read beside it."""

    def __init__(self, verb: str, dataset: Dataset, console: Console | None = None) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} % of the rows, {task.fields[day]}"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._bar.disable = not self._bar.console.is_terminal
        total = None if self._bar.disable else _rows(dataset)
        self._task = self._bar.add_task(verb, total=total, day="")

    def add(self, batch: ReadingBatch) -> None:
        """A batch is done."""
        if not self._bar.disable and len(batch):
            day = str(batch.time[-1].astype("datetime64[us]").astype("datetime64[D]"))
            self._bar.update(self._task, advance=len(batch), day=day)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def _rows(dataset: Dataset) -> int | None:
    """Rows of the dataset's files where their heads say it; None for CSV."""
    total = 0
    for stem in ("readings", "events"):
        path = dataset.file(stem)
        if path is None:
            continue
        if path.suffix != ".parquet":
            return None
        total += pq.ParquetFile(path).metadata.num_rows
    return total
