"""The snapshot file: whole or absent, and readable by its head alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewatt.snapshot import (
    SnapshotDamaged,
    SnapshotHead,
    read_snapshot,
    read_snapshot_head,
    write_snapshot,
)

HEAD = SnapshotHead("uuid-1", 42)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "watch.snapshot"

    size = write_snapshot(path, HEAD, b"engine\nstate", b"book")

    assert (HEAD, b"engine\nstate", b"book") == read_snapshot(path)
    assert HEAD == read_snapshot_head(path)
    assert path.stat().st_size == size


def test_a_later_snapshot_replaces_the_earlier_one_and_leaves_nothing_beside(
    tmp_path: Path,
) -> None:
    path = tmp_path / "watch.snapshot"
    write_snapshot(path, HEAD, b"a", b"b")

    write_snapshot(path, SnapshotHead("uuid-1", 43), b"c", b"d")

    assert ["watch.snapshot"] == [p.name for p in tmp_path.iterdir()]
    assert read_snapshot(path) == (SnapshotHead("uuid-1", 43), b"c", b"d")


def test_no_file_is_no_snapshot(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "absent") is None
    assert read_snapshot_head(tmp_path / "absent") is None


@pytest.mark.parametrize("cut", [0, 10, 60, -1])
def test_a_file_cut_short_is_said_to_be_damaged(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "watch.snapshot"
    write_snapshot(path, HEAD, b"engine", b"book")
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(SnapshotDamaged, match="is damaged"):
        read_snapshot(path)
