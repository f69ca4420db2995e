"""What of a replay can be taken home: readings, alerts, scores as CSV or Parquet, truth as JSON."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from web.trial_doors import TrialView


def download(
    view: TrialView,
    name: str,
    labels: Sequence[Mapping[str, Any]],
    devices: Sequence[str],
    start_us: int,
    end_us: int,
) -> tuple[bytes, str]:
    """The bytes of a download; KeyError for an unknown one."""
    stem, _, form = name.rpartition(".")
    if form not in ("csv", "parquet", "jsonl"):
        raise KeyError(name)
    if stem == "truth" and form == "jsonl":
        lines = [*view.truth(), *labels]
        text = "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines)
        return text.encode(), "application/x-ndjson"
    if stem == "readings":
        table = _readings(view, devices, start_us, end_us)
    elif stem in ("alerts-a", "alerts-b"):
        table = _flat(view.alerts(stem[-1]))
    elif stem in ("scores-a", "scores-b"):
        network = view.network
        table = view.scores(stem[-1], {*network.tree.ids, *network.device_index})
    else:
        raise KeyError(name)
    out = io.BytesIO()
    if form == "csv":
        pacsv.write_csv(table, out)
        return out.getvalue(), "text/csv; charset=utf-8"
    if form != "parquet":
        raise KeyError(name)
    pq.write_table(table, out, compression="zstd")
    return out.getvalue(), "application/vnd.apache.parquet"


def _readings(view: TrialView, devices: Sequence[str], start_us: int, end_us: int) -> pa.Table:
    """The raw readings of what is looked at, as a dataset's readings file has them."""
    parts = []
    for device in devices:
        time, values = view.rows(device, view.quantities, start_us, end_us)
        columns: dict[str, Any] = {
            "time": pa.array(time, pa.timestamp("us", tz="UTC")),
            "device": pa.array([device] * time.size, pa.string()),
        }
        for q in view.quantities:
            column = values.get(q, np.full(time.size, np.nan))
            columns[q] = pa.array(column, from_pandas=True)
        parts.append(pa.table(columns))
    return pa.concat_tables(parts, promote_options="default") if parts else pa.table({"time": []})


def _flat(lines: list[dict[str, Any]]) -> pa.Table:
    names = (
        "id", "fault", "asset_kind", "asset", "severity", "raised", "known", "cleared", "score",
        "ticket", "work", "horizon_h",
    )  # fmt: skip
    columns: dict[str, Any] = {n: [x.get(n) for x in lines] for n in names}
    columns["rule"] = [(x.get("evidence") or {}).get("rule", "") for x in lines]
    columns["devices"] = [";".join(x.get("devices") or ()) for x in lines]
    return pa.table(columns)
