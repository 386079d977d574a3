#!/usr/bin/env bash
# Makes an empty .venv with the first Python >= 3.11 found.
set -euo pipefail

for python in python3 python3.14 python3.13 python3.12 python3.11; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "Parley needs Python 3.11 or later" >&2; exit 1; }
# Debian ships venv apart from Python.
"$python" -c 'import ensurepip' 2>/dev/null || scripts/lib/debian.sh python3-venv
"$python" -m venv --clear .venv
