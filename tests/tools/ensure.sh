#!/bin/sh
# Puts in place what the tests need beyond Python: tmux, a Chromium, systemd's checker, Caddy, the real client, the parts of
# a Supabase and axe-core, with a node to install them.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}

missing=""
command -v tmux >/dev/null 2>&1 || missing="$missing tmux"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
	|| command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
[ "$(uname)" != Linux ] || command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"

root=""
[ "$(id -u)" = 0 ] || root="sudo"

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null 2>&1 \
		|| ! { $root apt-get update && $root apt-get install -y --no-install-recommends $missing; }; then
		echo "The tests need:$missing. Install them with your system's package manager, then run this again." >&2
		exit 1
	fi
fi

# the same Chromium without what a person needs around a page, where the system has it: the tests take half as long with it
if ! command -v chromium-headless-shell >/dev/null 2>&1 && apt-cache show chromium-headless-shell >/dev/null 2>&1; then
	$root apt-get install -y --no-install-recommends chromium-headless-shell \
		|| echo "chromium-headless-shell cannot be installed; the tests go on with the browser there is." >&2
fi

# Debian's package would also start a server on port 80: only its program is taken
fetch_caddy() {
	apt-get download caddy || { $root apt-get update && apt-get download caddy; }
	dpkg-deb --extract caddy_*.deb caddy
	mkdir -p bin
	mv caddy/usr/bin/caddy bin/
	rm -r caddy caddy_*.deb
}

if ! command -v caddy >/dev/null 2>&1 && ! [ -x .tools/bin/caddy ]; then
	mkdir -p .tools
	if ! command -v apt-get >/dev/null 2>&1 || ! (cd .tools && fetch_caddy); then
		echo "The tests need caddy. Install it with your system's package manager, then run this again." >&2
		exit 1
	fi
fi

"$PYTHON" -m tests.claude_code.client
"$PYTHON" -m tests.supabase.parts
exec "$PYTHON" -m tests.datasette_plugins.axe.rules
