"""What a person reads when a private service does not start."""

from pathlib import Path

from forewatt.services.errors import NO_SPACE, ServicesError


def test_a_full_disk_is_told_with_the_way_out() -> None:
    full = ServicesError("initdb: No space left on device", log=Path("/var/log/postgres.log"))

    assert f"initdb: No space left on device; {NO_SPACE}; see /var/log/postgres.log" == str(full)


def test_other_reasons_point_to_the_log_alone() -> None:
    assert "it ended; see /x.log" == str(ServicesError("it ended", log=Path("/x.log")))
    assert "it ended" == str(ServicesError("it ended"))
