#!/bin/sh
# Browser tests drive the system's Chromium. As root on Debian, install it (and a Chinese font,
# without which the pages' 中文 is boxes); as an ordinary user only say what will be skipped.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then
        browser=$name
        break
    fi
done
fonts=yes
command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh family)" ] || fonts=
[ -n "${browser:-}" ] && [ -n "$fonts" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Chromium and a Chinese font for the browser tests ..." >&2
    export DEBIAN_FRONTEND=noninteractive
    timeout 600 apt-get -qq update >&2
    timeout 900 apt-get -qq -y --no-install-recommends install chromium fontconfig fonts-noto-cjk >/dev/null
elif [ -z "${browser:-}" ]; then
    echo "no Chromium: browser tests will be skipped; to run them: apt-get install chromium fonts-noto-cjk   (as root)" >&2
fi
