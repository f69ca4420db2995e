"""What signs links is made once, kept between starts, and nobody else's to read."""

from pathlib import Path

import pytest

from forewatt.serve import site_secret
from forewatt.site import Place
from grid.errors import ForewattError


def test_a_second_start_signs_with_the_same_secret(tmp_path: Path) -> None:
    place = Place(tmp_path)

    first, second = site_secret(place), site_secret(place)

    assert (32, first) == (len(second), second)
    assert 0o600 == place.secret.stat().st_mode & 0o777


def test_a_secret_cut_short_is_refused_with_the_way_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.secret.write_bytes(b"short")

    with pytest.raises(ForewattError, match="remove it and start again"):
        site_secret(place)
