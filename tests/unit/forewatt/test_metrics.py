"""What `/metrics` says about the processes."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from forewatt.health import HealthFile
from forewatt.metrics import prometheus_text


def test_every_process_reports_lag_and_its_own_counters(tmp_path: Path) -> None:
    HealthFile(tmp_path, "historian").say(
        ready=True,
        offset=7,
        lag=3,
        detail={"rows_total": 10, "wal_bytes": 4096, "sources": {'a"b': 1, "c": 2}, "word": "x"},
    )
    HealthFile(tmp_path, "watch").say(ready=False)

    families = {
        f.name: f for f in text_string_to_metric_families(prometheus_text(tmp_path).decode())
    }

    assert "counter" == families["forewatt_rows"].type
    assert {"historian": 1.0, "watch": 0.0} == {
        s.labels["role"]: s.value for s in families["forewatt_ready"].samples
    }
    assert [3.0] == [s.value for s in families["forewatt_lag_entries"].samples]
    assert {'a"b': 1.0, "c": 2.0} == {
        s.labels["of"]: s.value for s in families["forewatt_sources"].samples
    }
    assert "forewatt_word" not in families


def test_no_process_is_no_text(tmp_path: Path) -> None:
    assert b"" == prometheus_text(tmp_path / "absent")
