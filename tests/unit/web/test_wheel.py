"""What is installed is whole: the wheel carries templates, words and the checked browser
libraries, so that a site needs neither npm nor the network."""

import hashlib
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
UV = ROOT / "build" / "tools" / "bin" / "uv"
ASKED = re.compile(r"""static\(['"]([^'"]+)['"]\)""")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built without the network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [str(x) for x in (UV, "build", "--wheel", "--quiet", "--out-dir", out, ROOT)]
    subprocess.run(command, check=True, env={**os.environ, "UV_OFFLINE": "1"}, timeout=120)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_every_file_that_a_page_asks_for_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    templates = sorted((ROOT / "web" / "templates").glob("*.html"))
    asked = {name for f in templates for name in ASKED.findall(f.read_text(encoding="utf-8"))}

    packed = set(wheel.namelist())

    assert {f"web/static/{name}" for name in asked} - packed == set()
    assert {f"web/templates/{f.name}" for f in templates} - packed == set()
    assert {name.rpartition("/")[2] for name in asked} >= {"htmx.min.js", "uPlot.iife.min.js"}


def test_the_browser_libraries_in_the_wheel_are_the_checked_ones(wheel: zipfile.ZipFile) -> None:
    lines = (ROOT / "web" / "assets.sha256").read_text(encoding="utf-8").split("\n")
    wanted = {name: digest for digest, name in (x.split() for x in lines if x.strip())}
    vendored = {n for n in wheel.namelist() if n.startswith("web/static/vendor/") and "." in n}

    packed = {
        Path(n).name: hashlib.sha256(wheel.read(n)).hexdigest()
        for n in vendored
        if n.endswith((".js", ".css"))
    }

    assert packed
    assert {k: v for k, v in packed.items() if v not in wanted.values()} == {}


def test_tools_and_tests_stay_at_home(wheel: zipfile.ZipFile) -> None:
    at_home = ("web/node_modules/", "tests/", "benchmarks/", "scripts/")

    assert [n for n in wheel.namelist() if n.startswith(at_home)] == []
