#!/bin/sh
# Make .venv from nothing but Python >= 3.11: fetch uv with whatever pip there is, then
# install the hashed locks. usage: scripts/bootstrap.sh runtime|dev|npm
# (npm: Node.js from PyPI in an environment of its own, for machines without it)
#
# No root is needed and nothing outside this checkout is changed. Installs are additive
# (`uv pip install`, every file checked against its hash), so a developer's own tools in .venv stay.
set -eu
cd "$(dirname "$0")/.."
tools=build/tools
uv=$tools/bin/uv

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    say "Forewatt needs Python 3.11 or newer; install it (Debian: apt-get install python3) or name it: make PYTHON=/path/to/python3.12"
    exit 1
}

# A bare Debian has neither pip nor ensurepip. Its archive's pip wheel can be unpacked and run
# without root: apt works in a private folder.
pip_from_apt() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    folder=$PWD/build/apt
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/unpacked"
    apt() {
        timeout 300 apt-get -qq -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" \
            -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1 "$@"
    }
    apt update >&2 && (cd "$folder" && apt download python3-pip-whl >&2) || return 1
    dpkg -x "$folder"/python3-pip-whl_*.deb "$folder/unpacked" || return 1
    ls "$folder"/unpacked/usr/share/python-wheels/pip-*.whl | tail -n 1
}

fetch_uv() {
    # What a user told pip about mirrors and certificates holds for uv as well.
    pip="$1 -m pip"
    if ! $pip --version >/dev/null 2>&1; then
        if $1 -c 'import ensurepip' 2>/dev/null; then
            $1 -m venv build/pip && pip="build/pip/bin/python -m pip"
        elif wheel=$(pip_from_apt); then
            pip="$1 $wheel/pip"
        else
            say "no pip was found and apt could not supply one; run: apt-get install python3-venv   (as root), then make again"
            exit 1
        fi
    fi
    say "fetching uv ..."
    rm -rf "$tools"
    PIP_ROOT_USER_ACTION=ignore $pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
        --target "$tools" -r requirements/bootstrap.txt || {
        say "uv could not be fetched; check the network, or tell pip your mirror: pip config set global.index-url ADDRESS"
        exit 1
    }
    $pip config get global.index-url >"$tools/index-url" 2>/dev/null || rm -f "$tools/index-url"
}

python=$(find_python)
[ -x "$uv" ] && "$uv" --version >/dev/null 2>&1 || fetch_uv "$python"

if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    if [ -n "${PIP_INDEX_URL:-}" ]; then
        export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
    elif [ -s "$tools/index-url" ]; then
        UV_DEFAULT_INDEX=$(cat "$tools/index-url")
        export UV_DEFAULT_INDEX
    fi
fi
# An office's own certificate authority is in the system's store, not in uv's.
[ -e /etc/ssl/certs/ca-certificates.crt ] && export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1

if [ "$1" = npm ]; then
    "$uv" venv --quiet --no-project --clear --python "$(command -v "$python")" build/node
    exec "$uv" pip install --quiet --python build/node/bin/python --require-hashes --no-deps \
        -r requirements/npm.txt
fi

# A checkout that was moved or copied has a .venv whose programs point to the old place.
if [ -e .venv ] && ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "making .venv anew: its Python does not run"
    rm -rf .venv
fi
[ -e .venv ] || "$uv" venv --quiet --no-project --python "$(command -v "$python")" .venv

locks="-r requirements/runtime.txt"
[ "$1" = dev ] && locks="$locks -r requirements/dev.txt"
say "installing the locked packages ($1) ..."
# shellcheck disable=SC2086  # $locks is a list of words
"$uv" pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes \
    --no-deps $locks || {
    say "packages could not be installed; check the network and the free disk space (about 1.5 GB), then make again"
    exit 1
}
"$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
# The path in words of its own: in a folder named 测试 and under LC_ALL=C, Python could not read it.
for link in .venv/lib/python3*/site-packages/forewatt.pth; do printf '../../../..\n' >"$link"; done
