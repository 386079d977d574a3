#!/usr/bin/env bash
# Brings into .venv what the server needs, made from requirements.lock; quick when nothing changed.
set -euo pipefail
. "$(dirname "$0")/env.sh"

stamp=$(sha256sum <requirements.lock)
if [ "$(cat .venv/runtime-stamp 2>/dev/null)" != "$stamp" ] || ! .venv/bin/python --version >/dev/null 2>&1; then
    .venv/bin/python -m pip --version >/dev/null 2>&1 || scripts/lib/venv.sh
    echo "Installing what the server needs …" >&2
    pip_install requirements.lock
    echo "$stamp" >.venv/runtime-stamp
fi
ln -sf ../../scripts/parley .venv/bin/parley
