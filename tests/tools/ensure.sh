#!/bin/sh
# Puts in place what the tests need beyond Python: tmux, a Chromium, and the real client with a node to install it.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}

missing=""
command -v tmux >/dev/null 2>&1 || missing="$missing tmux"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
	|| command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"

if [ -n "$missing" ]; then
	root=""
	[ "$(id -u)" = 0 ] || root="sudo"
	if ! command -v apt-get >/dev/null 2>&1 \
		|| ! { $root apt-get update && $root apt-get install -y --no-install-recommends $missing; }; then
		echo "The tests need:$missing. Install them with your system's package manager, then run this again." >&2
		exit 1
	fi
fi

exec "$PYTHON" -m tests.claude_code.client
