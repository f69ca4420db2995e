"""docs/connect.md, done to the letter: an unknown JSON becomes readings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from forewatt.cli import main
from ingest.journal import SqliteJournal
from tests.integration.forewatt.test_reload import Site, site
from tests.integration.ingest.rig import entries, publish, publisher
from tests.waiting import wait_for

pytestmark = pytest.mark.services
__all__ = ["site"]

PAGE = (Path(__file__).parents[3] / "docs" / "connect.md").read_text(encoding="utf-8")
SEEN, SHOWN = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
MAPPING, SWITCH = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^    forewatt (.*)$", PAGE, re.MULTILINE)


def test_the_walk_ends_with_the_readings_of_the_page(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, _, message = SEEN.partition(" ")
    root = site.root  # topics on the broker of the tests must be the test's own
    monkeypatch.chdir(site.folder)
    (site.folder / "message.json").write_text(message)
    (site.folder / "plant.toml").write_text(MAPPING)
    tried = main(shlex.split(COMMANDS[0]))
    shown = capsys.readouterr().out
    (site.folder / "plant.toml").write_text(MAPPING.replace('"plant/', f'"{root}/'))

    with site.collecting(), publisher(site.url) as meter:
        site.configure(broker=SWITCH)
        checked, reloaded = (main(shlex.split(command)) for command in COMMANDS[1:3])
        wait_for(lambda: site.report("connections_total").get(site.source) == 2, 20, "it is back")
        publish(meter, [(topic.replace("plant/", f"{root}/"), message.encode())])
        wait_for(lambda: site.rows(), 20, "the reading in the journal")

    journal = SqliteJournal(site.folder / "journal")
    (batch,) = [e.record.batch for e in entries(journal) if len(e.record.batch)]
    journal.close()
    assert (0, 0, 0) == (tried, checked, reloaded)
    assert SHOWN == shown.rstrip("\n")
    assert ("M1",) == batch.names
    assert {"v_a": 231.2, "v_b": 230.5, "v_c": 229.8, "p": 1250.0, "e_import": 48_213_700.0} == {
        name: pytest.approx(float(column[0])) for name, column in batch.values.items()
    }
    assert COMMANDS[3:] == ["quarantine list", "quarantine replay"]
